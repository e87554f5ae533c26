"""The page of a run through its life: what it is called, how it goes, how it is resumed, renamed and deleted."""

from __future__ import annotations

import json
import sqlite3
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from page.looking import CARDS, DRAWN, address, new_run, project
from server.batches import range_of
from server.process import ServerProcess, lasting_port
from steplog.cli import run_times

STATUS = "document.querySelector('.title .status').textContent"
FACTS = (
    "Object.fromEntries([...document.querySelectorAll('.facts > div:not([hidden])')]"
    ".map((fact) => [...fact.children].map((each) => each.textContent)))"
)
NOTICE = "document.getElementById('notice').textContent"
PANELS = "[...document.querySelectorAll('.panels h2')].map((each) => each.textContent)"
ROWS = "[...document.querySelectorAll('.{} dl > div')].map((row) => [...row.children].map((each) => each.textContent))"
LOOKED = "document.dispatchEvent(new Event('visibilitychange'))"  # polls at once
TOLD = {"type": "ValueError", "message": "no", "traceback": "Traceback (most recent call last):\nValueError: no"}
CRASH = json.dumps(TOLD).encode()


def date(seconds_ago: float) -> str:
    then = datetime.now(timezone.utc) - timedelta(seconds=seconds_ago)
    return then.isoformat(timespec="microseconds").replace("+00:00", "Z")


def uuid_of(run: str) -> str:
    return run.rstrip("/").rpartition("/")[2]


def tell(server: ServerProcess, run: str, **fields: Any) -> None:
    answer = server.ask("PATCH", run, json=fields)
    assert answer.status_code == 200, answer.text


def resume(server: ServerProcess, run: str, maker: str) -> int:
    """The new generation."""
    answer = server.ask("POST", f"{run}generations/", json={"began": date(0)}, headers={"Steplog-Maker": maker})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["generation"])


def test_a_run_shows_what_was_said_of_it(server, browser):
    place = project(server, "said")
    key = {"Idempotency-Key": '"id:lr-3.e_4"'}
    made = server.ask("POST", f"{place}runs/", json={"name": "a"}, headers=key)
    run = f"{place}runs/{made.json()['uuid']}/"
    server.send(run, range_of([("loss", 1.0, 0)]))
    said = {"tags": ["paper", "v2"], "group": "sweep 7", "job_type": "train", "notes": "Keep.\nReally."}
    tell(server, run, **said, description="A\nB", started=date(8000), status="COMPLETED", ended=date(100))
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")
    assert browser.run(FACTS) == {
        "Started": "2 h ago",
        "Ended": "1 min ago",
        "Duration": "2 h 11 min",
        "By": made.json()["user"]["username"],
        "Id": "lr-3.e_4",
        "Group": "sweep 7",
        "Job type": "train",
    }
    assert browser.run("document.querySelector('.description').innerText") == "A\nB"
    assert browser.run("document.querySelector('.notes p').innerText") == "Keep.\nReally."
    assert browser.run("[...document.querySelectorAll('.tags a')].map((tag) => tag.innerText)") == ["paper", "v2"]
    browser.run("document.querySelector('.facts a').click()")
    browser.wait("document.querySelector('.runs li')")
    assert browser.run("location.search") == "?group=sweep%207"


def test_what_is_said_later_appears_and_what_is_taken_back_goes(server, browser):
    run = new_run(server, project(server, "later"), name="a", description="old")
    browser.open(address(server, run))
    browser.wait("document.querySelector('.description').innerText === 'old'")
    tell(server, run, tags=["new"], description="", notes="noted")
    browser.run(LOOKED)
    browser.wait("document.querySelector('.tags li')?.innerText === 'new'")
    assert browser.run("document.querySelector('.description').hidden")
    tell(server, run, tags=[], notes="")
    browser.run(LOOKED)
    browser.wait("document.querySelector('.tags').hidden && document.querySelector('.notes').hidden")


