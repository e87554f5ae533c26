"""Reading CSV: which columns are which, what a cell is, and what a file that grows or is cut gives."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from formats.imports import MTIME_NS, records, write
from steplog import FormatError
from steplog.formats import csv_reader
from steplog.formats.imported import ImportedRun


def only_run(path: Path, **options: Any) -> ImportedRun:
    (run,) = csv_reader.runs(path, **options)
    return run


def test_a_column_is_a_metric_and_an_empty_cell_nothing(tmp_path: Path):
    path = write(tmp_path / "a.csv", "step,loss,acc,note\n0,0.5,,good\n5,nan,1,\n\n7,,,\n")
    assert csv_reader.recognizes(path)
    run = only_run(path)
    assert (run.info.name, run.is_anonymous, run.info.project) == ("a", True, "")
    found = records(run)
    assert [row[:2] for row in found] == [("loss", 0), ("note", 0), ("loss", 5), ("acc", 5)]
    assert {row[2] for row in found} == {MTIME_NS}
    values = [row[3] for row in found]
    assert (values[0], values[1], values[3]) == (0.5, "good", 1)
    assert math.isnan(values[2])


@pytest.mark.parametrize(
    ("header", "steps", "metrics"),
    [
        ("step,epoch,loss", [10, 11], ["epoch", "loss"]),
        ("epoch,loss,_step", [30, 31], ["epoch", "loss"]),
        ("loss,Step,epoch", [20, 21], ["loss", "epoch"]),
        ("loss,global_step,acc", [20, 21], ["loss", "acc"]),
        ("loss,Epoch,acc", [20, 21], ["loss", "acc"]),
        ("loss,b,acc", [0, 1], ["loss", "b", "acc"]),
    ],
)
def test_the_column_of_steps_is_told_by_its_name(tmp_path: Path, header: str, steps: list[int], metrics: list[str]):
    found = records(only_run(write(tmp_path / "a.csv", f"{header}\n10,20,30\n11,21,31\n")))
    assert [row[1] for row in found[:: len(metrics)]] == steps
    assert [row[0] for row in found[: len(metrics)]] == metrics


def test_another_column_can_be_named_for_the_steps(tmp_path: Path):
    path = write(tmp_path / "a.csv", "epoch,seen,loss\n0,128,0.5\n")
    assert records(only_run(path, step_columns=["seen"])) == [
        ("epoch", 128, MTIME_NS, 0),
        ("loss", 128, MTIME_NS, 0.5),
    ]
    with pytest.raises(FormatError, match=r"no column 'sene' for the steps; there are epoch, seen, loss"):
        only_run(path, step_columns=["sene"])


def test_steps_that_are_not_whole_are_a_metric(tmp_path: Path):
    found = records(only_run(write(tmp_path / "a.csv", "epoch,loss\n0.5,1\n1.0,2\n")))
    assert [row[:2] + row[3:] for row in found] == [
        ("epoch", 0, 0.5),
        ("loss", 0, 1),
        ("epoch", 1, 1.0),
        ("loss", 1, 2),
    ]
    found = records(only_run(write(tmp_path / "b.csv", "step,loss\n1.0,1\n,2\n2e3,3\n2.5,4\n9223372036854775808,5\n")))
    assert [row[1] for row in found] == [1, None, 2000, None, 2**63]


def test_a_step_that_is_not_whole_among_others_is_said(tmp_path: Path):
    run = only_run(write(tmp_path / "a.csv", "step,loss\n1e3,1\n3.5,2\n,3\n"))
    assert [step for _, step, _, _ in records(run)] == [1000, None, None]
    assert run.remarks() == ["steps that are no whole numbers, such as 3.5: the next one of each metric was taken"]


def test_times_are_dates_or_numbers_and_else_that_of_the_file(tmp_path: Path):
    text = "Wall time,Step,Value\n1700000001.5,1,0.5\n,2,0.25\nnan,3,1\n-5,4,1\n"
    found = records(only_run(write(tmp_path / "a.csv", text)))
    times = [MTIME_NS + 1_500_000_000, MTIME_NS, MTIME_NS, -5 * 10**9]
    assert [(row[0], row[2]) for row in found] == [("Value", time) for time in times]


def test_cells_are_numbers_bools_or_texts(tmp_path: Path):
    cells = ["1", "-2", "+3", "1e3", "0.1", "inf", "-Infinity", "true", "False", "1_000", "0x10", "x", str(2**70)]
    for column in ([*cells], cells[:3], cells[:6], cells[3:6], cells[9:10]):  # in one column, or in columns of a kind
        text = "v\n" + "\n".join(column) + "\n"
        expected = [1, -2, 3, 1000.0, 0.1, math.inf, -math.inf, True, False, "1_000", "0x10", "x", 2**70]
        found = records(only_run(write(tmp_path / "a.csv", text)))
        assert repr([row[3] for row in found]) == repr([expected[cells.index(cell)] for cell in column])


def test_a_row_may_be_a_point(tmp_path: Path):
    text = "Metric,value,step,timestamp\nloss,0.5,1,1700000000\nacc,,1,\nacc,high,2,1700000001\n"
    assert records(only_run(write(tmp_path / "a.csv", text))) == [
        ("loss", 1, MTIME_NS, 0.5),
        ("acc", 2, MTIME_NS + 10**9, "high"),
    ]


@pytest.mark.parametrize("cell", ["", "5.0"])
def test_metrics_called_name_and_value_are_columns_of_a_wide_export(tmp_path: Path, cell: str):
    header = "step,time,loss,name,value"
    path = write(tmp_path / "a.csv", f"{header}\n0,2026-01-01T00:00:00Z,0.5,{cell},7\n1,2026-01-01T00:00:00Z,,6.0,\n")
    found = {name: step for name, step, *_ in records(only_run(path))}
    assert found == {"loss": 0, "name": 1, "value": 0}
    long = write(tmp_path / "b.csv", f"{header}\n0,2026-01-01T00:00:00Z,x,acc,7\n")
    assert [row[0] for row in records(only_run(long))] == ["acc"]


@pytest.mark.parametrize("order", ["aabb", "abab"], ids=["one after the other", "mixed"])
def test_a_column_of_runs_makes_several(tmp_path: Path, order: str):
    rows = [f'{label},"x,y",{step},{step / 2}' for step, label in enumerate(order * 3)]
    path = write(tmp_path / "a.csv", "run,name,step,value\n" + "\n".join(rows) + "\n")
    found = {run.info.name: records(run) for run in csv_reader.runs(path)}
    assert list(found) == ["a", "b"]
    for label, points in found.items():
        steps = [step for step, each in enumerate(order * 3) if each == label]
        assert points == [("x,y", step, MTIME_NS, step / 2) for step in steps]
    assert len({run.info.id for run in csv_reader.runs(path)}) == 2


@pytest.mark.parametrize("order", ["aabb", "abab"], ids=["one after the other", "mixed"])
def test_a_table_of_metrics_may_have_several_runs_too(tmp_path: Path, order: str):
    rows = [f"{step / 2},{label}" for step, label in enumerate(order)]
    path = write(tmp_path / "a.csv", "loss,run\n" + "\n".join(rows) + "\n")
    for run in csv_reader.runs(path):
        places = [place for place, label in enumerate(order) if label == run.info.name]
        assert records(run) == [("loss", step, MTIME_NS, place / 2) for step, place in enumerate(places)]
    assert [run.info.name for run in csv_reader.runs(path)] == ["a", "b"]


def test_what_steplog_exports_comes_back(tmp_path: Path):
    text = (
        "name,step,time,value\r\n"
        "loss,1,2023-11-14T22:13:20.000000001Z,0.5\r\n"
        "loss,2,2023-11-14T22:13:20.000000002Z,NaN\r\n"
        'n,3,2023-11-14T22:13:20.000000003Z,"""NaN"""\r\n'
        'n,4,2023-11-14T22:13:20.000000004Z,"{""a"":[1,null]}"\r\n'
        "n,5,2023-11-14T22:13:20.000000005Z,null\r\n"
        "n,6,2023-11-14T22:13:20.000000006Z,true\r\n"
        "n,7,2023-11-14T22:13:20.000000007Z,-3\r\n"
    )
    found = records(only_run(write(tmp_path / "a.csv", text)))
    assert [row[2] - MTIME_NS for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert repr([row[3] for row in found]) == repr([0.5, math.nan, b'"NaN"', b'{"a":[1,null]}', b"null", True, -3])


def test_an_id_stays_where_the_file_grows_and_moves(tmp_path: Path):
    text = "step,loss\n0,0.5\n"
    first = only_run(write(tmp_path / "x" / "a.csv", text)).info.id
    assert only_run(write(tmp_path / "y" / "a.csv", text + "1,0.25\n")).info.id == first
    others = [("a.csv", text.replace("0.5", "0.6")), ("b.csv", text), ("a.csv", text.replace("loss", "acc"))]
    assert first not in {only_run(write(tmp_path / "z" / name, other)).info.id for name, other in others}
    assert list(csv_reader.runs(write(tmp_path / "z" / "a.csv", "step,loss\n0,0.5"))) == []


def test_a_column_that_is_added_later_makes_no_other_run(tmp_path: Path):
    """As Lightning's CSVLogger writes its file anew once there is a metric of the validation."""
    before = only_run(write(tmp_path / "metrics.csv", "loss,step\n0.5,0\n0.25,1\n"))
    known = records(before)
    after = only_run(write(tmp_path / "metrics.csv", "acc,loss,step\n,0.5,0\n,0.25,1\n0.9,,1\n"))
    assert after.info.id == before.info.id
    assert records(after) == [*known, ("acc", 1, MTIME_NS, 0.9)]


