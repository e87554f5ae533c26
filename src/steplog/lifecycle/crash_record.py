"""The metric ``steplog/exception``, the last record of a run that crashes.

A JSON object: ``type``, ``message``, ``traceback``; for a signal its name, its meaning, the stack. Texts are bounded; a
traceback keeps its end. Known API keys are removed. Nothing here raises.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable
from types import FrameType

from steplog.secret import scrubbed
from steplog.settings import Settings

__all__ = ["EXCEPTION_NAME", "Log", "keep_exception", "keep_signal"]

EXCEPTION_NAME = "steplog/exception"
_HEAD = "Traceback (most recent call last):\n"
Log = Callable[[str, dict[str, str]], object]
_MESSAGE_CHARACTERS_MAX = 2_000
_TRACEBACK_CHARACTERS_MAX = 16_000


def keep_exception(log: Log, settings: Settings, error: BaseException) -> None:
    """Record ``error``, if the setting ``exceptions`` is on."""
    if settings.exceptions:
        with contextlib.suppress(Exception):
            lines = traceback.format_exception(error) if error.__traceback__ is not None else []
            _keep(log, settings, _name_of(type(error)), _message_of(error), "".join(lines))


def keep_signal(log: Log, settings: Settings, number: int, frame: FrameType | None) -> None:
    """Likewise for a signal."""
    if settings.exceptions:
        with contextlib.suppress(Exception):
            meaning = signal.strsignal(number) or ""
            lines = "".join((_HEAD, *traceback.format_stack(frame)))
            _keep(log, settings, signal.Signals(number).name, meaning, lines)


def _keep(log: Log, settings: Settings, name: str, message: str, lines: str) -> None:
    most = max(1, settings.value_bytes_max // 16)  # a character takes up to six bytes in JSON
    told = {
        "type": name[:_MESSAGE_CHARACTERS_MAX],
        "message": _beginning(scrubbed(message, os.environ), min(_MESSAGE_CHARACTERS_MAX, most)),
        "traceback": _end(scrubbed(lines, os.environ), min(_TRACEBACK_CHARACTERS_MAX, most)),
    }
    log(EXCEPTION_NAME, told)


def _name_of(made: type) -> str:
    name = made.__qualname__
    return name if made.__module__ in ("builtins", "__main__") else f"{made.__module__}.{name}"


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a __str__ of the program's
        return "(its text cannot be had)"


def _beginning(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _end(text: str, most: int) -> str:
    return text if len(text) <= most else f"…{text[-most:]}"
