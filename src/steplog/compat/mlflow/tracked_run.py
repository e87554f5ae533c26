"""The runs of this process by MLflow's run id, each a run of steplog.

::

    mlflow                        steplog
    run_id                        the run's id, made here, so that it is known before a server is
    experiment                    project
    param                         an entry of the config; "0.1" is a number again, as ``steplog import`` has it
    tag                           the tag ``key=value``; of MLflow's own, mlflow.note.content is the notes and
                                  mlflow.runName the name, and the others are left out
    a child of another run        a run whose group is its parent's name
    FINISHED, FAILED, KILLED      COMPLETED, FAILED, CRASHED

A run that is over goes on taking values by its id, as MLflow's do: it is joined again, and its status stays.
"""

from __future__ import annotations

import getpass
import os
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import steplog
from steplog.compat.field_limits import fitting_name, fitting_text
from steplog.compat.mlflow import experiments
from steplog.compat.mlflow.entities import (
    Experiment,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunTag,
)
from steplog.compat.mlflow.exceptions import MlflowException, missing
from steplog.compat.named_files import NamedFiles
from steplog.compat.readable_name import readable_name
from steplog.compat.unsupported import unsupported
from steplog.formats.mlflow.found_run import STATUSES, config_value, tag_texts
from steplog.reentrant_lock import ReentrantLock
from steplog.settings import resolve

__all__ = ["TrackedRun", "adopted", "artifact_uri", "begin", "known", "resume", "status_of", "tracked", "tracked_runs"]

_BACK = {ours: theirs for theirs, ours in STATUSES.items()}
_NAME, _NOTE, _PARENT = "mlflow.runName", "mlflow.note.content", "mlflow.parentRunId"
_TAGS_MAX = 64
_PLAIN = (bool, int, float, str, type(None), list, tuple, dict)
_CLOCK_S = 60.0  # a time that is given and is nearer than this is now

_lock = ReentrantLock()
_runs: dict[str, TrackedRun] = {}


