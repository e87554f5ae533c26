"""The embedded server of a database on this machine, wherever it listens.

Its state file (``instance``) is read for each connection, so that a server that was started again on another port, or
with another key, is found at once.

1. Over the Unix socket in the state directory, nobody else can take its place: only this user can put one there. The
   kernel says who listens (``SO_PEERCRED``), before anything is sent.
2. Where there is no socket (the file system takes none; a server of 0.1), and where a user namespace hides who listens,
   ``GET /api/v0/instance/?nonce=...`` goes first on each connection, without the key, and the answer must prove the
   file's secret by an HMAC. Another process may have the port.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from steplog import instance
from steplog.address import canonical_url, endpoint, is_loopback, local_url
from steplog.delivery.wire import API
from steplog.network import deadline
from steplog.secret import Secret
from steplog.unix_socket import SUPPORTED, peer_of

__all__ = ["NOT_RUNNING", "Challenge", "Dialed", "ForeignServerError", "LocalServer", "ServerNotRunningError"]

NOT_RUNNING = "not running; type: steplog serve"


class ServerNotRunningError(OSError):
    """The server does not run."""


class ForeignServerError(OSError):
    """Another program has its place."""


class _Proof(msgspec.Struct):
    instance: str
    proof: str


class Challenge:
    """A request that only the server that wrote the state file can answer."""

    def __init__(self, server: instance.Instance, host: str) -> None:
        nonce = secrets.token_hex(16)
        self.request = f"GET {API}/instance/?nonce={nonce} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii")
        self._instance = server.instance
        self._expected = instance.proof(server.secret, nonce)

    def is_met_by(self, status: int, body: bytes) -> bool:
        """Whether this answer is the server's."""
        try:
            told = msgspec.json.decode(body, type=_Proof)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        proved = hmac.compare_digest(told.proof.encode("utf-8", "replace"), self._expected.encode())
        return status == 200 and told.instance == self._instance and proved


class Dialed(msgspec.Struct, frozen=True):
    """A connected socket, and what to ask on it before the key may be sent."""

    sock: socket.socket
    challenge: Challenge | None


class LocalServer:
    """The server of one database, found through the state directory. ``found`` is its state, as last read."""

    def __init__(self, directory: Path, instance_id: str) -> None:
        self.instance = instance_id
        self.found: instance.Instance | None = None
        self._directory = directory
        self.pid = 0  # of who listened last; 0: not known

    @property
    def base_url(self) -> str:
        """Its address for a browser, or its name before it was ever found."""
        return local_url(self.instance) if self.found is None else self.found.base_url

    @property
    def host(self) -> str:
        """The Host header. The instance is a name that the server knows on every port, and no stranger knows."""
        if self.found is None or not self.found.started_ns:
            return urlsplit(self.base_url).netloc
        return self.instance

    @property
    def key(self) -> Secret | None:
        """Its key."""
        return None if self.found is None else Secret(self.found.api_key)

    def refresh(self) -> bool:
        """Read the state again; whether the server runs. One of 0.1 may not."""
        found = instance.find(self._directory, self.instance)
        if found is not None:
            self.found = found
        return found is not None

    def connect(self, options: Iterable[Any], exchange: deadline.Exchange) -> Dialed:
        """Connect, attached to the exchange.

        Raises as ``deadline.connect`` does, ServerNotRunningError, and ForeignServerError where it is not the server.
        """
        self.pid = 0
        if not self.refresh() or self.found is None:
            raise ServerNotRunningError
        if not self.found.socket:
            return self._connect_tcp(self.found, options, exchange)
        if not SUPPORTED:
            raise ServerNotRunningError
        try:
            sock = deadline.connect_local(instance.paths_of(self._directory, self.instance).socket, exchange)
        except (ConnectionRefusedError, FileNotFoundError):
            raise ServerNotRunningError from None
        try:
            peer = peer_of(sock)
            if peer.is_ours is False:
                raise ForeignServerError
        except BaseException:
            exchange.detach()
            sock.close()
            raise
        self.pid = peer.pid
        return Dialed(sock, None if peer.is_ours else Challenge(self.found, self.host))

    def _connect_tcp(self, found: instance.Instance, options: Iterable[Any], exchange: deadline.Exchange) -> Dialed:
        try:
            url = canonical_url(found.base_url)
        except ValueError:
            raise ServerNotRunningError from None
        tls, host, port = endpoint(url)
        if tls or not is_loopback(url):
            raise ServerNotRunningError
        try:
            sock = deadline.connect(host, port, options, exchange)
        except ConnectionRefusedError:
            raise ServerNotRunningError from None
        return Dialed(sock, Challenge(found, self.host))
