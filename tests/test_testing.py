"""The public fakes do what they say."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from typing import Any

import pytest

from polling import wait_until
from steplog.delivery.exchange import Request
from steplog.testing import FakeClock, HostileServer, Peer, answer
from steplog.testing.memory_server import MemoryServer


class TestFakeClock:
    def test_time_passes_only_when_it_is_told_to(self):
        clock = FakeClock(monotonic_s=10, time_ns=5_000_000_000)
        assert (clock.monotonic(), clock.time_ns()) == (10, 5_000_000_000)
        clock.advance(2.5)
        clock.sleep(0.5)
        assert (clock.monotonic(), clock.time_ns()) == (13, 8_000_000_000)
        assert clock.slept == [0.5]

    def test_the_wall_clock_can_be_set_back_and_the_monotonic_one_cannot(self):
        clock = FakeClock(monotonic_s=10, time_ns=5_000_000_000)
        clock.step_wall(-2)
        assert (clock.monotonic(), clock.time_ns()) == (10, 3_000_000_000)
        with pytest.raises(ValueError, match="does not go back"):
            clock.advance(-1)


class TestHostileServer:
    def test_each_connection_plays_the_next_script_and_the_last_one_plays_on(self):
        def says(text: bytes):
            return lambda peer: (peer.request(), peer.send(answer(200, text)))

        with HostileServer(says(b"1"), says(b"2")) as server:
            bodies = []
            for _ in range(3):
                with socket.create_connection((server.host, server.port), timeout=5) as connection:
                    connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
                    bodies.append(connection.makefile("rb").read().partition(b"\r\n\r\n")[2])
            assert bodies == [b"1", b"2", b"2"]
            assert server.connections == 3
            assert [request[-3:] for request in server.requests] == [b"abc"] * 3

    def test_two_requests_that_come_at_once_are_told_apart(self):
        def twice(peer: Peer) -> None:
            peer.send(peer.request() + peer.request())

        with (
            HostileServer(twice) as server,
            socket.create_connection((server.host, server.port), timeout=5) as connection,
        ):
            both = b"POST /1 HTTP/1.1\r\nContent-Length: 1\r\n\r\naGET /2 HTTP/1.1\r\n\r\n"
            connection.sendall(both)
            assert connection.makefile("rb").read() == both
            assert len(server.requests) == 2

    def test_leaving_it_ends_every_script_and_leaves_no_thread(self):
        before = threading.active_count()
        begun = time.monotonic()
        with HostileServer(lambda peer: peer.hold(), lambda peer: peer.request()) as server:
            waiting = [socket.create_connection((server.host, server.port), timeout=5) for _ in range(3)]
        assert time.monotonic() - begun < 2
        assert threading.active_count() == before
        for connection in waiting:
            connection.close()

    def test_leaving_it_ends_a_connection_that_comes_to_be_meanwhile(self):
        class Late(ssl.SSLContext):
            """Its connection appears while the server is closing, and is in no list until then."""

            def wrap_socket(self, sock: socket.socket, **_: Any) -> Any:
                late = socket.socket(fileno=sock.detach())
                server.stopped.wait()
                return late

        server = HostileServer(lambda peer: peer.request(), tls=Late(ssl.PROTOCOL_TLS_SERVER))
        with socket.create_connection((server.host, server.port), timeout=5) as connection:
            wait_until(lambda: server.connections)
            begun = time.monotonic()
            server.close()
            assert time.monotonic() - begun < 2
            assert connection.recv(1) == b""

    def test_a_script_is_needed(self):
        with pytest.raises(ValueError, match="a script is needed"):
            HostileServer()


class TestMemoryServer:
    @staticmethod
    def ask(server: MemoryServer, method: str, path: str, **fields: str) -> tuple[int, Any]:
        body = json.dumps(fields).encode() if fields else b""
        told = server.exchange(Request(method, f"/api/v0{path}", body), 1.0)
        return told.status, json.loads(told.body)

    def test_a_project_is_found_by_the_slug_of_its_name(self):
        server = MemoryServer()
        wanted = {"display_name": "My Project!", "visibility": "TEAM"}
        assert self.ask(server, "POST", "/me/projects/", **wanted)[0] == 201
        status, told = self.ask(server, "GET", "/me/projects/my-project/")
        assert (status, told["display_name"], told["slug"]) == (200, "My Project!", "my-project")
        assert self.ask(server, "GET", "/me/projects/My%20Project%21/")[0] == 404
        assert self.ask(server, "POST", "/me/projects/", display_name="!", visibility="TEAM")[0] == 400

    def test_a_name_that_is_taken_gets_a_number(self):
        server = MemoryServer()
        server.add_run("me", "demo", "r")
        made = [self.ask(server, "POST", "/me/projects/demo/runs/", name="r")[1]["name"] for _ in range(2)]
        assert made == ["r_1", "r_2"]
