"""The curves of the charts: asked for together, patched, and those that a server has now."""

from __future__ import annotations

from typing import Any

from page.browser import Browser
from page.looking import address, new_run, project
from server.process import ServerProcess

SET_UP = """(async () => {
  const base = document.querySelector('script[type=module]').src.replace('main.js', '');
  const { Curves } = await import(base + 'data/curves.js');
  const { signal } = await import(base + 'ui.js');
  const { place } = await import(base + 'data/address.js');
  globalThis.runs = signal(%s.map((uuid) => ({ uuid, status: 'RUNNING' })));
  globalThis.view = { x: signal('step'), range: signal(null) };
  globalThis.curves = new Curves({ here: place(location), runs, view });
  globalThis.found = Object.fromEntries(%s.map((name) => [name, curves.want(name)]));
})()"""
LENGTHS = "Object.values(found).map((each) => each.value && [...each.value.byRun.values()].map(({ x }) => x.length))"


def log(server: ServerProcess, run: str, name: str, values: list[Any], first: int = 0) -> None:
    metrics = [{"name": name, "value": value, "step": step} for step, value in enumerate(values, first)]
    for metric in metrics:
        assert server.ask("POST", f"{run}metrics/", json=metric).status_code == 201


def asked(browser: Browser) -> int:
    return sum(url.endswith("/curves/") for url in browser.requests)


def test_all_charts_in_view_take_one_request_and_then_what_is_new(server, browser):
    place = project(server, "one request")
    runs = [new_run(server, place) for _ in range(2)]
    for run in runs:
        for name in ("a", "b"):
            log(server, run, name, [0.5, 0.25, 0.125])
    browser.open(address(server, place))
    browser.wait("document.querySelector('main')")
    uuids = [run.rstrip("/").rpartition("/")[2] for run in runs]
    browser.run(SET_UP % (uuids, ["a", "b", "c"]))
    browser.wait(f"JSON.stringify({LENGTHS}) === '[[3,3],[3,3],[]]'")
    assert asked(browser) == 1
    log(server, runs[0], "a", [7.0, 8.0], 3)
    browser.wait(f"JSON.stringify({LENGTHS}) === '[[5,3],[3,3],[]]'")
    assert browser.run("[...[...found.a.value.byRun.values()][0].last]") == [0.5, 0.25, 0.125, 7, 8]
    browser.run("curves.end()")
