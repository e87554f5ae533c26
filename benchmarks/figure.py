"""A figure: what was measured, beside what, and its target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Figure", "as_json", "as_table", "from_json", "over", "quantile", "short"]

NOTE_LENGTH_MAX = 60


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table; ``value`` None: not measured, ``note`` says why."""

    group: str
    name: str
    unit: str
    value: float | None
    low: float | None = None  # the quartiles over rounds
    high: float | None = None
    must: float | None = None
    reach: float | None = None
    more_is_better: bool = False
    note: str = ""
    beside: dict[str, float] = field(default_factory=dict)  # what was measured, in ns, for a picture

    @property
    def verdict(self) -> str:
        """``reach``, ``must``, ``short`` of both, or nothing without a target."""
        if self.value is None:
            return "not measured"
        for word, line in (("reach", self.reach), ("must", self.must)):
            if line is not None and (self.value >= line if self.more_is_better else self.value <= line):
                return word
        return "short" if self.must is not None or self.reach is not None else ""


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that at least the share ``q`` does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(q * len(ordered)) - 1))]


def over(
    rounds: Sequence[float],
    *,
    group: str,
    name: str,
    unit: str,
    must: float | None = None,
    reach: float | None = None,
    more_is_better: bool = False,
    note: str = "",
    beside: dict[str, float] | None = None,
) -> Figure:
    """The median and quartiles of several rounds; of one round, what it gave."""
    return Figure(
        group=group,
        name=name,
        unit=unit,
        value=quantile(rounds, 0.5),
        low=quantile(rounds, 0.25) if len(rounds) > 1 else None,
        high=quantile(rounds, 0.75) if len(rounds) > 1 else None,
        must=must,
        reach=reach,
        more_is_better=more_is_better,
        note=note,
        beside=beside or {},
    )


def as_json(figure: Figure) -> dict[str, Any]:
    """For a file; with the verdict, for whoever reads it without this module."""
    return asdict(figure) | {"verdict": figure.verdict}


def from_json(told: Mapping[str, Any]) -> Figure:
    """The figure of ``as_json``."""
    return Figure(**{name: value for name, value in told.items() if name != "verdict"})


def as_table(figures: Sequence[Figure]) -> str:
    """The figures of one group as a Markdown table; what is long to say beside a figure is a list below it."""
    rows = [("figure", "value", "quartiles", "must", "reach", "verdict", "beside")]
    below: dict[str, int] = {}
    for each in figures:
        sign = "≥ " if each.more_is_better else "≤ "
        note = each.note.replace("|", "/")
        if len(note) > NOTE_LENGTH_MAX:
            note = f"see {below.setdefault(note, len(below) + 1)}"
        rows.append(
            (
                each.name,
                f"{short(each.value)} {each.unit}".strip() if each.value is not None else "–",
                f"{short(each.low)} … {short(each.high)}" if each.low is not None else "",
                sign + short(each.must) if each.must is not None else "",
                sign + short(each.reach) if each.reach is not None else "",
                each.verdict,
                note,
            )
        )
    used = [column for column in range(len(rows[0])) if column < 2 or any(row[column] for row in rows[1:])]
    rows = [tuple(row[column] for column in used) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(used))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [f"{number}. {note}" for note, number in below.items()]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def short(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
