"""The doorbell: a process that does not deliver a run tells the agent that it waits.

A file in the run's directory in shared memory. Ringing sets its modification time, which the agent looks at 20 times a
second while other processes write. Nobody keeps it open. A ring may be missed: whoever waits rings again.
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
        self._heard = 0

    def ring(self) -> None:
        """Tell the agent. Never raises."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            descriptor = open_private(self._path, os.O_WRONLY | os.O_CREAT)
            try:
                os.utime(descriptor, ns=(time.time_ns(),) * 2)
            finally:
                os.close(descriptor)

    def rung(self) -> bool:
        """Whether it was rung since the last call."""
        if self._path is None:
            return False
        try:
            found = os.stat(self._path, follow_symlinks=False).st_mtime_ns
        except OSError:
            return False
        before, self._heard = self._heard, found
        return found != before
