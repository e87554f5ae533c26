"""What another logger's calls ask for and steplog cannot keep: counted, and said once, with what to do.

::

    steplog: not recorded, or not whole:
    steplog:   wandb.watch() (once): gradients are not read; log what you need: run.log({"grad_norm": …})

1. It is said when a run ends (``tell``), else when the process does, at exit or by SIGTERM. A forked child says its
   own.
2. The counts are also the active run's metric ``compat/unsupported``, so that whoever reads the run sees what it lacks.
   It is logged whenever one of them has doubled, so that a killed run has it too, and when the run ends.
3. At most 100 kinds are told apart; a name of the user's does not belong in ``what``.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from steplog.reentrant_lock import ReentrantLock

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["KINDS_MAX", "METRIC", "OTHERS", "Unsupported", "unsupported"]

METRIC = "compat/unsupported"
KINDS_MAX = 100
OTHERS = "other calls"


class Unsupported:
    """The counts of a process, by what was asked for. Safe in any thread, and in a signal handler."""

    def __init__(self) -> None:
        self._advice: dict[str, str] = {}
        self.forget()

    def forget(self) -> None:
        """Count anew, as a forked child does."""
        self._lock = ReentrantLock()
        self._counts: dict[str, int] = {}
        self._logged: tuple[Run, dict[str, int]] | None = None  # where, and what, last

    def note(self, what: str, advice: str) -> None:
        """Count one call, such as ``wandb.watch()``; ``advice`` says what is lost and what to do, in one line."""
        with self._lock:
            count = self._counts.get(what, 0) + 1
            if count == 1 and len(self._counts) >= KINDS_MAX:
                what, advice, count = OTHERS, "of more kinds than are told apart", self._counts.get(OTHERS, 0) + 1
            self._counts[what] = count
            if count & (count - 1):
                return
            self._advice[what] = advice
        from steplog.safeguard import before_end  # late, as below: who only imports a module counts nothing

        before_end(self.tell)
        self._log(None, self.counts())

    def counts(self) -> dict[str, int]:
        """How often, since it was said last."""
        with self._lock:
            return dict(self._counts)

    def tell(self, run: Run | None = None) -> None:
        """Say what was counted since the last time, and log it to ``run``, which is about to end. Never raises.

        ``run`` is the active one by default.
        """
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return
        self._log(run, counts)
        self._logged = None
        with suppress(Exception):
            from steplog.lifecycle.messages import say
            from steplog.settings import resolve

            quiet = resolve().quiet
            say(quiet, logging.WARNING, "not recorded, or not whole:")
            for what, count in counts.items():
                times = "once" if count == 1 else f"{count:,} times"
                say(quiet, logging.WARNING, f"  {what} ({times}): {self._advice[what]}")

    def _log(self, run: Run | None, counts: dict[str, int]) -> None:
        with suppress(Exception):  # there is no run, or it is over
            if run is None:
                from steplog import get_active_run

                run = get_active_run()
            if self._logged != (run, counts):
                run.log(METRIC, counts)
                self._logged = run, counts


unsupported = Unsupported()
os.register_at_fork(after_in_child=unsupported.forget)
