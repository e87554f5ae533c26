"""Where a server listens, and that no key crosses a network in clear unless somebody has said so."""

from __future__ import annotations

import http.client
import socket
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from server.asgi import asked
from server.process import DEADLINE_S, KEY, SOURCES, ServerProcess
from steplog.delivery.wire import API
from steplog.errors import ConfigurationError
from steplog.server.access import AllowedHosts
from steplog.server.app import create_app
from steplog.server.keys import Keyring, hash_key
from steplog.server.launch import ServerOptions, address_elsewhere
from steplog.server.listening import listen_at
from steplog.server.open_store import open_store
from steplog.server.proxies import Proxies, networks
from steplog.server.service import Service

CHECK = f"{API}/verify-api-key/"


def serve(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A server that does not start."""
    command = [sys.executable, "-m", "steplog", "serve", "--port", "0", *arguments]
    environment = {"STEPLOG_DIR": str(directory), "PYTHONPATH": str(SOURCES), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def test_other_machines_reach_it_only_with_tls_by_a_named_proxy_or_if_that_is_wanted(tmp_path):
    for arguments, words in (
        ((), "--proxy-headers --trusted-proxies CIDR; or, if something else in front of it encrypts: --insecure"),
        (("--proxy-headers",), "none of them is the proxy that encrypts: name it with --trusted-proxies CIDR"),
        (("--proxy-headers", "--trusted-proxies", "127.0.0.1"), "name it with --trusted-proxies CIDR"),
    ):
        done = serve(tmp_path, "--host", "0.0.0.0", *arguments)
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    with ServerProcess(tmp_path, "--host", "0.0.0.0", "--proxy-headers", "--trusted-proxies", "192.0.2.0/24") as server:
        assert server.ask("GET", "/verify-api-key/").status_code == 200  # from this machine
        assert "elsewhere no name of this machine is known: add --allow-host NAME" in server.said


@pytest.mark.parametrize(
    ("option", "value"),
    [("--trusted-proxies", "10.0.0.1/8"), ("--metrics-from", "office"), ("--uds-mode", "8"), ("--uds-mode", "0400")],
)
def test_an_option_that_says_nothing_sensible_is_refused_in_words(tmp_path, option, value):
    done = serve(tmp_path, option, value)
    assert done.returncode == 2
    assert option in done.stderr
    assert "such as" in done.stderr


def test_where_a_proxy_encrypts_nobody_is_answered_past_it(tmp_path):
    store = open_store(tmp_path / "server.db")
    try:
        store.put_started_key(store.add_user("ann").result(), hash_key(KEY), "CONFIGURED").result()
        service = Service(proxies=Proxies(networks(["192.0.2.1"])), proxies_only=True)
        app = create_app(store, Keyring(store), hosts=AllowedHosts(8787), service=service)

        def status(client: Any, path: str = CHECK, **headers: str) -> int:
            given = {"Authorization": f"Api-Key {KEY}"} | {n.replace("_", "-"): text for n, text in headers.items()}
            return asked(app, "GET", path, given, client=client).status

        assert status(("192.0.2.1", 1), X_Forwarded_For="203.0.113.9") == 200
        assert status(("127.0.0.1", 1)) == 200
        assert status(None) == 200
        assert status(("203.0.113.9", 1)) == 403
        assert status(("203.0.113.9", 1), X_Forwarded_For="192.0.2.1, 127.0.0.1") == 403
        assert status(("203.0.113.9", 1), "/") == 403
        assert status(("203.0.113.9", 1), "/readyz") == 200
    finally:
        store.close()


def over(path: Path, host: str, target: str, **headers: str) -> http.client.HTTPResponse:
    """The answer to a GET by the socket at this path."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(DEADLINE_S)
    connection.connect(str(path))
    head = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{head}\r\n".encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_a_server_on_a_unix_socket_is_there_for_its_user_alone_and_leaves_nothing(tmp_path):
    at = tmp_path / "s.sock"
    arguments = ("--uds", str(at), "--proxy-headers", "--allow-host", "runs.example.org")
    with ServerProcess(tmp_path / "state", *arguments) as server:
        assert stat.S_IMODE(at.stat().st_mode) == 0o600
        assert server.url == "https://runs.example.org"
        assert "elsewhere set STEPLOG_URL=https://runs.example.org and a key of: steplog key issue\n" in server.said
        key = {"Authorization": f"Api-Key {KEY}"}
        assert over(at, "runs.example.org", CHECK, **key).status == 200
        assert over(at, "evil.example", CHECK, **key).status == 400
        assert over(at, "localhost", "/metrics").status == 200
        assert over(at, "localhost", "/metrics", X_Forwarded_For="203.0.113.9").status == 403
        told = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "runs.example.org"}
        moved = over(at, "localhost", CHECK.rstrip("/"), **key, **told)
        assert moved.headers["Location"] == f"https://runs.example.org{CHECK}"
        done = serve(tmp_path / "other", "--uds", str(at))
        assert (done.returncode, done.stderr) == (1, f"steplog: another server listens at {at}\n")
        assert over(at, "localhost", "/healthz").status == 200
        assert server.end() == (0, "")
    assert not at.exists()


def test_the_socket_of_one_that_was_killed_is_replaced(tmp_path):
    at = tmp_path / "s.sock"
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(at))
    with listen_at(at, 0o660) as listener:
        assert stat.S_IMODE(at.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(at))
        listener.accept()[0].close()
    assert not at.exists()


def test_a_socket_is_made_only_where_nobody_else_can_replace_it(tmp_path):
    (tmp_path / "file").write_text("precious")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o775)
    for at, words in (
        (tmp_path / "file", "is there, and not a socket"),
        (shared / "s.sock", "others may write in"),
        (tmp_path / "missing" / "s.sock", "No such file or directory"),
    ):
        with pytest.raises(ConfigurationError, match=words), listen_at(at, 0o600):
            pass
    assert (tmp_path / "file").read_text() == "precious"


def test_a_socket_that_another_has_replaced_is_left_to_it(tmp_path):
    at = tmp_path / "s.sock"
    with listen_at(at, 0o600):
        at.unlink()
        at.write_text("another's")
    assert at.read_text() == "another's"


def test_behind_a_proxy_its_address_from_elsewhere_is_the_proxys():
    hosts = ServerOptions(hosts=("runs.example.org",), proxy_headers="x-forwarded")
    assert address_elsewhere(hosts, "127.0.0.1", "http://127.0.0.1:8787") == "https://runs.example.org"
    assert address_elsewhere(hosts._replace(hosts=()), "127.0.0.1", "http://127.0.0.1:8787") == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [(), ("--proxy-headers", "--trusted-proxies", "192.0.2.0/24"), ("--proxy-headers", "forwarded")]
)
def test_what_nobody_was_told_to_believe_of_a_request_counts_for_nothing(tmp_path, options):
    forged = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    with ServerProcess(tmp_path, "--access-log", *options) as server:
        signed = server.ask("POST", "/session/", json={"key": KEY}, headers=forged | {"Origin": server.url})
        code, errors = server.end()
    assert (signed.status_code, code) == (200, 0)
    assert "secure" not in signed.headers["Set-Cookie"].lower()
    assert [line.split()[1] for line in errors.splitlines() if " POST " in line] == ["127.0.0.1"]
