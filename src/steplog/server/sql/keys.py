"""The statements for keys and the page's token; ``steplog.server.keys`` says what they mean.

Functions that write are called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import msgspec

from steplog.server.sql import users
from steplog.server.sql.connection import Connection
from steplog.server.store_types import (
    ISSUED,
    UNBOUND,
    KeyRow,
    KeyTerms,
    MissingError,
    PageToken,
    RefusedError,
    RevokedKeyError,
    UserRow,
)

__all__ = [
    "by_hashes",
    "by_id",
    "every",
    "issue",
    "note_use",
    "page_token",
    "put_page_token",
    "put_started",
    "remove_user",
    "replace",
    "revoke",
    "started",
]

_USER = ", ".join(f"u.{column}" for column in users.COLUMNS)
_TERMS = ", ".join(f"k.{term}" for term in ("expires", "project", "requests_a_minute", "bytes_a_minute"))
_KEY = f"""
SELECT k.id, k.hash, k.label, k.origin, k.created, k.last_used, k.revoked, {_TERMS}, n.slug || '/' || p.slug, {_USER}
FROM keys k JOIN users u ON u.id = k."user"
LEFT JOIN projects p ON p.id = k.project LEFT JOIN namespaces n ON n.id = p.namespace
"""  # noqa: S608 - constants
_STARTED = f"origin <> '{ISSUED}' AND revoked IS NULL AND expires IS NULL"  # one that expires was replaced


def every(connection: Connection) -> list[KeyRow]:
    """Every key, oldest first."""
    return [_key_row(row) for row in connection.execute(f"{_KEY} ORDER BY k.id")]


def by_id(connection: Connection, key_id: int) -> KeyRow:
    """The key of this number. Raises MissingError."""
    row = connection.execute(f"{_KEY} WHERE k.id = ?", (key_id,)).fetchone()
    if row is None:
        raise MissingError(f"there is no key {key_id}")
    return _key_row(row)


def by_hashes(connection: Connection, hashes: Sequence[bytes]) -> list[KeyRow]:
    """The keys with these hashes."""
    found = (connection.execute(f"{_KEY} WHERE k.hash = ?", (each,)).fetchone() for each in hashes)
    return [_key_row(row) for row in found if row is not None]


def started(connection: Connection) -> KeyRow | None:
    """The key that a server was last started with, unless it was issued or revoked."""
    newest = f"(SELECT max(id) FROM keys WHERE {_STARTED})"  # noqa: S608 - constants
    row = connection.execute(f"{_KEY} WHERE k.id = {newest}").fetchone()
    return _key_row(row) if row else None


def put_started(connection: Connection, user_id: int, key_hash: bytes, origin: str) -> KeyRow:
    """Make this the key that the server is started with, in place of the one before; its user becomes an admin.

    Raises RevokedKeyError.
    """
    known = next(iter(by_hashes(connection, [key_hash])), None)
    if known is not None and known.revoked is not None:
        raise RevokedKeyError(f"was revoked on {known.revoked[:10]}")
    if known is not None and not known.is_valid(_now()):
        raise RevokedKeyError(f"expired on {str(known.terms.expires)[:10]}")
    connection.execute("UPDATE users SET is_admin = 1 WHERE id = ? AND is_admin = 0", (user_id,))
    connection.execute(f"DELETE FROM keys WHERE {_STARTED} AND hash <> ?", (key_hash,))  # noqa: S608 - constants
    if known is None:
        return _add(connection, user_id, key_hash, "", origin, KeyTerms())
    kept = ISSUED if known.origin == ISSUED else origin
    connection.execute('UPDATE keys SET "user" = ?, origin = ? WHERE id = ?', (user_id, kept, known.id))
    return by_id(connection, known.id)


def issue(
    connection: Connection, username: str | None, key_hash: bytes, label: str, terms: KeyTerms = UNBOUND
) -> KeyRow:
    """Add a key of a user, who is added where missing; None: of the started key's user. Raises MissingError."""
    if username is None:
        own = started(connection)
        if own is None:
            raise MissingError("the server has no key of its own")
        user = own.user
    else:
        user = users.add(connection, username)
    return _add(connection, user.id, key_hash, label, ISSUED, terms)


