"""The key is in no text: not in an exception and its frames, not in a log at DEBUG, not in an answer or a pickle."""

from __future__ import annotations

import http.client
import json
import logging
import pickle
import signal
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from steplog.client import TellurioClient
from steplog.delivery.exchange import Request
from steplog.errors import ConfigurationError, InvalidAPIKeyError, ServerUnavailableError
from steplog.network.response import http_error
from steplog.network.transport import HTTPTransport
from steplog.secret import Secret
from steplog.settings import resolve
from steplog.testing import HostileServer, Peer, answer

CANARY = "canary-key-0123456789"
GET = Request("GET", "/x/")


@pytest.fixture(autouse=True)
def _key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLOG_API_KEY", CANARY)


def shown(error: BaseException) -> str:
    """Everything that a crash reporter could send of an exception: its chain, and the variables of every frame."""
    seen: list[BaseException] = []
    texts = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        inner = waiting.pop()
        if inner is None or inner in seen:
            continue
        seen.append(inner)
        waiting += [inner.__cause__, inner.__context__]
        told = traceback.TracebackException.from_exception(inner, capture_locals=True)
        # The outermost frame is the test's own.
        texts += [str(inner), repr(inner), repr(inner.args), *told.format(), *map(repr, vars(inner).values())]
    return "\n".join(texts)


def does(*steps):
    def script(peer: Peer) -> None:
        for step in steps:
            step(peer)

    return script


def read(peer: Peer) -> None:
    peer.request()


def send(data: bytes):
    return lambda peer: peer.send(data)


