"""The table of runs: what it lists, in which order, which are shown, and what becomes of it while runs come and go."""

from __future__ import annotations

import json
import math
import random
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from page import axe
from page.browser import Browser
from page.looking import Live, address, new_run, project, uuid_of
from page.modules import load
from server.process import ServerProcess, lasting_port

NAMES = "[...document.querySelectorAll('[role=row] a')].map((link) => link.textContent)"
SHOWN = "[...document.querySelectorAll('[role=row]')].filter((row) => row.querySelector('[aria-label^=Show]:checked'))"
HEADS = "[...document.querySelectorAll('[role=columnheader] bdi')].map((head) => head.textContent)"
GRID = "document.querySelector('[aria-label=Runs][role$=grid]')"
LOOKED = "document.dispatchEvent(new Event('visibilitychange'))"  # polls at once
ANSWERED = "!document.querySelector('[aria-busy=true]')"


def on(day: int) -> str:
    return (datetime(2024, 1, 1, tzinfo=timezone.utc) + timedelta(days=day)).isoformat().replace("+00:00", "Z")


def tell(server: ServerProcess, run: str, **fields: Any) -> None:
    answer = server.ask("PATCH", run, json=fields)
    assert answer.status_code == 200, answer.text


def listed(browser: Browser, *names: str) -> None:
    """Wait until the table has these runs, in this order."""
    browser.wait(f"JSON.stringify({NAMES}) === {json.dumps(json.dumps(names, separators=(',', ':')))}")


def cells(browser: Browser, name: str) -> dict[str, str]:
    """What the row of a run says, by the head of the column."""
    row = f"[...document.querySelectorAll('[role=row]')].find((row) => row.querySelector('a')?.innerText === {name!r})"
    texts = browser.run(f"[...{row}.querySelectorAll('[role=gridcell]')].map((cell) => cell.innerText.trim())")
    return dict(zip(browser.run(HEADS), texts, strict=True))


def test_runs_are_listed_newest_first_and_the_first_ten_are_shown(server, browser):
    place = project(server, "started")
    for day in (3, 1, 2, *range(4, 13)):  # the one of day 1 was offline
        tell(server, new_run(server, place, name=f"day {day}"), started=on(day))
    browser.open(address(server, place))
    listed(browser, *(f"day {day}" for day in range(12, 0, -1)))
    assert browser.run(f"{SHOWN}.length") == 10
    browser.by_role("checkbox", "Show day 12").click()
    browser.by_role("checkbox", "Show day 1").click()
    browser.wait("/with=.*without=|without=.*with=/.test(location.search)")
    search = browser.run("location.search")
    browser.open(address(server, place + search))
    listed(browser, *(f"day {day}" for day in range(12, 0, -1)))
    shown = [f"day {day}" for day in (*range(11, 2, -1), 1)]
    assert browser.run(f"{SHOWN}.map((row) => row.querySelector('a').textContent)") == shown
    browser.by_role("button", "Show only day 7").click()
    browser.wait(f"{SHOWN}.length === 1")
    browser.by_role("combobox", "Show the runs").choose("first 3")
    browser.wait(f"{SHOWN}.length === 3")
    browser.wait("location.search === '?first=3'")


@pytest.mark.slow
def test_a_head_sorts_by_its_column_the_one_way_and_the_other_and_not(server, browser):
    place = project(server, "sorted")
    for name, loss in (("a", 2.0), ("b", 1.0), ("c", math.nan), ("d", None)):
        run = Live(server, place, name=name)
        run.log([("loss", loss, 0)] if loss is not None else [("other", 1.0, 0)])
    browser.open(address(server, place))
    listed(browser, "d", "c", "b", "a")
    head = browser.by_role("columnheader", "loss")
    sort = browser.by_role("button", "loss", within=head)
    for names, told in (("badc", "ascending"), ("abdc", "descending")):
        sort.click()
        # Numbers come first, and the run without a value last: NaN is between them.
        listed(browser, *{"ascending": "bacd", "descending": "abcd"}[told])
        assert head.run("function () { return this.ariaSort }") == told, names
    browser.wait("location.search === '?sort=-loss.last'")
    sort.click()
    listed(browser, "d", "c", "b", "a")
    browser.wait("location.search === ''")


