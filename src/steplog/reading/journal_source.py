"""A run that no server has, read from its journals on this machine; nothing is changed, and no lock is waited for.

1. It is what a server would have if all of it were delivered now: the fields and the config that its records set, the
   steps of points that were logged without one. Of several writers the points are in order of time (``interleaving``).
2. What is written while it is read may be in it or not. What was dropped or lost is not there, and of a process without
   shared memory not yet what is not on the disk.
3. A run that is delivered meanwhile is elsewhere then: ServerUnavailableError, which says where to read it.
4. In memory are ``_POINTS_AT_ONCE`` points, or those of one metric: a larger journal is read several times.
5. A run whose owner was killed is CRASHED. Of another host's run on the same disk nobody here knows who is alive, and
   only what is on the disk is seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from steplog.column_format import json_text
from steplog.errors import FormatError, RunNotFoundError, ServerUnavailableError
from steplog.file_lock import FileLock
from steplog.identity import slug_of
from steplog.journal import manifest as manifests
from steplog.journal import slot
from steplog.journal.manifest import Manifest
from steplog.journal.range import Range
from steplog.lifecycle.journal_view import is_living, journal_of
from steplog.lifecycle.local_records import ranges_of
from steplog.lifecycle.process import current
from steplog.reading.points import Selection, SeriesPoints
from steplog.records.by_name import about_the_run, is_logged, points_by_name, stored_part
from steplog.records.dates import date_of
from steplog.records.finite import finite
from steplog.records.interleaving import interleave
from steplog.records.numbering import assign
from steplog.records.points import Points, concatenate, number_range, words_of
from steplog.records.run_fields import JSON_FIELDS, TIME_MIN_NS, Order, changes_of, merge

__all__ = ["JournalSource"]

_POINTS_AT_ONCE = 2 * 1024 * 1024  # some 100 MB
_STRETCH_POINTS = 65_536  # as a server's history has them
_WORDS = slot.SLOT_BYTES // 8
_KINDS = {slot.KIND_FLOAT: "f8", slot.KIND_INT: "i8"}
_OVER = ("COMPLETED", "FAILED", "CRASHED")


class JournalSource:
    """The run of this local id; see ``RunSource``. Raises RunNotFoundError without a journal."""

    def __init__(self, local_id: str) -> None:
        process = current()
        process.find_memory()
        roots = process.roots
        found = (paths for paths in (*roots.runs(), *roots.of_other_hosts()) if paths.local_id == local_id)
        paths = next(found, None)
        if paths is None:
            raise RunNotFoundError(f"no journal on this machine has the run {local_id}")
        self._paths = paths
        self._points_at_once = _POINTS_AT_ONCE

    def document(self) -> dict[str, Any]:
        """See ``RunSource``; ``uuid`` is the local id, as it is of ``Run`` until a server has made it."""
        manifest = self._manifest()
        found = _About()
        for writer in self._writers(manifest):
            found.read(_generation(manifest, writer), writer, self._ranges(writer))
        manifest = self._manifest()
        return _document(manifest, found, self._status(manifest))

    def config(self) -> dict[str, Any]:
        """See ``RunSource``."""
        return dict(self.document()["config"])

    def series(self) -> list[dict[str, Any]]:
        """See ``RunSource``."""
        return [_totals(name, points) for name, points in self._all(None)]

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        """See ``RunSource``."""
        for name, points in self._all(selection.names):
            yield from _stretches(name, _selected(points, selection, selection.skip.get(name, 0)))

    def _manifest(self) -> Manifest:
        """Raises RunNotFoundError if it is gone, ServerUnavailableError if a server has the run."""
        manifest = None
        with suppress(FormatError):
            manifest = manifests.load(self._paths.manifest())
        if manifest is None:
            raise RunNotFoundError(f"the journal of the run {self._paths.local_id} is not on this machine any more")
        if manifest.run:
            where = f"{manifest.namespace}/{manifest.project}/{manifest.name}"
            words = f"the run {where} was delivered to {manifest.base_url} meanwhile; open it again"
            raise ServerUnavailableError(f"{words}: steplog.open({manifest.run!r})")
        return manifest

    def _status(self, manifest: Manifest) -> tuple[str, int]:
        """The status, and when it was decided, in ns; 0: nobody knows."""
        left = [each for each in manifests.takeovers(self._paths.manifest()) if each.began > _began(manifest)]
        if left:
            owner, status, ended = left[-1].writer, left[-1].status, left[-1].ended
        else:
            owner, status, ended = manifest.owner, manifest.status, manifest.ended
        if status is None:
            living = self._paths.other_host is not None or any(
                is_living(self._paths, writer) for writer in self._paths.writers()
            )
            living = living or self._is_delivered()
            status = "CRASHED" if owner and not living else _first_status(manifest)
        return status, ended

    def _is_delivered(self) -> bool:
        """Whether a process holds the run's lock, all that shows that an owner without shared memory lives."""
        with suppress(OSError):
            return not FileLock.is_free(self._paths.lock)
        return False

    def _writers(self, manifest: Manifest) -> list[str]:
        """The writers, those of an earlier generation first."""
        return sorted(self._paths.writers(), key=lambda writer: (_generation(manifest, writer), writer))

    def _ranges(self, writer: str) -> Iterator[Range]:
        """What is here of a writer."""
        view = partial(journal_of, self._paths, writer, partial(is_living, self._paths, writer))
        return ranges_of(view(), view)

    def _all(self, names: Sequence[str] | None) -> Iterator[tuple[str, Points]]:
        """The points of each metric with their steps, metric after metric. Raises KeyError for an unknown one."""
        writers = self._writers(self._manifest())
        views = (journal_of(self._paths, writer) for writer in writers)
        if sum(view.written() - view.cursor.begin for view in views) <= self._points_at_once:
            yield from self._read(writers, names)
            return
        counts = Counter[str]()
        for writer in writers:
            for records in self._ranges(writer):
                _count(records, counts)
        for group in _groups(counts, counts if names is None else _known(names, counts), self._points_at_once):
            yield from self._read(writers, group)

    def _read(self, writers: Sequence[str], names: Iterable[str] | None) -> Iterator[tuple[str, Points]]:
        """The points of these names, in this order; None: of all, in the order in which they were first logged."""
        found = self._points(writers, None if names is None else frozenset(names))
        self._manifest()  # what was delivered while it was read may be missing
        for name in list(found) if names is None else _known(names, found):
            yield name, found.pop(name)

    def _points(self, writers: Sequence[str], wanted: Collection[str] | None) -> dict[str, Points]:
        parts: dict[str, list[list[Points]]] = {}
        for writer in writers:
            of_writer: dict[str, list[Points]] = {}
            for records in self._ranges(writer):
                for name, points in points_by_name(stored_part(records), 0, wanted).items():
                    of_writer.setdefault(name, []).append(points)
            for name, each in of_writer.items():
                parts.setdefault(name, []).append(each)
        firsts = {name: min(each[0].times[0] for each in of_name) for name, of_name in parts.items()}
        order = list(parts) if len(writers) == 1 else sorted(parts, key=firsts.__getitem__)
        return {name: _numbered(interleave([concatenate(each) for each in parts.pop(name)])) for name in order}


