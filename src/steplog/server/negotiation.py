"""What a request's head asks of the form of its answer, as RFC 9110 has it. Pure.

- ``Accept-Encoding``: gzip, deflate or neither, by weight, gzip first. Without the header, or where it is empty, an
  answer is not compressed. https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
- ``Accept``: the type with the highest weight, the first offered if several have it. Without the header all are the
  same. https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
- ``If-None-Match``: a list of tags, or ``*``, by weak comparison. https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2

A header of more than ``_CHARACTERS_MAX`` is as if it were not there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Accepted", "accepted", "chosen_type", "is_known", "is_listed", "listed", "weak_tag"]

_CHARACTERS_MAX = 4096
_CODINGS = ("gzip", "deflate")  # by preference
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class Accepted(NamedTuple):
    """The coding to use, or None; ``plain``: whether the answer may do without. Neither: no answer is acceptable."""

    coding: str | None
    plain: bool


def accepted(header: str | None) -> Accepted:
    """What an ``Accept-Encoding`` says of the codings known here."""
    if header is None or len(header) > _CHARACTERS_MAX:
        return Accepted(None, True)
    weights = {}
    for item in header.lower().split(","):
        name, _, parameter = (part.strip() for part in item.partition(";"))
        match = _WEIGHT.fullmatch(parameter.replace(" ", "")) if parameter else None
        if name and (match or not parameter):
            weights["gzip" if name == "x-gzip" else name] = float(match[1]) if match else 1.0
    rest = weights.get("*", 0.0)
    plain = weights.get("identity", None if "*" not in weights else rest)
    best = max(_CODINGS, key=lambda coding: weights.get(coding, rest))
    weight = weights.get(best, rest)
    wanted = weight > 0 and ("identity" not in weights or weight >= weights["identity"])
    return Accepted(best if wanted else None, plain != 0.0)


def chosen_type(header: str, offered: Sequence[str]) -> str | None:
    """Which of the ``offered`` media types to answer with, given an ``Accept``; None if it accepts none.

    >>> chosen_type("text/*;q=0.5, application/json;q=0.1", ["application/json", "text/csv"])
    'text/csv'
    """
    ranges = (
        [_media_range(part) for part in header.split(",") if part.strip()] if len(header) <= _CHARACTERS_MAX else []
    )
    if not ranges:
        return offered[0]
    best, chosen = 0.0, None
    for offer in offered:
        weight = _weight_of(offer, ranges)
        if weight > best:
            best, chosen = weight, offer
    return chosen


def _media_range(part: str) -> tuple[str, float]:
    """A media range in lower case, and its weight: 1 unless it is given, 0 if that is malformed."""
    name, *parameters = (each.replace(" ", "") for each in part.lower().split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            match = _WEIGHT.fullmatch(parameter)
            return name, float(match[1]) if match else 0.0
    return name, 1.0


def _weight_of(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """That of the most specific range that covers the offer; 0 if none does."""
    for covering in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        weights = [weight for name, weight in ranges if name == covering]
        if weights:
            return max(weights)
    return 0.0


def is_known(tag: str, if_none_match: str | None) -> bool:
    """Whether a client that sent this ``If-None-Match`` has the answer with this tag."""
    return is_listed(tag, if_none_match) or (if_none_match or "").strip() == "*"


def is_listed(tag: str, if_none_match: str | None) -> bool:
    """The same where it is not known yet whether there is an answer, which ``*`` asks for."""
    return tag.removeprefix("W/")[1:-1] in listed(if_none_match)


def listed(if_none_match: str | None) -> list[str]:
    """What the tags of an ``If-None-Match`` say, without their quotes."""
    if if_none_match is None or len(if_none_match) > _CHARACTERS_MAX:
        return []
    return [tag[1:-1] for tag in _TAG.findall(if_none_match)]


def weak_tag(digest: str) -> str:
    """An ``ETag``; weak, since an answer has the same tag in each coding."""
    return f'W/"{digest}"'