class TrackedRun:
    """A run of steplog with what MLflow's calls ask of it. Safe in any thread."""

    def __init__(self, run: steplog.Run, run_id: str, experiment: Experiment) -> None:
        self.run = run
        self.id = run_id
        self.experiment = experiment
        self.is_over = False
        self.is_new = False  # begun here: all that it has is known
        self.is_joined = False  # without deciding its status
        self.is_adopted = False  # begun by another part of the program
        self.parent_id: str | None = None
        self._lock = ReentrantLock()
        self._began = _now_ms()
        self._ended: int | None = None
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._latest: dict[str, Metric] = {}
        self.adding = ReentrantLock()  # of rows to a table, held until its file has them
        self.tables: dict[str, tuple[list[str], list[list[Any]]]] = {}  # what log_table has logged, by name
        self._steps: dict[str, int] = {}  # the next of each metric that is logged without one

    @property
    def is_disabled(self) -> bool:
        """Whether it logs nowhere."""
        return self.run.stats().append == "disabled"

    def latest(self, key: str) -> list[Metric]:
        """The last value of a metric that was logged here, if there is one."""
        with self._lock:
            return [self._latest[key]] if key in self._latest else []

    def log(self, metrics: Mapping[str, Any], step: Any = None, timestamp: Any = None) -> None:
        """Log values at one step; None: each metric's next. Raises MlflowException for what is no number."""
        values = {_name(key): _number(key, value) for key, value in metrics.items()}
        if step is not None:
            step = _step(step)
        if timestamp is not None and abs(_now_ms() - timestamp) > _CLOCK_S * 1000:
            unsupported.note("mlflow.log_metric(timestamp=…)", "values have the time at which they are logged")
        try:
            self.keep(values, step)
        except (TypeError, ValueError) as error:  # such as a step beyond 64 bits
            raise MlflowException.invalid_parameter_value(str(error)) from None
        now = _now_ms() if timestamp is None else int(timestamp)
        with self._lock:
            for key, value in values.items():
                at = self._steps.get(key, 0) if step is None else step
                self._steps[key] = max(at + 1, self._steps.get(key, 0))
                before = self._latest.get(key)
                if before is None or at >= before.step:
                    self._latest[key] = Metric(key, value, now, at)

    def keep(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Log values as they are."""
        try:
            self.run.log(values, step=step)
        except steplog.RunFinishedError:
            self._join_again()
            self.run.log(values, step=step)

    def save(self, files: NamedFiles) -> None:
        """Keep files with the run. Raises OSError, ValueError."""
        try:
            files.keep(self.run)
        except steplog.RunFinishedError:
            self._join_again()
            files.keep(self.run)

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Entries of the config."""
        kept = {str(key): _param(value) for key, value in params.items()}
        try:
            self.run.config.update(kept)
        except steplog.RunFinishedError:
            self._join_again()
            self.run.config.update(kept)
        with self._lock:
            self._params.update((str(key), str(value)) for key, value in params.items())

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Tags ``key=value``, the notes, the name."""
        texts = {str(key): str(value) for key, value in tags.items()}
        with self._lock:
            self._tags.update(texts)
        self._show_tags(texts)

    def delete_tag(self, key: str) -> None:
        """Raises MlflowException where there is none."""
        with self._lock:
            if self._tags.pop(key, None) is None:
                raise missing(f"No tag with name: {key} in run with id {self.id}")
        self._show_tags({key: ""})

    def _show_tags(self, changed: Mapping[str, str]) -> None:
        try:
            if _NOTE in changed:
                self.run.notes = fitting_text("notes", changed[_NOTE])
            if name := fitting_text("name", changed.get(_NAME)):
                self.run.name = name
            if any(not key.startswith("mlflow.") for key in changed):
                with self._lock:  # of two threads, the later one sets the tags of both
                    self.run.tags = _tags(self._tags)
        except steplog.RunFinishedError:
            self._join_again()
            self._show_tags(changed)

    def finish(self, status: str = "FINISHED", error: BaseException | None = None) -> None:
        """End the run with MLflow's status. Raises MlflowException for none of its."""
        if status not in STATUSES:
            words = f"a run ends {', '.join(STATUSES)}, not {status!r}"
            raise MlflowException.invalid_parameter_value(words)
        if self.is_joined:
            self.run = steplog.attach(self.run.uuid, owner=True)
        self.is_over, self.is_joined, self._ended = True, False, _now_ms()
        if all(each.is_over or each.is_adopted for each in tracked_runs()):  # once for a run and those nested in it
            unsupported.tell(self.run)
        self.run.finish(status=STATUSES[status], error=error)

    def _join_again(self) -> None:
        self.run = steplog.attach(self.run.uuid, missing="ignore")
        self.is_joined = True

    def adopt(self) -> None:
        """Take over the params and tags that a run has which was begun elsewhere."""
        with self._lock:
            self._params = {key: str(value) for key, value in self.run.config.items()}
            pairs = (tag.partition("=") for tag in self.run.tags)
            self._tags = {key: value for key, _, value in pairs}
            if self.run.notes:
                self._tags[_NOTE] = self.run.notes

    def entity(self) -> Run:
        """The run as it is now."""
        with self._lock:
            status = "RUNNING" if not self.is_over else status_of(self.run.status.value)
            name = self.run.name or ""
            info = RunInfo(
                run_id=self.id,
                experiment_id=self.experiment.experiment_id,
                user_id=_user(),
                status=status,
                start_time=self._began,
                end_time=self._ended,
                artifact_uri=artifact_uri(self.id),
                run_name=name,
            )
            tags = {**self._tags, _NAME: name, "mlflow.user": _user(), "mlflow.source.name": sys.argv[0]}
            if self.parent_id:
                tags[_PARENT] = self.parent_id
            params = [Param(*pair) for pair in self._params.items()]
            return Run(info, RunData(self._latest.values(), params, [RunTag(*pair) for pair in tags.items()]))


def begin(
    experiment: Experiment, name: str | None, tags: Mapping[str, Any] | None, parent: TrackedRun | None = None
) -> TrackedRun:
    """A new run, which is not the active one. Raises as ``steplog.init`` does."""
    given = {str(key): str(value) for key, value in (tags or {}).items()}
    name = name or given.get(_NAME) or resolve().name or readable_name()
    run_id = uuid.uuid4().hex
    parent_id = given.pop(_PARENT, None)
    if parent is None and parent_id is not None:
        parent = known(parent_id)
    run = steplog.init(
        project=experiment.name,
        name=fitting_text("name", name),
        id=run_id,
        tags=_tags(given) or None,
        notes=fitting_text("notes", given.get(_NOTE)),
        group=(parent.run.name if parent is not None else parent_id) or None,
        activate=False,
    )
    made = TrackedRun(run, run_id, experiments.remember(experiment))
    made._tags, made.is_new = given, True
    made.parent_id = parent.id if parent is not None else parent_id
    with _lock:
        _runs[run_id] = made
    return made


def known(run_id: str) -> TrackedRun | None:
    """The run, if this process has begun or joined it."""
    return _runs.get(str(run_id))


def tracked(run_id: str) -> TrackedRun:
    """The run, which is joined where another process has begun it. Raises MlflowException where there is none."""
    return known(run_id) or _joined(str(run_id), owner=False)


def resume(run_id: str) -> TrackedRun:
    """The run, which goes on, and whose end is decided here. Raises MlflowException where there is none."""
    found = known(run_id)
    if found is None:
        return _joined(str(run_id), owner=True)
    if found.is_over or found.is_joined:
        if not found.is_disabled:
            found.run = steplog.attach(found.run.uuid, owner=True)
        found.is_over, found.is_joined, found._ended = False, False, None
    return found


def tracked_runs() -> list[TrackedRun]:
    """All of this process."""
    with _lock:
        return list(_runs.values())


def adopted(run: steplog.Run) -> TrackedRun:
    """A run of steplog's own, such as the active one."""
    run_id = run.key or run.uuid or ""
    with _lock:
        if run_id not in _runs:
            _runs[run_id] = TrackedRun(run, run_id, _experiment_of(run))
            _runs[run_id].is_adopted = True
        return _runs[run_id]


def _joined(run_id: str, *, owner: bool) -> TrackedRun:
    try:
        run = steplog.attach(run_id, owner=owner)
    except (steplog.ServerUnavailableError, steplog.ConfigurationError) as error:
        if not owner:
            raise missing(f"Run '{run_id}' not found: {error}") from None
        project = experiments.current().name
        run = steplog.init(project=project, id=run_id, resume="allow", activate=False)  # is found out later
    except (steplog.RunNotFoundError, ValueError) as error:
        raise missing(f"Run '{run_id}' not found: {error}") from None
    made = TrackedRun(run, run_id, _experiment_of(run))
    made.is_joined = not owner
    made.is_over = not owner and run.status is not steplog.RunStatus.RUNNING
    made.adopt()
    with _lock:
        return _runs.setdefault(run_id, made)


def _experiment_of(run: steplog.Run) -> Experiment:
    project = run.project
    name = experiments.DEFAULT if project is None else project.display_name or project.slug
    return experiments.remember(experiments.of_id(project.slug if project is not None and not name else name))


def status_of(status: str) -> str:
    """MLflow's word for a status of steplog's."""
    return _BACK.get(status, "RUNNING")


def artifact_uri(run_id: str, path: str | None = None) -> str:
    """The address of a run's files, which ``download_artifacts`` takes."""
    return f"steplog:/{run_id}/artifacts{f'/{path}' if path else ''}"


def _tags(tags: Mapping[str, str]) -> list[str]:
    """As a run of steplog has them; what it has no room for is counted."""
    own = sum(not key.startswith("mlflow.") for key in tags)
    texts = tag_texts(tags)[:_TAGS_MAX]
    if len(texts) < own:
        advice = f"a run has {_TAGS_MAX} tags of 128 bytes; log it: mlflow.log_param(…), mlflow.log_text(…)"
        unsupported.note("mlflow.set_tag() of more", advice)
    return texts


def _param(value: Any) -> Any:
    if isinstance(value, str):
        return config_value(value)
    return value if isinstance(value, _PLAIN) or _is_scalar(value) else str(value)


def _is_scalar(value: Any) -> bool:
    """A number of NumPy or of a tensor library."""
    return hasattr(value, "item") and getattr(value, "shape", None) == ()


def _after_fork_in_child() -> None:
    global _lock
    _lock = ReentrantLock()
    for each in _runs.values():
        each._lock, each.adding = ReentrantLock(), ReentrantLock()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _name(key: Any) -> str:
    if not isinstance(key, str) or not key:
        raise MlflowException.invalid_parameter_value(f"the name of a metric is a text, not {key!r}")
    return fitting_name(key, "mlflow.log_metric()")


def _number(key: str, value: Any) -> float:
    if type(value) is float:
        return value
    with suppress(TypeError, ValueError, OverflowError):
        return float(value if isinstance(value, str) or not hasattr(value, "item") else value.item())
    words = f"Failed to convert the value of metric {key!r} to a number: {value!r:.80}"
    raise MlflowException.invalid_parameter_value(words)


def _step(step: Any) -> int:
    try:
        return int(step)
    except (TypeError, ValueError):
        raise MlflowException.invalid_parameter_value(f"a step is a whole number, not {step!r:.80}") from None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _user() -> str:
    with suppress(Exception):
        return getpass.getuser()
    return ""
