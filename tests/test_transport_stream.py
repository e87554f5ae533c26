"""A stream: an answer of any length, read piece by piece, with a deadline for each read."""

from __future__ import annotations

import gc
import json
import random
import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from polling import wait_until
from steplog.client import TellurioClient
from steplog.delivery.exchange import ANSWER_BYTES_MAX, Request
from steplog.errors import ServerUnavailableError
from steplog.network.stream import Stream, masked
from steplog.network.transport import HTTPTransport
from steplog.secret import Secret
from steplog.testing import HostileServer, Peer, answer
from test_transport_secrets import CANARY, shown

GET = Request("GET", "/x/")
BODY = random.Random(7).randbytes(3_000_000)
CHUNKED = {"Transfer-Encoding": "chunked"}


def transport_to(url: str) -> HTTPTransport:
    return HTTPTransport(url, lambda: None)


def in_chunks(body: bytes, size: int) -> bytes:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def sends(data: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        while True:
            peer.request()
            peer.send(data)

    return script


WHOLE = {
    "length": answer(200, BODY),
    "chunks": answer(200, in_chunks(BODY, 70_000), CHUNKED),
}


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_a_body_beyond_any_limit_comes_whole_and_its_connection_is_kept(data):
    with HostileServer(sends(data)) as server:
        transport = transport_to(server.url)
        for _ in range(2):
            with transport.stream(GET, 5, 5) as stream:
                assert (stream.status, stream.headers["content-type"]) == (200, "application/json")
                pieces = list(stream)
            assert b"".join(pieces) == BODY
            assert max(map(len, pieces)) <= 256 * 1024
        assert transport.exchange(GET, 5).status == 200
        assert server.connections == 1
        transport.close()


def test_a_body_that_ends_with_its_connection_comes_whole():
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY)

    with HostileServer(script) as server:
        transport = transport_to(server.url)
        assert b"".join(transport.stream(GET, 5, 5)) == BODY
        transport.close()


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("cut", [6, 8, 100_000])
def test_a_body_that_is_cut_raises_after_what_has_come(data, cut):
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(data[:-cut])

    with HostileServer(script) as server:
        transport = transport_to(server.url)
        received: list[bytes] = []
        stream = transport.stream(GET, 5, 5)
        with pytest.raises(ServerUnavailableError, match="answer cut short"):
            received.extend(stream)
        assert received
        assert BODY.startswith(b"".join(received))
        assert list(stream) == []
        transport.close()


def test_a_server_that_stalls_in_the_middle_is_left_after_the_time_of_a_read():
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(WHOLE["length"][:100_000])
        peer.hold()

    with HostileServer(script) as server:
        transport = transport_to(server.url)
        stream = transport.stream(GET, 60, 0.2)
        with pytest.raises(ServerUnavailableError, match=r"timed out after 0\.2 s"):
            list(stream)
        transport.close()


def test_a_body_may_take_longer_than_any_one_read():
    def script(peer: Peer) -> None:
        peer.request()
        peer.drip(answer(200, b"abcdefgh"), interval_s=0.02)

    with HostileServer(script) as server:
        transport = transport_to(server.url)
        stream = transport.stream(GET, 30, 0.5)
        assert b"".join(stream) == b"abcdefgh"
        transport.close()


def test_a_reader_that_takes_its_time_has_the_whole_time_for_its_next_read():
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200, in_chunks(b"a", 1), CHUNKED)[:-5])
        assert go.wait(10)
        peer.send(in_chunks(b"b", 1))

    with HostileServer(script) as server:
        transport = transport_to(server.url)
        stream = transport.stream(GET, 5, 0.3)
        assert next(stream) == b"a"
        assert not go.wait(0.4)  # longer than a read may take
        go.set()
        assert list(stream) == [b"b"]
        transport.close()


@pytest.mark.parametrize("dropped", [False, True], ids=["closed", "dropped"])
def test_a_stream_that_is_left_early_closes_its_connection(dropped):
    ended = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        try:
            while True:
                peer.send(WHOLE["length"][:100_000])
        except OSError:
            ended.set()

    with HostileServer(script) as server:
        transport = transport_to(server.url)
        stream = transport.stream(GET, 5, 5)
        assert next(stream)
        if dropped:
            del stream
            gc.collect()
        else:
            stream.close()
            with pytest.raises(ValueError, match="the stream is closed"):
                next(stream)
        assert ended.wait(5)
        transport.close()


def test_a_stream_is_ended_from_another_thread_at_once():
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200, BODY)[:5000])
        peer.hold()

    with HostileServer(script) as server:
        transport = transport_to(server.url)
        stream = transport.stream(GET, 30, 30)
        ends: list[str] = []

        def read() -> None:
            with pytest.raises(ServerUnavailableError) as raised:
                list(stream)
            ends.append(str(raised.value))

        thread = threading.Thread(target=read)
        thread.start()
        transport.abort(GET)
        thread.join(5)
        assert ends == [f"{server.url}: ended before the answer came"]
        transport.close()


