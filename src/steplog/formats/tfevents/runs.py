"""Event files of TensorBoard: folders of them, read as runs; and the writer of one.

A folder that has event files is a run, called by its path. Folders that a ``SummaryWriter`` makes for one call belong
to the run above:

    runs/a/events.out.tfevents.…                  the run a
    runs/a/1795756477.155/events.out.tfevents.…   add_hparams: config and metrics of a, where it is the only such folder
    runs/a/loss_train/events.out.tfevents.…       add_scalars("loss", {"train": …}): the metric loss/train of a
    runs/a/eval/events.out.tfevents.…             the run a/eval

A run's id comes from the name and the beginning of its first file that has one, so that it is the same wherever the
folder lies. An event file is a stream. Of the status nothing is known: COMPLETED. Points that TensorBoard hides, since
a writer began again at an earlier step, are there.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from steplog.blobs.entries import FileEntry
from steplog.errors import FormatError
from steplog.formats.imported import ImportedFile, ImportedRun, RecordBatch, Stream, exported
from steplog.formats.remarks import remarks_on
from steplog.formats.run_info import RunInfo
from steplog.formats.tfevents.encoding import (
    config_event,
    float_events,
    framed,
    info_event,
    int_events,
    json_events,
    version_event,
)
from steplog.formats.tfevents.event import HPARAMS
from steplog.formats.tfevents.reader import EventFile, Head, MediaPlace, read_head
from steplog.reading.points import SeriesPoints

__all__ = ["Writer", "recognizes", "runs"]

_MARK = "tfevents"
_NOT_EVENTS = (".profile-empty",)  # the profiler's, which marks that there are profiles
_HPARAMS_FOLDER = re.compile(r"\d{9,11}\.\d+")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_PIECE_BYTES = 1 << 20
_WRITTEN_TOGETHER = 8192
_SHOWN_BYTES_MAX = 16 * 1024 * 1024


def recognizes(path: Path) -> bool:
    """Whether it is an event file, or a folder that has one somewhere below."""
    if not path.is_dir():
        return _is_event_file(path.name) and path.is_file()
    return next(_folders(path), None) is not None


def runs(path: Path) -> Iterator[ImportedRun]:
    """The runs in an event file, or in a folder and those below it. Raises FormatError, OSError."""
    if not path.is_dir():
        folder = path.absolute().parent
        names = [each for each in sorted(os.listdir(folder)) if _is_event_file(each) or each == path.name]
        heads = _heads(folder, names)
        if heads[path.name].is_damaged:
            raise FormatError(f"{path}: no event file: it does not begin with a record")
        yield _run(folder.name, _Folder(folder, heads), [], only=path.name)
        return
    folders = {folder: _Folder(folder, _heads(folder, names)) for folder, names in _folders(path)}
    above: dict[Path, list[_Part]] = {folder: [] for folder in folders}
    parts: set[Path] = set()
    for folder, found in folders.items():
        part = _part_of(found, folders)
        if part is not None:
            above[part.run].append(part)
            parts.add(folder)
    damaged = [folder / name for folder, found in folders.items() for name in _damaged(found)]
    if damaged and len(damaged) == sum(len(found.heads) for found in folders.values()):
        raise FormatError(f"{damaged[0]}: no event file: it does not begin with a record")
    for folder, found in folders.items():
        if folder not in parts and (above[folder] or any(head.first for head in found.heads.values())):
            relative = folder.relative_to(path)
            name = relative.as_posix() if relative.parts else folder.absolute().name
            yield _run(name, found, above[folder])


def _is_event_file(name: str) -> bool:
    return _MARK in name and not name.endswith(_NOT_EVENTS)


def _folders(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folders that have event files, and these; not those in which wandb keeps copies of them."""
    for folder, below, names in os.walk(path):
        below.sort()
        if any(name.endswith(".wandb") for name in names):
            below.clear()
            continue
        events = sorted(filter(_is_event_file, names))
        if events:
            yield Path(folder), events


