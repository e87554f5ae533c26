"""What the proxy of these tests loses: an answer, and never what was asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from once.cutting import CuttingProxy


class Echo(threading.Thread):
    """Answers each line with itself, and keeps it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard: list[bytes] = []

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:  # closed
                return
            with connection, connection.makefile("rwb") as file:
                for line in file:
                    self.heard.append(line)
                    file.write(line)
                    file.flush()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    made.start()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()
    made.join()


def test_an_answer_that_is_cut_is_lost_with_its_connection_and_the_next_comes(echo):
    answers = iter([False, True, False])
    with CuttingProxy(echo.port, lambda: next(answers)) as proxy:
        address = ("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=10) as first, first.makefile("rwb", buffering=0) as file:
            for line, answer in ((b"one\n", b"one\n"), (b"two\n", b"")):
                file.write(line)
                assert file.readline() == answer
        with socket.create_connection(address, timeout=10) as second, second.makefile("rwb", buffering=0) as file:
            file.write(b"two\n")
            assert file.readline() == b"two\n"
    assert echo.heard == [b"one\n", b"two\n", b"two\n"]


def test_who_asks_while_the_server_is_away_is_hung_up_on():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with CuttingProxy(port, lambda: False) as proxy:
        address = ("127.0.0.1", int(proxy.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=10) as connection:
            assert connection.recv(1) == b""
