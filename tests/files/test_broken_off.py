"""A content comes whole, whatever becomes of the answers that it comes in."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest

from files.serving import RUN, sha256
from steplog.errors import ServerUnavailableError
from steplog.files.content import ServerContent, WrongContentError
from steplog.files.requests import ProjectRequests
from steplog.network.transport import HTTPTransport
from steplog.secret import Secret
from steplog.testing import HostileServer, Peer, answer

DATA = os.urandom(300_000)
KEY = "0123456789abcdef-key"
TAG = {"ETag": f'"{sha256(DATA)}"'}


def content_at(server: HostileServer, **known: object) -> ServerContent:
    transport = HTTPTransport(server.url, lambda: Secret(KEY))
    requests = ProjectRequests(transport, "me", "demo", sleep=lambda seconds: None)
    path = requests.content_path("runs", RUN, "files", "0" * 32)
    return ServerContent(requests, path, "the file a.pt", **known)  # type: ignore[arg-type]


def first_of(request: bytes) -> int:
    asked = re.search(rb"range: bytes=(\d+)-", request, re.IGNORECASE)
    return int(asked[1]) if asked else 0


def cut_after(count: int, data: bytes = DATA) -> Callable[[Peer], None]:
    """Answers as asked, and closes after ``count`` bytes of the body."""

    def script(peer: Peer) -> None:
        first = first_of(peer.request())
        whole = _answer(data, first)
        head = whole.index(b"\r\n\r\n") + 4
        peer.send(whole[: head + count])

    return script


def _answer(data: bytes, first: int, total: int | None = None) -> bytes:
    tag = {"ETag": f'"{sha256(data)}"'}
    if not first:
        return answer(200, data, tag)
    part = {"Content-Range": f"bytes {first}-{len(data) - 1}/{total or len(data)}"}
    return answer(206, data[first:], tag | part)


def test_an_answer_that_breaks_off_is_asked_for_again_from_where_it_was():
    with HostileServer(*[cut_after(40_000)] * 7, cut_after(len(DATA))) as server:
        assert b"".join(content_at(server).pieces()) == DATA

    firsts = [first_of(request) for request in server.requests]
    assert firsts[0] == 0
    assert firsts == sorted(set(firsts))
    assert len(firsts) == 8


def test_a_server_that_brings_nothing_more_is_given_up():
    with HostileServer(cut_after(1000), cut_after(0)) as server, pytest.raises(ServerUnavailableError):
        list(content_at(server).pieces())

    assert server.connections > 2


def test_the_key_in_a_file_is_not_masked():
    """The content of a user's file is what it is; masked, it would not have its hash."""
    data = f"api_key = {KEY}\n".encode()
    with HostileServer(lambda peer: (peer.request(), peer.send(_answer(data, 0)))) as server:
        assert b"".join(content_at(server).pieces()) == data


def test_an_answer_longer_than_the_file_is_cut():
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nETag: " + TAG["ETag"].encode() + b"\r\nConnection: close\r\n\r\n" + DATA * 3)

    with HostileServer(script) as server, pytest.raises(WrongContentError, match="more than it said"):
        list(content_at(server, sha256=sha256(DATA), size=len(DATA)).pieces())


@pytest.mark.parametrize("content_range", ["bytes 0-9/300000", "bytes 7-9/10", "lines 1-2/3", "", "bytes 9-x/3"])
def test_another_part_than_was_asked_for_is_refused(content_range):
    def wrong(peer: Peer) -> None:
        peer.request()
        peer.send(answer(206, b"x" * 10, TAG | {"Content-Range": content_range}))

    with HostileServer(wrong) as server, pytest.raises(WrongContentError, match=r"another (part|content)"):
        list(content_at(server, sha256=sha256(DATA), size=len(DATA)).pieces(100_000))


def test_a_busy_server_is_asked_again():
    def busy(peer: Peer) -> None:
        peer.request()
        peer.send(answer(503, b'{"detail": "full"}', {"Connection": "close"}))

    with HostileServer(busy, busy, cut_after(len(DATA))) as server:
        assert b"".join(content_at(server).pieces()) == DATA
