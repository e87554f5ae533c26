"""What each engine spells in its own way, as a part of the statements of this folder."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Dialect"]


class Dialect(NamedTuple):
    """Parts of statements, for ``format``: what is in braces is an expression, a question mark a value.

    Attributes:
        kind: of a cell: 0 of a number, 1 of a text, 2 of another; None: what is in order of cells is looked for kind by
            kind, since an index serves that.
        contains: a text has ``?`` in it.
        cell_contains: a cell is a text that has the text of the cell ``?`` in it.
        texts: rows with the column ``value`` that a JSON list of texts has.
        joined: the rows of such a column in one text, a line each.
        seconds: from one date to another.
        lost: at most how many values are lost, by the report of a run, as ``filters`` has it.
        unfilled: the first and the end of the runs of an older database that are not in ``lasts`` and ``configs``;
            None: there are none.
        count_pack: a statement: of the project ``?`` something was packed (``versions``).
    """

    kind: str | None
    contains: str
    cell_contains: str
    texts: str
    joined: str
    seconds: str
    lost: str
    unfilled: str | None
    count_pack: str
