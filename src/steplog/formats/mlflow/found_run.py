"""What MLflow knows of a run, and what becomes of it. Pure.

Params become the config: what Python prints of a number, a bool or None is that again, since filters compare numbers
with numbers alone. A tag becomes ``key=value``. Those that MLflow sets itself are where they belong: the name, the
notes, and in ``provenance`` the user, the command, the commit and the parent's id. A child has its parent's name as its
group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from steplog.formats.run_info import RunInfo
from steplog.records.dates import date_of

__all__ = ["STATUSES", "FoundRun", "config_value", "remarks_on", "run_info", "tag_texts"]

STATUSES = {"FINISHED": "COMPLETED", "FAILED": "FAILED", "KILLED": "CRASHED"}  # else it goes on
_OWN = "mlflow."
_TAGS_MAX, _TAG_BYTES_MAX = 64, 128
_WORDS = {"True": True, "False": False, "None": None}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)


class FoundRun(NamedTuple):
    """A run in MLflow's words; times in ms since the epoch."""

    id: str
    name: str
    experiment: str
    status: str
    start_ms: int | None
    end_ms: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]


def run_info(run: FoundRun, names: Mapping[str, str]) -> RunInfo:
    """The run; ``names`` are those of the runs beside it, by id."""
    parent = run.tags.get("mlflow.parentRunId")
    status = STATUSES.get(run.status, "RUNNING")
    return RunInfo(
        id=f"mlflow-{run.id}",
        name=run.tags.get("mlflow.runName") or run.name,
        project=run.experiment,
        status=status,
        tags=tag_texts(run.tags)[:_TAGS_MAX],
        group=(names.get(parent) or parent) if parent else None,
        notes=run.tags.get("mlflow.note.content") or None,
        started=_date(run.start_ms),
        ended=None if status == "RUNNING" else _date(run.end_ms),
        config={name: config_value(text) for name, text in sorted(run.params.items())},
        provenance=_provenance(run.tags, parent),
    )


def remarks_on(run: FoundRun) -> list[str]:
    """What of it ``run_info`` has no room for."""
    own = sum(not key.startswith(_OWN) for key in run.tags)
    omitted = own - min(len(tag_texts(run.tags)), _TAGS_MAX)
    limits = f"a run has {_TAGS_MAX} of up to {_TAG_BYTES_MAX} bytes"
    return [f"{omitted} of {own} tags left out: {limits}"] if omitted else []


def tag_texts(tags: Mapping[str, str]) -> list[str]:
    """Those that the user has set, as far as they are short enough."""
    own = (f"{key}={value}" if value else key for key, value in sorted(tags.items()) if not key.startswith(_OWN))
    return [tag for tag in own if len(tag.encode()) <= _TAG_BYTES_MAX]


def config_value(text: str) -> Any:
    """What Python has printed of a number, a bool or None is that again."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) and len(text) < 32 else text


def _provenance(tags: Mapping[str, str], parent: str | None) -> dict[str, Any] | None:
    found: dict[str, Any] = {
        "user": tags.get("mlflow.user"),
        "command": tags.get("mlflow.source.name"),
        "parent": f"mlflow-{parent}" if parent else None,
    }
    if commit := tags.get("mlflow.source.git.commit"):
        found["git"] = {"commit": commit, "branch": tags.get("mlflow.source.git.branch"), "dirty": None}
    return {name: value for name, value in found.items() if value} or None


def _date(time_ms: int | None) -> str | None:
    try:
        return None if time_ms is None else date_of(time_ms * 1_000_000)
    except OverflowError:
        return None
