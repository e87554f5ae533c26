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
from steplog.journal.manifest import Manifest, Plan

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
    [{"version": 2}, {"run": None}, {"run": 7}, {"status_sent": "yes"}, {"local_id": []}, {"plan": []}],
    ids=str,
)
def test_a_newer_version_and_a_wrong_field_are_format_errors(tmp_path, changed):
    (tmp_path / "manifest").write_text(json.dumps(msgspec.to_builtins(ONE) | changed))
    with pytest.raises(FormatError):
        manifests.load(tmp_path)


def test_a_field_that_is_not_known_here_is_no_mistake(tmp_path):
    (tmp_path / "manifest").write_text(json.dumps(msgspec.to_builtins(ONE) | {"more": [1]}))
    assert manifests.load(tmp_path) == ONE
