"""The transport: one exchange as values, whatever the server does with it."""

from __future__ import annotations

import contextlib
import json
import pickle
import random

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from steplog.delivery.exchange import ANSWER_BYTES_MAX, Request
from steplog.errors import ConfigurationError, ServerUnavailableError
from steplog.network.transport import HTTPTransport
from steplog.secret import Secret
from steplog.testing import HostileServer, Peer, answer

GET = Request("GET", "/x/")
POST = Request("POST", "/x/", b"{}", {"Content-Type": "application/json"})


def transport_to(url: str) -> HTTPTransport:
    return HTTPTransport(url, lambda: Secret("a-key"))


def ok(peer: Peer) -> None:
    while True:
        peer.request()
        peer.send(answer(200, b'{"ok":true}'))


def sends(data: bytes):
    """A script that answers so and closes the connection."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(data)

    return script


def failure(script, request: Request = GET, timeout_s: float = 5.0) -> str:
    """The reason, without the address, of an exchange that fails."""
    with HostileServer(script) as server:
        transport = transport_to(server.url)
        with pytest.raises(ServerUnavailableError) as raised:
            transport.exchange(request, timeout_s)
        address, reason = str(raised.value).split(": ", 1)
        assert address == server.url
        transport.close()
    return reason


def test_an_exchange_sends_what_was_asked_and_returns_the_whole_answer(httpserver: HTTPServer):
    httpserver.expect_request("/base/x/", method="POST", data=b"abc").respond_with_response(
        Response(b"body", status=201, headers={"X-Mark": "1", "Retry-After": "7"})
    )
    transport = transport_to(httpserver.url_for("/base/"))
    got = transport.exchange(Request("POST", "/x/", b"abc", {"Content-Encoding": "deflate"}), 5)
    assert (got.status, got.body) == (201, b"body")
    assert (got.headers["x-mark"], got.headers["retry-after"]) == ("1", "7")
    sent = httpserver.log[0][0].headers
    assert sent["Authorization"] == "Api-Key a-key"
    assert sent["Accept-Encoding"] == "identity"
    assert sent["Content-Encoding"] == "deflate"
    assert sent["Content-Length"] == "3"
    transport.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(status):
    with HostileServer(ok) as other:
        location = {"Location": f"{other.url}/elsewhere", "Content-Encoding": "gzip"}
        with HostileServer(sends(answer(status, b"not gzip", location))) as server:
            transport = transport_to(server.url)
            got = transport.exchange(POST, 5)
            assert (got.status, got.headers["location"]) == (status, f"{other.url}/elsewhere")
            assert got.body == b"not gzip"
            transport.close()
        assert other.connections == 0


def test_a_compressed_bomb_is_not_inflated_and_read_only_to_the_limit():
    bomb = b"\x1f\x8b" + bytes(300 * 1024)
    with HostileServer(sends(answer(200, bomb, {"Content-Encoding": "gzip"}))) as server:
        transport = transport_to(server.url)
        got = transport.exchange(GET, 5)
        assert got.body == bomb[:ANSWER_BYTES_MAX]
        transport.close()


def test_an_answer_without_end_is_cut_at_the_limit_of_the_request():
    def endless(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 500 Oops\r\n\r\n")
        while True:
            peer.send(b"x" * 4096)

    with HostileServer(endless) as server:
        transport = transport_to(server.url)
        assert transport.exchange(GET, 5).body == b"x" * ANSWER_BYTES_MAX
        assert len(transport.exchange(Request("GET", "/", answer_bytes_max=100_000), 5).body) == 100_000
        transport.close()


def test_an_answer_of_exactly_the_limit_is_whole_and_keeps_its_connection():
    def full(peer: Peer) -> None:
        while True:
            peer.request()
            peer.send(answer(200, b"x" * ANSWER_BYTES_MAX))

    with HostileServer(full) as server:
        transport = transport_to(server.url)
        for _ in range(2):
            assert transport.exchange(GET, 5).body == b"x" * ANSWER_BYTES_MAX
        assert server.connections == 1
        transport.close()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "closed without an answer"),
        (b"HTTP/1.1 201 Crea", "answer cut short"),
        (b"HTTP/1.1 201 Created\r\nContent-Type: app", "answer cut short"),
        (answer(200, b"x" * 100)[:-1], "answer cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "answer cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", "answer cut short"),
        (b"\x00\x01garbage\r\n\r\n", "answer is not HTTP"),
        (b"HTTP/1.1 OK\r\n\r\n", "answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", "answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nabc", "answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc", "answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", "answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", "answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc", "answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc", "answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nabc", "answer is not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "answer is not HTTP"),
    ],
)
def test_an_answer_that_is_cut_or_no_http_is_none(data, reason):
    assert failure(sends(data)) == reason


def test_a_chunk_size_without_end_does_not_fill_the_memory():
    def endless(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            peer.send(b"1;" * 4096)

    assert failure(endless) in {"answer too large", "answer is not HTTP"}


@pytest.mark.parametrize("status", [b"100 Continue", b"103 Early Hints"])
def test_heads_without_end_do_not_fill_the_memory(status):
    def endless(peer: Peer) -> None:
        peer.request()
        while True:
            peer.send(b"HTTP/1.1 " + status + b"\r\nA: " + b"b" * 60_000 + b"\r\n\r\n")

    assert failure(endless) == "answer too large"


def test_an_answer_cut_at_any_byte_is_whole_or_none():
    whole = answer(200, json.dumps({"first": 1, "end": 2}).encode())
    with HostileServer(*(sends(whole[:length]) for length in range(len(whole) + 1))) as server:
        transport = transport_to(server.url)
        for length in range(len(whole) + 1):
            if length < len(whole):
                with pytest.raises(ServerUnavailableError):
                    transport.exchange(POST, 5)
            else:
                assert json.loads(transport.exchange(POST, 5).body) == {"first": 1, "end": 2}
        transport.close()


def test_whatever_bytes_come_there_is_an_answer_or_the_server_is_unavailable():
    noise = random.Random(7)
    extents = [b"HTTP/1.1 ", b"200", b" OK", b"\r\n", b"\n", b"Content-Length: ", b"Transfer-Encoding: chunked", b"5"]
    extents += [b"-1", b"ffffffff", b":", b"\xff\xfe", b"\x00", b"Location: http://[", b"Set-Cookie: a=b; Domain", b" "]
    extents += [b"Content-Type: text/html; charset=\xe9", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n\r\n"]
    scripts = [sends(b"".join(noise.choices(extents, k=noise.randrange(1, 20)))) for _ in range(150)]
    head = b"HTTP/1.1 200 OK\r\n"
    scripts += [sends(head + b"".join(noise.choices(extents, k=noise.randrange(1, 12)))) for _ in range(150)]
    with HostileServer(*scripts) as server:
        transport = transport_to(server.url)
        for _ in scripts:
            with contextlib.suppress(ServerUnavailableError):
                assert isinstance(transport.exchange(GET, 5).body, bytes)
        transport.close()


def test_headers_are_those_of_the_last_head_by_lower_case_name_repeated_ones_joined():
    early = b"HTTP/1.1 100 Continue\r\nX-Mark: early\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Mark: hint\r\n\r\n"
    last = b"HTTP/1.1 200 OK\r\nX-Mark: a\r\nno header\r\nX-MARK: d \r\nX-Empty:\r\nContent-Length: 0 \r\n\r\n"
    with HostileServer(sends(early + last)) as server:
        transport = transport_to(server.url)
        assert transport.exchange(GET, 5).headers == {"x-mark": "a, d", "x-empty": "", "content-length": "0"}
        transport.close()


def test_a_reset_and_a_refused_connection_are_told_apart():
    assert failure(lambda peer: (peer.request(), peer.reset())) == "connection reset"
    with HostileServer(ok) as server:
        pass
    with pytest.raises(ServerUnavailableError, match=f"^{server.url}: refused$"):
        transport_to(server.url).exchange(GET, 5)


def test_a_cookie_is_not_kept(httpserver: HTTPServer):
    httpserver.expect_request("/x/").respond_with_data("{}", headers={"Set-Cookie": "a=b"})
    transport = transport_to(httpserver.url_for(""))
    for _ in range(2):
        transport.exchange(GET, 5)
    assert "Cookie" not in httpserver.log[1][0].headers
    transport.close()


@pytest.mark.parametrize("url", ["http://runs.example", "http://10.0.0.1:8000", "http://127.0.0.1.example"])
def test_the_key_goes_in_clear_to_this_machine_only(url):
    with pytest.raises(ConfigurationError, match="STEPLOG_ALLOW_HTTP"):
        transport_to(url)
    assert HTTPTransport(url, lambda: None, allow_http=True).base_url == url


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.2", "http://[::1]:8000"])
def test_loopback_needs_no_tls(url):
    assert transport_to(url).base_url == url


@pytest.mark.parametrize("path", ["@elsewhere.example/", ".elsewhere.example/", "x/", ""])
def test_a_path_cannot_make_another_host_of_the_address(path):
    with pytest.raises(ValueError, match="begins with"):
        transport_to("https://runs.example").exchange(Request("GET", path), 1)


def test_a_transport_is_neither_pickled_nor_made_of_a_bad_address():
    with pytest.raises(TypeError, match="each process makes its own"):
        pickle.dumps(transport_to("https://runs.example"))
    with pytest.raises(ConfigurationError, match="address"):
        transport_to("https://user:pw@runs.example")
