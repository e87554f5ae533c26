"""wandb's calls on steplog: ``import steplog.compat.wandb as wandb``, and an existing script logs here.

::

    wandb.init(project="mnist", config={"lr": 0.1})
    wandb.log({"loss": 0.31})
    wandb.finish()

The public names are those of wandb 0.31. They are imported at first use; ``run``, ``config``, ``summary``, ``log`` and
the other functions of a run follow the run that is open (``open_runs``). What wandb has and this has not is an
AttributeError, so that ``hasattr`` tells.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from steplog.compat.wandb import open_runs as _open_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from steplog.compat.wandb import config_sources as helper
    from steplog.compat.wandb import errors
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
    from steplog.compat.wandb.logged_run import Run
    from steplog.compat.wandb.metric_definitions import Metric
    from steplog.compat.wandb.run_config import Config
    from steplog.compat.wandb.run_summary import Summary
    from steplog.compat.wandb.settings import Settings

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
    "AuthenticationError",
    "CommError",
    "Config",
    "ConfigError",
    "Error",
    "Metric",
    "Run",
    "Settings",
    "Summary",
    "UnsupportedError",
    "UsageError",
    "alert",
    "attach",
    "config",
    "define_metric",
    "ensure_configured",
    "errors",
    "finish",
    "helper",
    "init",
    "join",
    "link_artifact",
    "link_model",
    "log",
    "log_artifact",
    "log_model",
    "mark_preempting",
    "pin_config_keys",
    "require",
    "run",
    "save",
    "setup",
    "summary",
    "teardown",
    "unwatch",
    "use_artifact",
    "use_model",
    "watch",
]

__version__ = "0.31.0"  # whose names these are: programs compare it

_MODULES = {
    "beginning": ("attach", "ensure_configured", "finish", "init", "require", "setup", "teardown"),
    "errors": ("AuthenticationError", "CommError", "ConfigError", "Error", "UnsupportedError", "UsageError"),
    "logged_run": ("Run",),
    "metric_definitions": ("Metric",),
    "run_config": ("Config",),
    "run_summary": ("Summary",),
    "settings": ("Settings",),
}
_ALIASES = {  # wandb's name: the module, and what it is there; "": the module itself
    "errors": ("errors", ""),
    "helper": ("config_sources", ""),
    "join": ("beginning", "finish"),
}
_found = {name: (module, name) for module, names in _MODULES.items() for name in names} | _ALIASES

globals().update(_open_runs.names_without_run())


def __getattr__(name: str) -> Any:
    if name not in _found:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _found[name]
    value: Any = importlib.import_module(f"{__name__}.{module}")
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
