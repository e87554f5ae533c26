"""What charts draw, as data: scenes, smoothing, groups, ranges, ticks, colours, and what is under the cursor."""

from __future__ import annotations

import itertools
import math
from array import array

import pytest

from page.charting import asked, curve, metric, run
from page.modules import load, script_of

pytestmark = pytest.mark.slow

SHADES = ("#ffffff", "#191b1e")  # panels of both schemes
DEUTERANOPIA = (  # Machado, Oliveira, Fernandes 2009, severity 1, on linear sRGB
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)


@pytest.fixture
def scenes(browser, server):
    return load(browser, server, "charts/scene.js")


@pytest.fixture
def ticks(browser, server):
    return load(browser, server, "charts/time_ticks.js")


def scene_of(scenes, *given, **view):
    return scenes.call("sceneOf", asked(*given, view=view))


def texts(found):
    return [tick["text"].replace("\N{MINUS SIGN}", "-") for tick in found]


def test_a_line_has_the_values_of_its_curve_and_a_band_only_where_buckets_differ(scenes):
    exact, banded = curve([3, 2, 1]), curve([3, 2, 1], low=[1, 2, 0], high=[3, 2, 9], count=5)
    lines = scene_of(scenes, [metric({"a": exact, "b": banded})])["lines"]
    assert [line["y"] for line in lines] == [[3, 2, 1], [3, 2, 1]]
    assert [(line["low"], line["high"]) for line in lines] == [(None, None), ([1, 2, 0], [3, 2, 9])]


def test_what_cannot_be_drawn_is_a_gap_and_a_mark(scenes):
    values = [1.0, math.nan, math.inf, -math.inf, 2e300, -2e300, 5.0]
    told = curve(values, nan={1: 3}, pos={2: 1}, neg={3: 1})
    (line,) = scene_of(scenes, [metric({"a": told})])["lines"]
    assert [at for at, y in enumerate(line["y"]) if math.isnan(y)] == [1, 2, 3, 4, 5]
    assert list(zip(line["marks"]["x"], line["marks"]["sign"], strict=True)) == [
        (1, 0),
        (2, 1),
        (3, -1),
        (4, 1),
        (5, -1),
    ]


@pytest.mark.parametrize("weight", [0.1, 0.6, 0.99])
def test_smoothing_is_the_average_that_is_not_drawn_to_zero_and_keeps_the_raw_line(scenes, weight):
    values = [10.0, math.nan, 4.0, 8.0, 8.0]
    (line,) = scene_of(scenes, [metric({"a": curve(values, nan={1: 1})})], smoothing=weight)["lines"]
    total = norm = 0.0
    for given, found in zip(values, line["y"], strict=True):
        if math.isnan(given):
            assert math.isnan(found)
            continue
        total, norm = total * weight + given, norm * weight + 1
        assert found == pytest.approx(total / norm, rel=1e-12)
    assert line["raw"][2:] == values[2:]


def test_smoothing_a_constant_leaves_it(scenes):
    (line,) = scene_of(scenes, [metric({"a": curve([0.1] * 50)})], smoothing=0.97)["lines"]
    assert line["y"] == pytest.approx([0.1] * 50, rel=1e-12)


def test_a_group_is_the_mean_of_the_runs_that_have_a_value_and_their_extremes(scenes):
    curves = metric(
        {
            "a": curve([1, 2, 3, 4]),
            "b": curve([3, 4, 5, 6], low=[3, 0, 5, 6], high=[3, 4, 9, 6]),
            "c": curve([5, 6], x=[0, 1]),
            "d": curve([9, 9, 9, 9]),
        }
    )
    runs = [run(uuid, group="x") for uuid in "abc"] + [run("d")]
    lines = scene_of(scenes, [curves], runs, group="config.lr")["lines"]
    assert [line["label"] for line in lines] == ["x", "(none)"]
    (one, _) = lines
    assert one["x"] == [0, 1, 2, 3]
    assert one["y"] == [3, 4, 4, 5]
    assert (one["low"], one["high"]) == ([1, 0, 3, 4], [5, 6, 9, 6])
    assert one["runs"] == [3, 3, 2, 2]


