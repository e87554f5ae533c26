"""Saved views: what is shown under a name, for everybody who reads the project."""

from __future__ import annotations

from typing import Any

import pytest

from page.axe import violations
from page.browser import Browser
from page.looking import address, sweep
from page.modules import load
from server.process import KEY, ServerProcess

DRAWN = "document.querySelectorAll('.chart-canvas[aria-busy=false]').length > 0"
CLOSED = "!document.querySelector('dialog[open]')"
TOLD = "document.querySelector('.toast').innerText"


def a_project(server: ServerProcess, name: str, *views: tuple[str, str]) -> tuple[str, list[dict[str, Any]]]:
    """Its path, and the views that are saved of it."""
    place, _ = sweep(server, name, runs=2, metrics=3, steps=20)
    made = [server.ask("POST", f"{place}views/", json={"name": each, "address": query}) for each, query in views]
    assert all(answer.status_code == 201 for answer in made)
    return place, [answer.json() for answer in made]


def saved(server: ServerProcess, place: str) -> dict[str, str]:
    """The addresses that the server has, by name."""
    return {view["name"]: view["address"] for view in server.ask("GET", f"{place}views/").json()}


def opened(browser: Browser, server: ServerProcess, place: str, query: str = "", name: str = "Views") -> None:
    browser.open(address(server, place + query))
    browser.wait(DRAWN)
    browser.by_role("button", name).found()


def choose(browser: Browser, button: str, item: str) -> None:
    """By the keyboard alone: the menu opens, and its item is found by its first letters."""
    browser.by_role("button", button).press("Enter")
    browser.wait("document.activeElement.role === 'menuitem'")
    browser.by_role("menuitem", item).press("Enter")


def sign_in(browser: Browser) -> None:
    browser.by_role("textbox", "Key").fill(KEY)
    browser.press("Enter")


def be_signed_in(browser: Browser) -> None:
    """Sign in to edit, unless a test before has."""
    browser.wait("document.querySelector('.who')")
    if "Sign in to edit" in browser.names("button"):
        browser.by_role("button", "Sign in to edit").click()
        sign_in(browser)
        browser.wait(CLOSED)


@pytest.mark.slow
def test_a_view_is_saved_changed_and_saved_again_by_the_keyboard(server, browser):
    place, _ = a_project(server, "saving")
    opened(browser, server, place, "?smoothing=0.6")
    choose(browser, "Views", "Save this view…")
    browser.type("Smooth")
    browser.press("Enter")
    sign_in(browser)  # asked once
    browser.wait(CLOSED)
    assert saved(server, place) == {"Smooth": "?smoothing=0.6"}
    assert browser.by_role("button", "Saved view: Smooth").focused
    browser.by_role("searchbox", "Search metrics").fill("train")
    button = "Saved view: Smooth changed"
    browser.by_role("button", button).click()
    assert browser.names("menuitem") == [
        *("Smooth", "Save changes", "Discard changes"),
        *("Save as a new view…", "Rename…", "Copy link", "Delete"),
    ]
    assert violations(browser) == []
    browser.by_role("menuitem", "Save changes").click()
    browser.wait(f"{TOLD}.includes('View saved.')")
    assert saved(server, place) == {"Smooth": "?metrics=train&smoothing=0.6"}
    browser.by_role("button", "Saved view: Smooth").found()
    browser.by_role("button", "Undo").click()
    browser.wait(f"{TOLD}.includes('what it was before')")
    assert saved(server, place) == {"Smooth": "?smoothing=0.6"}
    browser.by_role("button", button).found()


@pytest.mark.slow
def test_a_view_is_opened_and_what_was_changed_is_given_up(server, browser):
    place, (view, _) = a_project(server, "opening", ("Log", "?logy=1"), ("Time", "?x=time"))
    opened(browser, server, place, "?smoothing=0.9")
    choose(browser, "Views", "Log")
    browser.wait(f"location.search === '?logy=1&view={view['uuid']}'")
    browser.wait(DRAWN)
    browser.by_role("button", "Saved view: Log").found()
    browser.by_role("searchbox", "Search metrics").fill("eval")
    choose(browser, "Saved view: Log changed", "Discard changes")
    browser.wait(f"location.search === '?logy=1&view={view['uuid']}'")
    browser.by_role("button", "Saved view: Log").found()
    browser.back()
    browser.by_role("button", "Saved view: Log changed").found()


