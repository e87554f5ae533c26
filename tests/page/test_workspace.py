"""The workspace: the charts of the runs that are shown, in sections, and all of it in the address."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from page.axe import violations
from page.browser import Browser
from page.looking import Live, address, curve, project, sweep
from page.modules import load
from polling import wait_until
from server.process import ServerProcess

HEADINGS = "[...document.querySelectorAll('.section h2')].map((each) => each.innerText.replace(/\\s+/g, ' '))"
CARDS = "[...document.querySelectorAll('.card h3')].map((each) => each.textContent)"
DRAWN = "document.querySelectorAll('.chart-canvas[aria-busy=false]').length"
CELLS = (
    "[...document.querySelectorAll('.figures-table tr')]"
    ".map((row) => [...row.children].map((each) => each.textContent)).join(';')"
)
RANGE = "document.querySelector('.toolbar .cut')"
RIGHT = "document.querySelector('[aria-label=\"Reset zoom\"]').getBoundingClientRect().right"
LEGENDS = "[...document.querySelectorAll('.legend')].map((each) => each.innerText)"
ASKED = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/curves/')).length"


def a_sweep(server: ServerProcess, name: str, *, runs: int = 3, metrics: int = 12) -> tuple[str, list[Live]]:
    return sweep(server, name, runs=runs, metrics=metrics, steps=50)


def opened(browser: Browser, server: ServerProcess, place: str, query: str = "", drawn: int = 1) -> None:
    browser.open(address(server, place + query))
    browser.wait(f"{DRAWN} >= {drawn}")


def query_of(browser: Browser) -> dict[str, str]:
    """What the address keeps, once it has been written."""
    browser.run("new Promise((done) => setTimeout(done, 300))")
    return dict(browser.run("[...new URLSearchParams(location.search)]"))


def test_a_project_shows_charts_of_the_shown_runs_in_sections(server, browser):
    place, (run, *_) = a_sweep(server, "sections")
    run.log_curves({"step_time": curve(1, 50), "system/cpu": curve(2, 50)})
    opened(browser, server, place, drawn=3)
    assert browser.run(HEADINGS) == ["Charts 1", "eval 2", "train 10", "system 1"]
    assert browser.run(CARDS)[:3] == ["step_time", "eval/metric_10", "eval/metric_11"]
    assert browser.by_role("button", re.compile(r"^system \d")).states["expanded"] is False
    picture = browser.by_role("image", re.compile(r"eval/metric_10: 3 lines")).pixels()
    assert len({picture.at(x, y) for x in range(picture.width) for y in range(picture.height)}) > 3
    assert violations(browser) == []


@pytest.mark.slow
@pytest.mark.parametrize(("query", "first"), [("", 50), ("?first=60", 60)])
def test_a_first_visit_asks_for_everything_once(server, browser, query, first):
    """For the rows and columns that there will be, then for curves as finely as the charts are wide."""
    place, _ = sweep(server, f"once {first}", runs=62, metrics=3, steps=400)
    browser.forget()
    opened(browser, server, place, query, drawn=3)
    paths = [re.sub(r".*/(?=.)", "", url.partition("?")[0].rstrip("/")) for url in browser.requests if "/api/" in url]
    asked = [path for path in paths[: paths.index("curves") + 1] if path != "views"]
    assert asked == ["session", "columns", "table", "curves"]
    assert paths.count("curves") == 1
    table = next(parse_qs(urlsplit(url).query) for url in browser.requests if "/table/?" in url)
    assert table["limit"] == [str(first)]
    assert "train/metric_0.last" in table["columns"][0]


@pytest.mark.slow
def test_sections_are_those_of_the_search_the_pins_and_the_combined(server, browser):
    sections = load(browser, server, "data/sections.js")
    names = ["loss", "train/b", "train/a2", "train/a10", "system/gpu", "/odd", "val/loss"]
    found = sections.run(
        f"sectionsOf({json.dumps(names)}, {{ search: searchOf(''), pins: ['val/loss', 'gone'],"
        " combined: [['train/b', 'gone'], ['gone']] })"
    )
    assert [(each["title"], [chart["title"] for chart in each["charts"]], each["open"]) for each in found] == [
        ("Pinned", ["val/loss"], True),
        ("Combined", ["train/b + gone"], True),
        ("Charts", ["/odd", "loss"], True),
        ("train", ["train/a2", "train/a10", "train/b"], True),
        ("system", ["system/gpu"], False),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "matched", "wrong"),
    [
        ("", ["Train/Loss", "val/loss", "lr"], ""),
        ("LOSS train", ["Train/Loss"], ""),
        ("/^(val|lr)/", ["val/loss", "lr"], ""),
        ("/loss$", ["Train/Loss", "val/loss"], ""),
        ("/(/", ["Train/Loss", "val/loss", "lr"], "Unterminated group."),
        ("loss.*", [], ""),
    ],
)
def test_a_search_is_words_or_a_regular_expression(server, browser, text, matched, wrong):
    sections = load(browser, server, "data/sections.js")
    told = sections.run(
        f"(({{ test, wrong }}) => [['Train/Loss', 'val/loss', 'lr'].filter(test), wrong])(searchOf({json.dumps(text)}))"
    )
    assert told == [matched, wrong]


@pytest.mark.slow
def test_a_search_that_cannot_be_read_says_so_beside_the_field(server, browser):
    place, _ = a_sweep(server, "search")
    opened(browser, server, place)
    field = browser.by_role("searchbox", "Search metrics")
    field.fill("/metric_1($/")
    browser.wait("document.querySelector('.toolbar .wrong').textContent === 'Unterminated group.'")
    assert field.states["invalid"] == "true"
    assert field.description == "Unterminated group."
    field.fill("/metric_1$/")
    browser.wait(f"String({HEADINGS}) === 'train 1'")
    assert query_of(browser) == {"metrics": "/metric_1$/"}
    field.fill("nothing has that")
    browser.by_role("button", "Clear the search").click()
    browser.wait(f"{HEADINGS}.length === 2")
    assert field.value == ""


@pytest.mark.slow
def test_the_address_keeps_what_is_chosen_and_a_reload_shows_it_again(server, browser):
    place, _ = a_sweep(server, "address")
    browser.size(1500, 800)
    opened(browser, server, place)
    browser.by_role("radio", "Relative").click()
    browser.by_role("spinbutton", "Smoothing, as a number").fill("0.9")
    browser.press("Enter")
    browser.by_role("button", "log y").click()
    browser.by_role("button", re.compile(r"^train \d")).click()
    browser.by_role("button", "Pin eval/metric_10").click()
    browser.by_role("button", "More of the charts").click()
    browser.by_role("menuitemcheckbox", "Large charts").click()
    browser.press("Escape")
    kept = query_of(browser)
    assert kept == {
        "x": "relative",
        "smoothing": "0.9",
        "logy": "1",
        "closed": "train/",
        "pins": "eval/metric_10",
        "size": "large",
    }
    browser.call("Page.reload")
    browser.wait(f"{DRAWN} === 2 && String({HEADINGS}) === 'Pinned 1,eval 1,train 10'")
    assert query_of(browser) == kept
    assert browser.by_role("radio", "Relative").states["checked"] == "true"
    assert browser.by_role("button", "log y").states["pressed"] == "true"
    assert browser.by_role("image", re.compile("eval/metric_10: 3 lines")).there()


@pytest.mark.slow
def test_a_chart_is_shown_large_and_back_leads_to_the_workspace(server, browser):
    place, _ = a_sweep(server, "large")
    opened(browser, server, place)
    small = browser.by_role("image", re.compile("eval/metric_11")).box
    browser.by_role("button", "Show eval/metric_11 large").click()
    dialog = browser.by_role("dialog", "eval/metric_11")
    browser.wait("document.querySelector('dialog .chart-canvas[aria-busy=false] canvas')")
    large = browser.by_role("image", re.compile("eval/metric_11"), within=dialog).box
    assert large[2] > 2 * small[2]
    assert large[3] > 2 * small[3]
    assert query_of(browser) == {"large": "eval/metric_11"}
    assert violations(browser) == []
    browser.press("ArrowRight")
    browser.by_role("dialog", "train/metric_0").found()
    browser.press("ArrowLeft", "ArrowLeft")
    browser.by_role("dialog", "eval/metric_10").found()
    browser.back()
    browser.by_role("dialog").gone()
    assert query_of(browser) == {}
    assert browser.focus == ("button", "Show eval/metric_11 large")
    opened(browser, server, place, "?large=train/metric_3")
    browser.by_role("dialog", "train/metric_3").found()
    browser.press("Escape")
    browser.by_role("dialog").gone()
    assert query_of(browser) == {}


@pytest.mark.slow
def test_a_large_chart_has_the_curves_of_its_card_until_finer_ones_come(server, browser):
    place = project(server, "finer")
    Live(server, place, name="long").log_curves({"loss": curve(1, 20_000)})
    opened(browser, server, place, drawn=1)
    browser.run("globalThis.bodies = []; globalThis.sent = fetch")
    browser.run("globalThis.fetch = (path, given) => { bodies.push(given?.body); return sent(path, given); }")
    with browser.complaining("ERR_INTERNET_DISCONNECTED"), browser.offline():
        browser.by_role("button", "Show loss large").click()
        browser.wait("document.querySelector('dialog .chart-canvas[aria-busy=false] canvas')")
        browser.wait("bodies.some((body) => body?.includes('buckets'))")
    asked = browser.run("bodies.filter((body) => body?.includes('buckets')).map((body) => JSON.parse(body).buckets)")
    width = browser.run("document.querySelector('dialog .chart-canvas').clientWidth")
    assert min(asked) >= width > 1000


@pytest.mark.slow
def test_the_title_of_a_chart_is_copied_in_one_line(server, browser):
    place, _ = a_sweep(server, "title")
    opened(browser, server, place)
    x, y, width, height = browser.by_role("heading", "eval/metric_10").box
    browser.click_at(x + width / 2, y + height / 2)
    browser.run("addEventListener('copy', (event) => (globalThis.copied = event.clipboardData.getData('text')))")
    browser.run("document.execCommand('copy')")
    assert browser.run("copied") == "eval/metric_10"


@pytest.mark.slow
def test_metrics_are_combined_into_one_chart_by_the_keyboard_alone(server, browser):
    place, _ = a_sweep(server, "combine")
    opened(browser, server, place)
    browser.by_role("button", "Menu of eval/metric_10").press("Enter")
    browser.wait("document.activeElement.role === 'menuitem'")
    browser.press("c")
    assert browser.focus == ("menuitem", "Combine with…")
    browser.press("Enter")
    dialog = browser.by_role("dialog", "Metrics in one chart")
    assert browser.by_role("checkbox", "eval/metric_10", within=dialog).states["checked"] == "true"
    browser.by_role("searchbox", "Search metrics", within=dialog).fill("metric_3")
    browser.by_role("checkbox", "train/metric_3", within=dialog).press("Space")
    assert violations(browser) == []
    browser.by_role("button", "Combine 2 metrics").press("Enter")
    browser.by_role("image", re.compile(r"eval/metric_10 \+ train/metric_3: 6 lines")).found()
    assert browser.run(HEADINGS) == ["Combined 1", "eval 2", "train 10"]
    assert query_of(browser) == {"charts": "eval/metric_10,train/metric_3"}
    browser.by_role("button", "Menu of eval/metric_10 + train/metric_3").click()
    browser.by_role("menuitem", "Take apart").click()
    browser.wait(f"{HEADINGS}.length === 2")


@pytest.mark.slow
def test_a_menu_closes_by_escape_and_gives_the_focus_back(server, browser):
    place, _ = a_sweep(server, "menu")
    opened(browser, server, place)
    browser.by_role("button", "Menu of train/metric_1").press("Enter")
    browser.wait("document.activeElement.role === 'menuitem'")
    browser.press("ArrowDown", "ArrowDown", "End")
    assert browser.focus == ("menuitem", "Download PNG")
    browser.press("ArrowDown")
    assert browser.focus == ("menuitem", "Show large")
    assert violations(browser) == []
    browser.press("Escape")
    browser.wait("!document.querySelector('[popover]:popover-open')")
    assert browser.focus == ("button", "Menu of train/metric_1")
    browser.press("Enter")
    browser.by_role("menuitemcheckbox", "Logarithmic values").click()
    assert browser.by_role("menuitemcheckbox", "Logarithmic values").states["checked"] == "true"
    assert query_of(browser) == {"log": "train/metric_1"}


@pytest.mark.slow
def test_of_a_thousand_metrics_those_in_view_are_asked_for_and_drawn(server, browser):
    place = project(server, "thousand")
    run = Live(server, place, name="wide")
    run.log_curves({f"layer/{number}": curve(number, 5) for number in range(1000)})
    opened(browser, server, place, drawn=6)
    assert browser.run("document.querySelectorAll('.card').length") == 1000
    assert browser.run("document.querySelectorAll('.chart-canvas').length") < 30
    asked = browser.run(ASKED)
    browser.run("scrollTo(0, document.documentElement.scrollHeight)")
    browser.wait(
        "[...document.querySelectorAll('.chart-canvas[aria-busy=false]')].at(-1)?.closest('.card')"
        ".querySelector('h3').textContent === 'layer/999'"
    )
    assert browser.run("document.querySelectorAll('.chart-canvas').length") < 30
    assert browser.run(ASKED) - asked <= 3


@pytest.mark.slow
def test_the_cursor_is_in_all_charts_and_its_values_beside_it(server, browser):
    place, _ = a_sweep(server, "cursor")
    opened(browser, server, place, drawn=4)
    before = browser.run(LEGENDS)
    browser.by_role("image", re.compile("eval/metric_10")).hover()
    browser.wait("document.querySelector('.tip')")
    tip = browser.run("document.querySelector('.tip').innerText")
    assert re.match(r"step 2[0-9]\n", tip), tip
    assert len(re.findall(r"run \d", tip)) == 3
    after = browser.run(LEGENDS)
    assert all(one != other for one, other in zip(before[:4], after[:4], strict=True))
    browser.move(5, 5)
    browser.wait("!document.querySelector('.tip')")
    wait_until(lambda: browser.run(LEGENDS) == before, 30, lambda: browser.run(LEGENDS))


@pytest.mark.slow
def test_a_range_that_is_typed_is_that_of_all_charts(server, browser):
    place, _ = a_sweep(server, "range")
    browser.size(1500, 800)
    opened(browser, server, place)
    browser.by_role("button", "Steps: all").click()
    browser.by_role("spinbutton", "From, in steps").fill("30")
    browser.by_role("spinbutton", "to, in steps").fill("10")
    browser.press("Enter")
    browser.wait("document.querySelector('.range-popover .wrong').textContent")
    browser.by_role("spinbutton", "to, in steps").fill("40")
    browser.press("Enter")
    browser.by_role("image", re.compile("eval/metric_10.* step 30 to step 40")).found()
    browser.by_role("image", re.compile("eval/metric_11.* step 30 to step 40")).found()
    assert query_of(browser) == {"range": "30,40"}
    x, y = browser.by_role("image", re.compile("eval/metric_11")).middle()
    browser.drag((x - 60, y), (x + 60, y))
    browser.wait("new URLSearchParams(location.search).get('range') !== '30,40'")
    start, end = map(float, query_of(browser)["range"].split(","))
    assert 30 < start < end < 40
    browser.by_role("button", "Reset zoom").click()
    browser.by_role("image", re.compile("eval/metric_10.* step 0 to step 49")).found()
    assert query_of(browser) == {}


@pytest.mark.slow
def test_a_range_of_times_leaves_the_toolbar_in_the_window(server, browser):
    place, _ = a_sweep(server, "range of times")
    browser.size(1400, 800)
    for query, days in (("", 0), ("&range=1700000000,1700000600", 1), ("&range=1700000000,1800000000", 2)):
        opened(browser, server, place, f"?x=time&metrics=metric_1{query}")
        said = browser.by_role("button", re.compile("^Times:")).text
        assert len(re.findall(r"\d+/\d+/\d+", said)) == days, "a day that both ends have is said once"
        assert browser.run(f"{RIGHT} <= innerWidth")
        sizes = browser.run(f"(({{ clientWidth, scrollWidth }}) => [clientWidth, scrollWidth])({RANGE})")
        assert sizes[0] == sizes[1] or (days and sizes[0] > 100)
        assert browser.overflowing() == []


@pytest.mark.slow
def test_without_a_run_that_matches_the_charts_say_so(server, browser):
    place, _ = a_sweep(server, "nothing matches")
    with browser.complaining("400"):
        for where in ('"', "config.lr>1000"):
            browser.open(address(server, f"{place}?{urlencode({'where': where})}"))
            browser.by_role("heading", "No run matches").found()
            browser.by_role("button", "Show all runs").click()
            browser.wait(f"{DRAWN} > 0")


@pytest.mark.slow
def test_where_there_is_nothing_it_is_said_what_to_do(server, browser):
    place = project(server, "no run")
    browser.open(address(server, place))
    browser.by_role("heading", "No run yet").found()
    text = browser.run("document.querySelector('.code pre').textContent")
    assert text.splitlines() == [
        "import steplog",
        'run = steplog.init("team", "no-run")',
        'run.log("loss", 0.31, step=0)',
    ]
    assert violations(browser) == []
    run = Live(server, place, name="one")
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")
    browser.by_role("heading", "No metric yet").found()
    run.log([("note", b'"a text"', 0)])
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")
    browser.by_role("heading", "No numbers").found()
    browser.open(address(server, f"{place}?first=0"))
    browser.by_role("button", "Show the first 10 runs").click()
    browser.by_role("heading", "No numbers").found()


@pytest.mark.slow
def test_the_table_has_the_figures_of_each_metric_and_run(server, browser):
    place = project(server, "figures")
    for number in range(2):
        Live(server, place, name=f"run {number}").log_curves(
            {"loss": [3.0, 1.0 + number, 2.0], "system/cpu": [1.0] * 3}
        )
    browser.open(address(server, f"{place}?tab=table"))
    browser.wait(f"{CELLS} === 'Metric,run 1,run 0;loss,2,2;system/cpu,1,1'")
    browser.by_role("radio", "Least").click()
    browser.wait(f"{CELLS}.includes(';loss,2,1;')")
    assert query_of(browser) == {"tab": "table", "figure": "min"}
    assert violations(browser) == []
    browser.open(address(server, f"{place}?tab=table&first=1"))
    browser.wait(f"{CELLS}.includes(';loss,2,2,3,3,0 – 2;')")


@pytest.mark.slow
def test_the_table_is_as_wide_as_it_was_left(server, browser):
    place, _ = a_sweep(server, "splitter")
    opened(browser, server, place)
    splitter = browser.by_role("separator", "Width of the table")
    splitter.press("ArrowRight", "ArrowRight")
    width = browser.by_role("region", "Runs").box[2]
    assert width == 428
    x, y = splitter.middle()
    browser.drag((x, y), (x + 60, y))
    assert browser.by_role("region", "Runs").box[2] == 488
    opened(browser, server, place)
    assert browser.by_role("region", "Runs").box[2] == 488
    splitter.press("Home")
    assert browser.by_role("region", "Runs").box[2] == 240
    browser.run("localStorage.clear()")


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone_the_table_is_behind_a_button_and_the_settings_too(server, browser, dark):
    place, _ = a_sweep(server, f"phone {dark}")
    browser.size(390, 844, dark=dark)
    opened(browser, server, place)
    assert browser.overflowing() == []
    assert not browser.by_role("grid", "Runs").there()
    browser.by_role("button", re.compile("^Runs")).tap()
    browser.by_role("grid", "Runs").found()
    assert not browser.by_role("tablist", "Views").there()
    assert violations(browser) == []
    browser.by_role("button", re.compile("^Runs")).tap()
    browser.by_role("button", "Settings of the charts").tap()
    browser.by_role("button", "log y").tap()
    assert violations(browser) == []
    assert browser.overflowing() == []
    assert query_of(browser) == {"logy": "1"}


@pytest.mark.slow
def test_what_is_new_comes_without_a_word_and_takes_no_focus(server, browser):
    place, (run, *_) = a_sweep(server, "new")
    opened(browser, server, place)
    field = browser.by_role("searchbox", "Search metrics")
    field.focus()
    browser.run("scrollTo(0, 200)")
    run.log_curves({"aaa/new": curve(3, 50)})
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait(f"{HEADINGS}[0] === 'aaa 1'")
    assert field.focused


@pytest.mark.slow
def test_a_chart_is_saved_as_files_and_copied_as_a_link(server, browser, tmp_path: Path):
    place, _ = a_sweep(server, "files")
    opened(browser, server, place, "?range=10,20")
    browser.call(
        "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path), browserContextId=browser.context
    )
    beginnings = {"CSV": rb"[#\w]", "SVG": rb"<svg|<\?xml", "PNG": rb"\x89PNG"}
    for kind, beginning in beginnings.items():
        browser.by_role("button", "Menu of eval/metric_10").click()
        browser.by_role("menuitem", f"Download {kind}").click()
        file = tmp_path / f"eval_metric_10.{kind.lower()}"
        assert re.match(beginning, saved(browser, file))
    browser.call(
        "Browser.grantPermissions",
        permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
        browserContextId=browser.context,
    )
    browser.call("Emulation.setFocusEmulationEnabled", enabled=True)
    browser.by_role("button", "Menu of eval/metric_10").click()
    browser.by_role("menuitem", "Copy link").click()
    browser.wait("document.querySelector('.toast').innerText.startsWith('Link copied.')")
    copied = browser.run("navigator.clipboard.readText()")
    assert copied == f"{server.url}{place}?range=10%2C20&large=eval%2Fmetric_10"
    browser.by_role("button", "Menu of eval/metric_10").click()
    browser.by_role("menuitem", "Copy as Python").click()
    browser.wait("document.querySelector('.toast').innerText.startsWith('Python copied.')")
    program = browser.run("navigator.clipboard.readText()")
    assert 'NAMES = ["eval/metric_10"]' in program
    assert "run.history(known, start=10, end=20)" in program


def saved(browser: Browser, file: Path) -> Any:
    wait_until(file.exists, 30, lambda: [file, browser.complaints])
    return file.read_bytes()


@pytest.mark.slow
def test_a_project_that_is_not_there_is_said_to_be_so(server, browser):
    with browser.complaining("404"):
        browser.open(address(server, "/team/projects/nowhere/"))
        browser.by_role("heading", "No such project").found()
        browser.by_role("link", "See those that it has for you.").click()
        browser.wait("location.pathname === '/'")


@pytest.mark.slow
def test_pinning_a_chart_keeps_the_focus_where_it_was_and_can_be_undone(server, browser):
    place, _ = a_sweep(server, "pins")
    opened(browser, server, place)
    browser.by_role("button", "Pin eval/metric_10").press("Enter")
    browser.wait(f"{HEADINGS}[0] === 'Pinned 1'")
    browser.wait("document.activeElement.ariaLabel === 'Pin eval/metric_11'")
    browser.press("Enter")
    browser.wait(f"{HEADINGS}[0] === 'Pinned 2'")
    browser.wait("document.activeElement.closest('.charts')")
    assert query_of(browser) == {"pins": "eval/metric_10,eval/metric_11"}
    browser.by_role("button", "Undo").click()
    browser.wait(f"String({HEADINGS}) === 'Pinned 1,eval 1,train 10'")
    browser.by_role("button", "Menu of eval/metric_10").click()
    browser.by_role("menuitem", "Unpin").click()
    browser.wait(f"String({HEADINGS}) === 'eval 2,train 10'")