class _Folder(NamedTuple):
    """A folder, and how its event files begin, by name in their order."""

    path: Path
    heads: dict[str, Head]


class _Part(NamedTuple):
    """A folder that belongs to the run of another; ``name`` is that of its only metric, if it is not the tag."""

    run: Path
    folder: _Folder
    name: str | None


def _heads(folder: Path, names: Sequence[str]) -> dict[str, Head]:
    heads = {}
    for name in names:
        with open(folder / name, "rb") as file:
            heads[name] = read_head(file.read)
    return heads


def _damaged(folder: _Folder) -> list[str]:
    return [name for name, head in folder.heads.items() if head.is_damaged]


def _part_of(folder: _Folder, folders: dict[Path, _Folder]) -> _Part | None:
    above = next((each for each in folder.path.parents if each in folders), None)
    if above is None:
        return None
    if _HPARAMS_FOLDER.fullmatch(folder.path.name):
        alike = [each for each in folders if each.parent == above and _HPARAMS_FOLDER.fullmatch(each.name)]
        return _Part(above, folder, None) if alike == [folder.path] else None
    tag = next((head.first_tag for head in folder.heads.values() if head.first_tag), None)
    if tag is None:
        return None
    relative = folder.path.relative_to(above).as_posix()
    for begin in (f"{tag}/", f"{tag.replace('/', '_')}_"):  # tensorboardX; torch
        if relative.startswith(begin):
            return _Part(above, folder, f"{tag}/{relative[len(begin) :]}")
    return None


def _run(name: str, folder: _Folder, parts: Sequence[_Part], only: str | None = None) -> ImportedRun:
    readings: dict[str, EventFile] = {}
    sources: list[tuple[_Folder, str, str, str | None]] = [
        (folder, file, file, None) for file in folder.heads if only in (None, file)
    ]
    for part in parts:
        relative = part.folder.path.relative_to(folder.path).as_posix()
        sources += [(part.folder, file, f"{relative}/{file}", part.name) for file in part.folder.heads]
    streams = [
        Stream(key, partial(_batches, source.path / file, key, called, readings))
        for source, file, key, called in sources
    ]
    info = next((head.info for head in folder.heads.values() if head.info is not None), None)
    if info is not None:
        read = [stream.read for stream in streams]
        run = _decoded(info, folder.path)
        whole = exported(run, lambda: chain.from_iterable(each() for each in read), partial(_remarks, readings))
        return whole._replace(table=folder.path.absolute())
    config: dict[str, Any] = {}
    for source, file, *_ in sources:
        config |= _config(source.path / file)
    started = min((head.began for head in folder.heads.values() if head.began), default=None)
    made = RunInfo(id=_id(folder), name=name, started=_date(started), config=config)
    paths = {key: source.path / file for source, file, key, _ in sources}
    return ImportedRun(made, streams, partial(_remarks, readings), files=partial(_files, paths, readings))


def _files(paths: Mapping[str, Path], readings: Mapping[str, EventFile]) -> Iterator[ImportedFile]:
    """The contents of values in the files that were read, each once."""
    seen: set[str] = set()
    for key, reading in readings.items():
        for place in reading.media.values():
            if place.id not in seen:
                seen.add(place.id)
                entry = FileEntry(id=place.id, type=place.type, suffix=place.suffix, time=max(0, place.time_ns))
                yield ImportedFile(entry, partial(_content, paths[key], reading, place))


def _content(path: Path, reading: EventFile, place: MediaPlace) -> BinaryIO | None:
    with open(path, "rb") as file:
        file.seek(place.offset)
        content = reading.content(file.read(place.length), place.id)
    return None if content is None else io.BytesIO(content)


def _decoded(info: bytes, path: Path) -> RunInfo:
    try:
        return msgspec.json.decode(info, type=RunInfo)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{path}: what an export says of its run is damaged: {error}") from None


