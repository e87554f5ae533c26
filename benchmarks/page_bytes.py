"""What an open page costs in a minute: bytes of its requests and their answers, with headers, as Chromium counts them.

Four charts of a run that logs once a second; and the page of a run of 2,000 metrics that goes on and logs nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.stage import ROOT, Stage

sys.path.insert(0, str(ROOT / "tests"))

from page.browser import Browser
from page.looking import Live, address, curve, metric_names, project, writing
from server.process import ServerProcess

__all__ = ["figures"]

GROUP = "page_bytes"
FOUR = ("train/loss", "train/accuracy", "eval/loss", "lr")
LINE_BYTES = 48  # of the request and of its end, besides the headers that Chromium tells
DRAWN = "document.querySelectorAll('canvas').length >= 4 && !document.querySelector('canvas[aria-busy=true]')"


class CountingBrowser(Browser):
    """A browser that counts whole requests."""

    def __init__(self, profile: Path) -> None:
        self.heads_bytes = 0
        super().__init__(profile)

    def _note(self, heard: dict[str, Any]) -> None:
        if heard.get("method") == "Network.requestWillBeSentExtraInfo":
            headers = heard["params"]["headers"].items()
            self.heads_bytes += LINE_BYTES + sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers)
        super()._note(heard)

    def minute_bytes(self, seconds: float) -> int:
        """What goes over the network from now on, as bytes a minute."""
        self.forget()
        self.heads_bytes = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.run("1")
            time.sleep(0.5)
        return round((self.heads_bytes + self.sent_bytes + self.received_bytes) * 60 / seconds)


def figures(stage: Stage) -> Iterator[Figure]:
    """A live page, then an idle one, each after its first polls."""
    with CountingBrowser(stage.new_directory()) as browser, ServerProcess(stage.new_directory()) as server:
        browser.size(1600, 1000)
        place = project(server, "live")
        run = Live(server, place)
        _log(run, 0, 3000)
        with writing(lambda turn: _log(run, 3000 + 10 * turn, 10), every_s=1):
            _open(browser, address(server, place))
            value = _minute(browser, stage.pick(40, 15), stage.pick(120, 30))
        yield Figure(group=GROUP, name="four live charts", unit="B a minute", value=value, must=200e3, reach=50e3)
        run = Live(server, project(server, "idle"))
        run.log_curves({name: curve(at, 10) for at, name in enumerate(metric_names(2000))})
        _open(browser, address(server, run.path))
        value = _minute(browser, stage.pick(180, 30), stage.pick(240, 60))
        name = "an idle run of 2,000 metrics"
        yield Figure(group=GROUP, name=name, unit="B a minute", value=value, must=20e3, reach=5e3)


def _open(browser: Browser, url: str) -> None:
    browser.open(url)
    browser.wait(DRAWN)


def _minute(browser: CountingBrowser, after_s: float, seconds: float) -> int:
    browser.minute_bytes(after_s)
    return browser.minute_bytes(seconds)


def _log(run: Live, first: int, steps: int) -> None:
    run.log_curves({name: curve(at + first, steps) for at, name in enumerate(FOUR)}, first_step=first)
