"""The page of a run through its life: how it goes and ends, how it is resumed, renamed, edited, deleted, restored."""

from __future__ import annotations

import json
import re
import sqlite3
import time

import pytest

from page.looking import address, new_run, project, uuid_of
from page.run_pages import CRASH, FACTS, LOOKED, STATUS, TOLD, date, opened, panels, resume, tell
from server.batches import range_of
from server.process import KEY, ServerProcess, lasting_port


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
