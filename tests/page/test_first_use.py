"""What somebody meets who uses the page for the first time, with a sweep of their own."""

from __future__ import annotations

import re

import pytest

from page.looking import Live, address, curve, project, sweep
from page.modules import load

DRAWN = "document.querySelectorAll('.chart-canvas[aria-busy=false]').length"
LONG = [f"adamw-lr0.0{number}-warmup100-seed{number}" for number in (1, 2)]


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
    for name in ("Duration", "Started", "Status"):
        browser.press("ArrowLeft")
        assert browser.focus == ("button", name)
        left, _, width, _ = browser.by_role("columnheader", "Name").box
        assert browser.by_role("columnheader", name).box[0] >= left + width - 1, name
