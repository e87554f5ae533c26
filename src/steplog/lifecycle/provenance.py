"""The owner's provenance, collected once ``init`` has returned, and logged as any edit of the run: ``steplog/run``.

A thread collects it, which imports nothing and starts no process: a thread that imports while the program forks leaves
the child an import lock that nobody releases, and a child process of ours would be the program's to wait for. Nothing
is read before ``init`` has returned, which an object tells that goes with the frame of ``init``: to look at the frames
of another thread can crash CPython 3.11 (python/cpython#111363).

What was collected of the same directories ``RECENT_S`` ago or less serves again: a process may begin hundreds of runs.

The end of a run waits for it ``PATIENCE_S`` at most: a run of a second has it, and a directory that does not answer
costs no more. Whoever comes first, the end or the record, decides whether it is logged; nothing is logged after the
end, where it would count as a value that was not taken.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from steplog.journal.reserved import RUN_NAME
from steplog.machine.provenance import collect, sources
from steplog.reentrant_lock import ReentrantLock
from steplog.secret import scrubbed

__all__ = ["PATIENCE_S", "RECENT_S", "Collection", "Returning"]

PATIENCE_S = 0.5
RECENT_S = 10.0
_RETURN_MAX_S = 60.0


class Returning:
    """Held by one local variable alone: ``returned`` is set when its function returns."""

    def __init__(self) -> None:
        self.returned = threading.Event()

    def __del__(self) -> None:
        self.returned.set()


class Collection:
    """Of one run; ``log`` is the run's. Begins once ``returned`` is set."""

    def __init__(self, log: Callable[[str, Any], object], returned: threading.Event) -> None:
        self._log = log
        self._returned = returned
        self._decided: dict[int, str] = {}  # under 0: whether the record or the end came first
        self._thread = threading.Thread(target=self._collect, name="steplog-provenance", daemon=True)
        with suppress(RuntimeError):  # no thread can be started here: it is not collected
            self._thread.start()

    def end(self) -> None:
        """The run ends: let it be logged now, or never. Safe in a signal handler, and in a forked child."""
        if self._thread.is_alive():
            with suppress(KeyboardInterrupt):
                self._thread.join(PATIENCE_S)
        if self._decided.setdefault(0, "end") == "record" and self._thread.is_alive():
            with suppress(KeyboardInterrupt):
                self._thread.join(PATIENCE_S)

    def _collect(self) -> None:
        self._returned.wait(_RETURN_MAX_S)
        try:
            found = _recent.get()
        except Exception:  # noqa: BLE001 - a thread without anybody to tell; the run goes on without
            return
        if self._decided.setdefault(0, "record") == "record":
            with suppress(Exception):  # the disk, or the end of the interpreter
                self._log(RUN_NAME, {"provenance": found})


class _Recent:
    """What was collected last."""

    def __init__(self) -> None:
        self._lock = ReentrantLock()
        self._until = 0.0
        self._of: list[str] = []
        self._found: dict[str, object] = {}

    def get(self) -> dict[str, object]:
        """It, or what is collected now."""
        with self._lock:
            if self._of != (of := sources()) or time.monotonic() >= self._until:
                self._of, self._found = of, _scrubbed(collect())
                self._until = time.monotonic() + RECENT_S
            return self._found


_recent = _Recent()


def _after_fork_in_child() -> None:
    global _recent
    _recent = _Recent()  # its lock may be held, and the process is another one


os.register_at_fork(after_in_child=_after_fork_in_child)


def _scrubbed(found: dict[str, object]) -> dict[str, object]:
    """Without the keys of this process, whatever their form."""
    return {name: scrubbed(value, os.environ) if isinstance(value, str) else value for name, value in found.items()}
