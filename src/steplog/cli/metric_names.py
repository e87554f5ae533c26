"""Names of metrics that are typed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import click

from steplog.cli.printing import printable
from steplog.naming import close, did_you_mean

__all__ = ["check_names"]

_LISTED_MAX = 8


def check_names(run: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise click.ClickException for a name that is none of the run's metrics; it says which are like it, or some."""
    for name in names:
        if name not in known:
            shown = [each for each in known if not each.startswith("steplog/")]
            has = did_you_mean(close(name, shown)) or f"; it has {_some(shown)}"
            raise click.ClickException(f"the run {run!r} has no metric {name!r}{has}")


def _some(names: list[str]) -> str:
    more = len(names) - _LISTED_MAX
    listed = ", ".join(printable(name, 60) for name in names[:_LISTED_MAX])
    return f"{listed}{f' and {more:,} more' if more > 0 else ''}" if names else "none yet"
