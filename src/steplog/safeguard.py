"""What happens to runs that are still open when the process ends, or when another run takes their place.

At the end of the interpreter every open run of this process is flushed and gets its status: CRASHED when the
program goes down on an unhandled exception, else COMPLETED. ``sys.last_value`` tells (``last_exc`` from 3.12 on);
inside an ``atexit`` function ``sys.exc_info()`` is empty always. In a notebook a *handled* error of a cell sets it
too, so there it does not count.

The hook is registered when the first run is opened, so that it runs before what was registered earlier is torn
down. It starts no thread: the sender, a daemon thread, still runs while ``atexit`` functions do. A forked child
leaves it alone.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

from steplog.process import open_runs

if TYPE_CHECKING:
    from steplog.opened import OpenRun
    from steplog.run import Run

__all__ = ["arm", "disarm", "supersede"]

_log = logging.getLogger("steplog")
_thread = threading.local()
_armed_in: int | None = None


def arm() -> None:
    """See to it that open runs are ended at exit."""
    global _armed_in
    if _armed_in != os.getpid():
        atexit.register(_at_exit, os.getpid())
        _armed_in = os.getpid()


def disarm(run: Run) -> None:
    """This run has been ended."""
    if getattr(_thread, "bare", None) is run:
        _thread.bare = None


def supersede(run: Run) -> None:
    """A bare ``init`` has made this run: the one that the same thread made so before is FAILED, if it is still open."""
    before: Run | None = getattr(_thread, "bare", None)
    _thread.bare = run
    if before is not None:
        before.supersede()


def _at_exit(pid: int) -> None:
    if pid != os.getpid():
        return
    status = "CRASHED" if _went_down() else "COMPLETED"
    for opened in open_runs():
        _end(opened, status)


def _end(opened: OpenRun, status: str) -> None:
    try:
        opened.finish_at_exit(status)
    except KeyboardInterrupt:
        _log.warning("steplog: interrupted; %s", opened.kept())


def _went_down() -> bool:
    if "IPython" in sys.modules and getattr(sys.modules["IPython"], "get_ipython", lambda: None)() is not None:
        return False
    return getattr(sys, "last_exc", None) is not None or getattr(sys, "last_value", None) is not None
