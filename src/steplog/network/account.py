"""Whose key it is: what ``GET /api/v0/verify-api-key/`` answers, and what its refusals mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steplog.delivery.wire import API
from steplog.errors import ConfigurationError, InvalidAPIKeyError, ServerUnavailableError

if TYPE_CHECKING:
    from steplog.network.reply import Reply

__all__ = ["VERIFY_PATH", "Account", "account_of"]

VERIFY_PATH = f"{API}/verify-api-key/"


@dataclass(frozen=True)
class Account:
    """The account of a key, in the server's words."""

    username: str
    email: str


def account_of(reply: Reply, base_url: str) -> Account:
    """The account that the answer names.

    Raises InvalidAPIKeyError for a key that the server does not know, ConfigurationError for a redirect,
    ``requests.HTTPError`` for another refusal, ServerUnavailableError for an answer that is no run server's.
    """
    from steplog.network import reasons

    # 403: a REST framework without a WWW-Authenticate header says so of a wrong key.
    if reply.status in (401, 403):
        raise InvalidAPIKeyError("Login failed due to invalid API key.")
    if 300 <= reply.status < 400:
        raise ConfigurationError(f"{base_url} answers with a redirect; the address of the server is another one")
    if reply.status != 200:
        raise reasons.refusal(reply.response())
    try:
        told = reply.json()
        return Account(username=str(told["username"]), email=str(told["email"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ServerUnavailableError(f"{base_url}: not the answer of a run server") from None