@pytest.mark.slow
def test_a_link_to_a_view_shows_what_is_saved_when_it_is_opened(server, browser):
    place, (view,) = a_project(server, "links", ("Linked", "?logy=1"))
    path = f"{place}views/{view['uuid']}/"
    assert server.ask("PATCH", path, json={"address": "?smoothing=0.5"}).status_code == 200
    opened(browser, server, place, f"?saved={view['uuid']}", "Saved view: Linked")
    browser.wait(f"location.search === '?smoothing=0.5&view={view['uuid']}'")
    assert server.ask("DELETE", path).status_code == 204
    opened(browser, server, place, f"?saved={view['uuid']}")
    browser.wait(f"{TOLD}.includes('not there any more')")
    browser.wait("location.search === ''")


@pytest.mark.slow
def test_a_deleted_view_comes_back_by_undo_and_a_taken_name_is_refused(server, browser):
    place, (view, _) = a_project(server, "deleting", ("One", "?logy=1"), ("Two", ""))
    opened(browser, server, place, f"?logy=1&view={view['uuid']}", "Saved view: One")
    be_signed_in(browser)
    choose(browser, "Saved view: One", "Rename…")
    name = browser.by_role("textbox", "Name")
    assert name.value == "One"
    name.fill("Two")
    with browser.complaining("status of 400"):
        browser.press("Enter")
        browser.wait("document.querySelector('dialog .wrong').innerText.includes('has a view of this name')")
    assert name.value == "Two"
    name.fill("Three")
    browser.press("Enter")
    browser.wait(CLOSED)
    assert saved(server, place) == {"Three": "?logy=1", "Two": ""}
    choose(browser, "Saved view: Three", "Delete")
    browser.wait(f"{TOLD}.includes('View deleted.')")
    assert saved(server, place) == {"Two": ""}
    browser.by_role("button", "Views").found()
    browser.by_role("button", "Undo").click()
    browser.wait(f"{TOLD}.includes('The view is back.')")
    browser.by_role("button", "Saved view: Three").found()
    assert saved(server, place) == {"Three": "?logy=1", "Two": ""}


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_many_views_are_in_a_list_that_is_searched(server, browser, dark):
    views = [(f"View {number}", f"?smoothing=0.{number + 10}") for number in range(30)]
    place, _ = a_project(server, f"many {dark}", *views, ("<b>\u202ehostile", "?metrics=%3Cimg%20src%3Dx%3E"))
    browser.size(390, 800, dark=dark)
    opened(browser, server, place)
    choose(browser, "Views", "All 31 views…")
    assert violations(browser) == []
    assert len(browser.names("link")) >= 31
    browser.by_role("searchbox", "Search views").fill("view 17")
    browser.wait("document.querySelectorAll('.all-views li').length === 1")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    browser.by_role("link", "View 17").click()
    browser.wait("location.search.startsWith('?smoothing=0.27&view=')")


@pytest.mark.slow
def test_what_is_typed_stays_while_the_server_is_away(server, browser):
    place, _ = a_project(server, "outage")
    opened(browser, server, place)
    be_signed_in(browser)
    choose(browser, "Views", "Save this view…")
    browser.type("Kept")
    browser.press("Enter")
    browser.wait(CLOSED)
    choose(browser, "Saved view: Kept", "Save as a new view…")
    browser.type("Typed")
    with browser.complaining("Failed to load resource", "ERR_INTERNET_DISCONNECTED"):
        browser.call(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        browser.press("Enter")
        browser.wait("document.querySelector('dialog .wrong').innerText.includes('does not answer')")
        assert browser.by_role("textbox", "Name").value == "Typed"
        browser.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
    browser.by_role("button", "Save").click()
    browser.wait(CLOSED)
    assert set(saved(server, place)) == {"Kept", "Typed"}


@pytest.mark.slow
def test_two_addresses_are_the_same_view_in_whatever_order_they_say_it(server, browser):
    state = load(browser, server, "state.js")
    same = ["?x=time&smoothing=0.6", "?smoothing=0.60&x=time&view=abc", "?smoothing=.6&x=time&unknown=1&size=medium"]
    assert {state.call("choicesOf", search) for search in same} == {"?x=time&smoothing=0.6"}
    assert state.call("choicesOf", "?x=step&first=10&view=abc") == ""