def _id(folder: _Folder) -> str:
    said = [(name, head.wall_time, head.first) for name, head in folder.heads.items() if head.first]
    digest = hashlib.blake2b(msgspec.json.encode(said[0] if said else list(folder.heads)), digest_size=12)
    return f"tfevents-{digest.hexdigest()}"


def _date(wall_time: float | None) -> str | None:
    try:
        moment = datetime.fromtimestamp(wall_time, timezone.utc) if wall_time else None
    except (OverflowError, ValueError, OSError):
        return None
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z") if moment else None


def _batches(path: Path, key: str, called: str | None, readings: dict[str, EventFile]) -> Iterator[RecordBatch]:
    with open(path, "rb") as file:
        reading = readings[key] = EventFile(file.read)
        for batch in reading.batches():
            yield batch if called is None else batch._replace(names=[called] * len(batch.names))


def _remarks(readings: dict[str, EventFile]) -> list[str]:
    left_out = sum((reading.left_out for reading in readings.values()), Counter[str]())
    return remarks_on("a run has no such values", left_out, readings)


def _config(path: Path) -> dict[str, Any]:
    """The hyperparameters in an event file, which is taken apart only if it has the plugin's name."""
    with open(path, "rb") as file:
        if not _holds(file, HPARAMS.encode()):
            return {}
        file.seek(0)
        reading = EventFile(file.read)
        for _ in reading.batches():
            pass
        return reading.config


def _holds(file: BinaryIO, wanted: bytes) -> bool:
    end = b""
    while piece := file.read(_PIECE_BYTES):
        if wanted in end + piece[: len(wanted)] or wanted in piece:
            return True
        end = piece[1 - len(wanted) :]
    return False


class Writer:
    """``RunWriter`` of one run, as an event file in a directory.

    The file is called by the run's start, so that equal runs have equal files.
    """

    def __init__(self, directory: Path, contents: Mapping[str, Path] | None = None) -> None:
        """``contents``: where the files of values are, by their ids; what TensorBoard shows of them is written, too."""
        self._directory = directory
        self._contents = contents or {}
        self._file: BinaryIO | None = None

    def begin(self, info: RunInfo) -> None:
        """Begin the run; one only."""
        wall_time = _wall_time(info.started)
        self._file = open(self._directory / f"events.out.tfevents.{int(wall_time):010}.steplog", "xb")  # noqa: SIM115
        records = [version_event(wall_time), info_event(wall_time, msgspec.json.encode(info))]
        if info.config:
            records.append(config_event(wall_time, info.config))
        self._file.write(framed(records))

    def points(self, points: SeriesPoints) -> None:
        """Write an event a point; what may have a file in it alone."""
        together = 1 if self._contents and points.kind == "json" else _WRITTEN_TOGETHER
        for begin in range(0, len(points.steps), together):
            self._points(points, slice(begin, begin + together))

    def _points(self, points: SeriesPoints, part: slice) -> None:
        steps, values = points.steps[part], points.values[part]
        walls = [0.0] * len(steps) if points.times is None else [time / 1_000_000_000 for time in points.times[part]]
        of_json = partial(json_events, content_of=self._content_of)
        encode: Any = {"f8": float_events, "i8": int_events, "json": of_json}[points.kind]
        if self._file is not None:
            self._file.write(framed(encode(points.name, steps, walls, values)))

    def _content_of(self, file_id: str) -> bytes | None:
        """A content that is there, and not too large to be in an event."""
        path = self._contents.get(file_id)
        if path is None:
            return None
        with open(path, "rb") as file:
            content = file.read(_SHOWN_BYTES_MAX + 1)
        return content if len(content) <= _SHOWN_BYTES_MAX else None

    def end(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """The file is whole."""
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        """The file will not be whole."""
        self.close()


def _wall_time(started: str | None) -> float:
    """S since the epoch; 0 where it is not known, or before."""
    if started is None:
        return 0.0
    try:
        moment = msgspec.convert(started, datetime)
    except msgspec.ValidationError:
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - _EPOCH).total_seconds())
