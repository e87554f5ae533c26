"""Runs are edited, tagged, deleted and restored on the page; what is not saved is said, and what was typed stays."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import Any

import pytest

from page import axe
from page.browser import Browser
from page.looking import address, new_run, project
from server.process import KEY, ServerProcess, lasting_port

IS_CLOSED = "!document.querySelector('dialog[open]')"
SAID = "document.querySelector('dialog [role=alert]').textContent"
TOLD = "document.querySelector('.toast').textContent"
HOSTILE = '<img src=x onerror=alert(1)>\u202e"`${x}\x07'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that comes back at the same address."""
    with ServerProcess(tmp_path_factory.mktemp("state"), "--port", str(lasting_port())) as started:
        yield started
        assert started.end() == (0, ""), "the server has complained"


@pytest.fixture
def place(server: ServerProcess, request: pytest.FixtureRequest) -> str:
    return project(server, request.node.name[:60])


@pytest.fixture
def editor(browser: Browser, server: ServerProcess) -> Browser:
    """A browser that is signed in to edit, which it stays."""
    browser.media(still=True)
    browser.open(address(server, "/"))
    browser.by_role("heading", "Projects").found()
    if "Sign in to edit" in browser.names("button"):
        browser.by_role("button", "Sign in to edit").click()
        give_key(browser)
        browser.wait(IS_CLOSED)
    return browser


def give_key(browser: Browser) -> None:
    browser.wait("document.querySelector('dialog[open] .signin')")
    browser.type(KEY)
    browser.press("Enter")


def open_run(browser: Browser, server: ServerProcess, run: str) -> None:
    """Open the dialog that edits a run, on its page."""
    browser.open(f"{server.url}{run}")
    browser.by_role("button", "Edit").click()
    browser.wait("document.querySelector('dialog[open] form[aria-busy=false]')")


def fields(server: ServerProcess, run: str, *names: str) -> list[Any]:
    found = server.ask("GET", run).json()
    return [found[name] for name in names]


def select(browser: Browser, *names: str) -> None:
    browser.by_role("button", "Select").click()
    for name in names:
        browser.by_role("checkbox", f"Select {name}").click()


def test_a_run_is_edited_by_keyboard_alone(editor, server, place):
    run = new_run(server, place, name="first")
    server.ask("PATCH", run, json={"tags": ["old"], "notes": "kept"})
    open_run(editor, server, run)
    assert editor.focus == ("textbox", "Name")
    editor.press("Control+a")
    editor.type("second")
    editor.press("Tab", "Tab")  # past the button that takes the tag away
    assert editor.focus == ("combobox", "Tags")
    editor.press("Backspace")
    editor.type("new one,and another")
    editor.press("Enter", "Tab")
    editor.type("sweep")
    editor.press("Enter")
    editor.wait(IS_CLOSED)
    assert fields(server, run, "name", "tags", "group", "notes") == [
        "second",
        ["new one", "and another"],
        "sweep",
        "kept",
    ]
    editor.by_role("heading", "second").found()


@pytest.mark.slow
def test_only_what_was_changed_is_sent_and_an_empty_field_is_none(editor, server, place):
    """So that what somebody else has changed meanwhile stays."""
    run = new_run(server, place, name="first")
    server.ask("PATCH", run, json={"group": "g", "job_type": "j", "description": "d", "tags": ["a"]})
    open_run(editor, server, run)
    server.ask("PATCH", run, json={"description": "by somebody else", "tags": ["b"]})
    editor.by_role("textbox", "Group").press("Control+a", "Backspace")
    editor.by_role("textbox", "Notes").type("line")
    editor.press("Enter")
    editor.type("two")
    editor.by_role("button", "Save").click()
    editor.wait(IS_CLOSED)
    assert fields(server, run, "name", "group", "job_type", "description", "tags", "notes") == [
        "first", None, "j", "by somebody else", ["b"], "line\ntwo",
    ]  # fmt: skip


@pytest.mark.slow
def test_what_the_server_refuses_is_said_and_stays_to_be_mended(editor, server, place):
    run = new_run(server, place, name="first")
    open_run(editor, server, run)
    field = editor.by_role("combobox", "Tags")
    field.click()
    editor.call("Input.insertText", text="x" * 200)
    editor.press("Enter")
    editor.by_role("textbox", "Name").type("!")
    editor.by_role("button", "Save").click()
    editor.wait(f"{SAID}.startsWith('Not saved: ')")
    assert "tag" in editor.run(SAID).lower()
    editor.by_role("button", f"Remove {'x' * 200}").click()
    editor.by_role("button", "Save").click()
    editor.wait(IS_CLOSED)
    assert fields(server, run, "name", "tags") == ["first!", []]
    editor.complaints.clear()  # of a 400


