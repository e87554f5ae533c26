"""Runs in MLflow's folder of files.

    mlruns/EXPERIMENT/meta.yaml              name, experiment_id, lifecycle_stage
    mlruns/EXPERIMENT/RUN/meta.yaml          run_id, run_name, status, start_time, end_time, lifecycle_stage
    mlruns/EXPERIMENT/RUN/params/KEY         a text; KEY may have folders in it
    mlruns/EXPERIMENT/RUN/tags/KEY           a text
    mlruns/EXPERIMENT/RUN/metrics/KEY        a line a point: time in ms, value, step

Each metric is a stream of its own, since each file grows at its end. A last line that is not whole is being written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from steplog.errors import FormatError
from steplog.formats.imported import BATCH_RECORDS, RecordBatch, Stream
from steplog.formats.mlflow.found_run import FoundRun

__all__ = ["file_runs", "is_folder", "streams"]

_META = "meta.yaml"
_STATUSES = {"1": "RUNNING", "2": "SCHEDULED", "3": "FINISHED", "4": "FAILED", "5": "KILLED"}
_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(rf"\\(?:x({_HEX}{{2}})|u({_HEX}{{4}})|U({_HEX}{{8}})|(.))", re.DOTALL)
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
_ESCAPED |= {"N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029"}


def is_folder(path: Path) -> bool:
    """Whether it is such a folder, an experiment in one, or a run."""
    if path.is_dir():
        for meta in (path / _META, *islice(path.glob(f"*/{_META}"), 8)):
            if "experiment_id" in _meta(meta):
                return True
    return False


def file_runs(path: Path) -> Iterator[tuple[Path, FoundRun]]:
    """The folders of runs and what they are, without those that are deleted. Raises FormatError."""
    own = _meta(path / _META)
    if "run_id" in own or "run_uuid" in own:
        runs = [path]
    elif "experiment_id" in own:
        runs = _folders(path)
    else:
        runs = [run for experiment in _folders(path) for run in _folders(experiment)]
    for folder in runs:
        experiment, meta = _meta(folder.parent / _META), _meta(folder / _META)
        if "deleted" not in (experiment.get("lifecycle_stage"), meta.get("lifecycle_stage")):
            yield folder, _run(folder, meta, experiment.get("name") or folder.parent.name)


def streams(folder: Path) -> list[Stream]:
    """The metrics of a run."""
    metrics = folder / "metrics"
    return [Stream(f"metrics/{name}", partial(_points, metrics, name)) for name in _names(metrics)]


def _run(folder: Path, meta: dict[str, str], experiment: str) -> FoundRun:
    texts = {kind: {name: _text(folder / kind / name) for name in _names(folder / kind)} for kind in ("params", "tags")}
    status = meta.get("status", "")
    return FoundRun(
        id=meta.get("run_id") or meta.get("run_uuid") or folder.name,
        name=meta.get("run_name") or meta.get("name") or "",
        experiment=experiment,
        status=_STATUSES.get(status, status),
        start_ms=_whole(meta.get("start_time")),
        end_ms=_whole(meta.get("end_time")),
        **texts,
    )


def _folders(path: Path) -> list[Path]:
    """Those with a ``meta.yaml``; not ``.trash``."""
    return sorted(meta.parent for meta in path.glob(f"*/{_META}") if not meta.parent.name.startswith("."))


def _names(folder: Path) -> list[str]:
    """The files in it and in the folders in it, as keys."""
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def _points(folder: Path, name: str) -> Iterator[RecordBatch]:
    whole = True
    with (folder / name).open("rb") as file:
        while whole and (lines := list(islice(file, BATCH_RECORDS))):
            whole = lines[-1].endswith(b"\n")
            lines = lines if whole else lines[:-1]
            fields = [line.split() for line in lines]
            try:
                steps = [int(each[2]) if len(each) > 2 else 0 for each in fields]
                times = [int(each[0]) * 1_000_000 for each in fields]
                values = [float(each[1]) for each in fields]
            except (ValueError, IndexError) as error:
                raise FormatError(f"{folder / name}: not a line of time, value and step: {error}") from None
            if lines:
                yield RecordBatch([name] * len(lines), steps, times, values)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}") from error


def _whole(text: str | None) -> int | None:
    return int(text) if text and _WHOLE.fullmatch(text) else None


def _meta(path: Path) -> dict[str, str]:
    """The entries of a flat YAML file, as texts; "" is null or none. Nothing, if it is not there."""
    if not path.is_file():
        return {}
    entries: list[list[str]] = []
    for line in _text(path).splitlines():
        key, colon, rest = line.partition(":")
        if line[:1].isspace() or not line:
            if entries:  # a long text goes on
                entries[-1].append(line.strip())
        elif colon:
            entries.append([key, rest.strip()])
    return {key: _scalar(lines) for key, *lines in entries}


def _scalar(lines: list[str]) -> str:
    """Lines fold into one; an empty one is a line break."""
    text = re.sub(" ?\n ?", "\n", " ".join(line or "\n" for line in lines)).strip()
    if text.startswith("'") and text.endswith("'") and len(text) > 1:
        return text[1:-1].replace("''", "'")
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        return _ESCAPE.sub(_unescaped, text[1:-1].replace("\\ ", ""))
    return "" if text in ("null", "~") else text


def _unescaped(found: re.Match[str]) -> str:
    code = int(found[1] or found[2] or found[3] or "0", 16)
    if found[4]:
        return _ESCAPED.get(found[4], found[4])
    return chr(code) if code < 0xD800 or 0xE000 <= code < 0x110000 else "\N{REPLACEMENT CHARACTER}"
