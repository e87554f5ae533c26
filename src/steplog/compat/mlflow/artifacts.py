"""``mlflow.artifacts``: files of runs, and texts, dicts and tables, which are values of the run, too.

::

    log_text("…", "notes.txt")          the file, and the text, of the metric notes.txt
    log_dict({…}, "config.json")        the file, and the JSON value; as YAML where it is called so
    log_table({…}, "eval.json")         {"_type": "table", "columns": […], "data": [[…], …]}; the file has all rows

Each call is one value more of its metric; of the file the last one counts. What of a value is larger than
``value_bytes_max`` is cut there, and counted; the file is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steplog.compat.field_limits import fitting_name
from steplog.compat.kept_media import frozen
from steplog.compat.mlflow import files
from steplog.compat.mlflow.entities import FileInfo
from steplog.compat.mlflow.exceptions import MlflowException
from steplog.compat.mlflow.tracked_run import TrackedRun
from steplog.compat.table_values import KeptTable
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
]


def keep_text(run: TrackedRun, text: Any, name: str) -> None:
    """A text as a file and a value."""
    whole = str(text)
    files.keep_written(run, name, lambda place: _write(place, whole))
    _keep(run, name, _cut(whole, "mlflow.log_text()"), "mlflow.log_text()")


def keep_dict(run: TrackedRun, value: Any, name: str) -> None:
    """A dict or a list as a file and a value; as MLflow, with the text of what is no JSON."""
    text = json.dumps(value, default=str)
    files.keep_written(run, name, lambda place: _write(place, _formatted(json.loads(text), name)))
    whole = len(text.encode()) <= resolve().value_bytes_max
    _keep(run, name, json.loads(text) if whole else _cut(text, "mlflow.log_dict()"), "mlflow.log_dict()")


def _formatted(value: Any, name: str) -> str:
    """As YAML where it is called so and PyYAML is installed, which MLflow itself needs."""
    if os.path.splitext(name)[1] in (".yml", ".yaml"):
        try:
            import yaml
        except ImportError:
            pass  # JSON is YAML
        else:
            return str(yaml.safe_dump(value, allow_unicode=True))
    return json.dumps(value, indent=2)


def keep_table(run: TrackedRun, data: Any, name: str) -> None:
    """Columns, of a dict of lists or values, or of a data frame. Raises MlflowException for anything else.

    The file has the rows of all calls of this process.
    """
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        columns = {str(key): list(values) for key, values in data.to_dict(orient="list").items()}
    elif isinstance(data, Mapping):
        columns = {str(key): list(each) if isinstance(each, (list, tuple)) else [each] for key, each in data.items()}
    else:
        words = f"a table is a dict of columns or a data frame, not {type(data).__name__}"
        raise MlflowException.invalid_parameter_value(words)
    if len({len(each) for each in columns.values()}) > 1:
        raise MlflowException.invalid_parameter_value("the columns of a table are of different lengths")
    names = list(columns)
    rows = [[_cell(value) for value in row] for row in zip(*columns.values(), strict=True)]
    _keep(run, name, KeptTable(names, rows, "a table of mlflow.log_table()"), "mlflow.log_table()")
    added = [[_plain(cell) for cell in row] for row in rows]
    with run.adding:
        before, known = run.tables.get(name, ([], []))
        all_names = list(dict.fromkeys([*before, *names]))
        whole = [
            [dict(zip(columns, row, strict=True)).get(each) for each in all_names]
            for columns, part in ((before, known), (names, added))
            for row in part
        ]
        run.tables[name] = all_names, whole
        files.keep_written(run, name, lambda place: _write(place, json.dumps({"columns": all_names, "data": whole})))


def _cell(value: Any) -> Any:
    """As it is logged: an image is one."""
    from steplog.compat.mlflow.data import Image

    if isinstance(value, Image) or type(value).__module__.partition(".")[0] == "PIL":
        return frozen(files.image_of(value))
    return (
        value if isinstance(value, (str, int, float, bool, type(None))) else json.loads(json.dumps(value, default=str))
    )


def _plain(value: Any) -> Any:
    """As it is in the file."""
    return value if isinstance(value, (str, int, float, bool, list, dict, type(None))) else str(value)


def _write(place: Path, text: str) -> None:
    place.write_text(text, "utf-8")


def _keep(run: TrackedRun, name: Any, value: Any, call: str) -> None:
    run.keep({fitting_name(str(name), call) or "artifact": value})


def _cut(text: str, what: str) -> str:
    if len(text.encode("utf-8", "replace")) > resolve().value_bytes_max:
        unsupported.note(f"{what} of more than value_bytes_max", "its beginning is kept; set STEPLOG_VALUE_BYTES_MAX")
    return text


def _place(artifact_uri: str | None, run_id: str | None, path: str | None) -> tuple[str, str]:
    """Which run, and which path of it. Raises MlflowException unless one of both is given."""
    if (run_id is None) == (artifact_uri is None):
        raise MlflowException.invalid_parameter_value("Exactly one of `run_id` or `artifact_uri` must be specified")
    if artifact_uri is not None and path is not None:
        words = "`artifact_path` cannot be specified if `artifact_uri` is specified"
        raise MlflowException.invalid_parameter_value(words)
    return files.path_of(artifact_uri) if artifact_uri is not None else (str(run_id), path or "")


def download_artifacts(
    artifact_uri: str | None = None,
    run_id: str | None = None,
    artifact_path: str | None = None,
    dst_path: Any = None,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
) -> str:
    """Write a file or a folder of a run below ``dst_path``, and return where. Raises MlflowException."""
    return files.download(*_place(artifact_uri, run_id, artifact_path), dst_path)


def list_artifacts(
    artifact_uri: str | None = None,
    run_id: str | None = None,
    artifact_path: str | None = None,
    tracking_uri: str | None = None,
) -> list[FileInfo]:
    """What is directly below a path of a run. Raises MlflowException."""
    return files.listed(*_place(artifact_uri, run_id, artifact_path))


def load_text(artifact_uri: str) -> str:
    """The text of a file of a run. Raises MlflowException."""
    try:
        return _read(artifact_uri).decode()
    except UnicodeDecodeError as error:
        raise MlflowException(f"Unable to form a str object from file content: {artifact_uri}: {error}") from error


def load_dict(artifact_uri: str) -> Any:
    """The JSON of a file of a run. Raises MlflowException."""
    try:
        return json.loads(_read(artifact_uri))
    except ValueError as error:
        raise MlflowException(f"Unable to form a JSON object from file content: {artifact_uri}: {error}") from error


def load_image(artifact_uri: str) -> Any:
    """A file of a run as Pillow has it. Raises MlflowException, ImportError."""
    import io

    from PIL import Image

    picture = Image.open(io.BytesIO(_read(artifact_uri)))
    picture.load()
    return picture


def _read(artifact_uri: str) -> bytes:
    return files.read(*files.path_of(artifact_uri))
