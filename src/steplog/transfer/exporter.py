"""Runs to files: all in one, or a file for each in a directory.

1. A file is there when it is whole. Of a directory each file is, so that an export that was broken off goes on with
   the runs that are missing.
2. What a directory has of a run is not read again while the run has not changed (``export_directory``).
3. What is held of a run is bounded, whatever its length.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from steplog.errors import RunNotFoundError
from steplog.formats import csv_file, jsonl_file, parquet_file
from steplog.formats.run_writer import ByteSink, RunWriter
from steplog.reading.source import RunSource
from steplog.transfer.export_directory import ExportDirectory, Place
from steplog.transfer.run_points import Snapshot, points_of, snapshot

__all__ = ["ENDINGS", "Exported", "Exporter", "Options", "Progress", "Target"]

ENDINGS = {"csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet"}
_VERSION = 1  # of what is written; another one writes all files of a directory again
_LISTED_MAX = 10


class Target(NamedTuple):
    """A run that is to be exported; ``open`` is called when it is its turn."""

    id: str
    name: str
    open: Callable[[], RunSource]


class Options(NamedTuple):
    """What is exported of a run, and how; ``names``: of these metrics alone."""

    kind: str
    names: tuple[str, ...] | None = None
    excel: bool = False


class Progress(Protocol):
    """What is told of an export under way."""

    def begin(self, name: str, points: int) -> None:
        """A run of so many points begins."""

    def advance(self, points: int) -> None:
        """So many more points of it are written."""


@dataclass
class Exported:
    """What was done.

    Attributes:
        failed: runs that are not exported, each with the reason.
        omitted: runs of whose config so many keys are beyond what a server tells.
    """

    runs: int = 0
    unchanged: int = 0
    points: int = 0
    failed: list[tuple[str, Exception]] = field(default_factory=list)
    omitted: list[tuple[str, int]] = field(default_factory=list)


class Exporter:
    """Exports runs, in their order. Raises as ``RunSource`` and files do, and LookupError for an unknown metric."""

    def __init__(self, targets: Sequence[Target], options: Options, progress: Progress) -> None:
        self._targets, self._options, self._progress = targets, options, progress
        self._done = Exported()
        self._names = _Names(options.names)

    def to_file(self, sink: ByteSink, *, several: bool) -> Exported:
        """All runs into one file; ``several``: which run a row belongs to is said, if there is but one as well."""
        labels: dict[str, str] | None = {} if several else None
        words = _labels(self._targets)
        with _finished(_writer(self._options, sink, labels)) as writer:
            for at, target in enumerate(self._targets, 1):
                source = target.open()
                found = snapshot(source)
                self._names.note(found, is_last=at == len(self._targets))
                if labels is not None:
                    labels[found.info.id] = words[target.id]
                self._write(writer, source, target, found)
        return self._done

    def to_directory(self, path: Path) -> Exported:
        """A file for each run. Those that are gone, or whose place is taken, are ``failed``."""
        ending = ENDINGS[self._options.kind]
        with closing(ExportDirectory(path, self._options.kind, ending)) as directory:
            places = directory.places([(target.id, target.name) for target in self._targets])
            for at, (target, place) in enumerate(zip(self._targets, places, strict=True), 1):
                try:
                    source = target.open()
                    found = snapshot(source)
                    self._names.note(found, is_last=at == len(self._targets))
                    self._into(directory, place, source, target, found)
                except (RunNotFoundError, FileExistsError) as error:
                    self._done.failed.append((target.name, error))
        return self._done

    def _into(
        self, directory: ExportDirectory, place: Place, source: RunSource, target: Target, found: Snapshot
    ) -> None:
        of = _digest(self._options, found)
        if directory.is_current(place, of):
            self._done.unchanged += 1
            return
        with directory.file(place, of) as file, _finished(_writer(self._options, file, None)) as writer:
            self._write(writer, source, target, found)

    def _write(self, writer: RunWriter, source: RunSource, target: Target, found: Snapshot) -> None:
        self._progress.begin(target.name, self._names.total(found))
        writer.begin(found.info)
        for points in points_of(source, found.counts, self._options.names):
            writer.points(points)
            self._done.points += len(points.steps)
            self._progress.advance(len(points.steps))
        writer.end()
        self._done.runs += 1
        if found.omitted:
            self._done.omitted.append((target.name, found.omitted))


class _Names:
    """The metrics that were asked for, and which of them some run has."""

    def __init__(self, wanted: tuple[str, ...] | None) -> None:
        self._wanted = wanted
        self._missing = list(wanted or ())
        self._seen: dict[str, None] = {}
        self._runs = 0

    def note(self, found: Snapshot, *, is_last: bool) -> None:
        """Raises LookupError if it was the last run and none has a metric of this name."""
        if self._wanted is None:
            return
        self._runs += 1
        self._missing = [name for name in self._missing if name not in found.counts]
        self._seen |= dict.fromkeys(found.counts)
        if is_last and self._missing:
            whose = f"the run {found.info.name!r} has no" if self._runs == 1 else f"none of {self._runs} runs has a"
            raise LookupError(f"{whose} metric {self._missing[0]!r}{self._instead(self._missing[0])}")

    def total(self, found: Snapshot) -> int:
        """How many points of a run are exported."""
        return found.total if self._wanted is None else sum(found.counts.get(name, 0) for name in set(self._wanted))

    def _instead(self, name: str) -> str:
        close = get_close_matches(name, self._seen, cutoff=0.5) or list(self._seen)
        if not close:
            return ", nor any other"
        more = f" and {len(close) - _LISTED_MAX:,} more" if len(close) > _LISTED_MAX else ""
        return f"; there is {', '.join(map(repr, close[:_LISTED_MAX]))}{more}"


def _labels(targets: Sequence[Target]) -> dict[str, str]:
    """What the runs are called in one file, by id: their names, and where two have one, their ids too."""
    count = Counter(target.name for target in targets)
    return {target.id: target.name if count[target.name] == 1 else f"{target.name} ({target.id})" for target in targets}


def _digest(options: Options, found: Snapshot) -> str:
    """Of all that decides what a file has."""
    text = msgspec.json.encode([_VERSION, *options[1:], found.info, list(found.counts.items())])
    return hashlib.sha256(text).hexdigest()[:32]


@contextmanager
def _finished(writer: RunWriter) -> Iterator[RunWriter]:
    try:
        yield writer
        writer.close()
    except BaseException:
        writer.abandon()
        raise


def _writer(options: Options, sink: ByteSink, labels: dict[str, str] | None) -> RunWriter:
    if options.kind == "csv":
        return csv_file.Writer(sink, labels, excel=options.excel)
    if options.kind == "jsonl":
        return jsonl_file.Writer(sink)
    return parquet_file.Writer(sink, labels)
