"""Runs from files, to a server, each record once however often a run is imported.

1. A run is found by its id. One with this id that was not imported from a source of this ``origin`` is there already,
   and gets nothing.
2. A stream, or each metric of it, is a writer, a record's place in it its position: the server's mark says how far it
   has come. So a second import goes on where the first was stopped, or where the source has grown.
3. What a file says of the run is said once (``run_records``); files come after the records (``file_import``), and the
   status last.
4. Of an anonymous source the id is a guess, so what the server has is compared with what the source begins with: if it
   is another's, the id gets a number.

A thread encodes and sends a batch, while the next ones are read. Nothing is kept on this machine.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from steplog.client import TellurioClient
from steplog.delivery import wire
from steplog.delivery.tickets import RunAddress
from steplog.delivery.verdicts import Verdict
from steplog.errors import ConfigurationError, RunNotFoundError, SteplogError
from steplog.formats.imported import BATCH_RECORDS, ImportedRun, RecordBatch, Stream
from steplog.formats.run_info import RunInfo
from steplog.reading.source import SeriesRow
from steplog.records.dates import date_of
from steplog.transfer.exchanges import Exchanges, RefusedError
from steplog.transfer.file_import import FileImport, FilesSent
from steplog.transfer.lanes import Lane, Lanes
from steplog.transfer.places import Place, Places
from steplog.transfer.prefix import Prefix
from steplog.transfer.run_records import Change, changes_of, fitting, ranges_of, writer_of
from steplog.transfer.sending import BehindError, Ranges, Sending

__all__ = ["MAKER", "Importer", "Outcome"]

MAKER = "steplog-import"  # the beginning of who makes a run; its origin follows
_NEEDED = frozenset((wire.RESUME_FEATURE, wire.RUN_FEATURE, wire.GENERATIONS_FEATURE))
_CREATED = 201
_ALIKE_MAX = 1000  # anonymous sources that begin alike
_SAYINGS_MAX = 1000  # of a value of a field, to which the source comes back
_REWINDS_MAX = 5  # of a stream, to what a server has forgotten


@dataclass
class Outcome:
    """What became of a run.

    Attributes:
        info: as the source has it.
        name: as the server has it.
        sent, there: records stored now, and before.
        left_out: how many of the source's are not stored, by reason.
        files: what became of its files; None: the server keeps none, and there were some.
        cut: what of the run's fields the server does not take, in words.
        is_other: the run of this id is not of this source, and nothing was sent; ``made_by``: who has made it.
    """

    info: RunInfo
    place: Place
    uuid: str
    name: str
    sent: int = 0
    there: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    files: FilesSent | None = field(default_factory=FilesSent)
    cut: list[str] = field(default_factory=list)
    is_other: bool = False
    made_by: str = ""


@dataclass
class _Known:
    """The records of a stream that the server has come past before; it has not got those that are left out."""

    count: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


class _Made(msgspec.Struct):
    uuid: str
    name: str
    features: Any = None
    made_by: Any = None
    generation: Any = None


class _How(NamedTuple):
    """See ``Importer``; ``keeps_name``: what the server has, since the source's is a guess by where it is now."""

    now_ns: Callable[[], int]
    progress: Callable[[int], object]
    batch_records: int
    keeps_name: bool = False


class _OtherSourceError(Exception):
    """The run of this id has another source's records."""


class Importer:
    """Imports runs to the server of ``client``; ``project`` is "PROJECT" or "NAMESPACE/PROJECT".

    ``now_ns`` dates what is said of a run; ``progress`` is called with how many more records were read, ``waiting``
    with why the server is waited for; ``batch_records`` go in a request, at least.
    """

    def __init__(
        self,
        client: TellurioClient,
        project: str | None = None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], None] | None = None,
        progress: Callable[[int], object] = lambda records: None,
        waiting: Callable[[str], object] = lambda reason: None,
        batch_records: int = BATCH_RECORDS,
    ) -> None:
        self._exchanges = Exchanges(client, sleep, waiting)
        self._places = Places(client, self._exchanges, project)
        self._how = _How(now_ns, progress, batch_records)

    def check(self) -> None:
        """Ask the server, once, whether it takes imports. Raises ConfigurationError, and as ``Exchanges.send``."""
        with self._exchanges.at_once():
            self._places.check()

    def add(self, imported: ImportedRun, name: str | None = None) -> Outcome:
        """Import a run; ``name``: what it is to be called, whatever its source says.

        Raises as ``Exchanges.send``, what reading raises, and RunNotFoundError if somebody deletes it meanwhile.
        """
        given = imported.info if name is None else msgspec.structs.replace(imported.info, name=name)
        info, cut = fitting(given)
        place = self._places.of(info.project)
        for number in range(1, _ALIKE_MAX + 1):
            numbered = info if number == 1 else msgspec.structs.replace(info, id=f"{info.id}-{number}")
            how = self._how._replace(keeps_name=imported.is_anonymous and name is None)
            run = _Run(self._exchanges, place, imported._replace(info=numbered), how)
            try:
                outcome = run.add()
            except _OtherSourceError:
                continue
            outcome.cut = cut
            return outcome
        raise SteplogError(f"{_ALIKE_MAX} files begin as {info.name!r} does")


