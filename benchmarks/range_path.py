"""How much code one delivered range passes: functions and files of steplog, by thread.

A program that logs ten records and waits for them is watched by ``threading.setprofile`` from before the agent's
threads start; what they call while the range is delivered is counted, each function once. Also counted: all calls, and
those of the busiest folder, so that a figure can be compared between commits.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import FrameType
from typing import Any

import steplog
from benchmarks.figure import Figure
from benchmarks.stage import Stage

__all__ = ["figures", "passed"]

GROUP = "range_path"
THREADS = ("sender", "maintenance")
OLD_NAMES = {"keeper": "maintenance"}  # of commits before the thread was renamed
D469039 = {"sender": 160, "maintenance": 122}  # counted so on CPython 3.11
SETTLE_S = 1.5


def figures(stage: Stage) -> Iterator[Figure]:
    """Functions passed by each thread, beside those of commit d469039."""
    with stage.server() as server:
        told = stage.child(passed, stage.environment(server))
    for thread in THREADS:
        found = told[thread]
        by_folder = ", ".join(f"{folder} {count}" for folder, count in sorted(found["folders"].items()))
        yield Figure(
            group=GROUP,
            name=f"{thread} thread",
            unit="functions",
            value=found["functions"],
            must=0.8 * D469039[thread],
            reach=0.5 * D469039[thread],
            note=f"{found['files']} files; {by_folder}; {found['calls']} calls; {D469039[thread]} on d469039",
        )


def passed() -> dict[str, dict[str, Any]]:
    """Functions, files and calls by thread, while ten records are delivered."""
    root = os.path.dirname(steplog.__file__) + os.sep
    calls: dict[str, Counter[tuple[str, str]]] = {}
    watching = False

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if watching and event == "call" and frame.f_code.co_filename.startswith(root):
            name = threading.current_thread().name.removeprefix("steplog-")
            where = frame.f_code.co_filename[len(root) :], f"{frame.f_code.co_name}:{frame.f_code.co_firstlineno}"
            calls.setdefault(OLD_NAMES.get(name, name), Counter())[where] += 1

    threading.setprofile(profile)
    run = steplog.init("bench", "range_path")
    for step in range(10):
        run.log("loss", 0.5, step)
    run.flush()
    time.sleep(SETTLE_S)
    watching = True
    for step in range(10, 20):
        run.log("loss", 0.5, step)
    time.sleep(2 * SETTLE_S)  # nobody waits: the range goes out by itself
    watching = False
    threading.setprofile(None)
    run.finish()
    return {thread: _counted(calls.get(thread, Counter())) for thread in THREADS}


def _counted(calls: Counter[tuple[str, str]]) -> dict[str, Any]:
    files = {file for file, _ in calls}
    folders = Counter(file.split(os.sep)[0] if os.sep in file else "top" for file, _ in calls)
    return {"functions": len(calls), "files": len(files), "calls": calls.total(), "folders": dict(folders)}
