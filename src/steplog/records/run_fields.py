"""What a run's records say about the run: its fields and its config. Pure.

::

    steplog/run               an object of fields: see ``FIELDS``
    steplog/config            an object of config entries
    steplog/config/removed    a list of config keys

- Of several changes of a field, or of a config key, the one with the greatest ``Order`` counts. The removal of a key is
  a change like any other.
- A record counts as not before the writer's records before it, so that a clock that is set back changes nothing of the
  order in which one process says things.
- So the outcome depends on which changes there are, not on how they arrive: in what order, in what batches, how often.
- A config keeps ``CONFIG_KEYS_KEPT`` keys, the first by name: what some records push out, more records do, too.
- Nothing in a record is an error, since its client was told that it is stored: what is not of its field's type is
  skipped, and the rest counts. A request is answered with the reasons (``FieldError``).

A *value* is what the store keeps: text, or JSON text for ``JSON_FIELDS`` and config; None if there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from heapq import nsmallest
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from steplog.records.dates import utc_text

__all__ = [
    "CONFIG_KEYS_KEPT",
    "CONFIG_KEYS_MAX",
    "CONFIG_NAME",
    "CONFIG_REMOVED_NAME",
    "DESCRIPTION_CHARACTERS_MAX",
    "FIELDS",
    "FIELDS_NAME",
    "JSON_FIELDS",
    "NOT_STORED",
    "PROVENANCE_BYTES_MAX",
    "REPORT_COUNT_MAX",
    "REPORT_REASONS_MAX",
    "REPORT_REASON_CHARACTERS_MAX",
    "RESERVED",
    "TAGS_MAX",
    "TAG_BYTES_MAX",
    "TEXT_CHARACTERS_MAX",
    "TIME_MIN_NS",
    "Change",
    "Changes",
    "FieldError",
    "Order",
    "changes_of",
    "field_value",
    "merge",
    "order_now",
]

FIELDS_NAME = "steplog/run"
CONFIG_NAME = "steplog/config"
CONFIG_REMOVED_NAME = "steplog/config/removed"
NOT_STORED = frozenset((FIELDS_NAME, "steplog/status", "steplog/files"))  # never metrics
RESERVED = NOT_STORED | {CONFIG_NAME, CONFIG_REMOVED_NAME}
JSON_FIELDS = frozenset(("tags", "provenance", "report"))

TEXT_CHARACTERS_MAX = 256
DESCRIPTION_CHARACTERS_MAX = 64 * 1024  # of the notes, too
TAGS_MAX = 64
TAG_BYTES_MAX = 128
PROVENANCE_BYTES_MAX = 64 * 1024
REPORT_REASONS_MAX = 32
REPORT_REASON_CHARACTERS_MAX = 128
REPORT_COUNT_MAX = 2**53 - 1  # what a browser counts exactly

TIME_MIN_NS = -(2**63)
CONFIG_KEYS_MAX = 10_000
CONFIG_KEYS_KEPT = 2 * CONFIG_KEYS_MAX

_Count = Annotated[int, msgspec.Meta(ge=0, le=REPORT_COUNT_MAX)]
_Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=REPORT_REASON_CHARACTERS_MAX)]
_Key = TypeVar("_Key")
_Rank = TypeVar("_Rank", bound=tuple[Any, ...])
_Value = TypeVar("_Value")
_Reader = Callable[["bytes | msgspec.Raw"], "str | None"]


class Order(NamedTuple):
    """What decides between two changes: the greater counts."""

    generation: int  # of ownership, to which the writer belongs
    time_ns: int  # of the record, by its machine's clock; not before that of the writer's records before it
    writer: str
    position: int


def order_now(present: Order | None, generation: int, now_ns: int) -> Order:
    """Of a change that is made at the server itself: it counts though what is there is by a clock that is ahead."""
    now = Order(generation, now_ns, "", 0)
    return now if present is None or now > present else present._replace(position=present.position + 1)


class Change(NamedTuple):
    """A change by a record of one writer; ``value`` None removes."""

    time_ns: int
    position: int
    value: str | None

    def order(self, generation: int, writer: str, not_before_ns: int) -> Order:
        """Its order among those of all writers; ``not_before_ns``: the latest of what its writer said before."""
        return Order(generation, max(self.time_ns, not_before_ns), writer, self.position)


class Changes(NamedTuple):
    """What the records of one range change: the last change of each field and each config key."""

    fields: Mapping[str, Change]
    config: Mapping[str, Change]
    latest_ns: int  # of the records' times


class FieldError(ValueError):
    """The value is not of the field's type; says why in the words of Django REST framework."""


class _Report(msgspec.Struct):
    """What a client has lost of a run; ``lost`` is None if nobody knows. Other fields are ignored."""

    dropped: Annotated[dict[_Reason, _Count], msgspec.Meta(max_length=REPORT_REASONS_MAX)]
    abandoned: _Count
    lost: _Count | None
    rejected: _Count


