"""Servers that are killed while contents arrive, and several of one database: what is said to be there is whole."""

from __future__ import annotations

import hashlib
import random
import signal
import threading
from contextlib import ExitStack, suppress

import pytest
import requests

import postgresql
from server.process import ServerProcess
from steplog.server.blobs.folder import FolderContents

pytestmark = pytest.mark.slow
BLOBS = "/team/projects/mnist/blobs/"
PART = 300_000
OBJECTS = "file://{}/objects"


def sha_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(server: ServerProcess, data: bytes, first: int) -> requests.Response:
    part = data[first : first + PART]
    headers = {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(data)}"}
    return server.ask("PUT", BLOBS + sha_of(data), data=part, headers=headers, allow_redirects=False)


def asked(server: ServerProcess, data: bytes) -> int | None:
    """How far a content has come; None: it is there."""
    headers = {"Content-Range": f"bytes */{len(data)}"}
    answer = server.ask("PUT", BLOBS + sha_of(data), headers=headers, allow_redirects=False)
    if answer.status_code == 308:
        return int(answer.headers["Range"].rpartition("-")[2]) + 1 if "Range" in answer.headers else 0
    assert answer.status_code in (200, 201), answer.text
    return None


def upload(server: ServerProcess, data: bytes) -> None:
    first: int | None = asked(server, data)
    while first is not None:
        answer = put(server, data, first)
        assert answer.status_code in (200, 201, 308, 503), answer.text
        first = asked(server, data)


def read(server: ServerProcess, data: bytes) -> bytes:
    answer = server.ask("GET", BLOBS + sha_of(data))
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("blobs", ["{}/blobs", OBJECTS], ids=["folder", "objects"])
def test_a_server_that_is_killed_while_contents_arrive_goes_on_with_them(tmp_path, blobs):
    randomness = random.Random(1)
    contents = [randomness.randbytes(randomness.randrange(1, 4 * PART)) for _ in range(8)]
    with ServerProcess(tmp_path, "--blobs", blobs.format(tmp_path)) as server:
        server.new_run()
        for _ in range(3):
            killer = threading.Timer(randomness.uniform(0.01, 0.3), server.process.kill)
            killer.start()
            with suppress(requests.ConnectionError):
                for data in contents:
                    upload(server, data)
            killer.join()
            server.end(signal.SIGKILL)
            server.start()
            for data in contents:
                if asked(server, data) is None:
                    assert read(server, data) == data
        for data in contents:
            upload(server, data)
            assert read(server, data) == data


@pytest.mark.parametrize("blobs", ["{}/blobs", OBJECTS], ids=["folder", "objects"])
def test_servers_of_one_database_take_parts_of_one_content_in_turn(tmp_path, blobs):
    url, place = postgresql.new_store(), blobs.format(tmp_path)
    place = place if "://" in place else str(tmp_path / place)
    with ExitStack() as stack:
        servers = []
        for name in "ab":
            (tmp_path / name).mkdir(mode=0o700)
            servers.append(stack.enter_context(ServerProcess(tmp_path / name, "--blobs", place, store=url)))
        servers[0].new_run()
        data = random.Random(2).randbytes(5 * PART + 17)
        for number, first in enumerate(range(0, len(data), PART)):
            answer = put(servers[number % 2], data, first)
            assert answer.status_code == (201 if first + PART >= len(data) else 308), answer.text
        assert [read(server, data) for server in servers] == [data, data]
        assert asked(servers[0], data) is None


def test_clients_that_send_one_content_to_several_servers_at_once_all_have_it(tmp_path):
    url, place = postgresql.new_store(), tmp_path / "blobs"
    with ExitStack() as stack:
        servers = []
        for name in "ab":
            (tmp_path / name).mkdir(mode=0o700)
            servers.append(stack.enter_context(ServerProcess(tmp_path / name, "--blobs", str(place), store=url)))
        servers[0].new_run()
        data = random.Random(3).randbytes(5 * PART + 17)
        clients = [threading.Thread(target=upload, args=(server, data)) for server in servers * 2]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert read(servers[1], data) == data
    assert FolderContents(place).size(sha_of(data)) == len(data)
    assert list((place / "uploads").iterdir()) == []
