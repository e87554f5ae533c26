"""What a screen reader finds: elements by their role and name, used by a real mouse, keyboard and finger.

An ``Element`` is looked for anew, and waited for, each time it is used: the page may be drawn again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from page.devtools import NavigatedError
from page.pixels import Pixels
from polling import wait_until

if TYPE_CHECKING:
    from page.browser import Browser

DEADLINE_S = 30.0
MIDDLE = """function () {
  this.scrollIntoViewIfNeeded?.();
  const { x, y, width, height } = this.getClientRects()[0] ?? {};
  const at = [x + width / 2, y + height / 2];
  const hit = width && height ? document.elementFromPoint(...at) : null;
  if (hit && (this.contains(hit) || hit.closest("label")?.control === this)) return at;
  this.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
  return `covered by ${hit ? hit.outerHTML.slice(0, 200) : "nothing: it has no size, or is out of sight"}`;
}"""
BOX = """function () {
  const { x, y, width, height } = this.getBoundingClientRect();
  return [x, y, width, height];
}"""


@dataclass(frozen=True)
class Element:
    """``name``: the whole accessible name, a pattern that is searched for in it, or None for any."""

    browser: Browser
    role: str
    name: str | re.Pattern[str] | None = None
    within: Element | None = None
    nth: int | None = None  # of several; otherwise there must be one

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes of the accessibility tree that are there now, in the order of the document."""
        try:
            root = self.within._node() if self.within else self.browser.call("Runtime.evaluate", expression="document")
            inside = {"objectId": root["result"]["objectId"]} if not self.within else {"objectId": root["objectId"]}
            # Names are compared here: the protocol's own search knows no patterns.
            found = self.browser.call("Accessibility.queryAXTree", role=self.role, **inside)["nodes"]
        except (KeyError, NavigatedError):
            return []
        shown = [node for node in found if not node["ignored"]]
        return [node for node in shown if self._matches(node.get("name", {}).get("value", ""))]

    def _matches(self, name: str) -> bool:
        if self.name is None:
            return True
        return name == self.name if isinstance(self.name, str) else self.name.search(name) is not None

    def found(self) -> dict[str, Any]:
        """The node, once it is there, and alone unless ``nth`` chooses one."""
        nodes: list[dict[str, Any]] = []

        def alone() -> bool:
            nodes[:] = self.nodes()
            return len(nodes) > self.nth if self.nth is not None else len(nodes) == 1

        def instead() -> object:
            others = Element(self.browser, self.role, within=self.within).nodes()
            names = [each.get("name", {}).get("value") for each in others]
            return (self.role, self.name, f"{len(nodes)} of them, among", names[:60], self.browser.complaints)

        wait_until(alone, DEADLINE_S, instead)
        return nodes[self.nth or 0]

    def _node(self) -> dict[str, Any]:
        number = self.found()["backendDOMNodeId"]
        node: dict[str, Any] = self.browser.call("DOM.resolveNode", backendNodeId=number)["object"]
        return node

    def run(self, function: str, *arguments: Any) -> Any:
        """Call ``function () {…}`` on the DOM's element, which is ``this`` in it; returns JSON."""
        answer = self.browser.call(
            "Runtime.callFunctionOn",
            functionDeclaration=function,
            objectId=self._node()["objectId"],
            arguments=[{"value": each} for each in arguments],
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def there(self) -> bool:
        """Whether there is one now."""
        return bool(self.nodes())

    def gone(self) -> None:
        """Return when there is none."""
        wait_until(lambda: not self.nodes(), DEADLINE_S, lambda: (self.role, self.name, "is still there"))

    @property
    def accessible_name(self) -> str:
        return str(self.found().get("name", {}).get("value", ""))

    @property
    def description(self) -> str:
        return str(self.found().get("description", {}).get("value", ""))

    @property
    def text(self) -> str:
        return str(self.run("function () { return this.innerText ?? this.textContent }"))

    @property
    def value(self) -> Any:
        return self.run("function () { return this.value }")

    @property
    def states(self) -> dict[str, Any]:
        """What a screen reader says besides: ``checked``, ``expanded``, ``selected``, ``focused``, ``disabled``, …"""
        return {each["name"]: each["value"].get("value") for each in self.found().get("properties", [])}

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height in the viewport, in CSS pixels."""
        left, top, width, height = self.run(BOX)
        return left, top, width, height

    def middle(self) -> tuple[float, float]:
        """Its middle in the viewport, once it is in sight and nothing covers it."""
        at: list[Any] = [None]

        def clear() -> bool:
            at[0] = self.run(MIDDLE)
            return isinstance(at[0], list)

        wait_until(clear, DEADLINE_S, lambda: (self.role, self.name, at[0]))
        x, y = at[0]
        return x, y

    def click(self, count: int = 1) -> None:
        """Click it with the mouse."""
        self.browser.click_at(*self.middle(), count=count)

    def tap(self) -> None:
        """Tap it with a finger."""
        self.browser.touch(self.middle())

    def hover(self) -> None:
        """Move the mouse over its middle."""
        self.browser.move(*self.middle())

    def focus(self) -> None:
        """Focus it, as a screen reader does."""
        self.run("function () { this.focus() }")

    @property
    def focused(self) -> bool:
        return bool(self.run("function () { return this === document.activeElement }"))

    def press(self, *keys: str) -> None:
        """Focus it and press keys."""
        self.focus()
        self.browser.press(*keys)

    def fill(self, text: str) -> None:
        """Type a text instead of what a field has."""
        self.focus()
        self.run("function () { this.select?.() }")
        if text:
            self.browser.call("Input.insertText", text=text)
        else:
            self.browser.press("Delete")

    def type(self, text: str) -> None:
        """Type a text into a field, key by key."""
        self.focus()
        self.browser.type(text)

    def choose(self, label: str) -> None:
        """Choose an option of a ``select`` by its words."""
        chosen = self.run(
            """function (label) {
              const option = [...this.options].find((each) => each.label === label);
              if (!option) return [...this.options].map((each) => each.label);
              this.value = option.value;
              for (const kind of ["input", "change"]) this.dispatchEvent(new Event(kind, { bubbles: true }));
              return true;
            }""",
            label,
        )
        assert chosen is True, f"no option {label!r} among {chosen}"

    def pixels(self) -> Pixels:
        """What is painted where it is."""
        self.run("function () { this.scrollIntoViewIfNeeded?.() }")
        return self.browser.clip(*self.box)
