"""Behind nginx and HAProxy: who asks, by which scheme, and that servers are exchanged without a failed request."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

import postgresql
from certificates import NAME, make_authority
from polling import wait_until
from server.batches import range_of
from server.process import BATCH_HEADERS, DEADLINE_S, KEY, ServerProcess, lasting_port
from steplog.delivery.wire import API
from steplog.journal.range import encode
from steplog.server.byte_ranges import PART_BYTES_MAX

NGINX = """
daemon off; pid {at}/nginx.pid; error_log {at}/error.log; worker_processes 1;
events {{}}
http {{
  access_log off;
  client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u;
  scgi_temp_path {at}/s;
  client_max_body_size 9m;
  upstream steplog {{ server {upstream}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;
    location / {{
      proxy_pass http://steplog;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-Id $request_id;
    }}
  }}
}}
"""
HAPROXY = """
global
  log stderr format raw local0
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check 10s
  option forwardfor
  retries 3
frontend all
  bind 127.0.0.1:{port}
  http-request set-header X-Forwarded-Proto http
  http-request return status 200 content-type text/plain string both if {{ path /both }} {{ nbsrv(steplog) eq 2 }}
  default_backend steplog
backend steplog
  option httpchk GET /readyz
  default-server check inter 200ms fall 1 rise 1