class _About:
    """What the records of all writers say about the run, and when the last point was logged."""

    def __init__(self) -> None:
        self._fields: list[tuple[str, Order, str | None]] = []
        self._config: list[tuple[str, Order, str | None]] = []
        self.first_ns: int | None = None  # of all records
        self.last_point_ns: int | None = None

    def read(self, generation: int, writer: str, ranges: Iterator[Range]) -> None:
        """The records of one writer."""
        said = []
        for records in ranges:
            said += about_the_run(records)
            first_ns, last_ns = _first_time(records), _last_time(records)
            if first_ns is not None:
                self.first_ns = min(first_ns, first_ns if self.first_ns is None else self.first_ns)
            if last_ns is not None:
                self.last_point_ns = max(last_ns, last_ns if self.last_point_ns is None else self.last_point_ns)
        changes = changes_of(said)
        for into, changed in ((self._fields, changes.fields), (self._config, changes.config)):
            into += [(key, each.order(generation, writer, TIME_MIN_NS), each.value) for key, each in changed.items()]

    def fields(self) -> dict[str, Any]:
        """The values of ``run_fields.FIELDS`` that were set."""
        return {
            field: msgspec.json.decode(value) if field in JSON_FIELDS and value is not None else value
            for field, (_, value) in merge({}, self._fields).items()
        }

    def config(self) -> dict[str, Any]:
        """The config, sorted by key."""
        merged = merge({}, self._config)
        return {key: msgspec.json.decode(merged[key][1] or "") for key in sorted(merged) if merged[key][1] is not None}


