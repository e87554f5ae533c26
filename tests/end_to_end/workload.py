"""What a program of these tests logs, and whether the server holds it: four threads, six names, values of every kind.

A call is (thread, number); name, value and step follow from it, and it can be read back from value and step. How many
calls of each thread have returned stands in a *ledger*, a shared mapping that the program's death leaves as it is.
``python workload.py LEDGER CALLS`` logs that many in all; with ``wait`` it then waits for its standard input to end.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import threading
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

THREADS = 4
NAMES = ["float with step", "float", "text", "dict", "nan with step", "numpy"]
_STRIDE = 10_000_000
_COUNT = struct.Struct("<q")


def name_of(thread: int, number: int) -> str:
    return NAMES[(number + thread) % len(NAMES)]


def metric(thread: int, number: int) -> tuple[str, Any, int | None]:
    """A call's arguments."""
    import numpy

    name, code = name_of(thread, number), thread * _STRIDE + number
    odd = number // len(NAMES) % 2
    if name == "float with step":
        return name, code + 0.5, code
    if name == "float":
        return name, code + 0.5, None
    if name == "text":
        return name, f"{thread}:{number} ‰", None if odd else code
    if name == "dict":
        return name, {"thread": thread, "number": number, "more": [None, float("inf")]}, code
    if name == "nan with step":
        return name, float("nan") if odd else float("-inf"), code
    return name, numpy.int64(code) if odd else numpy.float64(code), None


def call_of(name: str, value: Any, step: int) -> tuple[int, int]:
    """The call that a stored metric comes from; its value and step must be what was logged."""
    if name in ("float with step", "float"):
        code = round(value - 0.5)
    elif name == "text":
        thread, number = map(int, value.removesuffix(" ‰").split(":"))
        code = thread * _STRIDE + number
    elif name == "dict":
        code = value["thread"] * _STRIDE + value["number"]
        assert value["more"] == [None, "Infinity"]
    else:
        code = step if name == "nan with step" else int(value)
    call = divmod(code, _STRIDE)
    logged_name, logged, logged_step = metric(*call)
    if name != "dict":
        assert (name, repr(value)) == (logged_name, repr(_as_json(logged)))
    assert logged_step in (None, step)
    return call


def _as_json(value: Any) -> Any:
    item = getattr(value, "item", None)
    return value if item is None else item()


class Ledger:
    """How many calls of each thread have returned."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(THREADS * _COUNT.size))
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), THREADS * _COUNT.size)

    def returned(self, thread: int, calls: int) -> None:
        _COUNT.pack_into(self._memory, thread * _COUNT.size, calls)

    def calls(self) -> list[int]:
        return [_COUNT.unpack_from(self._memory, thread * _COUNT.size)[0] for thread in range(THREADS)]


def check(stored: Sequence[tuple[str, Any, int]], returned: Sequence[int], unique: bool = True) -> int:
    """That each returned call is stored, in order per name and thread; how many are stored more than once.

    A call that was in flight in a thread when it died may be there or not.
    """
    extras = 0
    lines: dict[tuple[str, int], list[int]] = {(name, thread): [] for name in NAMES for thread in range(THREADS)}
    for name, value, step in stored:
        thread, number = call_of(name, value, step)
        lines[name, thread].append(number)
    for (name, thread), numbers in lines.items():
        expected = [number for number in range(returned[thread]) if name_of(thread, number) == name]
        found = [number for number, _ in groupby(numbers)]
        extras += len(numbers) - len(found)
        if found[len(expected) :] == [returned[thread]]:
            found.pop()
        assert found == expected, (name, thread, len(found), len(expected))
    assert extras == 0 or not unique, f"{extras} twice"
    return extras


def check_steps(stored: Sequence[tuple[str, Any, int]]) -> None:
    """That metrics without a step were numbered on arrival."""
    for name in ("float", "numpy"):
        assert [step for other, _, step in stored if other == name] == list(range(sum(m[0] == name for m in stored)))


def _main() -> None:
    import steplog

    ledger, calls = Ledger(Path(sys.argv[1])), int(sys.argv[2])
    if "attach" in sys.argv:
        run = steplog.attach(os.environ["RUN_UUID"], owner=True)
    else:
        run = steplog.init("team", os.environ["PROJECT"], os.environ["RUN_NAME"])

    def work(thread: int) -> None:
        for number in range(calls // THREADS):
            run.log(*metric(thread, number))
            ledger.returned(thread, number + 1)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if "wait" in sys.argv:
        sys.stdin.read()
    report = run.finish()
    print(
        report.logged,
        report.delivered,
        report.pending,
        report.ambiguous,
        report.abandoned,
        sum(report.dropped.values()),
    )


if __name__ == "__main__":
    _main()
