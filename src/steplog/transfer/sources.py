"""What can be imported: the formats, and which of them a path is.

A format is a line of ``FORMATS``: a module of ``steplog.formats`` with ``recognizes(path)`` and ``runs(path, …)``,
which is imported when it is wanted.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from steplog.errors import ConfigurationError
from steplog.formats.imported import ImportedRun
from steplog.transfer.listed_files import with_listed_files

__all__ = ["FORMATS", "format_of", "runs_in"]

FORMATS: Mapping[str, str] = {
    "wandb": "wandb.runs",
    "tfevents": "tfevents.runs",
    "mlflow": "mlflow.runs",
    "trackio": "trackio",
    "csv": "csv_reader",
    "jsonl": "jsonl_reader",
    "parquet": "parquet_reader",
}


def format_of(path: Path) -> str:
    """The name of the format. Raises ConfigurationError unless there is exactly one, FileNotFoundError."""
    path.stat()
    found = [name for name in FORMATS if _module(name).recognizes(path)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigurationError(f"{path} holds nothing that can be imported: {', '.join(FORMATS)}")
    raise ConfigurationError(f"{path} holds {' and '.join(found)}. Say which: --format {found[0]}")


def runs_in(path: Path, kind: str, /, **options: Any) -> Iterator[ImportedRun]:
    """The runs in a path of this format, their ``origin`` set, with their files.

    Raises ConfigurationError for an option that it does not have, and what reading raises.
    """
    runs = _module(kind).runs
    given = {option: value for option, value in options.items() if value}
    if unknown := sorted(given.keys() - inspect.signature(runs).parameters.keys()):
        raise ConfigurationError(f"{kind} has no --{unknown[0].replace('_', '-').removesuffix('s')}: leave it out")
    for run in runs(path, **given):
        yield with_listed_files(run._replace(origin=run.origin or kind))


def _module(name: str) -> Any:
    return importlib.import_module(f"steplog.formats.{FORMATS[name]}")
