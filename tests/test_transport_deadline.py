"""The deadline bounds a whole exchange, whatever part of it the server draws out; ``abort`` ends it at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from free_threading.at_once import at_each_collection
from polling import wait_until
from steplog.delivery.exchange import Request
from steplog.errors import ServerUnavailableError
from steplog.network.deadline import AbortedError, Exchange, resolve_name
from steplog.network.pool import Pool
from steplog.network.transport import HTTPTransport
from steplog.testing import HostileServer, Peer, answer

TIMEOUT_S = 0.6
SPARE_S = 0.5
GET = Request("GET", "/x/")
POST = Request("POST", "/x/", b"{}")
# More than the buffers of two sockets hold, and no more: it is copied before the connection is made, in the same time.
LARGE = Request("POST", "/x/", bytes(16 * 1024 * 1024))


def transport_to(url: str, connect_timeout_s: float = 10.0) -> HTTPTransport:
    return HTTPTransport(url, lambda: None, connect_timeout_s=connect_timeout_s, allow_http=True)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds + SPARE_S


def head_drip(peer: Peer) -> None:
    peer.request()
    peer.drip(answer(200, b"{}"), 0.1)


def body_drip(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    peer.drip(b"x" * 1000, 0.1)


def chunk_drip(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer.drip(b"1\r\nx\r\n" * 1000, 0.05)


def endless_continue(peer: Peer) -> None:
    peer.request()
    while not peer.stopped.wait(0.005):
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")


def endless_hints(peer: Peer) -> None:
    peer.request()
    while not peer.stopped.wait(0.005):
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")


def endless_trailers(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    while not peer.stopped.wait(0.005):
        peer.send(b"A: b\r\n")


def silence(peer: Peer) -> None:
    peer.request()
    peer.hold()


SLOW = [head_drip, body_drip, chunk_drip, endless_continue, endless_hints, endless_trailers, silence]


@pytest.mark.slow
@pytest.mark.parametrize("script", SLOW)
def test_a_server_that_draws_out_its_answer_is_left_at_the_deadline(script):
    with HostileServer(script) as server:
        transport = transport_to(server.url)
        with at_most(TIMEOUT_S), pytest.raises(ServerUnavailableError, match=r"timed out after 0\.6 s$"):
            transport.exchange(GET, TIMEOUT_S)
        transport.close()


def test_a_server_that_does_not_read_a_large_body_is_left_at_the_deadline():
    with HostileServer(lambda peer: peer.hold()) as server:
        transport = transport_to(server.url)
        with at_most(TIMEOUT_S), pytest.raises(ServerUnavailableError, match="timed out"):
            transport.exchange(LARGE, TIMEOUT_S)
        transport.close()


def test_a_server_that_reads_a_little_at_a_time_is_left_at_the_deadline():
    def sip(peer: Peer) -> None:
        while not peer.stopped.wait(0.05):
            peer.socket.recv(1024)

    with HostileServer(sip) as server:
        transport = transport_to(server.url)
        with at_most(TIMEOUT_S), pytest.raises(ServerUnavailableError, match="timed out"):
            transport.exchange(LARGE, TIMEOUT_S)
        transport.close()


def test_what_the_upload_took_is_not_left_for_the_answer():
    def late(peer: Peer) -> None:
        peer.stopped.wait(0.8)
        while peer.socket.recv(1024 * 1024):
            pass

    with HostileServer(late) as server:
        transport = transport_to(server.url)
        with at_most(1.0), pytest.raises(ServerUnavailableError, match="timed out after 1 s"):
            transport.exchange(LARGE, 1.0)
        transport.close()


def test_a_repetition_on_a_new_connection_ends_at_the_same_deadline():
    def closes_late(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200))
        peer.request()
        peer.stopped.wait(TIMEOUT_S / 2)

    with HostileServer(closes_late, silence) as server:
        transport = transport_to(server.url)
        transport.exchange(GET, 5)
        with at_most(TIMEOUT_S), pytest.raises(ServerUnavailableError, match="timed out"):
            transport.exchange(GET, TIMEOUT_S)
        assert server.connections == 2
        transport.close()


def test_the_deadline_of_one_exchange_is_not_left_on_the_connection_for_the_next():
    def slow_second(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200))
        peer.request()
        peer.stopped.wait(0.4)
        peer.send(answer(200))

    with HostileServer(slow_second) as server:
        transport = transport_to(server.url)
        assert transport.exchange(GET, 0.2).status == 200
        assert transport.exchange(GET, 5).status == 200
        assert server.connections == 1
        transport.close()


@contextmanager
def black_hole() -> Iterator[int]:
    """The port of a listener whose queue is full: it swallows what comes, as an address behind a firewall does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            waiting.append(filler)
        yield listener.getsockname()[1]
        for filler in waiting:
            filler.close()


