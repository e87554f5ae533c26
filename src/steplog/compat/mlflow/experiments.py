"""Experiments are projects: which one a run goes to, and which there are.

::

    the run's experiment   start_run(experiment_id=…) > set_experiment(…) > STEPLOG_PROJECT > MLFLOW_EXPERIMENT_NAME
                           > MLFLOW_EXPERIMENT_ID > the setting ``project`` > "Default"
    its id                 the project's slug; "0" is the project "Default"

A project is made on the server when its first run begins, so an experiment without a run is known to this process
alone. ``set_experiment`` also sets ``MLFLOW_EXPERIMENT_ID``, as MLflow does, for the processes that this one starts.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import steplog
from steplog.compat.mlflow.entities import Experiment, ExperimentTag, LifecycleStage
from steplog.compat.mlflow.exceptions import ALREADY_EXISTS, MlflowException, missing
from steplog.identity import slug_of
from steplog.reentrant_lock import ReentrantLock
from steplog.settings import resolve

__all__ = [
    "DEFAULT",
    "create",
    "current",
    "delete_tag",
    "existing",
    "found",
    "listed",
    "of_id",
    "of_name",
    "remember",
    "set_current",
    "set_tags",
]

DEFAULT = "Default"
_DEFAULT_ID = "0"
_lock = ReentrantLock()
_names: dict[str, str] = {}  # by id, of those that this process has heard of
_tags: dict[str, dict[str, str]] = {}
_active: str | None = None  # its id


def _after_fork_in_child() -> None:
    global _lock
    _lock = ReentrantLock()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _experiment(name: str) -> Experiment:
    slug = slug_of(name)
    if not slug:
        words = f"the experiment {name!r} has no letter or digit to make the address of a project of"
        raise MlflowException.invalid_parameter_value(words)
    key, name = (_DEFAULT_ID, DEFAULT) if slug == DEFAULT.lower() else (slug, name)
    with _lock:
        tags = [ExperimentTag(*pair) for pair in _tags.get(key, {}).items()]
    return Experiment(key, _names.get(key, name), f"steplog:/{slug}", LifecycleStage.ACTIVE, tags)


def remember(experiment: Experiment) -> Experiment:
    """The experiment is there: a run of it has begun, or begins."""
    with _lock:
        _names.setdefault(experiment.experiment_id, experiment.name)
    return experiment


def current() -> Experiment:
    """That of a run for which none is given."""
    if _active is not None:
        return of_id(_active)
    environ = os.environ
    for name in (environ.get("STEPLOG_PROJECT"), environ.get("MLFLOW_EXPERIMENT_NAME")):
        if name:
            return _experiment(name)
    if key := environ.get("MLFLOW_EXPERIMENT_ID"):
        return of_id(key)
    return _experiment(resolve().project or DEFAULT)


def set_current(experiment: Experiment) -> None:
    """Make it that of the runs to come, here and in the processes that this one starts."""
    global _active
    _active = os.environ["MLFLOW_EXPERIMENT_ID"] = remember(experiment).experiment_id


def of_name(name: object) -> Experiment:
    """The experiment of a name, whether or not it is there. Raises MlflowException."""
    if not isinstance(name, str) or not name.strip():
        raise MlflowException.invalid_parameter_value(f"the name of an experiment is a text, not {name!r}")
    return _experiment(name)


def of_id(key: object) -> Experiment:
    """The experiment of an id; of one that nobody has heard of, the project of that name. Raises MlflowException."""
    text = str(key)
    return _experiment(DEFAULT if text == _DEFAULT_ID else _names.get(text, text))


def existing(name: str) -> Experiment | None:
    """The experiment, if this process or the server knows it."""
    experiment = of_name(name)
    if experiment.experiment_id in (_DEFAULT_ID, *_names):
        return experiment
    told = _on_server(slug_of(name))
    return None if told is None else remember(_experiment(told))


def found(key: object) -> Experiment:
    """The experiment of an id. Raises MlflowException where neither this process nor the server knows it."""
    experiment = existing(of_id(key).name)
    if experiment is None:
        raise missing(f"No Experiment with id={key} exists")
    return experiment


def create(name: str, tags: dict[str, Any] | None = None) -> str:
    """Its id. Raises MlflowException where there is one already."""
    if existing(name) is not None:
        raise MlflowException(f"Experiment(name={name}) already exists.", error_code=ALREADY_EXISTS)
    key = remember(_experiment(name)).experiment_id
    set_tags(key, tags or {})
    return key


def set_tags(key: str, tags: dict[str, Any]) -> None:
    """Kept for as long as the process is there: projects have no tags."""
    with _lock:
        _tags.setdefault(key, {}).update((name, str(value)) for name, value in tags.items())


def delete_tag(key: str, name: str) -> None:
    """Nothing, if there is none."""
    with _lock:
        _tags.get(key, {}).pop(name, None)


def listed() -> list[Experiment]:
    """Those of the namespace on the server, and those of this process."""
    names = dict(_names)
    with suppress(steplog.SteplogError, OSError, ValueError):
        place = _place("any")
        for slug in (place.server.projects() if place.server is not None else None) or ():
            names.setdefault(slug, slug)
    names.setdefault(_DEFAULT_ID, DEFAULT)
    names.pop("default", None)
    return [_experiment(name) for name in names.values()]


def _place(project: str) -> Any:
    from steplog.reading.runs import place_of

    return place_of(project)


def _on_server(slug: str) -> str | None:
    """The project's name there; None also where nobody can be asked."""
    if resolve().mode != "online":
        return None
    with suppress(steplog.SteplogError, OSError, ValueError):
        place = _place(slug)
        if place.client is not None:
            found = steplog.get_project(place.namespace, slug, place.client)
            return None if found is None else found.display_name
    return None
