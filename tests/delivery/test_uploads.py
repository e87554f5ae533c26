"""Files on their way to the server: what is sent when, and what becomes of what fails."""

from __future__ import annotations

import errno
import hashlib
import os

import pytest

from delivery.waiting import FakeFiles, Lane, Timed, asked
from steplog.delivery import wire
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Request
from steplog.delivery.upload_queue import PART_BYTES_MAX, PART_BYTES_MIN
from steplog.delivery.uploads import REFUSED_INTERVAL_S
from steplog.errors import ServerUnavailableError
from steplog.testing.memory_server import Fault, MemoryServer

MIB = 1024 * 1024


def data(size: int, seed: int = 1) -> bytes:
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


def puts(lane: Lane) -> list[Request]:
    return [request for request, _ in lane.server.requests if request.method == "PUT"]


def test_a_file_is_announced_sent_and_forgotten():
    files = FakeFiles()
    entry = files.add(data(1000), "a.bin")
    lane = Lane(files)
    lane.deliver()
    assert asked(lane) == ["files", "bytes 0"]
    assert lane.told.files == {entry.id: entry}
    assert lane.contents == {entry.sha256: data(1000)}
    assert (files.known, files.contents) == ({}, {})


def test_a_content_that_the_server_has_is_not_sent():
    first, second = FakeFiles(), FakeFiles()
    first.add(data(1000), "a.bin")
    lane = Lane(first)
    lane.deliver()
    second.add(data(1000), "b.bin")
    second.known = {entry.id[::-1]: entry for entry in second.known.values()}
    again = Lane(second, server=lane.server, features=False)
    again.deliver()
    assert len(puts(again)) == 1
    assert second.contents == {}


def test_an_empty_file_arrives():
    files = FakeFiles()
    entry = files.add(b"", "empty")
    lane = Lane(files)
    lane.deliver()
    assert asked(lane) == ["files", "ask"]
    assert lane.contents == {entry.sha256: b""}


def test_files_with_one_content_send_it_once():
    files = FakeFiles()
    for number in range(5):
        files.add(data(1000), f"{number}.bin")
    lane = Lane(files)
    lane.deliver()
    assert (len(puts(lane)), len(lane.told.files)) == (1, 5)
    assert files.known == {}


def test_parts_double_after_each_quick_one_up_to_the_largest():
    files = FakeFiles()
    files.add(data(40 * MIB))
    lane = Lane(files)
    lane.deliver()
    sizes = [len(request.body) for request in puts(lane)]
    assert sizes[:6] == [0, MIB, 2 * MIB, 4 * MIB, 8 * MIB, 8 * MIB]
    assert max(sizes) == PART_BYTES_MAX
    assert lane.server.files.received == 40 * MIB


