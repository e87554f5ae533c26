"""A server that other machines can reach has TLS, or says that something else encrypts."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import NAME, make_authority
from end_to_end.oracle import Oracle
from server.process import DEADLINE_S, KEY, SOURCES, ServerProcess
from steplog import instance
from steplog.server.access import AllowedHosts
from steplog.server.protocol import HEAD_TIMEOUT_S

SHARING = (Path(__file__).parents[2] / "docs" / "sharing.md").read_text("utf-8")
PROGRAM = """
import steplog
with steplog.init(project="mnist", name="private") as run:
    for step in range(100):
        run.log("loss", step / 2, step)
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = tmp_path_factory.mktemp("authority")
    make_authority(paths)
    return paths


@pytest.fixture
def server(tmp_path: Path, authority: Path) -> Iterator[ServerProcess]:
    """A server on all addresses, with a certificate of a private authority."""
    files = ("--tls-cert", str(authority / "server.pem"), "--tls-key", str(authority / "server.key"))
    with ServerProcess(tmp_path, "--host", "0.0.0.0", "--user", "me", *files) as started:
        started.session.verify = str(authority / "ca.pem")
        yield started
        code, errors = started.end()
        assert (code, errors) == (0, "")


def test_a_program_of_this_machine_needs_no_certificate_and_speaks_over_the_socket(server, tmp_path):
    done = steplog(tmp_path, "-c", PROGRAM)
    assert done.returncode == 0
    assert done.stderr.endswith("run private: 100 delivered\n")
    assert len(Oracle(server.place, "mnist").values("private", "loss")) == 100


