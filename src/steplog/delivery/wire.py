"""The wire format: the server's paths, and records and answers as they travel. Pure, and shared with the server.

``docs/api.md`` describes the API, ``journal.range`` the body of a range. This module adds what is JSON: the paths, a
single metric for a stock server, and answers.

JSON has no NaN or infinity. Where a value must be JSON they are the strings ``"NaN"``, ``"Infinity"`` and
``"-Infinity"``, as in the proto3 JSON mapping (https://protobuf.dev/programming-guides/json/).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from steplog.errors import ConfigurationError
from steplog.journal import slot
from steplog.journal.range import Range

__all__ = [
    "ACCOUNT_PATH",
    "API",
    "CONTENT_TYPE_RANGE",
    "FILES_FEATURE",
    "GENERATIONS_FEATURE",
    "LIST_BYTES_MAX",
    "REPORT_FEATURE",
    "RESUME_FEATURE",
    "RUN_FEATURE",
    "TRASH_FEATURE",
    "Acknowledgement",
    "Record",
    "acknowledges",
    "api_path",
    "detail",
    "features_in",
    "features_of",
    "generation_of",
    "is_too_long",
    "json_value",
    "listed_status",
    "lists",
    "metric_bodies",
    "read",
    "records",
    "status_of",
    "takes_ranges",
    "username",
    "username_in",
    "web_path",
]

API = "/api/v0"
ACCOUNT_PATH = f"{API}/verify-api-key/"
LIST_BYTES_MAX = 16 * 1024 * 1024  # of a list of runs: some 30,000
CONTENT_TYPE_RANGE = "application/msgpack"
REPORT_FEATURE = "report"  # the status may come with a report of losses
RESUME_FEATURE = "resume"  # a run is found by its id or name when it is made
GENERATIONS_FEATURE = "generations"  # of ownership
RUN_FEATURE = "run"  # records of ``steplog/run`` are applied, and fields patched
FILES_FEATURE = "files"  # contents of files are kept
TRASH_FEATURE = "trash"  # runs are deleted and restored

_T = TypeVar("_T")
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


class _Account(msgspec.Struct):
    username: str


class _Detail(msgspec.Struct):
    detail: str


class _Run(msgspec.Struct):
    uuid: str
    status: str = ""
    batch: int = 0
    features: Any = None
    generation: Any = None


def api_path(*parts: str) -> str:
    """The path of what these parts lead to: ``(namespace, "projects", project, "runs", run, "metrics", "batch")``."""
    return "/".join((API, *map(_part, parts), ""))


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
        step = None if step == slot.NO_STEP else step
        yield Record(batch.first + index, batch.names[name], kind, value, step, time_ns)


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
    """Whether an answer's body repeats the range that was sent; nothing less is an acknowledgement."""
    told = read(body, Acknowledgement)
    return told is not None and (told.writer, told.first, told.end) == (writer, first, end)


def username(body: bytes) -> str | None:
    """The account's name in the answer of ``ACCOUNT_PATH``; None where it is no such answer."""
    account = read(body, _Account)
    return None if account is None else account.username


def username_in(user: object) -> str | None:
    """The name in a run's ``user``; None where there is none."""
    name = user.get("username") if isinstance(user, dict) else None
    return name if isinstance(name, str) else None


def detail(body: bytes) -> str | None:
    """The words of a run server's refusal, as Django REST framework gives them; None where it is no such answer."""
    told = read(body, _Detail)
    return None if told is None else told.detail


def takes_ranges(body: bytes, run: str) -> bool | None:
    """Whether the server takes ranges, by its description of this run; None where it does not describe it."""
    told = read(body, _Run)
    return None if told is None or told.uuid != run else told.batch >= 1


def features_of(body: bytes, run: str) -> frozenset[str]:
    """What the server can do besides batches, by its description of this run; a stock server nothing."""
    told = read(body, _Run)
    return frozenset() if told is None or told.uuid != run or told.batch < 1 else features_in(told.features)


def features_in(told: object) -> frozenset[str]:
    """``features``, as a server told them."""
    return frozenset(name for name in told if isinstance(name, str)) if isinstance(told, list) else frozenset()


def generation_of(body: bytes, run: str) -> int:
    """The generation in which an answer shows this run; 0 where it shows none."""
    told = read(body, _Run)
    number = None if told is None or told.uuid != run else told.generation
    return number if isinstance(number, int) else 0


def status_of(body: bytes, run: str) -> str | None:
    """The status that an answer gives to this run; None where it does not describe it."""
    told = read(body, _Run)
    return None if told is None or told.uuid != run else told.status


def is_too_long(body: bytes) -> bool:
    """Whether a list of runs was cut, so that it says nothing."""
    return len(body) >= LIST_BYTES_MAX


def listed_status(body: bytes, run: str) -> str | None:
    """The status of this run in a list of runs; None where that does not have it."""
    told = read(body, list[_Run]) or []
    return next((item.status for item in told if item.uuid == run), None)


def lists(body: bytes, run: str) -> bool | None:
    """Whether this run is in a list of runs; None where it is no such list."""
    told = read(body, list[_Run])
    return None if told is None else any(item.uuid == run for item in told)


def read(body: bytes, kind: type[_T]) -> _T | None:
    """The JSON of an answer as a value of this type; None where it is none."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
