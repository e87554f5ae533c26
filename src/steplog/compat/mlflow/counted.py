"""MLflow's calls that steplog has no counterpart of: taken with any arguments, counted, and said once at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steplog.compat.unsupported import unsupported

__all__ = ["FILES", "counted", "note"]

FILES = "it is not kept; save it to a file, and keep that: mlflow.log_artifact(path)"


def note(call: str, advice: str) -> None:
    """Count ``mlflow.CALL()``."""
    unsupported.note(f"mlflow.{call}()", advice)


def counted(call: str, advice: str, result: Any = None) -> Callable[..., Any]:
    """A function of that name that counts itself and returns ``result``."""

    def function(*_: Any, **__: Any) -> Any:
        note(call, advice)
        return result

    function.__name__ = function.__qualname__ = call.rpartition(".")[2]
    function.__doc__ = f"Counted: {advice}."
    return function
