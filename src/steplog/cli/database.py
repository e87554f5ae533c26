"""The option that names a server's database, for the commands that work on the file itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from steplog.server.open_store import default_database

__all__ = ["database_option", "own_database"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def database_option(function: _Command) -> _Command:
    """The argument ``database``, for ``own_database``."""
    words = "The server's database.  [default: yours]"
    return click.option("--db", "database", type=click.Path(path_type=Path), metavar="FILE", help=words)(function)


def own_database(database: Path | None) -> Path:
    """The database, which must not be another user's: root could use it, and leave files that its server cannot read.

    Raises ClickException.
    """
    database = database or default_database()
    if database.exists() and database.stat().st_uid != os.geteuid():
        raise click.ClickException(f"{database} belongs to another user: type this as that user")
    return database
