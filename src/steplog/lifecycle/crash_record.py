"""What a run went down on, kept as its last record: the reserved metric ``steplog/exception``.

A JSON object of three texts: ``type``, ``message`` and ``traceback``, as Python prints it, chained exceptions and notes
included, variables not. For a signal: its name, what it means, and where the program was. Each text is bounded, of the
traceback the end is kept. API keys are taken out, in whatever text they stand: those that this process knows, and those
in its environment.

Nothing here raises: the exception of the program is the one that counts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from types import FrameType
from typing import TYPE_CHECKING

from steplog.secret import scrubbed

if TYPE_CHECKING:
    from steplog.lifecycle.disabled import DisabledRun
    from steplog.lifecycle.open_run import OpenRun

__all__ = ["EXCEPTION_NAME", "MESSAGE_CHARACTERS_MAX", "TRACEBACK_CHARACTERS_MAX", "keep_exception", "keep_signal"]

EXCEPTION_NAME = "steplog/exception"
MESSAGE_CHARACTERS_MAX = 2_000
TRACEBACK_CHARACTERS_MAX = 16_000


def keep_exception(opened: OpenRun | DisabledRun, error: BaseException) -> None:
    """Record the exception that ends the run, unless the setting ``exceptions`` is off."""
    if opened.settings.exceptions:
        with contextlib.suppress(Exception):
            lines = traceback.format_exception(error) if error.__traceback__ is not None else []
            _keep(opened, _name_of(type(error)), _message_of(error), "".join(lines))


def keep_signal(opened: OpenRun | DisabledRun, number: int, frame: FrameType | None) -> None:
    """Record the signal that ends the run, unless the setting ``exceptions`` is off."""
    if opened.settings.exceptions:
        with contextlib.suppress(Exception):
            meaning = signal.strsignal(number) or ""
            _keep(opened, signal.Signals(number).name, meaning, "".join(traceback.format_stack(frame)))


def _keep(opened: OpenRun | DisabledRun, name: str, message: str, lines: str) -> None:
    most = max(1, opened.settings.value_bytes_max // 16)  # of which each may take six bytes as JSON
    told = {
        "type": name[:MESSAGE_CHARACTERS_MAX],
        "message": _beginning(scrubbed(message, os.environ), min(MESSAGE_CHARACTERS_MAX, most)),
        "traceback": _end(scrubbed(lines, os.environ), min(TRACEBACK_CHARACTERS_MAX, most)),
    }
    opened.log(EXCEPTION_NAME, told)


def _name_of(made: type) -> str:
    return (
        made.__qualname__ if made.__module__ in ("builtins", "__main__") else f"{made.__module__}.{made.__qualname__}"
    )


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the program's code, and its exception is what counts
        return "(its text cannot be had)"


def _beginning(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _end(text: str, most: int) -> str:
    return text if len(text) <= most else f"…{text[-most:]}"
