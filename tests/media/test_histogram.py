"""Histograms: by NumPy and without it."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import steplog
from media.keeping import Keeping

numpy = pytest.importorskip("numpy")


def counted(*args: object, **kwargs: object) -> dict:
    return Keeping().log(steplog.Histogram(*args, **kwargs))


def test_values_are_counted_in_bins_of_equal_width():
    for given_as in (
        [0, 1, 1, 2, 4.0],
        [*numpy.array([[0, 1], [1, 2]]).tolist(), [4.0]],
        numpy.array([0, 1, 1, 2, 4.0]),
    ):
        record = counted(given_as, bins=4)
        assert record == {"_type": "histogram", "values": [1, 2, 1, 1], "bins": [0.0, 1.0, 2.0, 3.0, 4.0]}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.integers(1, 64))
def test_each_value_is_counted_once_and_lies_in_the_bins(values, bins):
    for given_as in (values, numpy.array(values)):
        record = counted(given_as, bins=bins)
        assert sum(record["values"]) == len(values)
        assert len(record["bins"]) == bins + 1
        assert record["bins"][0] <= min(values) <= max(values) <= record["bins"][-1]


@given(st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=2), st.integers(1, 16))
def test_lists_are_counted_as_arrays_are(values, bins):
    assume(max(values) > min(values))
    alone, other = counted(values, bins=bins), counted(numpy.array(values), bins=bins)
    assert alone["bins"] == pytest.approx(other["bins"])
    below = [sum(value < edge - 1e-9 for value in values) for edge in alone["bins"]]
    upto = [sum(value <= edge + 1e-9 for value in values) for edge in alone["bins"]]
    for record in (alone, other):  # a value beside an edge may be in either bin
        reached = 0
        for number, count in enumerate(record["values"]):
            reached += count
            assert below[number + 1] <= reached <= max(upto[number + 1], below[number + 1])


def test_what_is_not_finite_is_left_out_and_counted():
    values = [1.0, math.nan, 2.0, math.inf, -math.inf, math.nan]
    for given_as in (values, numpy.array(values), numpy.array(values, numpy.float16)):
        record = counted(given_as, bins=1)
        assert record == {"_type": "histogram", "values": [2], "bins": [1.0, 2.0], "nan": 2, "infinite": 2}


@pytest.mark.parametrize("values", [[], [math.nan], numpy.zeros(0), numpy.full(3, math.nan)])
def test_without_values_there_are_no_bins(values):
    record = counted(values)
    assert (record["values"], record["bins"], record.get("nan", 0)) == ([], [0.0], len(values))


@pytest.mark.parametrize(
    "values",
    [
        [3.0] * 5,
        [0.0, 5e-324],
        [-1.7e308, 1.7e308],
        [1e17, 1e17],
        [1.0, math.nextafter(1.0, 2.0)],
        [True, False, True],
        [2**63, 0],
    ],
)
def test_values_at_the_limits_of_floats_are_counted(values):
    for given_as in (values, numpy.array(values)):
        record = counted(given_as)
        assert sum(record["values"]) == len(values)
        assert record["bins"] == sorted(record["bins"])


def test_an_array_of_any_shape_and_type_is_counted():
    for kind in (numpy.int8, numpy.uint64, numpy.float16, numpy.float32, bool):
        assert sum(counted(numpy.ones((4, 5, 6)).astype(kind))["values"]) == 120


def test_lists_of_arrays_are_counted_as_one():
    assert sum(counted([numpy.ones(3), numpy.zeros((2, 2)), 4.0])["values"]) == 8


def test_values_are_counted_when_they_are_logged():
    values = numpy.zeros(3)
    made = steplog.Histogram(values, bins=1)
    values[:] = 7
    assert Keeping().log(made)["bins"] == [6.5, 7.5]


def test_counts_and_edges_are_kept_as_they_are():
    for counts, edges in (([3, 1], [0, 1, 2.5]), (numpy.array([3, 1]), numpy.array([0, 1, 2.5]))):
        assert counted(counts=counts, edges=edges) == {"_type": "histogram", "values": [3, 1], "bins": [0, 1, 2.5]}
    assert counted(counts=numpy.histogram([1.0, 2.0])[0], edges=numpy.histogram([1.0, 2.0])[1])["values"][0] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"values": [1], "counts": [1], "edges": [0, 1]},
        {"values": [1], "edges": [0, 1]},
        {"counts": [1]},
        {"counts": [1], "edges": [0]},
        {"counts": [1], "edges": [1, 0]},
        {"counts": [math.nan], "edges": [0, 1]},
        {"counts": [-1], "edges": [0, 1]},
        {"counts": [1], "edges": [0, math.inf]},
        {"counts": [0] * 513, "edges": list(range(514))},
        {"values": [1], "bins": 0},
        {"values": [1], "bins": 513},
        {"values": [1], "bins": 2.5},
    ],
)
def test_what_is_no_histogram_raises_value_error(wrong):
    with pytest.raises(ValueError, match=r"histogram|bins|edges"):
        steplog.Histogram(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": 3},
        {"values": "1 2 3"},
        {"values": numpy.array(["a"])},
        {"values": numpy.zeros(3, complex)},
        {"counts": ["a"], "edges": [0, 1]},
        {"counts": 3, "edges": [0, 1]},
    ],
)
def test_what_is_no_number_raises_type_error(wrong):
    with pytest.raises(TypeError):
        steplog.Histogram(**wrong)


def test_lists_are_counted_without_numpy():
    program = """
import sys
import steplog
from steplog.media.histogram import Histogram
print(Histogram([[1, 2], [3.0, 4]], bins=2).logged(None, None)["values"], "numpy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[2, 2] False\n", "")
