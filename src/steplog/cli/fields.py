"""Fields of runs on the command line: filters, columns and orders as they are typed, and what TAB offers for them.

What cannot be read is shown with a caret below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click
from rich.cells import cell_len

from steplog import FilterError, naming
from steplog.cli import printing
from steplog.cli.api import Api, as_text
from steplog.cli.completion import offered
from steplog.filters import AGGREGATES, RUN_FIELDS, Condition, Field, parse_fields, parse_filter
from steplog.reading.table_query import COLUMNS_MAX, TableQuery, query_of

if TYPE_CHECKING:
    from steplog.reading.server_project import ServerProject

__all__ = [
    "UnreadableError",
    "columns_of",
    "complete_columns",
    "complete_filter",
    "conditions_of",
    "filter_of",
    "order_of",
    "unknown",
]

_SHOWN, _BEFORE = 72, 48  # characters of what was typed, and at most so many of them before the caret
_READ = TypeVar("_READ")


class UnreadableError(click.UsageError):
    """What was typed cannot be read; ``below`` shows where."""

    def __init__(self, option: str, text: str, error: FilterError, context: click.Context) -> None:
        quotes = 'the shell takes < and > for itself: write --where "config.lr>0.1", in quotes'
        is_cut = option == "--where" and error.reason.startswith("expected one of") and "the end" in error.reason
        super().__init__(f"{option}: {error.reason}{f' ({quotes})' if is_cut else ''}.", context)
        self.below = [] if error.column is None else list(_pointed(text, error.column))


def conditions_of(context: click.Context, _: click.Parameter, texts: tuple[str, ...]) -> tuple[Condition, ...]:
    """The conditions of all filters. Raises UnreadableError."""
    return tuple(condition for text in texts for condition in _read(parse_filter, "--where", text, context))


def filter_of(context: click.Context, _: click.Parameter, text: str | None) -> str | None:
    """A filter as it was typed. Raises UnreadableError."""
    if text is not None:
        _read(parse_filter, "--where", text, context)
    return None if text is None else as_text(text)


def columns_of(context: click.Context, _: click.Parameter, texts: tuple[str, ...]) -> tuple[Field, ...]:
    """The fields of all lists, each once. Raises UnreadableError."""

    def read(text: str) -> tuple[Field, ...]:
        return parse_fields(text, COLUMNS_MAX)

    return tuple(dict.fromkeys(field for text in texts for field in _read(read, "--columns", text, context)))


def order_of(context: click.Context, _: click.Parameter, text: str | None) -> TableQuery:
    """An order, in a query without anything else. Raises UnreadableError."""
    return _read(lambda each: query_of(sort=each, columns=()), "--sort", text or "", context)


def unknown(fields: Iterable[Field], projects: Iterable[ServerProject], where: str) -> Iterator[str]:
    """A line for each field that no run in ``projects`` has, with close names."""
    every, names = list(projects), dict[str, None]()
    for field in dict.fromkeys(fields):
        if field.kind == "run" or not every:
            continue
        text, part = str(field), field.path[0]
        name = text if field.kind == "config" else text.rpartition(".")[0]
        told = [each.columns(part) for each in every]
        if None in told or any(each == name or each.startswith(f"{name}.") for some in told for each in some or ()):
            continue  # some run has it, or nobody knows
        names = names or {each: None for project in every for each in project.columns() or ()}
        meant = naming.did_you_mean(naming.close(name, names))
        yield printing.printable(f"no run {where} has {name}{meant}", None)


def complete_columns(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """What may be a column, after the last comma."""
    begun, comma, part = incomplete.rpartition(",")
    return offered(incomplete, lambda: (f"{begun}{comma}{name}" for name in _columns(context, part)))


def complete_filter(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The field that a filter begins with."""
    return offered(incomplete, lambda: _columns(context, incomplete))


def _columns(context: click.Context, part: str) -> Iterator[str]:
    from steplog.reading.server_project import ServerProject

    yield from RUN_FIELDS
    api = Api()
    namespace, _, project = (context.params.get("project") or "").rpartition("/")
    if "place" in context.params:
        namespace, project = context.params["place"] or ("", "")
    namespace = namespace or api.default_namespace()
    for slug in [project] if project else api.projects(namespace):
        for name in ServerProject(api.client, namespace, slug).columns(_in_name(part)) or ():
            yield from [name] if name.startswith("config.") else [f"{name}.{total}" for total in AGGREGATES]


def _in_name(part: str) -> str:
    """What is in the name of an entry or a metric that a field with this beginning has."""
    if "config.".startswith(part[:7]):
        return part[7:]
    name, _, total = part.rpartition(".")
    return name if any(each.startswith(total) for each in AGGREGATES) else part


def _read(read: Callable[[str], _READ], option: str, text: str, context: click.Context) -> _READ:
    text = as_text(text)
    try:
        return read(text)
    except FilterError as error:
        raise UnreadableError(option, text, error, context) from None


def _pointed(text: str, column: int) -> Iterator[str]:
    """What was typed, and a caret below its column, counted from 1; of a long text what is around it."""
    start = max(0, column - 1 - _BEFORE)
    shown, before = (
        printing.printable(part, None) for part in (text[start : start + _SHOWN], text[start : column - 1])
    )
    yield f"  {shown}"
    yield f"  {' ' * cell_len(before)}^"
