"""What a process of the server says on standard error, from warnings on: lines of text, or of JSON.

::

    text    steplog serve: not ready: the database cannot be used now: …
    json    {"time":…,"level":"warning","message":…}, with "request_id" and "traceback" where there is one
"""

from __future__ import annotations

import logging
import sys
import threading
from datetime import datetime, timezone
from typing import Any

import msgspec

__all__ = ["FORMATS", "configure_logging", "time_text"]

FORMATS = ("text", "json")


def configure_logging(form: str) -> None:
    """Write what the process logs, from warnings on, in one of ``FORMATS``."""
    output = logging.StreamHandler(sys.stderr)
    output.setLevel(logging.WARNING)
    output.setFormatter(_JsonLines() if form == "json" else _TextLines())
    logging.getLogger().addHandler(output)
    # It warns of what is left of a transaction that has failed, which is raised, and answered, by itself.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    if form == "json":
        threading.excepthook = _log_failure


def _log_failure(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        name = "a thread" if failed.thread is None else failed.thread.name
        logging.getLogger("steplog.server").error("%s has failed", name, exc_info=failed.exc_value)


class _TextLines(logging.Formatter):
    """A record as one line, and its traceback as it is."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"steplog serve: {' '.join(record.getMessage().split())}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "time": time_text(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if (request_id := getattr(record, "request_id", None)) is not None:
            document["request_id"] = request_id
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(document).decode()


def time_text(seconds: float) -> str:
    """A time since the epoch, in UTC, to the millisecond."""
    date = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    return date.replace("+00:00", "Z")
