"""Runs of trackio: a SQLite database for each project, in ``~/.cache/huggingface/trackio`` or ``$TRACKIO_DIR``.

    metrics         id, run_id, timestamp, run_name, step, metrics: a row a call of log(), its values as JSON
    system_metrics  id, run_id, timestamp, run_name, metrics: without a step; here under ``system/``
    configs         run_id, run_name, config, created_at

Before trackio 0.24 a run was its name, and there was no ``run_id``. Trackio keeps no status: a run counts as COMPLETED.
NaN and infinities are texts there, which cannot be told from texts that were logged. Files of media are in ``media``
beside the database; a table is a value itself. Alerts, traces and artifacts stay where they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import msgspec

from steplog.formats.imported import BATCH_RECORDS, ImportedRun, RecordBatch, Stream
from steplog.formats.local_files import MediaFolder
from steplog.formats.run_info import RunInfo
from steplog.formats.sqlite_file import SqliteFile, is_sqlite
from steplog.records.dates import date_of

__all__ = ["recognizes", "runs"]

_NEEDED = {"timestamp", "run_name", "step", "metrics"}
_OWN_KEYS = ("_Username", "_Created", "_Group")  # in a config, by trackio
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_LEFT_OUT = ("alerts", "traces")
_MEDIA = {"trackio.image": "image", "trackio.audio": "audio", "trackio.video": "video"}
_TABLE = "trackio.table"
_DEPTH_MAX = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def recognizes(path: Path) -> bool:
    """Whether it is such a database, or a directory with one."""
    return any(map(_is_project, _candidates(path)))


def runs(path: Path) -> Iterator[ImportedRun]:
    """The runs of a project, or of each in a directory, in the order in which they began. Raises FormatError."""
    for project in filter(_is_project, _candidates(path)):
        yield from _Project(project).runs()


def _candidates(path: Path) -> list[Path]:
    return sorted(path.glob("*.db")) if path.is_dir() else [path]


def _is_project(path: Path) -> bool:
    return is_sqlite(path) and SqliteFile(path).columns("metrics") >= _NEEDED


class _Project:
    """A database."""

    def __init__(self, path: Path) -> None:
        self._name = path.stem
        self._folder = path.parent / "media"
        self._file = SqliteFile(path)
        self._key = "run_id" if "run_id" in self._file.columns("metrics") else "run_name"
        self._tables = [table for table in ("metrics", "system_metrics") if self._file.columns(table)]

    def runs(self) -> Iterator[ImportedRun]:
        """Its runs."""
        configs = {}
        if self._file.columns("configs"):
            configs = {
                key: row
                for key, *row in self._file.rows(f"SELECT {self._key}, run_name, config, created_at FROM configs")
            }
        spans: dict[str, list[Any]] = {key: [name, created, created] for key, (name, _, created) in configs.items()}
        for table in self._tables:
            query = f"SELECT {self._key}, run_name, MIN(timestamp), MAX(timestamp) FROM {table} GROUP BY {self._key}"
            for key, name, first, last in self._file.rows(query):
                span = spans.setdefault(key, [name, first, last])
                span[1:] = [min(span[1], first), max(span[2], last)]
        for key, (name, first, last) in sorted(spans.items(), key=lambda item: item[1][1]):
            with self._file.failures():
                config = _decoded(configs[key][1]) if key in configs else {}
                run = self._run(str(key), str(name), config, _ns(first), _ns(last))
            yield run

    def _run(self, key: str, name: str, config: dict[str, Any], first_ns: int, last_ns: int) -> ImportedRun:
        created, group = config.get("_Created"), config.get("_Group")
        known = self._key == "run_id"
        info = RunInfo(
            id=f"trackio-{key if known else hashlib.sha256(f'{self._name}/{name}'.encode()).hexdigest()[:32]}",
            name=name,
            project=self._name,
            group=str(group) if group else None,
            started=date_of(min(first_ns, _ns(created)) if isinstance(created, str) else first_ns),
            ended=date_of(last_ns),
            config={entry: value for entry, value in config.items() if entry not in _OWN_KEYS},
        )
        media = MediaFolder(self._folder, "trackio")
        streams = [Stream(table, partial(self._records, table, key, media)) for table in self._tables]
        return ImportedRun(info, streams, partial(self._remarks, key, media), files=media.files)

    def _records(self, table: str, key: str, media: MediaFolder) -> Iterator[RecordBatch]:
        system = table == "system_metrics"
        columns = f"timestamp, {'NULL' if system else 'step'}, metrics"
        names: list[str] = []
        steps: list[int | None] = []
        times: list[int] = []
        values: list[Any] = []
        for rows in self._file.in_order(table, columns, self._key, key):
            for timestamp, step, metrics in rows:
                with self._file.failures():
                    logged, time_ns = _decoded(metrics), _ns(timestamp)
                names += [f"system/{name}" for name in logged] if system else logged
                steps += [step] * len(logged)
                times += [time_ns] * len(logged)
                values += [_value(value, media, time_ns) for value in logged.values()]
                if len(names) >= BATCH_RECORDS:
                    yield from _batches(names, steps, times, values)
                    names, steps, times, values = [], [], [], []
        yield from _batches(names, steps, times, values)

    def _remarks(self, key: str, media: MediaFolder) -> list[str]:
        found = [f"left out: files of values that are not there ({len(media.missing):,})"] if media.missing else []
        for table in _LEFT_OUT:
            if self._key in self._file.columns(table):
                ((count,),) = self._file.rows(f"SELECT COUNT(*) FROM {table} WHERE {self._key} = ?", (key,))
                found += [f"{count:,} {table if count > 1 else table[:-1]} left out"] if count else []
        return found


def _value(value: Any, media: MediaFolder, time_ns: int, depth: int = 0) -> Any:
    """A number that JSON has not; or as steplog has it a file's value, a table, a histogram, or what has such in it."""
    if isinstance(value, str):
        return value if depth else _NUMBERS.get(value, value)
    if isinstance(value, list) and depth < _DEPTH_MAX:
        return [_value(each, media, time_ns, depth + 1) for each in value]
    if not isinstance(value, dict) or depth >= _DEPTH_MAX:
        return value
    kind = value.get("_type")
    if isinstance(kind, str) and kind in _MEDIA:
        fields = {"caption": value["caption"]} if value.get("caption") else {}
        made = media.value(_MEDIA[kind], value.get("file_path"), fields, time_ns)
        return value if made is None else made
    rows = value.get("_value")
    if kind == _TABLE and isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        columns = list(dict.fromkeys(str(name) for row in rows for name in row))
        cells = [[_value(row.get(name), media, time_ns, depth + 1) for name in columns] for row in rows]
        return {"_type": "table", "columns": columns, "data": cells}
    if kind == "trackio.histogram":
        return {**value, "_type": "histogram"}
    return {name: _value(each, media, time_ns, depth + 1) for name, each in value.items()}


def _batches(
    names: Sequence[str], steps: Sequence[int | None], times: Sequence[int], values: Sequence[Any]
) -> Iterator[RecordBatch]:
    for first in range(0, len(names), BATCH_RECORDS):
        part = slice(first, first + BATCH_RECORDS)
        yield RecordBatch(names[part], steps[part], times[part], values[part])


def _decoded(content: str | bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(told, dict):
        raise ValueError(f"not an object, but {type(told).__name__}")
    return told


@lru_cache(maxsize=64)  # a call of log() after the other often has the same
def _ns(timestamp: str) -> int:
    moment = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
