"""A deadline for a whole exchange, and sockets that keep it.

A socket's timeout bounds one read: a byte now and then keeps a caller waiting. Here each call that can block gets what
is left of the exchange:

    resolve    in a thread, one a name, since ``getaddrinfo`` cannot be bounded
    connect    each address in turn, within ``connect_timeout_s`` for all; to a Unix socket, until its backlog has room
    send       by the timeout of ``sendall``
    receive    by a timeout set before each ``recv`` (``connection``)

1. A socket is attached to its exchange from before it connects until it is idle or about to be closed.
2. It is attached, detached and shut down under a lock, so that no other descriptor is shut down in its place.
3. No lock is held across a call that can block.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from steplog.descriptors import Descriptor, lent, reserved
from steplog.reentrant_lock import ReentrantLock
from steplog.unix_socket import socket_address

__all__ = [
    "AbortedError",
    "DeadlinePassedError",
    "Exchange",
    "close_socket",
    "connect",
    "connect_local",
    "resolve_name",
]

_Address = tuple[int, int, int, str, Any]
_BACKLOG_POLL_S = 0.02


class DeadlinePassedError(TimeoutError):
    """The exchange, or its connecting, took too long."""


class AbortedError(ConnectionAbortedError):
    """Another thread ended the exchange."""


class Exchange:
    """A request and its answer under way."""

    def __init__(self, timeout_s: float, connect_timeout_s: float, body_bytes_max: int) -> None:
        self.timeout_s, self.connect_timeout_s, self.body_bytes_max = timeout_s, connect_timeout_s, body_bytes_max
        self._end = self._connect_end = time.monotonic() + timeout_s
        self._sock: tuple[socket.socket, Descriptor] | None = None
        self._lock = ReentrantLock()  # a signal handler may call ``abort``
        self.bell: SimpleQueue[None] = SimpleQueue()  # name resolved, or aborted
        self.aborted = False
        self.connecting = False  # or resolving
        self.at_proxy = False  # not beyond it yet: a failure is the proxy's
        self.reused = False  # on a connection that was idle
        self.answered = False  # a byte of the answer came
        self.ended = False  # the server closed its side
        self.repeated = False

    def again(self) -> None:
        """Begin again on a new connection, with the same deadline."""
        self.connecting = self.reused = self.answered = self.ended = False
        self.repeated = True

    def extend(self, timeout_s: float) -> None:
        """Let it take that long from now on."""
        self.timeout_s, self._end = timeout_s, time.monotonic() + timeout_s

    @property
    def stale(self) -> bool:
        """Whether a connection that was idle brought no byte, and there is time for another."""
        return self.reused and not self.answered and not self.aborted and time.monotonic() < self._end

    def remaining(self) -> float:
        """Seconds left, above zero. Raises AbortedError, DeadlinePassedError."""
        if self.aborted:
            raise AbortedError
        left = (self._connect_end if self.connecting else self._end) - time.monotonic()
        if left <= 0:
            raise DeadlinePassedError
        return left

    def begin_connect(self) -> None:
        """Until ``connecting`` is False, ``connect_timeout_s`` are left at most."""
        self.connecting = True
        self._connect_end = min(self._end, time.monotonic() + self.connect_timeout_s)

    def attach(self, sock: socket.socket) -> None:
        """Have ``abort`` shut this socket down. Raises AbortedError if it already ran, OSError for a closed one."""
        with self._lock:
            self._sock = sock, Descriptor(sock.fileno())
        if self.aborted:
            raise AbortedError

    def detach(self) -> None:
        """Have ``abort`` leave the socket alone."""
        with self._lock:
            self._sock = None

    def abort(self) -> None:
        """End the exchange at once, from any thread or a signal handler."""
        self.aborted = True
        self.bell.put(None)
        with self._lock, contextlib.suppress(OSError):  # not connected
            if self._sock is not None and self._sock[1].is_ours():
                self._sock[0].shutdown(socket.SHUT_RDWR)


def connect(host: str, port: int, options: Iterable[Any], exchange: Exchange) -> socket.socket:
    """A connected socket, attached to the exchange. Raises OSError.

    Each address gets an equal share of the time, so that one that swallows packets leaves some for the next.
    """
    exchange.begin_connect()
    addresses = resolve_name(host, port, exchange)
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
    for index, address in enumerate(addresses):
        try:
            return _dial(address, exchange.remaining() / (len(addresses) - index), options, exchange)
        except (AbortedError, DeadlinePassedError):
            raise
        except OSError as error:
            failure = error
    exchange.remaining()
    raise failure


def connect_local(path: Path, exchange: Exchange) -> socket.socket:
    """A socket connected to the Unix socket at ``path``, attached to the exchange. Raises OSError."""
    exchange.begin_connect()
    with socket_address(path) as address:
        while True:
            try:
                return _dial((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", address), exchange.remaining(), (), exchange)
            except BlockingIOError:  # the backlog is full: connect(2) waits for none of it
                with contextlib.suppress(Empty):
                    exchange.bell.get(timeout=min(_BACKLOG_POLL_S, exchange.remaining()))


def _dial(address: _Address, timeout_s: float, options: Iterable[Any], exchange: Exchange) -> socket.socket:
    sock = reserved(socket.socket, *address[:3])
    descriptor = Descriptor(sock.fileno())
    try:
        for option in options:
            sock.setsockopt(*option)
        exchange.attach(sock)
        sock.settimeout(timeout_s)
        sock.connect(address[4])
        exchange.connecting = False
    except BaseException:
        exchange.detach()
        close_socket(sock, descriptor)
        raise
    return sock


def close_socket(sock: socket.socket, descriptor: Descriptor) -> None:
    """Close it, unless the program has closed its descriptor."""
    if descriptor.is_ours():
        sock.close()
    else:
        sock.detach()


class _Lookup:
    """A name lookup, and the bells of the exchanges that wait for it."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.waiters: list[SimpleQueue[None]] = []
        self.result: list[_Address] | OSError | None = None

    def start(self) -> None:
        """Look it up in a thread, or here where none can be started."""
        try:
            threading.Thread(target=self.run, name="steplog-resolve", daemon=True).start()
        except RuntimeError:  # no new thread at interpreter shutdown (3.12), or beyond a limit
            self.run()

    def run(self) -> None:
        """Look it up."""
        result: list[_Address] | OSError = socket.gaierror(socket.EAI_NONAME, "not a name")
        try:
            with lent():
                result = [*socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)]
        except OSError as error:
            result = error
        except ValueError:
            pass
        except Exception as error:  # noqa: BLE001 - such as MemoryError; without a result it would be waited for again
            result = socket.gaierror(socket.EAI_AGAIN, f"{type(error).__name__}: {error!s:.200}")
        self.end(result)

    def end(self, result: list[_Address] | OSError) -> None:
        """Give it to whoever waits; who comes later looks it up anew."""
        self.result, place = result, (os.getpid(), self.host, self.port)
        if _lookups.get(place) is self:
            del _lookups[place]
        for bell in self.waiters:
            bell.put(None)


_lookups: dict[tuple[int, str, int], _Lookup] = {}


def resolve_name(host: str, port: int, exchange: Exchange) -> list[_Address]:
    """The addresses of a name. Raises OSError."""
    try:
        with lent():  # the first call imports a codec
            return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]
    except (OSError, ValueError):
        pass
    mine = _Lookup(host, port)
    try:
        # By process: a forked child has its parent's entry, and not its thread.
        lookup = _lookups.setdefault((os.getpid(), host, port), mine)
        lookup.waiters.append(exchange.bell)
        if lookup is mine:
            mine.start()
    except BaseException:  # Ctrl-C, perhaps before there is a thread, which others would wait for
        mine.end(socket.gaierror(socket.EAI_AGAIN, "the lookup was interrupted"))
        raise
    while lookup.result is None:
        try:
            exchange.bell.get(timeout=exchange.remaining())
        except Empty:
            continue
    exchange.remaining()
    if isinstance(lookup.result, OSError):
        raise type(lookup.result)(*lookup.result.args)
    return lookup.result
