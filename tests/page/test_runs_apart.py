"""Runs that are shown and are not in what is read of the table; rows that stay while the filter is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from page.browser import Browser
from page.looking import Live, address, project
from server.process import ServerProcess

LOOKED = "document.dispatchEvent(new Event('visibilitychange'))"  # polls at once
COUNT = "document.querySelector('.runs-count').innerText"
WATCH = """
  globalThis.said = [];
  new MutationObserver(() => {
    for (const each of document.querySelectorAll(".empty h2")) said.push(each.textContent);
  }).observe(document, { childList: true, subtree: true });
"""


def swept(server: ServerProcess, name: str, count: int) -> tuple[str, list[Live]]:
    """Runs of two learning rates, each with three values of a loss, the oldest first."""
    place = project(server, name)
    runs = []
    for number in range(count):
        config = {"lr": [0.1, 0.01][number % 2], "seed": number, "depth": 4}
        run = Live(server, place, name=f"run {number}", config=config, group="ab"[number % 2])
        run.log([("loss", number + step / 10, step) for step in range(3)])
        runs.append(run)
    return place, runs


def opened(browser: Browser, server: ServerProcess, place: str, query: str) -> None:
    browser.open(address(server, place + query))
    browser.wait("document.querySelector('.chart-canvas[aria-busy=false]')")


@pytest.mark.slow
def test_a_run_beyond_the_first_page_is_shown_until_it_is_deleted_elsewhere(server, browser):
    place, runs = swept(server, "beyond", 60)
    for run in runs[:2]:
        run.end()
    wanted = [*(run.uuid for run in runs[:2]), "00000000-0000-4000-8000-000000000000"]
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
    opened(browser, server, place, f"?first=0&with={','.join(wanted)}")
    browser.wait(f"{COUNT}.includes('2 shown, 2 of them not in the list')")
    assert browser.run("said") == []
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])
    browser.by_role("button", "Columns").click()
    browser.by_role("button", "Only what differs").click()
    browser.wait("/config.lr/.test(decodeURIComponent(location.search))")
    assert "depth" not in browser.run("location.search")
    server.ask("DELETE", runs[0].path)
    browser.run(LOOKED)
    browser.wait(f"{COUNT}.includes('1 shown, 1 of them not in the list')")
    asked = [url for url in browser.requests if "/api/" in url and runs[0].uuid in url.partition("?")[0]]
    assert asked == [], "runs are asked for one by one"


@pytest.mark.slow
def test_the_runs_from_before_a_wrong_filter_are_kept_up_to_date(server, browser):
    place, (run, _) = swept(server, "wrong", 2)
    opened(browser, server, place, "")
    field = browser.by_role("combobox", "Filter the runs")
    field.fill("name=a or name=b")
    with browser.complaining("400 (Bad Request)"):
        field.press("Enter")
        browser.wait("document.querySelector('.runs-filter .wrong').textContent.endsWith('those from before.')")
    answer = server.ask("PATCH", run.path, json={"name": "renamed"})
    assert answer.status_code == 200, answer.text
    browser.run(LOOKED)
    browser.by_role("link", "renamed").found()
    assert "or is not known here" in browser.run("document.querySelector('.runs-filter .wrong').textContent")
    field.fill("group=b")
    field.press("Enter")
    browser.wait("document.querySelector('.runs-filter .wrong').textContent === ''")
    browser.by_role("link", "renamed").gone()


@pytest.mark.slow
def test_a_group_has_one_colour_in_the_table_and_in_every_chart(server, browser):
    place, _ = swept(server, "colours", 6)
    opened(browser, server, place, "?group=group")
    browser.wait("document.querySelectorAll('.card .legend li').length === 2")
    in_charts = colours(browser, ".card .legend li", "bdi", "path", "stroke")
    in_table = colours(browser, "[role=row][aria-expanded]", "b bdi", ".words .dot", "backgroundColor")
    assert in_charts == in_table
    assert len(set(in_table.values())) == 2
    red, green, blue = json.loads(in_table["a"].replace("rgb(", "[").replace(")", "]"))
    picture = browser.pixels(".card .chart-canvas")
    assert picture.count(f"#{red:02x}{green:02x}{blue:02x}") > 10


def colours(browser: Browser, each: str, name: str, mark: str, style: str) -> dict[str, Any]:
    """By the name in each element the colour of a mark in it."""
    script = f"""Object.fromEntries([...document.querySelectorAll({each!r})].map((one) =>
      [one.querySelector({name!r}).textContent, getComputedStyle(one.querySelector({mark!r})).{style}]))"""
    return dict(browser.run(script))
