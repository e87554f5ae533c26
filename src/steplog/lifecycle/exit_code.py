"""How the program ends: normally, with an exit code, or on an uncaught exception.

``sys.exc_info()`` is empty in ``atexit``. What can be known:

============================  ======================================================================================
uncaught exception            ``sys.last_exc`` (3.12), ``sys.last_value``; never SystemExit. Ignored at a prompt and
                              in a notebook, where a handled error sets it too.
SystemExit, from 3.12 on      ``sys.monitoring``: it leaves the main thread's outermost frame. 0.08 µs a raise.
``sys.exit()``, before 3.12   is wrapped: caught if the outermost frame is at its ``return`` at the end. A bare
                              ``raise SystemExit(3)`` is not seen.
============================  ======================================================================================

A change of events in ``sys.monitoring`` stops all threads. Without the GIL that may wait for ever in a forked child:
CPython 3.13 leaves the lock of a thread that was about to do so, as for a garbage collection, locked there. So a child
keeps what the parent has set, and otherwise does as before 3.12.

A KeyboardInterrupt makes the exit code that of SIGINT. The interpreter's mark for that is lost when any thread runs
``exec``, ``eval`` or makes a ``dataclass``; ``keep_code`` sets it again.
"""

from __future__ import annotations

import contextlib
import opcode
import os
import sys
import threading
from types import CodeType, FrameType
from typing import Any, NoReturn

import msgspec

from steplog.loaded import loaded

__all__ = ["crash", "is_failure", "keep_code", "unwatch", "watch"]

_TOOL_IDS = (3, 4, 5, 2, 1, 0)  # first those without a meaning in sys.monitoring
_exit = sys.exit
_noted: _Exit | None = None
_tool_id: int | None = None
_imported_in = os.getpid()


class _Exit(msgspec.Struct, frozen=True):
    """The last SystemExit that may end the program."""

    code: Any
    frame: FrameType | None  # the outermost, if it may still be caught
    error: BaseException | None  # the last error before it


def watch() -> None:
    """Watch for exit codes, until ``unwatch``."""
    if _tool_id is None and not _watch_frames():
        sys.exit = _noting_exit


def unwatch() -> None:
    """Restore the interpreter, but for ``sys.monitoring`` in a forked child without the GIL."""
    global _tool_id, _noted
    _noted = None
    if sys.exit is _noting_exit:
        sys.exit = _exit
    if sys.version_info >= (3, 12) and _tool_id is not None and _may_stop_threads():
        sys.monitoring.set_events(_tool_id, 0)
        sys.monitoring.register_callback(_tool_id, sys.monitoring.events.PY_UNWIND, None)
        sys.monitoring.free_tool_id(_tool_id)
        _tool_id = None


def crash() -> BaseException | None:
    """At exit, the exception that ended the program, or a SystemExit whose code is not 0."""
    error = _last_error()
    if _noted is not None and _noted.error is error and not (_noted.frame is not None and _has_returned(_noted.frame)):
        return SystemExit(_noted.code) if is_failure(_noted.code) else None
    return None if _is_session() else error


def keep_code() -> None:
    """The last act at exit: restore the exit code of a KeyboardInterrupt."""
    error = _last_error()
    if type(error) is KeyboardInterrupt and (_noted is None or _noted.error is not error) and not _is_session():
        # CPython's run_eval_code_obj clears unhandled_keyboard_interrupt, and sets it on this exception alone.
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102 - a constant


def is_failure(code: Any) -> bool:
    """Whether this code of a SystemExit makes a non-zero exit code."""
    if code is None:
        return False
    return bool(code & 0xFF) if isinstance(code, int) else True


def _last_error() -> BaseException | None:
    error: BaseException | None = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error


def _in_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _may_stop_threads() -> bool:
    return "t" not in sys.abiflags or os.getpid() == _imported_in


def _watch_frames() -> bool:
    global _tool_id
    if sys.version_info >= (3, 12) and _may_stop_threads():
        for tool_id in _TOOL_IDS:
            if sys.monitoring.get_tool(tool_id) is None:
                sys.monitoring.use_tool_id(tool_id, "steplog")
                sys.monitoring.register_callback(tool_id, sys.monitoring.events.PY_UNWIND, _unwound)
                sys.monitoring.set_events(tool_id, sys.monitoring.events.PY_UNWIND)
                _tool_id = tool_id
                return True
    return False


def _unwound(_code: CodeType, _offset: int, error: BaseException) -> None:
    global _noted
    if isinstance(error, SystemExit) and sys._getframe(1).f_back is None and _in_main_thread():
        _noted = _Exit(error.code, None, _last_error())


def _noting_exit(status: Any = None, /) -> NoReturn:
    """Exit the interpreter by raising SystemExit(status)."""
    global _noted
    if _in_main_thread():
        frame = sys._getframe(1)
        while frame.f_back is not None:
            frame = frame.f_back
        _noted = _Exit(status, frame, _last_error())
    _exit(status)


def _has_returned(frame: FrameType) -> bool:
    return frame.f_lasti >= 0 and opcode.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN_")


def _is_session() -> bool:
    shell = getattr(loaded("IPython"), "get_ipython", lambda: None)()
    return shell is not None or hasattr(sys, "ps1")