def test_a_running_run_counts_on_between_answers(server, browser):
    run = new_run(server, project(server, "counts"), name="a")
    tell(server, run, started=date(3610))
    server.send(run, range_of([("loss", 1.0, 0)], began_ns=time.time_ns()))
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")
    assert browser.run(FACTS)["Last point"] in {"just now", *(f"{n} s ago" for n in range(1, 45))}
    browser.run("window.fetch = () => new Promise(() => {})")  # no answer comes any more
    assert browser.run(FACTS)["Duration"] == "1 h"
    browser.run("Date.now = ((real) => () => real() + 60_000)(Date.now)")
    browser.wait(f"{FACTS}['Duration'] === '1 h 1 min' && {FACTS}['Last point'] === '1 min ago'")


def test_ages_are_right_where_the_browsers_clock_is_not(server, browser):
    run = new_run(server, project(server, "clocks"), name="a")
    tell(server, run, started=date(7230))
    script = "Date.now = ((real) => () => real() - 3 * 3600_000)(Date.now)"
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)
    browser.open(address(server, run))
    browser.wait(f"{FACTS}['Started'] === '2 h ago'")
    assert browser.run(FACTS)["Duration"] == "2 h"
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


def test_the_page_and_the_commands_say_times_alike(server, browser):
    browser.open(address(server, "/"))
    browser.wait("document.querySelector('h1')")
    lengths = [0, 0.9, 1, 59, 60, 61, 719, 3599, 3600, 3601, 3661, 7200, 86_399, 86_400, 86_460, 90_000, 99_999_999]
    for parts in (1, 2):
        script = f"import('/page/time.js').then(({{ span }}) => {lengths}.map((s) => span(s * 1000, {parts})))"
        assert browser.run(script) == [run_times.span(length, parts) for length in lengths]


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
        words = ["RUNNING, not heard of for 12 min", "RUNNING", "COMPLETED"]
        for run, said in zip(runs, words, strict=True):
            browser.open(address(server, run))
            browser.wait(f"{STATUS} === {json.dumps(said)}")
        browser.open(address(server, place))
        browser.wait("document.querySelectorAll('.runs li').length === 3")
        listed = "[...document.querySelectorAll('.runs .status')].map((each) => each.textContent)"
        assert browser.run(listed) == words[::-1]
        server.ask("GET", runs[0], headers={"Steplog-Maker": "m"})  # its client asks after it
        browser.open(address(server, runs[0]))
        browser.wait(f"{STATUS} === 'RUNNING'")
        browser.open("about:blank")


def test_a_traceback_is_shown_only_while_the_run_is_crashed(server, browser):
    run = new_run(server, project(server, "crashed"), name="a")
    server.send(run, range_of([("loss", 1.0, 0), ("steplog/exception", CRASH)]))
    tell(server, run, status="CRASHED")
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")
    assert browser.run(PANELS) == ["Exception"]
    assert browser.run("document.querySelector('.exception pre').textContent") == TOLD["traceback"]
    generation = resume(server, run, "m")
    browser.run(LOOKED)
    browser.wait(f"{STATUS} === 'RUNNING' && {FACTS}['Resumed'] === 'once'")
    assert browser.run(PANELS) == []
    tell(server, run, status="COMPLETED", generation=generation)
    browser.run(LOOKED)
    browser.wait(f"{STATUS} === 'COMPLETED'")
    assert browser.run(PANELS) == []
    assert resume(server, run, "n") == 3
    tell(server, run, status="CRASHED", generation=3)
    browser.run(LOOKED)
    browser.wait(f"{STATUS} === 'CRASHED' && {FACTS}['Resumed'] === '2 times'")
    assert browser.run(PANELS) == []  # it was killed: the exception is of an earlier generation
    server.send(run, range_of([("steplog/exception", CRASH)], writer="n", began_ns=time.time_ns()))
    browser.run(LOOKED)
    browser.wait(f"{PANELS}.length === 1")


