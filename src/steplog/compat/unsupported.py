"""What another logger's calls ask for and steplog cannot keep: counted, and said once, with what to do.

::

    steplog: not recorded, since steplog has no counterpart of it:
    steplog:   wandb.watch() (once): gradients are not read; log what you need: run.log("grad_norm", …)

The counts are also the run's metric ``compat/unsupported``, a dict, so that whoever reads the run sees what it lacks.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import Counter
from contextlib import suppress

from steplog import Run
from steplog.lifecycle.messages import say
from steplog.settings import resolve

__all__ = ["METRIC", "Unsupported", "unsupported"]

METRIC = "compat/unsupported"


class Unsupported:
    """The counts of a process, by what was asked for. Safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._advice: dict[str, str] = {}
        self._hooked = False

    def note(self, what: str, advice: str) -> None:
        """Count one call, such as ``wandb.watch()``; ``advice`` says what is lost and what to do, in one line."""
        with self._lock:
            self._counts[what] += 1
            self._advice[what] = advice
            if not self._hooked:
                self._hooked = True
                atexit.register(self.tell)

    def counts(self) -> dict[str, int]:
        """How often, since it was said last."""
        with self._lock:
            return dict(self._counts)

    def tell(self, run: Run | None = None) -> None:
        """Say what was counted since the last time, and log it to ``run``, which is about to end. Never raises."""
        with self._lock:
            counts, self._counts = dict(self._counts), Counter()
        if not counts:
            return
        with suppress(Exception):
            quiet = resolve().quiet
            say(quiet, logging.WARNING, "not recorded, since steplog has no counterpart of it:")
            for what, count in counts.items():
                times = "once" if count == 1 else f"{count:,} times"
                say(quiet, logging.WARNING, f"  {what} ({times}): {self._advice[what]}")
        if run is not None:
            with suppress(Exception):
                run.log(METRIC, counts)


unsupported = Unsupported()
