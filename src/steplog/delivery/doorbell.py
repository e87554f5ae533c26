"""The bell: somebody waits for a run in a process that does not deliver it, and the agent is to know at once.

A file in the run's directory in shared memory. To ring is to set its time of change; the agent looks at that time, 20
times a second while other processes write. Neither keeps it open, so that it may be removed and made again. A ring may
be missed, in the same moment as another one or while the file is away: whoever waits goes on ringing.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

__all__ = ["HEARD_INTERVAL_S", "RING_INTERVAL_S", "Doorbell"]

HEARD_INTERVAL_S = 0.05  # between two looks of the agent, while another process writes
RING_INTERVAL_S = 0.25
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Doorbell:
    """Of the run whose directory in shared memory this is; None where there is none: it stays silent."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / "bell"
        self._heard = 0

    def ring(self) -> None:
        """Somebody waits. Raises nothing."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, _FLAGS, 0o600)
            try:
                os.utime(descriptor, ns=(time.time_ns(),) * 2)
            finally:
                os.close(descriptor)

    def rung(self) -> bool:
        """Whether it was rung since this was asked last."""
        if self._path is None:
            return False
        try:
            found = os.stat(self._path, follow_symlinks=False).st_mtime_ns
        except OSError:
            return False
        before, self._heard = self._heard, found
        return found != before