@pytest.mark.slow
def test_cells_say_what_a_run_has_and_nothing_where_it_has_nothing(server, browser):
    place = project(server, "cells")
    full = Live(server, place, name="full", config={"lr": 0.1, "n": 2**60, "opt": "adam"}, tags=["a b"], group="g")
    full.log([("loss", math.nan, 0), ("score", math.inf, 0), ("small", 1.25e-7, 0)])
    report = {"dropped": {"memory full": 2}, "abandoned": 0, "lost": None, "rejected": 0}
    tell(server, full.path, started=on(0), ended=on(1), status="COMPLETED", report=report)
    Live(server, place, name="empty").end("CRASHED")
    columns = "status,duration,tag,group,config.lr,config.n,config.opt,loss.last,score.last,small.min,none.last"
    browser.open(address(server, f"{place}?columns={columns}&sort=name"))
    listed(browser, "empty", "full")
    assert cells(browser, "full") == {
        "Name": "full",
        "Status": "completed",
        "Duration": "1 d",
        "Tags": "a b",
        "Group": "g",
        "lr": "0.1",
        "n": "1,152,921,504,606,846,976",
        "opt": "adam",
        "loss": "NaN",
        "score": "∞",
        "small min": "1.25e\u22127",
        "none": "",
    }
    empty = cells(browser, "empty")
    assert empty.pop("Duration")
    assert empty == dict.fromkeys(empty, "") | {"Name": "empty", "Status": "crashed"}
    assert browser.names("image", within=browser.by_role("region", "Runs")) == ["an unknown number of values lost"]


@pytest.mark.slow
def test_words_find_texts_and_anything_else_is_a_filter(server, browser):
    place = project(server, "filtered")
    for number, status in enumerate(("COMPLETED", "FAILED", "COMPLETED")):
        tell(server, new_run(server, place, name=f"wide net {number}"), status=status, tags=[f"t {number}"])
    browser.open(address(server, place))
    listed(browser, "wide net 2", "wide net 1", "wide net 0")
    line = browser.by_role("combobox", "Filter the runs")
    line.fill("NET 1")
    listed(browser, "wide net 1")
    browser.wait("new URLSearchParams(location.search).get('where') === 'words~NET and words~\"1\"'")
    assert line.value == "NET 1", "what is typed stays as it is"
    with browser.complaining("400 (Bad Request)"):
        line.fill("status=COMPLETED and")
        line.press("Enter")
        browser.wait(
            "[...document.querySelectorAll('[role=status]')].some((each) => /^Column 21/.test(each.innerText))"
        )
        browser.run(LOOKED)
    assert re.match("Column 21", line.description)
    assert line.states["invalid"] == "true"
    assert browser.run(NAMES) == ["wide net 1"], "what is wrong changes nothing"
    assert sum(each.count(400) for each in browser.statuses.values()) == 1, "what is wrong is not asked again"
    line.fill('status=COMPLETED and tag="t 2"')
    listed(browser, "wide net 2")
    assert not line.description
    browser.by_role("button", "All runs").click()
    listed(browser, "wide net 2", "wide net 1", "wide net 0")
    browser.by_role("button", "Filter").click()
    browser.by_role("button", "Status: completed").click()
    listed(browser, "wide net 2", "wide net 0")
    browser.by_role("button", "Tags: t 0").click()
    listed(browser, "wide net 0")
    assert line.value == 'status=COMPLETED and tag="t 0"'
    browser.by_role("button", "Status: completed").click()
    browser.press("Escape")
    browser.wait("""new URLSearchParams(location.search).get('where') === 'tag="t 0"'""")


@pytest.mark.slow
def test_what_may_be_typed_next_is_offered_and_taken_by_the_keyboard(server, browser):
    place = project(server, "offered")
    for number, rate in enumerate((0.1, 0.2)):
        run = Live(server, place, name=f"r{number}", config={"learning": {"rate": rate}})
        run.log([("train/loss", rate, 0)])
    browser.open(address(server, place))
    listed(browser, "r1", "r0")
    browser.press("/")
    assert browser.focus[0] == "combobox"
    browser.type("rate")
    option = browser.by_role("option", "config.learning.rate")
    assert not option.states.get("selected")
    browser.press("ArrowDown", "Enter")
    browser.type(">0.1 and sta")
    browser.by_role("option", "status").found()
    browser.press("ArrowDown", "Tab")
    browser.type("=r")
    browser.by_role("option", "RUNNING").click()
    listed(browser, "r1")
    line = browser.by_role("combobox", "Filter the runs")
    assert line.value == "config.learning.rate>0.1 and status=RUNNING "
    browser.type("and train/loss.m")
    browser.by_role("option", "train/loss.max").found()
    browser.press("Escape")
    browser.by_role("listbox", "What may be typed").gone()


