"""The runs that are open in this process, and the module's names that follow the latest: ``wandb.run``, ``wandb.log``.

``bind`` makes a run the module's: ``wandb.config``, ``wandb.summary`` and the functions of ``FUNCTIONS`` are its own
until ``forget``; then they raise ``wandb.Error`` as before the first ``init``. A forked child keeps the names, and has
no open runs: its ``init`` begins one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from steplog.compat.wandb.errors import Error

__all__ = [
    "FUNCTIONS",
    "Uninitialized",
    "before_init",
    "bind",
    "current",
    "forget",
    "names_without_run",
    "open_runs",
    "public",
]

FUNCTIONS = (
    "alert",
    "define_metric",
    "link_artifact",
    "link_model",
    "log",
    "log_artifact",
    "log_model",
    "mark_preempting",
    "pin_config_keys",
    "save",
    "unwatch",
    "use_artifact",
    "use_model",
    "watch",
)

open_runs: list[Any] = []  # the newest is last
os.register_at_fork(after_in_child=open_runs.clear)


class Uninitialized:
    """What ``wandb.config`` and ``wandb.summary`` are without a run."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def _refuse(self, what: str) -> NoReturn:
        raise Error(f"You must call wandb.init() before {self._name}{what}")

    def __getitem__(self, key: str) -> Any:
        self._refuse(f"[{key!r}]")

    def __setitem__(self, key: str, value: Any) -> None:
        self._refuse(f"[{key!r}]")

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        self._refuse(f".{key}")

    def __setattr__(self, key: str, value: Any) -> None:
        self._refuse(f".{key}")


def before_init(name: str) -> Callable[..., Any]:
    """What a function of ``FUNCTIONS`` is without a run."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise Error(f"You must call wandb.init() before wandb.{name}()")

    refuse.__name__ = refuse.__qualname__ = name
    return refuse


def names_without_run() -> dict[str, Any]:
    """The module's names, where there is no run."""
    holders = {name: Uninitialized(f"wandb.{name}") for name in ("config", "summary")}
    return {"run": None, **holders, **{name: before_init(name) for name in FUNCTIONS}}


def bind(run: Any) -> None:
    """Make it the module's."""
    functions = {name: getattr(run, name) for name in FUNCTIONS if hasattr(run, name)}
    _names().update(run=run, config=run.config, summary=run.summary, **functions)


def forget(run: Any) -> None:
    """The run is over: it is none of the open ones, and not the module's."""
    with suppress(ValueError):
        open_runs.remove(run)
    if _names().get("run") is run:
        _names().update(names_without_run())


def _names() -> dict[str, Any]:
    return vars(sys.modules[__package__])


def public(name: str) -> Any:
    """One of the module's names, for what these names are made of."""
    return getattr(sys.modules[__package__], name)


def current() -> Any:
    """``wandb.run``."""
    return _names().get("run")
