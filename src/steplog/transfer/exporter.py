"""Runs to files: all in one, or a file for each in a directory.

1. A file is there when it is whole. Of a directory each file is, so that an export that was broken off goes on with
   the runs that are missing.
2. What a directory has of a run is not read again while the run has not changed (``export_directory``).
   Its files are asked for each time, and fetched where they are missing (``file_export``).
3. What is held of a run is bounded, whatever its length. Wide and of a format with types, a long run is read twice,
   since the types of its columns come first.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from steplog.errors import FormatError, MetricNotFoundError, RunNotFoundError
from steplog.formats import csv_file, jsonl_file, parquet_file
from steplog.formats.file_listing import ListedFile, listing_of, write_listing
from steplog.formats.run_writer import ByteSink, RunWriter, WideWriter
from steplog.formats.tfevents import runs as tfevents
from steplog.naming import close, did_you_mean
from steplog.reading.source import RunSource
from steplog.reading.wide import wide
from steplog.transfer.export_directory import ExportDirectory, Place
from steplog.transfer.file_export import FileExport, FilesDone, FileSource
from steplog.transfer.run_points import Snapshot, points_of, snapshot
from steplog.transfer.whole_file import whole_file
from steplog.transfer.wide_tables import Kinds, WideTable, wide_tables

__all__ = ["DIRECTORIES", "ENDINGS", "WIDE", "Exported", "Exporter", "Options", "Progress", "Target"]

ENDINGS = {"csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet", "tfevents": ""}
DIRECTORIES = ("tfevents",)  # where a run is one
WIDE = ("csv", "parquet")
_VERSION = 1  # of what is written; another one writes all files of a directory again
_LISTED_MAX = 8
_W = TypeVar("_W", RunWriter, WideWriter)


class Target(NamedTuple):
    """A run that is to be exported; ``open`` and ``files`` are called when it is its turn. None: it has no files."""

    id: str
    name: str
    open: Callable[[], RunSource]
    files: Callable[[], FileSource] | None = None


class Options(NamedTuple):
    """What is exported of a run, and how.

    Attributes:
        kind: the format, one of ``ENDINGS``.
        names: of these metrics alone, in this order where the table is wide.
        wide: a row a step, with a column a metric; of a format of ``WIDE``.
        excel: for Excel to read; of CSV.
        files: with their files, beside the table.
    """

    kind: str
    names: tuple[str, ...] | None = None
    wide: bool = False
    excel: bool = False
    files: bool = False


class Progress(Protocol):
    """What is told of an export under way."""

    def begin(self, name: str, points: int) -> None:
        """A run of so many points, or of so many bytes of files, begins."""

    def advance(self, points: int) -> None:
        """So many more of them are written."""


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
    files: FilesDone = field(default_factory=FilesDone)


class _Run(NamedTuple):
    target: Target
    source: RunSource
    found: Snapshot


class Exporter:
    """Exports runs, in their order; ``done`` says how far.

    Raises as ``RunSource`` and files do, and MetricNotFoundError.
    """

    def __init__(self, targets: Sequence[Target], options: Options, progress: Progress) -> None:
        self._targets, self._options, self._progress = targets, options, progress
        self.done = Exported()
        self._names = _Names(options.names)
        self._words = _labels(targets)

    def to_file(self, sink: ByteSink, *, several: bool) -> Exported:
        """All runs into one file; ``several``: which run a row belongs to is said, if there is but one as well."""
        last = len(self._targets)
        runs = (self._open(target, is_last=at == last) for at, target in enumerate(self._targets, 1))
        first = [*islice(runs, 1)]  # what is wrong with it is said before anything is written
        self._write(chain(first, runs), sink, {} if several else None)
        return self.done

    def files_beside(self, table: Path) -> Exported:
        """The files of all runs, beside their table, and the listing of these; after ``to_file``."""
        files = self._file_export(table.parent)
        rows = []
        for target in self._targets:
            if target.files is not None:
                label = self._words[target.id] if len(self._targets) > 1 else target.name
                rows += files.of_run(target.id, label, target.files())
        listing = listing_of(table, self._options.kind)
        if rows or listing.exists():
            with whole_file(listing) as file:
                write_listing(file, self._options.kind, rows)
        return self.done

    def to_directory(self, path: Path) -> Exported:
        """A file for each run. Those that are gone, or whose place is taken, are ``failed``."""
        ending, last = ENDINGS[self._options.kind], len(self._targets)
        with closing(ExportDirectory(path, self._options.kind, ending)) as directory:
            places = directory.places([(target.id, target.name) for target in self._targets])
            files = self._file_export(path) if self._options.files else None
            for at, (target, place) in enumerate(zip(self._targets, places, strict=True), 1):
                try:
                    run = self._open(target, is_last=at == last)
                    rows = self._list(files, target, directory, place) if files else []
                    self._write_to(directory, place, run, rows)
                except (RunNotFoundError, FileExistsError) as error:
                    self.done.failed.append((target.name, error))
        return self.done

    def _write_to(self, directory: ExportDirectory, place: Place, run: _Run, rows: Sequence[ListedFile]) -> None:
        """The table of a run, unless it is there."""
        is_directory = self._options.kind in DIRECTORIES
        contents = {row.id: directory.path / row.content for row in rows if row.id and row.content}
        of = _digest(self._options, run.found, sorted(contents) if is_directory else ())
        if directory.is_current(place, of):
            self.done.unchanged += 1
        elif is_directory:
            with directory.directory(place, of) as folder:
                self._write_long([run], tfevents.Writer(folder, contents), None)
        else:
            with directory.file(place, of) as file:
                self._write([run], file, None)

    def _list(
        self, files: FileExport, target: Target, directory: ExportDirectory, place: Place
    ) -> Sequence[ListedFile]:
        """Fetch the files of a run, and write their listing, if that is another one."""
        rows = [] if target.files is None else files.of_run(target.id, target.name, target.files())
        listing = directory.beside(place, listing_of(place.path, self._options.kind).name)
        of = hashlib.sha256(msgspec.json.encode(rows)).hexdigest()[:32]
        if (rows or directory.has(listing)) and not directory.is_current(listing, of):
            with directory.file(listing, of) as file:
                write_listing(file, self._options.kind, rows)
        return rows

    def _file_export(self, root: Path) -> FileExport:
        files = FileExport(root, self._progress.begin, self._progress.advance)
        self.done.files = files.done
        return files

    def _open(self, target: Target, *, is_last: bool) -> _Run:
        source = target.open()
        found = snapshot(source)
        self._names.note(found, is_last=is_last)
        if found.omitted:
            self.done.omitted.append((target.name, found.omitted))
        return _Run(target, source, found)

    def _write(self, runs: Iterable[_Run], sink: ByteSink, labels: dict[str, str] | None) -> None:
        if self._options.wide:
            self._write_wide(list(runs), sink, labels)
        else:
            self._write_long(runs, _writer(self._options, sink, labels), labels)

    def _write_long(self, runs: Iterable[_Run], writer: RunWriter, labels: dict[str, str] | None) -> None:
        with _finished(writer):
            for run in runs:
                self._begin(writer, run, labels)
                for points in points_of(run.source, run.found.counts, self._options.names):
                    writer.points(points)
                    self._advance(len(points.steps))
                writer.end()
                self.done.runs += 1

    def _write_wide(self, runs: Sequence[_Run], sink: ByteSink, labels: dict[str, str] | None) -> None:
        names = tuple(dict.fromkeys(name for run in runs for name in self._names.of(run.found)))
        tables = [_tables(run, names) for run in runs]
        writer: WideWriter
        if self._options.kind == "csv":
            writer = csv_file.WideWriter(sink, wide((), names).columns[2:], labels, excel=self._options.excel)
        else:
            kinds, tables = _kinds(runs, names)
            writer = parquet_file.WideWriter(sink, kinds, names, labels)
        with _finished(writer):
            for run, of_run in zip(runs, tables, strict=True):
                self._begin(writer, run, labels)
                for each in of_run:
                    for batch in each.table.batches():
                        writer.rows(batch)
                    self._advance(each.points)
                self.done.runs += 1

    def _begin(self, writer: RunWriter | WideWriter, run: _Run, labels: dict[str, str] | None) -> None:
        if labels is not None:
            labels[run.found.info.id] = self._words[run.target.id]
        self._progress.begin(run.target.name, sum(run.found.counts[name] for name in self._names.of(run.found)))
        writer.begin(run.found.info)

    def _advance(self, points: int) -> None:
        self.done.points += points
        self._progress.advance(points)


class _Names:
    """The metrics that were asked for, and which of them some run has."""

    def __init__(self, wanted: tuple[str, ...] | None) -> None:
        self._wanted = wanted
        self._missing = list(wanted or ())
        self._seen: dict[str, None] = {}
        self._runs = 0

    def note(self, found: Snapshot, *, is_last: bool) -> None:
        """Raises MetricNotFoundError if it was the last run and none has a metric of some name."""
        if self._wanted is None:
            return
        self._runs += 1
        self._missing = [name for name in self._missing if name not in found.counts]
        self._seen |= dict.fromkeys(found.counts)
        if is_last and self._missing:
            whose = f"the run {found.info.name!r} has no" if self._runs == 1 else f"none of {self._runs} runs has a"
            raise MetricNotFoundError(f"{whose} metric {self._missing[0]!r}{self._instead(self._missing[0])}")

    def of(self, found: Snapshot) -> list[str]:
        """The metrics of a run that are exported."""
        return [name for name in (found.counts if self._wanted is None else self._wanted) if name in found.counts]

    def _instead(self, name: str) -> str:
        seen = list(self._seen)
        more = f" and {len(seen) - _LISTED_MAX:,} more" if len(seen) > _LISTED_MAX else ""
        return (
            did_you_mean(close(name, seen)) or f"; there is {', '.join(map(repr, seen[:_LISTED_MAX])) or 'none'}{more}"
        )


def _labels(targets: Sequence[Target]) -> dict[str, str]:
    """What the runs are called in one file, by id: their names, and where two have one, their ids too."""
    count = Counter(target.name for target in targets)
    return {target.id: target.name if count[target.name] == 1 else f"{target.name} ({target.id})" for target in targets}


def _digest(options: Options, found: Snapshot, files: Sequence[str] = ()) -> str:
    """Of all that decides what a file has; ``files``: the ids of those that are in it."""
    chosen = options.names, options.wide, options.excel
    text = msgspec.json.encode([_VERSION, *chosen, found.info, list(found.counts.items()), *([files] if files else [])])
    return hashlib.sha256(text).hexdigest()[:32]


def _tables(run: _Run, names: Sequence[str]) -> Iterator[WideTable]:
    return wide_tables(run.source, run.found, names)


def _kinds(runs: Sequence[_Run], names: Sequence[str]) -> tuple[dict[str, str], list[Iterator[WideTable]]]:
    """The kinds of the columns, and the tables, which are read once more unless there is but one."""
    kinds, count, first = Kinds(), 0, None
    for run in runs:
        for each in _tables(run, names):
            kinds.note(each.table)
            count, first = count + 1, each if first is None else first
    known = kinds.all()
    if count == 1 and first is not None:
        return known, [iter([first])]
    return known, [_checked(_tables(run, names), known) for run in runs]


def _checked(tables: Iterator[WideTable], known: dict[str, str]) -> Iterator[WideTable]:
    kinds = Kinds()
    for each in tables:
        kinds.note(each.table)
        for name, kind in kinds.all().items():
            if (kind, known[name]) in (("json", "f8"), ("json", "i8"), ("f8", "i8")) and known[name] != kind:
                raise FormatError(f"the run has got other values of {name!r} meanwhile; export it again")
        yield each


@contextmanager
def _finished(writer: _W) -> Iterator[_W]:
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
