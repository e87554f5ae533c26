"""Credentials: the keys of users, and the token that the page reads with.

``Keyring`` is what the server checks requests against; it reads the database anew every ``REFRESH_INTERVAL_S``, so that
what another process has issued or revoked counts from then on.

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
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from steplog.server.store import Store
from steplog.server.store_types import KeyRow, PageToken, StoreError, UserRow

__all__ = [
    "PAGE_TOKEN_AGE_AT_START_MAX",
    "PAGE_TOKEN_AGE_MAX",
    "REFRESH_INTERVAL_S",
    "Keyring",
    "hash_key",
    "key_file",
    "new_key",
    "page_token_end",
    "renew_page_token",
]

REFRESH_INTERVAL_S = 2.0
PAGE_TOKEN_AGE_MAX = timedelta(days=30)
PAGE_TOKEN_AGE_AT_START_MAX = timedelta(days=1)
_CLOCK_TOLERANCE = timedelta(days=1)  # by which a token may be from the future
_TOKEN_BYTES = 32


def key_file(database: Path) -> Path:
    """The file with the generated key."""
    return database.with_name(database.name + ".key")


def new_key() -> str:
    """A random key, or token."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def hash_key(key: str) -> bytes:
    """The stored SHA-256 of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def renew_page_token(store: Store, age_max: timedelta | None = None) -> PageToken:
    """Replace the page's token, if it is older than ``age_max`` where that is given. Raises StoreError."""
    present = store.page_token()
    if present is not None and age_max is not None and not _is_older(present, age_max):
        return present
    return store.put_page_token(PageToken(new_key(), _now().isoformat()), present).result()


class Keyring:
    """What opens the server: the valid keys and the page's token, as the database had them at the last ``refresh``.

    ``user_of`` and ``admits_page`` are for the event loop, ``refresh`` is for any one thread.
    """

    def __init__(self, store: Store) -> None:
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
        found, token = [key for key in self._store.all_keys() if key.revoked is None], self._store.page_token()
        with suppress(StoreError):  # a full disk; until there is room, the old one counts
            token = renew_page_token(self._store, PAGE_TOKEN_AGE_MAX)
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
        used = [key for key in self._by_hash.values() if key.id in self._used and self._noted.get(key.id) != hour]
        self._used.clear()
        if used:
            self._noted |= {key.id: hour for key in used}
            self._store.note_use(used, hour)


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


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)
