"""Sessions: browsers that are signed in, so that the page keeps neither a key nor its token.

1. A session has two secrets: the cookie ``steplog_<instance>``, which no script can read, and the *binding*, which the
   page keeps and sends in a header. Neither is worth anything without the other. A browser sends its cookies to every
   port of a host, so also to another user's server on this machine; what a page keeps, only pages of its own origin
   can read (https://www.rfc-editor.org/rfc/rfc6265#section-8.5).
2. The database holds the SHA-256 of the two together, never them.
3. A session that was begun with a key may do what the key may, and ends with it. One that was begun with the page's
   token is a READER's, and ends when that token is 30 days old, or somebody rotates it; that a start replaces it ends
   none. Each ends after ``SESSION_AGE_MAX``, and when it is signed out.
4. It is read as keys are (``key_cache``): one that ends opens nothing five seconds later.
5. Signing in makes new secrets and ends the session before, within five seconds: one that somebody has planted gains
   nothing.
"""

from __future__ import annotations

import time
from asyncio import wrap_future
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from steplog.server.key_cache import KeyCache
from steplog.server.keys import Keyring, hash_key, new_key, now
from steplog.server.quotas import Quotas
from steplog.server.store import Store
from steplog.server.store_types import MissingError, SessionRow

__all__ = ["BINDING_HEADER", "SESSION_AGE_MAX", "NewSession", "Sessions", "is_own_origin"]

SESSION_AGE_MAX = timedelta(days=30)
BINDING_HEADER = "Steplog-Binding"
_COOKIES_MAX = 4  # of our name; another path, or another domain above ours, may have set one, too


class NewSession(NamedTuple):
    """A session that has just begun, with its secrets."""

    row: SessionRow
    cookie: str
    binding: str


class Sessions:
    """The sessions of a server; for the event loop."""

    def __init__(
        self,
        store: Store,
        keyring: Keyring,
        quotas: Quotas | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._quotas = quotas or Quotas()
        self._clock = clock
        self._cache = KeyCache(self._read)

    def close(self) -> None:
        """End its thread."""
        self._cache.close()

    async def find(self, request: Request) -> SessionRow | None:
        """The session of a request. Raises StoreError."""
        binding = request.headers.get(BINDING_HEADER, "")
        if not binding and request.method in ("GET", "HEAD"):
            binding = request.query_params.get("binding", "")  # of a link, which has no headers
        if not binding:
            return None
        for cookie in islice(_cookies(request, self._name), _COOKIES_MAX):
            found = await self._cache.find(_hash(cookie, binding))
            present = now().isoformat()
            if found is not None and found.expires > present and (found.key is None or found.key.is_valid(present)):
                if found.key is not None:
                    self._keyring.note_use(found.key)
                return found
        return None

    async def begin(self, key: str | None, token: str | None, before: SessionRow | None) -> NewSession | None:
        """Sign in, with a key or the page's token, in place of the session before; None: it is wrong.

        That is a request of the key's, since it is a write. Raises StoreError, QuotaError.
        """
        found = None if key is None else await self._keyring.find(key)
        if found is None and (token is None or not self._keyring.admits_page(token)):
            return None
        if found is not None:
            self._quotas.take(found.id, found.terms, 0, self._clock())
        cookie, binding = new_key(), new_key()
        expires = (now() + SESSION_AGE_MAX).isoformat()
        end = self._keyring.page_token_end if found is None else found.terms.expires
        expires = min(expires, end or expires)
        row = SessionRow(_hash(cookie, binding), found, expires)
        try:
            token_hash = None if token is None else hash_key(token)
            await wrap_future(self._store.begin_session(row, token_hash, None if before is None else before.hash))
        except MissingError:  # what it was begun with has just ended
            return None
        if before is not None:
            self._cache.forget(before.hash)
        return NewSession(row, cookie, binding)

    async def end(self, session: SessionRow) -> None:
        """Sign out. Raises StoreError."""
        await wrap_future(self._store.end_session(session.hash))
        self._cache.forget(session.hash)

    def set_cookie(self, response: Response, request: Request, new: NewSession | None) -> None:
        """Have the browser keep the cookie of a new session; None: forget the one that it has."""
        secure = request.scope["scheme"] == "https" or request.headers.get("origin", "").startswith("https://")
        age = 0 if new is None else (datetime.fromisoformat(new.row.expires) - now()) // timedelta(seconds=1)
        response.set_cookie(
            self._name, "" if new is None else new.cookie, age, secure=secure, httponly=True, samesite="strict"
        )

    @property
    def _name(self) -> str:
        """Of the cookie. It has the instance, since a host's ports share their cookies."""
        return f"steplog_{self._store.instance}"

    def _read(self, hashes: Sequence[bytes]) -> list[SessionRow]:
        return self._store.sessions_of_hashes(hashes)


def is_own_origin(request: Request) -> bool:
    """Whether a page of this server asks, as far as the browser's ``Origin`` says: its Host is one of the server's.

    Without TLS the scheme may be either, since something in front of the server may encrypt.
    """
    origins = request.headers.getlist("origin")
    if len(origins) != 1:
        return False
    scheme, _, host = origins[0].partition("://")
    schemes = ("https",) if request.scope["scheme"] == "https" else ("http", "https")
    return scheme in schemes and host.lower() == request.headers.get("host", "").lower()


def _cookies(request: Request, name: str) -> Iterator[str]:
    """The values of the cookies of this name, which may be several."""
    for header in request.headers.getlist("cookie"):
        for part in header.split(";"):
            found, _, value = part.strip().partition("=")
            if found == name:
                yield value


def _hash(cookie: str, binding: str) -> bytes:
    # The lengths are bounded by the head's; neither has a line feed.
    return hash_key(f"{cookie}\n{binding}")
