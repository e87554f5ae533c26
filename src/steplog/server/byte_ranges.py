"""Ranges of bytes in the heads of requests. Pure.

- ``Range`` asks for a part of a content: https://www.rfc-editor.org/rfc/rfc9110#section-14.2. Several ranges, another
  unit and what cannot be read are as if it were not there; so it is where ``If-Range`` names another content.
- ``Content-Range`` says what of a content is sent: https://www.rfc-editor.org/rfc/rfc9110#section-14.4
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["PART_BYTES_MAX", "SIZE_MAX", "ContentPart", "RangeError", "asked_range", "sent_part"]

PART_BYTES_MAX = 8 * 1024 * 1024
SIZE_MAX = 2**53 - 1  # of a content; JSON's numbers are exact up to there
_ASKED = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.IGNORECASE | re.ASCII)
_SENT = re.compile(r"bytes (?:\*|([0-9]{1,16})-([0-9]{1,16}))/([0-9]{1,16})", re.IGNORECASE | re.ASCII)


class RangeError(ValueError):
    """What was asked for is not in the content, or what was sent is no part of one."""


class ContentPart(NamedTuple):
    """The bytes ``[first, end)`` of a content of ``size`` bytes; ``asks``: none, but how far it has come."""

    first: int
    end: int
    size: int
    asks: bool = False


def asked_range(asked: str | None, if_range: str | None, tag: str, size: int) -> tuple[int, int] | None:
    """The bytes ``[first, end)`` that a ``Range`` asks for; None: all. Raises RangeError where there are none such.

    ``tag``: the strong one of the content.

    >>> asked_range("bytes=-5", None, '"a"', 100)
    (95, 100)
    """
    found = None if asked is None else _ASKED.fullmatch(asked)
    if found is None or (if_range is not None and if_range.strip() != tag):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        begin, end = max(size - int(last), 0), size
    else:
        begin, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < begin:
            return None  # as if it were not there
    if begin >= end:
        raise RangeError(f"The content has {size} bytes.")
    return begin, end


def sent_part(header: str | None) -> ContentPart:
    """What a ``Content-Range`` says; a part has at most ``PART_BYTES_MAX``. Raises RangeError.

    >>> sent_part("bytes 0-99/1000")
    ContentPart(first=0, end=100, size=1000, asks=False)
    """
    found = None if header is None else _SENT.fullmatch(header.strip())
    if found is None:
        raise RangeError(
            'Content-Range must be "bytes <first>-<last>/<size>", or "bytes */<size>" to ask how far it is.'
        )
    size = int(found[3])
    if size > SIZE_MAX:
        raise RangeError(f"A content has at most {SIZE_MAX} bytes.")
    if found[1] is None:
        return ContentPart(0, 0, size, asks=True)
    first, last = int(found[1]), int(found[2])
    if not first <= last < size:
        raise RangeError(f"Bytes {first} to {last} are no part of a content of {size} bytes.")
    if last - first >= PART_BYTES_MAX:
        raise RangeError(f"A part has at most {PART_BYTES_MAX} bytes.")
    return ContentPart(first, last + 1, size)
