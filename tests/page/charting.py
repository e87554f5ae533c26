"""Curves and charts for the tests of ``page/charts/``."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from page.browser import Browser
from page.modules import JSMap, Module, load, script_of
from page.pixels import Pixels
from server.process import ServerProcess

LEFT, TOP = 20, 20  # of the chart in the window
NOT_GIVEN: Mapping[str, Any] = {}
DRAW = """(async () => {{
  const {{ sceneOf }} = await import(assets + "/charts/scene.js");
  globalThis.plot?.destroy();
  document.querySelector("#box")?.remove();
  const box = document.createElement("main");
  box.id = "box";
  Object.assign(box.style, {{ position: "fixed", left: "{left}px", top: "{top}px", width: "{width}px",
    height: "{height}px", padding: 0, background: "var(--panel)" }});
  document.body.append(box);
  globalThis.told = {{ zooms: [], hovers: [], picks: [] }};
  globalThis.plot = new Plot(box, {{
    onZoom: (range) => told.zooms.push(range),
    onHover: (x, id) => told.hovers.push([x, id]),
    onPick: (id) => told.picks.push(id),
  }});
  globalThis.scene = sceneOf({asked});
  plot.draw(scene);
  plot.paint();
}})()"""


def curve(
    last: Sequence[float],
    *,
    x: Sequence[float] | None = None,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    count: int = 1,
    step: array[int] | None = None,
    digits: Mapping[str, int] | None = None,
    **marks: Mapping[int, int],
) -> dict[str, Any]:
    """A ``Curve``; ``nan``, ``pos``, ``neg``: how many at which index."""
    places = array("d", range(len(last)) if x is None else x)
    finite = [value if math.isfinite(value) else math.nan for value in last]
    columns: dict[str, Any] = {
        "x": places,
        "step": step or places,
        "last": array("d", last),
        "min": array("d", finite if low is None else low),
        "max": array("d", finite if high is None else high),
        "count": array("I", [count] * len(last)),
        "approximate": False,
        "digits": {"last": 17, "ends": 17} if digits is None else dict(digits),
    }
    for kind in ("nan", "pos", "neg"):
        found = marks.get(kind)
        columns[kind] = array("I", [found.get(at, 0) for at in range(len(last))]) if found else None
    return columns


def run(uuid: str, *, colour: str = "#4a5ce0", group: str | None = None, name: str | None = None) -> dict[str, Any]:
    return {"uuid": uuid, "name": name or uuid, "colour": colour, "status": "RUNNING", "started": None, "group": group}


def metric(by_run: Mapping[str, Any], *, name: str = "loss", width: float = 1) -> dict[str, Any]:
    """``MetricCurves``."""
    return {"name": name, "width": width, "exact": width == 1, "byRun": JSMap(dict(by_run))}


def asked(
    curves: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]] | None = None,
    view: Mapping[str, Any] = NOT_GIVEN,
) -> dict[str, Any]:
    """What ``sceneOf`` takes; without runs, those of the curves."""
    known = [run(uuid) for uuid in curves[0]["byRun"].entries] if runs is None else runs
    return {"curves": list(curves), "runs": list(known), "view": {"x": "step", **view}}


class Chart:
    """A chart alone in the window of a browser."""

    def __init__(
        self,
        browser: Browser,
        server: ServerProcess,
        curves: Sequence[Mapping[str, Any]],
        runs: Sequence[Mapping[str, Any]] | None = None,
        view: Mapping[str, Any] = NOT_GIVEN,
        size: tuple[int, int] = (500, 260),
    ) -> None:
        self.browser = browser
        self.module: Module = load(browser, server, "charts/plot.js")
        self.size = size
        what = script_of(asked(curves, runs, view))
        self.module.run(DRAW.format(asked=what, left=LEFT, top=TOP, width=size[0], height=size[1]))

    def run(self, script: str) -> Any:
        """What an expression gives; ``plot``, ``scene`` and ``told`` are there."""
        return self.module.run(script)

    def told(self, what: str) -> list[Any]:
        """The ``zooms``, ``hovers`` or ``picks`` that the chart has told of."""
        found: list[Any] = self.run(f"told.{what}")
        return found

    def wait(self, condition: str) -> None:
        self.browser.wait(condition)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of where curves are drawn, in the chart."""
        left, top, width, height = self.run("[plot.view.left, plot.view.top, plot.view.width, plot.view.height]")
        return left, top, left + width, top + height

    def at(self, across: float, up: float) -> tuple[float, float]:
        """A place in the window, as parts of the box of the curves, from its left and from its bottom."""
        left, top, right, bottom = self.box
        return LEFT + left + (right - left) * across, TOP + bottom - (bottom - top) * up

    def x_range(self) -> tuple[float, float]:
        """What is in sight of x, as the axis has it."""
        low, high = self.run("(plot.paint(), plot.xRange)")
        return low, high

    def y_range(self) -> tuple[float, float]:
        low, high = self.run("(plot.paint(), plot.yRange)")
        return low, high

    def pixels(self) -> Pixels:
        """What is painted, axes and all."""
        return self.browser.clip(LEFT, TOP, *self.size)

    def of_curves(self) -> Pixels:
        """What is painted in the box of the curves."""
        left, top, right, bottom = self.box
        return self.browser.clip(LEFT + left, TOP + top, right - left, bottom - top)
