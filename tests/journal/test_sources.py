"""Another process's segments are read, never mapped: it may cut, replace or remove them at any moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from journal.appends import Reader, records_of
from journal.processes import opened, read_all
from steplog.journal.directories import RunPaths, map_cursor, map_losses, new_id
from steplog.journal.mapping import SharedFile
from steplog.journal.memory import SEGMENT_SUFFIX
from steplog.journal.open_journal import OpenJournal, open_journal
from steplog.journal.open_writer import OpenWriter
from steplog.journal.sources import DirectorySource
from steplog.journal.spooling import Disk

RECORDS = 2000  # several segments
HOLDS = 60  # records that the first cut leaves


@pytest.fixture
def paths(roots) -> Iterator[RunPaths]:
    paths, lock = roots.claim(new_id())
    yield paths
    assert lock is not None
    lock.release()


@pytest.fixture
def writer(paths, roots) -> OpenWriter:
    writer = opened(paths, roots)
    for number in range(RECORDS):
        writer.writer.append.log("loss", float(number))
        if number % 100 == 0:
            writer.writer.append.log("note", {"number": number})
    return writer


def journal_of(paths: RunPaths, writer: OpenWriter) -> OpenJournal:
    found = open_journal(paths, writer.writer.id.hex(), Disk(1 << 30))
    assert found is not None
    return found


def segments(writer: OpenWriter) -> list[Path]:
    assert writer.directory is not None
    return sorted(writer.directory.glob(f"*{SEGMENT_SUFFIX}"))


def steps_of(found: OpenJournal) -> Iterator[object]:
    """What an agent does with a journal, call by call."""
    journal = found.journal
    while True:
        first = journal.cursor.delivered
        yield (end := journal.readable(first, 500))
        yield journal.written()
        yield journal.census(first, end)
        try:
            part = journal.read(first, end)
        except BlockingIOError:
            yield "gone"
            continue
        yield records_of(part)
        yield journal.ack(part.end, part.records)
        yield journal.memory.size_bytes()


def cut_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def cut_in_its_header(path: Path) -> None:
    os.truncate(path, 40)


def cut_in_its_names(path: Path) -> None:
    os.truncate(path, 70)


def cut_in_its_slots(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def removed(path: Path) -> None:
    path.unlink()


def replaced_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def replaced_by_another(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(bytes(4) + data[4:])


ATTACKS = [
    cut_to_nothing,
    cut_in_its_header,
    cut_in_its_names,
    cut_in_its_slots,
    removed,
    replaced_by_a_pipe,
    replaced_by_another,
]


@pytest.mark.slow
@pytest.mark.parametrize("alive", [True, False], ids=["of a living writer", "of a dead writer"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_segment_cut_or_replaced_while_it_is_read_ends_no_process(paths, writer, attack, alive):
    """Another process cuts a file between any two calls of a reader, which had mapped it, and got a SIGBUS."""
    if not alive:
        writer.open_journal.alive_lock.release()
    whole = {path: path.read_bytes() for path in segments(writer)}
    marks = (writer.directory / "marks").read_bytes()
    for moment in range(1, 13):
        for path, data in whole.items():
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            path.chmod(0o600)
        (writer.directory / "marks").write_bytes(marks)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                steps = steps_of(journal_of(paths, writer))
                for _ in range(moment):
                    next(steps)
                for path in segments(writer):
                    attack(path)
                for _ in range(12):
                    next(steps)
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0, f"after {moment} calls"


def test_what_is_cut_off_is_counted_and_the_rest_is_read(paths, writer):
    (first, *_) = segments(writer)
    writer.open_journal.alive_lock.release()
    logged = writer.journal.census(0, writer.journal.written())
    reader = Reader(journal_of(paths, writer).journal)
    assert reader.journal.readable(0, 10_000) == writer.journal.written()
    header = writer.writer.head.header
    os.truncate(first, header.size - (header.capacity - HOLDS) * 32)  # from here on the writer's own view is SIGBUS
    found = read_all(reader)
    assert len(found) + reader.journal.cursor.abandoned == logged
    assert header.capacity - HOLDS - 2 <= reader.journal.cursor.abandoned <= header.capacity - HOLDS


def test_segments_and_marks_of_another_writer_are_not_mapped(paths, writer):
    found = journal_of(paths, writer)
    reader = Reader(found.journal)
    maps = Path("/proc/self/maps").read_text()
    before = maps.count(str(writer.directory))  # the writer's own: it lives in this process
    while reader.read(100):
        pass
    assert Path("/proc/self/maps").read_text().count(str(writer.directory)) <= before
    held = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert {path for path in held if path.startswith(str(writer.directory))} == {str(writer.directory / "alive")}
    assert len(reader.found) == RECORDS + RECORDS // 100
    assert [isinstance(file, SharedFile) for file in found.shared] == [True, True]


def test_a_batch_of_another_writers_records_takes_as_few_reads_as_one_record(paths, writer, monkeypatch):
    """One look at the kinds, and one at the slots; the byte region once, where it holds names or payloads."""
    reads: list[int] = []
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        reads.append(size)
        return pread(descriptor, size, offset)

    journal = journal_of(paths, writer).journal
    counts = []
    for most in (1, 200):
        first = journal.cursor.delivered
        journal.memory.extents()
        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", counted)
            end = journal.readable(first, most)
            assert journal.census(first, end) > 0
            part = journal.read(first, end)
        journal.ack(part.end, part.records)
        counts.append(len(reads))
        reads.clear()
        assert part.records == most
    assert counts[1] <= counts[0] <= 8


def test_how_far_a_writer_has_come_is_read_from_its_last_segment_alone(paths, writer, monkeypatch):
    """Each look read all segments that waited, which took a sixth of the agent's processor time."""
    for number in range(4 * RECORDS):
        writer.writer.append.log("loss", float(number))
    journal = journal_of(paths, writer).journal
    assert len(journal.memory.extents()) >= 3
    reads: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda descriptor, size, at: reads.append(size) or pread(descriptor, size, at))
    assert journal.written() == writer.journal.written()
    assert sum(reads) <= 2 * max(path.stat().st_size for path in segments(writer))


