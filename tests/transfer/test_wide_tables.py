"""Wide files have every row, whatever a run is read in, and are as of the start where a run is short."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.points import stretch
from steplog.errors import FormatError
from steplog.reading.points import Selection, SeriesPoints
from steplog.transfer import wide_tables
from steplog.transfer.run_points import snapshot
from transfer.sources import FakeSource, exporter, into


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide_tables, "POINTS_MAX", 20)
    monkeypatch.setattr(wide_tables, "CELLS_MAX", 40)


def rows_of(source: FakeSource) -> list[dict[str, Any]]:
    found = snapshot(source)
    return [row for each in wide_tables.wide_tables(source, found, list(found.counts)) for row in each.table.rows()]


def in_one(sources: list[FakeSource], kind: str = "csv", **options: Any) -> bytes:
    sink = io.BytesIO()
    exporter(sources, kind, wide=True, **options).to_file(sink, several=len(sources) > 1)
    return sink.getvalue()


class Stepped(FakeSource):
    """A run whose metrics have these steps; the values are the steps."""

    def __init__(self, steps: dict[str, list[int]]) -> None:
        super().__init__("r", steps)
        self.read: list[int] = []

    def series(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "count": len(steps), "first_step": steps[0], "max_step": max(steps)}
            for name, steps in self.metrics.items()
        ]

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        low, high = selection.start, selection.end
        self.read.append(0)
        for name in selection.names or self.metrics:
            steps = [
                step for step in self.metrics[name] if (low is None or low <= step) and (high is None or step <= high)
            ]
            for at in range(0, len(steps), 5):
                self.read[-1] += len(steps[at : at + 5])
                yield stretch(name, steps[at : at + 5])._replace(steps=steps[at : at + 5])


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(-100, 100), min_size=1, max_size=120), min_size=1))
def test_rows_are_those_of_one_table_in_whatever_stretches(steps):
    whole = rows_of(Stepped(steps))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wide_tables, "POINTS_MAX", 20)
        patch.setattr(wide_tables, "CELLS_MAX", 40)
        source = Stepped(steps)
        found = rows_of(source)
    assert [row["step"] for row in found] == sorted({step for each in steps.values() for step in each})
    assert [{**row, "time": None} for row in found] == [{**row, "time": None} for row in whole]


def test_no_more_is_read_at_once_than_its_bound_but_a_single_step(small: None):
    source = Stepped({"a": [*range(1000), *[10**6] * 50], "b": [5, 10**6]})
    assert len(rows_of(source)) == 1001
    assert max(source.read) <= 52


def test_a_short_run_is_as_of_the_start():
    source = FakeSource("r", {"a": [0.5] * 10})
    source.on_stretch = lambda: source.metrics["a"].append(0.25)
    assert len(rows_of(source)) == 10


def test_several_runs_have_the_columns_of_all():
    one, two = FakeSource("one", {"a": [0.5], "b": [1, 2]}), FakeSource("two", {"c": ["x"], "a": [7]})
    rows = list(csv.reader(io.StringIO(in_one([one, two]).decode(), newline="")))
    assert rows[0] == ["run", "step", "time", "a", "b", "c"]
    assert [[row[0], row[1], *row[3:]] for row in rows[1:]] == [
        ["one", "0", "0.5", "1", ""],
        ["one", "1", "", "2", ""],
        ["two", "0", "7", "", '"x"'],
    ]


def test_metrics_called_step_and_time_have_columns_beside_those():
    rows = in_one([FakeSource("one", {"step": [7], "time": [0.5]})]).decode().split("\r\n")
    assert rows[0] == "step,time,step_,time_"
    assert rows[1].endswith("Z,7,0.5")


def test_the_types_of_a_long_run_are_those_of_all_its_values(small: None):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    metrics = {
        "i": [*range(100)],
        "f": [1] * 50 + [0.5] * 50,
        "j": [1.5] * 99 + ["x"],
        "large": [0.5] * 99 + [2**60 + 1],
    }
    table = parquet.read_table(io.BytesIO(in_one([FakeSource("one", metrics)], "parquet")))
    assert [str(table.schema.field(name).type) for name in metrics] == ["int64", "double", "string", "string"]
    assert table.column("f").to_pylist() == [1.0] * 50 + [0.5] * 50
    assert table.column("large").to_pylist() == ["0.5"] * 99 + [str(2**60 + 1)]
    assert table.column("step").to_pylist() == [*range(100)]


def test_values_of_another_kind_that_come_meanwhile_are_an_error(small: None):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    source = FakeSource("one", {"a": [0.5] * 100})

    def change() -> None:
        if source.asked.count("points") > 5:
            source.metrics["a"][99] = "x"

    source.on_stretch = change
    with pytest.raises(FormatError, match="other values of 'a' meanwhile"):
        in_one([source], "parquet")


def test_a_wide_file_and_a_long_one_are_not_taken_for_one_another(tmp_path):
    source = FakeSource("one", {"a": [0.5]})
    assert [into(tmp_path, source, wide=wide).unchanged for wide in (True, True, False)] == [0, 1, 0]


def test_of_these_names_the_columns_are_in_their_order():
    rows = in_one([FakeSource("one", {"a": [0.5], "b": [1], "c": [2]})], names=("c", "a")).decode().split("\r\n")
    assert rows[0] == "step,time,c,a"