@pytest.mark.slow
def test_columns_are_chosen_moved_and_widened_by_keyboard_and_mouse(server, browser):
    place = project(server, "columns")
    for number in range(2):
        config = {"lr": 0.1, "seed": number, "model": {"depth": number}}
        Live(server, place, name=f"r{number}", config=config).log([("loss", 1.0, 0), ("acc", 0.5, 0)])
    browser.open(address(server, place))
    browser.wait(f"{HEADS}.length === 7")
    assert browser.run(HEADS) == ["Name", "Status", "acc", "loss", "Started", "Duration", "Tags"]
    browser.by_role("button", "Columns").click()
    browser.by_role("searchbox", "Find a column").type("lr")
    browser.by_role("checkbox", "lr").click()
    browser.by_role("searchbox", "Find a column").fill("loss")
    browser.by_role("button", "loss max").click()
    browser.by_role("searchbox", "Find a column").fill("")
    browser.by_role("button", "Remove Tags").click()
    browser.by_role("button", "Move lr up").click()
    browser.press("Escape")
    browser.wait(f"JSON.stringify({HEADS}.slice(1)) === '{json.dumps(CHOSEN)}'.replaceAll(', ', ',')")
    browser.by_role("button", "lr", within=browser.by_role("columnheader", "lr")).press(
        "Alt+ArrowLeft", "Shift+ArrowRight"
    )
    browser.wait(f"{HEADS}.indexOf('lr') === 4")
    width = browser.by_role("columnheader", "lr").box[2]
    browser.run(f"{GRID}.scrollLeft = 0")
    left, top, across, down = browser.by_role("columnheader", "acc").box
    browser.drag((left + across / 2, top + down / 2), (5 + browser.by_role("columnheader", "Status").box[0], top + 9))
    browser.wait(f"{HEADS}[1] === 'acc'")
    edge = browser.by_role("columnheader", "acc").box
    browser.drag((edge[0] + edge[2] - 1, edge[1] + 9), (edge[0] + edge[2] + 49, edge[1] + 9))
    browser.wait("location.search.includes('columns=acc.last')")
    search = browser.run("location.search")
    assert "seed" not in search
    browser.open(address(server, place + search))
    browser.wait(f"{HEADS}[1] === 'acc'")
    assert browser.by_role("columnheader", "acc").box[2] == edge[2] + 50
    assert browser.by_role("columnheader", "lr").box[2] == width
    browser.by_role("button", "Columns").click()
    browser.by_role("button", "Only what differs").click()
    browser.wait(f"{HEADS}.includes('seed')")
    assert {"model.depth", "seed"} <= set(browser.run(HEADS))
    assert "lr" not in browser.run(HEADS)
    browser.run("localStorage.clear()")


CHOSEN = ["Status", "acc", "loss", "Started", "lr", "Duration", "loss max"]


@pytest.mark.slow
def test_a_long_table_has_the_rows_in_view_and_reads_on_where_it_is_scrolled(server, browser):
    place = project(server, "many")
    for number in range(700):
        new_run(server, place, name=f"run {number}", status="COMPLETED")
    browser.open(address(server, place))
    browser.wait(f"{NAMES}[0] === 'run 699'")
    grid = browser.by_role("grid", "Runs")
    assert grid.run("function () { return this.ariaRowCount }") == "701"
    few = browser.run("document.querySelectorAll('[role=row]').length")
    assert few < 70
    browser.wait(f"{GRID}.getAttribute('aria-busy') === 'false'")
    assert sum("/table/?" in url and "after=" in url for url in browser.requests) == 0, "more was read than is in view"
    browser.run(f"{GRID}.scrollTop = 350 * 28")
    browser.wait(f"{NAMES}.includes('run 350')")
    grid.press("End")
    browser.wait(f"{NAMES}.includes('run 0')")
    assert browser.run("document.querySelector('[aria-rowindex=\"701\"] a').textContent") == "run 0"
    assert browser.run("document.querySelectorAll('[role=row]').length") < few + 10
    grid.press("Home")
    browser.wait(f"{NAMES}.includes('run 699')")