def test_parts_halve_at_a_time_out_down_to_the_smallest_and_go_on_where_they_were():
    files = FakeFiles()
    entry = files.add(data(3 * MIB))
    lane = Lane(files)

    def script(request: Request) -> Fault | None:
        if len(request.body) > PART_BYTES_MIN and request.method == "PUT":
            lane.now += 30.0
            return Fault(reason="no answer within 30 s")
        return None

    lane.server.script = script
    lane.round_trip_s = 3.0  # no part is quick
    lane.deliver(limit_s=10_000)
    assert lane.contents == {entry.sha256: data(3 * MIB)}
    sizes = [len(request.body) for request in puts(lane) if request.body]
    assert sizes[:5] == [MIB, MIB // 2, MIB // 4, MIB // 8, MIB // 16]
    assert set(sizes[4:]) == {PART_BYTES_MIN}
    assert lane.server.files.received == 3 * MIB


def test_a_part_whose_answer_is_lost_is_not_sent_again():
    files = FakeFiles()
    files.add(data(4 * MIB))
    lane = Lane(files)
    lost = iter([Fault.lost()])
    lane.server.script = lambda request: next(lost, None) if len(request.body) == 2 * MIB else None
    lane.deliver()
    assert lane.server.files.received == 4 * MIB
    assert asked(lane)[:6] == ["files", "ask", "bytes 0", f"bytes {MIB}", "ask", f"bytes {3 * MIB}"]


def test_another_process_goes_on_in_the_middle_of_a_file():
    files = FakeFiles()
    files.add(data(8 * MIB))
    lane = Lane(files)
    for _ in range(4):
        lane.turn()
    so_far = lane.server.files.received
    assert 0 < so_far < 8 * MIB
    again = Lane(files, server=lane.server, features=False)
    again.runs[0].line.run = lane.run.line.run
    again.deliver()
    assert lane.server.files.received == 8 * MIB


def test_a_small_file_goes_between_the_parts_of_a_large_one():
    files = FakeFiles()
    large = files.add(data(64 * MIB))
    lane = Lane(files)
    for _ in range(4):
        lane.turn()
    small = files.add(data(100, seed=2))
    for _ in range(5):
        lane.turn()
    assert small.sha256 in lane.contents
    assert large.sha256 not in lane.contents


def test_a_proxy_that_takes_small_bodies_alone_gets_small_parts():
    files = FakeFiles()
    entry = files.add(data(2 * MIB))
    lane = Lane(files)
    too_large = Fault(413, b"<html>413 Request Entity Too Large</html>")
    lane.server.script = lambda request: too_large if len(request.body) > 200_000 else None
    lane.deliver()
    assert lane.contents.keys() == {entry.sha256}
    assert deferred_log.waiting == type(deferred_log.waiting)()


def test_a_full_project_is_asked_again_after_an_hour_and_that_is_said_once():
    files = FakeFiles()
    for number in range(3):
        files.add(data(1000, number))
    lane = Lane(files)
    lane.server.files.bytes_max = 1500
    lane.deliver(limit_s=REFUSED_INTERVAL_S * 3)
    assert lane.uploads.is_stuck()
    assert len(puts(lane)) <= 6
    assert "uses 1000 of 1500" in str(lane.uploads.trouble)
    assert sum("uses 1000 of 1500" in str(said) for said in deferred_log.waiting) <= 1
    assert len(files.known) == 2
    lane.server.files.bytes_max = None
    lane.deliver(limit_s=REFUSED_INTERVAL_S * 2)
    assert files.known == {}


def test_what_has_room_in_a_full_project_does_not_wait_for_what_has_none():
    files = FakeFiles()
    large, small = files.add(data(2000, 1)), files.add(data(10, 2))
    lane = Lane(files)
    lane.server.files.bytes_max = 1000
    lane.deliver(limit_s=60)
    assert lane.contents.keys() == {small.sha256}
    assert list(files.known) == [large.id]
    assert lane.uploads.is_stuck()
    assert "of 1000" in str(lane.uploads.trouble)


def test_who_asks_afresh_has_a_full_project_asked_at_once():
    files = FakeFiles()
    files.add(data(1000))
    lane = Lane(files)
    lane.server.files.bytes_max = 10
    lane.deliver(limit_s=60)
    lane.server.files.bytes_max = None
    lane.lane.try_again(lane.run)  # type: ignore[arg-type]
    lane.deliver(limit_s=1)
    assert files.known == {}


def test_what_is_refused_in_particular_does_not_keep_the_others():
    files = FakeFiles()
    bad, good = files.add(data(10)), files.add(data(20))
    lane = Lane(files)
    refused = Fault(400, b'{"detail": "No."}')
    lane.server.script = lambda request: refused if bad.sha256 in request.path else None
    lane.deliver(limit_s=300)
    assert lane.contents.keys() == {good.sha256}
    assert list(files.known) == [bad.id]
    assert lane.uploads.is_stuck()


def test_an_entry_that_is_refused_does_not_keep_the_others():
    files = FakeFiles()
    entries = [files.add(data(10, number)) for number in range(20)]
    lane = Lane(files)
    bad = entries[7].id.encode()
    lane.server.script = lambda request: Fault(400, b'{"files": ["Entry 7"]}') if bad in request.body else None
    lane.deliver(limit_s=300)
    assert list(files.known) == [entries[7].id]
    assert len(lane.contents) == 19


def test_bytes_that_change_on_the_way_are_sent_once_more_and_then_kept(caplog):
    files = FakeFiles()
    entry = files.add(data(1000))
    lane = Lane(files)
    lane.server.files.corrupts = lambda part: bytes(len(part))
    lane.deliver(limit_s=300)
    assert len(puts(lane)) == 2
    assert (files.aside, list(files.known)) == ([], [entry.id])
    deferred_log.tell()  # unless an agent that another test has left was faster
    assert "something on the way changes them" in caplog.text


def test_a_content_that_is_damaged_here_is_set_aside_and_said():
    files = FakeFiles()
    damaged, good = files.add(data(1000)), files.add(data(10))
    files.contents[damaged.sha256] = b"x" * 1000
    lane = Lane(files)
    lane.deliver()
    assert files.aside == [damaged.sha256]
    assert lane.contents.keys() == {good.sha256}
    assert any("a file is damaged, and kept as" in str(said) for said in deferred_log.waiting)
    assert not lane.uploads.left


def test_a_content_that_is_gone_is_said_and_does_not_keep_the_run():
    files = FakeFiles()
    gone = files.add(data(1000))
    del files.contents[gone.sha256]
    lane = Lane(files)
    lane.deliver()
    assert files.known == {}
    assert any("is not on this machine any more" in str(said) for said in deferred_log.waiting)


def test_a_disk_that_cannot_be_read_is_tried_again():
    files = FakeFiles()
    files.add(data(1000))
    failures = iter([OSError(errno.EIO, os.strerror(errno.EIO))] * 3)

    def fails(call: str) -> None:
        if error := next(failures, None):
            raise error

    files.fails = fails
    lane = Lane(files)
    lane.deliver()
    assert files.known == {}


def test_an_artifact_is_announced_with_its_files_and_its_version_is_known():
    files = FakeFiles()
    artifact = files.add_artifact(weights=data(10), config=data(20))
    lane = Lane(files)
    lane.deliver()
    assert lane.uploads.versions == {artifact.id: 0}
    assert lane.told.artifacts == {artifact.id: artifact}
    assert files.ids() == set()


def test_a_large_artifact_is_announced_in_several_requests():
    files = FakeFiles()
    files.add_artifact(**{f"f{number}": b"same" for number in range(2500)})
    lane = Lane(files)
    lane.deliver()
    announced = [request for request, _ in lane.server.requests if request.method == "POST"]
    assert len(announced) == 3
    assert all(len(request.body) < 2 * MIB for request in announced)
    assert len(lane.told.versions) == 1


def test_the_server_is_told_that_no_file_is_left_before_the_last_is_forgotten():
    """Killed before that, the next process would find nothing to tell."""
    files = FakeFiles()
    files.add(data(10))
    lane = Lane(files)
    lane.run.outbox.end_with("COMPLETED", sent=True)
    lane.told.pending = 1
    lane.server.script = lambda request: Fault(503) if b"pending" in request.body else None
    lane.deliver(limit_s=60)
    assert files.known != {}
    lane.server.script = lambda request: None
    lane.deliver()
    assert (lane.told.pending, files.known) == (0, {})


def test_files_of_a_status_that_is_not_sent_are_not_forgotten():
    files = FakeFiles()
    files.add(data(10))
    lane = Lane(files)
    lane.run.outbox.end_with("COMPLETED")
    lane.deliver(limit_s=60)
    assert (len(files.known), lane.uploads.left) == (1, set())
    lane.run.outbox.status_sent, lane.uploads.told = True, 0
    before = len(lane.server.requests)
    lane.deliver()
    assert (files.known, len(lane.server.requests)) == ({}, before)


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"<html>log in</html>", "confirms nothing"), (b"{}", "confirms nothing")],
)
def test_a_200_that_confirms_nothing_is_no_delivery(body: bytes, words: str):
    """A captive portal answers everything so."""
    files = FakeFiles()
    files.add(data(10))
    lane = Lane(files)
    lane.server.script = lambda request: Fault(200, body)
    lane.deliver(limit_s=60)
    assert len(files.known) == 1
    assert words in str(lane.lane.trouble(lane.run))  # type: ignore[arg-type]
    lane.server.script = lambda request: None
    lane.deliver()
    assert files.known == {}


