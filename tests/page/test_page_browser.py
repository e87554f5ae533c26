"""The page in a real browser: shows what the server has, stays live, works on any screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from page.looking import CARDS, DRAWN, address, new_run, project
from server.batches import range_of
from server.process import SOURCES, ServerProcess, lasting_port


def after(ms: int) -> str:
    return f"new Promise((done) => setTimeout(done, {ms}))"


def test_a_run_is_shown_at_its_web_address_and_the_token_leaves_the_address_bar(server, browser):
    place = project(server, "shown")
    run = new_run(server, place, name="First Run_1", description="what it is")
    records = [("steplog/config", b'{"lr": 0.1, "net": {"layers": [64, 10]}, "seed": 1152921504606846977}')]
    records += [("loss", 1 / (step + 1), step) for step in range(500)] + [("note", b'"so far so good"'), ("n", 3)]
    server.send(run, range_of(records))
    browser.open(address(server, f"{place}runs/first-run-1/"))
    browser.wait(f"{DRAWN} === 2")
    assert browser.run("location.href") == f"{server.url}{place}runs/first-run-1/"
    assert browser.run("document.title") == "First Run_1 · steplog"
    text = browser.run("document.querySelector('main').innerText")
    for said in (
        "First Run_1",
        "RUNNING",
        "what it is",
        "net.layers",
        "[64,10]",
        "1152921504606846977",
        "so far so good",
    ):
        assert said in text
    assert browser.run(CARDS) == ["loss", "note", "n"]
    assert "500 points" in browser.run("document.querySelector('.plot').getAttribute('aria-label')")
    browser.run("document.querySelectorAll('.views button')[1].click()")
    rows = browser.run(
        "[...document.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((c) => c.innerText))"
    )
    assert rows[0] == ["loss", "0.002", "0.002", "1", "500", "0", "499"]
    assert [row[:2] for row in rows[1:]] == [["note", "so far so good"], ["n", "3"]]
    assert browser.run("location.search") == "?view=table"


PROGRAM = """
import steplog
run = steplog.init(project="real", config={"lr": 0.1})
print(run.url, flush=True)
for step in range(100):
    run.log("loss", 1 / (step + 1), step)
