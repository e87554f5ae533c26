"""A small line chart of one metric over its steps, as lines of text. Pure.

    loss  100 points
       1 ┤⢣
         │⠀⠣⡀
    0.01 ┤⠀⠀⠈⠉⠒⠤⣀
         └───────
         0     99

Points come as buckets of ``series/`` (``docs/api.md``): a line through each ``last``, and a stroke from ``min`` to
``max``, so that what a bucket hides shows. What is not finite parts the line. In ASCII a character tells which of its
four rows are set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["BUCKETS_PER_COLUMN", "Chart", "chart"]

BUCKETS_PER_COLUMN = 2  # what a character can tell apart
_ROWS = 4  # of a character
_WIDTH_MIN, _HEIGHT_MIN = 8, 3
_MIDDLE = 0.5
_BRAILLE = 0x2800
_ROW_BITS = (0b0000_1001, 0b0001_0010, 0b0010_0100, 0b1100_0000)  # of a braille character, the top first
_FRAMES = {"unicode": ("│", "┤", "└", "─"), "ascii": ("|", "|", "+", "-")}
_DIGITS_MIN, _DIGITS_MAX = 4, 17


class Chart(NamedTuple):
    """What is drawn, a line each, and what is to its left; ``omitted``: what is not drawn, in words."""

    lines: list[tuple[str, str]]
    omitted: str


class _Place(NamedTuple):
    """A bucket; None: not to be drawn."""

    step: int
    low: float | None
    high: float | None
    last: float | None


def chart(
    buckets: Sequence[Mapping[str, Any]],
    width: int,
    height: int,
    *,
    begins: int | None = None,
    log: bool = False,
    ascii_only: bool = False,
) -> Chart:
    """Draw in ``width`` columns, axis and labels included, and ``height`` rows, without the axis and its labels.

    The axis ``begins`` at this step, if that is less than those of the buckets, each of which is its last.

    A chart without lines: there is no number to draw.
    """
    places = sorted((_place(bucket, log) for bucket in buckets), key=lambda place: place.step)
    every = [value for place in places for value in place[1:] if value is not None]
    omitted = _omitted(buckets, places)
    if not every:
        return Chart([], omitted)
    height = max(height, _HEIGHT_MIN)
    labels = _labels(min(every), max(every), height, log)
    margin = max(map(len, labels))
    columns = max(width - margin - 2, _WIDTH_MIN)
    scale = math.log10 if log else _half
    upward = _fraction(scale(min(every)), scale(max(every)))
    first, last = places[0].step, places[-1].step
    first = first if begins is None else min(first, begins)
    drawn = _draw(places, _fraction(first, last), lambda value: upward(scale(value)), columns, height)
    side, tick, corner, floor = _FRAMES["ascii" if ascii_only else "unicode"]
    if ascii_only:
        drawn = [line.translate(_ASCII) for line in drawn]
    lines = [
        (f"{label:>{margin}} {tick if label else side}", line.rstrip("\u2800 "))
        for label, line in zip(labels, drawn, strict=True)
    ]
    ends = (" " * (margin + 2), _ends(first, last, columns))
    return Chart([*lines, (f"{'':{margin}} {corner}", floor * columns), ends], omitted)


def _place(bucket: Mapping[str, Any], log: bool) -> _Place:
    numbers = [_number(bucket.get(key)) for key in ("min", "max", "last")]
    return _Place(
        int(bucket["step"]), *(None if log and number is not None and number <= 0 else number for number in numbers)
    )


def _number(value: object) -> float | None:
    """A finite one; of what a server says, anything else is none."""
    if not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _half(value: float) -> float:
    """The range of huge numbers would overflow."""
    return value / 2


def _fraction(low: float, high: float) -> Callable[[float], float]:
    """How far between the two a value is, from 0 to 1; all are in the middle where these are equal."""
    if low == high:
        return lambda value: _MIDDLE
    return lambda value: min(1.0, max(0.0, (value - low) / (high - low)))


def _labels(low: float, high: float, height: int, log: bool) -> list[str]:
    """The values at the top, in the middle and at the bottom, with as many digits as tell them apart."""
    labels = [""] * height
    dots, middle = _ROWS * height - 1, (height - 1) // 2
    if low == high:
        labels[height - 1 - round(_MIDDLE * dots) // _ROWS] = f"{low:.6g}"
        return labels
    part = (_ROWS * (height - 1 - middle) + (_ROWS - 1) / 2) / dots  # of the way up
    between = low ** (1 - part) * high**part if log else low * (1 - part) + high * part
    values = (high, min(max(between, low), high), low)
    words: list[str] = []
    for digits in range(_DIGITS_MIN, _DIGITS_MAX + 1):
        words = [f"{value:.{digits}g}" for value in values]
        if len(set(words)) == len(words):
            break
    for row, word in zip((0, middle, height - 1), words, strict=True):
        labels[row] = word
    return labels


def _ends(first: int, last: int, columns: int) -> str:
    """The steps below the axis."""
    if first == last:
        return str(first).center(columns).rstrip()
    apart = columns - len(str(first)) - len(str(last))
    return f"{first}{' ' * apart}{last}" if apart > 0 else f"{first} to {last}"


def _draw(
    places: Sequence[_Place],
    across: Callable[[float], float],
    upward: Callable[[float], float],
    columns: int,
    height: int,
) -> list[str]:
    from plotille import Canvas

    canvas = Canvas(columns, height)  # from 0 to 1 both ways; 1 itself is outside
    right, top = 1 - 0.5 / columns, 1 - 1 / (_ROWS * height)
    before: tuple[float, float] | None = None
    for place in places:
        x = across(place.step) * right
        ends = [upward(value) * top for value in (place.low, place.high) if value is not None]
        if ends:
            canvas.line(x, ends[0], x, ends[-1])
        if place.last is None:
            before = None
            continue
        point = (x, upward(place.last) * top)
        canvas.line(*(before or point), *point)
        before = point
    return str(canvas.plot(linesep="\n")).split("\n")


def _omitted(buckets: Sequence[Mapping[str, Any]], places: Sequence[_Place]) -> str:
    """How much of it has no place on the scale."""
    strange = sum(_number(bucket.get("last")) is None for bucket in buckets)
    below = sum(place.last is None for place in places) - strange
    each = "points" if all(bucket.get("count", 1) == 1 for bucket in buckets) else "buckets"
    words = ((strange, "no finite numbers"), (below, "not above 0"))
    return "; ".join(f"{count} of {len(buckets)} {each} are {what}" for count, what in words if count)


def _in_ascii(character: int) -> str:
    rows = [row for row, bits in enumerate(_ROW_BITS) if character & bits]
    if not rows:
        return " "
    if rows[-1] - rows[0] > 1:
        return "|"
    return "'" if rows[-1] == 0 or rows == [0, 1] else "." if rows[0] > 1 and rows[-1] == _ROWS - 1 else "-"


_ASCII = {_BRAILLE + character: _in_ascii(character) for character in range(256)}
