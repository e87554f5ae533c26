"""The transport's connections: kept, shared by threads, repeated where it does no harm, left alone after a fork."""

from __future__ import annotations

import os
import re
import socket
import threading

import pytest

from steplog.delivery.exchange import Request
from steplog.errors import ServerUnavailableError
from steplog.network.transport import HTTPTransport
from steplog.secret import Secret
from steplog.testing import HostileServer, Peer, answer

GET = Request("GET", "/x/")
POST = Request("POST", "/x/", b"{}", {"Content-Type": "application/json"})
RANGE = Request("POST", "/x/", b"\x80", {"Content-Type": "application/msgpack"})
KEYED = Request("POST", "/x/", b"{}", {"Idempotency-Key": '"a"'})
PATCH = Request("PATCH", "/x/", b"{}")
PART = Request("PUT", "/x", b"x" * 8 * 1024 * 1024, {"Content-Range": "bytes 0-8388607/8388608"})
DELETE = Request("DELETE", "/x/")


def transport_to(url: str) -> HTTPTransport:
    return HTTPTransport(url, lambda: None)


def ok(peer: Peer) -> None:
    while True:
        peer.request()
        peer.send(answer(200, b'{"ok":true}'))


def test_exchanges_one_after_the_other_share_a_connection():
    with HostileServer(ok) as server:
        transport = transport_to(server.url)
        for _ in range(5):
            assert transport.exchange(POST, 5).body == b'{"ok":true}'
        assert server.connections == 1
        transport.close()


def test_threads_share_a_transport_that_keeps_no_more_connections_than_asked_for():
    with HostileServer(ok) as server:
        transport = HTTPTransport(server.url, lambda: None, connections_max=2)
        together = threading.Barrier(6)
        bodies: list[bytes] = []

        def run() -> None:
            together.wait(10)
            bodies.extend(transport.exchange(GET, 10).body for _ in range(20))

        threads = [threading.Thread(target=run) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert bodies == [b'{"ok":true}'] * 120
        transport.close()


def test_a_request_leaves_in_one_piece():
    """Its head and its body were two, and a server woke up twice."""
    extents: list[bytes] = []

    def first(peer: Peer) -> None:
        while True:
            extents.append(peer.socket.recv(65536))
            peer.send(answer(200))

    with HostileServer(first) as server:
        transport = transport_to(server.url)
        for _ in range(3):
            transport.exchange(POST, 5)
        assert [extent.endswith(b"\r\n\r\n{}") for extent in extents] == [True] * 3
        transport.close()


def test_requests_of_one_kind_share_nothing_that_differs():
    bodies, keys = (
        [b"{}", b'{"longer": 1}', b""],
        iter(("a-first-key-01234567", "a-second-key-0123456", "a-third-key-01234567")),
    )
    heads: list[bytes] = []

    def keep(peer: Peer) -> None:
        while True:
            heads.append(peer.request())
            peer.send(answer(200))

    with HostileServer(keep) as server:
        transport = HTTPTransport(server.url, lambda: Secret(next(keys)))
        for body in bodies:
            transport.exchange(Request("POST", "/x/", body, {"Content-Type": "application/json"}), 5)
        transport.close()
    lengths = [re.findall(rb"(?i)content-length: (\d+)", head) for head in heads]
    assert lengths == [[b"2"], [b"13"], [b"0"]]
    assert [re.findall(rb"a-\w+-key", head) for head in heads] == [
        [b"a-first-key"],
        [b"a-second-key"],
        [b"a-third-key"],
    ]


@pytest.mark.parametrize("headers", [{"X-Mark": "1\r\nX-Evil: 1"}, {"X-Mark": "\n"}, {"X\r\nY": "1"}, {"X-Mark": "”"}])
def test_a_header_cannot_bring_another_one_with_it(headers):
    with HostileServer(ok) as server:
        transport = transport_to(server.url)
        with pytest.raises(ServerUnavailableError, match="failed"):
            transport.exchange(Request("POST", "/x/", b"{}", headers), 5)
        with pytest.raises(ServerUnavailableError, match="failed"):
            HTTPTransport(server.url, lambda: Secret("a-key\r\nX-Evil: 1")).exchange(GET, 5)
        assert server.connections == 0
        transport.close()


def test_a_header_is_sent_once_however_it_is_spelled():
    with HostileServer(ok) as server:
        transport = HTTPTransport(server.url, lambda: Secret("the-key"))
        given = {"USER-agent": "mine", "authorization": "none", "content-length": "7", "Transfer-Encoding": "chunked"}
        transport.exchange(Request("POST", "/a b/é?c=d#e", b"{}", given), 5)
        transport.close()
    first, *lines = server.requests[0].split(b"\r\n\r\n")[0].split(b"\r\n")
    assert first == b"POST /a%20b/%C3%A9?c=d HTTP/1.1"
    assert sorted(lines) == [
        b"Accept-Encoding: identity",
        b"Accept: */*",
        b"Authorization: Api-Key the-key",
        b"Content-Length: 2",
        f"Host: 127.0.0.1:{server.port}".encode(),
        b"USER-agent: mine",
    ]


def test_an_answer_that_comes_before_the_request_is_read_is_taken():
    def too_large(peer: Peer) -> None:
        peer.socket.recv(1024)
        peer.send(answer(413, b"{}"))

    with HostileServer(too_large) as server:
        transport = transport_to(server.url)
        assert transport.exchange(Request("POST", "/x/", bytes(32 * 1024 * 1024)), 5).status == 413
        transport.close()


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
    ],
)
def test_the_server_says_whether_the_connection_lives_on(version, connection, kept):
    def says(peer: Peer) -> None:
        while True:
            peer.request()
            peer.send(f"HTTP/{version} 200 OK\r\n{connection}Content-Length: 2\r\n\r\n{{}}".encode())

    with HostileServer(says) as server:
        transport = transport_to(server.url)
        for _ in range(3):
            assert transport.exchange(POST, 5).body == b"{}"
        assert server.connections == (1 if kept else 3)
        transport.close()


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\ncontent-length:2\nX: a\n folded\nno header\nContent-Length: 2\n\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked \r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\nA: b\r\n\r\n",
    ],
    ids=["continue", "hints", "odd", "chunked"],
)
def test_after_an_answer_of_several_parts_the_connection_is_used_again(data):
    def parts(peer: Peer) -> None:
        while True:
            peer.request()
            peer.send(data)

    with HostileServer(parts) as server:
        transport = transport_to(server.url)
        for _ in range(3):
            got = transport.exchange(POST, 5)
            assert (got.status, got.body) == (200, b"{}")
        assert server.connections == 1
        transport.close()


