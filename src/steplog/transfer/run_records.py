"""What a file says of a run besides its points, as the server takes it. Pure.

Each value of a field, and of the config, has a writer of its own, whose id is a hash of it. So what was said once is
not said again: what a user has changed at the server since then stays, and what has changed in the source counts. A
source that goes back to a value says it once more, by a next writer, if what the server has was said by it, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

import msgspec

from steplog.config import CONFIG_NAME, REMOVED_NAME, log_config
from steplog.formats.imported import RecordBatch
from steplog.formats.run_info import RunInfo
from steplog.identity import RunStatus
from steplog.journal.reserved import RUN_NAME
from steplog.journal.values import Values
from steplog.records.dates import utc_text
from steplog.records.run_fields import (
    DESCRIPTION_CHARACTERS_MAX,
    PROVENANCE_BYTES_MAX,
    TAG_BYTES_MAX,
    TAGS_MAX,
    TEXT_CHARACTERS_MAX,
)
from steplog.transfer.planes import Encoder, Piece

__all__ = ["Change", "as_date", "changes_of", "fitting", "ranges_of", "writer_of"]

_CONFIG_BYTES_MAX = 512 * 1024  # of a record; the server bounds the whole
_TEXTS = {
    "name": TEXT_CHARACTERS_MAX,
    "group": TEXT_CHARACTERS_MAX,
    "job_type": TEXT_CHARACTERS_MAX,
    "description": DESCRIPTION_CHARACTERS_MAX,
    "notes": DESCRIPTION_CHARACTERS_MAX,
}
_STATUSES = frozenset(status.value for status in RunStatus)
_FIELDS = (*_TEXTS, "tags", "started", "provenance")


class Change(NamedTuple):
    """What the source says of a field, where the server has ``before``; ``records`` say it."""

    field: str
    value: Any
    before: Any
    records: list[tuple[str, Any]]


def writer_of(*parts: Any) -> str:
    """The id of a writer, the same for the same parts."""
    digest = hashlib.blake2b(msgspec.json.encode(parts, order="sorted"), digest_size=16)
    return f"import-{digest.hexdigest()}"


def as_date(text: str | None) -> str | None:
    """A date as the server writes it; None for what is none."""
    if text is None:
        return None
    try:
        moment = msgspec.convert(text, datetime)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return utc_text(moment)
    except (msgspec.ValidationError, OverflowError):
        return None


def fitting(info: RunInfo) -> tuple[RunInfo, list[str]]:
    """What of it a server takes, with dates as the server writes them; and in words what it does not take."""
    changed: dict[str, Any] = {"started": as_date(info.started), "ended": as_date(info.ended)}
    cut = [f"{field}, which is no date" for field, text in changed.items() if text is None and getattr(info, field)]
    for field, most in _TEXTS.items():
        text = getattr(info, field)
        if text is not None and len(text) > most:
            changed[field] = text[:most]
            cut.append(f"the end of the {field.replace('_', ' ')}, which has more than {most} characters")
    if not info.name.strip():
        changed["name"] = info.id
    if info.status not in _STATUSES:
        changed["status"] = RunStatus.COMPLETED.value
        cut.append(f"the status {info.status[:40]!r}, which is none; COMPLETED is in its place")
    tags = list(dict.fromkeys(info.tags))
    kept = [tag for tag in tags if 0 < len(tag.encode("utf-8", "replace")) <= TAG_BYTES_MAX][:TAGS_MAX]
    if len(kept) < len(tags):
        count = len(tags) - len(kept)
        cut.append(f"{count} tag{'s' if count > 1 else ''}: a run has {TAGS_MAX} of at most {TAG_BYTES_MAX} bytes")
    if info.provenance is not None and len(msgspec.json.encode(info.provenance)) > PROVENANCE_BYTES_MAX:
        changed["provenance"] = None
        cut.append(f"the provenance, which has more than {PROVENANCE_BYTES_MAX} bytes")
    return msgspec.structs.replace(info, tags=kept, **changed), cut


def changes_of(info: RunInfo, present: Mapping[str, Any]) -> Iterator[Change]:
    """What is to be said where the server has ``present``, its JSON of the run."""
    for field in _FIELDS:
        value, before = getattr(info, field), present.get(field)
        if value and (field == "name" or value != before):
            yield Change(field, value, before, [(RUN_NAME, {field: value})])
    config = present.get("config")
    before = config if isinstance(config, dict) else {}
    records: list[tuple[str, Any]] = []
    if info.config and info.config != before:
        log_config(lambda *record: records.append(record), Values(_CONFIG_BYTES_MAX), CONFIG_NAME, info.config)
    if gone := sorted(before.keys() - info.config.keys()):
        records.append((REMOVED_NAME, gone))
    if records:
        yield Change("config", info.config, before, records)


def ranges_of(change: Change, writer: str, now_ns: int) -> list[Piece]:
    """A change, as this writer says it."""
    names, values = zip(*change.records, strict=True)
    count = len(change.records)
    batch = RecordBatch(names, [None] * count, [now_ns] * count, values)
    return Encoder(writer, lambda name: "").encode(0, batch)
