"""CSV and JSON lines say every point exactly, and do not show in which stretches the points came."""

from __future__ import annotations

import csv
import io
import json
import math
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.points import INFO, VALUES, cut, stretch, written
from steplog.column_format import json_value
from steplog.formats import csv_file, jsonl_file
from steplog.formats.run_info import RunInfo

OTHER = RunInfo(id="second", name="é")
LABELS = {"first": "a,b", "second": "=b"}
TIME = "2023-11-14T22:13:20.000000001Z"


@pytest.mark.parametrize(
    "make",
    [csv_file.Writer, partial(csv_file.Writer, labels=LABELS), partial(csv_file.Writer, excel=True), jsonl_file.Writer],
)
@given(cuts=st.lists(st.integers(0, len(VALUES)), max_size=4))
def test_where_points_are_cut_into_stretches_does_not_show(make, cuts):
    whole = written(make, (INFO, [stretch("m", VALUES)]))
    assert written(make, (INFO, cut("m", VALUES, cuts))) == whole


def test_a_line_of_json_lines_says_all_of_a_run_or_a_point():
    content = written(jsonl_file.Writer, (INFO, [stretch("m", VALUES), stretch('a "b"', [1.5])]), (OTHER, []))
    first, *lines, last = content.decode().split("\n")[:-1]
    assert msgspec.convert(json.loads(first)["run"], RunInfo) == INFO
    assert msgspec.convert(json.loads(last)["run"], RunInfo) == OTHER
    *points, other = map(json.loads, lines)
    assert points[0] == {"name": "m", "step": 0, "time": TIME, "value": 0.1}
    assert other == {"name": 'a "b"', "step": 0, "time": TIME, "value": 1.5}
    texts = [line.encode().partition(b'"value":')[2][:-1] for line in lines[:-1]]
    assert repr(list(map(json_value, texts))) == repr(VALUES)


def test_a_cell_of_csv_is_a_number_or_the_text_of_json():
    content = written(csv_file.Writer, (INFO, [stretch("m", VALUES), stretch('a,"b"\r\n', [1.5])]))
    header, *rows, other = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    assert header == ["name", "step", "time", "value"]
    assert other == ['a,"b"\r\n', "0", TIME, "1.5"]
    cells = [row[3] for row in rows]
    assert cells[5:8] == ["NaN", "Infinity", "-Infinity"]
    assert repr([float(cell) for cell in cells[:8]]) == repr(VALUES[:8])
    assert [json.loads(cell) for cell in cells[8:]] == VALUES[8:]
    assert content.count(b"\r\n") == len(VALUES) + 3  # of the header, and of a name


def test_several_runs_in_a_csv_have_a_column_that_says_which():
    content = written(
        partial(csv_file.Writer, labels=LABELS), (INFO, [stretch("m", [0.5])]), (OTHER, [stretch("m", [1])])
    )
    assert content.decode() == f'run,name,step,time,value\r\n"a,b",m,0,{TIME},0.5\r\n=b,m,0,{TIME},1\r\n'


def test_excel_gets_a_mark_dates_that_it_knows_and_no_formula():
    points = [stretch("=cmd()", [0.5, -1.5, -math.inf]), stretch("m", ["=1+1", -math.inf, -2])]
    content = written(partial(csv_file.Writer, labels=LABELS, excel=True), (OTHER, points))
    assert content.startswith(b"\xef\xbb\xbfrun,")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))[1:]
    assert {row[0] for row in rows} == {"'=b"}
    assert [row[1] for row in rows] == ["'=cmd()"] * 3 + ["m"] * 3
    assert {row[3] for row in rows} == {"2023-11-14 22:13:20.000"}
    assert [row[4] for row in rows] == ["0.5", "-1.5", "'-Infinity", '"=1+1"', "'-Infinity", "-2"]


def test_points_of_a_source_without_times_have_none():
    untimed = stretch("m", [0.5])._replace(times=None)
    assert written(csv_file.Writer, (INFO, [untimed])).endswith(b"\r\nm,0,,0.5\r\n")
    assert written(partial(csv_file.Writer, excel=True), (INFO, [untimed])).endswith(b"\r\nm,0,,0.5\r\n")
    assert written(jsonl_file.Writer, (INFO, [untimed])).endswith(b'\n{"name":"m","step":0,"value":0.5}\n')
