"""The loop: one input after the other until time or count is over, each within a bound of processor time."""

from __future__ import annotations

import hashlib
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from fuzz.targets import TARGETS, Target

__all__ = ["FOUND", "INPUT_CPU_S_MAX", "Finding", "check", "found_inputs", "fuzz", "input_of", "until"]

FOUND = Path(__file__).parent / "found"
INPUT_CPU_S_MAX = 10.0  # of one input, which has some kilobytes; thousands of times what one takes


class TooSlowError(Exception):
    """An input took longer than any may."""


class Finding(NamedTuple):
    """An input that showed a fault."""

    target: str
    number: int
    data: bytes
    reason: str

    @property
    def file_name(self) -> str:
        """As it is saved, to be a regression test."""
        return f"{self.target}-{hashlib.sha256(self.data).hexdigest()[:12]}"


def input_of(target: Target, name: str, seed: int, number: int) -> bytes:
    """The input with this number; each can be made alone."""
    random = Random(f"{seed} {name} {number}")
    data = target.sample(random)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        try:
            data = target.mistaken(random, data)
        except Exception:  # noqa: BLE001 - too far from the structure for one more mistake
            break
    return data


@contextmanager
def _bounded() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlowError(f"more than {INPUT_CPU_S_MAX:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, INPUT_CPU_S_MAX)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def check(name: str, data: bytes) -> None:
    """One input. Raises what is wrong with what was made of it."""
    with _bounded():
        TARGETS[name].check(data)


def fuzz(name: str, seed: int, stop: Callable[[int], bool]) -> tuple[int, Finding | None]:
    """Try inputs of one target until one shows a fault or ``stop``, given how many were tried, says so."""
    number = 0
    while not stop(number):
        data = input_of(TARGETS[name], name, seed, number)
        try:
            check(name, data)
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            return number + 1, Finding(name, number, data, traceback.format_exc())
        number += 1
    return number, None


def until(seconds: float) -> Callable[[int], bool]:
    """For ``fuzz``: stop after so long."""
    end = time.monotonic() + seconds
    return lambda number: time.monotonic() >= end


def found_inputs() -> list[Path]:
    """What was found before."""
    return sorted(FOUND.iterdir()) if FOUND.is_dir() else []
