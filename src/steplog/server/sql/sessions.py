"""The statements for sessions of browsers; ``steplog.server.sessions`` says what they are.

Functions that write are called inside a transaction.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from steplog.server.sql import keys
from steplog.server.sql.connection import NO_LIMIT, Connection
from steplog.server.store_types import MissingError, SessionRow

__all__ = ["begin", "by_hashes", "end", "end_readers"]

_LEFT = timedelta(seconds=5)  # of a session that another one replaces: requests are on their way
_SESSIONS_MAX = 1000  # of one key, and of the page's token


def by_hashes(connection: Connection, hashes: Sequence[bytes]) -> list[SessionRow]:
    """The sessions with these hashes that count."""
    found, now = [], _now()
    for session_hash in hashes:
        row = connection.execute(
            "SELECT s.hash, s.key, s.expires FROM sessions s LEFT JOIN keys k ON k.id = s.key"
            " WHERE s.hash = ? AND s.expires > ? AND (s.key IS NULL OR"
            " (k.id IS NOT NULL AND k.revoked IS NULL AND (k.expires IS NULL OR k.expires > ?)))",
            (session_hash, now, now),
        ).fetchone()
        if row is not None:
            key = None if row[1] is None else keys.by_id(connection, row[1])
            found.append(SessionRow(row[0], key, row[2]))
    return found


def begin(connection: Connection, session: SessionRow, token_hash: bytes | None, before: bytes | None) -> None:
    """Add a session, if what it is begun with still counts. Raises MissingError."""
    if session.key is not None:
        key_id: int | None = session.key.id
        if not keys.by_id(connection, session.key.id).is_valid(_now()):
            raise MissingError("the key was revoked, or has expired")
    else:
        key_id, token = None, keys.page_token(connection)
        present = b"" if token is None else hashlib.sha256(token.token.encode()).digest()
        if not hmac.compare_digest(present, token_hash or b"-"):
            raise MissingError("the page's token was replaced")
    connection.execute("DELETE FROM sessions WHERE expires <= ?", (_now(),))
    of_key, values = ("key IS NULL", ()) if key_id is None else ("key = ?", (key_id,))
    beyond = f"SELECT id FROM sessions WHERE {of_key} ORDER BY id DESC LIMIT ? OFFSET ?"  # noqa: S608 - one of two
    connection.execute(f"DELETE FROM sessions WHERE id IN ({beyond})", (*values, NO_LIMIT, _SESSIONS_MAX - 1))  # noqa: S608
    soon = _now(_LEFT)
    connection.execute("UPDATE sessions SET expires = ? WHERE hash = ? AND expires > ?", (soon, before, soon))
    connection.execute(
        "INSERT INTO sessions (hash, key, expires) VALUES (?, ?, ?)", (session.hash, key_id, session.expires)
    )


def end(connection: Connection, session_hash: bytes) -> None:
    """End a session."""
    connection.execute("DELETE FROM sessions WHERE hash = ?", (session_hash,))


def end_readers(connection: Connection) -> None:
    """End all that were begun with a token of the page."""
    connection.execute("DELETE FROM sessions WHERE key IS NULL")


def _now(later: timedelta = timedelta()) -> str:
    return (datetime.now(timezone.utc).replace(microsecond=0) + later).isoformat()
