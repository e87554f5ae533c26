"""``mlflow.artifacts``: texts, dicts and tables are values of the run; files are counted, and cannot be read back.

::

    log_text("…", "notes.txt")          the text, of the metric notes.txt
    log_dict({…}, "config.json")        the JSON value
    log_table({…}, "eval.json")         {"_type": "table", "columns": […], "data": [[…], …]}

Each call is one value more of its metric. What is larger than ``value_bytes_max`` is cut, and counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from steplog.compat.mlflow.exceptions import MlflowException, missing
from steplog.compat.mlflow.tracked_run import TrackedRun
from steplog.compat.unsupported import unsupported
from steplog.settings import resolve

__all__ = [
    "download_artifacts",
    "keep_dict",
    "keep_table",
    "keep_text",
    "list_artifacts",
    "load_dict",
    "load_image",
    "load_text",
    "nothing_to_read",
]


def keep_text(run: TrackedRun, text: Any, name: str) -> None:
    """A text as a value."""
    run.keep({_name(name): _cut(str(text), "mlflow.log_text()")})


def keep_dict(run: TrackedRun, value: Any, name: str) -> None:
    """A dict or a list as a value; as MLflow, with the text of what is no JSON."""
    text = json.dumps(value, default=str)
    whole = len(text.encode()) <= resolve().value_bytes_max
    run.keep({_name(name): json.loads(text) if whole else _cut(text, "mlflow.log_dict()")})


def keep_table(run: TrackedRun, data: Any, name: str) -> None:
    """Columns, of a dict of lists or values, or of a data frame. Raises MlflowException for anything else."""
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        columns = {str(key): list(values) for key, values in data.to_dict(orient="list").items()}
    elif isinstance(data, Mapping):
        columns = {str(key): list(each) if isinstance(each, (list, tuple)) else [each] for key, each in data.items()}
    else:
        words = f"a table is a dict of columns or a data frame, not {type(data).__name__}"
        raise MlflowException.invalid_parameter_value(words)
    if len({len(each) for each in columns.values()}) > 1:
        raise MlflowException.invalid_parameter_value("the columns of a table are of different lengths")
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    keep_dict(run, {"_type": "table", "columns": list(columns), "data": rows}, name)


def _name(name: Any) -> str:
    text = str(name)
    return text.encode("utf-8", "replace")[:256].decode("utf-8", "ignore") or "artifact"


def _cut(text: str, what: str) -> str:
    if len(text.encode("utf-8", "replace")) > resolve().value_bytes_max:
        unsupported.note(f"{what} of more than value_bytes_max", "its beginning is kept; set STEPLOG_VALUE_BYTES_MAX")
    return text


def nothing_to_read(what: str) -> NoReturn:
    """Raise MlflowException: there is no such file."""
    raise missing(
        f"{what}: steplog keeps no files of a run; what log_text and log_dict were given is read by"
        " steplog.open(run_id).history(name)"
    )


def download_artifacts(*_: Any, **__: Any) -> NoReturn:
    """Raises MlflowException."""
    nothing_to_read("mlflow.artifacts.download_artifacts()")


def load_text(*_: Any, **__: Any) -> NoReturn:
    """Raises MlflowException."""
    nothing_to_read("mlflow.artifacts.load_text()")


def load_dict(*_: Any, **__: Any) -> NoReturn:
    """Raises MlflowException."""
    nothing_to_read("mlflow.artifacts.load_dict()")


def load_image(*_: Any, **__: Any) -> NoReturn:
    """Raises MlflowException."""
    nothing_to_read("mlflow.artifacts.load_image()")


def list_artifacts(*_: Any, **__: Any) -> list[Any]:
    """There are none."""
    return []
