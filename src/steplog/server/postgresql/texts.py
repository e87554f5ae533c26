"""Texts with a NUL, which PostgreSQL's have none of: a name, a note, or a condition of a query may have one.

It travels as two code points, the first of which stands for itself when it comes twice; whoever reads a text reads what
was written, and two texts are equal where they were.
"""

from __future__ import annotations

from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import Format
from psycopg.types.string import StrDumperUnknown

__all__ = ["register", "stored"]

_MARK, _NUL = "\U0010ffff", "\U0010fffe"  # of no characters, nor will be


def register(adapters: AdaptersMap) -> None:
    """Have a connection's texts travel so."""
    adapters.register_dumper(str, _TextDumper)
    adapters.register_loader("text", _TextLoader)


def stored(text: str) -> str:
    """A text as it travels."""
    if "\0" in text or _MARK in text:
        return text.replace(_MARK, _MARK * 2).replace("\0", _MARK + _NUL)
    return text


class _TextDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(stored(obj))


class _TextLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        text = str(data, "utf-8")
        if _MARK not in text:
            return text
        return _MARK.join(part.replace(_MARK + _NUL, "\0") for part in text.split(_MARK * 2))
