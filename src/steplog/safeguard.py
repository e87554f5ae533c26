"""What happens to runs that are still open when the process ends, or when another run takes their place.

While a run is open here, the safeguard is *armed*. Then an open run gets its status

* at the end of the interpreter, in ``atexit``: it is flushed and COMPLETED, or CRASHED where the program goes down
  on an exception or with a code that is not zero (``ending`` knows), which is its last record (``traces``);
* on SIGTERM and SIGHUP: CRASHED, after a flush of at most ``signal_flush_s``, whereupon the process dies of the
  signal as it would have without us. A handler is put only over the default one, only in the main thread, and never
  over a signal that is ignored (nohup) or handled, be it by the program or by C code. A second signal kills at once.
  The handler of a program replaces ours as it would the default; the status then follows how the program ends;
* from the next bare ``init`` of the same thread: FAILED, sent in the background.

The runs of a process share one deadline, ``finish_timeout_s`` from the beginning of the end, and 5 s where the server
has been silent for 10 s: what is not delivered by then is in the journal, with the status. Ctrl-C ends the waiting.

No hook starts a thread: the sender, a daemon thread, runs on while ``atexit`` functions and signal handlers do. What a
handler calls can be entered again: whatever it has interrupted is never gone on with. A forked child is disarmed; the
hooks that it inherits look at the pid first.
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
from steplog.settings import Settings

__all__ = ["Supersedable", "arm", "disarm", "settle_later", "supersede"]

_log = logging.getLogger("steplog")
_thread = threading.local()
_superseded: list[OpenRun] = []  # their status is on its way
_hooked_in: int | None = None  # the process whose atexit calls us
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Supersedable(Protocol):
    """A run, as far as another one takes its place."""

    def supersede(self) -> None:
        """Mark it FAILED, in the background, if it is still open."""


def arm() -> None:
    """A run is open here: see to it that it is ended."""
    global _hooked_in
    if _hooked_in != os.getpid():
        atexit.register(_at_exit, os.getpid())
        _hooked_in = os.getpid()
    exit_code.watch()
    for number in _SIGNALS:
        if _is_default(number):
            with contextlib.suppress(ValueError):  # an interpreter within another
                signal.signal(number, _on_signal)


def disarm(run: Supersedable) -> None:
    """A run is over; if none is open any more, remove what ``arm`` installed."""
    if getattr(_thread, "bare", None) is run:
        _thread.bare = None
    if not open_runs():
        _unhook()


def supersede(run: Supersedable) -> None:
    """A bare ``init`` has made this run: it takes the place of the last one that this thread made so."""
    before: Supersedable | None = getattr(_thread, "bare", None)
    _thread.bare = run
    if before is not None:
        before.supersede()
    for opened in [it for it in _superseded if it.lease is None or it.lease.outbox.status_sent]:
        opened.settle(0.0)  # nothing is left to wait for, nor on this machine then
        _superseded.remove(opened)


def settle_later(opened: OpenRun) -> None:
    """Wait for a superseded run's status at the end of the process, unless it is sent before."""
    _superseded.append(opened)


def _after_fork_in_child() -> None:
    global _hooked_in
    _hooked_in = None
    _thread.bare = None
    _superseded.clear()
    _unhook()


def _unhook() -> None:
    exit_code.unwatch()
    for number in _SIGNALS:
        if signal.getsignal(number) is _on_signal:
            with contextlib.suppress(ValueError):  # not in the main thread: there it does what the default does
                signal.signal(number, signal.SIG_DFL)


def _is_default(number: int) -> bool:
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(number) is not signal.SIG_DFL:
        return False
    # Python does not know of a handler that C code has set since: faulthandler.register, a scheduler's library.
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
        return  # a program's handler passes it on to the one that it replaced: that would be the default, no function
    signal.signal(number, signal.SIG_DFL)
    try:
        for opened in open_runs():
            crash_record.keep_signal(opened.log, opened.settings, number, frame)
        _end("CRASHED", lambda settings: settings.signal_flush_s)
    except BaseException as error:  # noqa: BLE001 - the process dies of the signal, whatever happens
        with contextlib.suppress(Exception):
            _log.debug("steplog: the flush after signal %d: %r", number, error)
    finally:
        os.kill(os.getpid(), number)


def _end(status: str, limit_s: Callable[[Settings], float]) -> None:
    """End all open runs: first each gets its status, then they are waited for."""
    began, interrupted, progress = time.monotonic(), False, ExitProgress()
    runs = open_runs()
    for opened in runs:
        opened.finish_in_background(status)
    for opened in (*_superseded, *runs):
        left_s = limit_s(opened.settings) - (time.monotonic() - began)
        delivered = False
        try:
            delivered = opened.settle(0.0 if interrupted else left_s, progress)
        except KeyboardInterrupt:
            interrupted = True
        if opened.lease is not None and (opened in runs or not delivered):
            opened.say_ended()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
