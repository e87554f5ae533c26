"""The controls for ``log``: appending to a deque, and an empty function."""

from __future__ import annotations

import time
from collections import deque
from time import perf_counter_ns
from typing import Any

__all__ = ["Floor", "Noop", "timed"]


class Floor:
    """The cheapest way to keep a record."""

    def __init__(self) -> None:
        self.records: deque[tuple[Any, ...]] = deque()

    def log(self, name: str, value: Any, step: int | None = None, client: object = None) -> None:
        self.records.append((name, value, step, time.time_ns()))


class Noop:
    """An empty function of the same signature."""

    def log(self, name: str, value: Any, step: int | None = None, client: object = None) -> None:
        pass


def timed(run: Any, names: list[str], steps: range, values: list[float]) -> list[int]:
    """The duration in ns, timer included, of each step that logs one value under each name."""
    took = []
    if len(names) == 1:
        (name,) = names
        for step in steps:
            value = values[step & 4095]
            begun = perf_counter_ns()
            run.log(name, value, step)
            took.append(perf_counter_ns() - begun)
        return took
    for step in steps:
        value = values[step & 4095]
        begun = perf_counter_ns()
        for name in names:
            run.log(name, value, step)
        took.append(perf_counter_ns() - begun)
    return took
