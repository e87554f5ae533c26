"""Reading JSON lines: what steplog exports, a point a line, and an object of metrics a line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from formats.imports import MTIME_NS, records, write
from steplog import FormatError
from steplog.formats import jsonl_reader
from steplog.formats.imported import BATCH_RECORDS, ImportedRun
from steplog.formats.run_info import RunInfo

FIRST = '{"run":{"id":"first","name":"one","project":"mnist","tags":["a"],"config":{"lr":0.1},"status":"FAILED"}}\n'
SECOND = '{"run": {"id": "second"}}\n'


def only_run(path: Path, **options: Any) -> ImportedRun:
    (run,) = jsonl_reader.runs(path, **options)
    return run


def point(name: str, step: int, value: str) -> str:
    return f'{{"name":"{name}","step":{step},"time":"2023-11-14T22:13:20.{step:09}Z","value":{value}}}\n'


def test_runs_and_points_that_steplog_exports_come_back(tmp_path: Path):
    texts = [
        "0.5",
        "3",
        "true",
        "null",
        '"NaN"',
        '"\\u004eaN"',
        '"a\\n"',
        '{"a" : [1.50]}',
        str(2**70),
        "1e400",
        "-0.0",
    ]
    points = "".join(point("v", step, text) for step, text in enumerate(texts))
    path = write(tmp_path / "a.jsonl", FIRST + points + SECOND + point("loss", 1, "0.25"))
    assert jsonl_reader.recognizes(path)
    one, two = jsonl_reader.runs(path)
    assert one.info == RunInfo(id="first", name="one", project="mnist", tags=["a"], config={"lr": 0.1}, status="FAILED")
    assert (one.is_anonymous, two.info.id) == (False, "second")
    found = records(one)
    assert [row[:3] for row in found] == [("v", step, MTIME_NS + step) for step in range(len(texts))]
    as_they_are = [b"null", b'"\\u004eaN"', b'"a\\n"', b'{"a" : [1.50]}', b"1e400"]
    expected = [0.5, 3, True, as_they_are[0], math.nan, *as_they_are[1:4], 2**70, as_they_are[4], -0.0]
    assert repr([row[3] for row in found]) == repr(expected)
    assert records(two) == [("loss", 1, MTIME_NS + 1, 0.25)]


def test_an_exported_run_without_points_is_a_run(tmp_path: Path):
    runs = list(jsonl_reader.runs(write(tmp_path / "a.jsonl", FIRST + SECOND)))
    assert [(run.info.id, records(run)) for run in runs] == [("first", []), ("second", [])]


def test_an_object_a_line_is_metrics_at_a_step(tmp_path: Path):
    lines = (
        '{"loss":0.5,"_step":3,"_timestamp":1700000001.5,"_runtime":2,"ok":true,"gone":null}\n'
        "\n"
        '{"acc":"NaN","_step":4.0,"layers":{"a":1},"word":"x"}\n'
        '{"loss":1}\n'
    )
    run = only_run(write(tmp_path / "history.jsonl", lines))
    assert run.is_anonymous
    early = MTIME_NS + 1_500_000_000
    found = records(run)
    assert found[:3] == [("loss", 3, early, 0.5), ("_runtime", 3, early, 2), ("ok", 3, early, True)]
    assert (found[3][:3], math.isnan(found[3][3])) == (("acc", 4, MTIME_NS), True)
    assert found[4:] == [("layers", 4, MTIME_NS, {"a": 1}), ("word", 4, MTIME_NS, "x"), ("loss", 2, MTIME_NS, 1)]
    assert {row[1] for row in records(only_run(run_file(tmp_path), step_columns=["seen"]))} == {128}


def test_steps_that_are_not_whole_are_a_metric(tmp_path: Path):
    found = records(only_run(write(tmp_path / "a.jsonl", '{"epoch":0.5,"loss":1}\n{"epoch":1.0,"loss":2}\n')))
    assert [record[:2] + record[3:] for record in found] == [
        ("epoch", 0, 0.5),
        ("loss", 0, 1),
        ("epoch", 1, 1.0),
        ("loss", 1, 2),
    ]


def run_file(folder: Path) -> Path:
    return write(folder / "b.jsonl", '{"loss":0.5,"step":3,"seen":128}\n')


def test_a_point_a_line_needs_no_run(tmp_path: Path):
    lines = '{"name":"loss","value":0.5}\n{"name":"acc","value":1,"step":2.0,"time":1700000001}\n'
    found = records(only_run(write(tmp_path / "a.ndjson", lines)))
    assert found == [("loss", None, MTIME_NS, 0.5), ("acc", 2, MTIME_NS + 10**9, 1)]


def test_an_id_stays_where_the_file_grows_and_moves(tmp_path: Path):
    line = '{"loss":0.5}\n'
    first = only_run(write(tmp_path / "x" / "a.jsonl", line)).info.id
    assert only_run(write(tmp_path / "y" / "a.jsonl", line + line)).info.id == first
    assert only_run(write(tmp_path / "y" / "b.jsonl", line)).info.id != first
    assert only_run(write(tmp_path / "tmp123", line), name="stdin").info.name == "stdin"


@pytest.mark.parametrize("whole", ['{"loss":0.5}\n', FIRST + point("loss", 1, "0.5")], ids=["objects", "exported"])
def test_a_line_that_is_half_written_is_left_out_and_said(tmp_path: Path, whole: str):
    run = only_run(write(tmp_path / "a.jsonl", f'{whole}{{"loss":0.'))
    assert [row[3] for row in records(run)] == [0.5]
    assert run.remarks() == ["the last line, which is half written"]
    assert len(records(only_run(write(tmp_path / "a.jsonl", whole.rstrip())))) == 1
    assert list(jsonl_reader.runs(write(tmp_path / "a.jsonl", '{"loss":0.'))) == []
    assert list(jsonl_reader.runs(write(tmp_path / "a.jsonl", ""))) == []


def test_a_line_that_is_no_point_is_an_error_that_shows_it(tmp_path: Path):
    good = point("loss", 1, "0.5")
    for lines, words in (
        (FIRST + good + "loss\n" + good, r"a\.jsonl: .*: loss"),
        (FIRST + good + '{"name":1,"value":2}\n', r"Expected `str`, got `int`.*: {\"name\":1"),
        (good + "[1]\n", r"a\.jsonl: .*: \[1\]"),
        ('{"run":{"name":"x"}}\n', "missing required field `id`"),
        ("1\n" + FIRST, "there are lines before the first"),
        ("[1]\n", r"\[1\]"),
        (FIRST + good.rstrip() + good, "trailing characters"),
        ('{"loss":1}{"loss":2}\n', "trailing characters"),
        ('{"loss":1}\n{"loss":1}{"loss":2}\n', "trailing characters"),
        (FIRST + good + FIRST[:20], "the line of its last run is half written"),
        ('{"name":"a","value":1,"writer":"w","position":0,"state":"waiting"}\n', "Type: steplog sync"),
    ):
        with pytest.raises(FormatError, match=words):
            list(map(records, jsonl_reader.runs(write(tmp_path / "a.jsonl", lines))))


def test_more_points_than_a_batch_come_in_order(tmp_path: Path):
    count = 2 * BATCH_RECORDS + 5
    text = FIRST + "".join(point("loss", step, f"{step}.5") for step in range(count)) + SECOND
    found = records(next(iter(jsonl_reader.runs(write(tmp_path / "a.jsonl", text)))))
    assert [row[1] for row in found] == list(range(count))


@pytest.mark.parametrize(
    "before", ["", '{"run":{"id":"a","name":"a"}}\n', '{"a":1}\n', '{"name":"a","value":1}\n'], ids=str
)
@pytest.mark.parametrize("begin", ['{"run":', '{"name":"a","value":', '{"a":'], ids=str)
def test_a_line_nested_too_deep_is_an_error_and_no_crash(tmp_path: Path, before: str, begin: str):
    path = tmp_path / "a.jsonl"
    path.write_text(before + begin + "[" * 100_000 + "]" * 100_000 + "}\n" + before)
    with pytest.raises(FormatError, match=r"a\.jsonl"):
        list(map(records, jsonl_reader.runs(path)))
