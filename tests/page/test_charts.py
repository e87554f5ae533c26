"""Pictures of charts: what must be seen is there, in pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from page import axe
from page.charting import Chart, curve, metric, run

BLUE, RUST, GREEN = "#4a5ce0", "#bb3f00", "#0b764d"


def wave(points, level=0.0, size=1.0):
    return [level + size * math.sin(at / points * 20) for at in range(points)]


def tinted(pixels, hue):
    """Which pixels are nearer to a hue than to the ground, however faint."""
    r, g, b = (pixels.rgb[:, :, at].astype(int) for at in range(3))
    return {"blue": b - r > 12, "rust": r - b > 12, "green": g - r > 8}[hue]


def test_a_line_goes_through_its_points(server, browser):
    chart = Chart(browser, server, [metric({"a": curve([0, 1, 0.5])})])
    left, top, right, bottom = (int(end) for end in chart.box)
    pixels = chart.pixels()
    low, high = chart.y_range()
    for across, value in ((0.25, 0.5), (0.5, 1), (0.75, 0.75), (0.9, 0.6)):
        x = round(left + (right - left) * across)
        y = round(bottom - (bottom - top) * (value - low) / (high - low))
        assert pixels.near(BLUE, 60)[y - 2 : y + 3, x].any(), (across, value)
    assert pixels.count(BLUE, 60) < pixels.width * pixels.height / 20


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 60])
def test_a_spike_of_one_point_in_a_million_is_a_column_of_pixels(server, browser, lines):
    """One bucket has it, narrower than a pixel; also among so many lines that they are an image."""
    size, at = 1000, 617
    high = [1.0] * size
    high[at] = 9.0
    x = [1024.0 * (place + 1) - 1 for place in range(size)]
    quiet = [0.9] * size
    spiked = curve([0.95] * size, x=x, low=quiet, high=high, count=1024)
    others = {f"other {n}": curve([0.95] * size, x=x) for n in range(lines - 1)}
    runs = [run("a"), *(run(uuid, colour=GREEN) for uuid in others)]
    chart = Chart(browser, server, [metric({"a": spiked, **others}, width=1024)], runs)
    seen = tinted(chart.of_curves(), "blue")
    low, top = chart.y_range()
    rows = (0.5 * (top - 9) / (top - low), (top - 1.5) / (top - low))
    from_row, to_row = (int(part * seen.shape[0]) for part in rows)
    columns = np.flatnonzero(seen[from_row + 12 : to_row].all(axis=0))
    assert 1 <= len(columns) <= 2
    assert columns[0] == pytest.approx(at / size * seen.shape[1], abs=2)


@pytest.mark.slow
def test_smoothing_leaves_the_raw_extremes_to_be_seen(server, browser):
    values = [1.0] * 400
    values[200] = 9.0
    chart = Chart(browser, server, [metric({"a": curve(values)})], view={"smoothing": 0.98})
    seen = tinted(chart.of_curves(), "blue")
    assert seen[: seen.shape[0] // 2].any(), "the spike is faint, but there"
    assert chart.y_range()[1] > 9


@pytest.mark.slow
def test_nan_is_a_cross_and_infinities_are_triangles_at_the_edges(server, browser):
    values = [1.0, 2.0, math.nan, 1.5, math.inf, 1.0, -math.inf, 2.0, 1.0]
    told = curve(values, nan={2: 1}, pos={4: 1}, neg={6: 1})
    chart = Chart(browser, server, [metric({"a": told})])
    alarm = chart.run("getComputedStyle(document.documentElement).getPropertyValue('--alarm').trim()")
    near = chart.of_curves().near(alarm, 60)
    height, width = near.shape
    found = {}
    for x in np.flatnonzero(near.any(axis=0)):
        rows = np.flatnonzero(near[:, x])
        found.setdefault(round(x / width * 8), []).append((rows.min(), rows.max()))
    assert sorted(found) == [2, 4, 6]
    assert min(top for top, _ in found[2]) > height - 14, "a cross at the bottom"
    assert max(bottom for _, bottom in found[4]) < 14, "a triangle at the top"
    assert min(top for top, _ in found[6]) > height - 14


@pytest.mark.slow
def test_a_group_is_a_line_in_a_band(server, browser):
    curves = metric({f"run {n}": curve(wave(80, level=n)) for n in range(5)})
    runs = [run(f"run {n}", group="g") for n in range(5)]
    chart = Chart(browser, server, [curves], runs, {"group": "config.lr"})
    colour = chart.run("scene.lines[0].colour")
    pixels = chart.of_curves()
    line, ground = pixels.near(colour, 50), (pixels.rgb.astype(int).min(axis=2) > 225)
    low, high = chart.y_range()
    x = pixels.width // 2
    at = wave(80)[40]
    row = lambda value: round(pixels.height * (high - value) / (high - low))  # noqa: E731 - of this picture
    assert line[row(at + 2) - 3 : row(at + 2) + 4, x].any(), "the mean"
    for inside in (at + 0.5, at + 3.5):
        assert not line[row(inside), x]
        assert tuple(pixels.rgb[row(inside), x]) != (255, 255, 255)
    assert ground[row(at - 0.3), x], "nothing is below the least"


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [[3.0], [1e300, 1e300], [5e-324, 1e-320], [-1e300, 1e300], [1.0, 1.0 + 2**-52], [0.0] * 5],
    ids=["one", "great", "denormal", "far apart", "one bit apart", "zero"],
)
def test_any_values_are_seen(server, browser, values):
    chart = Chart(browser, server, [metric({"a": curve(values)})])
    found = chart.of_curves()
    assert found.count(BLUE, 60) >= 6
    left, top, right, bottom = found.box(BLUE, 60)
    assert 0 <= left <= right < found.width
    assert 0 <= top <= bottom < found.height


@pytest.mark.slow
def test_a_point_between_gaps_is_seen(server, browser):
    values = [math.nan, 2.0, math.nan] + [1.0] * 97
    chart = Chart(browser, server, [metric({"a": curve(values, nan={0: 1, 2: 1})})])
    near = chart.of_curves().near(BLUE, 60)
    assert near[: near.shape[0] // 3].any()


@pytest.mark.slow
def test_steps_near_2_to_the_62_are_drawn(server, browser):
    steps = [2.0**62 + 2**20 * at for at in range(50)]
    chart = Chart(browser, server, [metric({"a": curve(wave(50), x=steps)})])
    box = chart.of_curves().box(BLUE, 60)
    assert box is not None
    assert box[2] - box[0] > 300


@pytest.mark.slow
def test_a_log_axis_shows_what_is_above_zero(server, browser):
    values = [10.0 ** (at / 20) for at in range(100)]
    values[50] = -1.0
    chart = Chart(browser, server, [metric({"a": curve(values)})], view={"logY": True})
    heights = chart.of_curves().heights(BLUE, 60)
    straight = [sum(heights[x]) / 2 for x in (30, 90, 150, 210)]
    steps = np.diff(straight)
    assert steps == pytest.approx([steps[0]] * 3, abs=2.5)
    assert not {x for x in heights if abs(x - 50 / 99 * chart.of_curves().width) < 2}, "a gap where it is not"


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 60])
def test_a_band_that_reaches_below_zero_reaches_to_the_bottom_of_a_log_axis(server, browser, lines):
    told = curve([1.0] * 1000, low=[-1.0] * 1000, high=[2.0] * 1000, count=3)
    others = {f"other {n}": curve([0.5, *[1.5] * 999]) for n in range(lines - 1)}
    runs = [run("a"), *(run(uuid, colour=GREEN) for uuid in others)]
    chart = Chart(browser, server, [metric({"a": told, **others}, width=1.0001)], runs, {"logY": True})
    seen = tinted(chart.of_curves(), "blue")
    assert seen[-8:-2, 20:-20].all()
    assert not seen[:4].any()


@pytest.mark.slow
def test_names_in_what_a_screen_reader_says_have_nothing_invisible(server, browser):
    hostile = "loss\u202e\x00<b>"
    chart = Chart(browser, server, [metric({"a": curve(wave(9))}, name=hostile)], [run("a", name="r\u2066n")])
    assert browser.by_role("image").accessible_name.startswith("loss\\u202e\\u0000<b>: 1 line")
    browser.by_role("group").press("ArrowRight")
    browser.wait("document.querySelector('.plot-said').textContent.includes('r\\\\u2066n')")
    assert chart.told("hovers")


@pytest.mark.slow
def test_what_is_not_above_zero_is_left_out_of_a_log_x_axis(server, browser):
    told = curve([5.0, 4.0, 3.0, 2.0, 1.0], x=[0, 1, 10, 100, 1000])
    chart = Chart(browser, server, [metric({"a": told})], view={"logX": True})
    assert chart.x_range() == (0, 3)
    x = chart.of_curves().box(BLUE, 60)
    assert x is not None
    assert x[0] < 6


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_a_chart_follows_the_colour_scheme_while_it_is_shown(server, browser, dark):
    chart = Chart(browser, server, [metric({"a": curve(wave(50))})])
    browser.size(1200, 800, dark=not dark)
    before = chart.pixels()
    browser.size(1200, 800, dark=dark)
    label = chart.run("getComputedStyle(document.documentElement).getPropertyValue('--muted').trim()")
    browser.wait("plot.frame === 0")
    assert chart.pixels().differing(before) > 1000
    assert chart.pixels().count(label, 40) > 10, "the labels of the axes"


@pytest.mark.slow
def test_a_chart_has_the_colours_that_are_forced(server, browser):
    chart = Chart(browser, server, [metric({"a": curve(wave(50))})])
    before = chart.pixels()
    browser.media(forced=True)
    browser.wait("plot.frame === 0 && matchMedia('(forced-colors: active)').matches")
    label = chart.run("((plot.root.style.color = 'CanvasText'), getComputedStyle(plot.root).color)")
    red, green, blue = (int(part) for part in label.removeprefix("rgb(").removesuffix(")").split(","))
    assert chart.pixels().count(f"#{red:02x}{green:02x}{blue:02x}", 30) > before.count("#000000", 30) + 50


@pytest.mark.slow
def test_many_lines_as_an_image_are_where_few_lines_as_paths_are(server, browser):
    told = metric({"a": curve(wave(300))})
    paths = Chart(browser, server, [told]).of_curves().heights(BLUE, 90)
    crowd = metric({"a": curve(wave(300)), **{f"b{n}": curve(wave(300, level=-3)) for n in range(200)}})
    chart = Chart(browser, server, [crowd], [run("a"), *(run(f"b{n}", colour=RUST) for n in range(200))])
    image = chart.of_curves().heights(BLUE, 90)
    low, high = chart.y_range()
    height = chart.of_curves().height
    for x in range(20, 400, 20):
        value = math.sin(x / chart.of_curves().width * 299 / 300 * 20)
        row = height * (high - value) / (high - low)
        assert image[x][0] - 3 <= row <= image[x][1] + 3
        assert image[x][1] - image[x][0] < 14
    assert set(range(5, 400)) <= paths.keys()
    assert set(range(5, 400)) <= image.keys()


@pytest.mark.slow
def test_a_spike_is_seen_while_a_hand_moves_more_lines_than_a_frame_has_time_for(server, browser):
    size = 1000
    high = [1.0] * size
    high[500] = 9.0
    draw = """(() => {{
      const line = scene.lines[0];
      scene.lines = Array.from({{ length: 300 }}, (_, at) => ({{ ...line, id: `${{at}}` }}));
      plot.draw(scene);
      plot.moving = {moving};
      plot.refresh();
      plot.paint();
    }})()"""
    told = curve([0.9] * size, low=[0.9] * size, high=high, count=9)
    chart = Chart(browser, server, [metric({"a": told}, width=1.0001)])
    for moving in ("true", "false"):
        chart.run(draw.format(moving=moving))
        seen = tinted(chart.of_curves(), "blue")
        assert 1 <= seen[40].sum() <= 2, moving


@pytest.mark.slow
def test_a_chart_fills_its_element_as_that_changes_and_is_sharp(server, browser):
    chart = Chart(browser, server, [metric({"a": curve(wave(100))})])
    chart.run("document.querySelector('#box').style.width = '700px'")
    chart.wait("plot.base.width === 700 && !plot.stale")
    browser.call("Emulation.setDeviceMetricsOverride", width=1200, height=800, deviceScaleFactor=2, mobile=False)
    chart.run("plot.fit()")
    chart.wait("plot.base.width === 1400 && !plot.stale")
    chart.run("document.querySelector('#box').style.width = '0px'")
    chart.wait("plot.root.clientWidth === 0")
    chart.run("document.querySelector('#box').style.width = '500px'")
    chart.wait("plot.base.width === 1000 && !plot.stale")


@pytest.mark.slow
def test_a_chart_says_what_it_is_and_axe_finds_nothing(server, browser):
    chart = Chart(browser, server, [metric({"a": curve(wave(100)), "b": curve(wave(50))})])
    assert browser.by_role("image").accessible_name == "loss: 2 lines, step 0 to step 99"
    assert browser.by_role("group").accessible_name.startswith("loss. Arrow keys read points")
    chart.run("document.querySelector('#page').hidden = true, document.title = 'chart', 1")
    assert [each for each in axe.violations(browser) if "box" in str(each) or "plot" in str(each)] == []


@pytest.mark.slow
def test_a_destroyed_chart_leaves_nothing_and_draws_no_more(server, browser):
    chart = Chart(browser, server, [metric({"a": curve(wave(100))})])
    chart.run("(plot.refresh(), plot.destroy(), 1)")
    browser.size(1200, 800, dark=True)
    assert chart.run("document.querySelectorAll('#box *').length") == 0
