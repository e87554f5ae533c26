"""Ends the runs that are open when the process ends.

* At exit: COMPLETED, or CRASHED where ``exit_code`` finds a crash, which is recorded. All runs share one deadline,
  ``finish_timeout_s``, and 5 s where the server has been silent for 10 s. Ctrl-C ends the waiting.
* On SIGTERM and SIGHUP: CRASHED, after a flush of at most ``signal_flush_s``; then the process dies of the signal. One
  that is ignored or handled, by Python or C code, is left alone. A second signal kills at once.
  A daemonic process of multiprocessing that has only joined runs dies of SIGTERM at once: that is its usual end, as of
  those of a ``Pool``, which waits for ever where a handler does not run. CPython runs none while the main thread is in
  a system call, such as the wait for a task, that began just before the signal could interrupt it.
* At the next bare ``init`` of the same thread: FAILED, before that returns if the server is well and little is left,
  else in the background.

What is not delivered stays in the journal, with the status. No hook starts a thread. A forked child is disarmed.
``before_end`` is for what else there is to log or to say by then.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from steplog.lifecycle import crash_record, exit_code
from steplog.lifecycle.exit_progress import ExitProgress
from steplog.lifecycle.open_run import OpenRun, open_runs
from steplog.loaded import loaded
from steplog.reentrant_lock import ReentrantLock
from steplog.settings import Settings

__all__ = ["Supersedable", "arm", "before_end", "disarm", "settle_later", "supersede"]

_log = logging.getLogger("steplog")
_thread = threading.local()
_superseded: list[OpenRun] = []  # until their status is sent
_arming = ReentrantLock()  # of the hooks, and of what they do
_before_end: list[Callable[[], None]] = []
_hooked_in: int | None = None  # the pid whose atexit calls us
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Supersedable(Protocol):
    """A run whose place another one can take."""

    def supersede(self) -> None:
        """Mark it FAILED if it is open."""


def arm() -> None:
    """Install the hooks: a run is open."""
    with _arming:
        _watch_exit()
        exit_code.watch()
        for number in _SIGNALS:
            if _is_default(number):
                with contextlib.suppress(ValueError):  # a subinterpreter
                    signal.signal(number, _on_signal)


def before_end(call: Callable[[], None]) -> None:
    """Call it when the process ends, at exit or by a signal, before the open runs do. It may log; it must not wait.

    Once, however often it is given; a forked child gives it anew.
    """
    with _arming:
        if call not in _before_end:
            _before_end.append(call)
        _watch_exit()


def disarm(run: Supersedable) -> None:
    """``run`` is over; remove the hooks if none is open."""
    if getattr(_thread, "bare", None) is run:
        _thread.bare = None
    with _arming:
        if not open_runs():
            _unhook()


def supersede(run: Supersedable) -> None:
    """A bare ``init`` has made ``run``: supersede the last one of this thread."""
    before: Supersedable | None = getattr(_thread, "bare", None)
    _thread.bare = run
    if before is not None and before is not run:
        before.supersede()
    sent = [it for it in _superseded.copy() if it.is_status_sent()]
    with _arming:
        sent = [it for it in sent if it in _superseded]  # less those that another thread has taken
        _superseded[:] = [it for it in _superseded if it not in sent]
    for opened in sent:
        opened.settle(0.0)  # removes it from this machine


def settle_later(opened: OpenRun) -> None:
    """At exit, wait for the status of a superseded run."""
    _superseded.append(opened)


def _after_fork_in_child() -> None:
    global _hooked_in, _arming
    _hooked_in, _arming = None, ReentrantLock()  # another thread may have held it
    _thread.bare = None
    _superseded.clear()
    _before_end.clear()
    _unhook()


def _watch_exit() -> None:
    global _hooked_in
    if _hooked_in != os.getpid():
        atexit.register(_at_exit, os.getpid())
        _hooked_in = os.getpid()


def _unhook() -> None:
    exit_code.unwatch()
    for number in _SIGNALS:
        if signal.getsignal(number) is _on_signal:
            with contextlib.suppress(ValueError):  # not the main thread; the hook acts as the default then
                signal.signal(number, signal.SIG_DFL)


def _is_pool_process() -> bool:
    process = loaded("multiprocessing.process")
    return (
        process is not None
        and bool(process.current_process().daemon)
        and not any(opened.decides for opened in open_runs())
    )


def _is_default(number: int) -> bool:
    """Whether the hook takes the place of nothing."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) is not signal.SIG_DFL:
        return False
    if number == signal.SIGTERM and _is_pool_process():
        return False
    # Python does not see a handler that C code has set, such as faulthandler.register.
    try:
        with open("/proc/self/status", "rb") as file:
            masks = dict(line.split(b":", 1) for line in file if line.startswith(b"Sig"))
    except OSError:
        return True
    return not int(masks.get(b"SigCgt", b"0"), 16) >> (number - 1) & 1


def _at_exit(pid: int) -> None:
    if pid == os.getpid():
        crash = exit_code.crash()
        if crash is not None:
            for opened in open_runs():
                crash_record.keep_exception(opened.log, opened.settings, crash)
        _end("COMPLETED" if crash is None else "CRASHED", lambda settings: settings.finish_timeout_s)
        exit_code.keep_code()
        _unhook()


def _on_signal(number: int, frame: FrameType | None) -> None:
    if signal.getsignal(number) is not _on_signal:
        return  # a handler that replaced this one chains to it, where it would find SIG_DFL, which is no function
    signal.signal(number, signal.SIG_DFL)
    try:
        for opened in open_runs():
            crash_record.keep_signal(opened.log, opened.settings, number, frame)
        _end("CRASHED", lambda settings: settings.signal_flush_s)
    except BaseException as error:  # noqa: BLE001 - the process must die of the signal
        with contextlib.suppress(Exception):
            _log.debug("steplog: the flush after signal %d: %r", number, error)
    finally:
        os.kill(os.getpid(), number)


def _end(status: str, limit_s: Callable[[Settings], float]) -> None:
    for call in _before_end.copy():
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the runs end all the same
            _log.debug("steplog: before the end: %r", error)
    began, progress, runs = time.monotonic(), ExitProgress(), open_runs()
    interrupted = any(opened.left for opened in runs)  # a second Ctrl-C came before finish() was over
    for opened in runs:
        opened.finish_in_background(status)
    for opened in (*_superseded, *runs):
        left_s = limit_s(opened.settings) - (time.monotonic() - began)
        delivered = False
        try:
            delivered = opened.settle(0.0 if interrupted else left_s, progress)
        except KeyboardInterrupt:
            interrupted = True
        if opened in runs and opened.holder is not None:
            opened.holder.ended(status)
        if opened.lease is not None and (opened in runs or not delivered):
            opened.say_ended()


os.register_at_fork(after_in_child=_after_fork_in_child)
