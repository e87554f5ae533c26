"""What a file that is imported gives: runs, each with streams of records. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.formats.run_info import RunInfo

__all__ = [
    "BATCH_RECORDS",
    "ImportedArtifact",
    "ImportedFile",
    "ImportedRun",
    "RecordBatch",
    "Stream",
    "exported",
]

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


class ImportedFile(NamedTuple):
    """A file of a run.

    Attributes:
        entry: what is known of it; its id is the same whenever and from wherever it is imported. Its ``sha256`` is ""
            where the source does not say it.
        open: its content, from the beginning, as often as it is called; None: it is not there. Raises FormatError,
            OSError.
    """

    entry: FileEntry
    open: Callable[[], BinaryIO | None]


class ImportedArtifact(NamedTuple):
    """A version of an artifact; ``entry`` without ``digest``, ``count`` and ``size``, which its files give."""

    entry: ArtifactEntry
    files: Sequence[ImportedFile]


class ImportedRun(NamedTuple):
    """A run in a source; its streams differ in their keys.

    Attributes:
        remarks: asked once the streams are read: what of the source is not in them, and why, a line each.
        is_anonymous: the source does not say which run it is: ``info.id`` is a guess, which another one may share that
            begins alike.
        files: asked once the streams are read: its files and its artifacts, the older version of one first.
        table: the file or directory that it is read from, where that may be an export of steplog's.
        label: what the table calls it; None: it has that run alone.
        origin: what counts the records: [A-Za-z0-9._-]+. Sources of one run and one origin have the same streams; "":
            the format.
    """

    info: RunInfo
    streams: Sequence[Stream]
    remarks: Callable[[], Sequence[str]] = list
    is_anonymous: bool = False
    origin: str = ""
    files: Callable[[], Iterator[ImportedFile | ImportedArtifact]] = lambda: iter(())
    table: Path | None = None
    label: str | None = None


def exported(
    info: RunInfo, read: Callable[[], Iterator[RecordBatch]], remarks: Callable[[], Sequence[str]] = list
) -> ImportedRun:
    """A run as steplog exports it, in whatever format: metric after metric, all points of each as they arrived."""
    return ImportedRun(info, [Stream("points", read, by_name=True)], remarks, origin="export")
