"""Credentials: the keys of users, and the token that the page reads with.

The statements are called inside a transaction, by the server and by ``steplog key``. ``Keyring`` is what the server
checks requests against; it reads the database anew every ``REFRESH_INTERVAL_S``, so that what another process has
issued or revoked counts from then on.

1. The database holds the SHA-256 of a key, never the key.
2. A key opens the server while its row is there without a date of revocation. A revoked key stays revoked, also if a
   server is started with it.
3. Of the keys that servers were started with (``configured``, or ``generated`` beside the database), the last counts.
   Those of ``steplog key issue`` (``issued``) stay until they are revoked.
4. The page token is plain text: it grants no more than reading this file does. It is replaced once it is older than
   ``PAGE_TOKEN_AGE_MAX``; at a start, once older than ``PAGE_TOKEN_AGE_AT_START_MAX``, so that an address that a start
   prints lasts.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import KeyRow, MissingError, PageToken, RevokedKeyError, StoreError, UserRow

__all__ = [
    "CONFIGURED",
    "GENERATED",
    "ISSUED",
    "PAGE_TOKEN_AGE_AT_START_MAX",
    "PAGE_TOKEN_AGE_MAX",
    "REFRESH_INTERVAL_S",
    "Keyring",
    "add_key",
    "hash_key",
    "key_by_id",
    "key_file",
    "key_of_hash",
    "keys",
    "new_key",
    "note_use",
    "page_token",
    "page_token_end",
    "put_started_key",
    "renew_page_token",
    "replace_key",
    "revoke_key",
    "started_key",
]

# Where a key is from.
CONFIGURED = "configured"
GENERATED = "generated"
ISSUED = "issued"
REFRESH_INTERVAL_S = 2.0
PAGE_TOKEN_AGE_MAX = timedelta(days=30)
PAGE_TOKEN_AGE_AT_START_MAX = timedelta(days=1)
_CLOCK_TOLERANCE = timedelta(days=1)  # by which a token may be from the future
_TOKEN_BYTES = 32

_KEY = """
SELECT u.id, u.uuid, u.username, u.slug, u.email, k.id, k.hash, k.label, k.origin, k.created, k.last_used, k.revoked
FROM keys k JOIN users u ON u.id = k.user
"""


def key_file(database: Path) -> Path:
    """The file with the generated key."""
    return database.with_name(database.name + ".key")


def new_key() -> str:
    """A random key, or token."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_key(key: str) -> bytes:
    """The stored SHA-256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def keys(connection: sqlite3.Connection) -> list[KeyRow]:
    """Every key, oldest first."""
    return [_key_row(row) for row in connection.execute(f"{_KEY} ORDER BY k.id")]


def key_by_id(connection: sqlite3.Connection, key_id: int) -> KeyRow:
    """The key of this number. Raises MissingError."""
    row = connection.execute(f"{_KEY} WHERE k.id = ?", (key_id,)).fetchone()
    if row is None:
        raise MissingError(f"there is no key {key_id}")
    return _key_row(row)


def key_of_hash(connection: sqlite3.Connection, key_hash: bytes) -> KeyRow | None:
    """The key with this hash."""
    row = connection.execute(f"{_KEY} WHERE k.hash = ?", (key_hash,)).fetchone()
    return _key_row(row) if row else None


def put_started_key(connection: sqlite3.Connection, user_id: int, key_hash: bytes, origin: str) -> KeyRow:
    """Make this the key that the server is started with, instead of the one before.

    Raises RevokedKeyError.
    """
    known = key_of_hash(connection, key_hash)
    if known is not None and known.revoked is not None:
        raise RevokedKeyError(f"was revoked on {known.revoked[:10]}")
    connection.execute(
        "DELETE FROM keys WHERE origin != ? AND revoked IS NULL AND hash != ?",
        (ISSUED, key_hash),
    )
    if known is None:
        return add_key(connection, user_id, key_hash, "", origin)
    kept = ISSUED if known.origin == ISSUED else origin
    connection.execute("UPDATE keys SET user = ?, origin = ? WHERE id = ?", (user_id, kept, known.id))
    return key_by_id(connection, known.id)


def started_key(connection: sqlite3.Connection) -> KeyRow | None:
    """The key that a server was last started with, unless it was issued."""
    found = [key for key in keys(connection) if key.origin != ISSUED and key.revoked is None]
    return found[-1] if found else None


def add_key(connection: sqlite3.Connection, user_id: int, key_hash: bytes, label: str, origin: str) -> KeyRow:
    """Add a key of a user."""
    added = connection.execute(
        "INSERT INTO keys (user, hash, label, origin, created) VALUES (?, ?, ?, ?, ?)",
        (user_id, key_hash, label, origin, _now().isoformat()),
    )
    return key_by_id(connection, added.lastrowid or 0)


def revoke_key(connection: sqlite3.Connection, key_id: int) -> KeyRow:
    """Revoke a key; the date of an earlier revocation stays. Raises MissingError."""
    connection.execute("UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?", (_now().isoformat(), key_id))
    return key_by_id(connection, key_id)


def replace_key(connection: sqlite3.Connection, old: KeyRow, key_hash: bytes) -> KeyRow:
    """Revoke a key, and give its user another one of the same label and origin."""
    revoke_key(connection, old.id)
    return add_key(connection, old.user.id, key_hash, old.label, old.origin)


def note_use(connection: sqlite3.Connection, key_ids: Sequence[int], hour: str) -> None:
    """Note the hour in which keys were last used."""
    connection.executemany("UPDATE keys SET last_used = ? WHERE id = ?", [(hour, key_id) for key_id in key_ids])


def page_token(connection: sqlite3.Connection) -> PageToken | None:
    """The page's token."""
    about = dict(connection.execute("SELECT name, value FROM about WHERE name IN ('page_token', 'page_token_made')"))
    return PageToken(about["page_token"], about.get("page_token_made", "")) if "page_token" in about else None