raise ValueError("out of data")
"""


def test_the_address_that_a_program_is_given_shows_its_run_and_what_it_went_down_on(server, browser):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"STEPLOG_DIR": str(server.directory), "PYTHONPATH": str(SOURCES)},
        cwd=server.directory,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    browser.open(done.stdout.strip())
    browser.wait(f"{DRAWN} === 1")
    assert browser.run("document.querySelector('.title .status').textContent") == "CRASHED"
    assert browser.run("document.querySelector('.exception summary bdi').textContent") == "ValueError: out of data"
    assert "line 7" in browser.run("document.querySelector('.exception pre').textContent")
    assert browser.run("document.querySelector('.config dl').textContent") == "lr0.1"
    assert browser.run("document.querySelector('.readout').textContent") == "100 points, steps 0 – 99"
    assert browser.run("location.hash") == ""


LOST = {"dropped": {"memory full": 1_132_772}, "abandoned": 0, "lost": 0, "rejected": 0}
LINES = "[...document.querySelectorAll('.losses:not([hidden]) p')].map((line) => line.textContent)"
MARKS = "[...document.querySelectorAll('.runs a')].map((run) => run.querySelector('.lossmark')?.textContent ?? null)"


def test_a_run_says_how_many_of_its_values_are_missing_and_why(server, browser):
    place = project(server, "missing")
    run = new_run(server, place, name="a")
    server.send(run, range_of([("steplog/config", b"{}")] + [("loss", 1.0, step) for step in range(227)]))
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")
    assert browser.run(LINES) == []
    server.ask("PATCH", run, json={"status": "CRASHED", "report": LOST})
    browser.wait(f"{LINES}.length")
    assert browser.run(LINES) == ["1,132,772 of 1,133,000 values were dropped: memory full"]
    every = {"dropped": {"oldest": 20, "memory full": 50}, "abandoned": 1, "lost": 700, "rejected": 1}
    for report, lines in (
        (
            every,
            [
                "70 of 1,000 values were dropped: 50 memory full, 20 oldest",
                "1 of 1,000 values was lost in memory: the process ended while it logged them",
                "up to 700 of 1,000 values were lost with a killed process's memory",
                "1 of 1,000 values was refused by the server and set aside in a file",
            ],
        ),
        (
            LOST | {"dropped": {}, "lost": None},
            ["an unknown number of values was lost with a killed process's memory"],
        ),
        (LOST | {"dropped": {"memory full": 0}}, []),
    ):
        server.ask("PATCH", run, json={"report": report})
        browser.open(address(server, run))
        browser.wait(f"{DRAWN} === 1")
        assert browser.run(LINES) == lines


def test_a_run_with_missing_values_is_marked_in_words_in_the_list(server, browser):
    place = project(server, "marked")
    reports = [
        None,
        LOST,
        LOST | {"dropped": {}},
        LOST | {"dropped": {"oldest": 20, "memory full": 50}, "abandoned": 1, "lost": 29, "rejected": 3},
        LOST | {"dropped": {}, "lost": None},
        LOST | {"dropped": {}, "abandoned": 1},
    ]
    for number, report in enumerate(reports):
        run = new_run(server, place, name=f"run {number}")
        server.ask("PATCH", run, json={"status": "COMPLETED", "report": report})
    marks = [
        None,
        "1,132,772 values lost: memory full",
        None,
        "up to 100 values lost: 50 memory full, 20 oldest; 3 refused by the server",
        "an unknown number of values lost",
        "1 value lost",
    ]
    for width in (1200, 360):
        browser.size(width, 780)
        browser.open(address(server, place))
        browser.wait(f"document.querySelectorAll('.runs li').length === {len(reports)}")
        assert browser.run(MARKS) == marks[::-1]
        assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    links = [node["name"]["value"] for node in tree if node["role"].get("value") == "link"]
    assert any("COMPLETED" in link and "1,132,772 values lost: memory full" in link for link in links)


@pytest.mark.slow
def test_it_is_live_while_the_run_is_and_says_how_it_ended(server, browser):
    run = new_run(server, project(server, "live"), name="a")
    browser.open(address(server, run))
    browser.wait("document.body.innerText.includes('No metric yet')")
    server.send(run, range_of([("loss", 1.5, 0)]))
    browser.wait(f"{DRAWN} === 1 && document.querySelector('.last').textContent === '1.5'")
    trace = "Traceback (most recent call last):\n  File …\nValueError: <b>no</b>"
    told = {"type": "ValueError", "message": "<b>no</b>\n  at all\n", "traceback": trace}
    server.send(run, range_of([("loss", float("nan"), 1), ("steplog/exception", json.dumps(told).encode())], first=1))
    server.ask("PATCH", run, json={"status": "CRASHED"})
    browser.wait("document.querySelector('.title .status').textContent === 'CRASHED'")
    browser.wait("document.querySelector('.exception summary bdi')?.textContent === 'ValueError: <b>no</b> at all'")
    assert browser.run("document.querySelector('.exception pre').textContent") == trace
    assert browser.run("document.querySelector('.last').textContent") == "NaN"
    assert browser.run(CARDS) == ["loss"]


@pytest.mark.slow
def test_it_says_that_the_server_is_away_and_goes_on_when_it_is_back(browser, tmp_path):
    with ServerProcess(tmp_path, "--port", str(lasting_port())) as server:
        run = server.new_run()
        browser.open(address(server, run))
        browser.wait("document.body.innerText.includes('No metric yet')")
        server.end()
        browser.wait("document.getElementById('notice').textContent.startsWith('The server does not answer')")
        server.start()
        server.send(run, range_of([("loss", 1.0, 0)]))
        browser.wait(f"{DRAWN} === 1 && document.getElementById('notice').textContent === ''")
        browser.open("about:blank")
    assert [line for line in browser.complaints if "net::ERR_CONNECTION_REFUSED" not in line] == []
    browser.forget()


@pytest.mark.slow
def test_a_page_that_no_one_sees_asks_nothing(server, browser):
    run = new_run(server, project(server, "hidden"), name="a")
    browser.open(address(server, run))
    browser.wait("document.body.innerText.includes('No metric yet')")
    hide = "Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}});"
    browser.run(hide.format("true") + "document.dispatchEvent(new Event('visibilitychange'))")
    browser.run(after(500))  # what was being asked is answered
    asked = len(browser.requests)
    browser.run(after(3500))
    assert len(browser.requests) == asked
    server.send(run, range_of([("loss", 1.0, 0)]))
    browser.run(hide.format("false") + "document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait(f"{DRAWN} === 1")


def test_without_a_token_the_page_asks_for_it_and_another_tab_gives_it(server, browser):
    run = new_run(server, project(server, "asked"), name="a")
    browser.open(server.url + run + "#token=wrong")
    browser.wait("document.querySelector('form input')")
    assert browser.run("document.querySelector('main').innerText").startswith("This page needs its token")
    pasted = json.dumps(address(server, run))
    browser.submit(f"document.querySelector('#token').value = {pasted}")
    browser.wait("document.querySelector('.title')")
    late = (
        "const post = BroadcastChannel.prototype.postMessage; BroadcastChannel.prototype.postMessage = function (said) "
    )
    late += "{ setTimeout(() => post.call(this, said), 1000) }"
    for script in ("", late):  # a busy machine answers after the page has begun to ask for the token
        with browser.another_tab():
            browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
            browser.open(server.url + run)
            browser.wait("document.querySelector('.title')")
    assert [line for line in browser.complaints if "401" not in line] == []
    browser.forget()


@pytest.mark.slow
def test_a_page_whose_token_was_rotated_asks_for_the_new_one(browser, tmp_path):
    with ServerProcess(tmp_path) as server:
        run = server.new_run()
        browser.open(address(server, run))
        browser.wait("document.body.innerText.includes('No metric yet')")
        key = [sys.executable, "-m", "steplog", "key"]
        environment = os.environ | {"STEPLOG_DIR": str(tmp_path), "PYTHONPATH": str(SOURCES)}
        subprocess.run([*key, "rotate", "--page"], env=environment, check=True, capture_output=True)
        browser.wait("document.querySelector('form input')")
        new = subprocess.run([*key, "page"], env=environment, check=True, capture_output=True, text=True).stdout.strip()
        browser.submit(f"document.querySelector('#token').value = {json.dumps(new)}")
        browser.wait("document.body.innerText.includes('No metric yet')")
        browser.open("about:blank")
    assert [line for line in browser.complaints if "401" not in line] == []
    browser.forget()


def test_what_is_not_there_is_said(server, browser):
    place = project(server, "there")
    browser.open(address(server, f"{place}runs/nothing/"))
    browser.wait("document.getElementById('notice').textContent === 'This run is not on the server.'")
    browser.open(address(server, "/team/projects/nothing/"))
    browser.wait("document.getElementById('notice').textContent === 'This project is not on the server.'")
    assert [line for line in browser.complaints if "404" not in line] == []
    browser.forget()


@pytest.mark.slow
def test_the_lists_lead_to_the_runs(server, browser):
    place = project(server, "Listed Project")
    for number in range(103):
        new_run(server, place, name=f"run {number}", status="RUNNING" if number else "FAILED")
    browser.open(address(server, "/"))
    browser.wait(f"document.querySelector('a[href=\"{place}\"]')?.textContent === 'Listed Project'")
    browser.run(f"document.querySelector('a[href=\"{place}\"]').click()")
    browser.wait("document.querySelectorAll('.runs li').length === 100")
    assert browser.run("document.querySelector('.runs a').innerText").startswith("run 102")
    browser.run("document.querySelector('.more').click()")
    assert "FAILED" in browser.run("document.querySelector('.runs li:last-child').innerText")
    assert browser.run("document.querySelectorAll('.runs li').length") == 103
    browser.run("document.querySelector('.runs li:last-child a').click()")
    browser.wait("document.querySelector('h1')?.textContent === 'run 0'")


def test_a_thousand_metrics_cost_what_can_be_seen_of_them(server, browser):
    run = new_run(server, project(server, "many"), name="a")
    server.send(run, range_of([(f"layer {n}", float(step), step) for step in range(3) for n in range(1000)]))
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} >= 6")
    assert browser.run("document.querySelectorAll('.card').length") == 48
    assert browser.run(DRAWN) < 30
    assert sum("?name=" in url for url in browser.requests) < 30
    browser.run("scrollTo(0, 4000)")
    browser.wait("document.querySelectorAll('.card')[30].querySelector('canvas')")
    browser.wait("!document.querySelectorAll('.card')[0].querySelector('canvas')")
    filter_ = "document.querySelector('input[type=search]')"
    browser.run(f"{filter_}.value = '99 LAYER'; {filter_}.dispatchEvent(new Event('input'))")
    browser.wait("document.querySelectorAll('.card').length === 19")
    assert "19 of 1,000 metrics" in browser.run("document.querySelector('.tools').innerText")


def test_it_fits_on_a_small_screen_and_is_used_with_keys(server, browser):
    run = new_run(server, project(server, "small"), name="a_run_with_a_rather_long_name_" + "x" * 60)
    server.send(run, range_of([("m" * 200, float(step), step * 10) for step in range(5)]))
    browser.size(360, 780)
    for view in ("curves", "table"):
        browser.open(address(server, f"{run}?view={view}"))
        browser.wait(f"{DRAWN} === 1" if view == "curves" else "document.querySelector('tbody tr')")
        assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [360, 360]
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")
    browser.run("document.querySelector('.plot').focus()")
    said = []
    for key in ("ArrowRight", "ArrowRight", "End", "Escape"):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key)
        browser.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)
        browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        said.append(browser.run("document.querySelector('.readout').textContent"))
    assert said == ["step 0: 0", "step 10: 1", "step 40: 4", "5 points, steps 0 – 40"]


def test_on_a_small_screen_the_first_curve_and_last_value_are_seen_at_once(server, browser):
    run = new_run(server, project(server, "first"), name="a")
    config = json.dumps({f"setting {n}": n for n in range(12)}).encode()
    text = b'"' + b"long " * 100 + b'"'
    server.send(run, range_of([("steplog/config", config), ("loss", 1.0, 0), ("loss", 2.0, 1), ("note", text)]))
    browser.size(400, 800)
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")
    assert browser.run("document.querySelector('.card').getBoundingClientRect().bottom") < 800
    browser.open(address(server, f"{run}?view=table"))
    browser.wait("document.querySelector('tbody tr')")
    assert browser.run("document.querySelector('tbody td').getBoundingClientRect().right") < 400


def test_a_run_that_ended_without_metrics_offers_nothing_to_do_with_them(server, browser):
    run = new_run(server, project(server, "nothing"), name="a", status="COMPLETED")
    browser.open(address(server, run))
    browser.wait("document.querySelector('.tools')?.innerText === 'No metric was logged.'")


BIG = 2**63 - 1
STRANGE: dict[str, list[tuple[Any, int]]] = {
    "huge": [(1.7e308, 0), (-1.7e308, 1), (1e299, 2)],
    "small": [(5e-324, 0), (1e-323, 1)],
    "near": [(1e15, 0), (1e15 + 0.125, 1)],
    "nearer": [(1.0, 0), (1.0 + 2**-52, 1)],
    "last steps": [(1.0, BIG - 1), (2.0, BIG)],
    "all steps": [(1.0, -BIG), (2.0, BIG)],
    "backwards": [(1.0, 5), (2.0, 1), (3.0, 3), (4.0, 3)],
    "integers": [(BIG, 0), (-BIG - 1, 1)],
    "not finite": [(float("nan"), 0), (float("inf"), 1), (float("-inf"), 2)],
    "mixed": [(1.0, 0), (b'"text"', 1), (float("nan"), 2), (True, 3), (b"null", 4)],
    "beyond": [(b"1e400", 0), (b"123456789012345678901234567890", 1)],
}


def test_no_number_makes_the_page_hang(server, browser):
    """uPlot once counted for ever along an axis whose step a float cannot add."""
    run = new_run(server, project(server, "strange"), name="a")
    server.send(run, range_of([(name, *point) for name, points in STRANGE.items() for point in points]))
    browser.size(1200, 2400)
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === {len(STRANGE)}")
    lasts = browser.run("[...document.querySelectorAll('.card')].map((c) => c.querySelector('.last').textContent)")
    assert dict(zip(STRANGE, lasts, strict=True)) == {
        "huge": "1e299",
        "small": "9.8813e\u2212324",
        "near": "1e15",
        "nearer": "1",
        "last steps": "2",
        "all steps": "2",
        "backwards": "4",
        "integers": "\u22129,223,372,036,854,775,808",
        "not finite": "\u2212∞",
        "mixed": "null",
        "beyond": "123,456,789,012,345,678,901,234,567,890",
    }