def test_the_config_of_several_writers_is_shown_merged_and_by_path(server, browser):
    run = new_run(server, project(server, "merged"), name="a")
    first = {"lr": 0.1, "net": {"layers": [64, 10], "head": {"dropout": 0.5}}, "gone": 1}
    server.send(run, range_of([("steplog/config", json.dumps(first).encode())], writer="one"))
    second = {"lr": 0.2, "steps": [{"until": 1000, "lr": [0, 0.0003]}, {"until": 20000, "lr": [0.0003, 0]}]}
    records = [("epoch", 0.0, 0), ("steplog/config", json.dumps(second).encode())]
    server.send(run, range_of([*records, ("steplog/config/removed", b'["gone"]')], writer="two"))
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")
    rows = dict(browser.run(ROWS.format("config")))
    assert {name: text for name, text in rows.items() if name != "steps"} == {
        "lr": "0.2",
        "net.layers": "[64,10]",
        "net.head.dropout": "0.5",
    }
    assert json.loads(rows["steps"]) == second["steps"]
    assert rows["steps"].count("\n") > 5  # indented, to be read
    assert browser.run(CARDS) == ["epoch"]


def test_a_config_is_read_again_only_after_a_change(server, browser):
    run = new_run(server, project(server, "config"), name="a")
    server.send(run, range_of([("steplog/config", b'{"a": 1}'), ("loss", 1.0, 0)]))
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")

    def read() -> list[int]:
        asked = [url for url in browser.requests if f"/api/v0{run}" in url]
        return [sum(url.endswith(end) for url in asked) for end in (uuid_of(run) + "/", "?brief=1")]

    for step in range(1, 4):
        server.send(run, range_of([("loss", 1.0, step)], first=step + 1))
        browser.run(LOOKED)
        browser.wait(f"document.querySelector('.readout').textContent === '{step + 1} points, steps 0 – {step}'")
    whole, brief = read()
    assert whole == 2  # to find it, and once after it was shown
    assert brief >= 4
    server.send(run, range_of([("steplog/config", b'{"b": 2}')], first=5))
    browser.run(LOOKED)
    browser.wait("document.querySelector('.config dl').textContent === 'a1b2'")
    assert read()[0] == 3


def test_where_it_was_started_is_shown_apart(server, browser):
    run = new_run(server, project(server, "provenance"), name="a")
    git = {"commit": "744e88f0a1b2c3d4e5f60718293a4b5c6d7e8f90", "branch": "main", "dirty": True}
    told = {"host": "node-7", "user": "ann", "pid": 71, "python": "CPython 3.12.4", "command": "python t.py --key ***"}
    cases = [
        (git, "744e88f0a1b2 on main, with uncommitted changes"),
        (git | {"dirty": False}, "744e88f0a1b2 on main"),
        (git | {"dirty": None, "branch": None}, "744e88f0a1b2, changes unknown"),
    ]
    for state, words in cases:
        tell(server, run, provenance=told | {"git": state, "job": "Slurm 81", "other": {"a": 1}})
        browser.open(address(server, run))
        browser.wait(f"{PANELS}.length === 1")
        assert browser.run("document.querySelector('.provenance summary').textContent") == "Started from ann@node-7"
        assert browser.run(ROWS.format("provenance")) == [
            ["Host", "node-7"],
            ["User", "ann"],
            ["Process", "71"],
            ["Python", "CPython 3.12.4"],
            ["Command", "python t.py --key ***"],
            ["Git", words],
            ["Job", "Slurm 81"],
            ["other.a", "1"],
        ]


