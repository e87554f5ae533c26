"""The page of a run: what is said of it, its config, where it was started, what is missing, what it offers."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from page import axe
from page.looking import new_run, project, uuid_of
from page.modules import load
from page.run_pages import CRASH, FACTS, LINES, LOOKED, ROWS, STATUS, date, opened, tell
from polling import wait_until
from server.batches import range_of
from server.process import SOURCES, ServerProcess
from steplog.cli import run_times


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
    assert browser.run(f"fetch({json.dumps(href)}).then((answer) => answer.text())") == answer.text  # by the session


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
    assert brief >= 3
    server.send(run, range_of([("steplog/config", b'{"b": 2}')], first=5))
    browser.run(LOOKED)
    browser.wait(f"{ROWS.format('Config')}.length === 2")
    assert read()[0] == whole + 1


@pytest.mark.slow
def test_a_run_of_two_thousand_metrics_is_asked_after_in_brief(server, browser):
    run = new_run(server, project(server, "wide"), name="a")
    server.send(run, range_of([(f"metric {at}", 1.0, 0) for at in range(2000)]))
    stopped = "Date.now = ((begun) => () => begun)(Date.now())"
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=stopped)
    opened(server, browser, run)
    browser.wait("document.querySelectorAll('canvas').length > 2")
    browser.forget()
    for _ in range(4):
        browser.run(LOOKED)
        wait_until(lambda: browser.run("1") and any(f"{run}?brief=1" in url for url in browser.requests))
        assert not any(f"{run}series/" in url for url in browser.requests)
        browser.forget()
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


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
def test_on_a_small_screen_the_first_curve_is_seen_at_once_and_nothing_is_lost(server, browser):
    run = new_run(server, project(server, "first"), name="a")
    config = json.dumps({f"setting {n}": n for n in range(12)}).encode()
    server.send(run, range_of([("steplog/config", config), ("loss", 1.0, 0), ("loss", 2.0, 1)]))
    browser.size(390, 800)
    opened(server, browser, run)
    browser.wait("document.querySelector('canvas')?.getBoundingClientRect().bottom < 800")
    browser.run("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    browser.by_role("button", "More actions").tap()
    assert "Save as CSV" in browser.names("menuitem")
    browser.by_role("menuitem", "Open in Python").tap()
    browser.wait(f"window.copied?.includes({json.dumps(uuid_of(run))})")


@pytest.mark.slow
def test_the_page_and_the_commands_say_times_alike(server, browser):
    lengths = [0, 0.9, 1, 59, 60, 61, 719, 3599, 3600, 3601, 3661, 7200, 86_399, 86_400, 86_460, 90_000, 99_999_999]
    times = load(browser, server, "data/time.js")
    for parts in (1, 2):
        assert [times.call("span", s * 1000, parts) for s in lengths] == [run_times.span(s, parts) for s in lengths]
