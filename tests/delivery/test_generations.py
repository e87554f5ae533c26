"""Generations of ownership: whose status counts, and what the server is told of whom."""

from __future__ import annotations

import msgspec
import pytest

from delivery.parts import Book, Line, asked
from steplog.delivery.generations import Generations, date
from steplog.delivery.outbox import SEEN_INTERVAL_S
from steplog.journal.manifest import Generation, Manifest
from steplog.testing.memory_server import Fault

SECOND = 1_000_000_000
FIRST = Generation(maker="first", began=1 * SECOND)
LATER = Generation(maker="later", began=5 * SECOND)


class Owned(Line):
    """A run that its server knows, taken up by the owners of these generations."""

    def __init__(self, *books: Book, begun: tuple[Generation, ...] = (LATER,), writers=None, **more) -> None:
        self.begun, self.writers = begun, writers or {}
        super().__init__(*books, knows=False, generations=lambda: Generations(self.begun, self.writers), **more)
        self.run.begun = [(date(FIRST.began), "first")]

    def act(self, outbox, action) -> None:
        super().act(outbox, action)
        self.begun = outbox.generations.begun  # what a lease stores

    def begin(self, maker: str, began: int) -> None:
        """An owner on another host takes up the run."""
        self.run.begun.append((date(began), maker))
        self.run.generation, self.run.status = len(self.run.begun), "RUNNING"


def told(line: Line, end: str) -> list[dict[str, object]]:
    """The bodies of the requests to a path that ends so."""
    return [msgspec.json.decode(due.request.body) for _, due, _ in line.sent if due.request.path.endswith(end)]


def test_a_resume_begins_a_generation_before_anything_else_is_sent():
    line = Owned(Book().write(3))
    line.outbox.end_with("COMPLETED", ended=9 * SECOND)
    line.deliver()
    assert asked(line) == [f"GET {line.run.uuid}", "POST generations", "POST batch", f"PATCH {line.run.uuid}"]
    assert told(line, "generations/") == [{"began": "1970-01-01T00:00:05.000000Z"}]
    assert (line.run.generation, line.run.status, line.run.ended) == (2, "COMPLETED", "1970-01-01T00:00:09.000000Z")
    assert {row.generation for row in line.run.rows} == {2}


def test_a_run_that_is_resumed_is_running_before_anything_is_logged():
    line = Owned(Book())
    line.run.status = "CRASHED"
    while line.step():
        pass
    assert (line.run.generation, line.run.status) == (2, "RUNNING")


@pytest.mark.parametrize("lost", range(4))
def test_a_generation_whose_answer_was_lost_is_the_same_when_it_is_asked_for_again(lost):
    line = Owned(Book().write(3))
    line.server.faults.extend([*[Fault.refused()] * lost, *[Fault.lost()] * 2])
    line.outbox.end_with("COMPLETED")
    line.deliver()
    assert (line.run.generation, line.run.status, len(line.run.rows)) == (2, "COMPLETED", 3)
    line.again()
    line.books[0].write(1)
    line.deliver()
    assert line.run.generation == 2


def test_a_killed_owner_delivered_late_does_not_end_the_run_of_who_took_it_up():
    line = Owned(Book().write(3), begun=(msgspec.structs.replace(FIRST, number=1),))
    line.begin("elsewhere", 7 * SECOND)
    for status in ("RUNNING", "COMPLETED"):
        line.run.status = status
        line.outbox.end_with("CRASHED", presumed=status == "COMPLETED")
        line.deliver()
        assert (line.run.status, line.outbox.status_sent) == (status, True)
    assert {row.generation for row in line.run.rows} == {1}


def test_an_owner_that_began_earlier_and_comes_late_takes_nothing():
    line = Owned(Book().write(3))
    line.begin("elsewhere", 7 * SECOND)
    line.run.status = "COMPLETED"
    line.outbox.end_with("FAILED")
    line.deliver()
    assert (line.run.generation, line.run.status) == (2, "COMPLETED")
    assert {row.generation for row in line.run.rows} == {1}


def test_each_writer_keeps_the_generation_in_which_it_was_opened():
    dead, living = Book(1).write(2), Book(2).write(3)
    dead.living = False
    writers = {dead.journal.writer: "early"}
    early = Generation(maker="early", began=2 * SECOND)
    line = Owned(dead, living, begun=(early, LATER), writers=writers)
    line.outbox.end_with("COMPLETED")
    line.deliver()
    assert line.run.generations == {dead.journal.writer: 2, living.journal.writer: 3}
    assert line.run.status == "COMPLETED"


def test_who_joins_without_owning_belongs_to_the_generation_that_the_run_has():
    line = Owned(Book().write(3), begun=(Generation(maker="", began=0),))
    line.begin("elsewhere", 7 * SECOND)
    line.deliver()
    assert {row.generation for row in line.run.rows} == {2}
    assert line.run.generation == 2
    assert line.begun[0].number == 2


