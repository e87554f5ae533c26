"""The lists of runs on the page: order, choice, and what becomes of them while runs come, go and change."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import ANY

import pytest

from page.looking import address, new_run, project
from server.batches import range_of
from server.process import ServerProcess

NAMES = "[...document.querySelectorAll('.runs .name')].map((each) => each.textContent)"
COUNT = "document.querySelector('.head p').textContent"
LOOKED = "document.dispatchEvent(new Event('visibilitychange'))"  # polls at once


def on(day: int) -> str:
    return (datetime(2024, 1, 1, tzinfo=timezone.utc) + timedelta(days=day)).isoformat().replace("+00:00", "Z")


def tell(server: ServerProcess, run: str, **fields: Any) -> None:
    answer = server.ask("PATCH", run, json=fields)
    assert answer.status_code == 200, answer.text


def choose(label: str, value: str) -> str:
    """A script that uses a control as a user does."""
    kind = "input" if label.startswith("Filter") else "change"
    control = f"document.querySelector('[aria-label=\"{label}\"]')"
    return f"{control}.value = {json.dumps(value)}; {control}.dispatchEvent(new Event('{kind}'))"


def test_runs_are_listed_by_their_start_and_not_by_their_arrival(server, browser):
    place = project(server, "started")
    for name, day in (("second", 2), ("third", 3), ("first", 1)):  # "first" was offline
        tell(server, new_run(server, place, name=name), started=on(day))
    browser.open(address(server, place))
    browser.wait(f"{NAMES}.length === 3")
    assert browser.run(NAMES) == ["third", "second", "first"]
    browser.run(choose("Order, by start", "oldest"))
    assert browser.run(NAMES) == ["first", "second", "third"]
    assert browser.run("location.search") == "?sort=oldest"
    run = browser.run("document.querySelector('.runs a').getAttribute('href')")
    browser.open(address(server, run))
    browser.wait(f"{NAMES}.length === 3")
    assert browser.run(NAMES) == ["third", "second", "first"]


def test_a_choice_of_runs_is_kept_in_the_address(server, browser):
    place = project(server, "chosen")
    told: list[dict[str, Any]] = [
        {"tags": ["a b", "c"], "group": "g&1", "notes": "A needle."},
        {"tags": ["c"], "group": "g&1", "job_type": "needles"},
        {"tags": [], "group": "g2", "status": "FAILED"},
        {"tags": ["a b"], "description": "no NEEDLE"},
    ]
    for number, fields in enumerate(told):
        tell(server, new_run(server, place, name=f"run {number}"), **fields)
    browser.open(address(server, place))
    browser.wait(f"{NAMES}.length === 4")
    browser.run(choose("Tag", "a b"))
    assert browser.run(NAMES) == ["run 3", "run 0"]
    assert browser.run(COUNT) == "2 of 4 runs"
    browser.run(choose("Group", "g&1"))
    assert browser.run(NAMES) == ["run 0"]
    search = browser.run("location.search")
    assert search == "?tag=a+b&group=g%261"
    browser.open(address(server, place + search))
    browser.wait(f"{NAMES}.length === 1")
    assert browser.run("[...document.querySelectorAll('.choice select')].map((each) => each.value)") == [
        "",
        "a b",
        "g&1",
        "newest",
    ]
    browser.run("[...document.querySelectorAll('.choice button')].at(-1).click()")
    assert browser.run(NAMES) == ["run 3", "run 2", "run 1", "run 0"]
    assert browser.run("location.search") == ""
    browser.run(choose("Filter the runs by words", "needle RUN"))
    browser.wait(f"{NAMES}.length === 3")
    assert browser.run(NAMES) == ["run 3", "run 1", "run 0"]
    browser.run(choose("Status", "FAILED"))
    assert browser.run(COUNT) == "0 of 4 runs"
    browser.open(address(server, f"{place}?tag=unknown&status=FAILED"))
    browser.wait(f"{COUNT} === '0 of 4 runs'")
    assert browser.run("document.querySelector('[aria-label=Tag]').value") == "unknown"


def test_a_row_says_what_tells_runs_apart(server, browser):
    place = project(server, "rows")
    made = server.ask("POST", f"{place}runs/", json={"name": "a"}, headers={"Idempotency-Key": '"id:my-id"'})
    run = f"{place}runs/{made.json()['uuid']}/"
    began = {"began": on(0)}
    assert server.ask("POST", f"{run}generations/", json=began, headers={"Steplog-Maker": "m"}).status_code in (
        200,
        201,
    )
    tell(server, run, tags=["x"], group="g", job_type="j", description="one\n  two", started=on(0), ended=on(1))
    tell(server, run, status="COMPLETED", generation=server.ask("GET", run).json()["generation"], ended=on(1))
    browser.open(address(server, place))
    browser.wait(f"{NAMES}.length === 1")
    text = browser.run("document.querySelector('.runs a').innerText")
    for said in ("COMPLETED", "1 d", "id my-id", "group g", "job j", "x", "one two"):
        assert said in text, (said, text)


@pytest.mark.slow
def test_a_long_list_is_right_after_an_old_run_was_deleted_or_restored(server, browser):
    place = project(server, "long")
    runs = [new_run(server, place, name=f"run {number}", status="COMPLETED") for number in range(120)]
    browser.open(address(server, place))
    browser.wait(f"{COUNT} === '120 runs'")
    assert server.ask("DELETE", runs[3]).status_code == 204
    new_run(server, place, name="new", status="COMPLETED")
    browser.run(LOOKED)
    browser.wait(f"{NAMES}[0] === 'new'")
    browser.run("document.querySelector('.more').click()")
    listed = ["new", *(f"run {number}" for number in reversed(range(120)) if number != 3)]
    assert browser.run(NAMES) == listed
    assert server.ask("POST", f"{runs[3]}restore/").status_code == 200
    browser.run(LOOKED)
    browser.wait(f"{COUNT} === '121 runs'")
    assert browser.run(NAMES) == ["new", *(f"run {number}" for number in reversed(range(120)))]


def test_a_list_that_changes_keeps_the_focus_where_it_is(server, browser):
    place = project(server, "focus")
    for name in ("a", "b"):
        new_run(server, place, name=name)
    browser.open(address(server, place))
    browser.wait(f"{NAMES}.length === 2")
    browser.run("document.querySelectorAll('.runs a')[1].focus()")
    new_run(server, place, name="c")
    browser.run(LOOKED)
    browser.wait(f"{NAMES}.length === 3")
    assert browser.run("document.activeElement.querySelector('.name')?.textContent") == "a"


def test_a_run_that_is_merely_alive_does_not_hasten_the_reading_of_the_list(server, browser):
    place = project(server, "alive")
    run = new_run(server, place, name="a")
    browser.open(address(server, "/"))
    browser.wait("document.querySelector('h1')")
    here = "{ namespace: 'team', project: 'alive' }"
    browser.run(f"import('/page/runs.js').then(({{ Runs }}) => {{ window.list = new Runs({here}) }})")
    changed = "list.ask(list.all)"
    assert [browser.run(changed), browser.run(changed)] == [True, False]
    server.send(run, range_of([("loss", 1.0, 0)]))
    assert browser.run(changed) is False
    assert browser.run("list.all[0].last_point") == server.ask("GET", run).json()["last_point"]
    tell(server, run, tags=["x"])
    assert browser.run(changed) is True


CONTRAST = """
(() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const [r, g, b, a] = rgba(getComputedStyle(element).backgroundColor);
      if (a === 255) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const light = (rgb) => {
    const linear = (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const text = rgba(getComputedStyle(element).color).slice(0, 3);
    const [low, high] = [text, ground(element)].map(light).sort((x, y) => x - y);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) poor.push([walk.currentNode.textContent, ratio]);
  }
  return poor;
})()
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_what_is_shown_of_a_run_can_be_read_and_is_named_for_a_screen_reader(server, browser, dark):
    place = project(server, f"read {dark}")
    run = new_run(server, place, name="a", description="d")
    tell(server, run, tags=["x"], group="g", job_type="j", notes="n", provenance={"host": "h"}, started=on(0))
    server.send(run, range_of([("loss", 1.0, 0)]))  # long ago, as its row says
    for width in (1280, 1100, 601, 400):
        browser.size(width, 900, dark=dark)
        for path in (place, run):
            browser.open(address(server, path))
            browser.wait(f"{NAMES}.length === 1 && document.querySelector('.choice, .provenance')")
            assert browser.run(CONTRAST) == []
            assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {(node["role"].get("value"), node.get("name", {}).get("value")) for node in nodes if not node["ignored"]}
    assert {("heading", "a"), ("heading", "Notes"), ("heading", "Started from"), ("heading", "Metrics")} <= named
    browser.open(address(server, place))
    browser.wait(f"{NAMES}.length === 1")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {(node["role"].get("value"), node.get("name", {}).get("value")) for node in nodes if not node["ignored"]}
    assert {("heading", "Runs"), ("combobox", "Tag"), ("combobox", "Group"), ("combobox", "Status")} <= named
    assert ("searchbox", "Filter the runs by words") in named


def test_a_run_or_list_that_is_asked_for_in_brief_leaves_out_what_is_large_or_known(server):
    run = new_run(server, project(server, "brief"), name="a")
    server.send(run, range_of([("steplog/config", b'{"lr": 0.1}')]))
    runs = run[: run.index("runs/")] + "runs/"
    (whole,) = server.ask("GET", runs).json()
    assert whole["config"] == {"lr": 0.1}
    left_out = {"project", "made_by", "config", "provenance"}
    brief = {field: value for field, value in whole.items() if field not in left_out}
    assert server.ask("GET", runs, params={"brief": 1}).json() == [brief]
    assert server.ask("GET", run, params={"brief": 1}).json() == brief | {"batch": 1, "features": ANY}
