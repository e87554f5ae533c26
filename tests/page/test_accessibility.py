"""Everybody can use the page: by keyboard alone, by touch, with a screen reader, in colours of their own."""

from __future__ import annotations

import re

import pytest

from page.axe import violations
from page.browser import Browser
from page.gallery import VIEWS, Gallery, filled
from page.looking import Live, address, project
from polling import wait_until

INTERACTIVE = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
FOCUSED = """(() => {
  const each = document.activeElement;
  if (!each || each === document.body || each === document.documentElement) return null;
  const { width, height, bottom, right, top, left } = each.getBoundingClientRect();
  const style = getComputedStyle(each);
  const ring = (held) => held.outlineStyle !== "none" && parseFloat(held.outlineWidth) >= 1;
  const around = [each, each.parentElement, each.closest("label, li, tr, td, th, [role=row], [role=gridcell]")]
    .some((held) => held && (ring(getComputedStyle(held)) || getComputedStyle(held).boxShadow !== "none"));
  return {
    text: each.outerHTML.slice(0, 160),
    seen: width > 0 && height > 0 && bottom > 0 && right > 0 && top < innerHeight && left < innerWidth,
    ring: around || style.borderStyle !== "none" && each.matches("input, select"),
  };
})()"""
CHATTER = """(() => {
  globalThis.said = [];
  const regions = "[role=status], [role=alert], [role=log], [aria-live]:not([aria-live=off])";
  new MutationObserver((changes) => {
    for (const { target } of changes) {
      const region = (target.nodeType === 1 ? target : target.parentElement)?.closest(regions);
      if (region) globalThis.said.push(region.textContent);
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
})(), 1"""


@pytest.fixture(scope="module")
def gallery(server) -> Gallery:
    return filled(server)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "workspace" else pytest.mark.slow) for name in VIEWS]
)
def test_axe_finds_nothing_in_any_view_and_nothing_runs_off_the_screen(gallery, browser, name):
    allowed = ("404",) if "not there" in name else ("401",) if name == "sign-in" else ("400",)
    if name == "sign-in":
        browser.call("Network.clearBrowserCookies")
    with browser.complaining(*allowed):
        for width, dark in ((1300, False), (1300, True), (390, False), (320, True)):
            browser.size(width, 844, dark=dark)
            if width < 500 and VIEWS[name].act:
                continue  # what is used on a phone has tests of its own
            gallery.open(browser, VIEWS[name])
            if not VIEWS[name].act:
                browser.settle()
            assert violations(browser) == [], (width, dark)
            assert browser.overflowing() == [], (width, dark)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["workspace", "run", "samples of a run", "trash", "home"])
def test_the_tab_key_visits_all_that_can_be_used_in_sight_and_marked(gallery, browser, name):
    gallery.open(browser, VIEWS[name])
    visited = []
    for _ in range(300):
        browser.press("Tab")
        focused = browser.run(FOCUSED)
        if focused is None:
            break
        assert focused["seen"], f"out of sight: {focused['text']}"
        assert focused["ring"], f"no mark of the focus: {focused['text']}"
        visited.append(focused["text"])
    else:
        pytest.fail(f"the focus does not leave: {visited[-3:]}")
    assert len(visited) > 3
    browser.press("Shift+Tab")
    assert browser.run(FOCUSED) is not None


@pytest.mark.slow
def test_a_training_is_found_zoomed_and_left_by_keyboard_alone(gallery, browser):
    gallery.open(browser, VIEWS["workspace"])
    browser.press("Tab")
    assert browser.focus == ("link", "Skip to the content")
    browser.press("Enter")
    to(browser, "combobox", "Filter the runs")
    browser.type("name=run")
    browser.press("Space")
    browser.type("or nothing")
    browser.press("Control+a")
    browser.type("group=b")
    browser.press("Escape", "Enter")
    browser.wait("new URLSearchParams(location.search).get('where') === 'group=b'")
    browser.wait("document.querySelectorAll('[role=grid] [role=row], table[role=grid] tbody tr').length <= 3")
    to(browser, "grid", "Runs")
    browser.press("ArrowDown", "Space")
    box = browser.by_role("checkbox", "Show run 3")
    wait_until(lambda: box.states["checked"] == "false")
    browser.press("Space")
    wait_until(lambda: box.states["checked"] == "true")
    to(browser, "group", re.compile(r"^train/loss\."))
    browser.press("+")
    browser.wait("new URLSearchParams(location.search).has('range')")
    browser.press("0")
    browser.wait("!new URLSearchParams(location.search).has('range')")
    to(browser, "grid", "Runs", "Shift+Tab")
    browser.press("Enter")
    browser.wait("location.pathname.includes('/runs/') && document.querySelector('h1')?.innerText.includes('run 3')")
    browser.back()
    browser.wait("!location.pathname.includes('/runs/') && new URLSearchParams(location.search).get('where')")
    browser.by_role("combobox", "Filter the runs").found()