def test_a_redirect_is_not_followed_and_not_taken_for_more_to_send():
    files = FakeFiles()
    files.add(data(10))
    lane = Lane(files)
    elsewhere = Fault(308, b"", {"location": "https://elsewhere.example/"})
    lane.server.script = lambda request: elsewhere if request.method == "PUT" else None
    lane.deliver(limit_s=60)
    assert len(files.known) == 1
    assert "elsewhere.example" in str(lane.lane.trouble(lane.run))  # type: ignore[arg-type]


def test_a_refused_key_is_looked_for_again():
    files = FakeFiles()
    files.add(data(10))
    lane = Lane(files)
    lane.server.sent_key = "old"
    lane.deliver(limit_s=20)
    assert lane.keys >= 2
    lane.server.found_key = lane.server.key
    lane.deliver(limit_s=20)
    assert files.known == {}


def test_a_run_that_is_missing_has_its_server_asked():
    files = FakeFiles()
    files.add(data(10))
    lane = Lane(files)
    del lane.server.runs[lane.run.line.run.uuid]
    lane.turn()
    assert lane.run.outbox.probe.question is not None
    before = len(lane.server.requests)
    lane.deliver(limit_s=60)
    assert len(lane.server.requests) == before


def test_a_server_without_files_is_sent_none():
    files = FakeFiles()
    files.add(data(10))
    lane = Lane(files, features=False)
    lane.deliver(limit_s=60)
    assert lane.server.requests == []
    assert "keeps no files" in str(lane.lane.trouble(lane.run))  # type: ignore[arg-type]
    lane.run.outbox.probe.features = frozenset([wire.FILES_FEATURE])  # it was restarted with them
    lane.server.features.append(wire.FILES_FEATURE)
    lane.deliver()
    assert files.known == {}


