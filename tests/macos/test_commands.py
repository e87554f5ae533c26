"""Commands on a Mac, which the shim stands for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from macos.mac import Mac

PEER = """
import os, sys
from pathlib import Path
from steplog.unix_socket import bind_private, peer_of, socket_address
import socket
path = Path(sys.argv[1])
listener = bind_private(path, 1)
assert path.stat().st_mode & 0o777 == 0o600
with socket.socket(socket.AF_UNIX) as client:
    with socket_address(path) as address:
        assert len(os.fsencode(address)) <= 103
        client.connect(address)
    peer = peer_of(client)
    print(peer.pid == os.getpid(), peer.is_ours)
"""
SAMPLED = """
import steplog, sys
run = steplog.init(project="p", name="sampled")
run.log("loss", 1.0)
print("psutil" in sys.modules)
run.finish()
"""


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mac:
    monkeypatch.delenv("STEPLOG_MEMORY_DIR")
    return Mac(tmp_path)


def test_doctor_finds_nothing_wrong_with_a_mac(mac):
    checks = {check["name"]: check for check in json.loads(mac.steplog("doctor", "--json"))["checks"]}
    assert not [check for check in checks.values() if check["state"] == "bad"]
    assert checks["python"]["state"] == "good"
    assert " on Darwin, " in checks["python"]["words"]
    assert checks["shared memory"]["state"] == "good"
    assert checks["shared memory"]["words"].startswith(f"{mac.caches / 'steplog'}, 0 bytes in use, ")


def test_doctor_names_the_memory_directory_and_the_server_that_runs(mac):
    with mac.serving() as server:
        mac.run("-c", SAMPLED)
        found = json.loads(mac.steplog("doctor", "--json"))
        words = {check["name"]: check["words"] for check in found["checks"]}
        assert words["shared memory"].startswith(f"{mac.memory()[0]}, ")
        assert words["server"] == f"{server.url}, takes batches"
        assert [each["process"] for each in found["servers"]] == [server.process.pid]


def test_doctor_says_what_system_metrics_need(mac):
    [check] = [
        each for each in json.loads(mac.steplog("doctor", "--json"))["checks"] if each["name"] == "system metrics"
    ]
    assert check["state"] == "note"
    assert check["words"] == "none: pip install 'steplog[system]', which is psutil"


def test_without_psutil_a_run_has_no_system_metrics_and_no_fault(mac):
    done = mac.run("-c", SAMPLED, STEPLOG_MODE="offline", STEPLOG_SYSTEM_INTERVAL_S="1", STEPLOG_QUIET="1")
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.slow
def test_the_demo_loses_nothing(mac):
    found = json.loads(mac.steplog("demo", "--seconds", "6", "--json"))
    assert found["good"]


def test_waiting_runs_are_listed(mac):
    mac.run("-c", SAMPLED, STEPLOG_MODE="offline")
    assert "sampled" in mac.steplog("ls", "--here")


def test_a_socket_at_a_long_path_is_private_and_tells_its_peer(mac, tmp_path):
    directory = tmp_path / "d".ljust(90, "d")
    directory.mkdir()
    assert mac.run("-c", PEER, str(directory / "socket")).stdout == "True True\n"
    assert not [name for name in os.listdir("/tmp") if os.path.lexists(f"/tmp/{name}/d") and name[:8] == "steplog-"]


def test_one_database_has_one_server_whatever_path_leads_to_it(mac, tmp_path):
    """By a lock of the open file, whose structure macOS orders otherwise than Linux."""
    first, second = tmp_path / "one" / "a.db", tmp_path / "two" / "b.db"
    for path in (first, second):
        path.parent.mkdir(mode=0o700)
    with mac.serving("--db", str(first)):
        os.link(first, second)
        done = mac.run("-m", "steplog", "serve", "--port", "0", "--db", str(second), code=1)
        assert "is in use by another steplog server" in done.stderr


def test_the_server_takes_as_many_connections_as_the_system_lets_it(mac):
    code = "from steplog.server.listening import connections_max; print(connections_max())"
    assert mac.run("-c", code).stdout == f"{10_240 - 512}\n"