def test_a_connection_that_is_swallowed_is_left_at_the_deadline_of_connecting():
    with black_hole() as port:
        transport = transport_to(f"http://127.0.0.1:{port}", connect_timeout_s=0.4)
        with at_most(0.4), pytest.raises(ServerUnavailableError, match=r"no connection within 0\.4 s$"):
            transport.exchange(GET, 30)


def test_connecting_takes_no_longer_than_the_exchange_whatever_its_own_deadline():
    with black_hole() as port:
        transport = transport_to(f"http://127.0.0.1:{port}", connect_timeout_s=5.0)
        with at_most(0.4), pytest.raises(ServerUnavailableError, match=r"no connection within 0\.4 s$"):
            transport.exchange(GET, 0.4)


class TestName:
    """Names, resolved by a function of the standard library that nothing can interrupt."""

    def test_a_resolver_that_hangs_is_left_at_the_deadline_and_holds_only_one_thread(self, monkeypatch):
        release = threading.Event()
        calls = []

        def hang(host, *arguments, **options):
            if options.get("flags"):
                raise socket.gaierror(socket.EAI_NONAME, "not numeric")
            calls.append(host)
            release.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "try again")

        monkeypatch.setattr(socket, "getaddrinfo", hang)
        transport = transport_to("http://a-hanging-name.example", connect_timeout_s=0.3)
        for _ in range(3):
            with at_most(0.3), pytest.raises(ServerUnavailableError, match=r"no connection within 0\.3 s$"):
                transport.exchange(GET, 30)
        assert calls == ["a-hanging-name.example"]
        release.set()
        join("steplog-resolve")

    def test_a_name_that_does_not_resolve_says_so(self, monkeypatch):
        def unknown(*arguments, **options):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(ServerUnavailableError, match=r"name does not resolve$"):
            transport_to("http://no-such-name.example").exchange(GET, 5)

    def test_where_no_thread_can_be_started_the_name_is_resolved_all_the_same(self, monkeypatch):
        start = threading.Thread.start

        def refused(thread):
            if thread.name == "steplog-resolve":
                raise RuntimeError("can't create new thread at interpreter shutdown")
            start(thread)

        with HostileServer(lambda peer: (peer.request(), peer.send(answer(200)))) as server:
            monkeypatch.setattr(threading.Thread, "start", refused)
            transport = transport_to(f"http://localhost:{server.port}")
            assert transport.exchange(GET, 5).status == 200
            monkeypatch.undo()
            transport.close()

    def test_a_lookup_that_ctrl_c_ended_before_its_thread_began_is_begun_anew(self, monkeypatch):
        """Until the end of the process each exchange with that server waited for it, and had no connection."""

        def interrupted(thread):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                resolve_name("localhost", 80, Exchange(5, 5, 0))
        with at_most(1):
            assert resolve_name("localhost", 80, Exchange(5, 5, 0))

    def test_a_lookup_that_runs_out_of_memory_is_over(self, monkeypatch):
        def exhausted(*arguments, **options):
            raise OSError if options.get("flags") else MemoryError

        with monkeypatch.context() as patched:
            patched.setattr(socket, "getaddrinfo", exhausted)
            with at_most(1), pytest.raises(socket.gaierror, match="MemoryError"):
                resolve_name("localhost", 80, Exchange(5, 5, 0))
        assert resolve_name("localhost", 80, Exchange(5, 5, 0))

    def test_an_address_that_swallows_leaves_time_for_the_next(self, monkeypatch):
        with black_hole() as port, HostileServer(lambda peer: (peer.request(), peer.send(answer(200)))) as server:
            first, second = (
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", at)) for at in (port, server.port)
            )
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [first, second])
            transport = transport_to("http://two-addresses.example", connect_timeout_s=1.0)
            with at_most(0.6):
                assert transport.exchange(GET, 5).status == 200
            transport.close()


