"""Headless Chromium for the tests of the page: a real mouse, keyboard and fingers, and what a user sees of it.

``Browser`` starts with an empty profile and reaches this machine alone. It records each request, dialog, exception and
console message. Elements are found by their role and name: ``browser.by_role("button", "Reset zoom").click()``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from page.devtools import CHROMIUM, DEADLINE_S, DevTools, NavigatedError
from page.element import Element
from page.keyboard import MODIFIERS, strokes
from page.pixels import Pixels, decoded
from polling import wait_until

__all__ = ["CHROMIUM", "Answer", "Browser", "HeldBackError"]

Point = tuple[float, float]
Answer = tuple[int, dict[str, str], bytes]  # status, headers, body
Respond = Callable[[str, str], Answer | None]
# After the next two frames, what was changed before is painted.
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
MOVES = 8  # events of a drag
AWAITED = {"Document", "XHR", "Fetch"}


class HeldBackError(Exception):
    """A request is not to be answered yet."""


def nothing(_method: str, _url: str) -> Answer | None:
    """Leave a request to the server."""
    return None


class Browser(DevTools):
    """A browser with one page; a context manager."""

    def __init__(self, profile: Path, *switches: str) -> None:
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self.complaints: list[str] = []
        self.received_bytes = 0  # as they came over the network: compressed, with their headers
        self.sent_bytes = 0  # the bodies of requests
        self.statuses: dict[str, list[int]] = {}  # of the answers, by URL
        self.under_way: set[str] = set()  # requests of documents and of scripts that wait for their answers
        self._respond: Respond = nothing
        self._held: list[tuple[str, dict[str, Any]]] = []
        super().__init__(profile, *switches)

    def __enter__(self) -> Browser:
        return self

    def _note(self, heard: dict[str, Any]) -> None:
        event, told = heard.get("method"), heard.get("params", {})
        if event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
            self.sent_bytes += len(told["request"].get("postData", "").encode())
            if told.get("type") in AWAITED:
                self.under_way.add(told["requestId"])
        elif event == "Network.responseReceived":
            self.statuses.setdefault(told["response"]["url"], []).append(told["response"]["status"])
        elif event == "Network.loadingFinished":
            self.received_bytes += int(told["encodedDataLength"])
            self.under_way.discard(told["requestId"])
        elif event == "Network.loadingFailed":
            self.under_way.discard(told["requestId"])
        elif event == "Page.javascriptDialogOpening":
            self.dialogs.append(told["message"])
            self.tell("Page.handleJavaScriptDialog", accept=True)
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(told["args"]))
        elif event == "Log.entryAdded":
            self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif event == "Fetch.requestPaused":
            self._stand_in(told["requestId"], told["request"])

    def forget(self) -> None:
        """Clear what was recorded."""
        for kept in (self.requests, self.dialogs, self.complaints, self.statuses):
            kept.clear()
        self.received_bytes = self.sent_bytes = 0

    @contextlib.contextmanager
    def complaining(self, *expected: str) -> Iterator[None]:
        """A block in which the console may say what has one of these texts in it."""
        before = list(self.complaints)
        yield
        self.complaints[:] = before + [
            line for line in self.complaints[len(before) :] if not any(text in line for text in expected)
        ]

    # Going somewhere.

    def open(self, url: str) -> None:
        """Go to a URL, as if typed."""
        self.call("Page.navigate", url="about:blank")  # a new fragment alone would load nothing
        self.under_way.clear()
        self.call("Page.navigate", url=url)

    def back(self) -> None:
        """Go back to the page before."""
        history = self.call("Page.getNavigationHistory")
        entry = history["entries"][history["currentIndex"] - 1]
        self.call("Page.navigateToHistoryEntry", entryId=entry["id"])

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

    def settle(self) -> None:
        """Return when no request waits for its answer, and what came is painted."""
        quiet = 0

        def settled() -> bool:
            nonlocal quiet
            with contextlib.suppress(NavigatedError):
                self.run(PAINTED)
            quiet = 0 if self.under_way else quiet + 1
            return quiet > 2

        wait_until(settled, DEADLINE_S, lambda: (self.under_way, self.requests[-3:]))

    @contextlib.contextmanager
    def standing_in(self, bodies: dict[str, bytes]) -> Iterator[None]:
        """A block in which URLs that end with one of these get that body, whatever the server has there."""
        kinds = {"js": "text/javascript", "css": "text/css"}

        def respond(_method: str, url: str) -> Answer | None:
            body = next((body for ending, body in bodies.items() if url.endswith(ending)), None)
            kind = kinds.get(url.rpartition(".")[2], "application/json")
            return None if body is None else (200, {"Content-Type": kind, "Cache-Control": "no-store"}, body)

        with self.answering(respond, *(f"*{ending}" for ending in bodies)):
            yield

    @contextlib.contextmanager
    def answering(self, respond: Respond, *patterns: str) -> Iterator[None]:
        """A block in which ``respond(method, url)`` answers for the server, unless it gives None.

        A request for which it raises HeldBackError waits until ``let_go``.
        """
        self._respond = respond
        self.call("Fetch.enable", patterns=[{"urlPattern": pattern} for pattern in patterns])
        try:
            yield
        finally:
            self.call("Fetch.disable")
            self._respond = nothing
            self._held.clear()

    def let_go(self) -> None:
        """Ask again about the requests that were held back."""
        held, self._held = self._held, []
        for number, request in held:
            self._stand_in(number, request)

    def _stand_in(self, number: str, request: dict[str, Any]) -> None:
        try:
            answer = self._respond(request["method"], request["url"])
        except HeldBackError:
            self._held.append((number, request))
            return
        if answer is None:
            self.tell("Fetch.continueRequest", requestId=number)
            return
        status, headers, body = answer
        self.tell(
            "Fetch.fulfillRequest",
            requestId=number,
            responseCode=status,
            responseHeaders=[{"name": name, "value": value} for name, value in headers.items()],
            body=base64.b64encode(body).decode(),
        )

    # The circumstances.

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the viewport and the colour scheme; one below 500 px is a phone's, with touch."""
        phone = width < 500
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone, maxTouchPoints=5 if phone else 1)
        self.media(dark=dark)

    def media(self, *, dark: bool = False, still: bool = False, forced: bool = False) -> None:
        """Set what the user prefers: a colour scheme, no motion (``still``), forced colours."""
        features = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if still else "no-preference",
            "forced-colors": "active" if forced else "none",
        }
        self.call("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in features.items()])

    @contextlib.contextmanager
    def offline(self) -> Iterator[None]:
        """A block in which no request reaches its server; open connections end."""
        self._network(offline=True)
        try:
            yield
        finally:
            self._network(offline=False)

    def _network(self, *, offline: bool) -> None:
        unlimited = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.call("Network.emulateNetworkConditions", offline=offline, **unlimited)

    # What there is to use.

    def by_role(
        self,
        role: str,
        name: str | re.Pattern[str] | None = None,
        *,
        within: Element | None = None,
        nth: int | None = None,
    ) -> Element:
        """The element of a role and a name, as a screen reader has it; waited for when it is used."""
        return Element(self, role, name, within, nth)

    def names(self, role: str, *, within: Element | None = None) -> list[str]:
        """The names of all elements of a role that are there now."""
        return [str(node.get("name", {}).get("value", "")) for node in Element(self, role, None, within).nodes()]

    def outline(self) -> str:
        """Roles and names of the whole page, indented: for whoever writes a test."""
        nodes = {node["nodeId"]: node for node in self.call("Accessibility.getFullAXTree")["nodes"]}
        lines: list[str] = []

        def add(node: dict[str, Any], depth: int) -> None:
            role, name = (node.get(part, {}).get("value", "") for part in ("role", "name"))
            shown = not node["ignored"] and role not in ("InlineTextBox", "none", "generic")
            if shown:
                lines.append(f"{'  ' * depth}{role} {name!r}")
            for child in node.get("childIds", []):
                if child in nodes:
                    add(nodes[child], depth + shown)

        add(next(iter(nodes.values())), 0)
        return "\n".join(lines)

    @property
    def focus(self) -> tuple[str, str]:
        """Role and name of what has the focus."""
        answer = self.call("Runtime.evaluate", expression="document.activeElement")["result"]
        nodes = self.call("Accessibility.getPartialAXTree", objectId=answer["objectId"], fetchRelatives=False)["nodes"]
        return nodes[0]["role"]["value"], nodes[0].get("name", {}).get("value", "")

    # Mouse, wheel, keyboard, fingers. Places are in the viewport, in CSS pixels.

    def move(self, x: float, y: float, *, buttons: int = 0) -> None:
        """Move the mouse."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, buttons=buttons)

    def click_at(self, x: float, y: float, *, count: int = 1, held: str = "") -> None:
        """Click, ``held`` a modifier such as ``Shift``."""
        self.move(x, y)
        for number in range(1, count + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self._button(kind, x, y, count=number, held=held)

    def drag(self, start: Point, end: Point, *, held: str = "", button: str = "left") -> None:
        """Press the mouse, move it and let it go."""
        self.move(*start)
        self._button("mousePressed", *start, held=held, button=button)
        for at in range(1, MOVES + 1):
            x, y = (a + (b - a) * at / MOVES for a, b in zip(start, end, strict=True))
            self.call(
                "Input.dispatchMouseEvent",
                type="mouseMoved",
                x=x,
                y=y,
                button=button,
                buttons=1,
                modifiers=MODIFIERS.get(held, 0),
            )
        self._button("mouseReleased", *end, held=held, button=button)

    def _button(self, kind: str, x: float, y: float, *, count: int = 1, held: str = "", button: str = "left") -> None:
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button=button,
            buttons=int(kind == "mousePressed"),
            clickCount=count,
            modifiers=MODIFIERS.get(held, 0),
        )

    def wheel(self, x: float, y: float, *, down: float = 0, right: float = 0, held: str = "") -> None:
        """Turn the wheel by so many pixels."""
        self.call(
            "Input.dispatchMouseEvent",
            type="mouseWheel",
            x=x,
            y=y,
            deltaX=right,
            deltaY=down,
            modifiers=MODIFIERS.get(held, 0),
        )

    def press(self, *keys: str) -> None:
        """Press keys one after another: ``Tab``, ``Enter``, ``a``, ``Shift+Tab``, ``Control+a``."""
        for each in keys:
            for event in strokes(each):
                self.call("Input.dispatchKeyEvent", **event)

    def type(self, text: str) -> None:
        """Type a text key by key."""
        for character in text:
            self.press("Space" if character == " " else character)

    def touch(self, *starts: Point, ends: Iterable[Point] = (), moves: int = MOVES) -> None:
        """Put fingers down at places, move them in straight lines to ``ends``, if any, and lift them."""
        goals = list(ends) or list(starts)
        self._fingers("touchStart", starts)
        for at in range(1, moves + 1) if goals != list(starts) else ():
            share = at / moves
            between = [(x + (u - x) * share, y + (v - y) * share) for (x, y), (u, v) in zip(starts, goals, strict=True)]
            self._fingers("touchMove", between)
        self._fingers("touchEnd", ())

    def _fingers(self, kind: str, places: Iterable[Point]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    # What is seen.

    def picture(self, file: Path) -> None:
        """Save a screenshot as PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def clip(self, x: float, y: float, width: float, height: float) -> Pixels:
        """The pixels of a part of the viewport, once what was changed is painted."""
        self.run(PAINTED)
        clip = {"x": round(x), "y": round(y), "width": round(width), "height": round(height), "scale": 1}
        scrolled = self.run("[scrollX, scrollY]")
        clip["x"] += scrolled[0]
        clip["y"] += scrolled[1]
        data = self.call("Page.captureScreenshot", format="png", clip=clip, optimizeForSpeed=True)["data"]
        return decoded(base64.b64decode(data))

    def pixels(self, selector: str) -> Pixels:
        """The pixels of the first element of a CSS selector, as they are painted."""
        find = f"document.querySelector({json.dumps(selector)})"
        self.wait(find)
        self.run(f"{find}.scrollIntoViewIfNeeded()")
        x, y, width, height = self.run(
            f"(({{ x, y, width, height }}) => [x, y, width, height])({find}.getBoundingClientRect())"
        )
        return self.clip(x, y, width, height)

    def overflowing(self) -> list[str]:
        """What reaches past the viewport's right edge, if the page can be scrolled sideways."""
        return list(
            self.run(
                """document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
                .filter((each) => each.getBoundingClientRect().right > innerWidth + 0.5)
                .map((each) => `${each.tagName} ${each.className}`)"""
            )
        )

    def heap_bytes(self) -> int:
        """What the page's JavaScript holds, after a collection."""
        self.call("HeapProfiler.collectGarbage")
        return int(self.call("Runtime.getHeapUsage")["usedSize"])
