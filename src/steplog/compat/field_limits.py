"""Names and fields as a server takes them: what is too long or too many is cut, and counted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from steplog.compat.unsupported import unsupported

__all__ = ["NAME_BYTES_MAX", "fitting_name", "fitting_tags", "fitting_text", "key_of"]

NAME_BYTES_MAX = 256  # as journal.range has it, which is not imported before a run begins
_CHARACTERS_MAX = {"notes": 64 * 1024}
_TEXT_CHARACTERS_MAX = 256
_TAGS_MAX = 64
_TAG_BYTES_MAX = 128
_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ADVICE = "it is cut to what a server keeps"


def fitting_name(name: str, call: str) -> str:
    """The name of a metric; "" where it has none. ``call`` is what is counted, such as ``wandb.log()``."""
    data = name.encode("utf-8", "replace")
    if not data:
        unsupported.note(f'{call} of the name ""', "a metric has a name of at least one character")
    if len(data) > NAME_BYTES_MAX:
        unsupported.note(f"{call} of a name over {NAME_BYTES_MAX} bytes", "the name is cut there; shorten it")
    return data[:NAME_BYTES_MAX].decode("utf-8", "ignore")


def fitting_text(field: str, value: Any) -> str | None:
    """A name, group, job type or notes; None: none."""
    text = None if value is None else str(value).encode("utf-8", "replace").decode()
    if text is None or not text.strip():
        return None
    most = _CHARACTERS_MAX.get(field, _TEXT_CHARACTERS_MAX)
    if len(text) > most:
        unsupported.note(f"a {field} of over {most:,} characters", _ADVICE)
    return text[:most]


def fitting_tags(tags: Any) -> list[str]:
    """Tags, each once."""
    given: Iterable[Any] = (tags,) if isinstance(tags, str) else (tags or ())
    found = [str(tag).encode("utf-8", "replace") for tag in given if str(tag)]
    if len(found) > _TAGS_MAX:
        unsupported.note(f"more than {_TAGS_MAX} tags", "the first ones are kept")
    if any(len(tag) > _TAG_BYTES_MAX for tag in found):
        unsupported.note(f"a tag of over {_TAG_BYTES_MAX} bytes", _ADVICE)
    return list(dict.fromkeys(tag[:_TAG_BYTES_MAX].decode("utf-8", "ignore") for tag in found[:_TAGS_MAX]))


def key_of(run_id: Any) -> str:
    """The id that a server takes for a run's own: the same, where it is of letters, digits, ".", "_" and "-"."""
    text = str(run_id)
    if _KEY.fullmatch(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]  # so that ids that differ stay so
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', text)[:100]}-{digest}"