def _document(manifest: Manifest, found: _About, decided: tuple[str, int]) -> dict[str, Any]:
    plan, (status, ended_ns), fields = manifest.plan, decided, found.fields()
    created = date_of(_first_began(manifest) or found.first_ns or 0)
    started = fields.get("started") or created
    last_point = None if found.last_point_ns is None else date_of(found.last_point_ns)
    ended = fields.get("ended") if ended_ns == 0 else date_of(ended_ns)
    if status == "CRASHED":
        ended = ended or last_point or started
    project = manifest.project if plan is None else plan.project_name
    return {
        "uuid": manifest.local_id,
        "id": manifest.key or None,
        "name": fields.get("name") or manifest.name or (plan.name if plan is not None else None) or "",
        "description": fields.get("description", plan.description if plan is not None else None),
        "status": status,
        "date_created": created,
        "date_updated": ended or last_point or created,
        "project": {"uuid": "", "display_name": project, "slug": manifest.project},
        "user": {"uuid": "", "username": manifest.account, "slug": slug_of(manifest.account)},
        "generation": max(1, len(manifest.generations)),
        "started": started,
        "ended": ended if status in _OVER else None,
        "seen": None,
        "last_point": last_point,
        "tags": fields.get("tags") or [],
        **{field: fields.get(field) for field in ("group", "job_type", "notes", "provenance", "report")},
        "config": found.config(),
    }


def _first_began(manifest: Manifest) -> int:
    """0: steplog 0.1 has not kept it."""
    return manifest.generations[0].began if manifest.generations else 0


def _began(manifest: Manifest) -> int:
    return manifest.generations[-1].began if manifest.generations else 0


def _first_status(manifest: Manifest) -> str:
    return (manifest.plan.status if manifest.plan is not None else None) or "RUNNING"


def _generation(manifest: Manifest, writer: str) -> int:
    """Which of the run's generations a writer belongs to, the server not having numbered them; the first is 1."""
    found = manifest.generation_of(writer)
    return 1 if found is None else manifest.generations.index(found) + 1


def _first_time(records: Range) -> int | None:
    first = next((at for at, kind in enumerate(slot.kinds_of(records.slots)) if kind != slot.KIND_NONE), None)
    return None if first is None else words_of(records.slots[first * slot.SLOT_BYTES :][: slot.SLOT_BYTES])[2]


def _last_time(records: Range) -> int | None:
    """When the last record was logged that the program itself logged."""
    words = words_of(records.slots)
    own = {number for number, name in records.names.items() if not is_logged(name)}
    for at in range(len(words) // _WORDS - 1, -1, -1):
        key = words[at * _WORDS + 3]
        if key >> 48 and key & 0xFFFF_FFFF not in own:
            return words[at * _WORDS + 2]
    return None


def _known(names: Iterable[str], found: Collection[str]) -> list[str]:
    """The names, each once. Raises KeyError for one that is not there."""
    known = list(dict.fromkeys(names))
    for name in known:
        if name not in found:
            raise KeyError(name)
    return known


def _groups(counts: Mapping[str, int], names: Iterable[str], points_max: int) -> Iterator[list[str]]:
    """The names in groups of so many points, or of one name."""
    group: list[str] = []
    size = 0
    for name in names:
        if group and size + counts[name] > points_max:
            yield group
            group, size = [], 0
        group.append(name)
        size += counts[name]
    if group:
        yield group


def _count(records: Range, counts: Counter[str]) -> None:
    stored = stored_part(records)
    for key, count in Counter(words_of(stored.slots)[3::_WORDS]).items():
        counts[stored.names[key & 0xFFFF_FFFF]] += count


def _numbered(points: Points) -> Points:
    steps, _ = assign(points.steps, 0)
    return Points(points.kinds, points.words, steps, points.times, points.arrivals, points.payloads)


def _totals(name: str, points: Points) -> dict[str, Any]:
    count = len(points.kinds)
    low, high = number_range(points.numbers())
    (last,) = points.part(count - 1, count).values()
    return {
        "name": name,
        "count": count,
        "first_step": points.steps[0],
        "last_step": points.steps[-1],
        "max_step": max(points.steps),
        "last": finite(msgspec.json.decode(last) if isinstance(last, msgspec.Raw) else last),
        "min": None if low is None else finite(+low),
        "max": None if high is None else finite(+high),
        "last_time": date_of(points.times[-1]),
    }


def _selected(points: Points, selection: Selection, skip: int) -> Points:
    low, high = selection.start, selection.end
    if low is not None or high is not None:
        low, high = slot.NO_STEP if low is None else low, slot.STEP_MAX if high is None else high
        points = points.select([low <= step <= high for step in points.steps])
    count = len(points.kinds)
    first = (0 if selection.last is None else max(0, count - selection.last)) + skip
    return points.part(min(first, count), count) if first else points


def _stretches(name: str, points: Points) -> Iterator[SeriesPoints]:
    """At least one."""
    for first in range(0, max(1, len(points.kinds)), _STRETCH_POINTS):
        part = points.part(first, first + _STRETCH_POINTS)
        kind = "f8" if not part.kinds else _KINDS.get(part.kind or 0, "json")
        values: Any = part.floats() if kind == "f8" else part.words
        if kind == "json":
            values = list(map(json_text, part.values()))
        yield SeriesPoints(name, kind, part.steps, part.times, values)
