"""A page that is open: what it receives in a minute, and how long a frame takes while it is zoomed.

Bytes are those that the browser got for its polls: of four charts of runs that log a value of each metric each second,
and of the page of an idle run of 2,000 metrics. Frames are timed in the page itself, from one to the next, while a
chart of many runs is zoomed by the wheel at each frame: the mean, which has the slow ones in it; an empty page's frames
are beside them, timed in turns.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import fmean

import numpy as np

from benchmarks.figure import Figure, over, quantile
from benchmarks.page_peers import Size, curves_of

from benchmarks.page_drawing import VIEWPORT, WatchingBrowser  # isort: skip - finds the tests' browser by the one above
from benchmarks.stage import KEY, Stage
from page.looking import Live, address
from page.looking import project as new_project
from server.process import ServerProcess

__all__ = ["figures"]

GROUP = "page_live"
METRICS = 4
IDLE_METRICS = 2000
LOG_EVERY_S = 1.0
FRAMES = 40
DRAWN = "document.querySelectorAll('.chart-canvas[aria-busy=false]').length >= {}"
# So many times: turn the wheel on the first chart, and note the time from a frame to the one after it.
ZOOMING = """(frames, chart) => new Promise((done) => {
  const root = chart ? document.querySelector(".plot-root") : null;
  const box = root?.getBoundingClientRect();
  const took = [];
  let before = null;
  const turn = (now) => {
    if (before !== null) took.push(now - before);
    before = now;
    if (took.length === frames) return done(took);
    root?.dispatchEvent(new WheelEvent("wheel", { bubbles: true, cancelable: true, ctrlKey: true,
      deltaY: took.length % 20 < 10 ? -40 : 40, clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 }));
    requestAnimationFrame(turn);
  };
  requestAnimationFrame(turn);
})"""


def figures(stage: Stage) -> Iterator[Figure]:
    """Bytes a minute, then frames."""
    with (
        ServerProcess(stage.new_directory(), key=KEY) as server,
        WatchingBrowser(stage.new_directory()) as browser,
    ):
        browser.size(*VIEWPORT)
        seconds = stage.pick(120, 30)
        yield _live(server, browser, seconds)
        yield _idle(server, browser, seconds)
        for runs, must, reach in ((10, 16.0, 8.0), (stage.pick(1000, 100), 100.0, 33.0)):
            yield _zoomed(server, browser, runs, must, reach, stage.pick(5, 3))


def _live(server: ServerProcess, browser: WatchingBrowser, seconds: int) -> Figure:
    place = new_project(server, "live charts")
    runs = [Live(server, place, name=f"run-{number}") for number in range(4)]
    names = [f"metric_{at}" for at in range(METRICS)]
    for number, run in enumerate(runs):
        run.log_curves(dict(zip(names, curves_of(Size(4, METRICS, 600), number).values(), strict=True)))
    browser.open(address(server, place))
    browser.wait(DRAWN.format(METRICS))
    browser.settle()
    received, asked = browser.received_bytes, len(browser.requests)
    end, step = time.monotonic() + seconds, 600
    while time.monotonic() < end:
        for run in runs:
            run.log([(name, float(np.sin(step / 9)), step) for name in names])
        step += 1
        time.sleep(LOG_EVERY_S)
        browser.run("1")  # takes what was told of the network meanwhile
    return _a_minute(browser, received, asked, seconds, "four live charts of four runs", 200e3, 50e3)


def _idle(server: ServerProcess, browser: WatchingBrowser, seconds: int) -> Figure:
    run = Live(server, new_project(server, "idle"), name="idle")
    run.log_curves({f"layer_{at}": np.arange(3.0) for at in range(IDLE_METRICS)})
    browser.open(address(server, run.path))
    browser.wait(DRAWN.format(3))
    browser.settle()
    received, asked = browser.received_bytes, len(browser.requests)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(LOG_EVERY_S)
        browser.run("1")
    return _a_minute(browser, received, asked, seconds, f"an idle run of {IDLE_METRICS:,} metrics", 20e3, 5e3)


def _a_minute(
    browser: WatchingBrowser, received: int, asked: int, seconds: int, name: str, must: float, reach: float
) -> Figure:
    minutes = seconds / 60
    note = f"{(len(browser.requests) - asked) / minutes:.0f} requests a minute"
    value = (browser.received_bytes - received) / minutes
    return Figure(
        group=GROUP, name=f"received for {name}", unit="B/min", value=value, must=must, reach=reach, note=note
    )


def _zoomed(
    server: ServerProcess, browser: WatchingBrowser, runs: int, must: float, reach: float, rounds: int
) -> Figure:
    place = new_project(server, f"zoomed {runs}")
    for number in range(runs):
        run = Live(server, place, name=f"run-{number}")
        run.log_curves(curves_of(Size(runs, 1, 200), number))
        run.end()
    above, empty, slowest = [], [], 0.0
    for _ in range(rounds):
        browser.open(f"{server.url}/nothing")
        bare = browser.run(f"({ZOOMING})({FRAMES}, false)")
        at, _, token = address(server, place).partition("#")
        browser.open(f"{at}?first={runs}#{token}")
        browser.wait(DRAWN.format(1))
        browser.settle()
        took = browser.run(f"({ZOOMING})({FRAMES}, true)")
        browser.wait("new URLSearchParams(location.search).has('range')")
        above.append(fmean(took) - fmean(bare))
        empty.append(fmean(bare))
        slowest = max(slowest, *took)
    note = f"an empty page's {quantile(empty, 0.5):.1f} ms; the slowest {slowest:.0f} ms"
    name = f"a frame above an empty page's, {runs:,} runs zoomed"
    return over(above, group=GROUP, name=name, unit="ms", must=must, reach=reach, note=note)
