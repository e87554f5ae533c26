"""A server that was found through the state directory: who may be in its place, and what it is sent then."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.process import DEADLINE_S, SOURCES, ServerProcess
from steplog import instance
from steplog.client import client_for
from steplog.delivery.exchange import Request
from steplog.errors import ServerUnavailableError
from steplog.file_lock import FileLock
from steplog.instance import Instance
from steplog.settings import resolve
from steplog.testing import answer
from steplog.unix_socket import bind_private, socket_address

ID = "a" * 32
KEY = "the-key-of-the-embedded-server"
GET = Request("GET", "/api/v0/x/")
STRANGER = 54321  # no user of this machine


class Listening:
    """A program that listens on a server's socket, and answers every request with 200."""

    def __init__(self, directory: Path, backlog: int = 16) -> None:
        self.directory = directory
        paths = instance.paths_of(directory, ID)
        instance.write(paths.state, Instance(ID, "http://127.0.0.1:1", "s", KEY, "ann", started_ns=1, socket=True))
        self.lock = FileLock.take(paths.lock)
        self.listener = bind_private(paths.socket, backlog)
        self.heads: list[bytes] = []

    def fill(self) -> None:
        """Leave no room in the backlog: Linux takes one more than it is told."""
        self.listener.listen(0)
        self.pending = socket.socket(socket.AF_UNIX)
        with socket_address(instance.paths_of(self.directory, ID).socket) as address:
            self.pending.connect(address)

    def serve(self) -> None:
        """Answer one connection."""
        connection, _ = self.listener.accept()
        with connection:
            while head := connection.recv(65536):
                self.heads.append(head)
                connection.sendall(answer(200, b"{}"))


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    made = Listening(tmp_path)
    yield made
    made.listener.close()


def transport(directory: Path, **settings: object):
    client = client_for(resolve(dir=directory, **settings), f"steplog-local:{ID}")
    assert client is not None
    return client.transport


def test_a_request_bears_the_servers_id_as_its_host_and_its_key(listening, tmp_path):
    serving = threading.Thread(target=listening.serve)
    serving.start()
    way = transport(tmp_path)
    assert way.exchange(GET, DEADLINE_S).status == 200
    way.close()
    serving.join(DEADLINE_S)
    (head,) = listening.heads
    assert f"Host: {ID}\r\n".encode() in head
    assert f"Authorization: Api-Key {KEY}\r\n".encode() in head


def test_a_stream_comes_over_the_servers_socket(listening, tmp_path):
    serving = threading.Thread(target=listening.serve)
    serving.start()
    client = client_for(resolve(dir=tmp_path), f"steplog-local:{ID}")
    assert client is not None
    for _ in range(2):
        with client.stream("GET", GET.path) as stream:
            assert (stream.status, b"".join(stream)) == (200, b"{}")
    client.close()
    serving.join(DEADLINE_S)
    assert [f"Api-Key {KEY}\r\n".encode() in head for head in listening.heads] == [True, True]


def test_a_server_that_ends_is_not_running_and_where_it_is_back_is_seen_at_once(listening, tmp_path):
    way = transport(tmp_path)
    listening.listener.close()
    for _ in range(2):
        with pytest.raises(ServerUnavailableError, match=r"^http://127.0.0.1:1: not running; type: steplog serve$"):
            way.exchange(GET, DEADLINE_S)
        listening.lock.release()  # as a kill does
    again = Listening(tmp_path)
    serving = threading.Thread(target=again.serve)
    serving.start()
    assert way.exchange(GET, DEADLINE_S).status == 200
    way.close()
    serving.join(DEADLINE_S)
    again.listener.close()


def test_a_full_backlog_is_waited_for_within_the_time_for_connecting(listening, tmp_path):
    """connect(2) says EAGAIN at once, whatever the time-out."""
    listening.fill()
    with listening.pending:
        with pytest.raises(ServerUnavailableError, match=r"no connection within 0\.2 s"):
            transport(tmp_path, connect_timeout_s=0.2).exchange(GET, DEADLINE_S)
        room = threading.Timer(0.2, lambda: (listening.listener.accept()[0].close(), listening.serve()))
        room.start()
        way = transport(tmp_path)
        assert way.exchange(GET, DEADLINE_S).status == 200
        way.close()
        room.join(DEADLINE_S)


def test_waiting_for_a_full_backlog_ends_at_an_abort(listening, tmp_path):
    listening.fill()
    with listening.pending:
        way = transport(tmp_path)
        threading.Timer(0.1, lambda: way.abort(GET)).start()
        with pytest.raises(ServerUnavailableError, match="ended before the answer came"):
            way.exchange(GET, DEADLINE_S)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can listen as another user")
def test_a_socket_on_which_another_user_listens_is_sent_nothing(listening, tmp_path):
    """The kernel says who called listen(2): here a child that took the socket over and gave up its rights."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(STRANGER)
        listening.listener.listen(8)
        os.write(writing, b"!")
        connection, _ = listening.listener.accept()
        os._exit(1 if connection.recv(1) else 0)
    os.read(reading, 1)
    with pytest.raises(ServerUnavailableError, match="another program has the place of steplog serve"):
        transport(tmp_path).exchange(GET, DEADLINE_S)
    assert os.waitpid(child, 0)[1] == 0


def in_a_user_namespace(directory: Path) -> subprocess.CompletedProcess[str]:
    """A client that no user of this machine is shown to."""
    source = "from steplog.client import find_local; print(find_local().login().username)"
    environment = os.environ | {"PYTHONPATH": str(SOURCES), "STEPLOG_DIR": str(directory)}
    done = subprocess.run(
        ["unshare", "--user", sys.executable, "-c", source],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if "unshare: " in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr}")
    return done


def test_where_a_namespace_hides_who_listens_the_server_proves_itself_first(tmp_path):
    with ServerProcess(tmp_path, "--user", "ann"):
        done = in_a_user_namespace(tmp_path)
        assert (done.returncode, done.stdout) == (0, "ann\n"), done.stderr


def test_where_a_namespace_hides_who_listens_one_without_the_proof_sees_no_key(listening, tmp_path):
    serving = threading.Thread(target=listening.serve)
    serving.start()
    done = in_a_user_namespace(tmp_path)
    serving.join(DEADLINE_S)
    assert "another program has the place of steplog serve" in done.stderr
    assert [head.split(b"?")[0] for head in listening.heads] == [b"GET /api/v0/instance/"]
    assert KEY.encode() not in b"".join(listening.heads)


def test_a_key_that_the_server_was_started_with_anew_is_taken_from_its_state_file(tmp_path):
    with ServerProcess(tmp_path, "--api-key", "the-first-key-of-it") as server:
        (name,) = (path.name for path in (tmp_path / "servers").glob("*.json"))
        client = client_for(resolve(dir=tmp_path), f"steplog-local:{name.split('.')[1]}")
        assert client is not None
        assert client.login().username
        server.end()
    with ServerProcess(tmp_path, "--api-key", "the-second-key-of-it"):
        assert client.transport.exchange(Request("GET", "/api/v0/verify-api-key/"), DEADLINE_S).status == 401
        assert client.transport.refresh_key()
        assert client.transport.exchange(Request("GET", "/api/v0/verify-api-key/"), DEADLINE_S).status == 200
