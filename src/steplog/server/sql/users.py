"""The statements for users. Functions that write are called inside a transaction.

A user that was removed stays, for its runs; ``users.removed`` is the date. It has no role and no key that counts, until
a user of that name is added again.
"""

from __future__ import annotations

import uuid
from typing import Any

from slugify import slugify

from steplog.server.permissions import OWNER
from steplog.server.sql import catalog, members
from steplog.server.sql.connection import Connection
from steplog.server.store_types import RefusedError, UserRow

__all__ = ["COLUMNS", "add", "by_name", "every", "row_of"]

COLUMNS = ("id", "uuid", "username", "slug", "email", "is_admin", "removed")
_USER = f"SELECT {', '.join(COLUMNS)} FROM users"  # noqa: S608 - constants


def row_of(columns: tuple[Any, ...]) -> UserRow:
    """A user, of its ``COLUMNS``."""
    return UserRow(*(*columns[:5], bool(columns[5]), columns[6]))


def every(connection: Connection) -> list[UserRow]:
    """Every user, by name, also those removed."""
    return [row_of(row) for row in connection.execute(f"{_USER} ORDER BY username")]


def by_name(connection: Connection, username: str) -> UserRow | None:
    """The user of this name, also if it was removed."""
    row = connection.execute(f"{_USER} WHERE username = ?", (username,)).fetchone()
    return None if row is None else row_of(row)


def add(connection: Connection, username: str, email: str | None = None, is_admin: bool | None = None) -> UserRow:
    """The user of this name, made with a namespace, which it owns, if missing or removed; sets what is given.

    Raises RefusedError for a name without a slug, and for a new one whose slug another user has.
    """
    slug = slugify(username)
    if not slug:
        raise RefusedError("a user name needs a letter or a digit")
    known = by_name(connection, username)
    namespace = catalog.put_namespace(connection, slug)
    if known is None:
        other = connection.execute("SELECT username FROM users WHERE slug = ?", (slug,)).fetchone()
        if other is not None:
            raise RefusedError(f"user {other[0]} has the namespace {slug}: give the new one a name of its own")
        connection.execute(
            "INSERT INTO users (uuid, username, slug, email, is_admin) VALUES (?, ?, ?, ?, ?)",
            (str(uuid.uuid4()), username, slug, email or f"{slug}@localhost", int(bool(is_admin))),
        )
    else:
        values = email or known.email, int(known.is_admin if is_admin is None else is_admin), username
        connection.execute("UPDATE users SET email = ?, is_admin = ?, removed = NULL WHERE username = ?", values)
    row = row_of(connection.execute(f"{_USER} WHERE username = ?", (username,)).fetchone())
    if known is None or known.removed is not None:
        members.put(connection, namespace.id, members.WHOLE_NAMESPACE, row.id, OWNER)
    return row
