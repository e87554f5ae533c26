"""What a user sets of a run, checked at the call: name, description, tags, group, job type, notes. Pure.

Texts are str; None, or "", is none. A name cannot be none. The limits are those of the server, which skips what is
beyond them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["FIELDS", "check_size", "checked"]

FIELDS = ("name", "description", "tags", "group", "job_type", "notes")
_TEXT_CHARACTERS_MAX = 256
_LONG_CHARACTERS_MAX = 64 * 1024
_LONG = ("description", "notes")
_TAGS_MAX = 64
_TAG_BYTES_MAX = 128


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as a record has them. Raises TypeError or ValueError."""
    return {field: _tags(value) if field == "tags" else _text(field, value) for field, value in given.items()}


def check_size(fields: Mapping[str, Any], bytes_max: int) -> None:
    """Raise ValueError where a record of these fields would be cut."""
    if len(json.dumps(fields, ensure_ascii=False).encode()) > bytes_max:
        what = ", ".join(fields).replace("_", " ")
        raise ValueError(f"the {what} of a run take more bytes as JSON than value_bytes_max, which is {bytes_max}")


def _text(field: str, value: Any) -> str | None:
    most = _LONG_CHARACTERS_MAX if field in _LONG else _TEXT_CHARACTERS_MAX
    if value is None and field != "name":
        return None
    text = _plain(f"the {field.replace('_', ' ')} of a run", value)
    if field == "name" and not text.strip():
        raise ValueError("the name of a run has at least one character")
    if len(text) > most:
        raise ValueError(f"the {field.replace('_', ' ')} of a run has at most {most} characters, not {len(text)}")
    return text or None


def _tags(value: Any) -> list[str]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable | None):
        meant = f"; did you mean [{value!r}]?" if isinstance(value, str) else ""
        raise TypeError(f"the tags of a run are a list of texts, not {type(value).__name__}{meant}")
    tags = list(dict.fromkeys(_plain("a tag", tag) for tag in value or ()))
    if len(tags) > _TAGS_MAX:
        raise ValueError(f"a run has at most {_TAGS_MAX} tags, not {len(tags)}")
    for tag in tags:
        if not 0 < len(tag.encode()) <= _TAG_BYTES_MAX:
            raise ValueError(f"a tag has 1 to {_TAG_BYTES_MAX} bytes of UTF-8: {tag[:80]!r}")
    return tags


def _plain(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} is a str, not {type(value).__name__}")
    text = str.__str__(value)  # a subclass may override str()
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is text that UTF-8 can hold; this one has a lone surrogate") from None
    return text
