"""Journals of other processes: read while they are written, after their writers were killed, and across forks."""

from __future__ import annotations

import errno
import os
import random
import resource
import threading

import pytest

from apart import apart
from journal.appends import Reader, chosen
from journal.processes import (
    Ledger,
    LoggingProcess,
    check_calls,
    check_records,
    log_calls,
    opened,
    read_all,
    readers_of,
    until,
)
from journal.storm import call_of
from steplog.descriptors import close_reserve
from steplog.file_lock import close_inherited
from steplog.journal.directories import JournalRoots, RunPaths, new_id
from steplog.private_files import remove_tree

KILLS = int(os.environ.get("STEPLOG_KILLS", "30"))
FORKS = int(os.environ.get("STEPLOG_FORKS", "60"))


@pytest.fixture
def paths(roots: JournalRoots) -> RunPaths:
    paths, lock = roots.claim(new_id())
    assert lock is not None
    return paths


def test_what_another_process_logs_arrives_in_order_and_once_while_it_logs(paths, roots):
    process = LoggingProcess(paths, roots, threads=3, most=15_000)
    until(paths.writers)
    (reader,) = readers_of(paths)
    assert reader.journal.alive
    until(lambda: reader.read() and len(reader.found) > 1000)
    while reader.journal.alive:
        reader.read(random.randrange(1, 5000))
    assert process.wait() == 0
    found = read_all(reader)
    check_records(found)
    for thread in range(3):
        assert check_calls(found, f"thread {thread}", 15_000) == 15_000
    assert len([path for path in (paths.memory / paths.writers()[0]).iterdir() if path.suffix == ".segment"]) <= 3


@pytest.mark.slow
def test_calls_that_returned_before_a_kill_are_all_there_and_holes_are_counted(paths, roots):
    """Killed while it is opened, at its first calls, in rotations, with a reader beside it and without."""
    source = random.Random(os.environ.get("STEPLOG_SEED", 1))
    sizes, abandoned = [], 0
    for kill in range(KILLS):
        episode, lock = roots.claim(new_id())
        process = LoggingProcess(episode, roots, threads=2, most=12_000)
        target = source.choice([0, source.randrange(10), source.randrange(500), source.randrange(20_000)])
        reader: Reader | None = None
        if kill % 2:
            until(episode.writers)
            (reader,) = readers_of(episode)
            until(
                lambda process=process, reader=reader, target=target: (
                    reader.read() >= 0 and process.ledger.total() >= target
                )
            )
        else:
            until(lambda process=process, target=target: process.ledger.total() >= target)
        process.kill()
        readers = [reader] if reader is not None else readers_of(episode)
        if not readers:
            assert process.ledger.total() == 0
            continue
        found = read_all(readers[0])
        check_records(found)
        calls = [check_calls(found, f"thread {thread}", process.ledger.returned(thread)) for thread in range(2)]
        sizes.append(sum(calls))
        cursor = readers[0].journal.cursor
        assert cursor.records == len(found)
        assert cursor.abandoned <= 3  # a call of each thread, and what the keeper closes a segment with
        abandoned += cursor.abandoned
        lock.release()
    print(f"{KILLS} kills, {sum(sizes)} records, {abandoned} abandoned")
    assert max(sizes) > 1000


