"""``mlflow.artifacts``: texts, dicts and tables are values of the run; files are counted, and cannot be read back.

::

    log_text("…", "notes.txt")          the text, of the metric notes.txt
    log_dict({…}, "config.json")        the JSON value
    log_table({…}, "eval.json")         {"_type": "table", "columns": […], "data": [[…], …]}

Each call is one value more of its metric. What is larger than ``value_bytes_max`` is cut, a
table after a row, and counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from steplog.compat.field_limits import fitting_name
from steplog.compat.mlflow.exceptions import MlflowException, missing
from steplog.compat.mlflow.tracked_run import TrackedRun
from steplog.compat.table_values import table_value
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
    _keep(run, name, _cut(str(text), "mlflow.log_text()"), "mlflow.log_text()")


def keep_dict(run: TrackedRun, value: Any, name: str) -> None:
    """A dict or a list as a value; as MLflow, with the text of what is no JSON."""
    text = json.dumps(value, default=str)
    whole = len(text.encode()) <= resolve().value_bytes_max
    _keep(run, name, json.loads(text) if whole else _cut(text, "mlflow.log_dict()"), "mlflow.log_dict()")


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
    plain = json.loads(json.dumps(rows, default=str))
    _keep(run, name, table_value(list(columns), plain, "a table of mlflow.log_table()"), "mlflow.log_table()")


def _keep(run: TrackedRun, name: Any, value: Any, call: str) -> None:
    run.keep({fitting_name(str(name), call) or "artifact": value})


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
