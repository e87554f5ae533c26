"""Charts under a mouse, a wheel, fingers and a keyboard."""

from __future__ import annotations

import math

import pytest

from page.charting import Chart, curve, metric, run

pytestmark = pytest.mark.slow

POINTS = 1001


@pytest.fixture
def chart(server, browser):
    values = {"high": [2 + math.sin(at / 100) for at in range(POINTS)], "low": [at / POINTS for at in range(POINTS)]}
    runs = [run("high"), run("low", colour="#bb3f00")]
    return Chart(browser, server, [metric({uuid: curve(each) for uuid, each in values.items()})], runs)


def near(found, wanted, within=8):
    assert found == pytest.approx(wanted, abs=within)


def test_a_drag_across_zooms_into_x_and_a_double_click_shows_all(browser, chart):
    browser.drag(chart.at(0.25, 0.5), chart.at(0.75, 0.52))
    near(chart.x_range(), (250, 750))
    (zoom,) = chart.told("zooms")
    near(zoom, (250, 750))
    assert all(isinstance(end, int) for end in zoom)
    browser.click_at(*chart.at(0.5, 0.5), count=2)
    assert chart.told("zooms")[-1] is None
    near(chart.x_range(), (0, 1000), within=0)


def test_a_drag_up_zooms_into_y_and_one_across_into_both(browser, chart):
    low, high = chart.y_range()
    browser.drag(chart.at(0.5, 0.2), chart.at(0.52, 0.6))
    near(chart.x_range(), (0, 1000), within=0)
    near(chart.y_range(), (low + (high - low) * 0.2, low + (high - low) * 0.6), within=0.1)
    assert chart.told("zooms") == []
    browser.press("0")
    browser.drag(chart.at(0.2, 0.2), chart.at(0.6, 0.8))
    near(chart.x_range(), (200, 600))
    near(chart.y_range(), (low + (high - low) * 0.2, low + (high - low) * 0.8), within=0.1)


def test_shift_and_drag_pans_and_escape_gives_a_drag_up(browser, chart):
    browser.drag(chart.at(0.25, 0.5), chart.at(0.75, 0.5))
    browser.drag(chart.at(0.75, 0.5), chart.at(0.25, 0.5), held="Shift")
    near(chart.x_range(), (500, 1000))
    near(chart.told("zooms")[-1], (500, 1000))
    before = chart.x_range()
    x, y = chart.at(0.2, 0.5)
    browser.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 150, y=y, button="left", buttons=1)
    assert chart.run("plot.selection !== null")
    browser.press("Escape")
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + 150, y=y, button="left", clickCount=1)
    assert chart.run("plot.selection") is None
    assert chart.x_range() == before


def test_the_wheel_scrolls_the_page_unless_a_key_or_the_focus_asks_for_a_zoom(browser, chart):
    chart.run("document.body.style.height = '4000px', window.canceled = [], 1")
    chart.run("addEventListener('wheel', (event) => canceled.push(event.defaultPrevented)), 1")
    place = chart.at(0.5, 0.5)
    browser.move(*place)
    browser.wheel(*place, down=-120)
    chart.wait("canceled.length === 1")
    assert chart.x_range() == (0, 1000)
    browser.wheel(*place, down=-120, held="Control")
    chart.wait("told.zooms.length === 1")
    low, high = chart.told("zooms")[0]
    assert (low + high) / 2 == pytest.approx(500, abs=8)
    assert 600 < high - low < 900
    browser.by_role("group").focus()
    browser.wheel(*place, down=-120)
    chart.wait("told.zooms.length === 2")
    assert chart.run("canceled") == [False, True, True]


def test_the_wheel_back_beyond_all_shows_all(browser, chart):
    place = chart.at(0.5, 0.5)
    browser.wheel(*place, down=-200, held="Control")
    chart.wait("told.zooms.length === 1")
    for _ in range(3):
        browser.wheel(*place, down=200, held="Control")
    chart.wait("told.zooms.length === 2")
    assert chart.told("zooms")[1] is None
    assert chart.x_range() == (0, 1000)


