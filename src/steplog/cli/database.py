"""The options that name a server's store, for the commands that work on the database itself."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from steplog.server.store_place import STORE_VARIABLE, Place, place_of

__all__ = ["database_option", "own_database", "store_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_STORE_WORDS = (
    "Or the URL of a PostgreSQL database: postgresql://USER@HOST/DATABASE. One with a password is visible in the"
    f" process list: put it into {STORE_VARIABLE}, or the password into ~/.pgpass."
)


def database_option(function: _Command) -> _Command:
    """The argument ``database``, a place, for ``own_database``."""
    return store_options("The server's database.  [default: yours]")(function)


def store_options(words: str) -> Callable[[_Command], _Command]:
    """The options --db and --store, which make the argument ``database``; ``words``: the help of --db."""

    def decorate(function: _Command) -> _Command:
        @functools.wraps(function)
        def placed(*args: Any, database: Path | None, store: str | None, **kwargs: Any) -> Any:
            if database is not None and store is not None:
                if click.get_current_context().get_parameter_source("store") == ParameterSource.COMMANDLINE:
                    raise click.UsageError("--db or --store, not both.")
                store = None  # of the environment
            return function(*args, database=place_of(database, store), **kwargs)

        of_file = click.option("--db", "database", type=click.Path(path_type=Path), metavar="FILE", help=words)
        of_store = click.option("--store", metavar="URL", envvar=STORE_VARIABLE, show_envvar=True, help=_STORE_WORDS)
        return of_file(of_store(placed))  # type: ignore[return-value]

    return decorate


def own_database(place: Place) -> Place:
    """The place, which must not be another user's file: root could use it, and leave files that its server cannot read.

    Raises ClickException.
    """
    if isinstance(place, Path) and place.exists() and place.stat().st_uid != os.geteuid():
        raise click.ClickException(f"{place} belongs to another user: type this as that user")
    return place
