"""A table is whole where no terminal is, and fits one of any width."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from steplog.cli.table import Table

LONG = "a run of a name with more words than anybody wants to read twice"
WIDE = "学習の実行番号一"


def runs_table(*rows: tuple[str, ...]) -> Table:
    table = Table("run", "status", "points", "id", right=("points",), drop=("points",), cut="run")
    for row in rows:
        table.add([Text(cell) for cell in row])
    return table


def drawn(table: Table, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=True, color_system=None).print(table)
    return file.getvalue().splitlines()


ROWS = (("first", "RUNNING", "7", "421e41fb"), (LONG, "COMPLETED", "1,000", "56c8f7af"), (WIDE, "FAILED", "", "job-7"))


def test_where_no_terminal_is_a_row_is_a_line_and_whole():
    head, *lines = runs_table(*ROWS, ("x" * 1000, "", "", "")).plain()
    assert [line.split("   ")[0].rstrip() for line in lines[:3]] == ["first", LONG, WIDE]
    assert lines[3] == "x" * 1000
    statuses = zip([head, *lines[:3]], ("status", "RUNNING", "COMPLETED", "FAILED"), strict=True)
    starts = {cell_len(line[: line.index(cell)]) for line, cell in statuses}
    assert len(starts) == 1  # in columns, though some characters are two wide
    points = zip([head, *lines[:2]], ("points", "7", "1,000"), strict=True)
    assert len({cell_len(line[: line.index(cell) + len(cell)]) for line, cell in points}) == 1


def test_a_cell_of_several_lines_goes_on_below_itself_on_a_terminal_and_elsewhere():
    table = Table("sign", "words")
    table.add([Text("!"), Text("It is not compiled.\nType: pip install")])
    table.add([Text("✓"), Text("spool")])
    lines = ["sign   words", "!      It is not compiled.", "       Type: pip install", "✓      spool"]
    assert list(table.plain()) == lines
    assert drawn(table, 80) == lines


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (100, ["run", "status", "points", "id"]),
        (50, ["run", "status", "points", "id"]),
        (40, ["run", "status", "id"]),
    ],
)
def test_a_narrow_terminal_shows_fewer_columns_and_never_a_row_in_pieces(width, expected):
    head, *lines = drawn(runs_table(*ROWS), width)
    assert head.split() == expected
    assert len(lines) == 3
    assert lines[1].split()[-1] == "56c8f7af"
    assert ("…" in lines[1]) == (width < 100)
    assert lines[2].startswith(WIDE)


def test_the_last_column_goes_on_below_itself_or_below_its_row():
    table = Table("run", "why", cut="run")
    table.add([Text("first"), Text("it was started offline and it is kept: steplog sync")])
    assert drawn(table, 40) == ["run    why", "first  it was started offline and it is", "       kept: steplog sync"]
    assert drawn(table, 24) == ["run", "first", "  it was started offline", "  and it is kept:", "  steplog sync"]


def test_an_empty_last_cell_leaves_no_line_below_its_row():
    table = Table("run", "lost", cut="run")
    for name, lost in (("first", ""), ("second", "5 of 20 values were dropped: memory full")):
        table.add([Text(name), Text(lost)])
    assert drawn(table, 24) == ["run", "first", "second", "  5 of 20 values were", "  dropped: memory full"]


def test_a_table_without_names_has_no_head():
    table = Table("", "")
    table.add([Text("a"), Text("b")])
    assert list(table.plain()) == ["a   b"]
    assert drawn(table, 40) == ["a  b"]


def test_what_should_be_short_and_is_not_is_cut_on_a_terminal():
    (line,) = drawn(runs_table(("first", "R" * 5000, "", "id")), 300)[1:]
    assert cell_len(line) < 70


CELLS = st.text(st.characters(categories=("L", "N", "P", "Zs")), max_size=40)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), max_size=5), st.integers(8, 120))
def test_no_line_is_wider_than_the_terminal(rows, width):
    for line in drawn(runs_table(*rows), width):
        assert cell_len(line) <= width


def wrapped_table() -> Table:
    names = ("config.optim.name", "train/loss.last", "n")
    table = Table("run", *names, right=names[1:], drop=names[::-1], cut="run", wrap=names)
    table.add([Text("first"), Text("adam"), Text("0.25"), Text("7")])
    return table


def test_long_names_go_on_in_lines_below_where_a_terminal_is_narrow():
    assert drawn(wrapped_table(), 61) == [
        "run     config.optim.name   train/loss.last   n",
        "first   adam                           0.25   7",
    ]
    assert drawn(wrapped_table(), 40) == [
        "       config.  train/",
        "       optim.    loss.",
        "run    name       last  n",
        "first  adam       0.25  7",
    ]


def test_what_a_terminal_has_no_room_for_can_be_named():
    assert wrapped_table().left_out(60) == []
    assert wrapped_table().left_out(16) == ["train/loss.last", "n"]
    assert wrapped_table().left_out(8) == ["config.optim.name", "train/loss.last", "n"]