def test_runs_that_log_at_other_steps_have_a_mean_on_a_coarser_grid(scenes):
    """Else each place would have the value of one run, and the mean would be a saw."""
    ones = curve([1.0] * 100, x=range(0, 1000, 10))
    threes = curve([3.0] * 100, x=range(3, 1003, 10))
    lines = scene_of(scenes, [metric({"a": ones, "b": threes})], [run(u, group="g") for u in "ab"], group="g")["lines"]
    assert set(lines[0]["y"][1:-1]) == {2.0}
    assert set(lines[0]["runs"][1:-1]) == {2}
    assert len(lines[0]["x"]) > 50


def test_groups_end_though_their_runs_share_no_place(scenes):
    apart = metric({"a": curve([1.0], x=[0]), "b": curve([2.0], x=[1e15])})
    (line,) = scene_of(scenes, [apart], [run(u, group="g") for u in "ab"], group="g")["lines"]
    assert (line["y"], line["runs"]) == ([1, 2], [1, 1])


def test_several_metrics_differ_in_dashes_and_are_named(scenes):
    curves = [metric({"a": curve([1, 2]), "b": curve([3, 4])}, name=name) for name in ("loss", "val")]
    lines = scene_of(scenes, curves)["lines"]
    assert [line["label"] for line in lines] == ["a · loss", "b · loss", "a · val", "b · val"]
    assert lines[0]["dashes"] != lines[2]["dashes"]
    assert len({line["id"] for line in lines}) == 4
    of_one = scene_of(scenes, [metric({"a": curve([1, 2])}, name=name) for name in ("loss", "val")])["lines"]
    assert [line["label"] for line in of_one] == ["loss", "val"]
    assert of_one[0]["colour"] != of_one[1]["colour"]


def test_what_a_log_axis_cannot_show_is_said_in_words(scenes):
    told = metric({"a": curve([0, -1, 2, 3])})
    notes = scene_of(scenes, [told], logX=True, logY=True)["notes"]
    assert notes == [
        "2 points are not above 0, and not on the log y axis.",
        "1 point is not beyond 0, and not on the log x axis.",
    ]
    assert scene_of(scenes, [told])["notes"] == []


def test_time_has_no_log_axis(scenes):
    assert scene_of(scenes, [metric({"a": curve([1])})], x="time", logX=True)["x"]["log"] is False


@pytest.mark.parametrize(
    ("ends", "count", "found"),
    [
        ([0, 10], 5, ["0", "2", "4", "6", "8", "10"]),
        ([-1, 1], 4, ["-1", "-0.5", "0", "0.5", "1"]),
        ([0, 50_000], 5, ["0", "10k", "20k", "30k", "40k", "50k"]),
        ([1_000_000, 1_000_004], 4, ["1,000,000", "1,000,001", "1,000,002", "1,000,003", "1,000,004"]),
        ([0, 3e-7], 3, ["0", "1e-7", "2e-7", "3e-7"]),
        ([0, 4e300], 2, ["0", "2e300", "4e300"]),
        ([1e9, 1e9 + 1e-3], 3, ["1,000,000,000", "1,000,000,000.0005", "1,000,000,000.001"]),
    ],
)
def test_ticks_are_round_and_told_apart(browser, server, ends, count, found):
    assert texts(load(browser, server, "charts/ticks.js").call("ticksOf", ends, count, False)) == found


@pytest.mark.parametrize(
    ("ends", "found"),
    [
        ([-3, 2], ["0.001", "0.01", "0.1", "1", "10", "100"]),
        ([math.log10(0.3), math.log10(3)], ["0.5", "1", "2"]),
        ([-300, 300], ["1e-300", "1e-200", "1e-100", "1", "1e100", "1e200", "1e300"]),
        ([3, 8], ["1,000", "10k", "100k", "1M", "10M", "100M"]),
    ],
)
def test_ticks_of_a_log_axis_are_powers_of_ten(browser, server, ends, found):
    assert texts(load(browser, server, "charts/ticks.js").call("ticksOf", ends, 6, True)) == found


