"""How the program goes down: by itself, with an exit code, or on an exception that nobody caught.

An ``atexit`` function is told nothing: ``sys.exc_info()`` is empty there, always. What can be known:

============================  ======================================================================================
an exception nobody caught    ``sys.last_exc`` (3.12), ``sys.last_value``; also KeyboardInterrupt, never SystemExit.
                              In a session of its user (a prompt, a notebook) a *handled* error sets it too, so there
                              it says nothing.
SystemExit, from 3.12 on      ``sys.monitoring`` shows each exception that leaves a frame; one that leaves the main
                              thread's outermost frame ends the program. 0.08 µs for each raised exception.
``sys.exit()``, before 3.12   it is wrapped. Whether its exception was caught is seen at the end: then the outermost
                              frame has come to its ``return``. A bare ``raise SystemExit(3)`` is not seen.
============================  ======================================================================================

A KeyboardInterrupt that nobody caught makes the exit code that of a death by SIGINT (130 in a shell). The interpreter
keeps a mark for that, and forgets it when any thread, ours too, runs a text: ``exec``, ``eval``, each ``dataclass``. So
our last act is to raise it once more where the interpreter takes note (``keep_code``).

Nothing is watched but between ``watch`` and ``unwatch``. What the program raises, catches and returns is unchanged;
where ``sys.exit`` is wrapped, the traceback of a SystemExit has one frame more.
"""

from __future__ import annotations

import contextlib
import opcode
import sys
import threading
from types import CodeType, FrameType
from typing import Any, NamedTuple, NoReturn

__all__ = ["crash", "is_failure", "keep_code", "unwatch", "watch"]

_TOOL_IDS = (3, 4, 5, 2, 1, 0)  # those that sys.monitoring gives no meaning come first
_exit = sys.exit
_noted: _Exit | None = None
_tool_id: int | None = None


class _Exit(NamedTuple):
    """The last SystemExit that may end the program."""

    code: Any
    frame: FrameType | None  # the outermost one, where it may yet be caught
    error: BaseException | None  # what had been shown by then


def watch() -> None:
    """Look out for exit codes, until ``unwatch``."""
    if _tool_id is None and not _watch_frames():
        sys.exit = _noting_exit


def unwatch() -> None:
    """Leave the interpreter as it was found."""
    global _tool_id, _noted
    _noted = None
    if sys.exit is _noting_exit:
        sys.exit = _exit
    if sys.version_info >= (3, 12) and _tool_id is not None:
        sys.monitoring.set_events(_tool_id, 0)
        sys.monitoring.register_callback(_tool_id, sys.monitoring.events.PY_UNWIND, None)
        sys.monitoring.free_tool_id(_tool_id)
        _tool_id = None


def crash() -> BaseException | None:
    """The exception that the program has gone down on, or a SystemExit whose code is not zero; asked at its end."""
    error = _last_error()
    if _noted is not None and _noted.error is error and not (_noted.frame is not None and _has_returned(_noted.frame)):
        return SystemExit(_noted.code) if is_failure(_noted.code) else None
    return None if _is_session() else error


def keep_code() -> None:
    """At the end, after all of our work: let the exit code be what it would be without us."""
    error = _last_error()
    if type(error) is KeyboardInterrupt and (_noted is None or _noted.error is not error) and not _is_session():
        # CPython's run_eval_code_obj clears unhandled_keyboard_interrupt, and sets it on this exception alone.
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102 - a constant


def is_failure(code: Any) -> bool:
    """Whether the code of a SystemExit ends the process with another code than 0."""
    if code is None:
        return False
    return bool(code & 0xFF) if isinstance(code, int) else True


def _last_error() -> BaseException | None:
    error: BaseException | None = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error


def _in_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _watch_frames() -> bool:
    global _tool_id
    if sys.version_info >= (3, 12):
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
    """Whether somebody sits at a prompt, or in a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None or hasattr(sys, "ps1")