FAILURES = {
    "closed": does(read),
    "reset": does(read, lambda peer: peer.reset()),
    "cut": does(read, send(answer(200, b"x" * 9)[:-1])),
    "head cut": does(read, send(b"HTTP/1.1 200")),
    "no http": does(read, send(b"garbage\r\n\r\n")),
    "many headers": does(read, send(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n")),
    "two lengths": does(read, send(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n")),
    "silence": does(read, lambda peer: peer.hold()),
    "no TLS": does(send(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
}


@pytest.mark.parametrize("name", FAILURES)
def test_no_failure_shows_the_key(name, caplog, capfd, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    with HostileServer(FAILURES[name]) as server:
        url = server.url.replace("http:", "https:") if name == "no TLS" else server.url
        with TellurioClient(url) as client, pytest.raises(ServerUnavailableError) as raised:
            client.post("/x/", {}, timeout_s=0.3)
        if name != "no TLS":
            assert CANARY.encode() in server.requests[0]
    assert CANARY not in shown(raised.value)
    assert CANARY.encode() not in pickle.dumps(raised.value)
    assert CANARY not in caplog.text
    assert CANARY not in "".join(capfd.readouterr())


def test_a_refused_connection_and_a_missing_name_do_not_show_the_key(monkeypatch):
    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with HostileServer(read) as server:
        pass
    for url in (server.url, "https://no-such-name.example"):
        if url != server.url:
            monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with TellurioClient(url) as client, pytest.raises(ServerUnavailableError) as raised:
            client.get("/x/")
        assert CANARY not in shown(raised.value)


def test_an_answer_does_not_hold_the_key(caplog):
    caplog.set_level(logging.DEBUG)
    with HostileServer(does(read, send(answer(403, b'{"detail": "no"}')))) as server:
        with TellurioClient(server.url) as client:
            response = client.get("/x/")
            with pytest.raises(OSError, match="403") as raised:
                response.raise_for_status()
        assert CANARY.encode() in server.requests[0]
    assert CANARY not in shown(raised.value)
    assert "Authorization" not in response.request.headers
    assert CANARY.encode() not in pickle.dumps(response)
    assert CANARY not in caplog.text


@pytest.mark.parametrize("key", [CANARY, f'{CANARY}"\\/%'])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 503])
def test_a_server_that_repeats_what_it_was_sent_does_not_have_the_key_shown(status, key, monkeypatch, caplog):
    """What a server says goes into the log, into exceptions, and beside the records that it refuses."""

    def repeats(peer: Peer) -> None:
        asked = peer.request().decode()
        said = answer(status, json.dumps({"detail": asked}).encode(), {"Location": f"/?{quote(key)}", "X-Key": key})
        peer.send(said.replace(b"Whatever", b"No " + key.encode()))

    monkeypatch.setenv("STEPLOG_API_KEY", key)
    caplog.set_level(logging.DEBUG)
    with HostileServer(repeats) as server, TellurioClient(server.url) as client:
        response = client.get("/x/")
        raised = http_error(response)
        again = client.transport.exchange(GET, 5)
    assert "Authorization: Api-Key ***" in response.json()["detail"]
    assert CANARY not in shown(raised)
    assert CANARY not in f"{response.text} {response.reason} {response.headers} {again}"
    assert CANARY.encode() not in pickle.dumps(response)
    assert CANARY not in caplog.text


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    def interrupt(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_ctrl_c_in_the_middle_does_not_show_the_key_and_leaves_a_client_that_works():
    with HostileServer(does(read, lambda peer: peer.hold()), does(read, send(answer(200)))) as server:
        with TellurioClient(server.url) as client:
            with interrupted_after(0.2), pytest.raises(KeyboardInterrupt) as raised:
                client.get("/x/")
            assert client.get("/x/").status_code == 200
        assert CANARY.encode() in server.requests[0]
    assert CANARY not in shown(raised.value)


def test_a_ctrl_c_while_it_connects_does_not_show_the_key(monkeypatch):
    """The frames of http.client hold the whole head in their variables until it is sent."""
    release = threading.Event()

    def hang(*arguments, **options):
        if options.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "not numeric")
        release.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setenv("STEPLOG_ALLOW_HTTP", "1")
    client = TellurioClient("http://a-name-that-hangs.example")
    with interrupted_after(0.2), pytest.raises(KeyboardInterrupt) as raised:
        client.get("/x/")
    release.set()
    client.close()
    assert CANARY not in shown(raised.value)


@pytest.mark.parametrize(
    "exit_code",
    ["\n", " ", "\r\nX-Evil: 1", "”", "\x00", "é", "x" * 5000],
    ids=["lf", "sp", "crlf", "quote", "nul", "é", "long"],
)
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(exit_code, monkeypatch):
    with HostileServer(read) as server, TellurioClient(server.url) as client:
        with pytest.raises(ConfigurationError) as raised:
            client.login(f"{CANARY}{exit_code}")
        assert CANARY not in shown(raised.value)
        if exit_code != "\x00":
            monkeypatch.setenv("STEPLOG_API_KEY", f"{CANARY}{exit_code}")
        monkeypatch.setattr(client, "settings", resolve({"STEPLOG_API_KEY": f"{CANARY}{exit_code}"}, Path("/")))
        with pytest.raises(ConfigurationError, match="environment STEPLOG_API_KEY") as raised:
            client.get("/x/")
        assert CANARY not in shown(raised.value)
        assert server.connections == 0


def test_a_wrong_key_is_refused_without_showing_it(caplog):
    caplog.set_level(logging.DEBUG)
    with HostileServer(does(read, send(answer(401, b"{}")))) as server, TellurioClient(server.url) as client:
        with pytest.raises(InvalidAPIKeyError) as raised:
            client.login("".join(CANARY))
        assert CANARY not in shown(raised.value)
    assert CANARY not in caplog.text
    assert CANARY not in repr(client)


def test_nothing_that_holds_the_key_is_pickled():
    with TellurioClient("https://runs.example") as client:
        for holder in (client, client.transport, client.settings, Secret(CANARY)):
            with pytest.raises(TypeError):
                pickle.dumps(holder)


def test_an_entry_in_netrc_does_not_replace_the_key(tmp_path, monkeypatch):
    """requests would send "Authorization: Basic" with the user and password of the entry."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\nmachine localhost login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with HostileServer(lambda peer: [(peer.request(), peer.send(answer(200))) for _ in range(9)]) as server:
        with TellurioClient(server.url) as client:
            client.get("/x/")
        keyless = HTTPTransport(server.url, lambda: None)
        keyless.exchange(GET, 5)
        keyless.close()
    assert f"Authorization: Api-Key {CANARY}".encode() in server.requests[0]
    assert b"Basic" not in b"".join(server.requests)
    assert b"Authorization" not in server.requests[1]


def test_a_key_that_is_a_word_takes_no_answer_apart(monkeypatch):
    monkeypatch.setenv("STEPLOG_API_KEY", "mnist")
    with (
        HostileServer(lambda peer: (peer.request(), peer.send(answer(200, b'{"slug": "mnist"}')))) as server,
        TellurioClient(server.url) as client,
    ):
        assert client.get("/x/").json() == {"slug": "mnist"}