@pytest.mark.parametrize(
    "ends",
    [[0, 5e-324], [1, 1 + 2**-52], [2.0**62, 2.0**62 + 1024], [-1.7e308, 1.7e308], [0, 1e-310], [-1e-290, 1e-290]],
)
def test_ticks_of_any_range_are_few_and_ascend(browser, server, ends):
    places = [tick["at"] for tick in load(browser, server, "charts/ticks.js").call("ticksOf", ends, 5, False)]
    assert len(places) <= 16
    assert places == sorted(set(places))


@pytest.mark.parametrize(
    ("ends", "found"),
    [
        ([0, 0.4], ["0", "0.1 s", "0.2 s", "0.3 s", "0.4 s"]),
        ([0, 100], ["0", "30 s", "1 min", "1 min 30 s"]),
        ([0, 4 * 3600], ["0", "1 h", "2 h", "3 h", "4 h"]),
        ([0, 5400], ["0", "30 min", "1 h", "1 h 30 min"]),
        ([86400, 4 * 86400], ["1 d", "2 d", "3 d", "4 d"]),
        ([90_000, 90_100], ["1 d 1 h", "1 d 1 h 30 s", "1 d 1 h 1 min", "1 d 1 h 1 min 30 s"]),
    ],
)
def test_ticks_of_durations_are_round_in_their_units(ticks, ends, found):
    assert texts(ticks.call("xTicksOf", "relative", ends, 4, False)) == found


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu"])
def test_ticks_of_times_are_round_on_the_local_clock(browser, ticks, zone):
    """Also in the night in which the clock is changed, and 45 minutes from a whole hour."""
    browser.call("Emulation.setTimezoneOverride", timezoneId=zone)
    try:
        night = 1_774_731_600  # 2026-03-28 22:00 in Berlin, four hours before summer begins
        found = ticks.call("xTicksOf", "time", [night, night + 36_000], 5, False)
        clock = "new Date({} * 1000).getMinutes()"
        assert {browser.run(clock.format(tick["at"])) for tick in found} == {0}
        assert 3 <= len(found) <= 6
        days = ticks.call("xTicksOf", "time", [night, night + 6 * 86400], 6, False)
        assert {browser.run(f"new Date({tick['at']} * 1000).getHours()") for tick in days} == {0}
    finally:
        browser.call("Emulation.setTimezoneOverride", timezoneId="")


@pytest.mark.parametrize(
    ("values", "holds"),
    [([5.0, 5.0], 5.0), ([0.0, 0.0], 0.0), ([1e300, 1e300], 1e300), ([5e-324, 5e-324], 0.0), ([-7e-5, -7e-5], -7e-5)],
)
def test_the_range_of_a_constant_has_room_around_it(browser, server, values, holds):
    low, high = load(browser, server, "charts/ranges.js").call("spanOf", values, 0.05)
    assert low < holds < high
    assert math.isfinite(500 / (high - low))


def test_the_range_of_nothing_is_from_0_to_1(browser, server):
    assert load(browser, server, "charts/ranges.js").call("spanOf", [math.inf, -math.inf], 0.05) == [0, 1]


def linear(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]


def contrast(one, other):
    low, high = sorted(
        sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(c), strict=True)) for c in (one, other)
    )
    return (high + 0.05) / (low + 0.05)


def seen(colour, matrix=None):
    """In OKLab, whose distances are as eyes tell colours apart; https://bottosson.github.io/posts/oklab/"""
    r, g, b = linear(colour)
    if matrix:
        r, g, b = (max(0.0, x * r + y * g + z * b) for x, y, z in matrix)
    l_, m, s = (
        math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b),
        math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b),
        math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b),
    )
    return (
        0.2104542553 * l_ + 0.7936177850 * m - 0.0040720468 * s,
        1.9779984951 * l_ - 2.4285922050 * m + 0.4505937099 * s,
        0.0259040371 * l_ + 0.7827717662 * m - 0.8086757660 * s,
    )


@pytest.fixture
def colours_of(browser, server):
    palette = load(browser, server, "charts/palette.js")
    return lambda ids: palette.call("coloursOf", ids)


