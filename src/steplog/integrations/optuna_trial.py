"""What an objective of Optuna asks its trial for, in the trial's run as soon as it is known."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from optuna import Trial

from steplog.integrations.side_run import SideRun

__all__ = ["watch"]

_SUGGESTS = ("suggest_categorical", "suggest_float", "suggest_int")  # what the older ones call, too


def watch(trial: Trial, side: SideRun) -> None:
    """Have the public methods of this one trial set parameters in the run's config, and log what is reported."""
    for name in _SUGGESTS:
        vars(trial)[name] = _suggesting(getattr(trial, name), side)
    report = trial.report

    @functools.wraps(report)
    def reporting(value: float, step: int) -> None:
        report(value, step)
        side.log({"intermediate_value": value}, step=step)

    vars(trial)["report"] = reporting


def _suggesting(suggest: Callable[..., Any], side: SideRun) -> Callable[..., Any]:
    @functools.wraps(suggest)
    def suggesting(name: str, *given: Any, **named: Any) -> Any:
        value = suggest(name, *given, **named)
        side.configure({name: value})
        return value

    return suggesting
