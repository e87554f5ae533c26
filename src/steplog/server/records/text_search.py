"""Which points have a text in their value, in any case. Pure.

Looked through is a text as it is, and any other value as its JSON, in which letters beyond ASCII are no escapes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from steplog.records.finite import finite
from steplog.records.points import Points

__all__ = ["having"]

_BACKSLASH, _QUOTE = b"\\", b'"'


def having(points: Points, text: str) -> Points:
    """Those of the points that have it."""
    folded = text.casefold()
    found = [folded in _text_of(value).casefold() for value in points.values()]
    return points if all(found) else points.select(found)


def _text_of(value: Any) -> str:
    if not isinstance(value, msgspec.Raw):
        return _json_text(finite(value)).strip('"')
    encoded = bytes(value)
    if _BACKSLASH not in encoded:
        return (encoded[1:-1] if encoded.startswith(_QUOTE) else encoded).decode()
    try:
        decoded = msgspec.json.decode(encoded)
    except (msgspec.MsgspecError, RecursionError):  # a number beyond all bounds beside an escape
        return encoded.decode()
    return decoded if isinstance(decoded, str) else _json_text(decoded)


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