def revoke(connection: Connection, key_ids: Sequence[int]) -> None:
    """Revoke keys; the date of an earlier revocation stays. Raises MissingError."""
    for key_id in key_ids:
        by_id(connection, key_id)
        connection.execute("UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?", (_now(), key_id))


def replace(connection: Connection, key_id: int, key_hash: bytes, until: str | None = None) -> KeyRow:
    """Add a key as this one, which is revoked, or expires at a time. Raises MissingError, RevokedKeyError."""
    old = by_id(connection, key_id)
    if old.revoked is not None:
        raise RevokedKeyError(f"was revoked on {old.revoked[:10]}")
    if not old.is_valid(_now()):
        raise RevokedKeyError(f"expired on {str(old.terms.expires)[:10]}")
    if until is None:
        revoke(connection, [key_id])
    else:
        ends = until if old.terms.expires is None else min(until, old.terms.expires)
        connection.execute("UPDATE keys SET expires = ? WHERE id = ?", (ends, key_id))
    return _add(connection, old.user.id, key_hash, old.label, old.origin, old.terms)


def remove_user(connection: Connection, username: str) -> UserRow:
    """Remove a user: revoke its keys, end its sessions, take its roles. Its runs stay.

    Raises MissingError, RefusedError for the user of the server's own key.
    """
    user = users.by_name(connection, username)
    if user is None or user.removed is not None:
        raise MissingError(f"there is no user {username}")
    own = started(connection)
    if own is not None and own.user.id == user.id:
        raise RefusedError(f"the server's own key is one of {username}: start it with another one, or another --user")
    now = _now()
    connection.execute('UPDATE keys SET revoked = ? WHERE "user" = ? AND revoked IS NULL', (now, user.id))
    connection.execute('DELETE FROM sessions WHERE key IN (SELECT id FROM keys WHERE "user" = ?)', (user.id,))
    connection.execute('DELETE FROM members WHERE "user" = ?', (user.id,))
    connection.execute("UPDATE users SET removed = ?, is_admin = 0 WHERE id = ?", (now, user.id))
    return user


def note_use(connection: Connection, key_ids: Sequence[int], hour: str) -> None:
    """Note the hour in which keys were last used."""
    connection.executemany("UPDATE keys SET last_used = ? WHERE id = ?", [(hour, key_id) for key_id in key_ids])


def page_token(connection: Connection) -> PageToken | None:
    """The page's token."""
    about = dict(connection.execute("SELECT name, value FROM about WHERE name IN ('page_token', 'page_token_made')"))
    return PageToken(about["page_token"], about.get("page_token_made", "")) if "page_token" in about else None


def put_page_token(connection: Connection, token: PageToken, present: PageToken | None) -> PageToken:
    """Replace the page's token, if it still is ``present``; the one that is there then."""
    found = page_token(connection)
    if found is not None and found != present:
        return found
    connection.executemany(
        "INSERT INTO about (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [("page_token", token.token), ("page_token_made", token.made)],
    )
    return token


def _add(connection: Connection, user_id: int, key_hash: bytes, label: str, origin: str, terms: KeyTerms) -> KeyRow:
    connection.execute(
        'INSERT INTO keys ("user", hash, label, origin, created, expires, project, requests_a_minute, bytes_a_minute)'
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (user_id, key_hash, label, origin, _now(), *msgspec.structs.astuple(terms)),
    )
    return by_hashes(connection, [key_hash])[0]


def _key_row(row: tuple[Any, ...]) -> KeyRow:
    own, terms, project, user = row[:7], row[7:11], row[11], row[12:]
    return KeyRow(*(users.row_of(user), *own, KeyTerms(*terms), project))


def _now() -> str:
    return datetime.now(timezone.utc).replace(microsecond=0).isoformat()
