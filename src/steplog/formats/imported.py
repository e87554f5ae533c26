"""What a file that is imported gives: runs, each with streams of records. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from steplog.formats.run_info import RunInfo

__all__ = ["BATCH_RECORDS", "ImportedRun", "RecordBatch", "Stream", "exported"]

BATCH_RECORDS = 8192


class RecordBatch(NamedTuple):
    """Up to ``BATCH_RECORDS`` records; the sequences are of one length.

    Attributes:
        steps: None: none was given.
        times: ns since the epoch.
        values: float, int, bool, or what JSON has.
    """

    names: Sequence[str]
    steps: Sequence[int | None]
    times: Sequence[int]
    values: Sequence[Any]

    def part(self, first: int, end: int | None = None) -> RecordBatch:
        """The records ``[first, end)``."""
        return RecordBatch(self.names[first:end], self.steps[first:end], self.times[first:end], self.values[first:end])


class Stream(NamedTuple):
    """Records in an order that does not change where the source grows: the next ones come at its end.

    Attributes:
        key: tells the stream from the others of its run, whenever and from wherever it is imported.
        read: begins at the first record.
        by_name: only the records of each metric keep their order; new ones of one may come before others.
    """

    key: str
    read: Callable[[], Iterator[RecordBatch]]
    by_name: bool = False


class ImportedRun(NamedTuple):
    """A run in a source; its streams differ in their keys.

    Attributes:
        remarks: asked once the streams are read: what of the source is not in them, and why, a line each.
        is_anonymous: the source does not say which run it is: ``info.id`` is a guess, which another one may share that
            begins alike.
        origin: what counts the records: [A-Za-z0-9._-]+. Sources of one run and one origin have the same streams; "":
            the format.
    """

    info: RunInfo
    streams: Sequence[Stream]
    remarks: Callable[[], Sequence[str]] = list
    is_anonymous: bool = False
    origin: str = ""


def exported(
    info: RunInfo, read: Callable[[], Iterator[RecordBatch]], remarks: Callable[[], Sequence[str]] = list
) -> ImportedRun:
    """A run as steplog exports it, in whatever format: metric after metric, all points of each as they arrived."""
    return ImportedRun(info, [Stream("points", read, by_name=True)], remarks, origin="export")
