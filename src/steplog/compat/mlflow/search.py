"""What ``mlflow.get_run`` and ``mlflow.search_runs`` read: this process's runs as they are, others from steplog.

::

    info.run_id                the run's id, else its uuid
    info.status                RUNNING, FINISHED, FAILED; KILLED for CRASHED
    data.metrics               the last value of each metric that is a number; without those under ``steplog/``
    data.params, data.tags     texts
    mlflow.parentRunId         of a run whose group is another run's name, as nested runs have it
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import msgspec

import steplog
from steplog.compat.mlflow import experiments
from steplog.compat.mlflow.entities import Experiment, Metric, Param, Run, RunData, RunInfo, RunTag
from steplog.compat.mlflow.exceptions import MlflowException, missing
from steplog.compat.mlflow.search_filter import clauses_of, in_order, is_met
from steplog.compat.mlflow.tracked_run import artifact_uri, known, status_of, tracked_runs
from steplog.identity import slug_of

__all__ = ["experiments_of", "frame_of", "history_of", "run_of", "runs_of"]

_COLUMNS = 100  # in one question
_FLUSH_S = 10.0
_NOTE, _NAME, _PARENT = "mlflow.note.content", "mlflow.runName", "mlflow.parentRunId"
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def run_of(run_id: str) -> Run:
    """The run as it is now. Raises MlflowException where there is none.

    Of one that was not begun here, what this process has logged is delivered first, for ten seconds at most.
    """
    found = known(run_id)
    if found is not None and found.is_new:
        return found.entity()
    if found is not None:
        found.run.flush(_FLUSH_S)
    with _as_mlflows(run_id):
        read = steplog.open(run_id)
        run = _run(_document_of(read), read.summary, read.project)
        if group := run.data.tags.pop(_GROUP, None):
            with suppress(steplog.RunNotFoundError, ValueError):  # a group that is no run's name
                parent = steplog.open(f"{read.namespace}/{read.project}/{group}")
                run.data.tags[_PARENT] = parent.key or parent.uuid
        return run


@contextmanager
def _as_mlflows(what: str) -> Iterator[None]:
    """Translate what is raised in the block."""
    try:
        yield
    except steplog.RunNotFoundError as error:
        raise missing(f"Run '{what}' not found: {error}") from None
    except (steplog.SteplogError, ValueError) as error:  # also of a text that may mean several runs
        raise MlflowException(f"{what}: {error}") from error


def history_of(run_id: str, key: str) -> list[Metric]:
    """Every value of a metric, in the order of arrival; none where the run has no such metric. Raises MlflowException.

    What this process has logged is delivered first, for ten seconds at most. Of a run that logs nowhere
    (``mode="disabled"``), the last value.
    """
    found = known(run_id)
    if found is not None:
        if found.is_disabled:
            return found.latest(key)
        found.run.flush(_FLUSH_S)
    with _as_mlflows(run_id):
        read = steplog.open(run_id if found is None else found.run)
        try:
            table = read.history([key], form="long")
        except steplog.MetricNotFoundError:
            return []
    return [
        Metric(key, row["value"], _ms(row["time"]) or 0, row["step"] or 0, run_id=run_id)
        for row in table
        if row["value"] is not None
    ]


def runs_of(chosen: Iterable[Experiment], text: str | None, order_by: list[str] | None = None) -> list[Run]:
    """The runs of these experiments that a filter is true of, the newest first. Raises MlflowException."""
    clauses = clauses_of(text)
    runs = [run for experiment in chosen for run in _in(experiment)]
    found = [run for run in runs if all(is_met(each, _look(run, each.kind, each.key)) for each in clauses)]
    found.sort(key=lambda run: (-run.info.start_time, run.info.run_id))
    return in_order(found, order_by, _look)


def experiments_of(text: str | None, order_by: list[str] | None = None) -> list[Experiment]:
    """Those that a filter is true of. Raises MlflowException."""
    clauses = clauses_of(text)
    found = [
        each
        for each in _with_named(experiments.listed(), [each.value for each in clauses if each.key == "name"])
        if all(is_met(clause, _look_at_experiment(each, clause.kind, clause.key)) for clause in clauses)
    ]
    return in_order(found, order_by, _look_at_experiment)


def _with_named(listed: list[Experiment], names: list[Any]) -> list[Experiment]:
    """A list of slugs does not have the name that is asked for."""
    found = {each.experiment_id: each for each in listed}
    for name in names:
        if isinstance(name, str) and (there := experiments.existing(name)) is not None:
            found[there.experiment_id] = there
    return list(found.values())


def frame_of(runs: Sequence[Run]) -> Any:
    """A data frame as MLflow has it; the list itself without pandas."""
    try:
        import pandas
    except ImportError:
        return list(runs)
    columns: dict[str, list[Any]] = {
        name: [getattr(run.info, name) for run in runs]
        for name in ("run_id", "experiment_id", "status", "artifact_uri")
    }
    for name in ("start_time", "end_time"):
        columns[name] = [pandas.to_datetime(getattr(run.info, name), unit="ms", utc=True) for run in runs]
    for kind, none in (("metrics", math.nan), ("params", None), ("tags", None)):
        parts = [getattr(run.data, kind) for run in runs]
        for key in dict.fromkeys(key for part in parts for key in part):
            columns[f"{kind}.{key}"] = [part.get(key, none) for part in parts]
    return pandas.DataFrame(columns)


def _look(run: Run, kind: str, key: str) -> Any:
    if kind == "attributes":
        return getattr(run.info, key, None)
    return getattr(run.data, kind).get(key)


def _look_at_experiment(experiment: Experiment, kind: str, key: str) -> Any:
    return experiment.tags.get(key) if kind == "tags" else getattr(experiment, key, None)


def _in(experiment: Experiment) -> list[Run]:
    """All runs of an experiment."""
    found: dict[str, Run] = {}
    for each in tracked_runs():
        if each.experiment.experiment_id == experiment.experiment_id:
            if each.is_new:
                found[each.id] = each.entity()
            elif not each.is_over or each.is_joined:
                each.run.flush(_FLUSH_S)
    with _as_mlflows(experiment.name), suppress(steplog.ProjectNotFoundError):
        for run in _read(slug_of(experiment.name)):
            found.setdefault(run.info.run_id, run)
    _find_parents(found.values())
    return list(found.values())


def _find_parents(runs: Iterable[Run]) -> None:
    ids = {run.info.run_name: run.info.run_id for run in runs}
    for run in runs:
        group = run.data.tags.pop(_GROUP, None)
        if group in ids and ids[group] != run.info.run_id:
            run.data.tags.setdefault(_PARENT, ids[group])


_GROUP = "steplog.group"  # until the parents are found


def _read(project: str) -> list[Run]:
    from steplog.reading.runs import place_of, rows_at
    from steplog.reading.table_query import UUID, query_of

    place = place_of(project)
    uuids = [str(row[UUID]) for row in rows_at(place, query_of(columns=["name"]))]
    server = place.server
    documents = {} if server is None else server.documents(uuids, brief=False)
    names = server.columns() if server is not None and documents else None
    found = []
    if names is not None:
        metrics = _metrics(place, names)
        found = [_run(document, metrics.get(uuid, {}), project) for uuid, document in documents.items()]
    for uuid in uuids:
        if names is None or uuid not in documents:
            with suppress(steplog.SteplogError):  # it was deleted meanwhile
                read = steplog.open(f"{place}/{uuid}" if place.namespace else uuid)
                found.append(_run(_document_of(read), read.summary, project))
    return found


def _metrics(place: Any, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The last values of the metrics among the columns that a project has, by uuid and name."""
    from steplog.filters import parse_field
    from steplog.reading.runs import rows_at
    from steplog.reading.table_query import UUID, query_of

    fields = [f"{name}.last" for name in names if not name.startswith(("config.", "steplog/"))]
    found: dict[str, dict[str, Any]] = {}
    for first in range(0, len(fields), _COLUMNS):
        part = fields[first : first + _COLUMNS]
        for row in rows_at(place, query_of(columns=part)):
            values = found.setdefault(str(row[UUID]), {})
            values |= {parse_field(text).path[0]: row[text] for text in part if row.get(text) is not None}
    return found


