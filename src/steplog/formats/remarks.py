"""What is said of a source once it is read: what is left out, and where reading ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

__all__ = ["Reading", "remarks_on"]


class Reading(Protocol):
    """One reading of a file."""

    damage: str | None
    is_cut: bool


def remarks_on(why: str, left_out: Mapping[str, int], readings: Mapping[str, Reading]) -> list[str]:
    """A line for what is left out, by kind, and a line for each file, by name, that was not read to its end."""
    counts = ", ".join(f"{kind} ({count:,})" for kind, count in sorted(left_out.items()))
    lines = [f"left out, since {why}: {counts}"] if counts else []
    for name, reading in readings.items():
        if reading.damage is not None:
            then = "another import takes what comes yet" if reading.is_cut else "what follows is left out"
            lines.append(f"{name}: {reading.damage}; {then}")
    return lines
