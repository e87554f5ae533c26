"""The doorbell: a process that does not deliver a run tells the agent that it waits.

A file in the run's directory in shared memory. Ringing sets its modification time, which the agent looks at 20 times a
second while other processes write. Nobody keeps it open. A ring may be missed: whoever waits rings again. The access
time says when the ``finish`` that waits began, 0 for a ``flush``. Each ``finish`` is worth one attempt, whatever was
decided before.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from steplog.private_files import open_private

__all__ = ["HEARD_INTERVAL_S", "RING_INTERVAL_S", "Doorbell"]

HEARD_INTERVAL_S = 0.05  # between two looks of the agent, while another process writes
RING_INTERVAL_S = 0.25


class Doorbell:
    """Of the run with this directory in shared memory; None: there is none, and it never rings."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / "bell"
        self.ends = False  # the last ring was the first one of a ``finish``
        self._heard = self._ended = 0

    def ring(self, ended_ns: int = 0) -> None:
        """Tell the agent; ``ended_ns``: when ``finish`` was called. Never raises."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            descriptor = open_private(self._path, os.O_WRONLY | os.O_CREAT)
            try:
                os.utime(descriptor, ns=(ended_ns, time.time_ns()))
            finally:
                os.close(descriptor)

    def rung(self) -> bool:
        """Whether it was rung since the last call."""
        if self._path is None:
            return False
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return False
        before, self._heard = self._heard, found.st_mtime_ns
        ended, self._ended = self._ended, max(self._ended, found.st_atime_ns)
        self.ends = self._ended > ended
        return self._heard != before
