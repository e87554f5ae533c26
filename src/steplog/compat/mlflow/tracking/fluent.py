"""``mlflow.start_run``, ``mlflow.log_metric`` and what else is about the active run.

1. Each thread has its own active runs, the innermost last. A thread that has none logs to the active run of steplog,
   if something else than this module began it, else it begins a run of its own.
2. The active run is also steplog's in the same context, so that ``steplog.log`` and adapters to frameworks join it.
3. An omitted step is the metric's next one, where MLflow makes it 0.
4. ``with start_run():`` that is left by an exception is FAILED, and the exception is recorded. A run that is still open
   when the program ends is COMPLETED, or CRASHED where the program crashes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from steplog.compat.mlflow import experiments, files
from steplog.compat.mlflow.artifacts import keep_dict, keep_table, keep_text
from steplog.compat.mlflow.entities import Experiment, Run, RunTag
from steplog.compat.mlflow.exceptions import MlflowException
from steplog.compat.mlflow.tracked_run import (
    TrackedRun,
    adopted,
    artifact_uri,
    begin,
    resume,
    tracked,
    tracked_runs,
)
from steplog.compat.notices import say_once
from steplog.lifecycle import exit_code
from steplog.run import active_run as _steplogs

__all__ = [
    "ActiveRun",
    "RunOperations",
    "active_run",
    "create_experiment",
    "current",
    "delete_experiment",
    "delete_experiment_tag",
    "delete_run",
    "delete_tag",
    "end_run",
    "flush_artifact_async_logging",
    "flush_async_logging",
    "flush_trace_async_logging",
    "get_artifact_uri",
    "get_experiment",
    "get_experiment_by_name",
    "get_parent_run",
    "get_run",
    "get_tracking_uri",
    "is_tracking_uri_set",
    "last_active_run",
    "log_artifact",
    "log_artifacts",
    "log_dict",
    "log_figure",
    "log_image",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "log_stream",
    "log_table",
    "log_text",
    "restore_experiment",
    "restore_run",
    "search_experiments",
    "search_runs",
    "set_experiment",
    "set_experiment_tag",
    "set_experiment_tags",
    "set_tag",
    "set_tags",
    "set_tracking_uri",
    "start_run",
]

_NOTE, _PARENT = "mlflow.note.content", "mlflow.parentRunId"
_tracking_uri: str | None = None


class _Stack(threading.local):
    """The active runs of a thread, and the last one that it has ended."""

    def __init__(self) -> None:
        self.runs: list[ActiveRun] = []
        self.last: str | None = None


class RunOperations:
    """What a call with ``synchronous=False`` returns: nothing is waited for anyway."""

    def wait(self) -> None:
        """Until what was logged is delivered, for as long as ``finish_timeout_s`` says."""
        flush_async_logging()


class ActiveRun(Run):
    """A run as it began; leaving it as a context ends it."""

    def __init__(self, of: TrackedRun) -> None:
        entity = of.entity()
        super().__init__(entity.info, entity.data)
        self._of = of

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process it is what it was when it began; that goes on with it by its id."""
        return Run, (self.info, self.data)

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if any(run.info.run_id == self.info.run_id for run in _stack.runs):
            ends_well = error is None or (isinstance(error, SystemExit) and not exit_code.is_failure(error.code))
            _end("FINISHED" if ends_well else "FAILED", None if ends_well else error)


_stack = _Stack()


def set_tracking_uri(uri: Any) -> None:
    """Remembered; runs go to steplog's server all the same, which is said once."""
    global _tracking_uri
    _tracking_uri = str(uri)


def get_tracking_uri() -> str:
    """What was set; else that of this module."""
    return _tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "steplog:"


