"""Thousands of connections with a key are kept, idle beside working ones, as many as the limit on open files allows."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from server.process import DEADLINE_S, KEY, ServerProcess
from steplog.server.listening import CONNECTIONS_MAX

OWN_DESCRIPTORS = 256
BEFORE = 511  # idle connections that an older server kept, before it answered all others 503


@contextmanager
def open_files(wanted: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this machine allows {hard} open files, and {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Idle:
    """Connections to a server that ask now and then; what each was answered is ``statuses``."""

    def __init__(self, stack: ExitStack, server: ServerProcess) -> None:
        self._stack = stack
        host, _, port = server.url.removeprefix("http://").partition(":")
        self._address = host, int(port)
        self._ask = (
            f"HEAD /api/v0/verify-api-key/ HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Api-Key {KEY}\r\n\r\n"
        ).encode()
        self._open: list[socket.socket] = []

    def connect(self, count: int) -> None:
        for _ in range(count):
            connection = self._stack.enter_context(socket.create_connection(self._address, DEADLINE_S))
            self._open.append(connection)
            connection.sendall(self._ask)

    def ask(self) -> None:
        for connection in self._open:
            connection.sendall(self._ask)

    def statuses(self) -> set[bytes]:
        return {connection.recv(4096)[:13] for connection in self._open}


def kept_beside_a_working_client(server: ServerProcess, count: int) -> None:
    run = server.new_run()
    with ExitStack() as stack:
        idle = Idle(stack, server)
        idle.connect(count)
        assert idle.statuses() == {b"HTTP/1.1 200 "}
        for step in range(10):
            answer = server.ask("POST", f"{run}metrics/", json={"name": "loss", "value": 0.5, "step": step})
            assert answer.status_code == 201
        idle.ask()
        assert idle.statuses() == {b"HTTP/1.1 200 "}


def test_more_idle_connections_with_a_key_are_kept_than_places_without_one(server):
    with open_files(BEFORE + 100 + OWN_DESCRIPTORS):
        kept_beside_a_working_client(server, BEFORE + 100)


@pytest.mark.slow
@pytest.mark.parametrize("count", [4096, 10_000])
def test_thousands_that_connect_at_once_are_all_answered_and_kept(tmp_path, count):
    with open_files(count + OWN_DESCRIPTORS), ServerProcess(tmp_path) as server:
        kept_beside_a_working_client(server, count)
        assert server.end() == (0, "")


def test_it_says_at_its_start_how_many_the_machine_allows_if_those_are_fewer(tmp_path, server):
    few = ("sh", "-c", 'ulimit -n 1024; exec "$@"', "sh")
    with ServerProcess(tmp_path, under=few) as limited:
        words = f"512 connections instead of {CONNECTIONS_MAX:,}: 1,024 files may be open; see ulimit -Hn"
        assert f"  limit     {words}\n" in limited.said
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard >= CONNECTIONS_MAX + 512:
        assert "limit" not in server.said
