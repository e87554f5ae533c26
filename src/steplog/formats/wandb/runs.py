"""Runs of wandb, from its folders ``wandb/offline-run-<date>-<id>`` and ``wandb/run-<date>-<id>``.

Each has a file ``run-<id>.wandb``, a log (``log``) of protocol buffers called ``Record``
(``wandb_internal.proto`` of wandb 0.31). Of them are read:

     2  history   1 item: 1 key or 2 nested_key, 16 value_json or a typed value; 2 step: 1 num
     5  config    1 update, 2 remove: 1 key or 2 nested_key, 16 value_json
     7  stats     2 timestamp, 3 item: 1 key, 16 value_json
     8  artifact  see ``artifacts``
    17  run       1 run_id, 3 project, 4 config, 6 run_group, 7 job_type, 8 display_name, 9 notes, 10 tags, 13 host,
                  17 start_time, 21 git: 2 commit
    18  exit      1 exit_code
    26  environment  2 python, 9 git, 12 host, 13 username

1. Folders of one project and run id (a run that was resumed) are one run, each folder a stream.
2. Keys within keys are joined by dots, as wandb shows them; ``_step`` and ``_timestamp`` become step and time, and
   ``_runtime`` and ``_wandb`` are left out. A histogram is a JSON value. Media and tables are values that name their
   files (``media``).
3. System statistics are called ``system/`` and wandb's name, or ours where it is the same (``_SYSTEM``).
4. Without an exit record a run is CRASHED, or RUNNING if its last record is not older than ``RUNNING_S``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from steplog.errors import FormatError
from steplog.formats import protobuf
from steplog.formats.imported import (
    BATCH_RECORDS,
    ImportedArtifact,
    ImportedFile,
    ImportedRun,
    RecordBatch,
    Stream,
)
from steplog.formats.protobuf import fields, signed, text_of
from steplog.formats.remarks import remarks_on
from steplog.formats.run_info import RunInfo
from steplog.formats.tfevents.event import time_of
from steplog.formats.wandb.artifacts import ARTIFACT, artifact_of
from steplog.formats.wandb.log import MAGIC, WandbLog
from steplog.formats.wandb.media import RunFolder
from steplog.records.dates import date_of

__all__ = ["RUNNING_S", "recognizes", "runs"]

RUNNING_S = 30 * 60  # wandb writes system statistics every 15 s, but a file of 32 KiB at once
_ENDING = ".wandb"
_OWN = frozenset(("_step", "_timestamp", "_runtime", "_wandb"))
_RUN_ID = re.compile(r"[A-Za-z0-9._-]{1,120}")
_NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SYSTEM = {
    "gpu": "utilization_percent",
    "memoryAllocated": "memory_percent",
    "memoryAllocatedBytes": "memory_bytes",
    "powerWatts": "power_watts",
    "temp": "temperature_celsius",
}
_GPU = re.compile(r"gpu\.(\d+)\.(\w+)")
_KEY_TAGS = b"\x0a\x12"
_VALUE_TAG = b"\x82\x01"
_T = TypeVar("_T")
_Row = tuple[str, "int | None", int, Any]


def recognizes(path: Path) -> bool:
    """Whether it is such a file, or a folder that has one somewhere below."""
    if path.is_file():
        return path.suffix == _ENDING and _begins_right(path)
    return any(map(_begins_right, _files(path)))


def runs(path: Path, *, now: Callable[[], float] = time.time) -> Iterator[ImportedRun]:
    """The runs in a file, or in a folder and those below it. Raises OSError."""
    found: dict[tuple[str, str], list[_File]] = {}
    for each in [path.resolve()] if path.is_file() else _files(path):
        begun = _begun(each)
        if begun is not None:
            run_id, project, file = begun
            found.setdefault((run_id, project), []).append(file)
    for (run_id, _), files in found.items():
        about = _About()
        for file in files:
            about.take(file.path)
        yield _run(run_id, files, about, is_live=now() - about.last_ns() / 1_000_000_000 < RUNNING_S)


class _File(NamedTuple):
    """A file of a run.

    Attributes:
        key: the start of this stretch of the run, which tells it from the others wherever the file lies.
    """

    path: Path
    key: str


def _begun(path: Path) -> tuple[str, str, _File] | None:
    """The run's id, its project, and the file; None if the file does not come to say so."""

    def take(number: int, content: bytes) -> Iterator[tuple[str, str, _File]]:
        if number == _RUN:
            parts = {key: data for key, _, data in fields(content) if key in (1, 3, 17)}
            key = str(_timestamp(parts[17])) if 17 in parts else path.parent.name
            yield text_of(parts.get(1, b"")), text_of(parts.get(3, b"")), _File(path, key)

    return next(_taken(path, take), None)


