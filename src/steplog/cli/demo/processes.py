"""The demo's processes, from the side of the demo: starting them, hearing them, ending them.

Only processes that were started here are ended, by their own handle. Each is in a session of its own, so that a
Ctrl-C reaches the demo alone, and each dies with the demo (see ``child``).
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import steplog
from steplog.errors import SteplogError

__all__ = ["Child", "ChildError", "environment"]

_STOP_S = 10.0
_OURS = ("STEPLOG_", "TELLURIO_")


class ChildError(SteplogError):
    """A process of the demo did not do what it was to do."""


class Child:
    """One process; ``errors`` is where it writes what it has to complain of."""

    def __init__(
        self, name: str, kind: str, given: Mapping[str, Any], home: Path, variables: Mapping[str, str]
    ) -> None:
        self.name = name
        self.errors = home / f"{name}.err"
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        with open(self.errors, "ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "steplog.cli.demo.child", kind, json.dumps(given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=home,
                env=variables,
                start_new_session=True,
            )
        self._ears = threading.Thread(target=self._hear, name=f"demo-{name}", daemon=True)
        self._ears.start()

    def _hear(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as said:
                for line in said:
                    self._lines.put(line.decode())
        self._lines.put("")

    def said(self) -> dict[str, Any] | None:
        """The next line that it has said, if there is one. Raises ChildError where there will be none."""
        try:
            line = self._lines.get_nowait()
        except queue.Empty:
            return None
        if not line:
            self._process.wait(_STOP_S)
            raise ChildError(f"the demo's {self.name} has ended: {self._last_words()}")
        said: dict[str, Any] = json.loads(line)
        return said

    def _last_words(self) -> str:
        lines = self.errors.read_text("utf-8", "replace").strip().splitlines()
        return f"exit code {self._process.wait(_STOP_S)}{f', {lines[-1]}' if lines else ''}"

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._close()

    def release(self) -> None:
        """Let it end by itself."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(b"\n")
                self._process.stdin.flush()

    def end(self, number: int | None = None) -> None:
        """Have it end, with a signal if one is given; with SIGKILL if it does not."""
        if number is not None and self.alive:
            self._process.send_signal(number)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        self._ears.join(_STOP_S)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def environment(**more: str) -> dict[str, str]:
    """What the children see: nothing of what is set here for steplog, and this very steplog."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    root = Path(steplog.__file__).absolute().parents[1]
    paths = [os.path.abspath(path) for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path]
    if root.name not in ("site-packages", "dist-packages"):
        paths.insert(0, str(root))
    return kept | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {}) | more