"""


def program(name: str) -> str:
    """Where it is; skips where it is not."""
    found = shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return found


@contextlib.contextmanager
def running(port: int, *command: str) -> Iterator[None]:
    """A proxy, once it listens."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: process.poll() is not None or listens(port))
        assert process.poll() is None, "it has ended; it may say why in its error.log"
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class From(requests.adapters.HTTPAdapter):
    """Connects from an address of this machine."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)


def browser(authority: Path, address: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(authority)
    session.mount("https://", From(address))
    return session


def check_files(session: requests.Session, blobs: str, keyed: dict[str, str], binding: str) -> None:
    """A largest part is passed on, and a range of it to a browser."""
    content = bytes(range(256)) * (PART_BYTES_MAX // 256)
    blob = f"{blobs}{hashlib.sha256(content).hexdigest()}"
    said = {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}
    sent = session.put(blob, data=content, headers=keyed | said)
    assert sent.status_code == 201, sent.text
    shown = session.get(f"{blob}?binding={binding}", headers={"Range": "bytes=1-9"})
    assert (shown.status_code, shown.content) == (206, content[1:10])


@pytest.mark.parametrize("by", ["port", pytest.param("socket", marks=pytest.mark.slow)])
def test_behind_nginx_the_client_its_scheme_and_the_id_are_those_of_the_browser(tmp_path, by):
    nginx, port = program("nginx"), lasting_port()
    make_authority(tmp_path)
    tmp_path.chmod(0o755)
    one = ("--access-log", "--log-format", "json", "--proxy-headers", "--trusted-proxies", "127.0.0.1")
    one += ("--metrics-from", "127.0.0.1", "--allow-host", f"localhost:{port}")
    if by == "socket":
        one += ("--uds", str(tmp_path / "s.sock"))
    with ServerProcess(tmp_path / "state", *one) as server:
        upstream = f"unix:{tmp_path}/s.sock" if by == "socket" else server.url.removeprefix("http://")
        (tmp_path / "nginx.conf").write_text(NGINX.format(at=tmp_path, port=port, upstream=upstream))
        command = nginx, "-p", str(tmp_path), "-c", "nginx.conf", "-g", "user root;"
        with running(port, *command), browser(tmp_path / "ca.pem", "127.0.0.77") as session:
            url = f"https://localhost:{port}"
            signed_in = session.post(f"{url}{API}/session/", json={"key": KEY}, headers={"Origin": url})
            assert signed_in.status_code == 200, signed_in.text
            cookie = signed_in.headers["Set-Cookie"]
            assert "; Secure" in cookie
            binding = {"Steplog-Binding": signed_in.json()["binding"]}
            made = {"display_name": "behind", "visibility": "TEAM"}
            projects = f"{url}{API}/team/projects/"
            answer = session.post(projects, json=made, headers=binding | {"Origin": url})
            assert answer.status_code == 201, answer.text
            foreign = {"Origin": url.replace("https", "http")}
            assert session.post(projects, json=made, headers=binding | foreign).status_code == 403
            keyed = {"Authorization": f"Api-Key {KEY}"}
            run = session.post(f"{projects}behind/runs/", json={}, headers=keyed).json()["uuid"]
            batch = encode(range_of([("loss", float(at), at) for at in range(2_000)]))
            sent = session.post(
                f"{projects}behind/runs/{run}/metrics/batch/", data=batch, headers=keyed | BATCH_HEADERS
            )
            assert sent.json()["accepted"] == 2_000
            check_files(session, f"{projects}behind/blobs/", keyed, binding["Steplog-Binding"])
            forged = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
            assert session.get(f"{url}/metrics", headers=forged).status_code == 403
            assert session.get(f"{url}/readyz").json()["ready"] is True
            with browser(tmp_path / "ca.pem", "127.0.0.1") as near:
                assert near.get(f"{url}/metrics").status_code == 200
        code, said = server.end()
    assert code == 0
    lines = {line["request_id"]: line for line in map(json.loads, said.splitlines())}
    line = lines[sent.headers["X-Request-Id"]]
    assert len(sent.headers["X-Request-Id"]) == 32, "nginx made it"
    assert (line["client"], line["status"], line["key"]) == ("127.0.0.77", 200, 1)
    assert NAME not in said


class Uploading:
    """A client that uploads batch after batch by way of a proxy until it is told to stop."""

    def __init__(self, url: str, run: str) -> None:
        self.sent = 0
        self.failed: list[str] = []
        self._stopping = threading.Event()
        self._url, self._run = url, run
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        session = requests.Session()
        session.trust_env = False
        session.headers.update({"Authorization": f"Api-Key {KEY}"} | BATCH_HEADERS)
        while not self._stopping.is_set():
            body = encode(range_of([("loss", float(self.sent))], first=self.sent))
            try:
                answer = session.post(f"{self._url}{API}{self._run}metrics/batch/", data=body, timeout=DEADLINE_S)
            except requests.RequestException as error:
                self.failed.append(repr(error))
            else:
                if answer.status_code != 200:
                    self.failed.append(f"{answer.status_code} {answer.text}")
            self.sent += 1

    def end(self) -> None:
        self._stopping.set()
        self._thread.join(DEADLINE_S)


@pytest.mark.slow
def test_servers_are_exchanged_behind_haproxy_without_a_failed_request(tmp_path):
    """Two serve one database; each is told to stop in its turn, drains, and is started again."""
    haproxy, port, database = program("haproxy"), lasting_port(), postgresql.new_database()
    ports = [lasting_port(), lasting_port()]
    options = ("--store", database, "--drain", "3", "--proxy-headers", "--allow-host", f"127.0.0.1:{port}")
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(ServerProcess(tmp_path / str(each), *options, "--port", str(each))) for each in ports
        ]
        lines = [f"  server s{each} 127.0.0.1:{each}\n" for each in ports]
        (tmp_path / "haproxy.cfg").write_text(HAPROXY.format(port=port) + "".join(lines))
        stack.enter_context(running(port, haproxy, "-f", str(tmp_path / "haproxy.cfg")))
        url = f"http://127.0.0.1:{port}"

        def wait_for_both() -> None:
            wait_until(lambda: requests.get(f"{url}/both", timeout=DEADLINE_S).status_code == 200)

        wait_for_both()
        run = servers[0].new_run()
        uploading = Uploading(url, run)
        try:
            for server in servers:
                before = uploading.sent
                wait_until(lambda before=before: uploading.sent > before + 50)
                assert server.end() == (0, "")
                server.start()
                wait_for_both()
        finally:
            uploading.end()
        assert uploading.failed == []
        points = servers[1].ask("GET", f"{run}metrics/").json()
        assert [each["value"] for each in points] == [float(at) for at in range(uploading.sent)]
        for server in servers:
            assert server.end() == (0, "")