def _files(path: Path) -> Iterator[Path]:
    """The files below, by name, which begins with the date; ``latest-run`` is a link, which is not followed."""
    for folder, below, names in os.walk(path.resolve()):
        below.sort()
        yield from (Path(folder, name) for name in sorted(names) if name.startswith("run-") and name.endswith(_ENDING))


def _begins_right(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _taken(path: Path, take: Callable[[int, bytes], Iterable[_T]], log: WandbLog | None = None) -> Iterator[_T]:
    """What ``take`` gives of the number of the kind, and the content, of each record, up to a damaged one."""
    with open(path, "rb") as file:
        log = log or WandbLog()
        for record in log.records(file.read):
            try:
                found = [
                    each for number, _, content in fields(record) if number in _KINDS for each in take(number, content)
                ]
            except FormatError as error:
                log.damage = f"a record is damaged: {error}"
                return
            yield from found


_HISTORY, _CONFIG, _STATS, _RUN, _EXIT, _ENVIRONMENT = 2, 5, 7, 17, 18, 26
_KINDS = frozenset((_HISTORY, _CONFIG, _STATS, _RUN, _EXIT, _ENVIRONMENT, ARTIFACT))
_TEXTS = {3: "project", 6: "group", 7: "job_type", 8: "name", 9: "notes", 13: "host"}


class _About:
    """What records say of a run."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.tags: list[str] = []
        self.started_ns: int | None = None
        self.config: dict[str, Any] = {}
        self.exit_code: int | None = None
        self.provenance: dict[str, Any] = {}
        self._history = self._stats = b""  # the last of each

    def take(self, path: Path) -> None:
        """The records of a file; the exit counts of the last one."""
        self.exit_code = None
        for _ in _taken(path, self._take):
            pass

    def _take(self, number: int, content: bytes) -> tuple[()]:
        if number == _RUN:
            self._take_run(content)
        elif number == _CONFIG:
            self._take_config(content)
        elif number == _EXIT:
            self.exit_code = next((signed(value) for key, value, _ in fields(content) if key == 1), 0)
        elif number == _ENVIRONMENT:
            self._take_environment(content)
        elif number == _HISTORY:
            self._history = content
        elif number == _STATS:
            self._stats = content
        return ()

    def last_ns(self) -> int:
        """The time of the last record."""
        with suppress(FormatError):
            rows = [*_History(0, Counter()).rows(self._history), *_stats(self._stats)]
            return max([self.started_ns or 0, *(row[2] for row in rows)])
        return self.started_ns or 0

    def _take_run(self, content: bytes) -> None:
        tags = []
        for number, _, data in fields(content):
            if number in _TEXTS and data:
                self.texts[_TEXTS[number]] = text_of(data)
            elif number == 4:
                self._take_config(data)
            elif number == 10:
                tags.append(text_of(data))
            elif number == 17 and self.started_ns is None:
                self.started_ns = _timestamp(data)
            elif number == 21:
                self._take_git(data)
        self.tags = tags or self.tags

    def _take_config(self, content: bytes) -> None:
        for number, _, data in fields(content):
            path, value = _item(data)
            if path and path[0] not in _OWN and number in (1, 2):
                place = _place(self.config, path)
                if number == 1:
                    place[path[-1]] = value
                else:
                    place.pop(path[-1], None)

    def _take_environment(self, content: bytes) -> None:
        for number, _, data in fields(content):
            if number in (2, 12, 13):
                self.provenance[{2: "python", 12: "host", 13: "user"}[number]] = text_of(data)
            elif number == 9:
                self._take_git(data)

    def _take_git(self, content: bytes) -> None:
        for number, _, data in fields(content):
            if number == 2 and data:
                self.provenance["git"] = {"commit": text_of(data), "branch": None, "dirty": None}


def _place(value: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """The dict that has the last key of the path."""
    for key in path[:-1]:
        within = value.get(key)
        if not isinstance(within, dict):
            within = value[key] = {}
        value = within
    return value


def _run(run_id: str, files: Sequence[_File], about: _About, *, is_live: bool) -> ImportedRun:
    texts = about.texts
    status = {None: "RUNNING" if is_live else "CRASHED", 0: "COMPLETED"}.get(about.exit_code, "FAILED")
    if "host" in texts:
        about.provenance.setdefault("host", texts["host"])
    info = RunInfo(
        id=_id(run_id),
        name=texts.get("name", run_id),
        project=texts.get("project", ""),
        status=status,
        tags=about.tags,
        group=texts.get("group"),
        job_type=texts.get("job_type"),
        notes=texts.get("notes"),
        started=_date(about.started_ns),
        config=about.config,
        provenance=about.provenance or None,
    )
    readings: dict[str, _Reading] = {}
    folders = [RunFolder(path.parent, key) for path, key in files]
    streams = [
        Stream(key, partial(_batches, path, about.started_ns or 0, readings, folder))
        for (path, key), folder in zip(files, folders, strict=True)
    ]
    return ImportedRun(
        info,
        streams,
        partial(_remarks, readings, folders),
        files=partial(_all_files, files, folders),
    )


def _all_files(files: Sequence[_File], folders: Sequence[RunFolder]) -> Iterator[ImportedFile | ImportedArtifact]:
    """The files of all folders, then their artifacts."""
    yield from chain.from_iterable(folder.files() for folder in folders)
    for path, key in files:
        place = 0

        def take(number: int, content: bytes, key: str = key) -> Iterator[ImportedArtifact]:
            nonlocal place
            if number == ARTIFACT:
                place += 1
                made = artifact_of(content, f"{key}/{place}")
                if made is not None:
                    yield made

        yield from _taken(path, take)


def _id(run_id: str) -> str:
    if _RUN_ID.fullmatch(run_id):
        return f"wandb-{run_id}"
    return f"wandb-{hashlib.blake2b(run_id.encode('utf-8', 'surrogateescape'), digest_size=12).hexdigest()}"


def _date(time_ns: int | None) -> str | None:
    try:
        return None if time_ns is None else date_of(time_ns)
    except OverflowError:
        return None


def _timestamp(data: bytes) -> int:
    """A ``google.protobuf.Timestamp``, in ns."""
    parts = {number: signed(value) for number, value, _ in fields(data)}
    return parts.get(1, 0) * 1_000_000_000 + parts.get(2, 0)


class _Reading(NamedTuple):
    """What one reading of a file has found besides records."""

    log: WandbLog
    left_out: Counter[str]


def _remarks(readings: Mapping[str, _Reading], folders: Sequence[RunFolder]) -> list[str]:
    left_out = sum((reading.left_out for reading in readings.values()), Counter[str]())
    logs = {name: reading.log for name, reading in readings.items()}
    missing, others = sum(folder.missing for folder in folders), sum(folder.others for folder in folders)
    found = [f"left out: files of values that are not there ({missing:,})"] if missing else []
    if others:
        found.append(f"left out: links among its files ({others:,}); copy the folder with cp -rL, and import the copy")
    return [*remarks_on("they name no file in the folder", left_out, logs), *found]


def _batches(path: Path, started_ns: int, readings: dict[str, _Reading], folder: RunFolder) -> Iterator[RecordBatch]:
    reading = readings[path.parent.name] = _Reading(WandbLog(), Counter())
    history = _History(started_ns, reading.left_out, folder)

    def take(number: int, content: bytes) -> Iterable[_Row]:
        if number == _HISTORY:
            return history.rows(content)
        return _stats(content) if number == _STATS else ()

    rows = _taken(path, take, reading.log)
    while batch := list(islice(rows, BATCH_RECORDS)):
        yield _batch(batch)


def _batch(rows: Sequence[_Row]) -> RecordBatch:
    return RecordBatch(*map(list, zip(*rows, strict=True)))


class _History:
    """The records of a file's history."""

    def __init__(self, started_ns: int, left_out: Counter[str], folder: RunFolder | None = None) -> None:
        self._time_ns = started_ns
        self._folder = folder
        self._step = -1
        self._left_out = left_out

    def rows(self, content: bytes) -> list[_Row]:
        """Of one record, which has all that was logged at one step."""
        step, items = None, []
        for number, _, data in fields(content):
            if number == 1:
                items.append(_item(data))
            elif number == 2:
                step = next((signed(value) for key, value, _ in fields(data) if key == 1), 0)
        own = {path[0]: value for path, value in items if len(path) == 1 and path[0] in _OWN}
        if step is None:
            step = own.get("_step")
        self._step = step if type(step) is int else self._step + 1
        timestamp = own.get("_timestamp")
        if isinstance(timestamp, (int, float)):
            self._time_ns = time_of(float(timestamp))
        media = {path[:-1] for path, _ in items if path[-1:] == ("_type",) and len(path) > 1}
        rows = [
            (".".join(path), self._step, self._time_ns, value)
            for path, value in items
            if path and path[0] not in _OWN and not (media and self._is_within(path, media))
        ]
        kept = [row for row in map(self._converted, rows) if row is not None]
        return [*kept, *self._media(items, media)]

    def _is_within(self, path: tuple[str, ...], media: set[tuple[str, ...]]) -> bool:
        return any(path[: len(prefix)] == prefix for prefix in media)

    def _converted(self, row: _Row) -> _Row | None:
        """A row as it is kept; None, and counted, of a value whose file is not there."""
        name, step, time_ns, value = row
        kind = value.get("_type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind == "histogram":
            return row
        made = None if self._folder is None else self._folder.value(value, time_ns)
        if made is None:
            self._left_out[kind.removesuffix("-file")] += 1
            return None
        return name, step, time_ns, made

    def _media(self, items: Sequence[tuple[tuple[str, ...], Any]], media: set[tuple[str, ...]]) -> Iterator[_Row]:
        """Objects that wandb has spread over several items."""
        for prefix in sorted(media):
            value: dict[str, Any] = {}
            for path, part in items:
                if path[: len(prefix)] == prefix and len(path) > len(prefix):
                    _place(value, path[len(prefix) :])[path[-1]] = part
            row = self._converted((".".join(prefix), self._step, self._time_ns, dict(sorted(value.items()))))
            if row is not None:
                yield row


def _stats(content: bytes) -> Iterator[_Row]:
    time_ns = 0
    for number, _, data in fields(content):
        if number == 2:
            time_ns = _timestamp(data)
        elif number == 3:
            path, value = _item(data)
            if type(value) in (int, float):
                name = ".".join(path)
                gpu = _GPU.fullmatch(name)
                if gpu and gpu[2] in _SYSTEM:
                    name = f"gpu.{gpu[1]}.{_SYSTEM[gpu[2]]}"
                yield f"system/{name}", None, time_ns, value


def _item(data: bytes) -> tuple[tuple[str, ...], Any]:
    """The path and the value of an item of a history, a config, or statistics."""
    if len(data) > 1 and data[0] in _KEY_TAGS and data[1] < 128:  # nearly all: one key, one value_json, both short
        end = 2 + data[1]
        begin = end + len(_VALUE_TAG) + 1
        if len(data) >= begin and data[end : begin - 1] == _VALUE_TAG and data[begin - 1] == len(data) - begin < 128:
            return (text_of(data[2:end]),), _json(data[begin:])
    return _any_item(data)


def _any_item(data: bytes) -> tuple[tuple[str, ...], Any]:
    key, nested, value = "", [], None
    for number, integer, content in fields(data):
        if number == 1:
            key = text_of(content)
        elif number == 2:
            nested.append(text_of(content))
        elif number in (8, 16):
            value = _json(content)
        elif number == 4:
            value = bool(integer)
        elif number == 5:
            value = integer >> 1 ^ -(integer & 1)
        elif number == 6:
            value = protobuf.double_of(content)
        elif number == 7:
            value = text_of(content)
    return tuple(nested) if nested else (key,) if key else (), value


def _json(text: bytes) -> Any:
    """A value; wandb writes NaN and infinities as they are, and earlier as texts."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text_of(text)
    return _NONFINITE.get(value, value) if isinstance(value, str) else value