@pytest.mark.slow
def test_what_is_not_saved_in_an_outage_stays_and_is_saved_after_it(editor, server, place):
    run = new_run(server, place, name="first")
    open_run(editor, server, run)
    editor.by_role("textbox", "Notes").type("long thoughts")
    server.end()
    editor.by_role("button", "Save").click()
    editor.wait(f"{SAID} === 'Not saved: the server does not answer.'")
    assert editor.by_role("textbox", "Notes").value == "long thoughts"
    server.start()
    editor.by_role("button", "Save").click()
    editor.wait(IS_CLOSED)
    assert fields(server, run, "notes") == ["long thoughts"]
    editor.complaints.clear()


@pytest.mark.slow
def test_a_full_disk_is_said_and_what_was_typed_is_saved_once_there_is_room(editor, server, place):
    run = new_run(server, place, name="first")
    open_run(editor, server, run)
    editor.by_role("textbox", "Notes").type("long thoughts")
    _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1, most))
    editor.by_role("button", "Save").click()
    editor.wait(f"{SAID}.startsWith('Not saved: ') && {SAID}.includes('the disk of the database is full')")
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, most))
    editor.by_role("button", "Save").click()
    editor.wait(IS_CLOSED)
    assert fields(server, run, "notes") == ["long thoughts"]
    editor.complaints.clear()  # of a 507


@pytest.mark.slow
def test_a_reader_is_asked_for_a_key_and_what_was_meant_is_done(browser, server, place):
    run = new_run(server, place, name="first")
    browser.call("Network.clearBrowserCookies")
    browser.open(address(server, "/"))
    browser.by_role("button", "Sign in to edit").found()
    open_run(browser, server, run)
    browser.by_role("textbox", "Name").type("!")
    browser.press("Enter")
    browser.wait("document.querySelector('dialog[open] .signin')")
    browser.press("Escape")
    browser.wait(f"{SAID} === 'Not saved: that takes a key.'")
    browser.by_role("button", "Save").click()
    give_key(browser)
    browser.wait(IS_CLOSED)
    assert fields(server, run, "name") == ["first!"]


@pytest.mark.slow
def test_selected_runs_are_tagged_and_grouped_together(editor, server, place):
    runs = [new_run(server, place, name=f"run {number}") for number in range(6)]
    for run in runs:
        server.ask("PATCH", run, json={"tags": ["kept", "gone"]})
    editor.open(f"{server.url}{place}")
    select(editor, "run 1", "run 4")
    editor.by_role("button", "Edit tags").click()
    editor.by_role("combobox", "Add").type("a,b")
    editor.press("Enter")
    editor.by_role("combobox", "Remove").type("gone")
    editor.press("Enter")
    assert axe.violations(editor, "dialog") == []
    editor.by_role("button", "Save").click()
    editor.wait(IS_CLOSED)
    editor.by_role("button", "Edit group").click()
    editor.by_role("textbox", "Group").type("pair")
    editor.press("Enter")
    editor.wait(IS_CLOSED)
    for number, run in enumerate(runs):
        chosen = number in (1, 4)
        assert fields(server, run, "tags", "group") == (
            [["kept", "a", "b"], "pair"] if chosen else [["kept", "gone"], None]
        )


@pytest.mark.slow
def test_deleted_runs_vanish_at_once_and_undo_brings_them_back(editor, server, place):
    for number in range(4):
        new_run(server, place, name=f"run {number}")
    editor.open(f"{server.url}{place}")
    select(editor, "run 0", "run 2")
    editor.by_role("button", "Delete").click()
    editor.wait(f"{TOLD}.startsWith('Deleted 2 runs; the trash keeps them for a day.')")
    assert {name for name in editor.names("checkbox") if name.startswith("Select run")} == {
        "Select run 1",
        "Select run 3",
    }
    assert len(server.ask("GET", f"{place}runs/").json()) == 2
    for where in (".toast", ".runs-tools"):
        link = f"document.querySelector('{where} a')"
        assert editor.run(f"{link}.pathname + {link}.search") == f"{place}?trash=1"
    assert len([name for name in editor.names("link") if name == "Trash"]) == 2
    editor.by_role("button", "Undo").click()
    editor.wait(f"{TOLD}.startsWith('Restored 2 runs.')")
    editor.by_role("checkbox", "Select run 2").found()
    assert len(server.ask("GET", f"{place}runs/").json()) == 4


