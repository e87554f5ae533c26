"""The head of a request decides: without a key no body is read, and no place is kept."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from polling import wait_until
from server.process import KEY, ServerProcess
from steplog.server.places import Places
from steplog.server.protocol import CONNECTION, limited_protocol

MIB = 1024 * 1024
DEADLINE_S = 30.0
AUTHORIZATION = f"Authorization: Api-Key {KEY}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
SMALL_CHUNK = b"1\r\nx\r\n"


def port_of(server: ServerProcess) -> int:
    return int(server.url.rpartition(":")[2])


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)


def head(port: int, line: str, *headers: str) -> bytes:
    return f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{''.join(headers)}\r\n".encode()


def everything(connection: socket.socket) -> bytes:
    """What the server sends until it closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def answered(connection: socket.socket) -> bytes:
    """An answer with a Content-Length, on a connection that stays."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536) or pytest.fail(f"closed after {got!r}")
    start, _, body = got.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in start.lower().split(b"\r\n") if b"content-length" in line)
    while len(body) < length:
        body += connection.recv(65536) or pytest.fail("closed in the body")
    return start


@pytest.mark.parametrize("key", ["", "Authorization: Api-Key wrong\r\n", "Authorization: Page-Token wrong\r\n"])
@pytest.mark.parametrize("length", [CHUNKED, f"Content-Length: {2 * MIB}\r\n"])
def test_without_a_key_the_answer_is_there_before_the_body(server, key, length):
    """It used to come when the body was read, or after 30 seconds."""
    port = port_of(server)
    with connected(port) as connection:
        connection.sendall(head(port, "POST /api/v0/namespaces/", key, length))
        connection.settimeout(5)
        assert everything(connection).startswith(b"HTTP/1.1 401 ")


def test_without_a_key_a_body_that_is_no_http_is_not_parsed(server):
    port = port_of(server)
    with connected(port) as connection:
        connection.sendall(head(port, "POST /api/v0/namespaces/", CHUNKED) + b"no chunk\r\n" * 1000)
        assert everything(connection).startswith(b"HTTP/1.1 401 ")


def test_who_sends_a_body_that_is_refused_hears_why(server):
    port = port_of(server)
    for body in (SMALL_CHUNK * 500_000 + b"0\r\n\r\n", b"10000\r\n" + bytes(65536) + b"\r\n"):
        with connected(port) as connection:
            connection.sendall(head(port, "POST /api/v0/namespaces/", CHUNKED) + body)
            assert everything(connection).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["/page/main.js", "/api/v0/namespaces/", "/api/v0/instance/", "/nowhere"])
def test_a_connection_without_a_key_is_closed_after_a_refusal(server, path):
    port = port_of(server)
    with connected(port) as connection:
        connection.sendall(head(port, f"GET {path}"))
        assert b"\r\nconnection: close\r\n" in everything(connection).lower()


def test_a_connection_with_a_key_is_kept_and_one_that_is_about_to_show_one(server):
    """A browser that opens the page, or a client that asks for the proof."""
    port = port_of(server)
    with connected(port) as connection:
        for path in ("/", "/api/v0/instance/?nonce=x", "/api/v0/session/"):
            connection.sendall(head(port, f"GET {path}"))
            assert answered(connection).startswith(b"HTTP/1.1 200 ")
        for _ in range(3):
            connection.sendall(head(port, "GET /api/v0/namespaces/", AUTHORIZATION))
            assert answered(connection).startswith(b"HTTP/1.1 200 ")


def test_a_body_in_small_chunks_is_refused_with_a_key_too_and_in_others_read(server):
    port = port_of(server)
    for chunks, status in [
        (SMALL_CHUNK * 1000, b"400 "),  # read, and no JSON
        (b"1000\r\n" + b" " * 4096 + b"\r\n", b"400 "),
        ((b"200\r\n" + b" " * 512 + b"\r\n") * 4096, b"400 "),
    ]:
        with connected(port) as connection:
            form = "Content-Type: application/json\r\n"
            connection.sendall(head(port, "POST /api/v0/team/projects/", AUTHORIZATION, CHUNKED, form))
            connection.sendall(chunks + b"0\r\n\r\n")
            start = answered(connection)
            assert start.split(b" ", 1)[1].startswith(status)
            assert b"application/json" in start
    with connected(port) as connection:
        connection.sendall(head(port, "POST /api/v0/team/projects/", AUTHORIZATION, CHUNKED) + SMALL_CHUNK * 500_000)
        answer = everything(connection)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"Invalid HTTP request received." in answer


def test_seven_hundred_idle_connections_without_a_key_take_no_place_of_others(server):
    """Above 512 connections everybody used to be answered 503."""
    port = port_of(server)
    with ExitStack() as idle, connected(port) as kept:
        kept.sendall(head(port, "GET /api/v0/namespaces/", AUTHORIZATION))
        assert answered(kept).startswith(b"HTTP/1.1 200 ")
        for _ in range(700):
            idle.enter_context(connected(port)).sendall(b"G")
        assert server.ask("GET", "/namespaces/").status_code == 200
        with connected(port) as late:
            late.sendall(head(port, "GET /api/v0/namespaces/", AUTHORIZATION))
            assert answered(late).startswith(b"HTTP/1.1 200 ")
        kept.sendall(head(port, "GET /api/v0/namespaces/", AUTHORIZATION))
        assert answered(kept).startswith(b"HTTP/1.1 200 ")


@pytest.mark.skipif(not hasattr(socket, "TCP_DEFER_ACCEPT"), reason="the kernel accepts connections that say nothing")
def test_who_says_nothing_is_not_accepted(server):
    port, descriptors = port_of(server), Path(f"/proc/{server.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    with ExitStack() as silent, connected(port) as speaking:
        for _ in range(200):
            silent.enter_context(connected(port))
        speaking.sendall(head(port, "GET /api/v0/namespaces/", AUTHORIZATION))
        assert answered(speaking).startswith(b"HTTP/1.1 200 ")
        assert len(list(descriptors.iterdir())) < before + 100


def test_what_anyone_can_send_leaves_nothing_in_the_log(tmp_path):
    with ServerProcess(tmp_path) as server:
        port = port_of(server)
        for sent in (
            b"nonsense\r\n\r\n",
            head(port, "GET /", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
            head(port, "POST /api/v0/namespaces/", CHUNKED) + SMALL_CHUNK,
        ):
            with connected(port) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                everything(connection)
        assert server.end() == (0, "")


def test_the_limit_on_descriptors_is_raised_as_far_as_connections_need_it(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())  # by other tests in this process
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 100, hard))
    try:
        with ServerProcess(tmp_path) as server:
            limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
    assert int(line.split()[3]) == min(hard, 10_752)


def test_without_descriptors_new_connections_wait_and_old_ones_are_served(tmp_path):
    with ServerProcess(tmp_path) as server, connected(port_of(server)) as kept, ExitStack() as others:
        port, pid = port_of(server), server.process.pid
        ask = head(port, "GET /api/v0/namespaces/", AUTHORIZATION)
        kept.sendall(ask)
        assert answered(kept).startswith(b"HTTP/1.1 200 ")
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        limits = resource.prlimit(
            pid, resource.RLIMIT_NOFILE, (used + 2, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )
        waiting = [others.enter_context(connected(port)) for _ in range(10)]
        for connection in waiting:
            connection.sendall(ask[:1])
        errors = server.process.stderr
        assert errors is not None
        assert errors.readline() == "steplog serve: new connections wait: Too many open files; this is said once\n"
        kept.sendall(ask)
        assert answered(kept).startswith(b"HTTP/1.1 200 ")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        for connection in waiting:
            connection.sendall(ask[1:])
        assert {answered(connection)[:13] for connection in waiting} == {b"HTTP/1.1 200 "}
        assert server.end() == (0, "")


class Application:
    """Answers at once, or for ``/wait`` once it is told to; a key is shown by ``/key`` and ``/wait``."""

    def __init__(self) -> None:
        self.waiting = 0
        self.go_on = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] in ("/key", "/wait"):
            scope["state"][CONNECTION].show_key()
        if scope["path"] == "/wait":
            self.waiting += 1
            await asyncio.to_thread(self.go_on.wait, DEADLINE_S)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def serving(application: Callable[..., Any], places: Places[Any], **limits: float) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    protocol = limited_protocol(places, **limits)
    server = uvicorn.Server(uvicorn.Config(application, http=protocol, lifespan="off", log_config=None))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)


def test_when_places_run_short_the_idle_go_and_requests_are_finished():
    places: Places[Any] = Places(4, 2)
    application = Application()
    with serving(application, places) as port, ExitStack() as stack:
        working = stack.enter_context(connected(port))
        working.sendall(head(port, "GET /wait"))
        wait_until(lambda: application.waiting)
        first, second = idle = [stack.enter_context(connected(port)) for _ in range(2)]
        for connection in idle:
            connection.sendall(head(port, "GET /key"))
            answered(connection)
        for number, gone in enumerate((None, first, second)):
            new = stack.enter_context(connected(port))
            new.sendall(head(port, "GET /wait"))
            wait_until(lambda number=number: application.waiting == number + 2)
            assert gone is None or everything_or_reset(gone) == b""
        assert len(places) == 4
        assert everything(stack.enter_context(connected(port))).startswith(b"HTTP/1.1 503 ")
        application.go_on.set()
        assert answered(working).startswith(b"HTTP/1.1 200 ")
    wait_until(lambda: len(places) == 0)


def test_an_answer_before_the_body_lingers_no_longer_than_its_limits():
    with serving(Application(), Places(9, 9), linger_s=0.2) as port, connected(port) as connection:
        connection.sendall(head(port, "POST /", CHUNKED))
        assert everything_or_reset(connection).startswith(b"HTTP/1.1 200 ")
    with serving(Application(), Places(9, 9), linger_s=DEADLINE_S) as port, connected(port) as connection:
        connection.sendall(head(port, "POST /", f"Content-Length: {100 * MIB}\r\n"))
        # 8 MiB are discarded, and the kernel holds some.
        assert 8 * MIB < sent_before_the_end(connection) < 24 * MIB


def test_a_connection_that_is_reset_before_it_lingers_is_closed(monkeypatch, caplog):
    """The end of writing used to raise, with a traceback in the log."""

    def fail(_: Any) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr("asyncio.selector_events._SelectorSocketTransport.write_eof", fail)
    places: Places[Any] = Places(9, 9)
    with serving(Application(), places, linger_s=DEADLINE_S) as port, connected(port) as connection:
        connection.sendall(head(port, "POST /", CHUNKED))
        everything_or_reset(connection)
        wait_until(lambda: len(places) == 0)
    assert not caplog.records


def sent_before_the_end(connection: socket.socket) -> int:
    sent = 0
    try:
        while True:
            sent += connection.send(bytes(65536))
    except (ConnectionResetError, BrokenPipeError):
        return sent


def everything_or_reset(connection: socket.socket) -> bytes:
    got = b""
    try:
        while data := connection.recv(65536):
            got += data
    except ConnectionResetError:
        pass
    return got