class TestKeptConnection:
    """A server closes a connection that it had kept, in the moment in which the next request goes out."""

    @staticmethod
    def once(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200))
        # The next request arrives before the connection closes, so that no look beforehand can see it.
        peer.request()

    def test_one_that_the_server_has_closed_is_noticed_before_anything_is_sent(self):
        closed = threading.Event()

        def once_and_closed(peer: Peer) -> None:
            peer.request()
            peer.send(answer(200))
            peer.socket.shutdown(socket.SHUT_WR)
            closed.set()

        with HostileServer(once_and_closed) as server:
            transport = transport_to(server.url)
            for _ in range(3):
                assert transport.exchange(POST, 5).status == 200
                assert closed.wait(5)
                closed.clear()
            assert server.connections == 3
            transport.close()

    @pytest.mark.parametrize("request_", [GET, PATCH, RANGE, PART], ids=["GET", "PATCH", "range", "part"])
    def test_what_may_be_repeated_is_tried_on_a_new_one(self, request_):
        with HostileServer(self.once, ok) as server:
            transport = transport_to(server.url)
            transport.exchange(GET, 5)
            assert transport.exchange(request_, 5).status == 200
            assert server.connections == 2
            transport.close()

    @pytest.mark.parametrize("request_", [POST, KEYED, DELETE], ids=["POST", "keyed", "DELETE"])
    def test_what_may_have_been_done_already_is_not_repeated(self, request_):
        with HostileServer(self.once, ok) as server:
            transport = transport_to(server.url)
            transport.exchange(GET, 5)
            with pytest.raises(ServerUnavailableError, match="closed without an answer"):
                transport.exchange(request_, 5)
            assert (server.connections, len(server.requests)) == (1, 2)
            transport.close()

    def test_a_refusal_of_a_body_that_was_not_read_is_an_answer(self):
        """A proxy answers 413 to the head, and reads no more: the body cannot be sent to its end."""

        def refuses(peer: Peer) -> None:
            peer.socket.recv(65536)
            peer.send(answer(413, b"<html>too large</html>"))

        with HostileServer(refuses) as server:
            transport = transport_to(server.url)
            assert transport.exchange(PART, 5).status == 413
            transport.close()

    def test_the_new_one_is_none_of_the_others_that_were_kept(self):
        """They were closed in the same moment, when the server was restarted."""
        together = threading.Barrier(2)

        def once_together(peer: Peer) -> None:
            peer.request()
            together.wait(5)
            peer.send(answer(200))
            peer.request()

        with HostileServer(once_together, once_together, ok) as server:
            transport = transport_to(server.url)
            threads = [threading.Thread(target=transport.exchange, args=(GET, 5)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(5)
            assert transport.exchange(GET, 5).status == 200
            assert server.connections == 3
            transport.close()

    def test_it_is_repeated_once(self):
        with HostileServer(self.once) as server:
            transport = transport_to(server.url)
            transport.exchange(GET, 5)
            assert transport.exchange(GET, 5).status == 200
            transport.close()
        with HostileServer(self.once, lambda peer: peer.request()) as server:
            transport = transport_to(server.url)
            transport.exchange(GET, 5)
            with pytest.raises(ServerUnavailableError, match="closed without an answer"):
                transport.exchange(GET, 5)
            assert server.connections == 2
            transport.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_leaves_the_connections_of_its_parent_alone():
    with HostileServer(ok) as server:
        transport = transport_to(server.url)
        transport.exchange(GET, 5)
        child = os.fork()
        if child == 0:
            transport.abort(GET)
            os._exit(0 if transport.exchange(GET, 5).status == 200 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert transport.exchange(GET, 5).status == 200
        assert server.connections == 2
        transport.close()