def steplog(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = ("STEPLOG_", "TELLURIO_", "SSL_CERT_", "REQUESTS_CA_", "CURL_CA_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(known)}
    return subprocess.run(
        [sys.executable, *(arguments[:2] if arguments[0] == "-c" else ("-m", "steplog", *arguments))],
        env=clean
        | {"STEPLOG_DIR": str(directory), "STEPLOG_MEMORY_DIR": str(directory / "memory"), "PYTHONPATH": str(SOURCES)}
        | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_reach_no_server_without_tls_unless_that_is_asked_for(tmp_path, host):
    state = tmp_path / "state"
    done = steplog(state, "serve", "--host", host, "--port", "0")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"Type: steplog serve --host {host} --tls-cert FILE --tls-key FILE; behind a proxy" in done.stderr
    assert "--insecure" in done.stderr
    assert not state.exists()


def test_with_insecure_it_listens_everywhere_without_tls(tmp_path):
    with ServerProcess(tmp_path, "--host", "0.0.0.0", "--insecure") as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.ask("GET", "/verify-api-key/").status_code == 200


def test_its_address_is_https_where_it_is_printed_and_in_the_state_file(server):
    assert server.url.startswith("https://127.0.0.1:")
    state = instance.read(server.state)
    assert state is not None
    assert state.base_url == server.url
    answer = server.ask("GET", "/verify-api-key", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, f"{server.url}/api/v0/verify-api-key/")


def test_nothing_is_answered_without_tls(server):
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        heard = b""
        try:
            while piece := connection.recv(4096):
                heard += piece
        except ConnectionResetError:
            pass
    assert b"HTTP/" not in heard


@pytest.mark.slow
def test_a_connection_that_stops_as_tls_begins_is_closed_like_one_without_a_head(server):
    """It used to keep its place for a minute, beyond the limits that apply to connections."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=HEAD_TIMEOUT_S + 10) as connection:
        connection.sendall(b"\x16\x03\x01")  # one that is silent from the start is not even accepted
        assert connection.recv(1) == b""


@pytest.mark.parametrize("variable", [pytest.param("SSL_CERT_FILE", marks=pytest.mark.slow), "REQUESTS_CA_BUNDLE"])
def test_a_client_that_is_given_the_private_authority_delivers(server, authority, tmp_path, variable):
    away = {"STEPLOG_URL": server.url, "STEPLOG_API_KEY": KEY, variable: str(authority / "ca.pem")}
    done = steplog(tmp_path / "away", "-c", PROGRAM, **away)
    assert done.returncode == 0
    held = Oracle(server.place, "mnist")
    held.wait_for("private", "COMPLETED")
    assert held.values("private", "loss") == [step / 2 for step in range(100)]
    assert steplog(tmp_path / "away", "ls", "--here", **away).stdout == "nothing waits on this machine\n"
    checked = steplog(tmp_path / "away", "doctor", **away)
    assert f"{server.url}, takes batches" in checked.stdout


@pytest.mark.slow
def test_a_client_that_does_not_know_the_authority_keeps_its_records(server, tmp_path):
    away = {"STEPLOG_URL": server.url, "STEPLOG_API_KEY": KEY, "STEPLOG_FINISH_TIMEOUT_S": "1"}
    done = steplog(tmp_path / "away", "-c", PROGRAM, **away)
    assert done.returncode == 0
    assert "certificate not trusted: unable to get local issuer certificate" in done.stderr
    waiting = steplog(tmp_path / "away", "ls", "--here", **away).stdout
    assert "private" in waiting
    assert server.ask("GET", "/me/projects/mnist/").status_code == 404


def test_its_address_has_the_name_that_its_certificate_is_for(tmp_path, authority):
    (authority / "both.pem").write_bytes(
        (authority / "server.key").read_bytes() + (authority / "server.pem").read_bytes()
    )
    with ServerProcess(
        tmp_path, "--host", "0.0.0.0", "--tls-cert", str(authority / "both.pem"), "--allow-host", NAME
    ) as server:
        port = server.url.rpartition(":")[2]
        assert server.url == f"https://{NAME}:{port}"
        answer = server.session.get(
            f"https://127.0.0.1:{port}/api/v0/verify-api-key/",
            headers={"Host": f"{NAME}:{port}"},
            verify=str(authority / "ca.pem"),
            timeout=DEADLINE_S,
        )
        assert answer.status_code == 200


def test_the_certificate_that_the_docs_make_is_accepted_by_clients_that_are_given_it(tmp_path):
    made = re.search(r"^openssl req (?:.*\\\n)*.*$", SHARING, re.MULTILINE)
    assert made is not None
    if shutil.which("openssl") is None:
        pytest.skip("the command openssl is not installed")
    subprocess.run(made[0], shell=True, cwd=tmp_path, check=True, capture_output=True)
    names = (
        "--allow-host",
        "box.lan",
        "--tls-cert",
        str(tmp_path / "cert.pem"),
        "--tls-key",
        str(tmp_path / "key.pem"),
    )
    with ServerProcess(tmp_path, "--host", "0.0.0.0", *names) as server:
        port = int(server.url.rpartition(":")[2])
        assert server.url == f"https://box.lan:{port}"
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
        with (
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as plain,
            context.wrap_socket(plain, server_hostname="box.lan") as connection,
        ):
            request = (
                f"GET /api/v0/verify-api-key/ HTTP/1.0\r\nHost: box.lan:{port}\r\nAuthorization: Api-Key {KEY}\r\n\r\n"
            )
            connection.sendall(request.encode())
            assert connection.recv(4096).split(b"\r\n")[0] == b"HTTP/1.1 200 OK"


@pytest.mark.slow
def test_files_that_are_no_certificate_and_its_key_are_refused_by_name(tmp_path, authority):
    cert, key, other, encrypted = (
        str(authority / name) for name in ("server.pem", "server.key", "ca.key", "encrypted.key")
    )
    notes, none = tmp_path / "notes", tmp_path / "none"
    notes.write_text("precious")
    for arguments, words in [
        (("--tls-cert", cert, "--tls-key", other), f"{other} is not the key of the certificate in {cert}"),
        (("--tls-cert", cert, "--tls-key", str(notes)), f"{cert} and {notes} are not a certificate and its key in PEM"),
        (("--tls-cert", cert), f"{cert} is not a certificate and its key in PEM"),
        (("--tls-cert", str(none)), f"cannot read {none}: No such file or directory"),
        (("--tls-cert", cert, "--tls-key", encrypted), f"{encrypted} is encrypted; steplog serve needs a key without"),
        (("--tls-key", key), "--tls-key needs --tls-cert"),
    ]:
        done = steplog(tmp_path / "state", "serve", "--port", "0", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert words in done.stderr
    assert not (tmp_path / "state").exists()


def test_on_the_port_of_https_names_need_no_port():
    hosts = AllowedHosts(443, ["box.lan"])
    assert all(host in hosts for host in ("localhost", "box.lan", "box.lan:443", "127.0.0.1:443"))
    assert "localhost:8443" not in hosts