def renew_page_token(connection: sqlite3.Connection, age_max: timedelta | None = None) -> PageToken:
    """Replace the page's token, if it is older than ``age_max`` where that is given."""
    present = page_token(connection)
    if present is not None and age_max is not None and not _is_older(present, age_max):
        return present
    renewed = PageToken(new_key(), _now().isoformat())
    connection.executemany(
        "INSERT INTO about VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [("page_token", renewed.token), ("page_token_made", renewed.made)],
    )
    return renewed


class Keyring:
    """What opens the server: the valid keys and the page's token, as the database had them at the last ``refresh``.

    ``user_of`` and ``admits_page`` are for the event loop, ``refresh`` is for any one thread.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._by_hash: dict[bytes, KeyRow] = {}
        self._page_token = ""
        self._page_hashes: tuple[bytes, ...] = ()
        self._used: set[int] = set()
        self._noted: dict[int, str] = {}
        self.refresh()

    @property
    def page_token(self) -> str:
        """The page's token."""
        return self._page_token

    def user_of(self, key: str) -> UserRow | None:
        """The user of a valid key."""
        # A digest as the dictionary's key: how long the search takes says nothing about the key.
        found = self._by_hash.get(hash_key(key))
        if found is None:
            return None
        self._used.add(found.id)
        return found.user

    def admits(self, key: str) -> bool:
        """Whether this is a valid key."""
        return hash_key(key) in self._by_hash

    def admits_page(self, token: str) -> bool:
        """Whether this is the page's token."""
        offered = hash_key(token)
        return any(hmac.compare_digest(known, offered) for known in self._page_hashes)

    def refresh(self, on_change: Callable[[], object] = lambda: None) -> None:
        """Read the database. During ``on_change``, which is called if anything changed, old and new both count.

        Raises StoreError.
        """
        found, token = self._store.read(_valid)
        if token is None or _is_older(token, PAGE_TOKEN_AGE_MAX):
            with suppress(StoreError):  # a full disk; until there is room, the old one counts
                token = self._store.write(renew_page_token, PAGE_TOKEN_AGE_MAX).result()
        by_hash = {key.hash: key for key in found}
        hashes = () if token is None else (hash_key(token.token),)
        if (by_hash.keys(), hashes) != (self._by_hash.keys(), self._page_hashes):
            self._by_hash, self._page_hashes = self._by_hash | by_hash, self._page_hashes + hashes
            self._page_token = "" if token is None else token.token
            on_change()
        self._by_hash, self._page_hashes = by_hash, hashes
        self._note_use()

    def _note_use(self) -> None:
        hour = _now().replace(minute=0, second=0).isoformat()
        used = [key_id for key_id in list(self._used) if self._noted.get(key_id) != hour]
        self._used.clear()
        if used:
            self._noted |= dict.fromkeys(used, hour)
            self._store.write(note_use, used, hour)


def _valid(connection: sqlite3.Connection) -> tuple[list[KeyRow], PageToken | None]:
    return [key for key in keys(connection) if key.revoked is None], page_token(connection)


def page_token_end(token: PageToken) -> str | None:
    """When the page's token is replaced; None if nobody knows when it was made."""
    try:
        return (datetime.fromisoformat(token.made) + PAGE_TOKEN_AGE_MAX).isoformat()
    except ValueError:
        return None


def _is_older(token: PageToken, age_max: timedelta) -> bool:
    try:
        age = _now() - datetime.fromisoformat(token.made)
    except (ValueError, TypeError):
        return True
    return not -_CLOCK_TOLERANCE <= age <= age_max


def _key_row(row: tuple[Any, ...]) -> KeyRow:
    return KeyRow(UserRow(*row[:5]), *row[5:])


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)
