"""``mlflow.entities``: what MLflow's calls take and return. Times are in milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from steplog.compat.mlflow.exceptions import MlflowException

__all__ = [
    "DatasetInput",
    "Experiment",
    "ExperimentTag",
    "FileInfo",
    "InputTag",
    "LifecycleStage",
    "Metric",
    "Param",
    "Run",
    "RunData",
    "RunInfo",
    "RunInputs",
    "RunOutputs",
    "RunStatus",
    "RunTag",
    "SourceType",
    "ViewType",
]


class _Entity:
    """Its attributes are its items; equal where those are."""

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield from vars(self).items()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(f'{name}={value!r}' for name, value in self)}>"

    def to_dictionary(self) -> dict[str, Any]:
        """Its attributes."""
        return dict(self)


class Metric(_Entity):
    """A value of a metric; ``step`` is a whole number."""

    def __init__(
        self,
        key: str,
        value: float,
        timestamp: int,
        step: int = 0,
        model_id: str | None = None,
        dataset_name: str | None = None,
        dataset_digest: str | None = None,
        run_id: str | None = None,
    ) -> None:
        self.key = key
        self.value = value
        self.timestamp = timestamp
        self.step = step
        self.model_id = model_id
        self.dataset_name = dataset_name
        self.dataset_digest = dataset_digest
        self.run_id = run_id


class _Pair(_Entity):
    def __init__(self, key: str, value: str) -> None:
        self.key = key
        self.value = value


class Param(_Pair):
    """A param of a run; its value is a text."""


class RunTag(_Pair):
    """A tag of a run."""


class ExperimentTag(_Pair):
    """A tag of an experiment."""


class InputTag(_Pair):
    """A tag of an input."""


class FileInfo(_Entity):
    """A file among a run's artifacts: there are none."""

    def __init__(self, path: str, is_dir: bool, file_size: int | None) -> None:
        self.path = path
        self.is_dir = is_dir
        self.file_size = file_size


class LifecycleStage:
    """Whether a run or an experiment is deleted."""

    ACTIVE = "active"
    DELETED = "deleted"


class ViewType:
    """Which of them a search is about."""

    ACTIVE_ONLY, DELETED_ONLY, ALL = 1, 2, 3


class SourceType:
    """What began a run."""

    NOTEBOOK, JOB, PROJECT, LOCAL, UNKNOWN = 1, 2, 3, 4, 1000


class RunStatus:
    """The status of a run, a number in MLflow's protocol and a text everywhere else."""

    RUNNING, SCHEDULED, FINISHED, FAILED, KILLED = 1, 2, 3, 4, 5
    _NAMES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")

    @classmethod
    def from_string(cls, status_str: str) -> int:
        """The number. Raises MlflowException."""
        if status_str not in cls._NAMES:
            words = f"the status of a run is {', '.join(cls._NAMES)}, not {status_str!r}"
            raise MlflowException.invalid_parameter_value(words)
        return cls._NAMES.index(status_str) + 1

    @classmethod
    def to_string(cls, status: int) -> str:
        """The text. Raises MlflowException."""
        if status not in range(1, len(cls._NAMES) + 1):
            raise MlflowException.invalid_parameter_value(f"the status of a run is 1 to 5, not {status!r}")
        return cls._NAMES[status - 1]

    @classmethod
    def is_terminated(cls, status: int) -> bool:
        """Whether a run has ended with it."""
        return status >= cls.FINISHED

    @classmethod
    def all_status(cls) -> list[int]:
        """All numbers."""
        return list(range(1, len(cls._NAMES) + 1))


class Experiment(_Entity):
    """A project. Its id is the project's slug, and "0" is the default one's."""

    def __init__(
        self,
        experiment_id: str,
        name: str,
        artifact_location: str | None = None,
        lifecycle_stage: str = LifecycleStage.ACTIVE,
        tags: Iterable[ExperimentTag] | None = None,
        creation_time: int | None = None,
        last_update_time: int | None = None,
        **_: Any,
    ) -> None:
        self.experiment_id = experiment_id
        self.name = name
        self.artifact_location = artifact_location
        self.lifecycle_stage = lifecycle_stage
        self.tags = {tag.key: tag.value for tag in tags or ()}
        self.creation_time = creation_time
        self.last_update_time = last_update_time


class RunInfo(_Entity):
    """What a run is called, its status, and when it began and ended."""

    def __init__(
        self,
        run_id: str,
        experiment_id: str,
        user_id: str,
        status: str,
        start_time: int,
        end_time: int | None,
        lifecycle_stage: str = LifecycleStage.ACTIVE,
        artifact_uri: str | None = None,
        run_name: str | None = None,
    ) -> None:
        self.run_id = run_id
        self.experiment_id = experiment_id
        self.user_id = user_id
        self.status = status
        self.start_time = start_time
        self.end_time = end_time
        self.lifecycle_stage = lifecycle_stage
        self.artifact_uri = artifact_uri
        self.run_name = run_name

    @property
    def run_uuid(self) -> str:
        """The same as ``run_id``, as older scripts call it."""
        return self.run_id


class RunData(_Entity):
    """The last value of each metric; params and tags as texts."""

    def __init__(
        self,
        metrics: Iterable[Metric] | None = None,
        params: Iterable[Param] | None = None,
        tags: Iterable[RunTag] | None = None,
    ) -> None:
        self.metrics = {metric.key: metric.value for metric in metrics or ()}
        self.params = {param.key: param.value for param in params or ()}
        self.tags = {tag.key: tag.value for tag in tags or ()}


class DatasetInput(_Entity):
    """A dataset that a run has read."""

    def __init__(self, dataset: Any, tags: list[InputTag] | None = None) -> None:
        self.dataset = dataset
        self.tags = tags or []


class RunInputs(_Entity):
    """What a run has read: none of it is kept."""

    def __init__(self, dataset_inputs: list[DatasetInput] | None = None, model_inputs: list[Any] | None = None) -> None:
        self.dataset_inputs = dataset_inputs or []
        self.model_inputs = model_inputs or []


class RunOutputs(_Entity):
    """What a run has made: none of it is kept."""

    def __init__(self, model_outputs: list[Any] | None = None) -> None:
        self.model_outputs = model_outputs or []


class Run(_Entity):
    """A run as it was when it was asked for."""

    def __init__(
        self,
        run_info: RunInfo,
        run_data: RunData,
        run_inputs: RunInputs | None = None,
        run_outputs: RunOutputs | None = None,
    ) -> None:
        self.info = run_info
        self.data = run_data
        self.inputs = run_inputs or RunInputs()
        self.outputs = run_outputs or RunOutputs()

    def to_dictionary(self) -> dict[str, Any]:
        """Its info and its data."""
        return {"info": self.info.to_dictionary(), "data": self.data.to_dictionary()}