@pytest.mark.slow
def test_new_runs_come_at_the_top_and_move_nothing_that_is_looked_at(server, browser):
    place = project(server, "coming")
    runs = [new_run(server, place, name=f"run {number}", status="COMPLETED") for number in range(120)]
    browser.open(address(server, place))
    browser.wait(f"{NAMES}[0] === 'run 119'")
    browser.run(f"{GRID}.scrollTop = 60 * 28")
    browser.wait(f"{NAMES}.includes('run 50')")
    row = browser.by_role("link", "run 50")
    before = row.box
    for number in (120, 121):
        new_run(server, place, name=f"run {number}")
    browser.run(LOOKED)
    fresh = browser.by_role("button", "2 new runs")
    fresh.found()
    assert row.box == before
    tell(server, runs[50], status="FAILED")
    browser.run(LOOKED)
    browser.wait("[...document.querySelectorAll('[role=row]')].some((row) => /run 50\\s+failed/.test(row.innerText))")
    assert server.ask("DELETE", runs[119]).status_code == 204
    browser.run(LOOKED)
    browser.wait("document.body.innerText.includes('121 runs')")
    assert row.box == before
    fresh.click()
    browser.wait(f'JSON.stringify({NAMES}.slice(0, 3)) === \'["run 121","run 120","run 118"]\'')
    fresh.gone()


@pytest.mark.slow
def test_groups_are_shown_hidden_and_closed_together(server, browser):
    place = project(server, "grouped")
    for number in range(6):
        Live(server, place, name=f"r{number}", config={"opt": ["adam", "sgd"][number % 2]})
    new_run(server, place, name="r6")
    browser.open(address(server, place))
    browser.wait(f"{NAMES}.length === 7")
    browser.by_role("button", "Group").click()
    browser.by_role("button", "opt").click()
    browser.by_role("treegrid", "Runs").found()
    listed(browser, "r6", "r5", "r3", "r1", "r4", "r2", "r0")
    heads = (
        "[...document.querySelectorAll('[role=row][aria-expanded]')].map((row) => row.innerText.replace(/\\s+/g, ' '))"
    )
    assert [text.strip() for text in browser.run(heads)] == ["none · 1 run", "sgd · 3 runs", "adam · 3 runs"]
    browser.by_role("combobox", "Show the groups").choose("first 1 group")
    browser.wait(f"{SHOWN}.length === 2")  # the group, and its run
    browser.by_role("checkbox", "Show the runs of adam").click()
    browser.by_role("checkbox", "Show r2").click()
    browser.wait(f"/adam\\s+· 2 of 3 runs shown/.test({GRID}.innerText)")
    browser.by_role("button", "Close sgd").click()
    listed(browser, "r6", "r4", "r2", "r0")
    grid = browser.by_role("treegrid", "Runs")
    grid.press("Home", "ArrowDown", "ArrowDown", "ArrowRight")
    listed(browser, "r6", "r5", "r3", "r1", "r4", "r2", "r0")
    browser.media(still=True)
    assert axe.violations(browser, ".runs-panel") == []


@pytest.mark.slow
def test_runs_are_selected_to_be_edited_one_by_one_in_a_range_and_all(server, browser):
    place = project(server, "selected")
    for number in range(60):
        new_run(server, place, name=f"run {number}")
    browser.open(address(server, place))
    browser.wait(f"{NAMES}[0] === 'run 59'")
    browser.by_role("button", "Select").click()
    browser.by_role("checkbox", "Select run 58").click()
    browser.click_at(*browser.by_role("checkbox", "Select run 55").middle(), held="Shift")
    browser.by_role("checkbox", "Select run 57").click()
    selected = "[...document.querySelectorAll('[role=row][aria-selected=true] a')].map((link) => link.textContent)"
    browser.wait(f'JSON.stringify({selected}) === \'["run 58","run 56","run 55"]\'')
    assert browser.run(f"{SHOWN}.length") == 10, "what is selected is one thing, what is shown another"
    browser.by_role("checkbox", "Select all runs").click()
    browser.wait("/^0 selected/m.test(document.body.innerText)")
    browser.by_role("checkbox", "Select all runs").click()
    browser.wait("/^60 selected/m.test(document.body.innerText)")  # those of the page that was not read, too
    browser.by_role("grid", "Runs").press("ArrowDown", "Space")
    browser.wait("/^59 selected/m.test(document.body.innerText)")


