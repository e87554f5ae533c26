"""Headless Chromium over two pipes (the DevTools protocol), for the tests of the page.

``Browser`` starts with an empty profile and reaches this machine alone. It records each request, dialog, exception and
console message.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
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

from polling import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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


class NavigatedError(AssertionError):
    """The page was left while it was asked."""


class Browser:
    """A browser with one page; a context manager."""

    def __init__(self, profile: Path) -> None:
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
            [CHROMIUM, *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=arrange,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in {theirs_in, theirs_out, *high}:
            os.close(fd)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session: str | None = None
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.complaints: list[str] = []
        self._open()

    def _open(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

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

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; returns the result."""
        number = next(self._numbers)
        os.write(self._to, self._message(number, method, **parameters))
        end = time.monotonic() + DEADLINE_S
        while True:
            heard = self._hear(end)
            if heard.get("id") == number:
                if heard.get("error", {}).get("message") == "Inspected target navigated or closed":
                    raise NavigatedError(method, parameters)
                assert "error" not in heard, (method, heard["error"])
                result: dict[str, Any] = heard["result"]
                return result
            self._note(heard)

    def _message(self, number: int, method: str, **parameters: Any) -> bytes:
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        return json.dumps(message).encode() + b"\0"

    def _hear(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            piece = os.read(self._from, 1 << 20) if ready else b""
            assert piece, "the browser does not answer"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        heard: dict[str, Any] = json.loads(message)
        return heard

    def _note(self, heard: dict[str, Any]) -> None:
        event, told = heard.get("method"), heard.get("params", {})
        if event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event == "Page.javascriptDialogOpening":
            self.dialogs.append(told["message"])
            os.write(self._to, self._message(next(self._numbers), "Page.handleJavaScriptDialog", accept=True))
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(told["args"]))
        elif event == "Log.entryAdded":
            self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    def forget(self) -> None:
        """Clear what was recorded."""
        for kept in (self.requests, self.dialogs, self.complaints):
            kept.clear()

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

    def open(self, url: str) -> None:
        """Go to a URL, as if typed."""
        self.call("Page.navigate", url="about:blank")  # a new fragment alone would load nothing
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Evaluate a script in the page; returns JSON."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def submit(self, script: str) -> None:
        """Run a script, then send the page's form, by which the page is left."""
        self.run(f"{script}; setTimeout(() => document.querySelector('form').requestSubmit())")

    def wait(self, condition: str) -> None:
        """Return when a script in the page gives something true."""
        # What is not there yet raises, in a page that is still loading.
        script = f"(() => {{ try {{ return Boolean({condition}) }} catch {{ return false }} }})()"

        def holds() -> bool:
            try:
                return bool(self.run(script))
            except NavigatedError:
                return False  # it is about to be another page

        wait_until(
            holds,
            DEADLINE_S,
            lambda: (condition, self.run("document.body?.innerText"), self.complaints),
        )

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the viewport and the colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, file: Path) -> None:
        """Save a screenshot as PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
