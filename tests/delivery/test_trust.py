"""A certificate that nobody vouches for, and what else is wrong with the way: said once, and tried again slowly.

The real transport, and a sender whose clock goes straight to when the next exchange is due.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from delivery.parts import Book, Line
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Answer
from steplog.delivery.sender import InFlight
from steplog.errors import ServerUnavailableError
from steplog.network.transport import HTTPTransport
from steplog.secret import Secret
from steplog.testing import HostileServer, Peer, answer
from test_transport_tls import authority, tls

__all__ = ["authority", "tls"]

HOUR_S = 3600.0
HTML = b"<html>Please log in to this network</html>"


def line_to(server: HostileServer) -> Line:
    """A run whose server is that one, by the real transport."""
    transport = HTTPTransport(server.url, lambda: Secret("key"))

    class Through(Line):
        def exchange(self, due: InFlight) -> Answer | str:
            try:
                return transport.exchange(due.request, 5.0)
            except ServerUnavailableError as error:
                return str(error)

    return Through(Book().write(3))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was to be said, whichever thread has said it."""
    deferred_log.tell()
    return [record.getMessage() for record in caplog.records if record.name == "steplog"]


def test_a_certificate_that_nobody_vouches_for_is_said_once_and_tried_again_slowly(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(variable, raising=False)
    deferred_log.forget()
    with HostileServer(lambda peer: peer.hold(), tls=tls) as server:
        line = line_to(server)
        attempts = line.deliver(HOUR_S)
        assert 60 <= attempts <= 1.1 * HOUR_S / 30
        assert server.requests == []
    (said,) = warnings(caplog)
    assert "certificate not trusted" in said
    assert line.outbox.pending() == 3


def test_the_records_go_as_soon_as_the_certificate_is_trusted(
    tls: ssl.SSLContext, authority: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with HostileServer(echoes, tls=tls) as server:
        line = line_to(server)
        line.deliver(60.0)
        assert server.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))
        line.deliver(120.0)
        assert line.outbox.pending() == 0


def echoes(peer: Peer) -> None:
    """Confirms every range."""
    import msgspec

    from steplog.journal import range as ranges

    while True:
        batch = ranges.decode(peer.request().partition(b"\r\n\r\n")[2])
        told = {"writer": batch.writer, "first": batch.first, "end": batch.end, "accepted": 3, "duplicates": 0}
        peer.send(answer(200, msgspec.json.encode(told)))


WRONG: dict[str, Callable[[Peer], object]] = {
    "captive portal": lambda peer: peer.send(answer(200, HTML, {"Content-Type": "text/html"})),
    "redirect": lambda peer: peer.send(answer(307, b"", {"Location": "https://elsewhere.invalid/"})),
    "bomb": lambda peer: peer.send(answer(200, bytes(1 << 20), {"Content-Encoding": "gzip"})),
    "garbage": lambda peer: peer.send(b"\x00\xff\r\n\r\n"),
    "reset": lambda peer: peer.reset(),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_answers_that_are_not_the_servers_acknowledge_nothing_and_requests_are_few(
    wrong: str, caplog: pytest.LogCaptureFixture
):
    deferred_log.forget()

    def script(peer: Peer) -> None:
        while True:
            peer.request()
            WRONG[wrong](peer)

    with HostileServer(script) as server:
        line = line_to(server)
        attempts = line.deliver(HOUR_S)
        assert 60 <= attempts <= 1.1 * HOUR_S / 30
    assert len(warnings(caplog)) == 1
    assert line.outbox.pending() == 3
    assert line.set_aside() == []
