"""What a user may set of a run, and what is a mistake."""

from __future__ import annotations

from typing import Any

import pytest

from steplog.lifecycle.run_fields import FIELDS, check_size, checked


class Text(str):
    def __str__(self) -> str:
        return "something else"


def test_fields_are_kept_as_a_record_has_them():
    given: dict[str, Any] = {"name": Text("n"), "description": "", "tags": ("a", "b", "a"), "group": None, "notes": "é"}
    kept = checked(given)
    assert kept == {"name": "n", "description": None, "tags": ["a", "b"], "group": None, "notes": "é"}
    assert type(kept["name"]) is str
    assert checked({"tags": None}) == {"tags": []}
    assert set(given) < set(FIELDS)


MISTAKES: list[tuple[str, Any, type[Exception], str]] = [
    ("name", None, TypeError, "the name of a run is a str, not NoneType"),
    ("name", " ", ValueError, "at least one character"),
    ("name", "n" * 257, ValueError, "at most 256 characters, not 257"),
    ("group", 1, TypeError, "the group of a run is a str, not int"),
    ("job_type", "j" * 257, ValueError, "the job type of a run has at most 256"),
    ("notes", "n" * 65_537, ValueError, "at most 65536 characters"),
    ("description", "\ud800", ValueError, "a lone surrogate"),
    ("tags", "baseline", TypeError, r"did you mean \['baseline'\]"),
    ("tags", 1, TypeError, "a list of texts, not int"),
    ("tags", [1], TypeError, "a tag is a str, not int"),
    ("tags", [""], ValueError, "a tag has 1 to 128 bytes"),
    ("tags", ["é" * 65], ValueError, "a tag has 1 to 128 bytes"),
    ("tags", [str(number) for number in range(65)], ValueError, "at most 64 tags, not 65"),
]


@pytest.mark.parametrize(("field", "value", "error", "words"), MISTAKES)
def test_a_mistake_says_what_is_taken(field: str, value: Any, error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        checked({field: value})


def test_fields_that_a_record_would_not_hold_are_a_mistake():
    check_size({"notes": "n" * 80}, 100)
    with pytest.raises(ValueError, match="the job type, notes of a run take more bytes"):
        check_size({"job_type": None, "notes": "n" * 80}, 100)