@pytest.mark.slow
def test_what_is_not_deleted_in_an_outage_is_there_again_and_said(editor, server, place):
    for number in range(3):
        new_run(server, place, name=f"run {number}")
    editor.open(f"{server.url}{place}")
    select(editor, "run 0", "run 2")
    server.end()
    editor.by_role("button", "Delete").click()
    editor.wait(f"{TOLD}.startsWith('2 runs: Not deleted: the server does not answer.')")
    server.start()
    editor.by_role("button", "Try again").click()
    editor.wait(f"{TOLD}.startsWith('Deleted 2 runs')")
    assert [run["name"] for run in server.ask("GET", f"{place}runs/").json()] == ["run 1"]
    editor.complaints.clear()


@pytest.mark.slow
def test_the_trash_gives_a_run_back_by_one_click(editor, server, place):
    names = ["first", "second", HOSTILE]
    for name in names:
        run = new_run(server, place, name=name)
        server.ask("DELETE", run)
    editor.open(f"{server.url}{place}?trash=1")
    editor.by_role("button", "Restore second").found()
    for width, dark in ((1200, False), (390, True)):
        editor.size(width, 800, dark=dark)
        editor.media(dark=dark, still=True)
        assert axe.violations(editor) == []
        assert editor.overflowing() == []
    editor.size(1200, 800)
    rows = editor.run("[...document.querySelectorAll('tbody bdi')].map((each) => each.textContent)")
    assert rows[1:] == ["second", "first"]
    assert rows[0].startswith("<img src=x onerror=alert(1)>\\u202e")
    editor.by_role("button", "Restore second").click()
    editor.wait(f"{TOLD}.startsWith('Restored 1 run.')")
    assert [run["name"] for run in server.ask("GET", f"{place}runs/").json()] == ["second"]
    server.end()
    editor.by_role("button", "Restore first").click()
    editor.wait(f"{TOLD}.startsWith('1 run: Not restored: the server does not answer.')")
    editor.by_role("button", "Restore first").found()
    server.start()
    editor.by_role("button", "Try again").click()
    editor.wait("document.querySelectorAll('tbody tr').length === 1")
    editor.complaints.clear()


@pytest.mark.slow
def test_an_empty_trash_leads_back_to_the_runs(editor, server, place):
    editor.open(f"{server.url}{place}?trash=1")
    editor.by_role("heading", "The trash is empty").found()
    assert axe.violations(editor) == []
    editor.by_role("link", "Back to the runs").click()
    editor.wait(f"location.pathname + location.search === '{place}' && document.querySelector('.workspace')")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_editing_is_for_everybody_and_no_name_does_anything(editor, server, place, width, dark):
    run = new_run(server, place, name="first")
    server.ask("PATCH", run, json={"name": HOSTILE, "tags": [HOSTILE, "x" * 128], "notes": HOSTILE, "group": HOSTILE})
    editor.size(width, 800, dark=dark)
    editor.media(dark=dark, still=True)
    open_run(editor, server, run)
    assert axe.violations(editor, "dialog") == []
    assert editor.overflowing() == []
    assert editor.by_role("textbox", "Notes").value == HOSTILE
    editor.by_role("textbox", "Job type").type("j")
    editor.by_role("button", "Save").click()
    editor.wait(IS_CLOSED)
    assert fields(server, run, "name", "tags", "notes", "group") == [HOSTILE, [HOSTILE, "x" * 128], HOSTILE, HOSTILE]


@pytest.mark.slow
def test_projects_are_listed_by_activity_and_found_by_words(browser, tmp_path):
    with ServerProcess(tmp_path, "--user", "ada") as server:
        browser.open(address(server, "/"))
        browser.by_role("heading", "No project yet").found()
        assert axe.violations(browser) == []
        places = [project(server, f"project {number}") for number in range(300)]
        for number in (7, 250):
            run = new_run(server, places[number], name="a run")
            new_run(server, places[number], name="another")
        server.ask("PATCH", run, json={"status": "COMPLETED"})
        browser.open(address(server, "/"))
        browser.wait("document.querySelectorAll('tbody tr').length === 200")
        row = "[...document.querySelectorAll('tbody tr')].slice(0, 2).map(({ children }) => [...children].slice(0, 3)"
        cells = f"{row}.map((cell) => cell.textContent.trim()))"
        assert browser.run(cells) == [["team / project 250", "2", "1"], ["team / project 7", "2", "2"]]
        browser.by_role("searchbox", "Search projects").type("PROJECT team 299")
        browser.wait("document.querySelectorAll('tbody tr').length === 1")
        for width, dark in ((1200, False), (390, True)):
            browser.size(width, 800, dark=dark)
            browser.media(dark=dark, still=True)
            assert axe.violations(browser) == []
            assert browser.overflowing() == []
        browser.by_role("link", "team / project 299").click()
        browser.wait("location.pathname === '/team/projects/project-299/'")
