"""Text from elsewhere, made safe for one line of a terminal or a log."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str, limit: int | None = None, replacement: str = " ") -> str:
    r"""Return ``text`` on one line, with nothing in it that a terminal obeys.

    White space becomes a space. Any other character that ``str.isprintable`` rejects becomes ``replacement``: control
    and format characters, among them ``\x1b`` and those that turn the direction of text (https://trojansource.codes),
    private ones and lone surrogates. A text of more than ``limit`` characters is cut to as many, the last one "…".
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if character.isspace() else replacement for character in text
    )
