"""Charts in the terminal show what was logged, whatever it is, in the room that they have."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from steplog.cli.chart import Chart, chart

WIDTH, HEIGHT = 40, 5
BLANK = "\u2800 "
HUGE = 1.7976931348623157e308
values = st.one_of(
    st.floats(),
    st.integers(-(10**400), 10**400),
    st.sampled_from([HUGE, -HUGE, 5e-324, 0.0, 1.0, None, True, "NaN", "Infinity", "\x1b[2J", "⣿", [1]]),
)
buckets = st.fixed_dictionaries(
    {"step": st.integers(-(2**63) + 1, 2**63 - 1), "last": values},
    optional={"min": values, "max": values, "count": st.integers(1, 10**12)},
)


def points(*values: object) -> list[dict[str, object]]:
    return [{"step": step, "min": v, "max": v, "last": v, "count": 1} for step, v in enumerate(values)]


def drawn(made: Chart) -> list[str]:
    return [line for _, line in made.lines[:-2]]


def labels(made: Chart) -> list[str]:
    return [words for left, _ in made.lines[:-2] if (words := left.strip(" │┤|"))]


def test_a_line_that_falls_begins_at_the_top_left_and_ends_at_the_bottom_right():
    made = chart(points(4, 3, 2, 1, 0), WIDTH, HEIGHT)
    assert labels(made) == ["4", "2", "0"]
    assert [line[:1].strip(BLANK) != "" for line in drawn(made)] == [True, False, False, False, False]
    assert len(drawn(made)[-1]) == WIDTH - len("4 ┤")
    assert made.lines[-1][1].split() == ["0", "4"]


def test_what_a_bucket_hides_is_drawn_as_a_stroke_from_its_minimum_to_its_maximum():
    hidden = [{"step": step, "min": 0, "max": 8 if step == 5 else 0, "last": 0, "count": 9} for step in range(10)]
    rows = drawn(chart(hidden, WIDTH, HEIGHT))
    assert all(rows)
    assert len({len(row) for row in rows[:-1]}) == 1


def test_nan_parts_the_line_and_is_counted():
    made = chart(points(0, 0, 0, "NaN", 0, 0, 0), WIDTH, HEIGHT)
    (line,) = filter(None, drawn(made))
    assert "\u2800" in line.strip(BLANK)
    assert made.omitted == "1 of 7 points are no finite numbers"


def test_a_logarithmic_axis_makes_a_line_of_powers_and_omits_what_is_not_above_0():
    powers = chart(points(1e-3, 1e-2, 1e-1, 1), WIDTH, HEIGHT, log=True)
    straight = chart(points(-3, -2, -1, 0), WIDTH - len("0.03162") + len("-1.5"), HEIGHT)
    assert drawn(powers) == drawn(straight)
    assert labels(powers) == ["1", "0.03162", "0.001"]
    assert chart(points(1, 0, -1), WIDTH, HEIGHT, log=True).omitted == "2 of 3 points are not above 0"
    assert chart(points(0, -1), WIDTH, HEIGHT, log=True).lines == []


def test_labels_of_a_narrow_range_have_as_many_digits_as_tell_them_apart():
    assert labels(chart(points(1.000001, 1.000003), WIDTH, HEIGHT)) == ["1.000003", "1.000002", "1.000001"]


def test_one_point_and_a_constant_are_drawn_in_the_middle():
    for logged in ((7,), (7, 7, 7)):
        made = chart(points(*logged), WIDTH, HEIGHT)
        (row,) = [number for number, line in enumerate(drawn(made)) if line.strip(BLANK)]
        assert row == HEIGHT // 2
        assert made.lines[row][0] == "7 ┤"


def test_steps_in_no_order_are_drawn_from_left_to_right():
    shuffled = [points(3, 2, 1)[at] for at in (2, 0, 1)]
    assert chart(shuffled, WIDTH, HEIGHT) == chart(points(3, 2, 1), WIDTH, HEIGHT)


def test_the_axis_begins_where_the_first_bucket_does_and_not_at_its_last_step():
    buckets = [{"step": step, "min": step, "max": step, "last": step, "count": 10} for step in (9, 19, 29)]
    made = chart(buckets, WIDTH, HEIGHT, begins=0)
    assert made.lines[-1][1].split() == ["0", "29"]
    assert made != chart(buckets, WIDTH, HEIGHT)
    assert chart(buckets, WIDTH, HEIGHT, begins=10) == chart(buckets, WIDTH, HEIGHT)


def test_without_numbers_there_is_no_chart():
    assert chart([], WIDTH, HEIGHT) == Chart([], "")
    assert chart(points("NaN", None), WIDTH, HEIGHT) == Chart([], "2 of 2 points are no finite numbers")


@given(st.lists(buckets, max_size=12), st.integers(20, 200), st.integers(0, 20), st.booleans(), st.booleans())
def test_any_values_make_a_chart_of_its_size_without_control_characters(logged, width, height, log, ascii_only):
    made = chart(logged, width, height, log=log, ascii_only=ascii_only)
    lines = [left + line for left, line in made.lines]
    assert not any(cell_len(line) > max(width, 40) for line in lines[:-1])
    assert not lines or cell_len(lines[-1]) <= max(width, 80)  # steps whole
    assert all(line.isprintable() for line in lines)
    assert not ascii_only or all(line.isascii() for line in lines)
    finite = [each for bucket in logged for each in map(bucket.get, ("last", "min", "max")) if is_drawn(each, log)]
    assert bool(lines) == bool(finite)
    assert not lines or any(line.strip(BLANK) for line in drawn(made))


def is_drawn(value: object, log: bool) -> bool:
    if not isinstance(value, (int, float)):
        return False
    return (abs(value) <= HUGE if isinstance(value, int) else math.isfinite(value)) and (value > 0 or not log)
