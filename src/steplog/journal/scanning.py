"""What is in a spool file, found by magic and check wherever it is in it. Pure.

Whole frames of the writer are taken. Anything else makes the file *damaged*: bytes that are no frame, another writer's
frame, a range of a newer version. What a death in the middle of a write leaves at the end makes it *torn*, which is no
damage as long as nobody has said that it was durable.
"""

from __future__ import annotations

from dataclasses import dataclass

from steplog.errors import FormatError
from steplog.journal import frame
from steplog.journal.range import Range, VersionError

__all__ = ["Found", "scan"]


@dataclass(frozen=True, slots=True)
class Found:
    """``frames`` of one file, each with its offset, its size, and what it covers; ``damage`` in words, if there is any.

    A frame is ``(offset, size, first, end, empty)``.
    """

    frames: list[tuple[int, int, int, int, int]]
    damage: str | None
    torn: bool


def scan(data: bytes, writer: str) -> Found:
    """Look through the bytes of a file."""
    frames: list[tuple[int, int, int, int, int]] = []
    damage: str | None = None
    place, torn = 0, False
    while place < len(data):
        for start, end in frame.scan(data, place):
            place = end
            try:
                records = _of(writer, data[start:end])
                frames.append((start, end - start, records.first, records.end, records.empty))
            except FormatError as error:
                damage = damage or str(error)
        if place == len(data):
            break
        following = frame.find(data, place + 1)
        if following is None:
            torn = frame.is_torn(data, place)
            damage = damage or (None if torn else f"no frame at byte {place}")
            break
        damage = damage or f"no frame at byte {place}"
        place = following
    return Found(frames, damage, torn)


def _of(writer: str, whole: bytes) -> Range:
    try:
        records = frame.decode(whole)
    except VersionError:
        raise
    except FormatError as error:
        raise FormatError(f"a frame that holds no range: {error}") from None
    if records.writer != writer:
        raise FormatError(f"a frame of another writer, {records.writer}")
    return records