def join(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(5)


def aborted(transport: HTTPTransport, request: Request, ready: Callable[[], bool]) -> str:
    """What an exchange in another thread ends with, when it is aborted once ``ready``."""
    ends: list[str] = []

    def run() -> None:
        try:
            transport.exchange(request, 30)
        except ServerUnavailableError as error:
            ends.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(ready, 5)
    with at_most(0.1):
        transport.abort(Request("GET", request.path))
        assert not ends
        transport.abort(request)
        thread.join(5)
    (end,) = ends
    return end


class TestAbort:
    @pytest.mark.parametrize("script", SLOW)
    def test_an_exchange_is_ended_from_another_thread_at_once(self, script):
        with HostileServer(script) as server:
            transport = transport_to(server.url)
            assert aborted(transport, GET, lambda: bool(server.requests)).endswith("ended before the answer came")
            transport.close()

    def test_also_over_a_connection_that_was_used_before(self):
        def once(peer: Peer) -> None:
            peer.request()
            peer.send(answer(200))
            silence(peer)

        with HostileServer(once) as server:
            transport = transport_to(server.url)
            assert transport.exchange(GET, 5).status == 200
            assert "ended" in aborted(transport, POST, lambda: len(server.requests) == 2)
            assert server.connections == 1
            transport.close()

    def test_a_connection_is_left_alone_once_the_exchange_has_let_it_go(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            exchange = Exchange(5, 5, 0)
            exchange.attach(ours)
            exchange.detach()
            exchange.abort()
            ours.sendall(b"a")
            assert theirs.recv(1) == b"a"
            with pytest.raises(AbortedError):
                exchange.attach(ours)
            exchange.abort()
            with pytest.raises(BrokenPipeError):
                ours.sendall(b"b")

    def test_others_may_begin_and_end_meanwhile(self):
        """A collection in the middle let them in: finish(), which aborts what holds it up, raised RuntimeError."""
        transport = transport_to("http://127.0.0.1:1")
        live = transport._pool().live
        for _ in range(20):
            live[Exchange(5, 5, 0)] = Request("GET", "/other/")
        own = Exchange(5, 5, 0)
        live[own] = GET

        with at_each_collection(lambda: live.update({Exchange(5, 5, 0): POST})):
            transport.abort(GET)
        assert own.aborted

    def test_one_that_is_over_cannot_end_the_next_over_its_connection(self):
        def twice(peer: Peer) -> None:
            for _ in range(2):
                peer.request()
                peer.send(answer(200))

        with HostileServer(twice) as server:
            pool = Pool(server.url, 1)
            over = Exchange(5, 5, 0)
            assert pool.exchange(GET, None, over).status == 200
            over.abort()
            assert pool.exchange(POST, None, Exchange(5, 5, 0)).status == 200
            assert server.connections == 1
            pool.close()

    def test_also_while_it_sends(self):
        with HostileServer(lambda peer: peer.hold()) as server:
            transport = transport_to(server.url)
            assert "ended" in aborted(transport, LARGE, lambda: server.connections == 1)
            transport.close()

    def test_also_while_it_connects(self):
        with black_hole() as port:
            transport = transport_to(f"http://127.0.0.1:{port}")
            begun = time.monotonic()
            assert "ended" in aborted(transport, GET, lambda: time.monotonic() - begun > 0.1)

    def test_also_while_it_resolves(self, monkeypatch):
        release, called = threading.Event(), threading.Event()

        def hang(*arguments, **options):
            if options.get("flags"):
                raise socket.gaierror(socket.EAI_NONAME, "not numeric")
            called.set()
            release.wait(20)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", hang)
        assert "ended" in aborted(transport_to("http://another-hanging-name.example"), GET, called.is_set)
        release.set()
        join("steplog-resolve")

    def test_the_next_exchange_is_not_touched(self):
        with HostileServer(silence, lambda peer: (peer.request(), peer.send(answer(200)))) as server:
            transport = transport_to(server.url)
            aborted(transport, GET, lambda: bool(server.requests))
            assert transport.exchange(GET, 5).status == 200
            transport.close()