class _Run:
    def __init__(
        self,
        exchanges: Exchanges,
        place: Place,
        imported: ImportedRun,
        how: _How,
    ) -> None:
        self._exchanges = exchanges
        self._info = imported.info
        self._streams = imported.streams
        self._files = imported.files
        self._anonymous = imported.is_anonymous
        self._maker = f"{MAKER}-{imported.origin}" if imported.origin else MAKER
        self._is_new = False  # just made
        self._place = place
        self._how = how
        self._read = 0
        self._latest_ns: int | None = None

    def add(self) -> Outcome:
        began, opened = self._opened()
        created = self._create(began)
        made = msgspec.convert(created, _Made)
        outcome = Outcome(self._info, self._place, made.uuid, made.name)
        if made.made_by != self._maker:
            outcome.made_by = str(made.made_by or "")
            outcome.is_other = True
            return outcome
        self._path = wire.api_path(*self._place_of(made.uuid))
        self._ranges = Ranges(self._exchanges, wire.api_path(*self._place_of(made.uuid), "metrics", "batch"))
        try:
            if self._anonymous and not self._is_new:
                self._compare()
            self._say(created, outcome)
            for stream in self._streams:
                self._send(stream, opened.pop(stream.key, None), outcome)
            outcome.files = self._send_files(made)
            self._end(created, made)
        except BehindError:  # while something was said of the run
            raise self._forgets() from None
        except RefusedError as error:
            if error.judgement.verdict is not Verdict.MISSING:
                raise
            where = f"{self._place}/{made.name} while it was imported"
            raise RunNotFoundError(f"somebody has deleted {where}. Import it again to make it anew") from None
        outcome.left_out = self._ranges.left_out
        outcome.sent = self._ranges.accepted
        outcome.there += self._ranges.duplicates
        return outcome

    def _send_files(self, made: _Made) -> FilesSent | None:
        files = self._files()
        if wire.FILES_FEATURE not in wire.features_in(made.features):
            return FilesSent() if next(files, None) is None else None
        address = RunAddress(self._place.namespace, self._place.project, made.uuid)
        sending = FileImport(self._exchanges, address)
        sending.send(files)
        return sending.done

    def _place_of(self, uuid: str) -> tuple[str, ...]:
        return (self._place.namespace, "projects", self._place.project, "runs", uuid)

    def _opened(self) -> tuple[str | None, dict[str, Iterator[RecordBatch]]]:
        """When the run started, and what was begun to be read to know that."""
        if self._info.started or not self._streams:
            return self._info.started, {}
        stream = self._streams[0]
        batches = stream.read()
        first = next((batch for batch in batches if batch.names), None)
        if first is None:
            return None, {stream.key: batches}
        return _date(min(first.times)), {stream.key: chain((first,), batches)}

    def _create(self, began: str | None) -> dict[str, Any]:
        wanted = {"name": self._info.name, "status": "RUNNING", "began": began}
        headers = {
            "Idempotency-Key": f'"id:{self._info.id}"',
            "Steplog-Resume": "allow",
            "Steplog-Maker": self._maker,
        }
        path = wire.api_path(self._place.namespace, "projects", self._place.project, "runs")
        body = {key: value for key, value in wanted.items() if value is not None}
        created, status = self._exchanges.ask_status("POST", path, dict[str, Any], body, headers)
        self._is_new = status == _CREATED
        if not wire.features_in(created.get("features")) >= _NEEDED:
            raise ConfigurationError(f"{self._exchanges.base_url} is a server of an older steplog. Update it first")
        return created

    def _say(self, present: dict[str, Any], outcome: Outcome) -> None:
        info = msgspec.structs.replace(self._info, name="") if self._how.keeps_name else self._info
        for change in changes_of(info, present):
            for number in range(_SAYINGS_MAX):
                writer = writer_of(info.id, change.field, change.value, number)
                is_new, name = self._ranges.say(writer, ranges_of(change, writer, self._how.now_ns()))
                outcome.name = name or outcome.name
                if is_new or not (number or self._was_said(change)):
                    break

    def _was_said(self, change: Change) -> bool:
        """Whether what the server has comes from the source, which has had another value before and after it."""
        if not change.before or change.before == change.value:
            return False
        return self._ranges.mark(writer_of(self._info.id, change.field, change.before, 0)) > 0

    def _send(self, stream: Stream, opened: Iterator[RecordBatch] | None, outcome: Outcome) -> None:
        for _ in range(_REWINDS_MAX):
            try:
                self._send_all(stream, opened or stream.read(), outcome)
            except BehindError:  # the server was set back to a backup, say
                self._is_new, opened = False, None
            else:
                return
        raise self._forgets()

    def _forgets(self) -> SteplogError:
        return SteplogError(f"{self._exchanges.base_url} forgets what it has stored. Type: steplog doctor")

    def _send_all(self, stream: Stream, batches: Iterator[RecordBatch], outcome: Outcome) -> None:
        lanes, known = Lanes(self._info.id, stream, self._mark_of, self._how.batch_records), _Known()
        with Sending(self._exchanges, self._ranges) as sending:
            for batch in batches:
                if self._info.ended is None and batch.names:
                    latest = max(batch.times)
                    self._latest_ns = latest if self._latest_ns is None else max(self._latest_ns, latest)
                for lane in lanes.add(batch):
                    self._put(sending, lane, known)
                self._how.progress(len(batch.names))
            for lane in lanes.rest():
                self._put(sending, lane, known)
        outcome.there += known.count - known.left_out.total()
        self._ranges.left_out.update(known.left_out)

    def _put(self, sending: Sending, lane: Lane, so_far: _Known) -> None:
        """Send what waits there, and is new; count what the server has come past."""
        first = lane.position
        batch = lane.take()
        known = min(max(lane.mark - first, 0), len(batch.names))
        if known:
            so_far.count += known
            so_far.left_out.update(lane.encoder.left_out(batch.part(0, known)))
        if known < len(batch.names):
            new = batch.part(known) if known else batch
            sending.put(lane.encoder.writer, partial(lane.encoder.encode, first + known, new))

    def _mark_of(self, writer: str) -> int:
        return 0 if self._is_new else self._ranges.mark(writer)

    def _compare(self) -> None:
        """Raise _OtherSourceError if the run has records, and the source begins with others."""
        rows = self._exchanges.ask("GET", f"{self._path}series/", list[SeriesRow])
        prefix = Prefix(rows)
        for stream in self._streams:
            lanes = Lanes(self._info.id, stream, self._mark_of, self._how.batch_records)
            for batch in stream.read():
                for lane in lanes.add(batch):
                    prefix.add(_known(lane))
            for lane in lanes.rest():
                prefix.add(_known(lane))
        if not prefix.is_there():
            raise _OtherSourceError

    def _end(self, present: dict[str, Any], made: _Made) -> None:
        status, ended = self._info.status, self._info.ended
        if made.generation != 1:  # another program goes on with the run
            return
        wanted: dict[str, Any] = {"status": status}
        if status != "RUNNING":
            ended = ended or (None if self._latest_ns is None else _date(self._latest_ns))
            wanted |= {"ended": ended} if ended else {}
        if all(present.get(key) == value for key, value in wanted.items()):
            return
        self._exchanges.ask("PATCH", self._path, dict[str, Any], wanted | {"generation": made.generation})


def _known(lane: Lane) -> RecordBatch:
    """Of what waits in a lane the part that the server has, as it was sent."""
    first = lane.position
    return lane.encoder.kept(lane.take().part(0, max(lane.mark - first, 0)))


def _date(time_ns: int) -> str:
    return date_of(min(max(time_ns, -(2**63)), 2**63 - 1))
