"""What is asked of a project: which runs, what of them, in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from steplog.errors import FilterError
from steplog.filters import DEFAULT_FIELDS, Condition, Field, filter_of, parse_field, parse_fields, parse_filter

__all__ = ["COLUMNS_MAX", "UUID", "Row", "TableQuery", "query_of"]

COLUMNS_MAX = 200  # as a server has it
UUID = "uuid"

Row = dict[str, Any]  # "uuid", and by the text of a field its value in JSON

_TAG = Field("run", ("tag",))


class TableQuery(NamedTuple):
    """Which runs, what of them, and in which order; without a ``sort`` the newest first.

    Attributes:
        limit: so many at most; None: all.
    """

    conditions: tuple[Condition, ...] = ()
    columns: tuple[Field, ...] = ()
    sort: Field | None = None
    descending: bool = False
    limit: int | None = None

    @property
    def fields(self) -> tuple[Field, ...]:
        """What the answer has a value of: the columns, and what it is sorted by."""
        return self.columns if self.sort is None or self.sort in self.columns else (*self.columns, self.sort)

    @property
    def where(self) -> str:
        """The filter as a text."""
        return " and ".join(map(str, self.conditions))

    @property
    def order(self) -> str:
        """The order as a text; "" for the newest first."""
        return "" if self.sort is None else f"{'-' if self.descending else ''}{self.sort}"


def query_of(
    where: str | Sequence[Any] | None = None,
    columns: str | Iterable[str] | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> TableQuery:
    """What ``steplog.runs`` is asked. Raises FilterError; ValueError for a limit below 1."""
    if sort is not None and not isinstance(sort, str):
        raise TypeError(f"sort is a field, with - before it or not; not {type(sort).__name__}")
    if where is not None and not isinstance(where, (str, list, tuple)):
        raise TypeError(f"where is a filter, or a list of triples; not {type(where).__name__}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is at least 1, or None for all runs; not {limit}")
    if where is None or isinstance(where, str):
        conditions = parse_filter(where or "")
    else:
        conditions = filter_of([list(triple) if isinstance(triple, tuple) else triple for triple in where])
    field, descending = (None, False) if sort is None or not sort.strip() else _order_of(sort)
    return TableQuery(conditions, _columns_of(columns), field, descending, limit)


def _order_of(text: str) -> tuple[Field, bool]:
    descending = text.startswith("-")
    field = parse_field(f" {text[1:]}" if descending else text)
    if field == _TAG:
        raise FilterError("a run may have several tags, and runs cannot be sorted by them", 1 + descending)
    return field, descending


def _columns_of(columns: str | Iterable[str] | None) -> tuple[Field, ...]:
    """Each field once. Raises FilterError."""
    if columns is None:
        return tuple(Field("run", (name,)) for name in DEFAULT_FIELDS)
    fields: list[Field] = []
    if isinstance(columns, str):
        fields += parse_fields(columns, COLUMNS_MAX)
    else:
        for text in columns:
            if text != UUID:  # is there anyway
                try:
                    fields.append(parse_field(text))
                except FilterError as error:
                    raise FilterError(f"{text!r} is no column: {error.reason}") from None
    if len(fields) > COLUMNS_MAX:
        raise FilterError(f"at most {COLUMNS_MAX} columns")
    return tuple(dict.fromkeys(fields))
