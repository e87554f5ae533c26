"""When a page is drawn, judged by what the screen shows: the same for every dashboard.

The browser sends each frame that it has composed, with its time. The charts are drawn with the first frame from which
on the part of the screen that they have at the end looks as it does at the end. So no page says itself when it is done,
and what goes on elsewhere on the screen, such as a clock, does not count.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page.browser import AWAITED, Browser

__all__ = ["Drawn", "WatchingBrowser", "draw"]

VIEWPORT = 1600, 1000
SETTLED_S = 4.0  # so long after the first chart is there, and while requests are under way
DIFFERING_MAX = 0.004  # of the charts' pixels; anti-aliasing and JPEG differ by less
CHANNEL_MIN = 48  # what JPEG adds is below
WAITING_S = 1.0
PAUSE_S = 0.05
# Boxes of what is drawn into, at least as large as a small chart, as far as they are in the viewport.
BOXES = """(() => {
  const all = (root) => [...root.querySelectorAll("canvas, svg")].concat(
    ...[...root.querySelectorAll("*")].filter((each) => each.shadowRoot).map((each) => all(each.shadowRoot)));
  return all(document).map((each) => each.getBoundingClientRect())
    .filter(({ width, height }) => width >= 150 && height >= 90)
    .filter(({ top, left, bottom }) => top < innerHeight - 60 && left < innerWidth && bottom > 60)
    .map(({ left, top, right, bottom }) => [Math.max(0, left), Math.max(0, top),
      Math.min(innerWidth, right), Math.min(innerHeight, bottom)].map(Math.round));
})()"""
# Of each frame: the share of the boxes' pixels that are not as in the first that is given.
COMPARE = """(width, height, least) => {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let last = null;
  globalThis.differing = async (jpeg, boxes) => {
    const bytes = Uint8Array.from(atob(jpeg), (each) => each.charCodeAt(0));
    context.drawImage(await createImageBitmap(new Blob([bytes], { type: "image/jpeg" })), 0, 0);
    const parts = boxes.map(([x, y, u, v]) => context.getImageData(x, y, u - x, v - y).data);
    last ??= parts;
    let apart = 0, total = 0;
    parts.forEach((part, at) => {
      for (let i = 0; i < part.length; i += 4) {
        total += 1;
        const far = (j) => Math.abs(part[i + j] - last[at][i + j]) > least;
        if (far(0) || far(1) || far(2)) apart += 1;
      }
    });
    return apart / Math.max(1, total);
  };
}"""


@dataclass(frozen=True)
class Drawn:
    """What a visit took: ``ms`` to the charts, and what the browser got and holds."""

    ms: float
    received_bytes: int
    requests: int
    heap_bytes: int
    charts: int


class WatchingBrowser(Browser):
    """A browser that keeps the frames of its page, and since when which requests wait for their answers."""

    def __init__(self, profile: Path) -> None:
        self.frames: list[tuple[float, str]] = []
        self.waiting: dict[str, float] = {}
        super().__init__(profile)

    def _note(self, heard: dict[str, Any]) -> None:
        super()._note(heard)
        event, told = heard.get("method", ""), heard.get("params", {})
        if event == "Page.screencastFrame":
            self.frames.append((told["metadata"]["timestamp"], told["data"]))
            self.tell("Page.screencastFrameAck", sessionId=told["sessionId"])
        elif event == "Network.requestWillBeSent":
            if told.get("type") in AWAITED:  # of a worker's module nobody tells when it has come
                self.waiting[told["requestId"]] = time.monotonic()
        elif event in ("Network.responseReceived", "Network.loadingFailed"):
            self.waiting.pop(told["requestId"], None)

    def waits(self) -> bool:
        """Whether a request waits for longer than one does that asks for news."""
        return any(time.monotonic() - since_s > WAITING_S for since_s in self.waiting.values())


def draw(browser: WatchingBrowser, url: str, script: str, *, cold: bool, deadline_s: float, picture: Path) -> Drawn:
    """Visit a URL until its charts are drawn. Raises TimeoutError."""
    browser.size(*VIEWPORT)
    browser.call("Page.navigate", url="about:blank")
    browser.forget()
    browser.waiting.clear()
    browser.frames.clear()
    if cold:
        browser.call("Network.clearBrowserCache")
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
    browser.call("Page.startScreencast", format="jpeg", quality=85)
    browser.call("Page.navigate", url=url)
    try:
        boxes = _settled(browser, deadline_s)
        began_s = browser.run("performance.timeOrigin") / 1000
        last = browser.call("Page.captureScreenshot", format="jpeg", quality=85)["data"]
    finally:
        browser.call("Page.stopScreencast")
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added)
        browser.picture(picture)
    received, requests, heap = browser.received_bytes, len(browser.requests), browser.heap_bytes()
    frames = [(at_s - began_s, data) for at_s, data in browser.frames if at_s >= began_s]
    browser.call("Page.navigate", url="about:blank")
    browser.run(f"({COMPARE})({VIEWPORT[0]}, {VIEWPORT[1]}, {CHANNEL_MIN})")
    _differing(browser, last, boxes)
    drawn_s = None
    for at_s, data in reversed(frames):
        if _differing(browser, data, boxes) > DIFFERING_MAX:
            break
        drawn_s = at_s
    if drawn_s is None:
        raise TimeoutError("it still changes")
    return Drawn(1000 * drawn_s, received, requests, heap, len(boxes))


def _differing(browser: Browser, jpeg: str, boxes: list[list[int]]) -> float:
    share: float = browser.run(f"differing({json.dumps(jpeg)}, {json.dumps(boxes)})")
    return share


def _settled(browser: WatchingBrowser, deadline_s: float) -> list[list[int]]:
    """The boxes of the charts, once they have stayed where they are for a while, and nothing comes any more."""
    end = time.monotonic() + deadline_s
    boxes: list[list[int]] = []
    since_s = time.monotonic()
    while time.monotonic() < end:
        now = browser.run(BOXES)
        if now != boxes or browser.waits():
            boxes, since_s = now, time.monotonic()
        if boxes and time.monotonic() - since_s > SETTLED_S:
            return boxes
        time.sleep(PAUSE_S)
    raise TimeoutError(f"its charts are not drawn in {deadline_s:.0f} s")