def merge(
    present: Mapping[_Key, _Rank], changes: Iterable[tuple[_Key, _Rank, _Value]]
) -> dict[_Key, tuple[_Rank, _Value]]:
    """Of the changes of each key the one that counts, unless the present one does."""
    counting: dict[_Key, tuple[_Rank, _Value]] = {}
    for key, rank, value in changes:
        best = counting[key][0] if key in counting else present.get(key)
        if best is None or rank > best:
            counting[key] = rank, value
    return counting


def changes_of(records: Iterable[tuple[str, int, int, bytes]]) -> Changes:
    """What the records ``(name, time_ns, position, JSON text)`` of one writer, in order of position, change."""
    fields: dict[str, Change] = {}
    config: dict[str, Change] = {}
    latest = TIME_MIN_NS
    for name, time_ns, position, text in records:
        latest = max(latest, time_ns)
        if name == FIELDS_NAME:
            fields |= {field: Change(latest, position, value) for field, value in _fields_in(text)}
        elif name == CONFIG_NAME:
            config |= {key: Change(latest, position, bytes(raw).decode()) for key, raw in _object_in(text).items()}
        elif name == CONFIG_REMOVED_NAME:
            config |= {key: Change(latest, position, None) for key in _list_in(text) if isinstance(key, str)}
    if len(config) > CONFIG_KEYS_KEPT:
        config = {key: config[key] for key in nsmallest(CONFIG_KEYS_KEPT, config)}
    return Changes(fields, config, latest)


def field_value(field: str, text: bytes | msgspec.Raw) -> str | None:
    """The value of JSON text for one of ``FIELDS``. Raises FieldError."""
    return FIELDS[field](text)


def _fields_in(text: bytes) -> list[tuple[str, str | None]]:
    found = []
    for field, value in _object_in(text).items():
        if field in FIELDS:
            with suppress(FieldError):
                found.append((field, field_value(field, value)))
    return found


def _object_in(text: bytes) -> dict[str, msgspec.Raw]:
    with suppress(msgspec.MsgspecError, RecursionError):
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    return {}


def _list_in(text: bytes) -> list[Any]:
    with suppress(msgspec.MsgspecError, RecursionError):
        return msgspec.json.decode(text, type=list[Any])
    return []


def _decoded(text: bytes | msgspec.Raw, kind: Any, reason: str) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError):
        raise FieldError(reason) from None


def _text(characters_max: int) -> _Reader:
    def read(text: bytes | msgspec.Raw) -> str | None:
        value: str | None = _decoded(text, str | None, "Not a valid string.")
        if value and len(value) > characters_max:
            raise FieldError(f"Ensure this field has no more than {characters_max} characters.")
        return value or None

    return read


def _name(text: bytes | msgspec.Raw) -> str:
    value = _text(TEXT_CHARACTERS_MAX)(text)
    if value is None:
        raise FieldError("This field may not be blank.")
    return value


def _tags(text: bytes | msgspec.Raw) -> str | None:
    tags: list[str] = _decoded(text, list[str] | None, "Expected a list of strings.") or []
    if len(tags) > TAGS_MAX:
        raise FieldError(f"Ensure this field has no more than {TAGS_MAX} elements.")
    if any(not tag or len(tag.encode()) > TAG_BYTES_MAX for tag in tags):
        raise FieldError(f"Ensure each tag has 1 to {TAG_BYTES_MAX} bytes of UTF-8.")
    return msgspec.json.encode(list(dict.fromkeys(tags))).decode() if tags else None


def _date(text: bytes | msgspec.Raw) -> str | None:
    reason = "Datetime has wrong format. Use YYYY-MM-DDThh:mm:ss[.uuuuuu] with Z or an offset."
    moment: datetime | None = _decoded(text, Annotated[datetime, msgspec.Meta(tz=True)] | None, reason)
    try:
        return None if moment is None else utc_text(moment)
    except OverflowError:  # beyond the years 1 to 9999 in UTC
        raise FieldError(reason) from None


def _provenance(text: bytes | msgspec.Raw) -> str | None:
    value = _decoded(text, dict[str, msgspec.Raw] | None, "Expected an object.")
    if value is None:
        return None
    compact = msgspec.json.format(bytes(text), indent=-1)
    if len(compact) > PROVENANCE_BYTES_MAX:
        raise FieldError(f"Ensure this field has no more than {PROVENANCE_BYTES_MAX} bytes.")
    return compact.decode()


def _report(text: bytes | msgspec.Raw) -> str:
    try:
        report = msgspec.json.decode(text, type=_Report)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FieldError(f"Not a valid report: {error}") from None
    return msgspec.json.encode(report).decode()


FIELDS: Mapping[str, _Reader] = {
    "name": _name,
    "description": _text(DESCRIPTION_CHARACTERS_MAX),
    "tags": _tags,
    "group": _text(TEXT_CHARACTERS_MAX),
    "job_type": _text(TEXT_CHARACTERS_MAX),
    "notes": _text(DESCRIPTION_CHARACTERS_MAX),
    "started": _date,
    "ended": _date,
    "provenance": _provenance,
    "report": _report,
}
