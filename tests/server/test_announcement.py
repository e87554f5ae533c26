"""A server is found by its own state file, for as long as it runs, whoever else serves in the same directory."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from polling import wait_until
from server.process import ServerProcess
from steplog import instance
from steplog.client import find_local
from steplog.instance import Instance
from steplog.server.announcement import Announcement
from steplog.settings import resolve

ONE, TWO = "1" * 32, "2" * 32


def found(directory: Path) -> str | None:
    """The address of the server that a client with no configuration takes."""
    client = find_local(resolve(dir=directory))
    return None if client is None else client.base_url


def states(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "servers").iterdir())


def a_state(name: str, base_url: str = "http://127.0.0.1:1", started_ns: int = 0) -> Instance:
    return Instance(name, base_url, "secret", "key", "ann", started_ns=started_ns)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("ends", ["first", "second"])
def test_of_two_servers_in_a_directory_the_one_that_ends_does_not_hide_the_other(tmp_path, ends, number):
    """The second to start took the only state file, and took it along."""
    with (
        ServerProcess(tmp_path / "state") as first,
        ServerProcess(tmp_path / "state", "--db", str(tmp_path / "b.db")) as second,
    ):
        assert found(first.directory) == first.url
        ended, stays = (first, second) if ends == "first" else (second, first)
        ended.end(number)
        assert found(stays.directory) == stays.url
        assert len(states(stays.directory)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_server_json_is_that_of_the_oldest_server_that_runs(tmp_path, number):
    with (
        ServerProcess(tmp_path / "state") as first,
        ServerProcess(tmp_path / "state", "--db", str(tmp_path / "b.db")) as second,
    ):
        told = instance.read(first.state)
        assert told is not None
        assert told.base_url == first.url
        first.end(number)
        wait_until(lambda: (told := instance.read(first.state)) is not None and told.base_url == second.url)
        second.end()
        assert not second.state.exists()


def test_what_a_killed_server_left_is_skipped_at_once_and_removed_by_who_looks(tmp_path):
    with ServerProcess(tmp_path) as server:
        assert len(states(tmp_path)) == 3
        server.end(signal.SIGKILL)
        assert len(states(tmp_path)) == 3
        assert found(tmp_path) is None
        assert states(tmp_path) == []
        assert not server.state.exists()
        server.start()
        assert found(tmp_path) == server.url


def test_its_files_are_this_users_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        server = ServerProcess(tmp_path / "state")
    finally:
        os.umask(before)
    with server:
        files = list((server.directory / "servers").iterdir())
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
        assert (server.directory / "servers").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("length", [1, 200])
def test_a_socket_is_bound_and_connected_to_however_long_its_path_is(length):
    """An address has room for 107 bytes."""
    with tempfile.TemporaryDirectory() as short:
        serves_in(Path(short) / ("d" * length))


def serves_in(directory: Path) -> None:
    with ServerProcess(directory) as server:
        client = find_local(resolve(dir=directory))
        assert client is not None
        assert client.base_url == server.url
        assert client.login().username
        told = instance.read(server.state)
        assert told is not None
        assert told.socket


@pytest.mark.slow
def test_of_a_copied_database_one_server_is_found_and_the_other_serves(tmp_path):
    with ServerProcess(tmp_path) as server:
        server.end()
    shutil.copy(server.database, tmp_path / "copy.db")
    with ServerProcess(tmp_path) as server, ServerProcess(tmp_path, "--db", str(tmp_path / "copy.db")) as copy:
        assert copy.ask("GET", "/verify-api-key/").status_code == 200
        assert "nothing to set" not in copy.said
        copy.end()
        assert found(tmp_path) == server.url


def test_where_no_socket_can_be_bound_it_is_found_over_tcp_by_its_proof(tmp_path):
    with ServerProcess(tmp_path) as server:
        (state,) = (tmp_path / "servers").glob("*.json")
        server.end()
    blocked = state.with_suffix(".sock")
    blocked.mkdir()
    (blocked / "in the way").touch()
    with ServerProcess(tmp_path) as server:
        told = instance.read(state)
        assert told is not None
        assert not told.socket
        client = find_local(resolve(dir=tmp_path))
        assert client is not None
        assert client.login().username
        assert client.base_url == server.url


def test_a_server_of_another_host_on_the_same_disk_is_neither_found_nor_removed(tmp_path):
    there = tmp_path / "servers" / f"{'0' * 16}.{ONE}.json"
    (tmp_path / "servers").mkdir(mode=0o700)
    instance.write(there, a_state(ONE, started_ns=1))
    assert found(tmp_path) is None
    assert there.exists()


def test_several_are_in_the_order_in_which_they_started(tmp_path):
    announced = [Announcement(tmp_path, name) for name in (TWO, ONE)]
    for each, name in zip(announced, (TWO, ONE), strict=True):
        assert each.publish(a_state(name)) is not None
    assert [each.instance for each in instance.living(tmp_path)] == [TWO, ONE]
    for each in announced:
        each.close()
    assert instance.living(tmp_path) == []
    assert states(tmp_path) == []


@pytest.mark.parametrize("listens", [True, False])
def test_the_file_of_a_server_of_0_1_is_kept_while_something_listens_there(tmp_path, listens):
    with socket.create_server(("127.0.0.1", 0)) as older:
        base_url = f"http://127.0.0.1:{older.getsockname()[1]}"
        instance.write(instance.state_path(tmp_path), a_state("older", base_url))
        if not listens:
            older.close()
        announcement = Announcement(tmp_path, ONE)
        announcement.publish(a_state(ONE))
        told = instance.read(instance.state_path(tmp_path))
        assert told is not None
        assert told.instance == ("older" if listens else ONE)
        announcement.close()
        assert instance.state_path(tmp_path).exists() == listens


def test_a_directory_that_others_may_write_in_gets_no_files(tmp_path):
    tmp_path.chmod(0o777)
    announcement = Announcement(tmp_path, ONE)
    assert announcement.publish(a_state(ONE)) is None
    assert announcement.socket is None
    announcement.close()
    assert list(tmp_path.iterdir()) == []
