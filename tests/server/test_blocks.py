"""Run blocks restore every point bit by bit, one metric without decoding the others."""

from __future__ import annotations

import math
import random
from array import array
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.test_chunks import ROWS, as_rows, points_of
from steplog.journal import slot
from steplog.records.points import Points
from steplog.server.records.block import Block, encode, read_directory

SERIES = st.integers(1, 2**31)
EXTREME = [(slot.KIND_INT, step, step) for step in (2**63 - 1, -(2**63) + 1, -1, 0)]


def arriving(points: Points, first: int, stride: int = 1) -> Points:
    return replace(points, arrivals=range(first, first + stride * len(points.kinds), stride))


def all_of(block: Block) -> dict[int, list[tuple[int, object, int, int, int]]]:
    return {series: as_rows(points) for series, points in read_directory(block.directory).points(block.data)}


@settings(max_examples=50)
@given(st.dictionaries(SERIES, ROWS, min_size=1, max_size=12))
@example({1: [((slot.KIND_FLOAT, math.nan), 0, 0)], 2: [((slot.KIND_FLOAT, -0.0), 2**63 - 1, -(2**63))]})
@example({at: [((kind, value), step, step)] for at, (kind, value, step) in enumerate(EXTREME, 1)})
def test_the_points_of_each_series_come_back_as_they_were(rows):
    points = {series: arriving(points_of(each), series, 3) for series, each in rows.items()}
    block = encode(points)
    assert all_of(block) == {series: as_rows(each) for series, each in points.items()}
    assert block.records == sum(map(len, rows.values()))
    assert block.first_arrival == min(points)


@settings(max_examples=50)
@given(st.dictionaries(SERIES, ROWS, min_size=1, max_size=12), st.data())
def test_one_series_is_read_from_its_segment_alone(rows, data):
    points = {series: arriving(points_of(each), series) for series, each in rows.items()}
    block = encode(points)
    series = data.draw(st.sampled_from(sorted(rows)))
    directory = read_directory(block.directory)
    entry, segment = directory.find(series)
    assert directory.first_arrivals[entry] == series
    piece = block.data[segment.offset : segment.offset + segment.size_bytes]
    assert as_rows(segment.read(piece).points(entry)) == as_rows(points[series])
    values = segment.read(piece, values_only=True).points(entry)
    assert (values.words, list(values.steps)) == (points[series].words, list(points[series].steps))
    assert directory.find(0) is None


def training(names: int, steps: int, seed: int = 1) -> dict[int, Points]:
    """What a loop logs: ``names`` floats a step, some µs apart, a step a second."""
    random_ = random.Random(seed)
    points = {}
    begun = [10**18 + step * 10**9 + random_.randrange(10**6) for step in range(steps)]
    for name in range(names):
        begun = [at + random_.randrange(500, 1500) for at in begun]
        words = array("q", array("d", [random_.gauss(0, 1) for _ in range(steps)]).tobytes())
        arrivals = range(name, name + names * steps, names)
        points[name + 1] = Points(
            bytes((slot.KIND_FLOAT,)) * steps, words, array("q", range(steps)), array("q", begun), arrivals
        )
    return points


def test_metrics_that_are_logged_together_share_their_steps_and_times():
    points = training(50, 64)
    block = encode(points)
    assert all_of(block) == {series: as_rows(each) for series, each in points.items()}
    assert len(block.directory) + len(block.data) < 10 * 50 * 64  # a record has 32 bytes; a float's digits are noise


@pytest.mark.slow
def test_a_block_of_a_hundred_thousand_series_is_small_and_finds_one_of_them():
    points = training(100_000, 2)
    block = encode(points)
    directory = read_directory(block.directory)
    assert len(block.directory) < 100_000
    entry, segment = directory.find(77_777)
    assert segment.entries * segment.each <= 1024
    piece = block.data[segment.offset : segment.offset + segment.size_bytes]
    assert as_rows(segment.read(piece).points(entry)) == as_rows(points[77_777])


def test_large_texts_do_not_share_a_segment():
    text = b'"' + b"x" * 200_000 + b'"'
    one = Points(bytes((slot.KIND_JSON,)), array("q", [len(text)]), array("q", [0]), array("q", [0]), range(1), text)
    block = encode({series: arriving(one, series) for series in range(1, 5)})
    assert [segment.entries for segment in read_directory(block.directory).segments] == [1, 1, 1, 1]
    assert {series: rows[0][1] for series, rows in all_of(block).items()} == dict.fromkeys(range(1, 5), text)
