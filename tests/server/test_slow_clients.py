"""A client that sends too little is disconnected; one idle between requests is not."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from steplog.server.places import Places
from steplog.server.protocol import limited_protocol

HEAD_S, BODY_S = 0.4, 1.2
SPARE_S = 0.5
GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body, and answers after longer than the head's timeout."""
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.disconnect":
        return
    await asyncio.sleep(2 * HEAD_S if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def serving(protocol: type[asyncio.Protocol]) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(echo, http=protocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(limited_protocol(Places(100, 100), HEAD_S, BODY_S)) as number:
        yield number


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def closed_after(connection: socket.socket) -> float:
    """Seconds until the server closes the connection."""
    begun = time.monotonic()
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - begun


def answered(connection: socket.socket) -> bytes:
    """The whole response."""
    said = b""
    while not said.endswith(b"\r\n\r\nok"):
        said += connection.recv(4096) or b"closed\r\n\r\nok"
    return said


def dripped(connection: socket.socket) -> float:
    """How long a head can be sent byte by byte."""
    begun = time.monotonic()
    for byte in GET[:-2] * 10:
        try:
            connection.sendall(bytes([byte]))
        except OSError:
            break
        threading.Event().wait(0.05)
    return time.monotonic() - begun


@pytest.mark.parametrize("said", [b"", GET[:10], GET[:-2]])
def test_who_sends_no_whole_head_is_left(port: int, said: bytes):
    with connected(port) as connection:
        connection.sendall(said)
        assert HEAD_S - 0.1 < closed_after(connection) < HEAD_S + SPARE_S


def test_a_head_that_comes_byte_by_byte_is_no_reason_to_wait_longer(port: int):
    with connected(port) as connection:
        assert dripped(connection) < HEAD_S + SPARE_S


def test_a_head_that_comes_byte_by_byte_is_read_some_twenty_times_a_second():
    reads = []
    protocol: Any = limited_protocol(Places(9, 9))
    received = protocol.data_received
    protocol.data_received = lambda self, data: (reads.append(data), received(self, data))
    with serving(protocol) as port, connected(port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.monotonic()
        for byte in b"GET / HTTP/1.1\r\nX: " + b"x" * 200:
            connection.sendall(bytes([byte]))
            threading.Event().wait(0.001)
        assert len(reads) <= (time.monotonic() - begun) / 0.05 + 2


def test_who_sends_no_whole_body_is_left_later(port: int):
    with connected(port) as connection:
        connection.sendall(POST + b"123")
        assert BODY_S - 0.1 < closed_after(connection) < BODY_S + SPARE_S


@pytest.mark.slow
def test_an_answer_may_take_longer_and_a_kept_connection_may_idle(port: int):
    with connected(port) as connection:
        for said in (GET.replace(b"/ ", b"/slow "), GET, POST + b"1234", GET):
            connection.sendall(said)
            assert answered(connection).startswith(ANSWER)
            threading.Event().wait(2 * HEAD_S)


def test_on_a_kept_connection_a_head_that_has_begun_must_come(port: int):
    with connected(port) as connection:
        connection.sendall(GET)
        assert answered(connection).startswith(ANSWER)
        connection.sendall(GET[:10])
        assert HEAD_S - 0.1 < closed_after(connection) < HEAD_S + SPARE_S
