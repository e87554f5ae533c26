"""``mlflow.MlflowClient``: runs by their id, whichever is active."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steplog.compat.mlflow import experiments, files, search
from steplog.compat.mlflow.counted import FILES, note
from steplog.compat.mlflow.entities import Experiment, FileInfo, Metric, Param, Run, RunTag
from steplog.compat.mlflow.exceptions import NOT_IMPLEMENTED, MlflowException
from steplog.compat.mlflow.tracked_run import begin, tracked
from steplog.compat.mlflow.tracking import fluent

__all__ = ["MlflowClient", "PagedList"]


class PagedList(list[Any]):
    """All there is, on one page."""

    token: str | None = None


class MlflowClient:
    """See MLflow's documentation of each method; what is read of models and prompts raises MlflowException.

    ``tracking_uri`` is remembered: all clients are of steplog's server.
    """

    def __init__(
        self, tracking_uri: str | None = None, registry_uri: str | None = None, workspace_store_uri: str | None = None
    ) -> None:
        self._tracking_uri = tracking_uri
        self._registry_uri = registry_uri

    @property
    def tracking_uri(self) -> str:
        """As it was given."""
        return self._tracking_uri or fluent.get_tracking_uri()

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: dict[str, Any] | None = None,
        run_name: str | None = None,
    ) -> Run:
        """A new run, which is nobody's active one; ``set_terminated`` ends it, else the end of the program."""
        return begin(experiments.of_id(experiment_id), run_name, tags).entity()

    def get_run(self, run_id: str) -> Run:
        """Raises MlflowException where there is none."""
        return search.run_of(run_id)

    def get_parent_run(self, run_id: str) -> Run | None:
        """The run that this one is nested in."""
        return fluent.get_parent_run(run_id)

    def get_metric_history(self, run_id: str, key: str) -> list[Metric]:
        """Every value, in the order of arrival."""
        return PagedList(search.history_of(run_id, key))

    def search_runs(
        self,
        experiment_ids: list[str],
        filter_string: str = "",
        run_view_type: int = 1,
        max_results: int = 1000,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> list[Run]:
        """The runs that a filter is true of, the newest first."""
        chosen = [experiments.of_id(key) for key in experiment_ids]
        return PagedList(search.runs_of(chosen, filter_string, order_by)[:max_results])

    def search_experiments(
        self,
        view_type: int = 1,
        max_results: int | None = 1000,
        filter_string: str | None = None,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> list[Experiment]:
        """Those that a filter is true of."""
        return PagedList(search.experiments_of(filter_string, order_by)[:max_results])

    def get_experiment(self, experiment_id: str) -> Experiment:
        """Raises MlflowException where there is none."""
        return experiments.found(experiment_id)

    def get_experiment_by_name(self, name: str) -> Experiment | None:
        """None: there is none."""
        return experiments.existing(name)

    def create_experiment(
        self, name: str, artifact_location: str | None = None, tags: dict[str, Any] | None = None
    ) -> str:
        """The id of a new one."""
        return experiments.create(name, tags)

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        """Kept while the process is there."""
        experiments.set_tags(experiment_id, {key: value})

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """See ``set_experiment_tag``."""
        experiments.delete_tag(experiment_id, key)

    def delete_experiment(self, experiment_id: str) -> None:
        """Raises MlflowException."""
        fluent.delete_experiment(experiment_id)

    def restore_experiment(self, experiment_id: str) -> None:
        """Raises MlflowException."""
        fluent.restore_experiment(experiment_id)

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Raises MlflowException: the name of a project is its address."""
        raise MlflowException(f"a project is not renamed: {experiment_id}", error_code=NOT_IMPLEMENTED)

    def log_metric(
        self,
        run_id: str,
        key: str,
        value: float,
        timestamp: int | None = None,
        step: int | None = None,
        synchronous: bool | None = None,
        dataset_name: str | None = None,
        dataset_digest: str | None = None,
        model_id: str | None = None,
    ) -> Any:
        """Log a value to a run; without a step it is the metric's next one."""
        return fluent.log_metric(key, value, step, synchronous, timestamp, run_id)

    def log_param(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> Any:
        """Log an entry of the config."""
        done = fluent.log_params({key: value}, synchronous, run_id)
        return value if done is None else done

    def set_tag(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> Any:
        """Set the tag ``key=value``."""
        tracked(run_id).set_tags({key: value})
        return fluent.RunOperations() if synchronous is False else None

    def delete_tag(self, run_id: str, key: str) -> None:
        """Raises MlflowException where there is none."""
        tracked(run_id).delete_tag(key)

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
        synchronous: bool | None = None,
    ) -> Any:
        """Log values, those of one step together, entries of the config, and tags."""
        run = tracked(run_id)
        part: dict[str, Any] = {}
        at: tuple[int | None, int | None] = (None, None)
        for metric in metrics:
            if part and ((metric.step, metric.timestamp) != at or metric.key in part):
                run.log(part, *at)
                part = {}
            at = metric.step, metric.timestamp
            part[metric.key] = metric.value
        if part:
            run.log(part, *at)
        if params:
            run.set_params({param.key: param.value for param in params})
        if tags:
            run.set_tags({tag.key: tag.value for tag in tags})
        return fluent.RunOperations() if synchronous is False else None

    def update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        """Rename a run, or end it."""
        run = tracked(run_id)
        if name is not None:
            run.set_tags({"mlflow.runName": name})
        if status not in (None, "RUNNING", "SCHEDULED"):
            run.finish(str(status))

    def set_terminated(self, run_id: str, status: str | None = None, end_time: int | None = None) -> None:
        """End a run, and wait until it is delivered."""
        tracked(run_id).finish(status or "FINISHED")

    def delete_run(self, run_id: str) -> None:
        """It goes to the server's trash for 24 hours."""
        fluent.delete_run(run_id)

    def restore_run(self, run_id: str) -> None:
        """Take it out of the trash."""
        fluent.restore_run(run_id)

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        """Keep a text as a value."""
        fluent.log_text(text, artifact_file, run_id)

    def log_dict(self, run_id: str, dictionary: Any, artifact_file: str) -> None:
        """Keep a dict as a value."""
        fluent.log_dict(dictionary, artifact_file, run_id)

    def log_table(self, run_id: str, data: Any, artifact_file: str) -> None:
        """Keep a table as a value."""
        fluent.log_table(data, artifact_file, run_id)

    def log_artifact(self, run_id: str, local_path: Any, artifact_path: str | None = None) -> None:
        """Keep a file or a folder with the run. Raises OSError."""
        files.keep_artifact(tracked(run_id), local_path, artifact_path)

    def log_artifacts(self, run_id: str, local_dir: Any, artifact_path: str | None = None) -> None:
        """Keep what is in a folder with the run. Raises MlflowException."""
        files.keep_artifacts(tracked(run_id), local_dir, artifact_path)

    def log_stream(self, run_id: str, stream: Any, artifact_file: str) -> None:
        """Keep what an open file has as a file of the run."""
        files.keep_stream(tracked(run_id), stream, artifact_file)

    def log_figure(
        self, run_id: str, figure: Any, artifact_file: str, *, save_kwargs: dict[str, Any] | None = None
    ) -> None:
        """Keep a figure as a file and an image. Raises TypeError for what is none."""
        files.keep_figure(tracked(run_id), figure, artifact_file, save_kwargs)

    def log_image(
        self,
        run_id: str,
        image: Any,
        artifact_file: str | None = None,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
        synchronous: bool | None = None,
    ) -> None:
        """Keep an image. Raises TypeError, ValueError as MLflow does."""
        files.keep_image(tracked(run_id), image, artifact_file, key, step)

    def log_inputs(self, run_id: str, datasets: Any = None, models: Any = None) -> None:
        """Counted."""
        note("log_inputs", 'name what was read: mlflow.log_param("dataset", name)')

    def log_outputs(self, run_id: str, models: Any) -> None:
        """Counted."""
        note("log_outputs", FILES)

    def list_artifacts(self, run_id: str, path: str | None = None) -> list[FileInfo]:
        """What is directly below a path. Raises MlflowException."""
        return files.listed(run_id, path)

    def download_artifacts(self, run_id: str, path: str, dst_path: Any = None) -> str:
        """Write a file or a folder below ``dst_path``, and return where. Raises MlflowException."""
        return files.download(run_id, path, dst_path)

    def __getattr__(self, name: str) -> Any:
        from steplog.compat.mlflow.models import refused

        return refused(name, f"'{type(self).__name__}' object has no attribute {name!r}")
