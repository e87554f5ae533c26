"""The loop of a thread of the agent: when it runs next, and that it never ends.

One tenacity loop drives a thread for its life: an attempt is one piece of work, the wait is until the next one is due,
and the sleep can be interrupted. What is raised in an attempt is handed to ``fault``, and the thread goes on.

The thread has a context of its own, which is empty. Where threads inherit the context of who starts them
(``sys.flags.thread_inherit_context``, Python 3.14), it would have the time limit of the ``init`` that came first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import Context
from queue import Empty, SimpleQueue

from tenacity import Retrying, retry_always, stop_never

from steplog import descriptors
from steplog.delivery.deferred_log import deferred_log
from steplog.reentrant_lock import ReentrantLock

__all__ = ["DUE_MAX_S", "POLL_MAX_S", "POLL_MIN_S", "Loop", "wait_for"]

POLL_MIN_S = 0.04
POLL_MAX_S = 0.5
DUE_MAX_S = 1.0  # what another lane learns may bring it forward
_SLICE_S = 0.25


class Loop:
    """When a thread runs next: when something is due, or sooner when it is woken.

    Where nothing is known to be due, it polls, soon after work was done, then less often: each look evicts
    a training loop's CPU caches.
    """

    def __init__(self) -> None:
        self._wakes: SimpleQueue[None] = SimpleQueue()  # its put is safe in a signal handler
        self.wait_s = 0.0
        self.started = False
        self._starting = ReentrantLock()  # a signal handler may start one, too
        self._threads: dict[int, object] = {}  # 0: the one that lives
        self._poll_s = POLL_MIN_S

    def rest(self, seconds: float) -> None:
        """Work was done: run again after ``seconds``."""
        self.wait_s, self._poll_s = max(0.0, seconds), POLL_MIN_S

    def idle(self, until_s: float | None) -> None:
        """There was no work; some is due in ``until_s``, None: not known."""
        wait_s, self._poll_s = self._poll_s, POLL_MAX_S
        self.wait_s = wait_s if until_s is None else min(max(until_s, 0.0), DUE_MAX_S)

    def wake(self) -> None:
        """Run now. Safe in a signal handler."""
        self._wakes.put(None)

    def sleep(self, seconds: float) -> None:
        """Sleep, until woken."""
        try:
            self._wakes.get(timeout=seconds) if seconds > 0 else self._wakes.get_nowait()
            while True:
                self._wakes.get_nowait()
        except Empty:
            return

    def start(self, work: Callable[[], None], name: str, fault: Callable[[str, BaseException], None]) -> None:
        """Start a thread, once, that does ``work`` again and again. Raises RuntimeError where none can be started.

        Where Ctrl-C interrupts this, it may be called again: of two threads one goes at once.
        """
        with self._starting:
            if not self.started:
                self._start(work, name, fault)
                self.started = True

    def _start(self, work: Callable[[], None], name: str, fault: Callable[[str, BaseException], None]) -> None:
        def attempt() -> None:
            try:
                work()
                descriptors.refill()
                if (warning := descriptors.take_warning()) is not None:
                    deferred_log.warning("steplog: %s. It goes on with its reserve, as long as that lasts.", warning)
                if deferred_log.waiting:
                    deferred_log.tell()
            except BaseException as error:  # noqa: BLE001 - a thread of ours that ends would stop delivery silently
                self.idle(None)
                fault(name, error)

        def live() -> None:
            while self._threads.setdefault(0, live) is live:
                try:
                    loop(attempt)
                except BaseException as error:  # noqa: BLE001 - as above; where it waits, it may be out of memory
                    fault(name, error)
                    time.sleep(POLL_MAX_S)

        loop = Retrying(sleep=self.sleep, wait=lambda _: self.wait_s, stop=stop_never, retry=retry_always)
        threading.Thread(target=Context().run, args=(live,), name=name, daemon=True).start()


def wait_for(told: SimpleQueue[None], timeout_s: float, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Wait until something is put there. Raises Empty after ``timeout_s``, or when ``goes_on`` says no.

    In slices: CPython handles a signal that comes just before it waits on a lock only after the wait.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if not goes_on():
            raise Empty
        try:
            return told.get(timeout=min(max(deadline - time.monotonic(), 0.001), _SLICE_S))
        except Empty:
            if time.monotonic() >= deadline:
                raise
