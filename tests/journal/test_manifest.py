"""The manifest: what was stored is loaded; anything else is told apart from none."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.errors import FormatError
from steplog.journal import manifest as manifests
from steplog.journal.manifest import Generation, Manifest, Plan

TEXT = st.text(max_size=20)
PLANS = st.none() | st.builds(
    Plan, local_id=TEXT, namespace=TEXT, project=TEXT, project_name=TEXT, name=st.none() | TEXT, status=st.none() | TEXT
)
MANIFESTS = st.builds(
    Manifest,
    **dict.fromkeys(("local_id", "base_url", "account", "namespace", "project", "run", "name", "owner"), TEXT),
    status=st.none() | TEXT,
    status_sent=st.booleans(),
    plan=PLANS,
    generations=st.lists(st.builds(Generation, maker=TEXT, began=st.integers(0, 2**63), number=st.integers(0))).map(
        tuple
    ),
    writers=st.dictionaries(TEXT, TEXT),
)
ONE = Manifest(local_id="0" * 32, base_url="http://x", account="me", namespace="n", project="p", run="r")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@given(MANIFESTS)
def test_what_was_stored_is_loaded(directory, manifest):
    manifests.store(directory, manifest)
    assert manifests.load(directory) == manifest
    assert [path.name for path in directory.iterdir()] == ["manifest"]


def test_there_is_none_where_there_is_no_file(tmp_path):
    assert manifests.load(tmp_path) is None
    assert manifests.load(tmp_path / "not there") is None


def test_a_change_leaves_the_other_fields():
    assert ONE.but(status="CRASHED").but(status=None) == ONE


def test_a_manifest_that_is_cut_anywhere_is_a_format_error(memory):
    data = msgspec.json.encode(ONE)
    for length in range(len(data)):
        (memory / "manifest").write_bytes(data[:length])
        with pytest.raises(FormatError):
            manifests.load(memory)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        bytes(4096),
        b"{" + b" " * 2_000_000,
    ],
    ids=lambda data: repr(data[:8]),
)
def test_anything_else_is_a_format_error(tmp_path, data):
    (tmp_path / "manifest").write_bytes(data)
    with pytest.raises(FormatError):
        manifests.load(tmp_path)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_format_error(directory, data):
    (directory / "manifest").write_bytes(data)
    with pytest.raises(FormatError):
        manifests.load(directory)


@pytest.mark.parametrize(
    "changed",
    [{"version": 3}, {"version": 0}, {"run": None}, {"run": 7}, {"status_sent": "yes"}, {"local_id": []}, {"plan": []}],
    ids=str,
)
def test_a_newer_version_and_a_wrong_field_are_format_errors(tmp_path, changed):
    (tmp_path / "manifest").write_text(json.dumps(msgspec.to_builtins(ONE) | changed))
    with pytest.raises(FormatError):
        manifests.load(tmp_path)


def test_a_field_that_is_not_known_here_is_no_mistake(tmp_path):
    (tmp_path / "manifest").write_text(json.dumps(msgspec.to_builtins(ONE) | {"more": [1]}))
    assert manifests.load(tmp_path) == ONE


OF_0_1 = b"""{"version":1,"local_id":"00000000000000000000000000000000","base_url":"http://x","account":"me",
"namespace":"n","project":"p","run":"r","name":"","mode":"online","plan":null,"owner":"a","status":null,
"status_sent":false,"resumed":false}"""


def test_a_manifest_of_version_1_stays_of_it_until_a_generation_begins(tmp_path):
    (tmp_path / "manifest").write_bytes(OF_0_1)
    old = manifests.load(tmp_path)
    assert old == ONE.but(version=1, owner="a")
    assert old.but(status="CRASHED").version == 1
    assert old.generation_of("a") is None
    new = old.begun("maker", 7, ["a"])
    assert (new.version, new.generation) == (2, 0)
    assert new.generation_of("a") == Generation(maker="", began=0, number=1)
    assert new.generation_of("b") == Generation(maker="maker", began=7)


def test_a_writer_belongs_to_the_generation_in_which_it_was_opened():
    first = Generation(maker="one", began=1)
    begun = ONE.but(generations=(first,)).begun("two", 2, ["a", "b"]).begun("three", 3, ["a", "b", "c"])
    assert [begun.generation_of(writer).maker for writer in "abcd"] == ["one", "one", "two", "three"]


def test_a_generation_that_has_its_number_and_no_writer_left_is_forgotten():
    first = Generation(maker="one", began=1, number=1)
    begun = ONE.but(generations=(first,)).begun("two", 2, ["a"])
    assert [one.maker for one in begun.generations] == ["one", "two"]
    assert [one.maker for one in begun.begun("three", 3, ["b"]).generations] == ["two", "three"]
