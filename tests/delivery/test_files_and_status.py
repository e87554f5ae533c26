"""A run's status and those who wait for it, while files are on their way."""

from __future__ import annotations

import json
from typing import Any

from delivery.parts import Book, Line
from delivery.waiting import FakeFiles, Lane, Run
from steplog.delivery import wire
from steplog.delivery.waiter import Waiter
from steplog.testing.memory_server import Fault


def with_files(*contents: bytes) -> Lane:
    files = FakeFiles()
    for content in contents:
        files.add(content)
    return Lane(files)


def statuses(line: Line) -> list[dict[str, Any]]:
    return [json.loads(flight.request.body) for _, flight, _ in line.sent if flight.request.method == "PATCH"]


def run_until(lane: Lane, until: float) -> None:
    """The sender alone: the server does not answer where files are concerned."""
    line = lane.run.line
    while line.now < until:
        if not line.step():
            due = line.next()
            line.now = min(until, max(line.now + 0.01, due) if isinstance(due, float) else line.now + 0.5)


def test_the_status_waits_for_files_while_somebody_waits_then_goes_without():
    lane = with_files(b"a", b"b")
    line, waiter = lane.run.line, lane.wait(lane.run, files_until=1015.0, status=True)
    line.outbox.end_with("COMPLETED")
    run_until(lane, 1014.9)
    assert statuses(line) == []
    run_until(lane, 1015.2)
    (sent,) = statuses(line)
    assert (sent["status"], sent["files_pending"]) == ("COMPLETED", 2)
    assert not line.outbox.settled(waiter)


def test_the_status_goes_as_soon_as_the_files_are_there():
    lane = with_files(b"a")
    line, waiter = lane.run.line, lane.wait(lane.run, files_until=1e9, status=True)
    line.outbox.end_with("COMPLETED")
    run_until(lane, 1005.0)
    lane.deliver(limit_s=10)
    run_until(lane, 1006.0)
    assert [sent["files_pending"] for sent in statuses(line)] == [0]
    assert line.outbox.settled(waiter)


def test_the_status_goes_at_once_where_nobody_waits():
    lane = with_files(b"a")
    lane.run.look_at_files(None)
    lane.run.outbox.end_with("FAILED")
    run_until(lane, 1000.5)
    assert [sent["files_pending"] for sent in statuses(lane.run.line)] == [1]


def test_the_status_waits_for_no_files_that_the_server_refuses():
    lane = with_files(b"a")
    lane.server.files.bytes_max = 0
    waiter = lane.wait(lane.run, files_until=1e9, status=True)
    lane.run.outbox.end_with("COMPLETED")
    lane.deliver(limit_s=10)
    run_until(lane, 1000.5)
    assert [sent["files_pending"] for sent in statuses(lane.run.line)] == [1]
    lane.run.outbox.release_waiters()
    assert waiter not in lane.run.outbox.waiters
    assert not lane.run.outbox.settled(waiter)


def test_a_server_without_files_is_told_of_none():
    files = FakeFiles()
    files.add(b"a")
    lane = Lane(files, features=False)
    lane.wait(lane.run, files_until=1e9, status=True)
    lane.run.outbox.end_with("COMPLETED")
    run_until(lane, 1000.5)
    (sent,) = statuses(lane.run.line)
    assert "files_pending" not in sent


def test_a_run_without_files_tells_of_none():
    line = Line(Book().write(1))
    line.server.features.append(wire.FILES_FEATURE)
    line.outbox.probe.features = frozenset(line.server.features)
    line.outbox.end_with("COMPLETED")
    line.deliver()
    (sent,) = statuses(line)
    assert "files_pending" not in sent


def test_a_flush_waits_for_the_files_that_were_there_when_it_began():
    lane = with_files(b"a")
    waiter = lane.wait(lane.run)
    assert not lane.run.outbox.settled(waiter)
    lane.run.files.add(b"later")
    while not lane.run.outbox.settled(waiter):
        lane.turn()
        assert lane.now < 1010.0
    lane.deliver()


