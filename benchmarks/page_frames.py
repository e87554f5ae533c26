"""How long a chart of the page takes for a frame while it is zoomed: of 10 and of 1,000 curves, in Chromium.

A wheel turns over the chart, a little in each frame, and the time is taken from each frame to the next. The browser
shows frames as fast as it makes them, not at the rate of a screen, so that an empty page's are short; what an empty one
takes in the same round is taken away.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import Server, Stage

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from page.browser import Browser
from page.devtools import CHROMIUM
from page.modules import load

__all__ = ["figures"]

GROUP = "page_frames"
SIZE = 960, 480
SWITCHES = ("--disable-frame-rate-limit", "--disable-gpu-vsync")
CASES = ((10, 16.0, 8.0), (1000, 100.0, 33.0))  # curves; at most so many ms above an empty page's; to reach
BUCKETS = 1000
FRAMES = 60
ROUNDS = 5
CHART = """(async () => {{
const {{ sceneOf }} = await import(assets + "/charts/scene.js");
const {{ Plot }} = await import(assets + "/charts/plot.js");
const {{ coloursOf }} = await import(assets + "/charts/palette.js");
const runs = Array.from({{ length: {curves} }}, (_, at) => ({{ uuid: `${{at}}`, name: `run ${{at}}`, group: null }}));
const colours = coloursOf(runs.map(({{ uuid }}) => uuid));
let seed = 7;
const noise = () => (seed = (seed * 48271) % 2147483647) / 2147483647 - 0.5;
const byRun = new Map(runs.map((run, number) => {{
  run.colour = colours.get(run.uuid);
  const x = Float64Array.from({{ length: {buckets} }}, (_, at) => at * 64 + 63);
  const level = (at) => Math.exp(-at / 250) * (1 + (number % 17) / 17) + (number % 5) / 10;
  const last = x.map((_, at) => level(at) + noise() * 0.1);
  const [min, max] = [last.map((value) => value - 0.05), last.map((value) => value + 0.05)];
  const count = new Uint32Array({buckets}).fill(64);
  return [run.uuid, {{ x, step: x, last, min, max, count, nan: null, pos: null, neg: null, approximate: false }}];
}}));
const curves = [{{ name: "loss", width: 64, exact: false, byRun }}];
const box = document.createElement("main");
Object.assign(box.style, {{ position: "fixed", inset: 0, padding: 0, maxWidth: "none", background: "var(--panel)" }});
document.body.append(box);
globalThis.plot = new Plot(box);
plot.draw(sceneOf({{ curves, runs, view: {{ x: "step" }} }}));
plot.paint();
}})()"""
TURN = """new Promise((done) => {
  const frames = [];
  let before = null;
  const step = () => {
    const now = performance.now();
    if (before !== null) frames.push(now - before);
    before = now;
    if (frames.length === FRAMES) return done(frames);
    if (document.querySelector("main")) {
      const { left, width } = plot.view;
      const at = { clientX: left + width / 3, clientY: 300, deltaY: frames.length % 40 < 20 ? -60 : 60 };
      plot.root.dispatchEvent(new WheelEvent("wheel", { ...at, ctrlKey: true, cancelable: true, bubbles: true }));
    }
    else document.body.style.background = frames.length % 2 ? "#fff" : "#eee"; // else no frame would be made
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def figures(stage: Stage) -> Iterator[Figure]:
    """Frames of a chart, above an empty page's."""
    if CHROMIUM is None:
        yield Figure(group=GROUP, name="a frame", unit="ms", value=None, note="no chromium is installed here")
        return
    empty: list[float] = []
    above: dict[int, list[float]] = {curves: [] for curves, *_ in CASES}
    cpu: dict[int, list[float]] = {curves: [] for curves, *_ in CASES}
    with stage.server() as server, Browser(stage.new_directory(), *SWITCHES) as browser:
        browser.size(*SIZE)
        browser.call("Performance.enable", timeDomain="threadTicks")
        for _ in range(stage.pick(ROUNDS, 2)):
            empty.append(_frame_ms(browser, server, 0)[0])
            for curves, _, _ in CASES:
                took_ms, cpu_ms = _frame_ms(browser, server, curves)
                above[curves].append(took_ms - empty[-1])
                cpu[curves].append(cpu_ms)
    for curves, must, reach in CASES:
        name = f"a frame, {curves:,} curves of {BUCKETS:,} buckets, above an empty page's"
        spent = f"CPU {quantile(cpu[curves], 0.5):.1f} ms"
        note = f"an empty page's {quantile(empty, 0.5):.1f} ms; {SIZE[0]} x {SIZE[1]} pixels; {spent}"
        yield over(above[curves], group=GROUP, name=name, unit="ms", must=must, reach=reach, note=note)


def _frame_ms(browser: Browser, server: Server, curves: int) -> tuple[float, float]:
    """Of a page of its own: the median of some frames, and the CPU time of one.

    Without curves nothing is on it.
    """
    browser.open("about:blank")
    module = load(browser, server, "charts/plot.js")  # type: ignore[arg-type] - of the server, its URL
    if curves:
        module.run(CHART.format(curves=curves, buckets=BUCKETS))
    browser.run(TURN.replace("FRAMES", "10"))
    before_s = _busy_s(browser)
    frames: list[float] = browser.run(TURN.replace("FRAMES", str(FRAMES)))
    return quantile(frames, 0.5), 1000 * (_busy_s(browser) - before_s) / FRAMES


def _busy_s(browser: Browser) -> float:
    """The CPU time of the page's thread so far."""
    told = browser.call("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in told if each["name"] == "TaskDuration"))
