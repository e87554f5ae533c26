"""What somebody meets who uses the page for the first time, with a sweep of their own."""

from __future__ import annotations

import re

import pytest

from page.looking import Live, address, curve, project, sweep
from page.modules import load

DRAWN = "document.querySelectorAll('.chart-canvas[aria-busy=false]').length"
LONG = [f"adamw-lr0.0{number}-warmup100-seed{number}" for number in (1, 2)]


@pytest.mark.slow
def test_a_chart_without_values_in_the_shown_runs_says_so(server, browser):
    place = project(server, "empty charts")
    Live(server, place, name="old").log_curves({"eval/loss": curve(1, 20), "loss": curve(2, 20)})
    Live(server, place, name="new").log_curves({"loss": curve(3, 20)})
    browser.open(address(server, place + "?first=1"))
    browser.wait("document.querySelector('article .no-values')?.textContent === 'No values in these runs'")
    assert browser.run("document.querySelectorAll('.no-values').length") == 1
    browser.by_role("checkbox", "Show old").click()
    browser.wait("!document.querySelector('.no-values')")


@pytest.mark.slow
def test_a_zoom_beyond_all_points_says_so_and_is_left_by_a_double_click(server, browser):
    place, _ = sweep(server, "zoomed away", runs=1, metrics=1, steps=20)
    browser.open(address(server, place + "?range=1000,2000"))
    browser.wait("document.querySelector('.no-values')?.textContent === 'No values in what is zoomed into'")
    browser.by_role("group", re.compile("^train/metric_0")).click(count=2)
    browser.wait("!document.querySelector('.no-values') && !location.search.includes('range')")


@pytest.mark.slow
def test_a_filter_that_finds_nothing_says_so_in_the_charts_and_is_left_there(server, browser):
    place, _ = sweep(server, "no match", runs=2, metrics=1, steps=20)
    browser.open(address(server, place + "?where=config.lr%3E99"))
    browser.by_role("heading", "No run matches").found()
    assert "config.lr>99" in browser.run("document.querySelector('.charts').innerText")
    browser.by_role("button", "Show all runs").click()
    browser.wait(f"{DRAWN} === 1")
    assert browser.by_role("combobox", "Filter the runs").value == ""


@pytest.mark.slow
def test_a_field_of_the_config_that_is_typed_is_not_looked_for_as_a_word(server, browser):
    unfinished = load(browser, server, "data/runs_filter.js")
    texts = [
        "config.",
        "config.lr",
        "name=a and config.m",
        "config.lr>",
        "config.lr>1",
        "lr",
        "my config",
        "config.lr 0.1",
    ]
    assert [unfinished.call("isUnfinished", text) for text in texts] == [True] * 4 + [False] * 4


@pytest.mark.slow
def test_legends_keep_the_ends_of_long_names_by_which_runs_differ(server, browser):
    place = project(server, "long names")
    for number, name in enumerate(LONG):
        Live(server, place, name=name).log_curves({"loss": curve(number, 20)})
    browser.size(1440, 900)
    browser.open(address(server, place))
    browser.wait("document.querySelectorAll('.legend .ends').length === 2")
    ends = browser.run(
        """[...document.querySelectorAll('.legend .ends')].map((name) => {
          const [start, end] = name.children;
          const box = name.getBoundingClientRect();
          const whole = end.scrollWidth <= end.clientWidth + 1 || getComputedStyle(end).display === "inline";
          return [name.textContent, start.scrollWidth > start.clientWidth, end.textContent,
            end.getBoundingClientRect().right <= box.right + 1 && whole];
        })"""
    )
    assert sorted(ends) == [[LONG[0], True, "-seed1", True], [LONG[1], True, "-seed2", True]]


@pytest.mark.slow
def test_numbers_of_a_legend_have_four_digits_each(server, browser):
    place = project(server, "digits")
    for number, value in enumerate((1.6003, 40304.99, 40_305)):
        Live(server, place, name=f"run {number}").log([("loss", value, 1)])
    browser.open(address(server, place))
    browser.wait("document.querySelectorAll('.legend .figures').length === 3")
    figures = browser.run("[...document.querySelectorAll('.legend .figures')].map((each) => each.textContent)")
    assert figures == ["40,305", "40.3K", "1.6"]


@pytest.mark.slow
def test_heads_that_are_scrolled_under_the_name_do_not_reach_through_it(server, browser):
    place, _ = sweep(server, "heads", runs=2, metrics=4, steps=20)
    browser.open(address(server, place))
    browser.by_role("link", "run 1").found()
    browser.by_role("button", "Tags").focus()  # scrolls as little as needed
    browser.run("document.querySelector('[role=grid]').scrollLeft = 150")
    through = browser.run(
        """(() => {
          const { left, right, top, height } = document.querySelector('.head.name').getBoundingClientRect();
          const found = [];
          for (let x = left + 1; x < right - 5; x++) {
            const head = document.elementFromPoint(x, top + height / 2).closest('.head');
            if (!head.matches('.name')) found.push(head.dataset.field);
          }
          return found;
        })()"""
    )
    assert through == []
    browser.by_role("button", "Tags").focus()
    for name in browser.names("columnheader")[-2:0:-1]:
        browser.press("ArrowLeft")
        assert browser.focus == ("button", name)
        left, _, width, _ = browser.by_role("columnheader", "Name").box
        assert browser.by_role("columnheader", name).box[0] >= left + width - 1, name


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "?range=1000,2000", "?range=10,30&x=relative"])
def test_the_toolbar_has_room_for_what_is_zoomed_into(server, browser, query):
    place, _ = sweep(server, f"toolbar {query[-8:]}", runs=1, metrics=1, steps=50)
    for width in (1360, 1440, 1900):
        browser.size(width, 900)
        browser.open(address(server, place + query))
        browser.wait("document.querySelector('.toolbar > .settings > .button .cut')")
        words = "document.querySelector('.toolbar > .settings > .button .cut')"
        seen = browser.run(f"[{words}.scrollWidth, {words}.clientWidth]")
        assert seen[0] == seen[1] > 10, width


@pytest.mark.slow
def test_a_tip_goes_when_the_chart_is_scrolled_away_and_is_below_a_finger(server, browser):
    place, _ = sweep(server, "tips", runs=2, metrics=8, steps=20)
    browser.size(1200, 500)
    browser.open(address(server, place))
    chart = browser.by_role("group", re.compile("^train/metric_0"))
    chart.hover()
    browser.wait("document.querySelector('.tip tr')")
    browser.wheel(*chart.middle(), down=100)
    browser.wait("!document.querySelector('.tip')")
    browser.size(390, 844)
    browser.open(address(server, place))
    browser.wait(f"{DRAWN} > 0")
    browser._fingers("touchStart", [chart.middle()])
    browser.wait("document.querySelector('.tip tr')")
    tip = browser.run("document.querySelector('.tip').getBoundingClientRect().top")
    browser._fingers("touchEnd", ())
    _, top, _, height = chart.box
    assert tip >= top + height - 1


@pytest.mark.slow
def test_runs_stay_selected_while_their_deletion_asks_for_a_key(server, browser):
    place, _ = sweep(server, "kept", runs=2, metrics=1, steps=5)
    browser.open(address(server, place))
    browser.by_role("button", "Select").click()
    browser.by_role("checkbox", "Select run 1").click()
    browser.by_role("button", "Delete").click()
    dialog = browser.by_role("dialog", "Sign in to edit")
    dialog.found()
    browser.press("Escape")
    dialog.gone()
    assert browser.by_role("checkbox", "Select run 1").states["checked"] == "true"
