"""Claiming a run's place where the disk may not answer: ``init`` and ``attach`` go on without it then.

What is to be done on the disk is done by a thread of its own, which ends with it. After ``CLAIM_S`` the run begins as
where a disk cannot be used: in shared memory alone. A lock that the disk gives later is given back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from steplog.delivery.loop import wait_for
from steplog.file_lock import FileLock

__all__ = ["CLAIM_S", "in_time"]

CLAIM_S = 5.0


def in_time(claim: Callable[[], FileLock | None], timeout_s: float = CLAIM_S) -> FileLock | None:
    """What ``claim`` gives or raises. Raises TimeoutError where it takes longer than ``timeout_s``."""
    done = _Claim(claim)
    try:
        threading.Thread(target=done.work, name="steplog-claim", daemon=True).start()
    except RuntimeError:  # no thread can be started here
        return claim()
    try:
        wait_for(done.told, timeout_s)
    except Empty:
        if done.is_left():
            raise TimeoutError(f"it does not answer within {timeout_s:g} s") from None
    if done.error is not None:
        raise done.error
    return done.lock


class _Claim:
    """A claim under way, until whoever wants it has it or has left."""

    def __init__(self, claim: Callable[[], FileLock | None]) -> None:
        self.told: SimpleQueue[None] = SimpleQueue()
        self.lock: FileLock | None = None
        self.error: BaseException | None = None
        self._claim = claim
        self._ended = threading.Lock()  # taken by who comes first: the disk, or who does not wait any longer

    def work(self) -> None:
        try:
            self.lock = self._claim()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.error = error
        if self._ended.acquire(blocking=False):
            self.told.put(None)
        elif self.lock is not None:
            self.lock.release()

    def is_left(self) -> bool:
        return self._ended.acquire(blocking=False)
