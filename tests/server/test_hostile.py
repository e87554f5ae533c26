"""Malformed input is refused with a reason, costs little memory, and changes nothing."""

from __future__ import annotations

import random
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.batches import range_of
from server.process import BATCH_HEADERS, KEY
from steplog.journal import slot
from steplog.journal.range import encode

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _well(server, run):
    """The server takes a good batch, and has nothing else."""
    yield
    assert server.send(run, range_of([("a", 1.0)], writer="good")).status_code == 200
    assert len(server.ask("GET", f"{run}metrics/").json()) == 1


def post(server: Any, run: str, body: bytes) -> int:
    status: int = server.ask("POST", f"{run}metrics/batch/", data=body, headers=BATCH_HEADERS).status_code
    return status


def body_of(**changes: Any) -> bytes:
    records = range_of([("a", 1.0), ("b", 2)])
    fields = {
        "v": 1,
        "writer": "w",
        "first": 0,
        "end": 2,
        "names": records.names,
        "slots": slot.to_planes(records.slots),
        "payloads": b"",
    }
    return zlib.compress(msgspec.msgpack.encode(fields | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"writer": "../../etc/passwd"},
        {"writer": "x" * 65},
        {"writer": 7},
        {"writer": None},
        {"first": -1},
        {"first": 2**63},
        {"first": 1},
        {"end": 2**62},
        {"end": 0},
        {"end": "2"},
        {"names": {}},
        {"names": {0: "a", 1: ""}},
        {"names": {0: "a", 1: "x" * 257}},
        {"names": {"0": "a"}},
        {"names": [1, 2]},
        {"slots": b""},
        {"slots": bytes(63)},
        {"slots": b"\xff" * 64},
        {"slots": "text"},
        {"payloads": b"more"},
        {"payloads": 2**40},
        {"v": "1"},
        {"v": None},
        {"v": -1},
    ],
    ids=str,
)
def test_a_batch_whose_fields_lie_is_refused(server, run, changes):
    assert post(server, run, body_of(**changes)) in (400, 415)


def test_bodies_that_are_no_batch_are_refused(server, run):
    randomness = random.Random(1)
    good = encode(range_of([("a", 1.0), ("b", b'"x"')]))
    for body in [
        b"",
        b"\0",
        randomness.randbytes(1000),
        good[:-1],
        good + b"x",
        zlib.compress(b""),
        zlib.compress(b"\x91" * MIB),
        zlib.compress(b"\xdf\xff\xff\xff\xff"),
        zlib.compress(b"\x81\xa1v\xc6\xff\xff\xff\xff"),
        zlib.compress(bytes(2 * MIB)),
        *(good[:at] + bytes((good[at] ^ 0xFF,)) + good[at + 1 :] for at in range(len(good))),
    ]:
        assert post(server, run, body) in (400, 415)


def test_a_bomb_is_refused_without_being_inflated(server, run):
    before = resident(server.process.pid)
    bomb = zlib.compress(bytes(1024 * MIB), 9)
    assert len(bomb) < 2 * MIB
    for _ in range(5):
        assert post(server, run, bomb) == 400
    assert resident(server.process.pid) - before < 32 * MIB


def test_bodies_that_are_too_long_are_refused(server, run):
    assert post(server, run, bytes(2 * MIB + 1)) == 413
    assert server.ask("POST", f"{run}metrics/", data=b'{"name": "' + b"x" * 3 * MIB).status_code == 413


def test_deep_json_is_refused_everywhere(server, run):
    deep = b"[" * 100_000 + b"]" * 100_000
    json_ = {"Content-Type": "application/json"}
    for path, body in [
        (f"{run}metrics/", b'{"name": "a", "value": ' + deep + b"}"),
        (f"{run}metrics/", b'{"name": ' + deep + b', "value": 1}'),
        ("/team/projects/", b'{"display_name": ' + deep + b"}"),
        ("/team/projects/", deep),
    ]:
        assert server.ask("POST", path, data=body, headers=json_).status_code == 400
    assert server.send(run, range_of([("a", deep)])).status_code == 400


@pytest.mark.parametrize(
    "name",
    [
        "\0",
        "a\0b",
        "\r\nX: y",
        "\x1b[31m",
        "\u202eevil",
        "<script>alert(1)</script>",
        "../..",
        "💥",
        "' OR 1=1 --",
        " ",
    ],
)
def test_names_are_only_data(server, name):
    run = server.new_run()
    assert server.send(run, range_of([(name, 1.0)])).status_code == 200
    assert server.ask("POST", f"{run}metrics/", json={"name": name, "value": 2}).status_code == 201
    assert [entry["name"] for entry in server.ask("GET", f"{run}metrics/").json()] == [name, name]
    assert server.ask("GET", f"{run}series/", params={"name": name}).json()[0]["last"] == 1.0
    assert server.ask("GET", f"{run}series/").json()[0]["count"] == 2


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/team/projects/../../x/",
        "/team/projects/%00/",
        "//evil.example",
        "/x%0d%0aSet-Cookie:y",
    ],
)
def test_paths_that_climb_lead_nowhere(server, path):
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=30) as connection:
        head = f"GET /api/v0{path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nAuthorization: Api-Key {KEY}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    status, _, rest = answer.partition(b"\r\n")
    assert status.split()[1] in (b"404", b"301", b"400")
    assert b"root:" not in rest
    assert b"\r\nset-cookie" not in rest.lower()
    assert b"location: http://evil" not in rest.lower()


def test_requests_that_are_no_http_are_refused(server):
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    for sent in [
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 100_000,
        struct.pack(">I", 2**31),
    ]:
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass


def resident(pid: int) -> int:
    """The bytes of memory that a process has."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * 4096
