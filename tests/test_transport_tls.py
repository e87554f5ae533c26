"""TLS and proxies: who is trusted, what a failure says, and that the key goes through a tunnel only."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import pytest
import requests

from certificates import NAME, make_authority
from steplog.delivery.exchange import Request
from steplog.errors import ServerUnavailableError
from steplog.network.proxy import proxy_for
from steplog.network.transport import HTTPTransport
from steplog.secret import Secret
from steplog.testing import HostileServer, Peer, answer

GET = Request("GET", "/x/")
# More than the buffers of two sockets hold, and no more: it is copied before the connection is made, in the same time.
LARGE = Request("POST", "/", bytes(16 * 1024 * 1024))


def transport_to(url: str, **options: bool) -> HTTPTransport:
    return HTTPTransport(url, lambda: Secret("a-key"), connect_timeout_s=5, **options)


def ok(peer: Peer) -> None:
    while True:
        peer.request()
        peer.send(answer(200, b"{}"))


@pytest.fixture(autouse=True)
def _no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a CA of its own and a certificate for localhost, 127.0.0.1 and runs.example."""
    paths = tmp_path_factory.mktemp("authority")
    make_authority(paths)
    return paths


@pytest.fixture
def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    return context


@pytest.fixture(params=["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def trust_variable(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def reason(transport: HTTPTransport, request: Request = GET, timeout_s: float = 5) -> str:
    with pytest.raises(ServerUnavailableError) as raised:
        transport.exchange(request, timeout_s)
    transport.close()
    return str(raised.value)


class TestTLS:
    def test_a_private_authority_is_trusted_where_a_variable_names_it(
        self, tls, authority, monkeypatch, trust_variable
    ):
        monkeypatch.setenv(trust_variable, str(authority / "ca.pem"))
        with HostileServer(ok, tls=tls) as server:
            transport = transport_to(server.url)
            for _ in range(3):
                assert transport.exchange(GET, 5).body == b"{}"
            assert server.connections == 1
            transport.close()

    def test_a_certificate_that_nobody_vouches_for_is_not_trusted(self, tls):
        with HostileServer(ok, tls=tls) as server:
            assert f"{server.url}: certificate not trusted: " in reason(transport_to(server.url))
            assert server.requests == []

    def test_a_certificate_of_another_host_is_not_trusted(self, tls, authority, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
        with HostileServer(ok, tls=tls) as server:
            resolved = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
            said = reason(transport_to("https://another.example"))
            assert "certificate not trusted: Hostname mismatch" in said
            assert server.requests == []

    def test_a_bundle_that_is_not_there_is_named_and_nothing_is_sent(self, tls, monkeypatch, tmp_path):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
        with HostileServer(ok, tls=tls) as server:
            assert "REQUESTS_CA_BUNDLE names no file" in reason(transport_to(server.url))
            assert server.connections == 0

    def test_a_bundle_that_is_not_there_is_no_matter_to_a_server_without_tls(self, monkeypatch, tmp_path):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
        with HostileServer(ok) as server:
            transport = transport_to(server.url)
            assert transport.exchange(GET, 5).status == 200
            transport.close()

    def test_a_bundle_that_holds_no_certificate_is_a_failure_of_tls(self, tls, monkeypatch, tmp_path):
        (tmp_path / "empty.pem").write_text("nothing\n")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "empty.pem"))
        with HostileServer(ok, tls=tls) as server:
            assert "TLS: no certificate or crl found" in reason(transport_to(server.url))

    def test_a_bundle_is_read_once_and_again_when_it_has_changed(self, tls, authority, monkeypatch, tmp_path):
        made = []

        def counted(*arguments, make=ssl.create_default_context, **options):
            made.append(options)
            return make(*arguments, **options)

        monkeypatch.setattr(ssl, "create_default_context", counted)
        bundle = tmp_path / "bundle.pem"
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        bundle.write_bytes(Path(certifi.where()).read_bytes())
        with HostileServer(ok, tls=tls) as server:
            for _ in range(2):
                assert "certificate not trusted" in reason(transport_to(server.url))
            bundle.write_bytes((authority / "ca.pem").read_bytes())
            for _ in range(2):
                transport = transport_to(server.url)
                assert transport.exchange(GET, 5).status == 200
                transport.close()
        assert len(made) == 2

    def test_a_server_without_tls_is_a_failure_of_tls(self):
        with HostileServer(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
            assert "TLS: " in reason(transport_to(server.url.replace("http:", "https:")))

    def test_a_handshake_that_is_cut_is_a_failure(self):
        with HostileServer(lambda peer: (peer.socket.recv(10), peer.reset())) as server:
            said = reason(transport_to(server.url.replace("http:", "https:")))
            assert "TLS: the connection was closed" in said or "connection reset" in said

    def test_a_handshake_that_never_comes_ends_at_the_deadline(self):
        with HostileServer(lambda peer: peer.hold()) as server:
            begun = time.monotonic()
            assert "timed out after 0.5 s" in reason(transport_to(server.url.replace("http:", "https:")), timeout_s=0.5)
            assert time.monotonic() - begun < 1

    @pytest.mark.slow
    @pytest.mark.parametrize("large", [False, True], ids=["answer", "upload"])
    def test_the_deadline_and_abort_reach_through_tls(self, tls, authority, monkeypatch, large):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
        request = LARGE if large else GET

        def slow(peer: Peer) -> None:
            if large:
                peer.hold()
            peer.request()
            peer.drip(answer(200, b"{}"), 0.1)

        with HostileServer(slow, tls=tls) as server:
            transport = transport_to(server.url)
            begun = time.monotonic()
            assert "timed out" in reason(transport, request, 1.0)
            assert time.monotonic() - begun < 2
            timer = threading.Timer(0.2, transport.abort, [request])
            begun = time.monotonic()
            timer.start()
            assert "ended before the answer came" in reason(transport, request, 20)
            timer.join()
            assert time.monotonic() - begun < 1.2

    @pytest.mark.slow
    def test_what_the_handshake_took_is_not_left_for_the_upload(self, tls, authority, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))

        def late(peer: Peer) -> None:
            peer.stopped.wait(1.6)
            with tls.wrap_socket(peer.socket, server_side=True):
                peer.hold()

        with HostileServer(late) as server:
            begun = time.monotonic()
            assert "timed out" in reason(transport_to(server.url.replace("http:", "https:")), LARGE, 2.0)
            assert time.monotonic() - begun < 3


class Proxy:
    """An HTTP proxy: tunnels every CONNECT to one port here, or answers with a status; notes what it was asked."""

    def __init__(self, target: int, status: int = 200) -> None:
        self.heads: list[bytes] = []
        self._target, self._status = target, status
        self._server = HostileServer(self._script)
        self.url = self._server.url

    def _script(self, peer: Peer) -> None:
        head = peer.request()
        self.heads.append(head)
        if self._status != 200 or not head.startswith(b"CONNECT "):
            peer.send(answer(self._status, b"{}"))
            return
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self._target)) as onward:
            back = threading.Thread(target=self._pump, args=(onward, peer.socket), daemon=True)
            back.start()
            self._pump(peer.socket, onward)
            back.join(5)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def behind(tls: ssl.SSLContext, authority: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    """A TLS server whose certificate is trusted; proxies lead to it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    with HostileServer(ok, tls=tls) as server:
        yield server


class TestProxy:
    def test_https_goes_through_a_tunnel_and_the_proxy_never_sees_the_key(self, behind, monkeypatch):
        proxy = Proxy(behind.port)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        transport = transport_to(f"https://{NAME}")
        for _ in range(2):
            assert transport.exchange(GET, 5).status == 200
        transport.close()
        proxy.close()
        assert [head.split(b"\r\n")[0].rpartition(b" ")[0] for head in proxy.heads] == [b"CONNECT runs.example:443"]
        assert b"a-key" not in b"".join(proxy.heads)
        assert b"Authorization: Api-Key a-key" in behind.requests[0]

    def test_a_stream_goes_the_way_of_all_requests_and_its_connection_is_kept(self, tls, behind, monkeypatch):
        body = bytes(range(256)) * 4000

        def large(peer: Peer) -> None:
            while True:
                peer.request()
                peer.send(answer(200, body))

        with HostileServer(large, tls=tls) as server:
            proxy = Proxy(server.port)
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            transport = transport_to(f"https://{NAME}")
            for _ in range(2):
                assert b"".join(transport.stream(GET, 5, 5)) == body
            transport.close()
            proxy.close()
            assert (len(proxy.heads), server.connections) == (1, 1)

    @pytest.mark.parametrize("status", [403, 407, 502])
    def test_a_proxy_that_refuses_says_so(self, behind, monkeypatch, status):
        proxy = Proxy(behind.port, status)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert reason(transport_to(f"https://{NAME}")) == f"https://{NAME}: proxy: {status} Whatever"
        proxy.close()
        assert behind.connections == 0

    def test_a_proxy_that_is_not_there_says_so_without_its_password(self, behind, monkeypatch):
        proxy = Proxy(behind.port)
        proxy.close()
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://user:proxy-password@"))
        assert reason(transport_to(f"https://{NAME}")) == f"https://{NAME}: proxy: refused"

    def test_a_password_is_for_the_proxy_alone(self, behind, monkeypatch):
        proxy = Proxy(behind.port)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "user:pass%40word@"))
        transport = transport_to(f"https://{NAME}")
        assert transport.exchange(GET, 5).status == 200
        transport.close()
        proxy.close()
        told = b64encode(b"user:pass@word")
        assert b"\r\nProxy-Authorization: Basic " + told + b"\r\n" in proxy.heads[0]
        assert b"Proxy-Authorization" not in behind.requests[0]
        assert behind.requests[0].startswith(b"GET /x/ HTTP/1.1\r\n")

    def test_http_is_asked_for_by_its_whole_address(self, monkeypatch):
        with HostileServer(ok) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url.replace("://", "://user:word@"))
            transport = transport_to("http://runs.example:8080/base", allow_http=True)
            for _ in range(2):
                assert transport.exchange(GET, 5).body == b"{}"
            transport.close()
            assert proxy.connections == 1
        first, *lines = proxy.requests[1].split(b"\r\n")
        assert first == b"GET http://runs.example:8080/base/x/ HTTP/1.1"
        assert b"Host: runs.example:8080" in lines
        assert b"Proxy-Authorization: Basic " + b64encode(b"user:word") in lines

    def test_a_proxy_that_never_answers_is_left_at_the_deadline(self, monkeypatch):
        with HostileServer(lambda peer: (peer.request(), peer.drip(b"HTTP/1.1 200 OK\r\n" * 100, 0.1))) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            begun = time.monotonic()
            assert "timed out after 0.5 s" in reason(transport_to(f"https://{NAME}"), timeout_s=0.5)
            assert time.monotonic() - begun < 1

    def test_what_the_tunnel_took_is_not_left_for_the_handshake(self, monkeypatch):
        def late(peer: Peer) -> None:
            peer.request()
            peer.stopped.wait(0.9)
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            peer.hold()

        with HostileServer(late) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            begun = time.monotonic()
            assert "timed out after 1 s" in reason(transport_to(f"https://{NAME}"), timeout_s=1.0)
            assert time.monotonic() - begun < 1.5

    @pytest.mark.parametrize(
        "proxy", ["socks5://127.0.0.1:1", "socks5h://127.0.0.1:1", "https://p", "http://", "nonsense://x"]
    )
    def test_a_proxy_that_cannot_be_used_is_not_bypassed(self, behind, monkeypatch, proxy):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        assert "proxy" in reason(transport_to(f"https://localhost.example:{behind.port}"))
        assert behind.connections == 0

    @pytest.mark.parametrize("listed", ["ample", "s.example", "uns.example:443", "runs.example:1"])
    def test_an_end_of_a_name_begins_at_a_dot(self, listed, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "http://p.example:1")
        monkeypatch.setenv("NO_PROXY", listed)
        found = proxy_for(f"https://{NAME}")
        assert found is not None
        assert (found.host, found.port, found.authorization) == ("p.example", 1, None)

    def test_no_proxy_is_honoured(self, behind, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", ".example")
        resolved = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", behind.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
        transport = transport_to(f"https://{NAME}:{behind.port}")
        assert transport.exchange(GET, 5).status == 200
        transport.close()

    def test_a_proxy_that_is_named_later_counts_from_the_next_connection_on(self, behind, monkeypatch):
        resolved = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", behind.port))]
        lookup = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *a, **o: lookup(host, *a, **o) if host[0] == "1" else resolved
        )
        transport = transport_to(f"https://{NAME}")
        assert transport.exchange(GET, 5).status == 200
        proxy = Proxy(behind.port)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert transport.exchange(GET, 5).status == 200
        assert proxy.heads == []
        transport.close()
        assert transport.exchange(GET, 5).status == 200
        assert len(proxy.heads) == 1
        transport.close()
        proxy.close()

    def test_this_machine_is_never_asked_through_a_proxy(self, monkeypatch):
        with HostileServer(ok) as server, HostileServer(ok) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("ALL_PROXY", proxy.url)
            transport = transport_to(server.url)
            assert transport.exchange(GET, 5).status == 200
            transport.close()
            assert (proxy.connections, server.connections) == (0, 1)


@pytest.mark.parametrize("url", ["https://a.runs.example", "http://runs.example:81", "https://10.1.2.3:8443/base"])
@pytest.mark.parametrize(
    "environment",
    [
        {"https_proxy": "http://p:1"},
        {"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:2"},
        {"HTTPS_PROXY": "http://p:1", "https_proxy": ""},
        {"Https_Proxy": "http://p:1", "HTTP_PROXY": "http://q:2"},
        {"ALL_PROXY": "http://p:1", "http_proxy": "http://q:2"},
        {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"},
        {"https://a.runs.example_proxy": "http://p:1", "https_proxy": "http://q:2"},
        {"all://runs.example_proxy": "http://p:1", "all_proxy": "http://q:2"},
        {"all_proxy": "10.0.0.1:3128"},
        {"all_proxy": "//p.example:3128"},
        {"all_proxy": "http://user:pass%2Fword@p:3128/path"},
        *(
            {"all_proxy": "http://p:1", name: listed}
            for name in ("no_proxy", "NO_PROXY")
            for listed in (
                "*", "example", ".runs.example", "a.runs.example", "runs.example:81", "b.example, runs.example:443",
                "10.0.0.0/8", "10.1.2.0/24,x", "10.1.3.0/24", "10.1.2.3", "10.1.2.3:8443", "10.0.0.0/0", "10.0.0.0/x",
                "2.3", "A.RUNS.EXAMPLE", "", ",",
            )
        ),
        {"all_proxy": "http://p:1", "no_proxy": "other", "NO_PROXY": "example"},
    ],
    ids=str,
)  # fmt: skip
def test_the_variables_mean_what_requests_takes_them_for(environment, url, monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    told = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    found = proxy_for(url)
    assert (found is None) == (not told)
    if found is not None:
        meant = urlsplit(requests.utils.prepend_scheme_if_needed(told, "http"))
        assert (found.host, found.port) == (meant.hostname, meant.port)
        user, password = requests.utils.get_auth_from_url(meant.geturl())
        told_by_us = b"" if found.authorization is None else b64decode(found.authorization.reveal().split()[1])
        assert told_by_us == (f"{user}:{password}".encode() if user else b"")
