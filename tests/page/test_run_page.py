"""The page of a run through its life: what is said of it, how it goes, how it is renamed, deleted and restored."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from page import axe
from page.browser import Browser
from page.looking import address, new_run, project, uuid_of
from page.modules import load
from polling import wait_until
from server.batches import range_of
from server.process import KEY, SOURCES, ServerProcess, lasting_port
from steplog.cli import run_times

FACTS = (
    "Object.fromEntries([...document.querySelectorAll('[aria-label=Facts] dl > div')]"
    ".map((fact) => [...fact.children].map((each) => each.textContent)))"
)
ROWS = (
    "[...[...document.querySelectorAll('details')].find((each) => each.innerText.startsWith('{}'))"
    ".querySelectorAll('dl > div')].map((row) => [...row.children].map((each) => each.textContent))"
)
STATUS = "document.querySelector('main .status').textContent"
LINES = "[...document.querySelectorAll('[aria-label=\"What is missing\"] p')].map((line) => line.textContent)"
LOOKED = "document.dispatchEvent(new Event('visibilitychange'))"  # polls at once
TOLD = {"type": "ValueError", "message": "no", "traceback": "Traceback (most recent call last):\nValueError: no"}
CRASH = json.dumps(TOLD).encode()


def date(seconds_ago: float) -> str:
    then = datetime.now(timezone.utc) - timedelta(seconds=seconds_ago)
    return then.isoformat(timespec="microseconds").replace("+00:00", "Z")


def tell(server: ServerProcess, run: str, **fields: Any) -> None:
    answer = server.ask("PATCH", run, json=fields)
    assert answer.status_code == 200, answer.text


def resume(server: ServerProcess, run: str, maker: str) -> int:
    """The new generation."""
    answer = server.ask("POST", f"{run}generations/", json={"began": date(0)}, headers={"Steplog-Maker": maker})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["generation"])


def opened(server: ServerProcess, browser: Browser, path: str, name: str | None = None) -> None:
    """Go to the page of a run; it is there once its name is."""
    browser.open(address(server, path))
    if name is None:
        browser.wait("document.querySelector('[aria-label=Facts]')")
    else:
        browser.by_role("heading", name).found()


def panels(browser: Browser) -> list[str]:
    """What is told of the run in panels of their own."""
    told = {"Exception", "Config", "Started from"}
    return [name for name in browser.names("heading") if name in told]


def test_a_run_shows_what_is_said_of_it(server, browser):
    place = project(server, "shown")
    key = {"Idempotency-Key": '"id:lr-3.e_4"'}
    made = server.ask("POST", f"{place}runs/", json={"name": "First Run_1"}, headers=key)
    run = f"{place}runs/{made.json()['uuid']}/"
    config = b'{"lr": 0.1, "net": {"layers": [64, 10]}, "seed": 1152921504606846977}'
    server.send(run, range_of([("steplog/config", config), ("loss", 1.0, 0)]))
    said = {"tags": ["paper", "v2"], "group": "sweep 7", "job_type": "train", "notes": "Keep.\nReally."}
    tell(server, run, **said, description="A\nB", started=date(8000), status="COMPLETED", ended=date(100))
    opened(server, browser, f"{place}runs/first-run-1/", "First Run_1")
    assert browser.run("location.href") == f"{server.url}{place}runs/first-run-1/"
    assert browser.run("document.title") == "First Run_1 · steplog"
    browser.wait(f"{FACTS}.Started")
    assert browser.run(FACTS) == {
        "Started": "2 h ago",
        "Ended": "1 min ago",
        "Duration": "2 h 11 min",
        "By": made.json()["user"]["username"],
        "Id": "lr-3.e_4",
        "Group": "sweep 7",
        "Job type": "train",
    }
    text = browser.by_role("complementary", "About this run").text
    assert "A\nB" in text
    assert "Keep.\nReally." in text
    rows = [["lr", "0.1"], ["net.layers", "[64,10]"], ["seed", "1152921504606846977"]]
    browser.wait(f"JSON.stringify({ROWS.format('Config')}) === {json.dumps(json.dumps(rows, separators=(',', ':')))}")
    links = {name: browser.by_role("link", name).run("function () { return this.search }") for name in ("v2", "train")}
    assert links == {"v2": "?where=tag%3D%22v2%22", "train": "?where=job_type%3D%22train%22"}
    assert browser.by_role("link", "Compare").run("function () { return this.href }") == (
        f"{server.url}{place}?with={made.json()['uuid']}"
    )


PROGRAM = """
import steplog
run = steplog.init(project="real", config={"lr": 0.1})
print(run.url, flush=True)
for step in range(100):
    run.log("loss", 1 / (step + 1), step)
