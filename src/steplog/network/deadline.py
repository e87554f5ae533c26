"""A deadline for a whole exchange, and sockets that keep it.

The timeout of a socket bounds one read: a server that sends a byte now and then holds a caller for as long as it
likes (measured: 8.5 s at a timeout of 0.5 s). Here every call that can block is given the time that is
left, and each of them can be ended from another thread:

    resolve    in a thread of its own, because ``getaddrinfo`` can be neither bounded nor ended; one a name, so
               that a resolver that hangs does not gather threads
    connect    every address of the name in turn, within ``connect_timeout_s`` for all of them
    send       ``sendall`` of a socket bounds the whole call by the socket's timeout
    receive    the time that is left is set before each ``recv`` (``connection``)
    abort      shuts the connection down through a second descriptor of it, which belongs to the exchange:
               neither a TLS socket around the first nor its being closed meanwhile is disturbed

No lock is held across a call that can block.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["AbortedError", "DeadlinePassedError", "Exchange", "connect", "resolve_name"]

_Address = tuple[int, int, int, str, Any]


class DeadlinePassedError(TimeoutError):
    """The time of the exchange, or of its connecting, is over."""


class AbortedError(ConnectionAbortedError):
    """Another thread ended the exchange."""


class Exchange:
    """One request and its answer under way: when it must be over, how far it is, and how it is ended."""

    def __init__(
        self,
        timeout_s: float,
        connect_timeout_s: float,
        body_bytes_max: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout_s, self.connect_timeout_s, self.body_bytes_max = timeout_s, connect_timeout_s, body_bytes_max
        self._monotonic = monotonic
        self._end = monotonic() + timeout_s
        self._connect_end = self._end
        self._handle: socket.socket | None = None
        self._lock = threading.RLock()
        self._aborted = False
        self.bell: SimpleQueue[None] = SimpleQueue()
        # Resolving and connecting: the time for it is over sooner, and a failure has other words.
        self.connecting = False
        # Whether it is on the way to and through a proxy, and not beyond: a failure is the proxy's then.
        self.at_proxy = False
        # Whether the connection was used before, whether a byte of this answer came, and whether the server's end
        # of the connection did.
        self.reused = self.answered = self.ended = False
        self.repeated = False

    def again(self) -> None:
        """Begin once more, in the same time, on a new connection."""
        self.connecting = self.reused = self.answered = self.ended = False
        self.repeated = True

    @property
    def aborted(self) -> bool:
        """Whether ``abort`` was called."""
        return self._aborted

    @property
    def stale(self) -> bool:
        """Whether it failed on a kept connection, before a byte of an answer, with time left for another one."""
        return self.reused and not self.answered and not self._aborted and self._monotonic() < self._end

    def remaining(self) -> float:
        """The seconds that are left, above zero. Raises AbortedError, DeadlinePassedError."""
        if self._aborted:
            raise AbortedError
        left = (self._connect_end if self.connecting else self._end) - self._monotonic()
        if left <= 0:
            raise DeadlinePassedError
        return left

    def begin_connect(self) -> None:
        """Until ``connecting`` is False again, ``connect_timeout_s`` at most."""
        self.connecting = True
        self._connect_end = min(self._end, self._monotonic() + self.connect_timeout_s)

    def attach(self, sock: socket.socket) -> None:
        """This is the connection to shut down on ``abort``. Raises AbortedError if that was called already."""
        handle = socket.fromfd(sock.fileno(), sock.family, sock.type, sock.proto)
        self._swap(handle)
        if self._aborted:
            raise AbortedError

    def abort(self) -> None:
        """End the exchange, from any thread and from a signal handler; what it blocks in returns at once."""
        self._aborted = True
        self.bell.put(None)
        with self._lock:
            if self._handle is not None:
                _shut(self._handle)

    def close(self) -> None:
        """Let go of the connection, which may live on in the pool."""
        self._swap(None)

    def _swap(self, handle: socket.socket | None) -> None:
        # Under the lock, so that no descriptor is closed between its look-up and its shutdown.
        with self._lock:
            before, self._handle = self._handle, handle
            if before is not None:
                before.close()


def _shut(handle: socket.socket) -> None:
    # OSError: it is not connected any more, the other side was quicker.
    with contextlib.suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def connect(host: str, port: int, options: Iterable[Any], exchange: Exchange) -> socket.socket:
    """A connected socket whose timeout is what is left of the exchange.

    Each address gets an equal share of what is left of ``connect_timeout_s``, so that one that swallows
    packets leaves time for the next. Raises OSError, of it AbortedError and DeadlinePassedError.
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


def _dial(address: _Address, timeout_s: float, options: Iterable[Any], exchange: Exchange) -> socket.socket:
    sock = socket.socket(*address[:3])
    try:
        for option in options:
            sock.setsockopt(*option)
        exchange.attach(sock)
        sock.settimeout(timeout_s)
        sock.connect(address[4])
        exchange.connecting = False
        sock.settimeout(exchange.remaining())
    except OSError:
        sock.close()
        raise
    return sock


class _Lookup:
    """A name being resolved, and those who wait for it."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.waiters: list[SimpleQueue[None]] = []
        self.result: list[_Address] | OSError | None = None

    def run(self) -> None:
        try:
            self.result = [*socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)]
        except (OSError, ValueError) as error:
            self.result = error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "not a name")
        _lookups.pop((os.getpid(), self.host, self.port), None)
        for bell in self.waiters:
            bell.put(None)


_lookups: dict[tuple[int, str, int], _Lookup] = {}


def resolve_name(host: str, port: int, exchange: Exchange) -> list[_Address]:
    """The addresses of a name, in the time that the exchange has. Raises OSError as ``connect`` does."""
    try:
        return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]
    except (OSError, ValueError):
        pass
    mine = _Lookup(host, port)
    # The process is in the key: the thread of a lookup that a fork copied is not there.
    lookup = _lookups.setdefault((os.getpid(), host, port), mine)
    lookup.waiters.append(exchange.bell)
    if lookup is mine:
        _start(mine)
    while lookup.result is None:
        try:
            exchange.bell.get(timeout=exchange.remaining())
        except Empty:
            continue
    exchange.remaining()
    if isinstance(lookup.result, OSError):
        raise type(lookup.result)(*lookup.result.args)
    return lookup.result


def _start(lookup: _Lookup) -> None:
    try:
        threading.Thread(target=lookup.run, name="steplog-resolve", daemon=True).start()
    except RuntimeError:
        # No new thread late in the life of an interpreter (3.12) or past a limit of processes.
        lookup.run()