@pytest.mark.slow
def test_a_run_that_is_not_in_the_table_is_shown_and_every_run_keeps_its_colour(server, browser):
    place = project(server, "outside")
    for number in range(12):
        run = Live(server, place, name=f"run {number}", tags=["odd" if number % 2 else "even"])
        run.log([("loss", 1.0, 0)])
        if number == 1:
            odd = run
    browser.open(address(server, f"{place}?first=3&with={odd.uuid}&where=tag%3Deven"))
    listed(browser, *(f"run {number}" for number in (10, 8, 6, 4, 2, 0)))
    browser.wait("/4 shown, 1 of them not in the list/.test(document.body.innerText)")
    browser.wait("/run 1\\b/.test(document.querySelector('.charts-panel').innerText)")
    dots = f"""Object.fromEntries({SHOWN}.map((row) =>
        [row.querySelector('a').textContent, getComputedStyle(row.querySelector('.dot')).backgroundColor]))"""
    before = browser.run(dots)
    assert len(set(before.values())) == 3
    browser.by_role("checkbox", "Show run 8").click()
    browser.by_role("checkbox", "Show run 0").click()
    browser.by_role("checkbox", "Show run 2").click()
    browser.wait(f"{SHOWN}.length === 4")
    after = browser.run(dots)
    assert {name: after[name] for name in ("run 10", "run 6")} == {name: before[name] for name in ("run 10", "run 6")}
    assert server.ask("DELETE", odd.path).status_code == 204
    with browser.complaining("404 (Not Found)"):
        browser.run(LOOKED)
        browser.wait("!/not in the list/.test(document.body.innerText)")


@pytest.mark.slow
def test_the_table_is_used_by_the_keyboard_alone(server, browser):
    place = project(server, "keys")
    for number in range(20):
        new_run(server, place, name=f"run {number}")
    browser.open(address(server, f"{place}?first=0"))
    browser.wait(f"{NAMES}.length === 20")
    grid = browser.by_role("grid", "Runs")
    grid.press("ArrowDown", "Space", "ArrowDown", "ArrowDown", "Space", "Shift+ArrowDown", "Shift+ArrowDown")
    shown = f"JSON.stringify({SHOWN}.map((row) => row.querySelector('a').textContent))"
    browser.wait(f'{shown} === \'["run 19","run 17","run 16","run 15"]\'')
    new_run(server, place, name="run 20")
    browser.run(LOOKED)
    browser.wait(f"{NAMES}[0] === 'run 20'")
    assert browser.focus[0] == "grid"
    active = "document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).innerText"
    assert browser.run(active).split()[:2] == ["run", "15"], "the place in the table went with its run"
    browser.press("o")
    browser.wait(f"{shown} === '[\"run 15\"]'")
    browser.press("Enter")
    browser.wait("/runs\\/[0-9a-f-]{36}/.test(location.pathname)")