def test_a_segment_removed_and_written_again_is_read_again(paths, writer):
    reader = Reader(journal_of(paths, writer).journal)
    assert reader.read(10) == 10
    kept = {path: path.read_bytes() for path in segments(writer)}
    for path in kept:
        path.unlink()
    assert reader.journal.readable(10, 100) == 10
    assert reader.read() == 0
    for path, data in kept.items():
        path.write_bytes(data)
        path.chmod(0o600)
    while reader.read(300):
        pass
    assert [record.value for record in reader.found if record.name == "loss"] == [float(n) for n in range(RECORDS)]
    assert reader.journal.cursor.abandoned == 0


def test_a_hole_is_not_passed_and_what_fills_it_is_read(paths, roots):
    writer = opened(paths, roots)
    writer.writer.append.log("loss", 0.0)
    segment = writer.writer.append.segment
    offset = segment.claim()
    writer.writer.append.log("loss", 2.0)
    reader = Reader(journal_of(paths, writer).journal)
    assert (reader.read(), reader.read()) == (1, 0)
    assert reader.journal.written() == 3
    segment.write_tombstone(offset)
    assert reader.read() == 2
    assert [record.value for record in reader.found] == [0.0, 2.0]


def test_marks_that_are_cut_or_removed_kill_nobody_and_are_stored_again(paths, writer):
    found = journal_of(paths, writer)
    reader = Reader(found.journal)
    marks = writer.directory / "marks"
    os.truncate(marks, 0)
    assert reader.read(10) == 10
    assert Path(marks).read_bytes()  # as far as was stored
    marks.unlink()
    assert reader.read(10) == 10  # not stored, and not lost either: it is sent again, which the server sees
    mapped = map_cursor(writer.directory)  # as the writer makes it again
    map_losses(writer.directory)
    found._follow_cursor()
    writer.journal.move_cursor(mapped)
    found.journal.set_cursor(found.journal.cursor)
    writer.journal.load_cursor()
    assert writer.journal.cursor.delivered == 20


def test_a_store_that_found_no_descriptor_is_done_again(paths, writer, monkeypatch):
    """Else a worker that waits in flush() waits in vain."""
    found = journal_of(paths, writer)
    reader = Reader(found.journal)
    monkeypatch.setattr(SharedFile, "_open", lambda self, flags=0: (_ for _ in ()).throw(OSError(24, "no")))
    assert reader.read(10) == 10
    monkeypatch.undo()
    found._follow_cursor()
    writer.journal.load_cursor()
    assert writer.journal.cursor.delivered == 10


def planted_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def planted_link(path: Path) -> None:
    path.symlink_to(path.parent / "marks")


@pytest.mark.parametrize("plant", [planted_pipe, planted_link])
def test_what_is_planted_beside_segments_is_neither_read_nor_kept(paths, writer, plant: Callable[[Path], None]):
    plant(writer.directory / f"f-1{SEGMENT_SUFFIX}")
    writer.open_journal.alive_lock.release()
    found = journal_of(paths, writer)
    read_all(Reader(found.journal))
    assert isinstance(found.journal.memory, DirectorySource)
    assert found.journal.memory.damaged() == []
    assert found.remove()
    assert not writer.directory.exists()


def test_what_a_writer_has_dropped_is_known_after_its_files_are_removed(paths, writer):
    """Its count was read from a mapping that outlived the file; from the file it is as of the last look before that."""
    found = journal_of(paths, writer)
    assert found.journal.ledger.losses.dropped == {}
    writer.writer.count("memory full")
    writer.journal.ledger.store()
    writer.open_journal.alive_lock.release()
    read_all(Reader(found.journal))
    assert found.remove()
    assert found.journal.ledger.losses.dropped == {"memory full": 1}


@pytest.mark.parametrize("size", [0, 100, 3000])
def test_a_ledger_of_loss_that_is_cut_kills_nobody(paths, writer, size: int):
    found = journal_of(paths, writer)
    os.truncate(writer.directory / "losses", size)
    assert found.journal.ledger.losses.dropped == {}
    found.journal.ledger.store(lost=3)
    again = journal_of(paths, writer)
    assert again.journal.ledger.losses.lost == 3


def test_the_size_of_segments_is_asked_while_another_thread_finds_more():
    """The thread that writes to disk asks, without the lock under which the sender looks: it raised RuntimeError."""
    source = DirectorySource(None)
    views: dict[str, object] = source._views  # type: ignore[assignment]

    class Found:
        def __len__(self) -> int:
            views[str(len(views))] = SimpleNamespace(memory=b"")
            return 100

    views["first"] = SimpleNamespace(memory=Found())
    assert source.size_bytes() == 100
