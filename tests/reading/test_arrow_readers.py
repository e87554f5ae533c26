"""What pandas, polars, DuckDB and pyarrow make of a table; those that are not installed are skipped."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from steplog.reading.arrow_table import ArrowColumn, ArrowTable, column_of
from steplog.reading.points import SeriesPoints
from steplog.reading.wide import long, wide

UTC_NS = [0, 1_500_000_000_123_456_789, 2]


def reader(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed: steplog[readers]")


def one_of_each() -> ArrowTable:
    """A column of each kind; in ``loss`` NaN, a number, and nothing."""
    return ArrowTable(
        [
            ArrowColumn("step", "i8", array("q", [1, 2, 3])),
            ArrowColumn("time", "time", array("q", UTC_NS)),
            column_of("loss", "f8", [math.nan, 0.5, None]),
            column_of("count", "i8", [2**62 + 1, None, 3]),
            column_of("note", "text", ["é", None, ""]),
            column_of("batch", "json", [b'{"size":32}', b"null", None]),
            column_of("done", "bool", [True, None, False]),
            column_of("tags", "texts", [["a", "b"], [], None]),
        ]
    )


def is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def test_pyarrow_has_every_value_and_its_type():
    pyarrow = reader("pyarrow")
    found = pyarrow.table(one_of_each())
    found.validate(full=True)
    assert {field.name: str(field.type) for field in found.schema} == {
        "step": "int64",
        "time": "timestamp[ns, tz=UTC]",
        "loss": "double",
        "count": "int64",
        "note": "string",
        "batch": "string",
        "done": "bool",
        "tags": "list<item: string>",
    }
    assert found["time"].cast("int64").to_pylist() == UTC_NS
    assert is_nan(found["loss"][0].as_py())
    assert found["loss"].to_pylist()[1:] == [0.5, None]
    rest = [found[name].to_pylist() for name in ("count", "note", "batch", "done", "tags")]
    assert rest == [
        [2**62 + 1, None, 3],
        ["é", None, ""],
        ['{"size":32}', "null", None],
        [True, None, False],
        [["a", "b"], [], None],
    ]
    assert pyarrow.schema(one_of_each()) == found.schema


def test_pyarrow_casts_to_a_schema_that_is_asked_for():
    pyarrow = reader("pyarrow")
    table = ArrowTable([ArrowColumn("note", "text", ["a"])])
    assert pyarrow.table(table, schema=pyarrow.schema([("note", "large_string")])).to_pydict() == {"note": ["a"]}


def test_polars_keeps_nan_and_null_apart():
    polars = reader("polars")
    found = polars.DataFrame(one_of_each())
    assert found.schema == {
        "step": polars.Int64,
        "time": polars.Datetime("ns", "UTC"),
        "loss": polars.Float64,
        "count": polars.Int64,
        "note": polars.String,
        "batch": polars.String,
        "done": polars.Boolean,
        "tags": polars.List(polars.String),
    }
    assert found["loss"].is_nan().to_list() == [True, False, None]
    assert found["loss"].is_null().to_list() == [False, False, True]
    assert found["count"].to_list() == [2**62 + 1, None, 3]
    assert found["tags"].to_list() == [["a", "b"], [], None]


def test_duckdb_keeps_nan_and_null_apart():
    duckdb = reader("duckdb")
    points = one_of_each()
    rows = duckdb.sql("SELECT step, isnan(loss), count, note, batch->>'$.size', done, tags FROM points").fetchall()
    assert rows == [
        (1, True, 2**62 + 1, "é", "32", True, ["a", "b"]),
        (2, False, None, None, None, None, []),
        (3, None, 3, "", None, False, None),
    ]
    assert duckdb.sql("SELECT epoch_ns(time) FROM points").fetchall() == [(time,) for time in UTC_NS]
    assert points.columns[0] == "step"


def test_pandas_shows_nan_for_both_and_its_arrow_types_keep_them_apart():
    pandas, pyarrow = reader("pandas"), reader("pyarrow")
    plain = pandas.DataFrame.from_arrow(one_of_each())
    assert plain["loss"].isna().tolist() == [True, False, True]
    assert str(plain["count"].dtype) == "float64"  # what pandas makes of integers, some of which are missing
    assert str(plain["time"].dtype) == "datetime64[ns, UTC]"
    apart = pyarrow.table(one_of_each()).to_pandas(types_mapper=pandas.ArrowDtype)
    assert apart["loss"].isna().tolist() == [False, False, True]
    assert is_nan(apart["loss"][0])
    assert apart["count"].tolist()[0] == 2**62 + 1


def sum_by_duckdb(module: Any, points: ArrowTable) -> Any:
    ((found,),) = module.sql("SELECT sum(loss) FROM points").fetchall()
    return found


SUMS: dict[str, Callable[[Any, ArrowTable], float]] = {
    "pyarrow": lambda module, table: sum(module.table(table)["loss"].to_pylist()),
    "polars": lambda module, table: module.DataFrame(table)["loss"].sum(),
    "pandas": lambda module, table: module.DataFrame.from_arrow(table)["loss"].sum(),
    "duckdb": sum_by_duckdb,
}


@pytest.mark.parametrize("name", SUMS)
def test_a_million_rows_of_several_batches_are_read_twice(name):
    module = reader(name)
    if name == "pandas":
        reader("pyarrow")
    batch = [
        ArrowColumn("step", "i8", array("q", range(250_000))),
        ArrowColumn("loss", "f8", array("d", [0.5] * 250_000)),
    ]
    table = ArrowTable(batch, batch, batch, batch)
    assert [SUMS[name](module, table) for _ in range(2)] == [500_000.0] * 2


KEPT: dict[str, Callable[[Any, ArrowTable], tuple[Any, Callable[[Any], list[float]]]]] = {
    "pyarrow": lambda module, table: (module.table(table), lambda held: held["loss"].to_pylist()),
    "polars": lambda module, table: (module.DataFrame(table), lambda held: held["loss"].to_list()),
    "pandas": lambda module, table: (module.DataFrame.from_arrow(table), lambda held: held["loss"].tolist()),
}


@pytest.mark.parametrize("name", ["pyarrow", "polars"])
def test_numbers_are_read_where_they_are(name):
    """What is changed in the buffer afterwards is seen; pandas copies them."""
    losses = array("d", range(100_000))
    held, values = KEPT[name](reader(name), ArrowTable([ArrowColumn("loss", "f8", losses)]))
    losses[7] = -1.0
    assert values(held)[7] == -1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", [*KEPT, "duckdb"])
def test_a_program_that_holds_data_at_its_end_ends(name):
    reader(name)
    if name == "pandas":
        reader("pyarrow")
    program = f"""