def test_media_that_no_thread_has_taken_in_yet_are_waited_for():
    lane = with_files()
    lane.run.files.media.add("0" * 32)
    waiter = lane.wait(lane.run)
    for _ in range(20):
        lane.turn()
    assert not lane.run.outbox.settled(waiter)
    assert not lane.uploads.is_stuck()
    entry = lane.run.files.add(b"taken in")
    lane.run.files.known = {"0" * 32: type(entry)(id="0" * 32, sha256=entry.sha256, size=entry.size)}
    lane.run.files.media.clear()
    lane.deliver()
    assert lane.run.outbox.settled(waiter)


def test_a_run_is_not_idle_while_files_are_left():
    lane = with_files(b"a")
    lane.run.look_at_files(None)
    assert not lane.run.outbox.idle()
    lane.deliver()
    assert lane.run.outbox.idle()


def test_an_adopted_run_that_has_files_alone_has_the_server_asked():
    """Nothing else would make it ask whose key it is, and the files would wait for ever."""
    line = Line(Book(), account="me", knows=False)
    line.server.features.append(wire.FILES_FEATURE)
    run = Run(line)
    run.files.add(b"a")
    run.look_at_files(None)
    line.deliver(limit_s=5.0)
    assert line.outbox.takes_files()


def test_records_are_sent_while_the_server_hangs_on_files():
    lane = with_files(b"a")
    book = Book().write(50)
    lane.run.line.books = (book,)
    lane.run.outbox.add(book.journal)
    lane.server.script = lambda request: Fault.refused() if "blobs" in request.path else None
    for _ in range(5):
        lane.turn()
    run_until(lane, 1003.0)
    assert lane.run.line.values() == list(range(1, 51))


def test_a_status_of_a_dead_process_goes_with_what_is_left_of_files():
    lane = with_files(b"a", b"b", b"c")
    lane.run.look_at_files(None)
    lane.run.outbox.end_with("CRASHED", presumed=True)
    run_until(lane, 1001.0)
    assert [sent["files_pending"] for sent in statuses(lane.run.line)] == [3]
    lane.deliver(limit_s=10)
    assert lane.told.pending == 0


def test_who_waits_is_let_go_once_records_are_there_and_files_are_refused():
    lane = with_files(b"a")
    lane.server.files.bytes_max = 0
    told: list[bool] = []
    waiter = Waiter(lambda: told.append(True))
    lane.run.look_at_files(None)
    lane.run.outbox.wait(waiter)
    lane.deliver(limit_s=5)
    assert told == [True]


def test_who_waits_for_a_status_waits_until_the_server_knows_that_no_file_is_left():
    """A process that ended before would leave that to the next one, and the page would tell of files to come."""
    lane = with_files(b"a")
    waiter = lane.wait(lane.run, status=True)
    lane.run.outbox.end_with("COMPLETED")
    run_until(lane, 1000.5)
    while lane.uploads.left:
        lane.turn()
    assert not lane.run.outbox.settled(waiter)
    while lane.told.pending != 0:
        lane.turn()
        assert lane.now < 1010.0
    assert lane.run.outbox.settled(waiter)


def test_who_waits_is_not_let_go_before_files_for_no_server_can_be_moved():
    """finish() said that they are in the journal, and later they were not."""
    files = FakeFiles()
    files.media.add("0" * 32)
    lane = Lane(files, features=False)
    waiter = lane.wait(lane.run)
    lane.turn()
    assert waiter in lane.run.outbox.waiters
    assert lane.lane.trouble(lane.run) is None  # type: ignore[arg-type]
    entry = files.add(b"taken in")
    files.known = {"0" * 32: type(entry)(id="0" * 32, sha256=entry.sha256, size=entry.size)}
    files.media.clear()
    lane.turn()
    assert waiter not in lane.run.outbox.waiters