def test_a_dead_server_is_asked_at_intervals_for_all_its_runs():
    server = MemoryServer()
    all_files = [FakeFiles() for _ in range(20)]
    for files in all_files:
        files.add(data(10))
    lane = Lane(*all_files, server=server)
    server.script = lambda request: Fault.refused()
    lane.deliver(limit_s=3600)
    assert len(server.requests) < 250


def test_a_server_that_is_full_is_left_alone_for_as_long_as_it_asks():
    files = FakeFiles()
    files.add(data(10))
    lane = Lane(files)
    full = Fault(507, b'{"detail": "The disk is full."}', {"retry-after": "60"})
    lane.server.script = lambda request: full if request.method == "PUT" else None
    lane.deliver(limit_s=600)
    assert len(puts(lane)) <= 11
    assert len(files.known) == 1


def test_that_a_server_takes_no_contents_is_said_once_however_many_files_come(caplog):
    files = FakeFiles()
    lane = Lane(files)
    full = Fault(503, b'{"detail": "No."}')
    lane.server.script = lambda request: full if request.method == "PUT" else None
    for number in range(30):
        files.add(data(10, number))
        lane.deliver(limit_s=20)
    deferred_log.tell()  # unless an agent that another test has left was faster
    assert caplog.text.count("this is said once") == 1
    assert len(puts(lane)) <= 30
    lane.server.script = lambda request: None
    lane.deliver(limit_s=600)
    assert files.known == {}


def test_runs_that_somebody_waits_for_come_first():
    files = [FakeFiles() for _ in range(3)]
    for number, each in enumerate(files):
        each.add(data(10, number))
    lane = Lane(*files)
    lane.wait(lane.runs[2])
    lane.turn()
    lane.turn()
    assert [run.line.run.uuid in lane.server.files.runs for run in lane.runs] == [False, False, True]