def test_a_provenance_of_another_shape_is_shown_as_it_is(server, browser):
    run = new_run(server, project(server, "shapes"), name="a")
    told = {
        "host": ["x", 1],
        "git": "unknown",
        "job": {"id": None},
        "user": None,
        "pid": 2**60,
        "list": [],
        "": {"": 0},
    }
    tell(server, run, provenance=told)
    browser.open(address(server, run))
    browser.wait(f"{PANELS}.length === 1")
    assert browser.run(ROWS.format("provenance")) == [
        ["Host", '["x",1]'],
        ["Process", str(2**60)],
        ["Git", "unknown"],
        ["Job", '{"id":null}'],
        ["list", "[]"],
        [".", "0"],
    ]


def test_metrics_of_the_machine_are_apart_and_reserved_ones_are_no_curves(server, browser):
    run = new_run(server, project(server, "machine"), name="a")
    server.send(run, range_of([("system/cpu", 1.0, 0)]))
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")  # there is nothing else yet
    assert "No metric yet." in browser.run("document.querySelector('.tools').innerText")
    names = ("system/gpu/0", "loss", "steplog/other", "systems", "system/cpu")
    server.send(run, range_of([(name, 1.0, step) for step in range(3) for name in names], first=1))
    browser.run(LOOKED)
    browser.wait("document.querySelectorAll('.card').length > 1 && !document.querySelector('.system').open")
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 2")
    assert browser.run(CARDS) == ["loss", "systems"]
    assert "2 metrics" in browser.run("document.querySelector('.tools').innerText")
    assert browser.run("document.querySelector('.system summary').innerText") == "System 2 metrics"
    assert not any("system%2F" in url for url in browser.requests[-12:])
    browser.run("document.querySelector('.system summary').click()")
    browser.wait(f"{DRAWN} === 4")
    assert browser.run(CARDS) == ["loss", "systems", "system/cpu", "system/gpu/0"]
    assert browser.run("location.search") == "?system=1"
    browser.run("document.querySelectorAll('.views button')[1].click()")
    heads = browser.run("[...document.querySelectorAll('tbody th')].map((each) => each.textContent)")
    assert heads == ["loss", "systems", "System", "system/cpu", "system/gpu/0"]


def test_a_renamed_run_stays_open_and_its_address_stays_good(server, browser):
    place = project(server, "renamed")
    run = new_run(server, place, name="Old name")
    server.send(run, range_of([("loss", 1.0, 0)]))
    browser.open(address(server, f"{place}runs/old-name/?view=table"))
    browser.wait("document.querySelector('tbody tr')")
    tell(server, run, name="New name")
    browser.run(LOOKED)
    browser.wait("document.querySelector('h1').textContent === 'New name'")
    assert browser.run("document.title") == "New name · steplog"
    assert browser.run("location.pathname + location.search") == f"{run}?view=table"
    browser.open(address(server, f"{place}runs/new-name/"))
    browser.wait(f"{DRAWN} === 1")
    browser.open(address(server, f"{place}runs/old-name/"))
    browser.wait(f"{NOTICE} === 'This run is not on the server.' && document.querySelector('.runs a')")
    assert "another name" in browser.run("document.querySelector('main').innerText")
    assert browser.run("document.querySelector('.runs a').getAttribute('href')") == run


def test_a_run_is_found_by_the_id_that_its_caller_chose(server, browser):
    place = project(server, "ids")
    made = server.ask("POST", f"{place}runs/", json={"name": "b"}, headers={"Idempotency-Key": '"id:My.Id"'})
    assert made.status_code == 201
    browser.open(address(server, f"{place}runs/My.Id/"))
    browser.wait("document.querySelector('h1')?.textContent === 'b'")


