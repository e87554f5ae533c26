"""Where a journal's segments come from: this process's own writer, or the files of another one, living or dead.

Both give ``Piece``s in the order of their positions. A piece's end is known once the next piece is there; the last
one's is open.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from steplog.errors import FormatError
from steplog.journal.append import Segment
from steplog.journal.memory import SEGMENT_SUFFIX, Block
from steplog.journal.segment import SegmentView, read_header
from steplog.journal.writer import Writer

__all__ = ["DirectorySource", "OwnSource", "Piece", "Source"]

_log = logging.getLogger("steplog")


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment to read: its view, its positions ``[base, end)`` (None: still open), and what holds it."""

    view: SegmentView
    base: int
    end: int | None

    @property
    def limit(self) -> int:
        """The end, or where the segment would be full."""
        return self.base + self.view.header.capacity if self.end is None else self.end


class Source(Protocol):
    """Gives a journal's pieces, and removes those that are not needed any more."""

    def pieces(self) -> Sequence[Piece]:
        """What is there now, in order."""

    def evict(self, below: int) -> None:
        """Remove every piece that ends at or below this position."""

    def bytes(self) -> int:
        """What the pieces take in memory."""


class OwnSource:
    """The segments of this process's writer, followed from the first one that is still needed."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._views: list[tuple[Segment, SegmentView]] = []
        self._next: Segment | None = writer.head

    def pieces(self) -> Sequence[Piece]:
        """See Source."""
        while self._next is not None:
            segment = self._next
            if not self._views or self._views[-1][0] is not segment:
                self._views.append((segment, segment.view()))
            if (successor := segment.successor.get(0)) is None:
                break
            self._next = successor
        ends = [segment.header.base for segment, _ in self._views[1:]]
        return [
            Piece(view, segment.header.base, ends[index] if index < len(ends) else None)
            for index, (segment, view) in enumerate(self._views)
        ]

    def evict(self, below: int) -> None:
        """See Source."""
        while len(self._views) > 1 and self._views[1][0].header.base <= below:
            block = self._views.pop(0)[0].block
            if block is not None:
                self._writer.pool.give_back(block)
        if self._views:
            self._writer.head = self._views[0][0]

    def bytes(self) -> int:
        """See Source."""
        return sum(len(segment.memory) for segment, _ in self._views)


class DirectorySource:
    """The segment files of one writer's directory; damaged and foreign ones are left where they are, said once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[str, tuple[SegmentView, Block]] = {}
        self._refused: set[str] = set()
        self._evicted = 0

    def pieces(self) -> Sequence[Piece]:
        """See Source."""
        for name in self._names():
            if name not in self._open and name not in self._refused:
                self._add(name)
        found = sorted(self._open.values(), key=lambda item: item[0].header.base)
        pieces = [Piece(view, view.header.base, None) for view, _ in found]
        for index, following in enumerate(pieces[1:]):
            end = min(following.base, pieces[index].limit)
            pieces[index] = replace(pieces[index], end=max(end, pieces[index].base))
        return pieces

    def evict(self, below: int) -> None:
        """See Source."""
        pieces = self.pieces()
        ends = {id(piece.view): piece.end for piece in pieces}
        for name, (view, block) in list(self._open.items()):
            end = ends.get(id(view))
            if end is not None and end <= below and block.path is not None:
                block.path.unlink(missing_ok=True)
                del self._open[name]

    def bytes(self) -> int:
        """See Source."""
        return sum(len(block.memory) for _, block in self._open.values())

    def _names(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._directory) if name.endswith(SEGMENT_SUFFIX)]
        except OSError:
            return []

    def _add(self, name: str) -> None:
        path = self._directory / name
        try:
            with open(path, "r+b") as file:
                memory = mmap.mmap(file.fileno(), 0)
        except (OSError, ValueError):  # gone, or empty: still being made
            return
        try:
            header = read_header(memory)
        except FormatError as error:
            self._refused.add(name)
            _log.warning("steplog cannot read %s: %s. It is left where it is.", path, error)
            return
        if header is not None:
            self._open[name] = (SegmentView(memory, header), Block(memory, path))
