"""Text from elsewhere, made safe for one line of a terminal or a log."""

from __future__ import annotations

__all__ = ["printable"]


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
