"""A headless Chromium of its own, spoken to over two pipes (the DevTools protocol).

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

# The shell is the same engine in fewer processes: it starts in a third of the time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
DEADLINE_S = 60.0
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]

NAVIGATED = ("Inspected target navigated or closed", "Cannot find context with specified id")


class NavigatedError(AssertionError):
    """The page was left while it was asked."""


class DevTools:
    """A browser's process with one page, and calls to it; a context manager. ``_note`` gets each event.

    ``switches`` are added to its command line.
    """

    def __init__(self, profile: Path, *switches: str) -> None:
        assert CHROMIUM is not None
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        # Copies out of the way first: 3 and 4 may be what they are to become.
        high = [os.dup(fd) for fd in (theirs_in, theirs_out)]
        while min(high) < 5:
            high = [os.dup(fd) for fd in high]

        def arrange() -> None:
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            [CHROMIUM, *ARGUMENTS, *switches, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=arrange,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in {theirs_in, theirs_out, *high}:
            os.close(fd)
        self._numbers = itertools.count(1)
        self._buffer = bytearray()
        self._session: str | None = None
        self.context: str | None = None
        self.renew()

    def renew(self) -> None:
        """Go on with a new page and an empty profile: what the last one kept is gone, cookies too."""
        self._session = None
        if self.context is not None:
            self.call("Target.disposeBrowserContext", browserContextId=self.context)
        self.context = self.call("Target.createBrowserContext")["browserContextId"]
        self._open()

    def _open(self) -> None:
        created = self.call("Target.createTarget", url="about:blank", browserContextId=self.context)
        target = created["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self._session = None
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    @contextlib.contextmanager
    def another_tab(self) -> Iterator[None]:
        """Run the block in a tab of its own; the first one stays open."""
        first = self._session
        self._session = None
        self._open()
        try:
            yield
        finally:
            self.call("Page.close")
            self._session = first

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; returns the result."""
        number = self.tell(method, **parameters)
        end = time.monotonic() + DEADLINE_S
        while True:
            heard = self._hear(end)
            if heard.get("id") == number:
                if heard.get("error", {}).get("message") in NAVIGATED:
                    raise NavigatedError(method, parameters)
                assert "error" not in heard, (method, heard["error"])
                result: dict[str, Any] = heard["result"]
                return result
            self._note(heard)

    def tell(self, method: str, **parameters: Any) -> int:
        """Send a command and go on; returns its number."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return number

    def _hear(self, end: float) -> dict[str, Any]:
        searched = 0
        while (at := self._buffer.find(b"\0", searched)) < 0:
            searched = len(self._buffer)
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            piece = os.read(self._from, 1 << 20) if ready else b""
            assert piece, "the browser does not answer"
            self._buffer += piece
        heard: dict[str, Any] = json.loads(bytes(self._buffer[:at]))
        del self._buffer[: at + 1]
        return heard

    def _note(self, heard: dict[str, Any]) -> None:
        """Take an event."""
        raise NotImplementedError
