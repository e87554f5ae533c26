"""A deadline for a whole exchange, and sockets that keep it.

A socket's timeout bounds one read: a server that sends a byte now and then holds its caller for as long as it likes.
Here every call that can block gets what is left of the exchange, and can be ended from another thread:

    resolve    in a thread of its own, since ``getaddrinfo`` can be neither bounded nor ended; one thread a name
    connect    each address of the name in turn, within ``connect_timeout_s`` for all of them
    send       ``sendall`` bounds the whole call by the socket's timeout
    receive    what is left is set before each ``recv`` (``connection``)
    abort      shuts the connection down

Invariants

1. A socket is attached to its exchange from before it connects until it is idle again or about to be closed.
2. Attaching, detaching and shutting down hold the exchange's lock. So no descriptor is closed between its look-up and
   its shutdown.
3. No lock is held across a call that can block.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["AbortedError", "DeadlinePassedError", "Exchange", "connect", "resolve_name"]

_Address = tuple[int, int, int, str, Any]


class DeadlinePassedError(TimeoutError):
    """The exchange, or its part of connecting, has taken its time."""


class AbortedError(ConnectionAbortedError):
    """Another thread ended the exchange."""


class Exchange:
    """A request and its answer under way: its deadline, how far it is, and how it is ended."""

    def __init__(self, timeout_s: float, connect_timeout_s: float, body_bytes_max: int) -> None:
        self.timeout_s, self.connect_timeout_s, self.body_bytes_max = timeout_s, connect_timeout_s, body_bytes_max
        self._end = self._connect_end = time.monotonic() + timeout_s
        self._sock: socket.socket | None = None
        self._lock = threading.RLock()  # a signal handler may abort the exchange of the thread that it interrupts
        self._aborted = False
        self.bell: SimpleQueue[None] = SimpleQueue()  # rings when the name is resolved, and on ``abort``
        self.connecting = False  # resolving or connecting, which ends sooner and fails in other words
        self.at_proxy = False  # connecting to a proxy or opening the tunnel: a failure is the proxy's
        self.reused = False  # over a connection that was idle
        self.answered = False  # a byte of the answer came
        self.ended = False  # the server closed its side
        self.repeated = False

    def again(self) -> None:
        """Begin once more, over a new connection, with the same deadline."""
        self.connecting = self.reused = self.answered = self.ended = False
        self.repeated = True

    @property
    def aborted(self) -> bool:
        """Whether ``abort`` was called."""
        return self._aborted

    @property
    def stale(self) -> bool:
        """Whether it failed on a connection that was idle, before a byte of the answer, with time left for another."""
        return self.reused and not self.answered and not self._aborted and time.monotonic() < self._end

    def remaining(self) -> float:
        """The seconds left, above zero. Raises AbortedError, DeadlinePassedError."""
        if self._aborted:
            raise AbortedError
        left = (self._connect_end if self.connecting else self._end) - time.monotonic()
        if left <= 0:
            raise DeadlinePassedError
        return left

    def begin_connect(self) -> None:
        """From now until ``connecting`` is False, at most ``connect_timeout_s`` are left."""
        self.connecting = True
        self._connect_end = min(self._end, time.monotonic() + self.connect_timeout_s)

    def attach(self, sock: socket.socket) -> None:
        """Have ``abort`` shut this socket down. Raises AbortedError if it was called already."""
        with self._lock:
            self._sock = sock
        if self._aborted:
            raise AbortedError

    def detach(self) -> None:
        """Leave the socket alone from now on: it is about to be closed, or to become idle."""
        with self._lock:
            self._sock = None

    def abort(self) -> None:
        """End the exchange, from any thread or a signal handler. The call that it blocks in returns at once."""
        self._aborted = True
        self.bell.put(None)
        with self._lock, contextlib.suppress(OSError):  # not connected yet, or not any more
            if self._sock is not None:
                self._sock.shutdown(socket.SHUT_RDWR)


def connect(host: str, port: int, options: Iterable[Any], exchange: Exchange) -> socket.socket:
    """A connected socket, attached to the exchange.

    Each address gets an equal share of what is left of ``connect_timeout_s``, so that one that swallows packets leaves
    time for the next. Raises OSError, and of its subclasses AbortedError and DeadlinePassedError.
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
    except BaseException:
        exchange.detach()
        sock.close()
        raise
    return sock


class _Lookup:
    """A name lookup under way, and the bells of the exchanges that wait for it."""

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
    """The addresses of a name, within the exchange's time. Raises as ``connect`` does."""
    try:
        return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)]
    except (OSError, ValueError):
        pass
    mine = _Lookup(host, port)
    # By process: a forked child has the entry of its parent's lookup, and not its thread.
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
        # No new thread: the interpreter is shutting down (3.12), or a limit is reached.
        lookup.run()