def is_tracking_uri_set() -> bool:
    """Whether the program or its environment names one."""
    return bool(_tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"))


def _say_uri() -> None:
    if is_tracking_uri_set():
        say_once(f"MLflow's tracking URI is not used, its calls log to steplog: {get_tracking_uri()}")


def set_experiment(
    experiment_name: str | None = None, experiment_id: str | None = None, trace_location: object = None
) -> Experiment:
    """The project of the runs to come."""
    if (experiment_name is None) == (experiment_id is None):
        raise MlflowException.invalid_parameter_value("give either the name or the id of an experiment")
    found = experiments.found(experiment_id) if experiment_name is None else experiments.of_name(experiment_name)
    experiments.set_current(found)
    return found


def create_experiment(
    name: str,
    artifact_location: object = None,
    tags: dict[str, Any] | None = None,
    trace_location: object = None,
) -> str:
    """The id of a new experiment, whose project is made when its first run begins."""
    return experiments.create(name, tags)


def get_experiment(experiment_id: str) -> Experiment:
    """Raises MlflowException where there is none."""
    return experiments.found(experiment_id)


def get_experiment_by_name(name: str) -> Experiment | None:
    """None: there is none."""
    return experiments.existing(name)


def search_experiments(
    view_type: int = 1,
    max_results: int | None = None,
    filter_string: str | None = None,
    order_by: list[str] | None = None,
    page_token: str | None = None,
) -> list[Experiment]:
    """Those of the server's namespace and of this process that a filter on ``name`` or ``tags`` is true of."""
    from steplog.compat.mlflow.search import experiments_of

    return experiments_of(filter_string, order_by)[:max_results]


def set_experiment_tag(key: str, value: Any) -> None:
    """Kept while the process is there: a project has no tags."""
    experiments.set_tags(experiments.current().experiment_id, {key: value})


def set_experiment_tags(tags: dict[str, Any]) -> None:
    """See ``set_experiment_tag``."""
    experiments.set_tags(experiments.current().experiment_id, tags)


def delete_experiment_tag(key: str) -> None:
    """See ``set_experiment_tag``."""
    experiments.delete_tag(experiments.current().experiment_id, key)


def delete_experiment(experiment_id: str) -> None:
    """Raises MlflowException: a project with all its runs is deleted by hand."""
    words = f"to delete the project and its runs, type: steplog project delete {experiments.of_id(experiment_id).name}"
    raise MlflowException(words)


def restore_experiment(experiment_id: str) -> None:
    """Raises MlflowException: a project that was deleted is gone."""
    raise MlflowException(f"a project that was deleted does not come back: {experiment_id}")


def start_run(
    run_id: str | None = None,
    experiment_id: str | None = None,
    run_name: str | None = None,
    nested: bool = False,
    parent_run_id: str | None = None,
    tags: dict[str, Any] | None = None,
    description: str | None = None,
    log_system_metrics: bool | None = None,
) -> ActiveRun:
    """Begin a run, or go on with one, and make it this thread's active one. Raises MlflowException.

    steplog records load and memory of its own accord (``system_interval_s``), whatever ``log_system_metrics`` says.
    """
    outer = _stack.runs[-1] if _stack.runs else None
    if outer is not None and not nested:
        words = f"Run with UUID {outer.info.run_id} is already active. To start a new run, first end the current run"
        raise MlflowException(f"{words} with mlflow.end_run(). To start a nested run, call start_run with nested=True")
    _say_uri()
    texts = dict(tags or {})
    if description:
        if _NOTE in texts:
            raise MlflowException.invalid_parameter_value(f"Description is already set via the tag {_NOTE} in tags.")
        texts[_NOTE] = description
    run_id = run_id or os.environ.pop("MLFLOW_RUN_ID", None)
    if run_id:
        found = resume(run_id)
        if run_name:
            texts["mlflow.runName"] = run_name
        if texts:
            found.set_tags(texts)
    else:
        if parent_run_id and outer is not None and parent_run_id != outer.info.run_id:
            words = f"Current run with UUID {outer.info.run_id} does not match the specified parent_run_id"
            raise MlflowException(f"{words} {parent_run_id}; end it first with mlflow.end_run().")
        parent = tracked(parent_run_id) if parent_run_id else None if outer is None else outer._of
        experiment = experiments.current() if experiment_id is None else experiments.of_id(experiment_id)
        found = begin(experiment, run_name, texts, parent)
    run = ActiveRun(found)
    _stack.runs.append(run)
    _steplogs.enter(found.run)
    return run


def end_run(status: str = "FINISHED") -> None:
    """End this thread's active run, and wait until it is delivered; the one around it is active again."""
    if _stack.runs:
        _end(status, None)


def _end(status: str, error: BaseException | None) -> None:
    os.environ.pop("MLFLOW_RUN_ID", None)
    run = _stack.runs.pop()
    _stack.last = run.info.run_id
    run._of.finish(status, error)


def active_run() -> ActiveRun | None:
    """This thread's; None: it has none."""
    while _stack.runs and _stack.runs[-1]._of.is_over:  # ended by a client
        _stack.last = _stack.runs.pop().info.run_id
    return _stack.runs[-1] if _stack.runs else None


def last_active_run() -> Run | None:
    """This thread's active run, else the last one that it has ended."""
    active = active_run()
    if active is not None or _stack.last is None:
        return active
    return get_run(_stack.last)


def get_run(run_id: str) -> Run:
    """A run as it is now. Raises MlflowException where there is none."""
    from steplog.compat.mlflow.search import run_of

    return run_of(run_id)


def get_parent_run(run_id: str) -> Run | None:
    """The run that this one is nested in."""
    parent = get_run(run_id).data.tags.get(_PARENT)
    return None if parent is None else get_run(parent)


def delete_run(run_id: str) -> None:
    """It goes to the server's trash for 24 hours."""
    found = tracked(run_id)
    found.run.delete()
    found.is_over = True


def restore_run(run_id: str) -> None:
    """Take it out of the trash."""
    tracked(run_id).run.restore()


def current() -> TrackedRun:
    """The run that this thread logs to; begins one where there is none."""
    active = active_run()
    if active is not None:
        return active._of
    run = _steplogs.find()
    if run is not None and all(each.run is not run for each in tracked_runs() if not each.is_adopted):
        return adopted(run)
    return start_run()._of


def _of(run_id: str | None) -> TrackedRun:
    return current() if run_id is None else tracked(run_id)


def _done(synchronous: bool | None) -> RunOperations | None:
    return RunOperations() if synchronous is False else None


def log_metric(
    key: str,
    value: float,
    step: int | None = None,
    synchronous: bool | None = None,
    timestamp: int | None = None,
    run_id: str | None = None,
    model_id: str | None = None,
    dataset: object = None,
) -> RunOperations | None:
    """Log a value, without waiting for it. Raises MlflowException for what is no number."""
    _of(run_id).log({key: value}, step, timestamp)
    return _done(synchronous)


def log_metrics(
    metrics: Mapping[str, float],
    step: int | None = None,
    synchronous: bool | None = None,
    run_id: str | None = None,
    timestamp: int | None = None,
    model_id: str | None = None,
    dataset: object = None,
) -> RunOperations | None:
    """Log several values at one step; see ``log_metric``."""
    _of(run_id).log(metrics, step, timestamp)
    return _done(synchronous)


def log_param(key: str, value: Any, synchronous: bool | None = None) -> Any:
    """Log an entry of the config; a later one of the same name takes its place."""
    current().set_params({key: value})
    return value if synchronous is not False else RunOperations()


def log_params(
    params: Mapping[str, Any], synchronous: bool | None = None, run_id: str | None = None
) -> RunOperations | None:
    """Log several; see ``log_param``."""
    _of(run_id).set_params(params)
    return _done(synchronous)


def set_tag(key: str, value: Any, synchronous: bool | None = None) -> RunOperations | None:
    """Set the tag ``key=value``."""
    current().set_tags({key: value})
    return _done(synchronous)


def set_tags(tags: Mapping[str, Any] | Sequence[RunTag], synchronous: bool | None = None) -> RunOperations | None:
    """Set several; see ``set_tag``."""
    current().set_tags(tags if isinstance(tags, Mapping) else {tag.key: tag.value for tag in tags})
    return _done(synchronous)


def delete_tag(key: str) -> None:
    """Raises MlflowException where there is none."""
    current().delete_tag(key)


def log_text(text: str, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a text as a file, and as a value of the metric ``artifact_file``."""
    keep_text(_of(run_id), text, artifact_file)


def log_dict(dictionary: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Keep a dict or a list as a file, and as a JSON value of the metric ``artifact_file``."""
    keep_dict(_of(run_id), dictionary, artifact_file)


def log_table(data: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Keep the columns of a dict or a data frame as a file, and as a value of the metric ``artifact_file``."""
    keep_table(_of(run_id), data, artifact_file)


def log_artifact(local_path: Any, artifact_path: str | None = None, run_id: str | None = None) -> None:
    """Keep a file or a folder with the run. Raises OSError."""
    files.keep_artifact(_of(run_id), local_path, artifact_path)


def log_artifacts(local_dir: Any, artifact_path: str | None = None, run_id: str | None = None) -> None:
    """Keep what is in a folder with the run. Raises MlflowException."""
    files.keep_artifacts(_of(run_id), local_dir, artifact_path)


def log_stream(stream: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Keep what an open file has as a file of the run."""
    files.keep_stream(_of(run_id), stream, artifact_file)


def log_figure(figure: Any, artifact_file: str, *, save_kwargs: dict[str, Any] | None = None) -> None:
    """Keep a figure of Matplotlib's or Plotly's as a file and an image. Raises TypeError for what is none."""
    files.keep_figure(current(), figure, artifact_file, save_kwargs)


def log_image(
    image: Any,
    artifact_file: str | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
    synchronous: bool | None = False,
) -> None:
    """Keep an image, at a step of ``key``, or as a file. Raises TypeError, ValueError as MLflow does."""
    files.keep_image(current(), image, artifact_file, key, step)


def get_artifact_uri(artifact_path: str | None = None) -> str:
    """The address of the run's files, which ``mlflow.artifacts`` reads."""
    return artifact_uri(current().id, artifact_path)


def flush_async_logging() -> None:
    """Wait until what the open runs have logged is delivered, for as long as ``finish_timeout_s`` says."""
    for each in tracked_runs():
        if not each.is_over or each.is_joined:
            each.run.flush()


def flush_artifact_async_logging() -> None:
    """See ``flush_async_logging``."""
    flush_async_logging()


def flush_trace_async_logging(terminate: bool = False) -> None:
    """There are no traces."""


def search_runs(
    experiment_ids: list[str] | None = None,
    filter_string: str = "",
    run_view_type: int = 1,
    max_results: int = 100_000,
    order_by: list[str] | None = None,
    output_format: str = "pandas",
    search_all_experiments: bool = False,
    experiment_names: list[str] | None = None,
) -> Any:
    """A data frame, or with ``output_format="list"``, and without pandas, a list of runs. Raises MlflowException."""
    from steplog.compat.mlflow import search

    if experiment_ids and experiment_names:
        raise MlflowException.invalid_parameter_value("give the ids or the names of experiments, not both")
    if output_format not in ("pandas", "list"):
        raise ValueError(f'output_format is "pandas" or "list", not {output_format!r}')
    if experiment_ids:
        chosen = [experiments.of_id(key) for key in experiment_ids]
    elif experiment_names:
        chosen = [experiments.of_name(name) for name in experiment_names]
    else:
        chosen = experiments.listed() if search_all_experiments else [experiments.current()]
    found = search.runs_of(chosen, filter_string, order_by)[:max_results]
    return search.frame_of(found) if output_format == "pandas" else found
