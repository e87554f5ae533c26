"""Which of the types that a route offers a request accepts. Pure.

Of what the header ``Accept`` accepts the type with the highest quality counts, the first offered if several have it.
https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["accepted"]

_QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def accepted(header: str, offered: Sequence[str]) -> str | None:
    """The type to answer with; None if none is accepted. An empty header accepts all.

    >>> accepted("text/*;q=0.5, application/json;q=0.1", ["application/json", "text/csv"])
    'text/csv'
    """
    ranges = [_range(part) for part in header.split(",") if part.strip()]
    if not ranges:
        return offered[0]
    best, chosen = 0.0, None
    for offer in offered:
        quality = _quality(offer, ranges)
        if quality > best:
            best, chosen = quality, offer
    return chosen


def _range(part: str) -> tuple[str, float]:
    """A media range in lower case, and its quality: 1 unless it is given, 0 if that is malformed."""
    name, *parameters = (each.strip() for each in part.lower().split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            return name, float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
    return name, 1.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """That of the most specific range that covers the offer; 0 if none does."""
    for covering in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        qualities = [quality for name, quality in ranges if name == covering]
        if qualities:
            return max(qualities)
    return 0.0