def test_a_row_that_is_half_written_is_left_out_and_said(tmp_path: Path):
    for end in ("1,0.2", '1,"a\n', '1,"a\nb'):
        run = only_run(write(tmp_path / "a.csv", f"step,loss\n0,0.5\n{end}"))
        assert [row[3] for row in records(run)] == [0.5]
        assert run.remarks() == ["the last row, which no line end follows"]


def test_a_name_that_says_nothing_is_that_of_the_folder(tmp_path: Path):
    for place in ("a/metrics.csv", "b/c/progress.csv", "b/train.csv", ".cache/x.csv", "notes.txt"):
        write(tmp_path / place, "step,loss\n0,0.5\n")
    assert [run.info.name for run in csv_reader.runs(tmp_path)] == ["a", "b/c", "b/train"]
    assert only_run(tmp_path / "a" / "metrics.csv").info.name == "a"
    assert not csv_reader.recognizes(tmp_path / "notes.txt")


def test_semicolons_tabs_and_a_byte_order_mark_are_understood(tmp_path: Path):
    for delimiter in ";\t":
        text = "\ufeffstep,loss\r\n0,0.5\r\n".replace(",", delimiter)
        run = only_run(write(tmp_path / "a.tsv", text))
        assert records(run) == [("loss", 0, MTIME_NS, 0.5)]


def test_a_row_with_too_many_cells_or_no_text_is_an_error_that_names_the_file(tmp_path: Path):
    path = write(tmp_path / "a.csv", "step,loss\n0,0.5\n1,2,3\n")
    with pytest.raises(FormatError, match=r"a\.csv: a row has 3 cells, the first row 2: 1,2,3"):
        records(only_run(path))
    assert len(records(only_run(write(path, "step,loss\n0,0.5,\n1\n")))) == 1  # empty ones, and missing ones
    with pytest.raises(FormatError, match=r"a\.csv: beyond byte 15"):
        records(only_run(write(path, "step,loss\n0,ä5\n1,\u00e4\n", "latin-1")))


def test_values_as_long_as_a_server_takes_are_read(tmp_path: Path):
    path = write(tmp_path / "a.csv", f"step,note\n0,{'x' * 1_000_000}\n")
    assert len(records(only_run(path))[0][3]) == 1_000_000
