"""Tables: what is taken, and whether the record or a file has the rows."""

from __future__ import annotations

import datetime
import json

import pytest

import steplog
from media.keeping import Keeping
from steplog.media.table import COLUMNS_MAX, INLINE_BYTES_MAX
from steplog.media_value import TooLargeToLogError

numpy = pytest.importorskip("numpy")


def logged(*args: object, **kwargs: object) -> dict:
    return Keeping().log(steplog.Table(*args, **kwargs))


def test_a_small_table_is_in_the_record():
    record = logged(["name", "score"], [["a", 0.5], ("b", None)])
    assert record == {"_type": "table", "columns": ["name", "score"], "data": [["a", 0.5], ["b", None]]}


def test_cells_are_any_values_of_log():
    cells = [numpy.float32(0.5), float("nan"), datetime.date(2030, 1, 1), {"a": [1]}, numpy.zeros(2), True, 2**70, "x"]
    record = logged(list(range(8)), [cells])
    assert record["columns"] == [str(number) for number in range(8)]
    assert record["data"] == [[0.5, "NaN", "2030-01-01", {"a": [1]}, [0.0, 0.0], True, 2**70, "x"]]


def test_texts_and_numbers_are_kept_alike_beside_values_that_need_converting():
    plain = [["é\ud800", 1.5, 2**70, True, None, -0.0], ["", 1e300, -1, False, None, 0]]
    columns = list("abcdef")
    alone, beside = logged(columns, plain), logged([*columns, "g"], [[*row, 1 + 2j] for row in plain])
    assert alone["data"] == [row[:6] for row in beside["data"]]
    assert alone["data"][0] == ["é?", 1.5, 2**70, True, None, 0.0]


def test_cells_with_media_have_files_of_their_own():
    keeping = Keeping()
    images = [steplog.Image(numpy.full((2, 2), number, numpy.uint8)) for number in range(3)]
    record = keeping.log(steplog.Table(["image", "more"], [[images[0], [images[1], {"a": images[2]}]]]))
    (first, more), *_ = record["data"]
    named = [first, more[0], more[1]["a"]]
    assert [cell["_type"] for cell in named] == ["image"] * 3
    assert len({keeping.file(cell) for cell in named}) == 3


def test_a_table_in_a_table_and_a_histogram_in_it_are_kept():
    inner = steplog.Table(["a"], [[1]])
    record = logged(["t", "h"], [[inner, steplog.Histogram([1.0], bins=1)]])
    assert record["data"][0][0] == {"_type": "table", "columns": ["a"], "data": [[1]]}
    assert record["data"][0][1]["values"] == [1]


def test_a_table_that_holds_itself_is_refused_and_not_followed():
    rows: list[list[object]] = [[0]]
    table = steplog.Table(["self"], rows)
    rows[0][0] = table
    with pytest.raises(ValueError, match="circular"):
        Keeping().log(table)


def test_a_larger_table_is_a_file_with_the_same_json():
    keeping = Keeping()
    image = steplog.Image(numpy.zeros((2, 2), numpy.uint8))
    rows = [[number, "x" * 50, image if number == 7 else None] for number in range(2000)]
    record = keeping.log(steplog.Table(["number", "text", "image"], rows))
    content = keeping.contents[record["file"]]
    assert (record["_type"], record["type"], content.suffix) == ("table", "application/json", ".json")
    assert (record["columns"], record["rows"]) == (["number", "text", "image"], 2000)
    table = json.loads(keeping.file(record))
    assert (table["_type"], table["columns"]) == ("table", ["number", "text", "image"])
    assert table["data"][8] == [8, "x" * 50, None]
    assert keeping.file(table["data"][7][2]).startswith(b"\x89PNG")


def test_as_much_as_the_bound_is_in_the_record_and_more_in_a_file():
    frame = len('{"_type":"table","columns":["a"],"data":[[""]]}')
    fits = "é" * ((INLINE_BYTES_MAX - frame) // 2)
    assert "data" in logged(["a"], [[fits]])
    assert "file" in logged(["a"], [[fits + "éé"]])


def test_a_table_of_more_than_a_call_takes_raises():
    with pytest.raises(TooLargeToLogError, match=r"run\.save"):
        logged(["a"], [["x" * 1_000_000]] * 17)
    with pytest.raises(TooLargeToLogError):
        logged(["a"], [[0]] * 9_000_000)
    with pytest.raises(TooLargeToLogError):
        logged(["a"], [["é" * 1_000_000]] * 9)


def test_rows_may_be_dicts():
    rows = [{"a": 1, "b": 2}, {"b": 3, "c": 4}]
    assert logged(rows=rows)["columns"] == ["a", "b", "c"]
    assert logged(rows=rows)["data"] == [[1, 2, None], [None, 3, 4]]
    assert logged(["c", "a"], rows)["data"] == [[None, 1], [4, None]]


def test_rows_may_be_an_array_or_come_from_a_generator():
    assert logged(["a", "b"], numpy.arange(4).reshape(2, 2))["data"] == [[0, 1], [2, 3]]
    assert logged(["a"], ([number] for number in range(2)))["data"] == [[0], [1]]
    assert logged(["a"])["data"] == []


def test_a_table_is_what_its_rows_hold_when_it_is_logged():
    row = [1]
    table = steplog.Table(["a"], [row])
    row[0] = 2
    assert Keeping().log(table)["data"] == [[2]]
    row.append(3)
    with pytest.raises(ValueError, match="row 0 has 2"):
        Keeping().log(table)


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        (None, None),
        (None, [[1]]),
        (["a", "b"], [[1, 2], [1]]),
        (["a"] * (COLUMNS_MAX + 1), []),
    ],
)
def test_what_is_no_table_raises_value_error(columns, rows):
    with pytest.raises(ValueError, match=r"table|row"):
        steplog.Table(columns, rows)


@pytest.mark.parametrize(
    ("columns", "rows"),
    [("abc", [[1, 2, 3]]), (["a"], "x"), (["a"], ["x"]), (["a"], {"a": 1}), (["a"], 3), (["a"], [3])],
)
def test_rows_that_are_none_raise_type_error(columns, rows):
    with pytest.raises(TypeError, match=r"list|row"):
        steplog.Table(columns, rows)


def test_a_dataframe_is_given_by_name_alone():
    table = steplog.ArrowTable([])
    for wrong in ((table,), (None, table)):
        with pytest.raises(TypeError, match="dataframe=frame"):
            steplog.Table(*wrong)
    with pytest.raises(ValueError, match="one of these"):
        steplog.Table(["a"], dataframe=table)
    with pytest.raises(TypeError, match="Arrow"):
        steplog.Table(dataframe=[1])


def test_an_uncommon_value_in_a_cell_is_counted_as_in_log():
    keeping = Keeping()
    keeping.values.strict = False
    record = keeping.log(steplog.Table(["a"], [[object()]]))
    assert record["data"][0][0].startswith("<object object")
    assert keeping.values.coerced == 1
