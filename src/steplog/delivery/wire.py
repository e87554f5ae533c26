"""The wire format: the server's paths, and records and answers as they travel.

Pure, and shared with the embedded server. The API is described in ``docs/api.md``. A range travels as the
body that ``journal.range`` specifies; this module adds what is JSON: the paths, a single metric for a
stock server, and the acknowledgement of a range.

JSON has no NaN or infinity. Where a value must be JSON they are the strings ``"NaN"``, ``"Infinity"`` and
``"-Infinity"``, as in the proto3 JSON mapping (https://protobuf.dev/programming-guides/json/).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from steplog.errors import ConfigurationError
from steplog.journal import slot
from steplog.journal.range import Range

__all__ = [
    "API",
    "CONTENT_TYPE_RANGE",
    "Acknowledgement",
    "Record",
    "acknowledges",
    "batch_path",
    "json_value",
    "metric_bodies",
    "metrics_path",
    "project_path",
    "projects_path",
    "records",
    "run_path",
    "runs_path",
    "web_path",
]

API = "/api/v0"
CONTENT_TYPE_RANGE = "application/msgpack"

_FIELDS = {
    slot.KIND_FLOAT: struct.Struct("<qdqI"),
    slot.KIND_INT: struct.Struct("<qqqI"),
    slot.KIND_BOOL: struct.Struct("<qqqI"),
    slot.KIND_JSON: struct.Struct("<qqqI"),
}


class Record(msgspec.Struct, frozen=True):
    """One record of a range; ``value`` is a float, an int, a bool, or the JSON text of anything else."""

    position: int
    name: str
    kind: int
    value: float | int | bool | bytes
    step: int | None
    time_ns: int


class Acknowledgement(msgspec.Struct, frozen=True):
    """What the server answers to a range that it has stored."""

    writer: str
    first: int
    end: int
    accepted: int
    duplicates: int


def projects_path(namespace: str) -> str:
    """Where projects of a namespace are listed (GET) and made (POST)."""
    return f"{API}/{_part(namespace)}/projects/"


def project_path(namespace: str, project: str) -> str:
    """Where one project is read (GET) and deleted (DELETE)."""
    return f"{projects_path(namespace)}{_part(project)}/"


def runs_path(namespace: str, project: str) -> str:
    """Where the runs of a project are listed (GET) and made (POST)."""
    return f"{project_path(namespace, project)}runs/"


def run_path(namespace: str, project: str, run: str) -> str:
    """Where one run is read (GET) and its status set (PATCH)."""
    return f"{runs_path(namespace, project)}{_part(run)}/"


def metrics_path(namespace: str, project: str, run: str) -> str:
    """Where the metrics of a run are read (GET) and one is added (POST)."""
    return f"{run_path(namespace, project, run)}metrics/"


def batch_path(namespace: str, project: str, run: str) -> str:
    """Where a range of records is added (POST)."""
    return f"{metrics_path(namespace, project, run)}batch/"


def web_path(namespace: str, project: str, run_slug: str) -> str:
    """The web address of a run, below the server's base URL."""
    return f"/{_part(namespace)}/projects/{_part(project)}/runs/{_part(run_slug)}/"


def _part(text: str) -> str:
    if text in (".", ".."):  # steps in the path (RFC 3986, 5.2.4), for HTTP libraries even where they are quoted
        raise ConfigurationError(f"{text!r} cannot be a part of an address")
    return quote(text, safe="")


def records(batch: Range) -> Iterator[Record]:
    """Each record of a range, in the order of its positions."""
    kinds = slot.kinds_of(batch.slots)
    payloads = {index: batch.payloads[start:end] for index, start, end in batch.payload_spans()}
    for index, kind in enumerate(kinds):
        if kind == slot.KIND_NONE:
            continue
        step, value, time_ns, name = _FIELDS[kind].unpack_from(batch.slots, index * slot.SLOT_BYTES)
        if kind == slot.KIND_BOOL:
            value = bool(value)
        elif kind == slot.KIND_JSON:
            value = payloads[index]
        yield Record(
            batch.first + index,
            batch.names[name],
            kind,
            value,
            None if step == slot.NO_STEP else step,
            time_ns,
        )


def json_value(record: Record) -> Any:
    """The record's value as something that every JSON encoder takes."""
    if isinstance(record.value, bytes):
        return msgspec.Raw(record.value)
    if isinstance(record.value, float) and not math.isfinite(record.value):
        return "NaN" if math.isnan(record.value) else "Infinity" if record.value > 0 else "-Infinity"
    return record.value


def metric_bodies(batch: Range) -> Iterator[tuple[int, str, bytes]]:
    """``(position, name, JSON body)`` of each record, for a server that takes one metric a request."""
    for record in records(batch):
        fields = {"name": record.name, "value": json_value(record)}
        if record.step is not None:
            fields["step"] = record.step
        yield record.position, record.name, msgspec.json.encode(fields)


def acknowledges(body: bytes, writer: str, first: int, end: int) -> bool:
    """Whether an answer's body parses and repeats the range that was sent; nothing less is an acknowledgement."""
    try:
        answer = msgspec.json.decode(body, type=Acknowledgement)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return (answer.writer, answer.first, answer.end) == (writer, first, end)
