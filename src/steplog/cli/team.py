"""What the commands for users, keys, members and projects share: the database, and what their arguments name in it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import click

from steplog.cli.database import own_database
from steplog.cli.run_times import as_date
from steplog.server.open_store import open_store
from steplog.server.store import Store
from steplog.server.store_place import Place
from steplog.server.store_types import NamespaceRow, ProjectRow, UserRow

__all__ = ["WITHIN_S", "opened", "place_named", "project_named", "time_left", "user_named"]

WITHIN_S = 5  # what is promised of a running server: its intervals, and its work
_LEFT = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@contextlib.contextmanager
def opened(database: Place) -> Iterator[Store]:
    """The database, whether or not its server runs. Raises SteplogError, OSError."""
    with contextlib.closing(open_store(own_database(database), beside=True)) as store:
        yield store


def time_left(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """The date after a time such as 90d, 12h or 30m, or a date; for a key."""
    if text is None:
        return None
    now = datetime.now(timezone.utc).replace(microsecond=0)
    match = _LEFT.fullmatch(text)
    if match is not None:
        return (now + timedelta(seconds=int(match[1]) * _SECONDS[match[2]])).isoformat()
    date = as_date(text)
    if date is None:
        raise click.BadParameter("a time such as 90d, 12h or 30m, or a date such as 2030-12-31, is needed.")
    date = date.astimezone(timezone.utc).replace(microsecond=0)
    if date <= now:
        raise click.BadParameter(f"{text} is over.")
    return date.isoformat()


def user_named(store: Store, name: str) -> UserRow:
    """The user of this name. Raises ClickException."""
    for user in store.users():
        if user.username == name and user.removed is None:
            return user
    raise click.ClickException(f"there is no user {name}. Type: steplog user add {name}")


def project_named(store: Store, place: str) -> tuple[NamespaceRow, ProjectRow]:
    """The project NAMESPACE/PROJECT. Raises ClickException."""
    namespace, project = place_named(store, place)
    if project is None:
        raise click.ClickException(f"name a project: {place}/PROJECT")
    return namespace, project


def place_named(store: Store, place: str) -> tuple[NamespaceRow, ProjectRow | None]:
    """The namespace, or NAMESPACE/PROJECT. Raises ClickException."""
    slug, has_project, project_slug = place.partition("/")
    namespace = store.namespace(slug)
    if namespace is None:
        words = f"there is no namespace {slug}: an admin makes it with its first project, or: steplog serve --namespace"
        raise click.ClickException(f"{words} {slug}")
    project = store.project(slug, project_slug) if has_project else None
    if has_project and project is None:
        raise click.ClickException(f"there is no project {place}. Type: steplog project list {slug}")
    return namespace, project
