"""Access needs a known host name and the key, which nothing reveals."""

from __future__ import annotations

import hashlib
import http.client
import sqlite3

import pytest

from server.process import KEY, ServerProcess
from steplog import instance
from steplog.server.access import AllowedHosts

GOOD = ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"]
BAD = [
    "",
    "127.0.0.1",
    "localhost",
    "127.0.0.1:{other}",
    "localhost:{other}",
    "[::1]",
    "::1:{port}",
    "[::1]:{other}",
    "evil.example",
    "evil.example:{port}",
    "localhost.evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "evil.example:{port}@localhost:{port}",
    "localhost:{port}@evil.example",
    "localhost:{port}.evil.example",
    "localhost.:{port}",
    "127.0.0.2:{port}",
    "127.1:{port}",
    "0x7f000001:{port}",
    "2130706433:{port}",
    "0.0.0.0:{port}",
    "localhost:{port}/",
    "localhost:{port}:{port}",
    "http://localhost:{port}",
    "localhost :{port}",
    "localhost:0{port}",
]


@pytest.mark.parametrize(("names", "status"), [(GOOD, 200), (BAD, 400)])
def test_a_host_header_must_be_a_name_of_this_server_with_its_port(server, names, status):
    port = int(server.url.rpartition(":")[2])
    for name in names:
        host = name.format(port=port, other=port + 1)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.putrequest("GET", "/api/v0/verify-api-key/", skip_host=True)
        connection.putheader("Host", host)
        connection.putheader("Authorization", f"Api-Key {KEY}")
        connection.endheaders()
        assert (host, connection.getresponse().status) == (host, status)
        connection.close()


def test_a_request_with_two_hosts_or_none_is_refused(server):
    host = server.url.removeprefix("http://")
    for hosts in ([], [host, host], [host, "evil.example"]):
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.putrequest("GET", "/api/v0/verify-api-key/", skip_host=True)
        for name in hosts:
            connection.putheader("Host", name)
        connection.endheaders()
        assert connection.getresponse().status == 400
        connection.close()


def test_configured_hosts_are_answered_with_their_port_or_any():
    hosts = AllowedHosts(80, ["box.lan:8080", "127.0.0.1"])
    for host in ("localhost", "localhost:80", "[::1]", "box.lan:8080", "BOX.lan:8080", "127.0.0.1:1234"):
        assert host in hosts
    for host in ("box.lan", "box.lan:8081", "localhost:8080", "[::1]:x", None, "127.0.0.1:", "127.0.0.1:x"):
        assert host not in hosts


def test_every_answer_forbids_guessing_its_type_and_keeping_it(server):
    for path in ("/verify-api-key/", "/nowhere/"):
        headers = server.ask("GET", path).headers
        assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")


def test_the_server_proves_that_it_wrote_the_state_file(server):
    state = instance.read(server.state)
    assert state is not None
    answer = server.ask("GET", "/instance/?nonce=abc", headers={"Authorization": None})
    assert answer.status_code == 200
    assert answer.json() == {"instance": state.instance, "proof": instance.proof(state.secret, "abc")}
    assert (state.base_url, state.api_key) == (server.url, KEY)
    for query in ("", "?nonce=", "?nonce=" + "x" * 300):
        assert server.ask("GET", f"/instance/{query}").status_code == 400


def test_the_database_keeps_the_hash_of_a_key_and_not_the_key(server):
    server.new_run()
    state = {server.state, *(server.directory / "servers").glob("*.json")}
    for file in server.directory.rglob("*"):
        assert file in state or not file.is_file() or KEY.encode() not in file.read_bytes()
    connection = sqlite3.connect(server.database)
    assert connection.execute("SELECT hash FROM keys").fetchall() == [(hashlib.sha256(KEY.encode()).digest(),)]
    connection.close()


def test_a_refused_upload_hears_why_although_it_was_not_read(server, run):
    """The connection used to be reset while the client was still sending."""
    for headers in ({"Authorization": "Api-Key wrong"}, {"Host": "evil.example"}):
        answer = server.ask("POST", f"{run}metrics/batch/", data=bytes(2 * 1024 * 1024), headers=headers)
        assert answer.status_code in (400, 401)
    answer = server.ask("POST", f"{run}metrics/", data=bytes(6 * 1024 * 1024))
    assert answer.status_code == 413


def test_with_namespaces_named_only_those_and_the_users_own_exist(tmp_path):
    with ServerProcess(tmp_path, "--namespace", "team", "--user", "Ann B", "--email", "ann@example.org") as server:
        body = {"display_name": "x", "visibility": "TEAM"}
        statuses = [server.ask("POST", f"/{ns}/projects/", json=body).status_code for ns in ("team", "ann-b", "other")]
        assert statuses == [201, 201, 404]
        answer = server.ask("GET", "/verify-api-key/").json()
        assert (answer["username"], answer["email"]) == ("Ann B", "ann@example.org")


def test_a_stock_server_has_none_of_the_additions(tmp_path):
    with ServerProcess(tmp_path, "--stock") as server:
        body = {"display_name": "mnist", "visibility": "TEAM"}
        assert server.ask("POST", "/team/projects/", json=body).status_code == 201
        runs = "/team/projects/mnist/runs/"
        headers = {"Idempotency-Key": '"id:k"', "Steplog-Maker": "m", "Steplog-Resume": "must"}
        first, second = (server.ask("POST", runs, json={}, headers=headers).json() for _ in range(2))
        assert first["uuid"] != second["uuid"]
        fields = ("uuid", "name", "description", "status", "date_created", "date_updated", "project", "user")
        assert set(first) == set(fields)
        run = f"{runs}{first['uuid']}/"
        assert server.ask("GET", run).status_code == 405
        assert server.ask("POST", f"{run}metrics/batch/", data=b"x").status_code == 404
        assert server.ask("GET", f"{run}series/").status_code == 404
        deleted = server.ask("DELETE", run)
        assert (deleted.status_code, deleted.headers["Allow"]) == (405, "PATCH")
        for path in (f"{run}restore/", f"{run}generations/"):
            assert server.ask("POST", path, json={}, headers=headers).status_code == 404
        assert len(server.ask("GET", f"{runs}?trash=1").json()) == 2
        renamed = server.ask("PATCH", run, json={"name": "other", "tags": 7, "generation": "x"}).json()
        assert (renamed["name"], set(renamed)) == (first["name"], set(fields))
        for _ in range(2):
            assert server.ask("POST", f"{run}metrics/", json={"name": "a", "value": 1}).status_code == 201
        assert [entry["step"] for entry in server.ask("GET", f"{run}metrics/").json()] == [0, 1]
        patched = server.ask("PATCH", run, json={"status": "FAILED", "report": "nothing that it knows"}).json()
        assert (patched["status"], "report" in patched) == ("FAILED", False)
        assert ["report" in each for each in server.ask("GET", runs).json()] == [False, False]
        assert not server.state.exists()
