"""Credentials: the keys of users, and the token that the page reads with.

``Keyring`` is what the server checks requests against. What another process has issued counts at once, or within a
second where it was shown before, and what it has revoked is refused within five seconds: keys are read when they are
shown (``key_cache``), the page's token and the key that the server was started with every ``REFRESH_INTERVAL_S``.

1. The database holds the SHA-256 of a key, never the key.
2. A key opens the server while its row is there without a date of revocation, until it expires. A revoked key stays
   revoked, also if a server is started with it.
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
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from steplog.server.key_cache import KeyCache
from steplog.server.store import Store
from steplog.server.store_types import KeyRow, PageToken, StoreError

__all__ = [
    "PAGE_TOKEN_AGE_AT_START_MAX",
    "PAGE_TOKEN_AGE_MAX",
    "REFRESH_INTERVAL_S",
    "Keyring",
    "hash_key",
    "key_file",
    "new_key",
    "now",
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
    """Replace the page's token, if it is older than ``age_max`` where that is given; else end its sessions, too.

    Raises StoreError.
    """
    present = store.page_token()
    if present is not None and age_max is not None and not _is_older(present, age_max):
        return present
    return store.put_page_token(PageToken(new_key(), now().isoformat()), present, age_max is None).result()


class Keyring:
    """What opens the server.

    ``find`` and ``admits_page`` are for the event loop, ``refresh`` is for any one thread.
    """

    def __init__(self, store: Store) -> None:
        """Raises StoreError."""
        self._store = store
        self._cache = KeyCache(self._valid)
        self._started: dict[bytes, KeyRow] = {}  # by hash
        self._page_token, self._page_token_end = "", ""
        self._page_hashes: tuple[bytes, ...] = ()
        self._used: dict[int, KeyRow] = {}
        self._noted_in, self._noted = "", set[int]()  # the hour, and the keys whose use in it was noted
        self.refresh()

    def close(self) -> None:
        """End its thread."""
        self._cache.close()

    @property
    def page_token(self) -> str:
        """The page's token."""
        return self._page_token

    @property
    def page_token_end(self) -> str:
        """When the page's token is replaced."""
        return self._page_token_end

    async def find(self, key: str) -> KeyRow | None:
        """A valid key. Raises StoreError."""
        # A digest as the dictionary's key: how long the search takes says nothing about the key.
        key_hash = hash_key(key)
        found = self._started.get(key_hash) or await self._cache.find(key_hash)
        if found is None or (found.terms.expires is not None and found.terms.expires <= now().isoformat()):
            return None
        self.note_use(found)
        return found

    def note_use(self, key: KeyRow) -> None:
        """Note that a key, or a session of it, was used just now."""
        self._used[key.id] = key

    def is_started(self, key: str) -> bool:
        """Whether this is the key that the server was started with, or the one that has replaced it."""
        return hash_key(key) in self._started

    def admits_page(self, token: str) -> bool:
        """Whether this is the page's token."""
        offered = hash_key(token)
        return any(hmac.compare_digest(known, offered) for known in self._page_hashes)

    def _valid(self, hashes: Sequence[bytes]) -> list[KeyRow]:
        present = now().isoformat()
        return [key for key in self._store.keys_of_hashes(hashes) if key.is_valid(present)]

    def refresh(self, on_change: Callable[[], object] = lambda: None) -> None:
        """Read the database. During ``on_change``, which is called if anything changed, old and new both count.

        Raises StoreError.
        """
        key, token = self._store.started_key(), self._store.page_token()
        if token is None or _is_older(token, PAGE_TOKEN_AGE_MAX):
            with suppress(StoreError):  # a full disk; until there is room, the old one counts
                token = renew_page_token(self._store, PAGE_TOKEN_AGE_MAX)
        started = {} if key is None else {key.hash: key}
        hashes = () if token is None else (hash_key(token.token),)
        if (started.keys(), hashes) != (self._started.keys(), self._page_hashes):
            self._started, self._page_hashes = self._started | started, self._page_hashes + hashes
            self._page_token = "" if token is None else token.token
            self._page_token_end = "" if token is None else page_token_end(token) or ""
            on_change()
        self._started, self._page_hashes = started, hashes
        self._store_use()

    def _store_use(self) -> None:
        hour = now().replace(minute=0, second=0).isoformat()
        if self._noted_in != hour:
            self._noted_in, self._noted = hour, set()
        used, self._used = self._used, {}
        fresh = [key for key in used.copy().values() if key.id not in self._noted and key.last_used != hour]
        self._noted.update(used)
        if fresh:
            self._store.note_use(fresh, hour)


def page_token_end(token: PageToken) -> str | None:
    """When the page's token is replaced; None if nobody knows when it was made."""
    try:
        return (datetime.fromisoformat(token.made) + PAGE_TOKEN_AGE_MAX).isoformat()
    except ValueError:
        return None


def _is_older(token: PageToken, age_max: timedelta) -> bool:
    try:
        age = now() - datetime.fromisoformat(token.made)
    except (ValueError, TypeError):
        return True
    return not -_CLOCK_TOLERANCE <= age <= age_max


def now() -> datetime:
    """The time, to the second."""
    return datetime.now(timezone.utc).replace(microsecond=0)
