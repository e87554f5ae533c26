"""Runs of MLflow: its SQLite database (``mlflow.db``), or its folder of files (``mlruns/``, see ``files``).

    experiments     experiment_id, name, lifecycle_stage
    runs            run_uuid, name, status, start_time, end_time, lifecycle_stage, experiment_id
    params, tags    key, value, run_uuid
    metrics         key, value, timestamp (ms), step, is_nan, run_uuid: in the order of their rows

Deleted runs are left out. NaN is a 0 with ``is_nan``, and an infinity the largest double, which is an infinity again.
What becomes of params and tags is in ``found_run``, of artifacts in ``artifacts``. Models, datasets and traces stay
where they are, but for the files that they have among the artifacts.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from steplog.formats.imported import ImportedRun, RecordBatch, Stream
from steplog.formats.mlflow.artifacts import Artifacts, folder_of
from steplog.formats.mlflow.files import file_runs, is_folder, streams
from steplog.formats.mlflow.found_run import FoundRun, remarks_on, run_info
from steplog.formats.sqlite_file import SqliteFile, is_sqlite

__all__ = ["recognizes", "runs"]

_NEEDED = {"key", "value", "timestamp", "run_uuid"}
_GREATEST = sys.float_info.max
_INFINITE = {_GREATEST: math.inf, -_GREATEST: -math.inf}


def recognizes(path: Path) -> bool:
    """Whether it is such a database or folder, an experiment in a folder, or a run."""
    return _is_database(path) if path.is_file() else is_folder(path)


def runs(path: Path) -> Iterator[ImportedRun]:
    """Its runs, in the order in which they began. Raises FormatError."""
    if path.is_file():
        file = SqliteFile(path)
        places = _artifact_places(file)
        found = [
            (_database_streams(file, run.id), run, _artifacts_of(path, run.id, places.get(run.id, "")))
            for run in _database_runs(file)
        ]
    else:
        found = [(streams(folder), run, Artifacts(run.id, folder / "artifacts")) for folder, run in file_runs(path)]
    names = {run.id: run_info(run, {}).name for _, run, _ in found}
    for its_streams, run, artifacts in sorted(found, key=lambda each: (each[1].start_ms or 0, each[1].id)):
        yield ImportedRun(
            run_info(run, names),
            its_streams,
            partial(_remarks, run, artifacts),
            origin="mlflow" if path.is_file() else "mlruns",
            files=artifacts.files,
        )


def _remarks(run: FoundRun, artifacts: Artifacts) -> list[str]:
    return [*remarks_on(run), *artifacts.remarks()]


def _artifacts_of(database: Path, run_id: str, uri: str) -> Artifacts:
    return Artifacts(run_id, folder_of(database, uri, run_id), uri)


def _artifact_places(file: SqliteFile) -> dict[str, str]:
    """Where the artifacts of runs are, as the database says."""
    if "artifact_uri" not in file.columns("runs"):
        return {}
    return {str(run): str(uri or "") for run, uri in file.rows("SELECT run_uuid, artifact_uri FROM runs")}


def _is_database(path: Path) -> bool:
    return is_sqlite(path) and SqliteFile(path).columns("metrics") >= _NEEDED and bool(SqliteFile(path).columns("runs"))


def _database_runs(file: SqliteFile) -> list[FoundRun]:
    texts: dict[str, dict[str, dict[str, str]]] = {}
    for table in ("params", "tags"):
        texts[table] = {}
        for run, key, value in file.rows(f"SELECT run_uuid, key, value FROM {table}"):
            texts[table].setdefault(run, {})[str(key)] = "" if value is None else str(value)
    query = """
        SELECT run_uuid, runs.name, experiments.name, status, start_time, end_time
        FROM runs JOIN experiments USING (experiment_id)
        WHERE runs.lifecycle_stage IS NOT 'deleted' AND experiments.lifecycle_stage IS NOT 'deleted'
    """
    with file.failures():  # of a column, SQLite takes any type
        return [
            FoundRun(
                id=str(run),
                name=str(name or ""),
                experiment=str(experiment),
                status=str(status),
                start_ms=None if start is None else int(start),
                end_ms=None if end is None else int(end),
                params=texts["params"].get(run, {}),
                tags=texts["tags"].get(run, {}),
            )
            for run, name, experiment, status, start, end in file.rows(query)
        ]


def _database_streams(file: SqliteFile, run: str) -> list[Stream]:
    return [Stream("metrics", partial(_points, file, run))]


def _points(file: SqliteFile, run: str) -> Iterator[RecordBatch]:
    has = file.columns("metrics")  # step and is_nan came with 1.0 and 1.2
    columns = f"key, {'step' if 'step' in has else '0'}, timestamp, value, {'is_nan' if 'is_nan' in has else '0'}"
    for rows in file.in_order("metrics", columns, "run_uuid", run):
        names, steps, times, values, nans = zip(*rows, strict=True)
        with file.failures():
            numbers = [
                math.nan if nan else _INFINITE.get(value, float(value)) for value, nan in zip(values, nans, strict=True)
            ]
            batch = RecordBatch(
                list(map(str, names)), list(map(int, steps)), [int(time) * 1_000_000 for time in times], numbers
            )
        yield batch
