"""The statements for keys and the page's token; ``steplog.server.keys`` says what they mean.

Functions that write are called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from steplog.server.sql import catalog
from steplog.server.sql.connection import Connection
from steplog.server.store_types import ISSUED, KeyRow, MissingError, PageToken, RevokedKeyError, UserRow

__all__ = [
    "by_hashes",
    "by_id",
    "every",
    "issue",
    "note_use",
    "page_token",
    "put_page_token",
    "put_started",
    "replace",
    "revoke",
    "started",
]

_KEY = """
SELECT u.id, u.uuid, u.username, u.slug, u.email, k.id, k.hash, k.label, k.origin, k.created, k.last_used, k.revoked
FROM keys k JOIN users u ON u.id = k."user"
"""


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
    row = connection.execute(
        f"{_KEY} WHERE k.origin <> '{ISSUED}' AND k.revoked IS NULL ORDER BY k.id DESC LIMIT 1"
    ).fetchone()
    return _key_row(row) if row else None


def put_started(connection: Connection, user_id: int, key_hash: bytes, origin: str) -> KeyRow:
    """Make this the key that the server is started with, in place of the one before. Raises RevokedKeyError."""
    known = next(iter(by_hashes(connection, [key_hash])), None)
    if known is not None and known.revoked is not None:
        raise RevokedKeyError(f"was revoked on {known.revoked[:10]}")
    connection.execute("DELETE FROM keys WHERE origin <> ? AND revoked IS NULL AND hash <> ?", (ISSUED, key_hash))
    if known is None:
        return _add(connection, user_id, key_hash, "", origin)
    kept = ISSUED if known.origin == ISSUED else origin
    connection.execute('UPDATE keys SET "user" = ?, origin = ? WHERE id = ?', (user_id, kept, known.id))
    return by_id(connection, known.id)


def issue(connection: Connection, username: str | None, key_hash: bytes, label: str) -> KeyRow:
    """Add a key of a user, who is added where missing; None: of the started key's user. Raises MissingError."""
    if username is None:
        own = started(connection)
        if own is None:
            raise MissingError("the server has no key of its own")
        user = own.user
    else:
        user = catalog.add_user(connection, username)
    return _add(connection, user.id, key_hash, label, ISSUED)


def revoke(connection: Connection, key_ids: Sequence[int]) -> None:
    """Revoke keys; the date of an earlier revocation stays. Raises MissingError."""
    for key_id in key_ids:
        by_id(connection, key_id)
        connection.execute("UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?", (_now(), key_id))


def replace(connection: Connection, key_id: int, key_hash: bytes) -> KeyRow:
    """Revoke a key and add one of the same user, label and origin. Raises MissingError, RevokedKeyError."""
    old = by_id(connection, key_id)
    if old.revoked is not None:
        raise RevokedKeyError(f"was revoked on {old.revoked[:10]}")
    revoke(connection, [key_id])
    return _add(connection, old.user.id, key_hash, old.label, old.origin)


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


def _add(connection: Connection, user_id: int, key_hash: bytes, label: str, origin: str) -> KeyRow:
    connection.execute(
        'INSERT INTO keys ("user", hash, label, origin, created) VALUES (?, ?, ?, ?, ?)',
        (user_id, key_hash, label, origin, _now()),
    )
    return by_hashes(connection, [key_hash])[0]


def _key_row(row: tuple[Any, ...]) -> KeyRow:
    return KeyRow(UserRow(*row[:5]), *row[5:])


def _now() -> str:
    return datetime.now(timezone.utc).replace(microsecond=0).isoformat()