@pytest.mark.slow
def test_what_is_chosen_while_the_server_is_away_is_asked_when_it_is_back(tmp_path, chromium):
    browser = chromium
    with ServerProcess(tmp_path, "--port", str(lasting_port())) as server:
        place = project(server, "away")
        for number in range(30):
            new_run(server, place, name=f"run {number}", status="COMPLETED")
        browser.size(1200, 800)
        browser.open(address(server, place))
        browser.wait(f"{NAMES}[0] === 'run 29'")
        before = browser.run(NAMES)
        with browser.complaining("ERR_CONNECTION", "net::ERR"):
            assert server.end() == (0, "")
            line = browser.by_role("combobox", "Filter the runs")
            line.fill("2")
            browser.wait("/does not answer/.test(document.body.innerText)")
            assert browser.run(NAMES) == before
            server.start()
            browser.run("dispatchEvent(new Event('online'))")
            browser.wait(f"{NAMES}.length === 12 && {NAMES}[0] === 'run 29'")
        browser.open("about:blank")
        assert server.end() == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_table_and_its_menus_have_no_fault_that_axe_finds(server, browser, dark):
    place = project(server, f"axe {dark}")
    for number in range(12):
        run = Live(server, place, name=f"r{number}", config={"lr": number}, tags=["x"])
        run.log([("loss", 1.0, 0)])
    browser.size(1200, 800, dark=dark)
    browser.media(dark=dark, still=True)
    browser.open(address(server, place))
    browser.wait(f"{NAMES}.length === 12 && {HEADS}.includes('loss')")
    assert axe.violations(browser, ".runs-panel") == []
    for menu in ("Filter", "Group", "Columns"):
        browser.by_role("button", menu).click()
        browser.wait("document.querySelector('.popover:popover-open :is(li, .chip)')")
        assert axe.violations(browser, ".runs-panel") == [], menu
        browser.press("Escape")
    browser.by_role("button", "Select").click()
    browser.by_role("checkbox", "Select r3").click()
    browser.by_role("combobox", "Filter the runs").type("con")
    browser.by_role("option", "config.lr").found()
    assert axe.violations(browser, ".runs-panel") == []


@pytest.mark.slow
def test_a_filter_is_read_as_its_conditions_and_words_become_one(server, browser):
    filters = load(browser, server, "data/runs_filter.js")
    assert filters.call("conditionsOf", 'name="a and b" and tag=x  and "p and q".last<1') == [
        'name="a and b"',
        "tag=x",
        '"p and q".last<1',
    ]
    assert filters.call("conditionsOf", '[["config.lr", ">", 0.1], ["tag", "=", "a b"]]') == [
        "config.lr>0.1",
        'tag="a b"',
    ]
    assert (
        filters.call("withSwitched", "status=FAILED and tag=x", "status", "RUNNING", True) == "tag=x and status=RUNNING"
    )
    assert filters.call("withSwitched", "status=FAILED and tag=x", "tag", "x", False) == "status=FAILED"
    assert filters.call("withSwitched", "", "group", None, True) == "group=null"
    words = {"": "", " a  b ": "words~a and words~b", "a=b": "a=b", '"x y" 7': 'words~"x y" and words~"7"', "[1": "[1"}
    assert {each: filters.call("filterOf", each) for each in words} == words
    unfinished = ("status=", "status=FAILED and", "status=FAILED and tag")
    assert [each for each in (*unfinished, "tag", "tag=x", "a b", "") if filters.call("isUnfinished", each)] == [
        *unfinished
    ]


@pytest.mark.slow
def test_the_table_is_used_by_a_finger_on_a_narrow_window(server, browser):
    place = project(server, "narrow")
    for number in range(20):
        Live(server, place, name=f"run {number}", tags=["x"]).log([("loss", 1.0, 0)])
    browser.size(390, 800)
    browser.open(address(server, place))
    browser.by_role("button", re.compile("^Runs")).tap()
    browser.wait(f"{NAMES}.length > 10 && {HEADS}.includes('loss')")
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    left = browser.by_role("link", "run 15").box[0]
    browser.run(f"{GRID}.scrollLeft = 200")
    assert browser.by_role("link", "run 15").box[0] == left, "the name stays in view"
    browser.by_role("checkbox", "Show run 15").tap()
    browser.wait(f"{SHOWN}.length === 9")
    browser.by_role("button", "Filter").tap()
    browser.by_role("button", "Status: failed").tap()
    browser.wait("/No run matches/.test(document.body.innerText)")
    browser.by_role("button", "Status: failed").tap()
    browser.press("Escape")
    browser.by_role("button", re.compile("^Runs")).tap()
    browser.wait("/9 shown/.test(document.body.innerText)")


@pytest.mark.slow
def test_a_run_that_is_pointed_at_stands_out_in_the_charts(server, browser):
    place = project(server, "pointed")
    for number in range(3):
        Live(server, place, name=f"run {number}").log([("loss", number + at / 10, at) for at in range(5)])
    browser.open(address(server, place))
    browser.wait("document.querySelectorAll('.charts-panel canvas').length && /run 2/.test(document.body.innerText)")
    browser.by_role("link", "run 1").hover()
    bold = "[...document.querySelectorAll('.charts-panel *')].filter((each) => each.children.length === 0"
    bold += " && /^run \\d$/.test(each.textContent) && Number(getComputedStyle(each).fontWeight) > 500)"
    browser.wait(f"JSON.stringify({bold}.map((each) => each.textContent)) === '[\"run 1\"]'")