def test_a_deleted_run_says_how_to_restore_it_and_goes_on_when_it_is(server, browser):
    place = project(server, "deleted")
    run = new_run(server, place, name="a")
    server.send(run, range_of([("loss", 1.0, 0)]))
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")
    assert server.ask("DELETE", run).status_code == 204
    browser.run(LOOKED)
    browser.wait(f"{NOTICE}.includes('steplog restore a')")
    assert "moved to the trash" in browser.run(NOTICE)
    refused = [line for line in browser.complaints if "404" in line]
    assert len(refused) <= 2  # the run, and its metrics
    for _ in range(3):
        browser.run(LOOKED)
        browser.run("new Promise((done) => setTimeout(done, 300))")
    assert [line for line in browser.complaints if "404" in line] == refused
    assert browser.run(f"{DRAWN}") == 1  # what was shown stays
    assert server.ask("POST", f"{run}restore/").status_code == 200
    server.send(run, range_of([("acc", 1.0, 0)], first=1))
    browser.run(LOOKED)
    browser.wait(f"{DRAWN} === 2 && {NOTICE} === ''")
    assert server.ask("DELETE", f"{run}?now=1").status_code == 204
    browser.run(LOOKED)
    browser.wait(f"{NOTICE} === 'This run was deleted.'")
    said = len(browser.complaints)
    browser.run(LOOKED)
    browser.run("new Promise((done) => setTimeout(done, 300))")
    assert len(browser.complaints) == said
    assert all("404" in line for line in browser.complaints)
    browser.forget()


def test_a_page_of_a_deleted_project_says_so_once(server, browser):
    place = project(server, "gone")
    run = new_run(server, place, name="a")
    server.send(run, range_of([("loss", 1.0, 0)]))
    for path, words in ((run, "This run was deleted."), (place, "This project is not on the server.")):
        browser.open(address(server, path))
        browser.wait("document.querySelector('.runs li')")
        if path == place:
            assert server.ask("DELETE", place).status_code == 204
        else:
            assert server.ask("DELETE", f"{run}?now=1").status_code == 204
            new_run(server, place, name="b")
        browser.run(LOOKED)
        browser.wait(f"{NOTICE} === {json.dumps(words)}")
        said = len(browser.complaints)
        browser.run(LOOKED)
        browser.run("new Promise((done) => setTimeout(done, 300))")
        assert len(browser.complaints) == said
    assert all("404" in line for line in browser.complaints)
    browser.forget()


def test_the_trash_lists_deleted_runs_and_the_command_that_restores_each(server, browser):
    place = project(server, "trash")
    runs = [new_run(server, place, name=name) for name in ("plain-1", "$(rm -rf x)", "kept", "-y")]
    for run in (*runs[:2], runs[3]):
        assert server.ask("DELETE", run).status_code == 204
    browser.open(address(server, place))
    browser.wait("document.querySelectorAll('.runs li').length === 1")
    browser.run("document.querySelector('.head a').click()")
    browser.wait("document.querySelectorAll('.trash li').length === 3")
    assert browser.run("[...document.querySelectorAll('.trash code')].map((each) => each.textContent)") == [
        f"steplog restore {uuid_of(runs[3])}",
        f"steplog restore {uuid_of(runs[1])}",
        "steplog restore plain-1",
    ]
    assert browser.run("document.querySelector('.trash time').textContent") == "deleted just now"
    again = new_run(server, place, name="plain-1")
    assert server.ask("DELETE", again).status_code == 204
    browser.run(LOOKED)
    browser.wait("document.querySelectorAll('.trash li').length === 4")
    codes = browser.run("[...document.querySelectorAll('.trash code')].map((each) => each.textContent)")
    assert {f"steplog restore {uuid_of(run)}" for run in (again, runs[0])} <= set(codes)
    assert browser.run("document.querySelector('main').innerText").count("4 runs") == 1


def test_a_traceback_of_a_run_that_went_on_is_not_in_the_table_either(server, browser):
    run = new_run(server, project(server, "table"), name="a")
    server.send(run, range_of([("loss", 1.0, 0), ("steplog/exception", CRASH)]))
    tell(server, run, status="COMPLETED")
    browser.open(address(server, f"{run}?view=table"))
    browser.wait("document.querySelector('tbody tr')")
    assert browser.run("document.querySelectorAll('tbody tr').length") == 1
    assert "Traceback" not in browser.run("document.querySelector('main').textContent")