def _document_of(read: steplog.ReadOnlyRun) -> dict[str, Any]:
    names = ("uuid", "name", "tags", "group", "notes", "config", "started", "ended")
    return {name: getattr(read, name) for name in names} | {"id": read.key, "status": read.status.value}


def _run(document: Mapping[str, Any], metrics: Mapping[str, Any], project: str) -> Run:
    run_id = str(document.get("id") or document["uuid"])
    name, status = str(document.get("name") or ""), str(document.get("status"))
    user = document.get("user") or {}
    info = RunInfo(
        run_id=run_id,
        experiment_id=experiments.of_id(project).experiment_id,
        user_id=str(user.get("username") or ""),
        status=status_of(status),
        start_time=_ms(document.get("started") or document.get("date_created")) or 0,
        end_time=None if status == "RUNNING" else _ms(document.get("ended") or document.get("date_updated")),
        artifact_uri=artifact_uri(run_id),
        run_name=name,
    )
    tags = dict(tag.partition("=")[::2] for tag in document.get("tags") or ())
    tags |= {_NAME: name, "mlflow.user": info.user_id}
    tags |= {_NOTE: document["notes"]} if document.get("notes") else {}
    tags |= {_GROUP: document["group"]} if document.get("group") else {}
    numbers: dict[str, Any] = {
        key: _NOT_FINITE.get(value, value) if isinstance(value, str) else value for key, value in metrics.items()
    }
    data = RunData(
        [Metric(key, value, 0) for key, value in numbers.items() if _is_number(value)],
        [Param(key, str(value)) for key, value in (document.get("config") or {}).items()],
        [RunTag(key, value) for key, value in tags.items()],
    )
    return Run(info, data)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _ms(date: Any) -> int | None:
    if isinstance(date, str):
        date = msgspec.convert(date, datetime)
    return int(date.timestamp() * 1000) if isinstance(date, datetime) else None