def test_a_killed_resumers_status_is_not_taken_from_the_owner_before():
    line = Owned(Book().write(3))
    line.run.status = "COMPLETED"  # of the owner before
    line.outbox.resumed = True
    line.outbox.end_with("CRASHED", presumed=True)
    line.deliver()
    assert line.run.status == "CRASHED"


def test_a_killed_resumer_that_had_sent_its_status_keeps_it():
    line = Owned(Book().write(3))
    line.outbox.resumed = True
    line.outbox.end_with("COMPLETED")
    line.deliver()
    line.again()
    line.outbox.resumed = True
    line.outbox.end_with("CRASHED", presumed=True)
    line.deliver()
    assert line.run.status == "COMPLETED"


@pytest.mark.parametrize(
    "fault", [Fault(400, b'{"detail": "no"}'), Fault(500, b"oops"), Fault(405, b'{"detail": "no"}')], ids=str
)
def test_a_server_that_does_not_number_a_generation_gets_the_records_all_the_same(fault):
    line = Owned(Book().write(3))
    line.server.script = lambda request: fault if request.path.endswith("generations/") else None
    line.outbox.end_with("COMPLETED")
    line.deliver()
    assert (len(line.run.rows), line.run.status) == (3, "COMPLETED")


@pytest.mark.parametrize("status", [400, 413, 415, 404])
def test_a_proxy_that_refuses_a_generation_for_an_hour_does_not_have_it_forgotten(status):
    line = Owned(Book().write(3))
    until = line.now + 3600
    line.server.script = lambda request: (
        Fault(status, b"not for you") if request.path.endswith("generations/") and line.now < until else None
    )
    line.outbox.end_with("COMPLETED")
    line.deliver(3 * 3600)
    assert (line.run.status, line.run.generation) == ("COMPLETED", 2)
    assert {row.generation for row in line.run.rows} == {2}
    assert len(line.sent) < 400


def test_a_server_without_generations_is_told_nothing_of_them():
    for batch in (True, False):
        line = Owned(Book().write(3), batch=batch)
        line.server.features = ["report"]
        line.outbox.end_with("COMPLETED", ended=9 * SECOND)
        line.deliver()
        assert (len(line.run.rows), line.run.status) == (3, "COMPLETED")
        assert told(line, "generations/") == []
        assert all("Steplog-Generation" not in due.request.headers for _, due, _ in line.sent)
        (patched,) = (due.request.body for _, due, _ in line.sent if due.request.method == "PATCH")
        assert msgspec.json.decode(patched).keys() <= {"status", "report"}


def test_a_server_that_learns_of_generations_after_the_end_is_not_told_of_one():
    """A stock server was upgraded, and the run that had ended there was RUNNING for good."""
    line = Owned(Book().write(3), batch=False)
    line.outbox.end_with("FAILED")
    line.deliver()
    line.server.batch = True
    line.again()
    line.outbox.end_with("FAILED", sent=True)
    line.books[0].write(2)
    line.outbox.add(line.books[0].journal)
    line.outbox.probe.ask_again()
    line.deliver()
    assert (line.run.status, line.run.generation, len(line.run.rows)) == ("FAILED", 1, 5)


def test_a_quiet_owner_is_heard_of_once_a_minute():
    line = Owned(Book())
    for _ in range(10 * int(SEEN_INTERVAL_S)):
        line.step()
        line.now += 1.0
    assert 9 <= line.run.heard <= 10
    assert len(asked(line)) == 2 + line.run.heard


def test_a_quiet_owner_hears_that_the_run_was_deleted():
    line = Owned(Book())
    while line.step():
        pass
    line.server.runs.clear()
    for _ in range(2 * int(SEEN_INTERVAL_S)):
        line.step()
        line.now += 1.0
    assert line.outbox.gone


def test_who_only_joined_and_who_has_ended_are_not_heard_of():
    joined = Owned(Book().write(1), begun=(Generation(maker="", began=0),))
    ended = Owned(Book().write(1))
    ended.outbox.end_with("COMPLETED")
    for line in (joined, ended):
        line.deliver()
        for _ in range(200):
            line.step()
            line.now += 1.0
        assert line.run.heard == 0


def test_a_takeover_changes_whose_generation_comes_next():
    book, line = Book(1).write(1), Owned(Book(2).write(1))
    line.deliver()
    manifest = Manifest(local_id="", base_url="", account="", namespace="", project="", run="").but(
        generations=line.begun
    )
    line.outbox.generations.take(manifest.begun("successor", 9 * SECOND, [line.books[0].journal.writer]))
    line.outbox.add(book.journal)
    line.outbox.end_with("FAILED")
    line.deliver()
    assert line.run.generations == {line.books[0].journal.writer: 2, book.journal.writer: 3}
    assert line.run.status == "FAILED"


def test_a_date_is_iso_8601_in_utc_to_the_microsecond():
    assert date(1_767_225_600_123_456_789) == "2026-01-01T00:00:00.123456Z"
    assert date(1_767_225_600_000_000_000) == "2026-01-01T00:00:00.000000Z"