@pytest.mark.slow
def test_what_is_no_field_in_an_address_is_left_out_of_it(server, browser):
    place = project(server, "nonsense")
    Live(server, place, name="a", config={"a b": 1}).log([("p(a<b)", 1.0, 0)])
    quoted = "config.%22a%20b%22,%22p(a<b)%22.last"
    given = f"columns=,foo,status,a.b,.last,x%20y.last,{quoted}&sort=-bar&group=%00&with=..%252F,x&first=-1&without=%25"
    browser.open(address(server, f"{place}?{given}"))
    listed(browser, "a")
    assert browser.run(HEADS) == ["Name", "Status", "a b", "p(a<b)"]
    assert list(cells(browser, "a").values()) == ["a", "running", "1", "1"]
    browser.wait("!/sort|group|foo/.test(location.search)")
    for sort in ("-tag", "tag"):
        browser.open(address(server, f"{place}?sort={sort}"))
        listed(browser, "a")


@pytest.mark.slow
def test_what_a_run_merely_logs_does_not_hasten_the_reading_of_the_table(server, browser):
    run = Live(server, project(server, "alive"), name="a")
    browser.open(address(server, "/"))
    browser.wait("document.querySelector('h1')")
    pages = load(browser, server, "data/runs_pages.js")
    pages.run("(globalThis.alive = new RunPages({ namespace: 'team', project: 'alive' }), null)")
    question = {"where": "", "sort": "-started", "columns": ["name", "tag", "seen", "last_point", "loss.last"]}
    read = f"globalThis.alive.read({json.dumps(question)}, () => ({{ least: 0, seen: new Set() }}), () => true)"
    assert [pages.run(read), pages.run(read)] == [True, False]
    run.log([("loss", 0.5, 0)])
    assert pages.run(read) is False
    (row,) = pages.run("globalThis.alive.rows.value")
    assert (row["loss.last"], row["last_point"]) == (0.5, server.ask("GET", run.path).json()["last_point"])
    tell(server, run.path, tags=["x"])
    assert pages.run(read) is True


@pytest.mark.slow
def test_pages_are_those_of_the_server_whatever_becomes_of_the_runs(server, browser):
    """Runs are made, renamed and deleted at random; the rows that are read are the server's, each time."""
    place = project(server, "pages")
    source = random.Random(3)
    runs = [new_run(server, place, name=f"{source.random():.6f}", status="COMPLETED") for _ in range(320)]
    browser.open(address(server, "/"))
    browser.wait("document.querySelector('h1')")
    pages = load(browser, server, "data/runs_pages.js")
    pages.run("(globalThis.pages = new RunPages({ namespace: 'team', project: 'pages' }), null)")
    question = {"where": "", "sort": "name", "columns": ["name"]}
    for turn in range(12):
        for _ in range(source.choice([0, 1, 3, 70])):
            what = source.random()
            if what < 0.4:
                runs.append(new_run(server, place, name=f"{source.random():.6f}", status="COMPLETED"))
            elif what < 0.7:
                assert server.ask("DELETE", runs.pop(source.randrange(len(runs)))).status_code == 204
            else:
                tell(server, source.choice(runs), name=f"{source.random():.6f}")
        seen = [uuid_of(run) for run in source.sample(runs, 3)]
        given = f"{json.dumps(question)}, () => ({{ least: 260, seen: new Set({json.dumps(seen)}) }}), () => true"
        # All pages are up to date only once each was asked for again: its rows are all seen.
        everyone = json.dumps([uuid_of(run) for run in runs])
        pages.run(f"globalThis.pages.read({given})")
        pages.run(f"globalThis.pages.read({given.replace(json.dumps(seen), everyone)})")
        found = pages.run("globalThis.pages.rows.value.map(({ name }) => name)")
        table = server.ask("GET", f"{place}table/", params={"columns": "name", "sort": "name", "limit": 1000}).json()
        names = [row["name"] for row in table["rows"]]
        assert len(found) > 260, turn
        assert found == names[: len(found)], turn
        assert pages.run("globalThis.pages.total.value") == len(runs)
