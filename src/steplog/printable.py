"""Text from elsewhere, made safe for one line of a terminal or a log.

Names, words and files of a server, another user or another host may hold escape sequences, line breaks, and characters
that turn the direction of text. What is printed passes ``printable``; so does each value that the logger ``steplog``
is given, from the import of this module on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

__all__ = ["OneLine", "printable"]


def printable(text: str, limit: int | None = None, replacement: str = " ") -> str:
    r"""Return ``text`` on one line, with nothing in it that a terminal obeys.

    White space becomes a space; what else ``str.isprintable`` rejects, ``replacement``: control characters, those that
    turn the direction of text (https://trojansource.codes), surrogates. ``limit`` is in characters, "…" included.
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else replacement for c in text)


class OneLine(logging.Filter):
    """Makes the values of each log record printable; the message itself is ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the values; the record is always logged."""
        if isinstance(record.args, Mapping):
            record.args = {name: _shown(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(_shown(value) for value in record.args)
        return True


def _shown(value: object) -> object:
    if isinstance(value, (int, float)):
        return value
    text = str(value)
    return value if text.isprintable() else printable(text)


logging.getLogger("steplog").addFilter(OneLine())
