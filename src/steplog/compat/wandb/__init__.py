"""wandb's calls on steplog: ``import steplog.compat.wandb as wandb``, and an existing script logs here.

::

    wandb.init(project="mnist", config={"lr": 0.1})
    wandb.log({"loss": 0.31})
    wandb.finish()

The public names are those of wandb 0.31. They are imported at first use; ``run``, ``config``, ``summary``, ``log`` and
the other functions of a run follow the run that is open (``open_runs``). What wandb has and this has not is an
AttributeError, so that ``hasattr`` tells. Modules that need a framework are not in ``__all__``: a star import is to
work without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from steplog.compat.wandb import open_runs as _open_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from steplog.compat.wandb import (
        apis,
        data_types,
        errors,
        integration,
        plot,
        sdk,
        sklearn,
        tensorboard,
        util,
        wandb_run,
    )
    from steplog.compat.wandb import config_sources as helper
    from steplog.compat.wandb import sdk as wandb_sdk
    from steplog.compat.wandb.artifact import Artifact, ArtifactTTL
    from steplog.compat.wandb.beginning import attach, ensure_configured, finish, init, require, setup, teardown
    from steplog.compat.wandb.beginning import finish as join
    from steplog.compat.wandb.errors import (
        AuthenticationError,
        CommError,
        ConfigError,
        Error,
        UnsupportedError,
        UsageError,
    )
    from steplog.compat.wandb.image import Image
    from steplog.compat.wandb.integration import catboost as catboost
    from steplog.compat.wandb.integration import gym as gym
    from steplog.compat.wandb.integration import keras as keras
    from steplog.compat.wandb.integration import lightgbm as lightgbm
    from steplog.compat.wandb.integration import sb3 as sb3
    from steplog.compat.wandb.integration import tensorflow as tensorflow
    from steplog.compat.wandb.integration import xgboost as xgboost
    from steplog.compat.wandb.logged_run import Run
    from steplog.compat.wandb.media import Classes
    from steplog.compat.wandb.media_files import Audio, Graph, Html, Molecule, Object3D, Plotly, Video, box3d
    from steplog.compat.wandb.metric_definitions import Metric
    from steplog.compat.wandb.plot import plot_table, visualize
    from steplog.compat.wandb.public_api import Api
    from steplog.compat.wandb.public_api import Api as PublicApi
    from steplog.compat.wandb.run_config import Config
    from steplog.compat.wandb.run_files import AlertLevel, restore
    from steplog.compat.wandb.run_summary import Summary
    from steplog.compat.wandb.settings import Settings
    from steplog.compat.wandb.sign_in import api, login, sagemaker_auth
    from steplog.compat.wandb.sweeps import agent, controller, sweep
    from steplog.compat.wandb.table import EvalTable, Histogram, JoinedTable, Table
    from steplog.compat.wandb.term import termerror, termlog, termsetup, termwarn

    alert: Callable[..., Any]
    config: Config
    define_metric: Callable[..., Metric]
    link_artifact: Callable[..., Any]
    link_model: Callable[..., Any]
    log: Callable[..., None]
    log_artifact: Callable[..., Any]
    log_model: Callable[..., Any]
    mark_preempting: Callable[[], None]
    pin_config_keys: Callable[..., None]
    run: Run | None
    save: Callable[..., Any]
    summary: Summary
    unwatch: Callable[..., Any]
    use_artifact: Callable[..., Any]
    use_model: Callable[..., Any]
    watch: Callable[..., Any]

__all__ = [
    "AlertLevel",
    "Api",
    "Artifact",
    "ArtifactTTL",
    "Audio",
    "AuthenticationError",
    "Classes",
    "CommError",
    "Config",
    "ConfigError",
    "Error",
    "EvalTable",
    "Graph",
    "Histogram",
    "Html",
    "Image",
    "JoinedTable",
    "Metric",
    "Molecule",
    "Object3D",
    "Plotly",
    "PublicApi",
    "Run",
    "Settings",
    "Summary",
    "Table",
    "UnsupportedError",
    "UsageError",
    "Video",
    "agent",
    "alert",
    "api",
    "apis",
    "attach",
    "box3d",
    "config",
    "controller",
    "data_types",
    "define_metric",
    "ensure_configured",
    "errors",
    "finish",
    "helper",
    "init",
    "integration",
    "join",
    "link_artifact",
    "link_model",
    "log",
    "log_artifact",
    "log_model",
    "login",
    "mark_preempting",
    "pin_config_keys",
    "plot",
    "plot_table",
    "require",
    "restore",
    "run",
    "sagemaker_auth",
    "save",
    "sdk",
    "setup",
    "sklearn",
    "summary",
    "sweep",
    "teardown",
    "tensorboard",
    "termerror",
    "termlog",
    "termsetup",
    "termwarn",
    "unwatch",
    "use_artifact",
    "use_model",
    "util",
    "visualize",
    "wandb_run",
    "wandb_sdk",
    "watch",
]

__version__ = "0.31.0"  # whose names these are: programs compare it

_MODULES = {
    "artifact": ("Artifact", "ArtifactTTL"),
    "beginning": ("attach", "ensure_configured", "finish", "init", "require", "setup", "teardown"),
    "errors": ("AuthenticationError", "CommError", "ConfigError", "Error", "UnsupportedError", "UsageError"),
    "logged_run": ("Run",),
    "image": ("Image",),
    "media": ("Classes",),
    "media_files": ("Audio", "Graph", "Html", "Molecule", "Object3D", "Plotly", "Video", "box3d"),
    "metric_definitions": ("Metric",),
    "plot": ("plot_table", "visualize"),
    "public_api": ("Api",),
    "run_config": ("Config",),
    "run_files": ("AlertLevel", "restore"),
    "run_summary": ("Summary",),
    "settings": ("Settings",),
    "sign_in": ("api", "login", "sagemaker_auth"),
    "sweeps": ("agent", "controller", "sweep"),
    "table": ("EvalTable", "Histogram", "JoinedTable", "Table"),
    "term": ("termerror", "termlog", "termsetup", "termwarn"),
}
_ALIASES = {  # wandb's name: the module, and what it is there; "": the module itself
    **{name: (name, "") for name in ("apis", "data_types", "errors", "integration", "plot", "sdk", "sklearn")},
    **{name: (name, "") for name in ("tensorboard", "util", "wandb_run")},
    **{name: (f"integration.{name}", "") for name in ("catboost", "gym", "keras", "lightgbm", "sb3", "tensorflow")},
    "xgboost": ("integration.xgboost", ""),
    "PublicApi": ("public_api", "Api"),
    "_attach": ("beginning", "attach"),
    "helper": ("config_sources", ""),
    "join": ("beginning", "finish"),
    "wandb_sdk": ("sdk", ""),
}
_found = {name: (module, name) for module, names in _MODULES.items() for name in names} | _ALIASES

globals().update(_open_runs.names_without_run())


def __getattr__(name: str) -> Any:
    if name not in _found:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _found[name]
    try:
        value: Any = importlib.import_module(f"{__name__}.{module}")
    except ModuleNotFoundError as error:  # of a framework: hasattr() is to answer
        raise AttributeError(f"wandb.{name} needs {error.name}, which is not installed") from error
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_found, "__version__"} - {"_attach"})
