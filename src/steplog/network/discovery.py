"""Finds the embedded server on this machine.

The state file (``instance``) holds its address and key, but may be stale, and another process may have the port. So
``GET /api/v0/instance/?nonce=…`` goes first, without the key, and the answer must prove the file's secret by an HMAC.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import replace

import msgspec

from steplog import instance
from steplog.address import canonical_url, is_loopback
from steplog.delivery.exchange import Request
from steplog.delivery.wire import API
from steplog.errors import ServerUnavailableError
from steplog.network.transport import HTTPTransport
from steplog.secret import Secret
from steplog.settings import Settings

__all__ = ["discover"]

_TIMEOUT_S = 2.0


class _Proof(msgspec.Struct):
    instance: str
    proof: str


def discover(settings: Settings) -> Settings | None:
    """``settings`` with that server's address and key, or None. Takes at most two seconds."""
    found = instance.read(instance.state_path(settings.dir))
    if found is None:
        return None
    try:
        url = canonical_url(found.base_url)
    except ValueError:
        return None
    if not is_loopback(url) or not _proves(url, found):
        return None
    return replace(settings, url=url, api_key=Secret(found.api_key))


def _proves(url: str, found: instance.Instance) -> bool:
    nonce = secrets.token_hex(16)
    transport = HTTPTransport(url, lambda: None, connect_timeout_s=_TIMEOUT_S)
    try:
        answer = transport.exchange(Request("GET", f"{API}/instance/?nonce={nonce}"), _TIMEOUT_S)
        told = msgspec.json.decode(answer.body, type=_Proof)
    except (ServerUnavailableError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    finally:
        transport.close()
    expected = instance.proof(found.secret, nonce)
    proved = hmac.compare_digest(told.proof.encode("utf-8", "replace"), expected.encode())
    return answer.status == 200 and told.instance == found.instance and proved
