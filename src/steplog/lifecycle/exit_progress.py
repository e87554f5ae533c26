"""What is shown while a run or the program ends, and how long a silent server is waited for.

A terminal shows one line, from ``SHOW_AFTER_S`` on; the log gets one every ``LOG_INTERVAL_S``. A server that has been
silent for ``SILENT_S`` is waited for ``SILENT_EXIT_S`` more.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from steplog.delivery.agent import Progress
from steplog.printable import printable

__all__ = ["LOG_INTERVAL_S", "SHOW_AFTER_S", "SILENT_EXIT_S", "SILENT_S", "ExitProgress"]

SHOW_AFTER_S = 1.0
LOG_INTERVAL_S = 10.0
SILENT_S = 10.0
SILENT_EXIT_S = 5.0
_MIB = 1024 * 1024
_SENT = "all records are sent, its status is not yet"
_CLEAR = "\r\x1b[K"
_log = logging.getLogger("steplog")


class ExitProgress:
    """For waits one after the other; ``whatever``: silent servers are waited for, too.

    ``clock`` is monotonic, in seconds; ``screen`` may be a terminal.
    """

    def __init__(
        self, *, whatever: bool = False, clock: Callable[[], float] = time.monotonic, screen: TextIO | None = None
    ) -> None:
        self._whatever = whatever
        self._clock = clock
        stream = sys.stderr if screen is None else screen
        self._screen = stream if _is_terminal(stream) else None
        self._show_at = clock() + SHOW_AFTER_S
        self._log_at = clock() + LOG_INTERVAL_S
        self._shown = False
        self._leave_at: dict[str, float] = {}  # by server

    def watch(self, name: str, server: str, quiet: bool, look: Callable[[], Progress]) -> Callable[[], bool]:
        """Return a function for the waiter: call it often, and wait on while it returns True."""
        begun, at_first = self._clock(), look()

        def goes_on() -> bool:
            now, seen = self._clock(), look()
            if not quiet:
                self._tell(now, name, _rest(at_first, seen, now - begun), seen.why())
            return self._whatever or not self._leaves(now, server, seen.silent_s)

        return goes_on

    def _leaves(self, now: float, server: str, silent_s: float) -> bool:
        if silent_s < SILENT_S:
            self._leave_at.pop(server, None)
            return False
        return now >= self._leave_at.setdefault(server, now + SILENT_EXIT_S)

    def _tell(self, now: float, run: str, rest: str, why: str | None) -> None:
        trouble = "" if why is None else f"; {why}"
        words = printable(f"steplog: run {run}: {rest}{trouble}")
        if self._screen is None:
            if now >= self._log_at:
                self._log_at = now + LOG_INTERVAL_S
                _log.warning("%s. Ctrl-C leaves the rest in the journal.", words)
        elif now >= self._show_at:
            width = max(20, shutil.get_terminal_size().columns - 1)
            self._write(f"{_CLEAR}{words[:width]}")

    def _write(self, text: str) -> None:
        self._shown = True
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # closed, or reentered
            if self._screen is not None:
                self._screen.write(text)
                self._screen.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            self._write(_CLEAR)
            self._shown = False


def _rest(first: Progress, seen: Progress, elapsed_s: float) -> str:
    """What is left, and how fast it becomes less."""
    seconds = max(elapsed_s, 0.001)
    files = "1 file" if seen.files == 1 else f"{seen.files:,} files"
    if seen.left or not seen.files:
        left = "1 record" if seen.left == 1 else f"{seen.left:,} records"
        rate = max(0, first.left - seen.left) / seconds if elapsed_s > 0 else 0.0
        more = f" and {files}" if seen.files else ""
        return f"{left}{more} left, {rate:,.0f} a second" if seen.left else _SENT
    mib = seen.file_bytes / _MIB
    rate = max(0, first.file_bytes - seen.file_bytes) / _MIB / seconds
    return f"{files} left, {mib:,.1f} MiB, {rate:,.1f} MiB a second"


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
