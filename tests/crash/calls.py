"""The calls that a victim makes: what is logged follows from (thread, number), and can be read back from the store.

Every value carries its call. Floats, integers, JSON, values of some kilobytes and now and then of a hundred, names that
all threads share and names that are new every few dozen calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

THREADS = 4
STRIDE = 10_000_000
NAMES = ["loss", "accuracy", "steps", "state", "text", "unnumbered"]
NEW_NAME_CALLS = 40
_FILLER = "0123456789abcdef ‰"


def call(thread: int, number: int) -> tuple[str, Any, int | None]:
    """The arguments of ``log``."""
    code = thread * STRIDE + number
    turn = number % 16
    if turn == 15:
        return f"new/{thread}/{number // NEW_NAME_CALLS}", code + 0.5, number
    name = NAMES[turn % len(NAMES)]
    if name in ("loss", "accuracy"):
        return name, code + 0.25, number
    if name == "steps":
        return name, code, number
    if name == "state":
        return name, {"code": code, "more": [None, 1.5, "ü"]}, number
    if name == "text":
        return name, _text(code), None if turn < 8 else number
    return name, code + 0.125, None


def _text(code: int) -> str:
    number = code % STRIDE
    if number % 960 == 4:
        return f"{code}:" + _FILLER * 5000
    return f"{code}:" + _FILLER * (number % 7 * 20)


def call_of(name: str, value: Any) -> tuple[int, int] | None:
    """The call that a stored value comes from, if it says so."""
    if isinstance(value, dict):
        value = value.get("code")
    elif isinstance(value, str):
        value = value.partition(":")[0]
    try:
        return divmod(int(value), STRIDE)
    except (TypeError, ValueError):
        return None


@dataclass
class Verdict:
    """What a comparison came to."""

    returned: int = 0
    stored: int = 0
    in_flight: int = 0  # stored, and had not returned
    excluded: int = 0  # returned and not stored, but counted as dropped or made without shared memory: not in ``lost``
    lost: list[tuple[int, int]] = field(default_factory=list)
    twice: list[tuple[int, int]] = field(default_factory=list)
    wrong: list[tuple[str, Any, int]] = field(default_factory=list)
    unordered: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is amiss."""
        return not (self.lost or self.twice or self.wrong or self.unordered)

    def __str__(self) -> str:
        counts = ", ".join(
            f"{name} {len(found)} {found[:3]!s:.300}" for name, found in vars(self).items() if isinstance(found, list)
        )
        return f"{self.returned} returned, {self.stored} stored, {self.in_flight} in flight; {counts}"


def totals(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """What must be zero, over many."""
    return {
        "lost": sum(len(verdict.lost) for verdict in verdicts),
        "twice": sum(len(verdict.twice) for verdict in verdicts),
        "wrong": sum(len(verdict.wrong) for verdict in verdicts),
        "out_of_order": sum(len(verdict.unordered) for verdict in verdicts),
    }


def compare(
    stored: Sequence[tuple[str, Any, int]], returned: Sequence[int], unsure: Sequence[set[int]] = ((),) * THREADS
) -> Verdict:
    """What the server holds of a run, in the order of arrival, against the calls that returned.

    A call that was in flight may be there or not, and so may those that are ``unsure``: the run may have counted them
    as dropped, or they were made without shared memory.
    """
    verdict = Verdict(returned=sum(returned), stored=len(stored))
    seen: list[set[int]] = [set() for _ in range(THREADS)]
    last: dict[tuple[str, int], int] = {}
    for name, value, step in stored:
        found = call_of(name, value)
        if found is None or not 0 <= found[0] < THREADS or not _is(found, name, value, step):
            verdict.wrong.append((name, value if not isinstance(value, str) else value[:40], step))
            continue
        thread, number = found
        if number > returned[thread]:
            verdict.wrong.append((name, value, step))
        verdict.in_flight += number == returned[thread]
        if number in seen[thread]:
            verdict.twice.append(found)
        elif number < last.get((name, thread), -1):
            verdict.unordered.append((name, thread, number))
        seen[thread].add(number)
        last[name, thread] = number
    for thread in range(THREADS):
        absent = set(range(returned[thread])) - seen[thread]
        missing = absent - set(unsure[thread])
        verdict.excluded += len(absent) - len(missing)
        verdict.lost += [(thread, number) for number in sorted(missing)]
    return verdict


def _is(found: tuple[int, int], name: str, value: Any, step: int) -> bool:
    logged, expected, given = call(*found)
    same = type(value) is type(expected) and value == expected
    return name == logged and same and (given is None or step == given)
