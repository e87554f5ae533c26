"""The public fakes do what they say."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from steplog.testing import FakeClock, HostileServer, Peer, answer


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

    def test_a_script_is_needed(self):
        with pytest.raises(ValueError, match="a script is needed"):
            HostileServer()