@pytest.mark.slow
def test_forks_in_the_middle_of_logging_from_eight_threads(kind, paths, roots):
    """Each child has a writer of its own; no deadlock, and no call lost or twice, in the parent or in a child."""
    threads, children, per_child = 8, FORKS, 40
    with chosen(kind):
        parent = opened(paths, roots)
    over = threading.Event()
    ledger, forked = Ledger(threads), Ledger(children)
    append = parent.writer.append
    reader = Reader(parent.journal)

    def too_fast() -> bool:
        return ledger.total() - len(reader.found) > 5000  # else there would be no memory left

    arguments = [(append.log, ledger, thread, 1 << 40, over, too_fast) for thread in range(threads)]
    working = [threading.Thread(target=log_calls, args=each) for each in arguments]
    for thread in working:
        thread.start()
    others: dict[str, Reader] = {}
    pids = []
    try:
        for child in range(children):
            until(lambda child=child: _round(parent, reader) and ledger.total() > 100 * (child + 1))
            pid = os.fork()
            if pid == 0:
                _child(parent, paths, roots, forked, child, per_child)
            pids.append(pid)
            if child % 5 == 4:
                _look(paths, others, parent.writer.id.hex())
        for pid in pids:
            until(lambda pid=pid: _round(parent, reader) and os.waitpid(pid, os.WNOHANG) != (0, 0))
    finally:
        over.set()
        for thread in working:
            thread.join()
    parent.closed = True
    found = read_all(reader)
    check_records(found)
    assert sum(
        check_calls(found, f"thread {n}", ledger.returned(n), ledger.returned(n)) for n in range(threads)
    ) == len(found)
    _look(paths, others, parent.writer.id.hex())
    by_children = [record for other in others.values() for record in other.found]
    assert len(by_children) == children * per_child
    for child in range(children):
        assert forked.returned(child) == per_child
        check_calls(by_children, f"child {child}", per_child, per_child)
    print(f"{children} forks, {len(found)} records of the parent, {len(by_children)} of children")
    assert parent.writer.dropped == {"memory full": 0, "finished": 0}


def _round(parent, reader) -> bool:
    parent.maintain()
    reader.read()
    return True


def _look(paths: RunPaths, others: dict[str, Reader], own: str) -> None:
    """What the agent does: read what there is of the children, and remove those that are gone."""
    for reader in readers_of(paths):
        if reader.journal.writer != own:
            others.setdefault(reader.journal.writer, reader)
    for name, reader in others.items():
        if (paths.memory / name).exists() and not reader.journal.alive:
            read_all(reader)
            remove_tree(paths.memory / name)


def _child(parent, paths, roots, forked: Ledger, child: int, calls: int) -> None:
    """What a forked worker does: it drops what is the parent's, and gets a writer of its own with its first call."""
    code = 1
    try:
        close_inherited()
        append, made = parent.writer.append, []

        def reopen(*call) -> None:
            if not made:
                made.append(opened(paths, roots, append))
            append.log(*call)

        parent.writer.forked(reopen)
        for number in range(calls):
            append.log(*call_of(f"child {child}", number))
            forked.note(child, number + 1)
        code = 0
    finally:
        os._exit(code)


@apart
def test_a_writer_that_cannot_be_looked_at_is_not_taken_for_dead(paths, roots):
    """Without a descriptor to be had its holes were given up, and what it still wrote there was lost."""
    mine = opened(paths, roots)
    mine.writer.append.log("loss", 1.0)
    (other,) = readers_of(paths)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError) as raised:  # noqa: PT011 - its number is looked at
            os.open("/", os.O_RDONLY)
        assert raised.value.errno == errno.EMFILE
        assert other.journal.alive
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert other.journal.alive


@apart
def test_a_writer_whose_memory_cannot_be_made_leaves_no_lock_behind(paths, roots):
    close_reserve()
    descriptors = len(os.listdir("/proc/self/fd"))
    free = os.dup(0)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))  # enough for the lock, and not for the marks
    try:
        writers = [opened(paths, roots)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert writers[0].directory is None
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert paths.writers() == []


def test_a_value_that_forks_goes_on_in_both(paths, roots):
    """In the child the call went on with the parent's journal, at the parent's position."""
    parent = opened(paths, roots)
    parent.writer.append.log("loss", 0.0)
    pids = []

    class Forking:
        def __float__(self) -> float:
            pid = os.fork()
            pids.append(pid)
            if pid == 0:
                close_inherited()
                append, made = parent.writer.append, []

                def reopen(*call) -> None:
                    if not made:
                        made.append(opened(paths, roots, append))
                    append.log(*call)

                parent.writer.forked(reopen)
            return float(not pid)

    try:
        parent.writer.append.log("loss", Forking(), 7)
        parent.writer.append.log("loss", 2.0)
    finally:
        if pids == [0]:
            os._exit(0)
    os.waitpid(pids[0], 0)
    reader = Reader(parent.journal)
    reader.read()
    assert [(record.value, record.step) for record in reader.found] == [(0.0, None), (0.0, 7), (2.0, None)]
    (child,) = [one for one in readers_of(paths) if one.journal.writer != parent.writer.id.hex()]
    assert [(record.value, record.step) for record in read_all(child)] == [(1.0, 7), (2.0, None)]