def test_an_idle_connection_that_the_server_has_closed_is_replaced():
    def once(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200, b"{}"))
        peer.request()  # and closes without an answer

    with HostileServer(once) as server:
        transport = transport_to(server.url)
        assert transport.exchange(GET, 5).status == 200
        assert b"".join(transport.stream(GET, 5, 5)) == b"{}"
        assert server.connections == 2
        transport.close()


def test_a_refusal_is_read_as_a_whole_answer_of_bounded_length():
    with HostileServer(sends(answer(404, b'{"detail": "Not found."}'))) as server:
        transport = transport_to(server.url)
        response = transport.stream(GET, 5, 5).response()
        assert (response.status, response.json(), response.whole) == (404, {"detail": "Not found."}, True)
        transport.close()
    with HostileServer(sends(answer(500, BODY))) as server:
        transport = transport_to(server.url)
        response = transport.stream(GET, 5, 5).response()
        assert (response.body, response.whole) == (BODY[:ANSWER_BYTES_MAX], False)
        transport.close()


@pytest.mark.parametrize("size", [1, 7, 70_000])
def test_a_key_that_the_server_repeats_is_masked_wherever_pieces_end(size):
    body = b"x" * 50 + CANARY.encode() + b"y" * 100 + CANARY.encode() * 2 + b"z"
    with HostileServer(sends(answer(200, in_chunks(body, size), CHUNKED | {"X-Key": CANARY}))) as server:
        transport = HTTPTransport(server.url, lambda: Secret(CANARY))
        stream = transport.stream(GET, 5, 5)
        assert stream.headers["x-key"] == "***"
        assert b"".join(stream) == body.replace(CANARY.encode(), b"*" * len(CANARY))
        transport.close()


def test_no_failure_of_a_stream_shows_the_key():
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200, (CANARY.encode() + b"-") * 50_000)[:500_000])

    with HostileServer(script) as server:
        transport = HTTPTransport(server.url, lambda: Secret(CANARY))
        with pytest.raises(ServerUnavailableError) as raised:
            list(transport.stream(GET, 5, 5))
        assert CANARY not in shown(raised.value)
        transport.close()


def test_what_came_before_a_cut_is_given_out():
    """Also the piece that was held back, since the key may go on in the next."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200, b"x" * 1000)[:-300])

    with HostileServer(script) as server:
        transport = HTTPTransport(server.url, lambda: Secret(CANARY))
        stream = transport.stream(GET, 5, 5)
        received: list[bytes] = []
        with pytest.raises(ServerUnavailableError, match="answer cut short"):
            received.extend(stream)
        assert b"".join(received) == b"x" * 700
        transport.close()


def test_masking_changes_nothing_but_the_secret_however_the_text_is_cut():
    source = random.Random(11)
    secret = Secret("abcab")
    for _ in range(400):
        text = "".join(source.choices(["a", "b", "c", "abcab", "xyz" * 4], k=source.randrange(30))).encode()
        ends = sorted(source.randrange(len(text) + 1) for _ in range(source.randrange(8)))
        pieces = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True) if end > start]
        found = b"".join(masked(iter(pieces), secret, 4))
        assert len(found) == len(text)
        assert b"abcab" not in found
        assert all(now in (before, ord("*")) for before, now in zip(text, found, strict=True))
        if b"abcab" not in text:
            assert found == text


def test_a_client_streams_what_its_own_get_returns(monkeypatch):
    monkeypatch.setenv("STEPLOG_API_KEY", CANARY)
    with TellurioClient("http://127.0.0.1:9") as client:
        asked: list[str] = []
        got = SimpleNamespace(status_code=200, headers={"X-A": "b"}, content=json.dumps([1, 2]).encode())
        vars(client)["get"] = lambda path: asked.append(path) or got
        with client.stream("GET", "/x/") as stream:
            assert (stream.status, dict(stream.headers), b"".join(stream)) == (200, {"x-a": "b"}, b"[1, 2]")
        assert asked == ["/x/"]


def test_a_client_streams_with_its_key_and_the_headers_that_are_given(monkeypatch):
    monkeypatch.setenv("STEPLOG_API_KEY", CANARY)
    with HostileServer(sends(answer(200, BODY))) as server, TellurioClient(server.url) as client:
        with client.stream("GET", "/x/?a=b", headers={"Accept": "text/csv"}) as stream:
            assert isinstance(stream, Stream)
            assert b"".join(stream) == BODY
        (asked,) = server.requests
        assert asked.startswith(b"GET /x/?a=b HTTP/1.1\r\n")
        assert f"Authorization: Api-Key {CANARY}".encode() in asked
        assert b"Accept: text/csv\r\n" in asked
        wait_until(lambda: server.connections == 1, 5)
