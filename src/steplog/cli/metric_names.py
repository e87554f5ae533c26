"""Names of metrics that are typed. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

import click

from steplog.cli.printing import printable

__all__ = ["check_names", "unknown"]

_LISTED_MAX = 5


def check_names(run: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise click.ClickException for a name that is none of the run's metrics."""
    for name in names:
        if name not in known:
            raise click.ClickException(unknown(run, name, known))


def unknown(run: str, name: str, known: Collection[str]) -> str:
    """That a run has no such metric, and which it has: those that are spelled like it, else the first."""
    shown = [each for each in known if not each.startswith("steplog/")]
    close = difflib.get_close_matches(name, shown, _LISTED_MAX)
    close = close or [each for each in shown if name.lower() in each.lower()][:_LISTED_MAX]
    listed = close or shown[:_LISTED_MAX]
    words = ", ".join(printable(each, 60) for each in listed)
    more = len(shown) - len(listed)
    has = f"it has {words}{f', and {more} more' if more else ''}" if shown else "it has none yet"
    return f"the run {run!r} has no metric {name!r}; {has}"