import {name}
from array import array
from steplog.reading.arrow_table import ArrowColumn, ArrowTable
points = ArrowTable([ArrowColumn("loss", "f8", array("d", range(1_000_000)))])
made = {{
    "pyarrow": lambda: pyarrow.table(points),
    "polars": lambda: polars.DataFrame(points),
    "pandas": lambda: pandas.DataFrame.from_arrow(points),
    "duckdb": lambda: duckdb.sql("SELECT * FROM points"),
}}[{name!r}]()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", KEPT)
def test_data_that_is_kept_stays_when_the_table_is_gone(name):
    module = reader(name)
    if name == "pandas":
        reader("pyarrow")
    table = ArrowTable([ArrowColumn("loss", "f8", array("d", range(100_000)))])
    held, values = KEPT[name](module, table)
    del table
    gc.collect()
    others = [array("d", bytes(800_000)) for _ in range(20)]  # over what would have been given back
    assert values(held) == list(range(100_000))
    del others


@pytest.mark.parametrize("name", ["pyarrow", "polars", "pandas"])
@pytest.mark.parametrize("table", [ArrowTable([]), wide([]), long([])], ids=["no columns", "wide", "long"])
def test_a_table_of_no_rows_is_read(name, table):
    module = reader(name)
    if name == "pandas":
        reader("pyarrow")
    read = {"pyarrow": "table", "polars": "DataFrame", "pandas": "DataFrame"}[name]
    found = (module.DataFrame.from_arrow if name == "pandas" else getattr(module, read))(table)
    names = found.column_names if name == "pyarrow" else found.columns
    assert (len(found), list(names)) == (0, list(table.columns))


def test_long_tables_are_grouped_by_name_in_each_reader():
    pyarrow, polars, duckdb = reader("pyarrow"), reader("polars"), reader("duckdb")
    stretches = [
        SeriesPoints("loss", "f8", range(5000), range(5000), array("d", [0.5] * 5000)),
        SeriesPoints("epoch", "i8", [1, 2], [3, 4], array("q", [7, 2**62 + 1])),
        SeriesPoints("note", "json", [1], [1], [b'"a"']),
    ]
    points = long(stretches)
    wanted = {"loss": (5000, 2500.0), "epoch": (2, 7.0), "note": (1, None)}
    groups = pyarrow.table(points).group_by("name").aggregate([("step", "count"), ("value", "sum")]).to_pylist()
    assert {row["name"]: (row["step_count"], row["value_sum"]) for row in groups} == wanted
    rows = duckdb.sql("SELECT name, count(*), sum(value) FROM points GROUP BY name").fetchall()
    assert {name: (count, total) for name, count, total in rows} == wanted
    frame = polars.DataFrame(points)
    assert frame.filter(polars.col("json").is_not_null())["json"].to_list() == [str(2**62 + 1), '"a"']
