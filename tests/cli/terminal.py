"""A program on a terminal of its own, of a given size, and what it prints there."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import NamedTuple

from server.process import DEADLINE_S, SOURCES

__all__ = ["Shown", "environment", "on_terminal"]


class Shown(NamedTuple):
    """What stands on the terminal, line breaks as in files, and the exit code."""

    text: str
    code: int


def environment(directory: Path, **more: str) -> dict[str, str]:
    """Nothing configured, a directory of its own, and whatever else is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STEPLOG_", "TELLURIO_"))}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        kept.pop(name, None)
    own = {"PYTHONPATH": str(SOURCES), "STEPLOG_DIR": str(directory), "STEPLOG_MEMORY_DIR": str(directory / "memory")}
    return kept | own | {"TERM": "xterm-256color"} | more


def on_terminal(arguments: list[str], variables: dict[str, str], *, columns: int = 80, answer: str = "") -> Shown:
    """Run ``steplog`` there; ``answer`` is typed once something was printed that ends in ``]: ``."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "steplog", *arguments]
    program = subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=variables,
        start_new_session=True,
    )
    os.close(terminal)
    said, deadline = b"", time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < deadline:
            if not select.select([screen], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(screen, 65_536)
            except OSError as error:
                if error.errno != errno.EIO:  # Linux: the program has closed it
                    raise
                break
            if not piece:
                break
            said += piece
            if answer and said.endswith(b"]: "):
                os.write(screen, answer.encode())
                answer = ""
        code = program.wait(DEADLINE_S)
    finally:
        program.kill()
        program.wait()
        os.close(screen)
    return Shown(said.decode().replace("\r\n", "\n"), code)