def test_what_is_thrown_in_an_exchange_is_a_failure_of_it(monkeypatch: pytest.MonkeyPatch):
    files = FakeFiles()
    files.add(data(10))
    lane = Lane(files)
    errors = iter([ValueError("a bug"), ServerUnavailableError("away")])

    def script(request: Request) -> None:
        if error := next(errors, None):
            raise error

    lane.server.script = script
    lane.deliver()
    assert files.known == {}


def test_each_of_many_small_files_costs_one_request_besides_the_announcements():
    files = FakeFiles()
    for number in range(3000):
        files.add(number.to_bytes(4, "big"))
    lane = Lane(files)
    lane.run.look_at_files(None)
    requests = lane.deliver()
    assert requests == 3000 + 3


def test_a_part_that_hangs_gives_way_to_a_run_of_another_server_that_is_waited_for():
    files = [FakeFiles(), FakeFiles()]
    for number, each in enumerate(files):
        each.add(data(10, number))
    lane = Lane(*files)
    elsewhere = Timed(lane)
    lane.transport = lambda lease: elsewhere if lease is lane.runs[1] else lane._transport  # type: ignore[method-assign]
    tried: list[Request] = []

    def script(request: Request) -> Fault | None:
        if tried:
            return None
        tried.append(request)
        lane.wait(lane.runs[1])
        lane.lane.give_way(lane.runs[1], lane.now - 1.0)  # type: ignore[arg-type]
        assert lane._transport.aborted == []
        lane.lane.give_way(lane.runs[1], lane.now)  # type: ignore[arg-type]
        return Fault(reason="aborted")

    lane.server.script = script
    lane.turn()
    assert lane._transport.aborted == tried


def test_an_artifact_is_not_forgotten_before_all_its_files_are_there():
    """Its entry names them: they were gone with it, and so was the run's directory with their contents."""
    files = FakeFiles()
    files.add_artifact(weights=data(10), config=data(20))
    lane = Lane(files)
    lane.server.script = lambda request: Fault.refused() if len(request.body) == 20 else None
    lane.deliver(limit_s=60)
    assert len(files.of_artifacts) == 1
    assert len(files.contents) == 1
    assert not lane.run.outbox.idle()
    lane.server.script = lambda request: None
    lane.deliver()
    assert (files.ids(), len(lane.contents)) == (set(), 2)


def test_one_content_that_fits_ends_the_wait_for_room():
    """Else all others would wait an hour more, though the project was given room."""
    files = FakeFiles()
    first, *_ = [files.add(data(1000, number)) for number in range(3)]
    lane = Lane(files)
    lane.server.files.bytes_max = 10
    lane.deliver(limit_s=60)
    lane.server.files.bytes_max = None
    lane.now += REFUSED_INTERVAL_S
    lane.turn()
    assert first.sha256 in lane.contents
    assert lane.uploads.trouble is None
    assert not lane.uploads.is_stuck()


def test_large_files_are_not_kept_waiting_by_many_small_ones():
    files = FakeFiles()
    for number in range(50):
        files.add(data(100, number))
    large = files.add(data(4 * MIB, 100))
    lane = Lane(files)
    while large.sha256 not in lane.contents:
        lane.turn()
    assert 0 < len(lane.contents) < 20


def test_a_smaller_part_is_tried_at_once_after_one_that_timed_out():
    """It was taken for an outage, and sync gave up on a slow way."""
    files = FakeFiles()
    files.add(data(3 * MIB))
    lane = Lane(files)

    def script(request: Request) -> Fault | None:
        if len(request.body) > MIB // 2:
            lane.now += 30.0
            return Fault(reason="no answer within 30 s")
        return None

    lane.server.script = script
    while not any(len(request.body) > 0 and answer is None for request, answer in lane.server.requests):
        lane.turn()
    at = lane.now
    assert lane.lane.trouble(lane.run) is None  # type: ignore[arg-type]
    while len(lane.server.requests[-1][0].body) != MIB // 2:
        lane.turn()
    assert lane.now - at < 0.1
