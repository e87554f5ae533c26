"""Of the processes that claim a run at once, one has it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from steplog.file_lock import FileLock
from steplog.journal.directories import new_id


def racing(processes: int, race: Callable[[int], int]) -> list[int]:
    """What ``race`` returns in that many processes that start at once, and stay until all are done."""
    starting, start = os.pipe()
    results, result = os.pipe()
    pids = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            os.close(start)
            try:
                os.read(starting, 1)  # the end of the file is the start
                code = race(number)
            except BaseException:  # noqa: BLE001 - told to the test
                code = 255
            os.write(result, bytes((code,)))
            signal.pause()  # what it holds, it holds until all have tried
        pids.append(pid)
    os.close(start)
    found = [os.read(results, 1)[0] for _ in pids]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for descriptor in (starting, results, result):
        os.close(descriptor)
    return found


@pytest.mark.slow
def test_of_8_processes_that_claim_a_run_at_once_exactly_one_has_it(roots):
    for _ in range(12):
        local_id = new_id()
        held: list[FileLock | None] = []  # in each process its own, until it is killed

        def race(number: int, local_id: str = local_id, held: list[FileLock | None] = held) -> int:
            paths, lock = roots.claim(local_id)
            held.append(lock)
            return int(lock is not None) + 2 * (paths.memory is None or not paths.on_disk)

        assert sorted(racing(8, race)) == [0] * 7 + [1]
        assert not [path for path in roots.spool.iterdir() if path.name.endswith(".new")]
        paths, lock = roots.claim(local_id)  # all of them are dead
        assert lock is not None
        lock.release()


def test_a_run_appears_with_its_lock_taken(roots):
    """An agent that saw the directory before would adopt the run."""
    for _ in range(10):
        local_id = new_id()
        held: list[FileLock | None] = []  # in each process its own, until it is killed

        def race(number: int, local_id: str = local_id, held: list[FileLock | None] = held) -> int:
            if number == 0:
                held.append(roots.claim(local_id)[1])
                return 1 if held[0] is not None else 9
            while not (found := [paths for paths in roots.runs() if paths.local_id == local_id]):
                pass
            return 0 if FileLock.take(found[0].lock) is None else 9

        assert sorted(racing(3, race)) == [0, 0, 1]