def test_two_fingers_zoom_one_scrolls_and_a_long_press_reads(browser, chart):
    browser.size(390, 844)
    chart.run("document.querySelector('#box').style.width = '350px'")
    chart.wait("plot.base.width === 350 && !plot.stale")
    browser.touch(chart.at(0.5, 0.2), ends=[chart.at(0.5, 0.8)])
    assert chart.told("zooms") == []
    browser.touch(chart.at(0.4, 0.5), chart.at(0.6, 0.5), ends=[chart.at(0.2, 0.5), chart.at(0.8, 0.5)])
    chart.wait("told.zooms.length === 1")
    near(chart.told("zooms")[0], (333, 667), within=40)
    chart.run("(plot.reset(), plot.paint(), told.zooms.length = 0, 1)")
    (x, y), (to, _) = chart.at(0.25, 0.5), chart.at(0.5, 0.5)
    browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    chart.wait("told.hovers.length > 0")
    browser.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": to, "y": y}])
    chart.wait("told.hovers.length > 1")
    browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    (first, _), *_, (last, _) = chart.told("hovers")
    assert first == pytest.approx(250, abs=15)
    assert last == pytest.approx(500, abs=15)
    assert chart.told("zooms") == []


def test_the_pointer_reads_the_nearest_point_and_a_click_picks_its_run(browser, chart):
    low, high = chart.y_range()
    place = chart.at(0.5, (500 / POINTS - low) / (high - low))
    browser.move(*place)
    x, uuid = chart.told("hovers")[-1]
    assert x == pytest.approx(500, abs=2)
    assert uuid == "low"
    browser.click_at(*place)
    assert chart.told("picks") == ["low"]
    browser.move(900, 700)
    assert chart.told("hovers")[-1] == [None, None]


def test_the_keyboard_reads_points_chooses_a_line_zooms_pans_and_shows_all(browser, chart):
    group = browser.by_role("group")
    group.press("ArrowRight", "ArrowRight", "ArrowRight")
    assert [x for x, _ in chart.told("hovers")] == [0, 1, 2]
    said = "document.querySelector('.plot-said').textContent"
    browser.wait(f"{said}.startsWith('step 2: high 2.02')")
    browser.press("ArrowDown", "ArrowDown", "End", "ArrowLeft")
    assert chart.told("hovers")[-1] == [999, "low"]
    browser.wait(f"{said} === 'step 999: low 0.998002; and 1 more'")
    browser.press("Enter")
    assert chart.told("picks") == ["low"]
    browser.press("Home", "PageDown")
    assert chart.told("hovers")[-1][0] == 10
    browser.press("Escape")
    assert chart.told("hovers")[-1] == [None, None]
    browser.press("+", "+")
    near(chart.told("zooms")[-1], (278, 722), within=2)
    browser.press("Shift+ArrowRight", "-")
    near(chart.told("zooms")[-1], (211, 878), within=3)
    browser.press("0")
    assert chart.told("zooms")[-1] is None
    assert group.focused


def test_a_zoom_stays_while_points_come_and_gives_way_to_another_range(browser, chart):
    browser.drag(chart.at(0.25, 0.5), chart.at(0.75, 0.5))
    before = chart.x_range()
    chart.run("(plot.draw(scene), 1)")
    assert chart.x_range() == before
    chart.run("(plot.draw({ ...scene, x: { ...scene.x, range: [100, 200] } }), 1)")
    assert chart.x_range() == (100, 200)


def test_gestures_draw_once_a_frame(browser, chart):
    chart.run("await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")  # what is due
    chart.run("(window.drawn = 0, window.clear = plot.base.getContext('2d').clearRect, 1)")
    chart.run("(plot.base.getContext('2d').clearRect = function (...all) { drawn += 1; clear.apply(this, all); }, 1)")
    frames = """new Promise((done) => {
      for (let at = 0; at < 50; at += 1) plot.preview({ x: [at, 900] });
      requestAnimationFrame(() => requestAnimationFrame(() => done(drawn)));
    })"""
    assert chart.run(f"await {frames}") == 1


def test_a_zoom_ends_before_points_are_one(browser, chart):
    for _ in range(40):
        browser.by_role("group").press("+")
    low, high = chart.told("zooms")[-1]
    assert 1 <= high - low <= 4
    assert chart.run("plot.xRange.every(Number.isFinite)")