def test_a_thousand_runs_have_each_a_colour_that_shows_in_both_schemes(colours_of):
    found = colours_of([f"run {number}" for number in range(1000)])
    assert len(set(found.values())) == 1000
    assert min(contrast(colour, shade) for colour in found.values() for shade in SHADES) >= 3


def test_the_first_eight_colours_are_far_apart_for_colour_blind_eyes_too(colours_of):
    found = set(colours_of([f"run {number}" for number in range(8)]).values())
    pairs = list(itertools.combinations(found, 2))
    assert len(found) == 8
    assert min(math.dist(seen(a), seen(b)) for a, b in pairs) > 0.15
    assert min(math.dist(seen(a, DEUTERANOPIA), seen(b, DEUTERANOPIA)) for a, b in pairs) > 0.09


@pytest.mark.parametrize("count", [10, 12])
def test_ten_or_twelve_runs_have_each_another_hue_whichever_they_are(colours_of, count):
    for sample in range(5):
        found = colours_of([f"run {sample * 100 + number}" for number in range(count)])
        pairs = itertools.combinations(set(found.values()), 2)
        assert min(math.dist(seen(a), seen(b)) for a, b in pairs) > 0.115


def test_colours_depend_on_which_runs_are_shown_not_on_their_order(browser, server, colours_of):
    ids = [f"run {number}" for number in range(12)]
    assert colours_of(ids) == colours_of(ids[::-1])
    palette = load(browser, server, "charts/palette.js")
    before = colours_of(ids[1:])
    after = palette.run(f"coloursOf({ids!r}, coloursOf({ids[1:]!r}))")
    assert {uuid: after[uuid] for uuid in ids[1:]} == before
    assert len(set(after.values())) == 12


def test_the_readout_has_the_nearest_points_and_says_how_many_are_left_out(browser, server, scenes):
    many = metric({f"run {n}": curve([n, n + 0.5], x=[0, 100]) for n in range(100)})
    scene = script(scenes, [many])
    readout = load(browser, server, "charts/readout.js")
    found = readout.run(f"readoutOf({scene}, 96)")
    assert (found["place"], found["x"], found["more"], len(found["rows"])) == ("step 100", 100, 88, 12)
    assert [row["value"] for row in found["rows"][:2]] == ["99.5", "98.5"]
    chosen = readout.run(f"readoutOf({scene}, 96, {{ chosen: 'run 3' }})")
    assert chosen["rows"][0]["label"] == "run 3"
    middle = readout.run(f"readoutOf({scene}, 96, {{ chosen: 'run 50', most: 5 }})")
    assert [row["label"] for row in middle["rows"]] == ["run 50", "run 52", "run 51", "run 49", "run 48"]
    assert readout.run(f"spoken(readoutOf({scene}, 96))").endswith("; and 96 more")


def script(scenes, *given, **view):
    """A scene as an expression, for what takes one."""
    return f"(await import(assets + '/charts/scene.js')).sceneOf({script_of(asked(*given, view=view))})"


def test_the_readout_says_what_is_not_drawn_and_leaves_out_runs_that_have_ended(browser, server, scenes):
    told = {
        "nan": curve([math.nan] * 3, nan={0: 1, 1: 1, 2: 1}),
        "inf": curve([math.inf] * 3, pos={0: 1, 1: 1, 2: 1}),
        "great": curve([2e300] * 3),
        "ended": curve([1.0, 1.0, 1.0], x=[0, 0.1, 0.2]),
    }
    found = load(browser, server, "charts/readout.js").run(f"readoutOf({script(scenes, [metric(told)])}, 2)")
    assert sorted(row["value"] for row in found["rows"]) == ["2e300", "NaN", "∞"]


def test_steps_beyond_2_to_the_53_are_read_exactly(browser, server, scenes):
    steps = array("q", [2**62 + 1, 2**62 + 5000])
    told = metric({"a": curve([1, 2], x=map(float, steps), step=steps)})
    found = load(browser, server, "charts/readout.js").run(f"readoutOf({script(scenes, [told])}, {float(steps[0])})")
    assert found["place"] == f"step {2**62 + 1:,}"
