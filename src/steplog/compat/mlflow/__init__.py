"""MLflow's names on steplog: ``import steplog.compat.mlflow as mlflow``.

::

    tracking.fluent     set_experiment, start_run, log_metric, log_param, set_tag, search_runs, …
    tracking.client     MlflowClient
    tracked_run         the runs of this process by MLflow's id; what becomes of metrics, params and tags
    experiments         which project a run goes to
    search              what get_run and search_runs read
    files, artifacts    log_artifact, log_figure, log_image, …; what is read of them
    flavors, models     autolog, log_model, register_model: counted

Nothing is sent to an MLflow server, and no folder ``mlruns`` is written. Names are imported at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from steplog.compat.mlflow.flavors import FLAVORS, flavor
from steplog.compat.mlflow.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from steplog.compat.mlflow.exceptions import MlflowException
    from steplog.compat.mlflow.tracking.client import MlflowClient
    from steplog.compat.mlflow.tracking.fluent import ActiveRun, active_run, end_run, log_metric, start_run

_MODULES = {
    "tracking.fluent": """
        ActiveRun active_run create_experiment delete_experiment delete_experiment_tag delete_run delete_tag end_run
        flush_artifact_async_logging flush_async_logging flush_trace_async_logging get_artifact_uri get_experiment
        get_experiment_by_name get_parent_run get_run get_tracking_uri is_tracking_uri_set last_active_run
        log_artifact log_artifacts log_dict log_figure log_image log_metric log_metrics log_param log_params
        log_stream log_table log_text restore_experiment restore_run
        search_experiments search_runs set_experiment set_experiment_tag set_experiment_tags set_tag set_tags
        set_tracking_uri start_run""",
    "tracking.client": "MlflowClient",
    "data": "Image",
    "exceptions": "MlflowException",
    "flavors": "autolog",
    "config": """
        disable_system_metrics_logging enable_system_metrics_logging set_system_metrics_node_id
        set_system_metrics_samples_before_logging set_system_metrics_sampling_interval""",
    "models": "evaluate validate_evaluation_results",
    "tracing": "start_span start_span_no_context trace",
}
_module_of = {name: module for module, names in _MODULES.items() for name in names.split()}
_SUBMODULES = (
    "artifacts",
    "client",
    "config",
    "data",
    "entities",
    "exceptions",
    "models",
    "system_metrics",
    "tracing",
    "tracking",
    "types",
    "utils",
    "version",
)
_FILES = ("log_outputs",)
_TRACES = (
    "add_trace",
    "delete_assessment",
    "delete_trace_tag",
    "log_assessment",
    "log_expectation",
    "log_feedback",
    "log_issue",
    "log_trace",
    "override_feedback",
    "set_trace_tag",
    "update_assessment",
    "update_current_trace",
)
_NONE = (
    "get_active_model_id",
    "get_active_trace_id",
    "get_current_active_span",
    "get_last_active_trace_id",
    "get_registry_uri",
    "last_logged_model",
    "clear_active_model",
    "login",
    "set_registry_uri",
)

__all__ = [
    "FLAVORS",
    "ActiveRun",
    "MlflowClient",
    "MlflowException",
    "__version__",
    "active_run",
    "end_run",
    "flavor",
    "log_metric",
    "start_run",
]

for _name in FLAVORS:
    flavor(_name)


def __getattr__(name: str) -> Any:
    value = _found(name)
    globals()[name] = value
    return value


def _found(name: str) -> Any:
    if name in _module_of:
        return getattr(importlib.import_module(f"{__name__}.{_module_of[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in FLAVORS:
        return flavor(name)
    from steplog.compat.mlflow.counted import FILES, counted
    from steplog.compat.mlflow.models import refused

    if name in _FILES:
        return counted(name, FILES)
    if name in ("log_input", "log_inputs"):
        return counted(name, 'name what was read: mlflow.log_param("dataset", name)')
    if name in _TRACES:
        return counted(name, "traces are not kept; log what you need: mlflow.log_dict(…)")
    if name in _NONE:
        return lambda *_, **__: None
    return refused(name, f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_module_of, *_SUBMODULES, *FLAVORS, *_FILES, *_TRACES})