def to(browser: Browser, role: str, name: str | re.Pattern[str], key: str = "Tab") -> None:
    """Press a key until something has the focus."""
    for _ in range(120):
        found_role, found_name = browser.focus
        if found_role == role and (name == found_name if isinstance(name, str) else name.search(found_name)):
            return
        browser.press(key)
    pytest.fail(f"{key} does not lead to {role} {name}; it ends at {browser.focus}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["workspace", "run", "trash"])
def test_nothing_moves_where_no_motion_is_wanted(gallery, browser, name):
    browser.media(still=True)
    gallery.open(browser, VIEWS[name])
    moving = "document.getAnimations().filter((each) => each.effect.getComputedTiming().activeDuration > 10).length"
    assert browser.run(moving) == 0
    durations = """[...document.querySelectorAll("body *")].map((each) => getComputedStyle(each))
      .filter((style) => style.transitionDuration.split(", ").some((each) => parseFloat(each) > 0.01)).length"""
    assert browser.run(durations) == 0


@pytest.mark.slow
def test_forced_colours_leave_what_is_chosen_and_the_curves(gallery, browser):
    browser.media(forced=True)
    gallery.open(browser, VIEWS["workspace"])
    assert violations(browser) == []
    assert browser.by_role("image", re.compile("^train/loss")).pixels().colours() > 2
    tabs = [browser.by_role("tab", nth=at) for at in (0, 1)]
    assert [tab.states["selected"] for tab in tabs] == [True, False]
    borders = "function () { const s = getComputedStyle(this); return s.borderBottomWidth + s.borderBottomColor }"
    looks = [tab.run(borders) + str(tab.run("function () { return getComputedStyle(this).color }")) for tab in tabs]
    assert looks[0] != looks[1], "which tab is chosen is seen by its background alone, which forced colours take away"


@pytest.mark.slow
def test_a_live_run_does_not_chatter_nor_steal_the_focus(server, browser):
    place = project(server, "quiet")
    run = Live(server, place, name="live")
    run.log([("loss", 1.0, step) for step in range(20)])
    browser.open(address(server, place))
    browser.wait("document.querySelectorAll('.chart-canvas[aria-busy=false]').length === 1")
    browser.by_role("searchbox", "Search metrics").focus()
    browser.run(CHATTER)
    for turn in range(3):
        asked = len([url for url in browser.requests if "/curves/" in url])
        run.log([("loss", 1.0 / (turn + 2), 20 + turn)])
        wait_until(lambda before=asked: browser.run("1") and curves_asked(browser) > before)  # type: ignore[misc]
    assert browser.focus == ("searchbox", "Search metrics")
    assert browser.run("globalThis.said.length") <= 2, browser.run("globalThis.said")


def curves_asked(browser: Browser) -> int:
    return len([url for url in browser.requests if "/curves/" in url])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["workspace", "run", "samples of a run", "trash", "home", "table of figures"])
def test_an_outage_changes_nothing_in_a_view_but_a_notice(gallery, browser, name):
    gallery.open(browser, VIEWS[name])
    browser.settle()
    before = browser.run("document.querySelector('main').innerText")
    with browser.complaining("ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION"):
        with browser.offline():
            browser.run("dispatchEvent(new Event('online')), document.dispatchEvent(new Event('visibilitychange')), 1")
            browser.wait("document.querySelector('#notice').innerText.includes('does not answer')")
            during = browser.run("document.querySelector('main').innerText")
            assert ages_aside(during) == ages_aside(before)
            assert violations(browser) == []
        browser.run("dispatchEvent(new Event('online')), 1")
        browser.wait("!document.querySelector('#notice').innerText")
    assert ages_aside(browser.run("document.querySelector('main').innerText")) == ages_aside(before)


def ages_aside(text: str) -> str:
    return re.sub(r"\d+ (?:s|min|h)(?: \d+ (?:s|min))?(?: ago)?|just now", "…", text)


@pytest.mark.slow
def test_each_view_has_a_title_one_heading_and_landmarks(gallery, browser):
    for name, view in VIEWS.items():
        if view.act or not view.signed_in:
            continue
        with browser.complaining("404", "400"):
            gallery.open(browser, view)
            told = browser.run(
                "[document.title, document.querySelectorAll('h1').length, document.documentElement.lang,"
                " ['header', 'main', 'nav'].every((each) => document.querySelector(each))]"
            )
        assert told[1:] == [1, "en", True], (name, told)
        assert told[0].endswith("steplog"), (name, told)