raise ValueError("out of data")
"""


@pytest.mark.slow
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
    browser.wait(f"{STATUS} === 'CRASHED'")
    browser.wait("document.querySelector('.exception summary bdi').textContent === 'ValueError: out of data'")
    assert "line 7" in browser.run("document.querySelector('.exception pre').textContent")
    browser.wait(f'JSON.stringify({ROWS.format("Config")}) === \'[["lr","0.1"]]\'')
    assert browser.run("location.hash") == ""


@pytest.mark.slow
def test_what_open_in_python_copies_opens_the_run(server, browser):
    run = new_run(server, project(server, "python"), name="a")
    server.send(run, range_of([("loss", 0.25, 0)]))
    opened(server, browser, run)
    browser.run("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    browser.by_role("button", "Open in Python").click()
    browser.wait("window.copied")
    done = subprocess.run(
        [sys.executable, "-c", browser.run("copied")],
        env=os.environ | {"STEPLOG_DIR": str(server.directory), "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "{'loss': 0.25}\n"), done.stderr


@pytest.mark.slow
def test_the_history_is_a_link_to_csv(server, browser):
    run = new_run(server, project(server, "csv"), name="a/b")
    server.send(run, range_of([("loss", 0.25, 0), ("loss", 0.5, 1)]))
    opened(server, browser, run)
    link = browser.by_role("link", "CSV")
    href, file = link.run("function () { return [this.getAttribute('href'), this.download] }")
    assert file == "a_b.csv"
    answer = server.session.get(server.url + href)
    assert answer.headers["content-type"].startswith("text/csv")
    assert [line.split(",")[-1] for line in answer.text.split()] == ["value", "0.25", "0.5"]


LOST = {"dropped": {"memory full": 1_132_772}, "abandoned": 0, "lost": 0, "rejected": 0}
LOSSES = [
    (
        {"dropped": {"oldest": 20, "memory full": 50}, "abandoned": 1, "lost": 700, "rejected": 1},
        [
            "70 of 1,000 values were dropped: 50 memory full, 20 oldest",
            "1 of 1,000 values was lost in memory: the process ended while it logged them",
            "up to 700 of 1,000 values were lost with a killed process's memory",
            "1 of 1,000 values was refused by the server and set aside in a file",
        ],
    ),
    (LOST | {"dropped": {}, "lost": None}, ["an unknown number of values was lost with a killed process's memory"]),
    (LOST | {"dropped": {"memory full": 0}}, []),
    (LOST, ["1,132,772 of 1,133,000 values were dropped: memory full"]),
]


@pytest.mark.slow
def test_a_run_says_how_many_of_its_values_are_missing_and_why(server, browser):
    run = new_run(server, project(server, "missing"), name="a")
    records = [("steplog/config", b"{}"), *(("loss", 1.0, step) for step in range(227)), ("system/cpu", 1.0, 0)]
    server.send(run, range_of(records))
    opened(server, browser, run)
    browser.wait(f"{STATUS} === 'RUNNING'")
    assert browser.run(LINES) == []
    for report, lines in LOSSES:
        tell(server, run, status="CRASHED", report=report)
        browser.run(LOOKED)
        browser.wait(f"JSON.stringify({LINES}) === {json.dumps(json.dumps(lines, separators=(',', ':')))}")


@pytest.mark.slow
def test_records_that_the_server_cannot_read_are_counted(browser, tmp_path):
    with ServerProcess(tmp_path) as server:
        run = server.new_run()
        for at in range(3):
            assert server.send(run, range_of([("a", at), ("b", at)], 2 * at)).ok
        with closing(sqlite3.connect(server.database, isolation_level=None)) as connection:
            connection.execute("UPDATE log SET body = x'00' WHERE first_arrival = 2")
        tell(server, run, status="COMPLETED")
        wait_until(lambda: server.ask("GET", run).json().get("unreadable") == 2)
        opened(server, browser, run)
        browser.wait(f"{LINES}.length === 1")
        assert browser.run(LINES) == ["2 stored records cannot be read: damaged on the server's disk"]
        browser.open("about:blank")


@pytest.mark.slow
def test_it_is_live_while_the_run_is_and_says_how_it_ended(server, browser):
    run = new_run(server, project(server, "live"), name="a")
    opened(server, browser, run)
    server.send(run, range_of([("loss", 1.5, 0)], began_ns=time.time_ns()))
    browser.wait(f"{FACTS}['Last point']")
    trace = "Traceback (most recent call last):\n  File …\nValueError: <b>no</b>"
    told = {"type": "ValueError", "message": "<b>no</b>\n  at all\n", "traceback": trace}
    server.send(run, range_of([("loss", float("nan"), 1), ("steplog/exception", json.dumps(told).encode())], first=1))
    tell(server, run, status="CRASHED")
    browser.wait(f"{STATUS} === 'CRASHED'")
    browser.wait("document.querySelector('.exception summary bdi')?.textContent === 'ValueError: <b>no</b> at all'")
    assert browser.run("document.querySelector('.exception pre').textContent") == trace


@pytest.mark.slow
def test_a_run_goes_on_after_an_outage_and_what_was_shown_stays(browser, tmp_path):
    with ServerProcess(tmp_path, "--port", str(lasting_port())) as server:
        run = server.new_run()
        tell(server, run, notes="before")
        opened(server, browser, run)
        server.end()
        browser.wait("document.getElementById('notice').textContent.startsWith('The server does not answer')")
        assert "before" in browser.by_role("complementary", "About this run").text
        server.start()
        tell(server, run, notes="after")
        browser.wait("document.querySelector('.notes p').textContent === 'after'")
        browser.wait("document.getElementById('notice').textContent === ''")
        browser.open("about:blank")
    assert [line for line in browser.complaints if "net::ERR_CONNECTION_REFUSED" not in line] == []
    browser.forget()


@pytest.mark.slow
def test_a_page_that_no_one_sees_asks_nothing(server, browser):
    run = new_run(server, project(server, "hidden"), name="a")
    opened(server, browser, run)
    hide = "Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}});"
    browser.run("window.asked = 0; fetch = ((real) => (...all) => (asked++, real(...all)))(fetch)")
    browser.run(LOOKED)
    browser.wait("asked > 0")
    browser.run(hide.format("true") + "document.dispatchEvent(new Event('visibilitychange'))")
    browser.run("new Promise((done) => setTimeout(done, 500))")  # what was being asked is answered
    browser.run("asked = 0; setTimeout = ((real) => (act, ms, ...all) => real(act, ms / 100, ...all))(setTimeout)")
    browser.run("new Promise((done) => setTimeout(done, 50_000))")  # half a second, in which fifty pass
    assert browser.run("asked") == 0
    tell(server, run, notes="new")
    browser.run(hide.format("false") + "document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait("document.querySelector('.notes p')?.textContent === 'new'")


@pytest.mark.slow
def test_what_is_said_later_appears_and_what_is_taken_back_goes(server, browser):
    run = new_run(server, project(server, "later"), name="a", description="old")
    opened(server, browser, run)
    browser.wait("document.querySelector('.description').innerText === 'old'")
    tell(server, run, tags=["new"], description="", notes="noted")
    browser.run(LOOKED)
    browser.by_role("link", "new").found()
    assert not browser.run("document.querySelector('.description')")
    tell(server, run, tags=[], notes="")
    browser.run(LOOKED)
    browser.wait("!document.querySelector('.tags') && !document.querySelector('.notes')")


@pytest.mark.slow
def test_a_running_run_counts_on_between_answers(server, browser):
    run = new_run(server, project(server, "counts"), name="a")
    tell(server, run, started=date(3610))
    server.send(run, range_of([("loss", 1.0, 0)], began_ns=time.time_ns()))
    opened(server, browser, run)
    assert browser.run(FACTS)["Last point"] in {"just now", *(f"{n} s ago" for n in range(1, 45))}
    browser.run("window.fetch = () => new Promise(() => {})")  # no answer comes any more
    assert browser.run(FACTS)["Duration"] == "1 h"
    browser.run("Date.now = ((real) => () => real() + 60_000)(Date.now)")
    browser.wait(f"{FACTS}['Duration'] === '1 h 1 min' && {FACTS}['Last point'] === '1 min ago'")


@pytest.mark.slow
def test_ages_are_right_where_the_browsers_clock_is_not(server, browser):
    run = new_run(server, project(server, "clocks"), name="a")
    tell(server, run, started=date(7230))
    script = "Date.now = ((real) => () => real() - 3 * 3600_000)(Date.now)"
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    opened(server, browser, run)
    browser.wait(f"{FACTS}['Started'] === '2 h ago'")
    assert browser.run(FACTS)["Duration"] == "2 h"
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


@pytest.mark.slow
def test_a_running_run_that_is_silent_for_five_minutes_says_so(browser, tmp_path):
    with ServerProcess(tmp_path, "--port", str(lasting_port())) as server:
        place = project(server, "silent")
        runs = [new_run(server, place, name=name) for name in ("silent", "heard", "ended")]
        tell(server, runs[2], status="COMPLETED")
        server.end()
        connection = sqlite3.connect(server.database)
        for run, seconds in zip(runs, (725, 280, 725), strict=True):
            connection.execute(
                "UPDATE progress SET seen = ? WHERE run = (SELECT id FROM runs WHERE uuid = ?)",
                (date(seconds), uuid_of(run)),
            )
        connection.commit()
        connection.close()
        server.start()
        for run, said in zip(runs, ["RUNNING, not heard of for 12 min", "RUNNING", "COMPLETED"], strict=True):
            browser.open(address(server, run))
            browser.wait(f"{STATUS} === {json.dumps(said)}")
        server.ask("GET", runs[0], headers={"Steplog-Maker": "m"})  # its client asks after it
        browser.open(address(server, runs[0]))
        browser.wait(f"{STATUS} === 'RUNNING'")
        browser.open("about:blank")


@pytest.mark.slow
def test_a_traceback_is_shown_only_while_it_is_what_ended_the_run(server, browser):
    run = new_run(server, project(server, "crashed"), name="a")
    server.send(run, range_of([("loss", 1.0, 0), ("steplog/exception", CRASH)]))
    tell(server, run, status="CRASHED")
    opened(server, browser, run)
    browser.by_role("heading", "Exception").found()
    assert browser.run("document.querySelector('.exception pre').textContent") == TOLD["traceback"]
    generation = resume(server, run, "m")
    browser.run(LOOKED)
    browser.wait(f"{STATUS} === 'RUNNING' && {FACTS}['Resumed'] === 'once'")
    assert panels(browser) == []
    tell(server, run, status="COMPLETED", generation=generation)
    browser.run(LOOKED)
    browser.wait(f"{STATUS} === 'COMPLETED'")
    assert panels(browser) == []
    assert resume(server, run, "n") == 3
    tell(server, run, status="CRASHED", generation=3)
    browser.run(LOOKED)
    browser.wait(f"{STATUS} === 'CRASHED' && {FACTS}['Resumed'] === '2 times'")
    assert panels(browser) == []  # it was killed: the exception is of an earlier generation
    server.send(run, range_of([("steplog/exception", CRASH)], writer="n", began_ns=time.time_ns()))
    browser.run(LOOKED)
    browser.by_role("heading", "Exception").found()


@pytest.mark.slow
def test_the_config_of_several_writers_is_shown_merged_and_by_path(server, browser):
    run = new_run(server, project(server, "merged"), name="a")
    first = {"lr": 0.1, "net": {"layers": [64, 10], "head": {"dropout": 0.5}}, "gone": 1}
    server.send(run, range_of([("steplog/config", json.dumps(first).encode())], writer="one"))
    second = {"lr": 0.2, "steps": [{"until": 1000, "lr": [0, 0.0003]}, {"until": 20000, "lr": [0.0003, 0]}]}
    records = [("epoch", 0.0, 0), ("steplog/config", json.dumps(second).encode())]
    server.send(run, range_of([*records, ("steplog/config/removed", b'["gone"]')], writer="two"))
    opened(server, browser, run)
    browser.by_role("heading", "Config").found()
    rows = dict(browser.run(ROWS.format("Config")))
    assert {name: text for name, text in rows.items() if name != "steps"} == {
        "lr": "0.2",
        "net.layers": "[64,10]",
        "net.head.dropout": "0.5",
    }
    assert json.loads(rows["steps"]) == second["steps"]
    assert rows["steps"].count("\n") > 5  # indented, to be read


@pytest.mark.slow
def test_a_config_is_searched_by_path_and_value_and_copied_whole(server, browser):
    run = new_run(server, project(server, "searched"), name="a")
    config = {"optimizer": {"name": "AdamW", "lr": 0.1}, "seed": 7} | {f"option {n}": n for n in range(10)}
    server.send(run, range_of([("steplog/config", json.dumps(config).encode())]))
    opened(server, browser, run)
    field = browser.by_role("searchbox", "Search the config")
    for words, found in (
        ("adamw", ["optimizer.name"]),
        ("optimizer 0.1", ["optimizer.lr"]),
        ("option 9", ["option 9"]),
        ("nothing", []),
    ):
        field.fill(words)
        names = f"JSON.stringify({ROWS.format('Config')}.map(([name]) => name))"
        browser.wait(f"{names} === {json.dumps(json.dumps(found, separators=(',', ':')))}")
    browser.run("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    browser.by_role("button", "Copy the config as JSON").click()
    browser.wait("window.copied")
    assert json.loads(browser.run("copied")) == config


@pytest.mark.slow
def test_a_config_is_read_again_only_after_a_change(server, browser):
    run = new_run(server, project(server, "config"), name="a")
    server.send(run, range_of([("steplog/config", b'{"a": 1}'), ("loss", 1.0, 0)]))
    opened(server, browser, run)

    def read() -> list[int]:
        asked = [url for url in browser.requests if f"/api/v0{run}" in url]
        return [sum(url.endswith(end) for url in asked) for end in (uuid_of(run) + "/", "?brief=1")]

    for step in range(1, 4):
        server.send(run, range_of([("loss", 1.0, step)], first=step + 1))
        before = read()[1]
        browser.run(LOOKED)
        wait_until(lambda before=before: browser.run("1") and read()[1] > before)
    whole, brief = read()
    assert whole <= 2  # to find it, and once after it was shown
    assert brief >= 4
    server.send(run, range_of([("steplog/config", b'{"b": 2}')], first=5))
    browser.run(LOOKED)
    browser.wait(f"{ROWS.format('Config')}.length === 2")
    assert read()[0] == whole + 1


GIT = {"commit": "744e88f0a1b2c3d4e5f60718293a4b5c6d7e8f90", "branch": "main", "dirty": True}
PLACE = {"host": "node-7", "user": "ann", "pid": 71, "python": "CPython 3.12.4", "command": "python t.py --key ***"}


@pytest.mark.slow
def test_where_it_was_started_is_shown_apart(server, browser):
    run = new_run(server, project(server, "provenance"), name="a")
    cases = [
        (GIT, "744e88f0a1b2 on main, with uncommitted changes"),
        (GIT | {"dirty": False}, "744e88f0a1b2 on main"),
        (GIT | {"dirty": None, "branch": None}, "744e88f0a1b2, changes unknown"),
    ]
    for state, words in cases:
        tell(server, run, provenance=PLACE | {"git": state, "job": "Slurm 81", "other": {"a": 1}})
        opened(server, browser, run)
        browser.by_role("heading", "Started from").found()
        assert "ann@node-7" in browser.by_role("complementary", "About this run").text
        assert browser.run(ROWS.format("Started from")) == [
            ["Host", "node-7"],
            ["User", "ann"],
            ["Process", "71"],
            ["Python", "CPython 3.12.4"],
            ["Command", "python t.py --key ***"],
            ["Git", words],
            ["Job", "Slurm 81"],
            ["other.a", "1"],
        ]


@pytest.mark.slow
def test_a_provenance_of_another_shape_is_shown_as_it_is(server, browser):
    run = new_run(server, project(server, "shapes"), name="a")
    told = {"host": ["x", 1], "git": "unknown", "job": {"id": None}, "user": None, "pid": 2**60, "list": []}
    tell(server, run, provenance=told | {"": {"": 0}})
    opened(server, browser, run)
    browser.by_role("heading", "Started from").found()
    assert browser.run(ROWS.format("Started from")) == [
        ["Host", '["x",1]'],
        ["Process", str(2**60)],
        ["Git", "unknown"],
        ["Job", '{"id":null}'],
        ["list", "[]"],
        [".", "0"],
    ]


@pytest.mark.slow
def test_a_renamed_run_stays_open_and_its_address_stays_good(server, browser):
    place = project(server, "renamed")
    run = new_run(server, place, name="Old name")
    opened(server, browser, f"{place}runs/old-name/?x=time", "Old name")
    tell(server, run, name="New name")
    browser.run(LOOKED)
    browser.by_role("heading", "New name").found()
    browser.wait(f"location.pathname + location.search === {json.dumps(run + '?x=time')}")
    assert browser.run("document.title") == "New name · steplog"
    opened(server, browser, f"{place}runs/new-name/", "New name")
    browser.open(address(server, f"{place}runs/old-name/"))
    browser.wait("document.querySelector('main [role=status]')?.textContent.includes('another name')")
    assert browser.by_role("link", "Runs of this project").run("function () { return this.pathname }") == place


@pytest.mark.slow
def test_a_run_is_found_by_the_id_that_its_caller_chose(server, browser):
    place = project(server, "ids")
    made = server.ask("POST", f"{place}runs/", json={"name": "b"}, headers={"Idempotency-Key": '"id:My.Id"'})
    assert made.status_code == 201
    opened(server, browser, f"{place}runs/My.Id/", "b")


@pytest.mark.slow
def test_a_slug_of_several_runs_leads_to_the_newest_and_says_so(server, browser):
    place = project(server, "slugs")
    new_run(server, place, name="a b")
    new_run(server, place, name="a-b")
    opened(server, browser, f"{place}runs/a-b/", "a-b")
    assert browser.run(FACTS)["Address"] == "the newest of 2 runs there"


@pytest.mark.slow
def test_a_deleted_run_says_so_is_restored_here_and_goes_on(server, browser):
    run = new_run(server, project(server, "deleted"), name="a")
    said = "document.querySelector('main [role=status]').textContent"
    opened(server, browser, run, "a")
    assert server.ask("DELETE", run).status_code == 204
    browser.run(LOOKED)
    browser.wait(f"{said}.includes('moved to the trash')")
    refused = [line for line in browser.complaints if "404" in line]
    for _ in range(3):
        browser.run(LOOKED)
        browser.run("new Promise((done) => setTimeout(done, 300))")
    again = [line for line in browser.complaints if "404" in line]
    assert [line for line in again if "/curves/" not in line] == [line for line in refused if "/curves/" not in line]
    assert browser.by_role("heading", "a").there()  # what was shown stays
    assert server.ask("POST", f"{run}restore/").status_code == 200
    tell(server, run, notes="back")
    browser.run(LOOKED)
    browser.wait("document.querySelector('.notes p')?.textContent === 'back'")
    browser.wait(f"{said} === ''")
    assert server.ask("DELETE", f"{run}?now=1").status_code == 204
    browser.run(LOOKED)
    browser.wait(f"{said}.includes('This run was deleted.')")
    assert all("404" in line for line in browser.complaints)
    browser.forget()


@pytest.mark.slow
def test_a_run_is_edited_deleted_and_restored_from_its_page(server, browser):
    run = new_run(server, project(server, "edited"), name="before")
    opened(server, browser, run, "before")
    browser.by_role("button", "Sign in to edit").click()
    browser.by_role("textbox", re.compile("key", re.IGNORECASE)).fill(KEY)
    browser.press("Enter")
    browser.by_role("button", "Edit").click()
    browser.by_role("textbox", "Name").fill("after")
    browser.by_role("button", "Save").click()
    browser.by_role("heading", "after").found()
    with browser.complaining("404"):
        browser.by_role("button", "More actions").click()
        browser.by_role("menuitem", "Delete").click()
        browser.by_role("button", "Restore").click()
        browser.wait("document.querySelector('main [role=status]').textContent === ''")
    assert server.ask("GET", run).json()["name"] == "after"


@pytest.mark.slow
def test_the_address_of_a_run_in_the_trash_shows_its_name_and_how_long_it_stays(server, browser):
    place = project(server, "in trash")
    run = new_run(server, place, name="lost run")
    assert server.ask("DELETE", run).status_code == 204
    for path in (run, f"{place}runs/lost-run/"):
        with browser.complaining("404"):
            browser.open(address(server, path))
            browser.by_role("heading", "lost run").found()
            browser.wait("document.querySelector('main [role=status]').textContent.includes('for a day')")


@pytest.mark.slow
def test_a_run_that_is_not_there_is_said(server, browser):
    place = project(server, "there")
    with browser.complaining("404"):
        browser.open(address(server, f"{place}runs/nothing/"))
        browser.by_role("heading", "nothing").found()
        browser.wait("document.querySelector('main [role=status]').textContent.includes('is not on the server')")


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_run_fits_any_screen_and_axe_finds_nothing(server, browser, dark):
    run = new_run(server, project(server, f"axe {dark}"), name="a_run_with_a_rather_long_name_" + "x" * 60)
    config = {f"option {n}": "v" * n for n in range(0, 100, 9)}
    server.send(run, range_of([("steplog/config", json.dumps(config).encode()), ("steplog/exception", CRASH)]))
    report = LOST | {"lost": 3}
    tell(server, run, tags=["x" * 100], group="g", notes="n", provenance=PLACE | {"git": GIT}, report=report)
    tell(server, run, status="CRASHED")
    for width in (1280, 1000, 600, 390):
        browser.size(width, 900, dark=dark)
        opened(server, browser, run)
        browser.by_role("heading", "Exception").found()
        browser.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        assert browser.overflowing() == []
        assert axe.violations(browser, ".run") == []


@pytest.mark.slow
def test_the_page_and_the_commands_say_times_alike(server, browser):
    lengths = [0, 0.9, 1, 59, 60, 61, 719, 3599, 3600, 3601, 3661, 7200, 86_399, 86_400, 86_460, 90_000, 99_999_999]
    times = load(browser, server, "data/time.js")
    for parts in (1, 2):
        assert [times.call("span", s * 1000, parts) for s in lengths] == [run_times.span(s, parts) for s in lengths]
