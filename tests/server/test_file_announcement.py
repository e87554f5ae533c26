"""What is announced of files is checked whole before anything is stored."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steplog.server.file_announcement import ENTRIES_MAX, announcement
from steplog.server.validation import ValidationError

ID, HASH = "0" * 31 + "a", "c" * 64
FILE: dict[str, Any] = {"id": ID, "sha256": HASH, "size": 3, "type": "image/png", "suffix": ".png", "time": 1}
SAVED = FILE | {"path": "checkpoints/a.pt"}
ARTIFACT: dict[str, Any] = {"id": "b" * 32, "name": "mnist-cnn", "type": "model", "digest": HASH, "count": 1, "size": 3}


def told(**fields: Any) -> Any:
    return announcement(msgspec.json.decode(msgspec.json.encode(fields), type=dict[str, msgspec.Raw]))


def refusal(**fields: Any) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as raised:
        told(**fields)
    return dict(raised.value.errors)


def test_files_artifacts_and_what_is_used_are_read():
    found = told(
        files=[FILE, SAVED | {"id": "d" * 32, "artifact": "b" * 32}],
        artifacts=[ARTIFACT | {"aliases": ["best", "latest", "best"], "metadata": {"acc": 0.9}}],
        pending=7,
        used=["mnist:v3", "mnist:latest"],
        another="field",
    )
    assert [each.path for each in found.files] == ["", "checkpoints/a.pt"]
    assert (found.artifacts[0].aliases, found.artifacts[0].metadata) == (("best",), {"acc": 0.9})
    assert (found.pending, found.used) == (7, [("mnist", "v3"), ("mnist", "latest")])
    assert told() == ([], [], None, [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"},
        {"id": "A" * 32},
        {"id": "1" * 33},
        {"sha256": ""},
        {"sha256": "C" * 64},
        {"sha256": "../" + "c" * 61},
        {"size": -1},
        {"size": 2**53},
        {"size": 1.5},
        {"size": 2**63},
        {"time": -1},
        {"type": "text/html\r\nSet-Cookie: a=b"},
        {"type": "html"},
        {"type": "/"},
        {"suffix": "png"},
        {"suffix": "./../a"},
        {"suffix": ".html\r\n"},
        {"path": "/etc/passwd"},
        {"path": "../up"},
        {"path": "a/../../b"},
        {"path": "a//b"},
        {"path": "a/."},
        {"path": "a\x00b"},
        {"path": "a\nb"},
        {"path": "é" * 600},
        {"artifact": "b" * 32},
        {"artifact": "b", "path": "a"},
        {"id": None},
    ],
)
def test_a_wrong_file_is_refused_with_its_number(wrong):
    assert list(refusal(files=[FILE, FILE | wrong])) == ["files"]
    if all(isinstance(each, (str, int)) and each != 2**63 for each in wrong.values()):
        assert "Entry 1: " in refusal(files=[FILE, FILE | wrong])["files"][0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "b"},
        {"name": "a/b"},
        {"name": ".."},
        {"name": ""},
        {"name": "a" * 129},
        {"type": ""},
        {"type": "a\nb"},
        {"digest": "1"},
        {"count": -1},
        {"count": 100_001},
        {"size": -1},
        {"aliases": ["v3"]},
        {"aliases": ["a b"]},
        {"aliases": [f"a{n}" for n in range(17)]},
        {"aliases": "best"},
        {"description": "a" * 65_537},
        {"metadata": {"a": "b" * 65_536}},
        {"metadata": []},
    ],
)
def test_a_wrong_artifact_is_refused(wrong):
    assert list(refusal(artifacts=[ARTIFACT | wrong])) == ["artifacts"]


@pytest.mark.parametrize("wrong", [["mnist"], ["mnist:"], [":v3"], ["a/b:v3"], [3], "mnist:v3"])
def test_what_is_used_is_named_with_its_version(wrong):
    assert list(refusal(used=wrong)) == ["used"]


@pytest.mark.parametrize("wrong", [-1, "many", 2**53, True])
def test_a_number_of_files_to_come_is_one(wrong):
    assert list(refusal(pending=wrong)) == ["pending"]


def test_a_request_takes_a_thousand_entries():
    assert len(told(files=[FILE] * ENTRIES_MAX).files) == ENTRIES_MAX
    assert list(refusal(files=[FILE] * (ENTRIES_MAX + 1))) == ["files"]
    assert list(refusal(files=[FILE] * ENTRIES_MAX, artifacts=[ARTIFACT])) == ["files"]


def test_metadata_may_be_any_json_but_not_without_bounds():
    assert told(artifacts=[ARTIFACT | {"metadata": {"n": 2**70, "d": [[[]]], "e": None}}]).artifacts[0].metadata
    deep = b'[{"id":"%b","name":"a","type":"b","digest":"%b","metadata":{"a":%b}}]'
    for nested in (b"[" * 600 + b"]" * 600, b"[" * 100_000 + b"]" * 100_000):
        raw = msgspec.Raw(deep % (b"b" * 32, HASH.encode(), nested))
        with pytest.raises(ValidationError):
            announcement({"artifacts": raw})
