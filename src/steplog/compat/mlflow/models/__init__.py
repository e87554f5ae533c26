"""``mlflow.models`` and the registry of models and prompts, of which steplog has none.

::

    log_model, register_model, create_…, set_…, update_…, delete_…      counted
    search_…, list_…                                                    nothing is found
    load_…, get_…, download_…                                           MlflowException
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from steplog.compat.mlflow.counted import counted
from steplog.compat.mlflow.exceptions import NOT_IMPLEMENTED, MlflowException, missing
from steplog.compat.mlflow.models.signature import ModelSignature, infer_signature, set_signature

__all__ = [
    "ModelInfo",
    "ModelSignature",
    "ModelVersion",
    "evaluate",
    "infer_signature",
    "refused",
    "set_signature",
    "validate_evaluation_results",
]

_TEXT = """
    copy_model_version create_dataset create_logged_model create_model_version create_prompt create_prompt_version
    create_registered_model create_webhook delete_logged_model delete_logged_model_tag delete_model_version
    delete_model_version_tag delete_prompt delete_prompt_alias delete_registered_model delete_registered_model_alias
    delete_registered_model_tag delete_trace_tag delete_traces delete_webhook end_span end_trace
    finalize_logged_model get_dataset get_latest_versions get_logged_model get_model_version
    get_model_version_by_alias get_model_version_download_uri get_model_version_stages get_prompt
    get_prompt_version get_registered_model get_trace get_webhook link_prompt_version_to_run link_traces_to_run
    list_logged_model_artifacts list_logged_prompts list_webhooks load_prompt load_table log_model_artifact
    log_model_artifacts log_model_params register_prompt rename_registered_model search_datasets
    search_logged_models search_model_versions search_prompt_versions search_prompts search_registered_models
    search_traces set_dataset_tags set_logged_model_tags set_model_version_tag set_prompt_alias set_prompt_tag
    set_registered_model_alias set_registered_model_tag set_trace_tag start_span start_trace
    transition_model_version_stage update_model_version update_registered_model update_webhook
    import_checkpoints initialize_logged_model last_logged_model register_model set_active_model"""
_NAMES = set(_TEXT.split())
_READS = ("copy_", "download_", "get_", "load_", "last_")
_FINDS = ("list_", "search_")
_REGISTRY = "steplog has no registry of models, prompts and traces; keep files in a place of their own"


class ModelInfo:
    """What ``log_model`` returns: nothing can be loaded from it."""

    def __init__(self, name: str, flavor: str) -> None:
        self.artifact_path = name
        self.name = name
        self.model_uri = f"steplog:/models/{name}"
        self.flavors: dict[str, Any] = {flavor: {}}
        self.model_id: str | None = None
        self.model_uuid: str | None = None
        self.registered_model_version: int | None = None
        self.run_id: str | None = None
        self.signature: ModelSignature | None = None
        self.metadata: dict[str, Any] | None = None


class ModelVersion:
    """What ``register_model`` returns: it is registered nowhere."""

    def __init__(self, name: str = "", version: str = "0", **_: Any) -> None:
        self.name = name
        self.version = version
        self.current_stage = "None"
        self.status = "READY"
        self.source: str | None = None
        self.run_id: str | None = None
        self.tags: dict[str, str] = {}
        self.aliases: list[str] = []
        self.description: str | None = None


def evaluate(*_: Any, **__: Any) -> NoReturn:
    """Raises MlflowException: metrics are computed by whoever has the model."""
    words = "mlflow.evaluate() is not here: compute the metrics yourself, and log them: mlflow.log_metrics({…})"
    raise MlflowException(words, error_code=NOT_IMPLEMENTED)


def validate_evaluation_results(*_: Any, **__: Any) -> NoReturn:
    """Raises MlflowException, as ``evaluate`` does."""
    evaluate()


def _raise(call: str) -> Callable[..., NoReturn]:
    def function(*_: Any, **__: Any) -> NoReturn:
        raise missing(f"mlflow.{call}(): {_REGISTRY}")

    return function


def refused(name: str, unknown: str) -> Callable[..., Any]:
    """The call of that name, of a registry that is not there. Raises AttributeError for none that MLflow has."""
    if name not in _NAMES:
        raise AttributeError(unknown)
    if name.startswith(_READS):
        return _raise(name)
    if name.startswith(_FINDS):
        return lambda *_, **__: []
    return counted(name, _REGISTRY, ModelVersion())
