"""What is fuzzed: a valid sample, mistakes that know its structure, and a check of what is made of it.

A check raises AssertionError, or whatever its code raises beyond what that documents. Checksums are often made right
again after a mistake, so that what lies behind them is reached.
"""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from fuzz.files import check_medium, check_unit, mistaken_medium
from fuzz.foreign import a_wandb_log, an_event_file, check_event_file, check_wandb_log, mistaken_records
from fuzz.listed import a_listing, check_listing
from fuzz.mutation import changed, changed_value
from fuzz.samples import (
    WRITER,
    a_cursor,
    a_file,
    a_ledger,
    a_manifest,
    a_medium,
    a_range,
    a_segment,
    a_text,
    a_unit,
    an_answer,
)
from steplog.delivery import wire
from steplog.errors import FormatError
from steplog.journal import cursor, frame, losses, manifest, segment, slot
from steplog.journal import range as ranges
from steplog.journal.directories import JournalRoots
from steplog.journal.open_journal import open_journal
from steplog.journal.segment import HEADER_BYTES, SegmentView, granules
from steplog.journal.spooling import Disk
from steplog.private_files import make_private
from steplog.records.by_name import points_by_name
from steplog.server.records import batch, chunk, log_row

__all__ = ["TARGETS", "Target"]

_READS_MAX = 20  # a damaged position may be far away, and each read gets nearer


class Target(NamedTuple):
    """Something that reads what others wrote."""

    sample: Callable[[Random], bytes]
    mistaken: Callable[[Random, bytes], bytes]
    check: Callable[[bytes], None]


def _any_bytes(random: Random, data: bytes) -> bytes:
    return changed(random, data, data)


# -- A batch, as a server gets it -------------------------------------------------------------------------------------


def _a_body(random: Random) -> bytes:
    return ranges.encode(a_range(random))


def _mistaken_body(random: Random, data: bytes) -> bytes:
    if random.random() < 0.1:
        return _any_bytes(random, data)
    body = zlib.decompress(data)
    if random.random() < 0.2:
        return zlib.compress(changed(random, body, body), 1)
    fields = msgspec.msgpack.decode(body)
    if random.random() < 0.4:  # a slot, not a plane of bytes across all slots
        fields["slots"] = slot.to_planes(_whole_slots(changed(random, slot.from_planes(fields["slots"]), b"")))
        fields["end"] = fields["first"] + len(fields["slots"]) // slot.SLOT_BYTES
    else:
        fields = changed_value(random, fields)
    with suppress(UnicodeEncodeError, OverflowError, TypeError, RecursionError):
        return zlib.compress(msgspec.msgpack.encode(fields), 1)
    return data


def _whole_slots(slots: bytes) -> bytes:
    return slots[: len(slots) - len(slots) % slot.SLOT_BYTES]


def check_body(data: bytes) -> None:
    """What decodes encodes to the same, and the server stores each record as it is, or refuses the batch.

    But for those that are about the run, which it takes out.
    """
    try:
        records = ranges.decode(data)
    except FormatError:
        return
    assert ranges.decode(ranges.encode(replace(records, deflated=None))) == records
    logged = _logged(records)
    for record in wire.records(records):
        assert record.name in logged
    try:
        checked = batch.from_range(records, data)
    except FormatError:
        return
    assert checked.body == data
    assert _unpacked(checked) == _stored(logged)
    assert checked.records == sum(map(len, _stored(logged).values()))
    assert checked.records + checked.applied == sum(map(len, logged.values()))
    for change in checked.changes.config.values() if checked.changes else ():
        assert change.value is None or msgspec.json.encode(msgspec.Raw(change.value.encode()))
    middle = (records.first + records.end) // 2
    assert _unpacked(checked.above(middle)) == _stored(_logged(records.part(middle, records.end)))


_NOT_STORED = ("steplog/run", "steplog/status", "steplog/files")  # records about the run
_Logged = dict[str, list[tuple[int, object, int, int]]]


def _logged(records: ranges.Range) -> _Logged:
    """Kind, value, step and time of each record by its name, in order, read by the layout."""
    found: _Logged = {}
    texts = (records.payloads[start:end] for _, start, end in records.payload_spans())
    for step, word, time_ns, number, _, kind in struct.iter_unpack("<qqqIHH", records.slots):
        if kind != slot.KIND_NONE:
            value = next(texts) if kind == slot.KIND_JSON else word
            found.setdefault(records.names[number], []).append((kind, value, step, time_ns))
    return found


def _stored(logged: _Logged) -> _Logged:
    return {name: items for name, items in logged.items() if name not in _NOT_STORED}


def _unpacked(checked: batch.Batch) -> _Logged:
    """As ``_logged``, of what the batch's log row gives back."""
    found: _Logged = {}
    arrivals: list[int] = []
    for name, points in points_by_name(log_row.decode_row(checked.body), 7).items():
        items, place = [], 0
        for kind, word, step, time_ns in zip(points.kinds, points.words, points.steps, points.times, strict=True):
            value: object = word
            if kind == slot.KIND_JSON:
                value, place = points.payloads[place : place + word], place + word
            items.append((kind, value, step, time_ns))
        assert place == len(points.payloads)
        assert list(points.arrivals) == sorted(points.arrivals)
        arrivals.extend(points.arrivals)
        found[name] = items
    assert sorted(arrivals) == list(range(7, 7 + checked.records))
    return found


def check_text(data: bytes) -> None:
    """What is accepted as JSON is so for every parser, and is stored as a point with the same value."""
    try:
        batch.check_json(data)
    except FormatError:
        return
    json.loads(data)
    body = batch.SinglePoint("a", data, None, 0).numbered(1).batch.body
    (points,) = points_by_name(log_row.decode_row(body), 0).values()
    (value,) = chunk.decode(chunk.encode(points)).values()
    if isinstance(value, msgspec.Raw):
        assert bytes(value) == data
    elif data not in (b'"NaN"', b'"Infinity"', b'"-Infinity"'):
        assert value == json.loads(data)


# -- A journal, as it is read from memory or disk ---------------------------------------------------------------------


def _mistaken_file(random: Random, data: bytes) -> bytes:
    if random.random() < 0.4:
        return _any_bytes(random, data)
    spans = [(at, at + size) for at, size, *_ in frame.scan_file(data, WRITER).frames]
    start, end = random.choice(spans)
    body = _mistaken_body(random, data[start + 8 : end - 4])
    return data[:start] + frame.encode(body) + data[end:]


def check_file(data: bytes) -> None:
    """Frames do not overlap, each reads as the scan says, and what reads encodes to the same."""
    found = frame.scan_file(data, WRITER)
    place = 0
    for start, size, first, end, *bits in found.frames:
        assert place <= start
        place = start + size
        records = frame.decode(data[start:place])
        assert (records.writer, records.first, records.end) == (WRITER, first, end)
        assert [records.empty, records.uncounted] == bits
        assert frame.encode(ranges.encode(records)) == data[start:place]
    assert place <= len(data)
    assert found.damage or found.torn or place == len(data)


def _mistaken_segment(random: Random, data: bytes) -> bytes:
    mistaken = bytearray(_any_bytes(random, data))
    if random.random() < 0.5 and len(mistaken) >= HEADER_BYTES:
        mistaken[40:44] = zlib.crc32(mistaken[:40]).to_bytes(4, "little")
        region = int.from_bytes(mistaken[12:16], "little")
        place = HEADER_BYTES
        while place + 12 <= min(len(mistaken), HEADER_BYTES + region):
            length = int.from_bytes(mistaken[place + 4 : place + 8], "little")
            text = mistaken[place + 12 : place + 12 + length]
            check = zlib.crc32(text, zlib.crc32(mistaken[place : place + 8]))
            mistaken[place + 8 : place + 12] = check.to_bytes(4, "little")
            place += granules(len(text)) * 16
    return bytes(mistaken)


def check_segment(data: bytes) -> None:
    """What is read makes a range that the server takes."""
    memory = bytearray(data)
    try:
        header = segment.read_header(memory)
    except FormatError:
        return
    if header is None:
        return
    view = SegmentView(memory, header)
    end = min(view.written(), header.capacity)
    assert view.readable(0, header.capacity) <= end
    view.holes(end)
    found = view.read(0, end)
    assert found.unreadable <= end
    first = min(header.base, 2**63 - 1 - end)
    part = ranges.Range(WRITER, first, first + end, found.names, found.slots, b"".join(found.payloads))
    assert ranges.decode(ranges.encode(part)) == part


def _rechecked(random: Random, data: bytes, copy: int, start: int) -> bytes:
    """Mistaken, with the checksum of each copy made right; it covers what is behind ``start``, up to ``copy``."""
    mistaken = bytearray(_any_bytes(random, data))
    if random.random() < 0.7 and len(mistaken) >= copy:
        for place in range(0, len(mistaken) - copy + 1, copy):
            check = zlib.crc32(mistaken[place + start : place + copy])
            mistaken[place + start - 4 : place + start] = check.to_bytes(4, "little")
    return bytes(mistaken)


def _mistaken_cursor(random: Random, data: bytes) -> bytes:
    return _rechecked(random, data, (cursor.CURSOR_BYTES - 8) // 2, 8)


def check_cursor(data: bytes) -> None:
    """What is read is stored and read again as it was."""
    memory = bytearray(data)
    found = cursor.load(memory)
    cursor.dropped(memory)
    newest = cursor.newest(data)
    if newest is not None and newest[0] < 2**64 - 1:
        copy = bytearray(cursor.CURSOR_BYTES)
        cursor.store(copy, found)
        assert cursor.load(copy) == found


def _mistaken_ledger(random: Random, data: bytes) -> bytes:
    mistaken = bytearray(_any_bytes(random, data))
    for place in (0, losses.LOSSES_BYTES // 2):
        if random.random() < 0.7 and len(mistaken) >= place + 20:
            text = bytes(
                mistaken[place + 20 : place + 20 + int.from_bytes(mistaken[place + 16 : place + 20], "little")]
            )
            with suppress(Exception):
                text = msgspec.msgpack.encode(changed_value(random, msgspec.msgpack.decode(text)))
            rest = bytes(mistaken[place + 8 : place + 16]) + len(text).to_bytes(4, "little") + text
            whole = bytes(mistaken[place : place + 4]) + zlib.crc32(rest).to_bytes(4, "little") + rest
            mistaken[place : place + len(whole)] = whole
    return bytes(mistaken[: losses.LOSSES_BYTES])


def check_ledger(data: bytes) -> None:
    """What is read is stored and read again as it was; what cannot be read is an unknown loss."""
    losses.decode(data)
    memory = bytearray(data.ljust(losses.LOSSES_BYTES, b"\0")[: losses.LOSSES_BYTES])
    sequence, found = losses.decode(bytes(memory))
    if sequence < 2**64 - 1:
        losses.LossLedger(memory).store()
        assert losses.decode(bytes(memory)) == (sequence + 1, found)


def _mistaken_json(random: Random, data: bytes) -> bytes:
    if random.random() < 0.4:
        return _any_bytes(random, data)
    with suppress(ValueError, UnicodeEncodeError, TypeError, RecursionError):
        return json.dumps(changed_value(random, json.loads(data))).encode("utf-8", "surrogatepass")
    return data


class _Directory:
    """A directory of this user, made when it is first needed, and removed with the process."""

    def __init__(self) -> None:
        self._made: tempfile.TemporaryDirectory[str] | None = None

    def fresh(self) -> Path:
        """It, with nothing in it."""
        if self._made is None:
            self._made = tempfile.TemporaryDirectory()
        path = Path(self._made.name) / "root"
        shutil.rmtree(path, ignore_errors=True)
        make_private(path)
        return path


_directory = _Directory()


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


def check_manifest(data: bytes) -> None:
    """What is read is stored and read again as it was."""
    directory = _directory.fresh()
    _put(directory / "manifest", data)
    with suppress(FormatError):
        found = manifest.load(directory)
        assert found is not None
        manifest.store(directory, found)
        assert manifest.load(directory) == found


def check_answer(data: bytes) -> None:
    """Whatever a server says is understood or not, and nothing else is an acknowledgement."""
    told = wire.read(data, Any)
    acknowledged = wire.acknowledges(data, WRITER, 0, 9)
    assert not acknowledged or (told["writer"], told["first"], told["end"]) == (WRITER, 0, 9)
    assert isinstance(wire.username(data), str | None)
    assert isinstance(wire.status_of(data, "r"), str | None)
    assert wire.takes_ranges(data, "r") in (True, False, None)
    assert all(isinstance(name, str) for name in wire.features_of(data, "r"))
    assert wire.lists(data, "r") in (True, False, None)


_PARTS: dict[str, Callable[[Random], bytes]] = {
    "memory/0.segment": lambda random: a_segment(random, 0),
    "memory/1.segment": lambda random: a_segment(random, 5),
    "memory/marks": a_cursor,
    "memory/losses": a_ledger,
    "memory/alive": lambda random: b"",
    "spool/0-0.spool": a_file,
    "spool/7-1.spool": a_file,
    "spool/marks": lambda random: a_cursor(random)[: (cursor.CURSOR_BYTES - 8) // 2],
    "spool/losses": lambda random: a_ledger(random)[: losses.LOSSES_BYTES // 2],
}
_MISTAKEN_PARTS = {".segment": _mistaken_segment, ".spool": _mistaken_file}


def _a_journal(random: Random) -> bytes:
    return msgspec.msgpack.encode({name: make(random) for name, make in _PARTS.items() if random.random() < 0.7})


def _mistaken_journal(random: Random, data: bytes) -> bytes:
    parts = msgspec.msgpack.decode(data)
    for name in parts:
        if random.random() < 0.5:
            with suppress(IndexError, zlib.error, msgspec.MsgspecError):
                parts[name] = _MISTAKEN_PARTS.get(Path(name).suffix, _any_bytes)(random, parts[name])
    return msgspec.msgpack.encode(parts)


def check_journal(data: bytes) -> None:
    """Whoever finds what a dead writer left gets on with each read, each range one that the server takes."""
    root = _directory.fresh()
    roots = JournalRoots(root / "memory", root / "spool", "0" * 16)
    make_private(root / "memory")
    paths, lock = roots.claim("a" * 32)
    assert paths.memory is not None
    for name, content in msgspec.msgpack.decode(data).items():
        place, _, file = name.partition("/")
        directory = (paths.spool if place == "spool" else paths.memory) / WRITER
        make_private(directory)
        _put(directory / file, content)
    opened = open_journal(paths, WRITER, Disk(1 << 30))
    try:
        for _ in range(_READS_MAX):
            if opened is None:
                return
            journal = opened.journal
            first = journal.cursor.delivered
            end = journal.readable(first, 500)
            if end <= first:
                return
            with suppress(BlockingIOError):
                records = journal.read(first, end)
                assert records.first == first < records.end <= end
                assert ranges.decode(ranges.encode(replace(records, deflated=None))) == records
                journal.ack(records.end, records.records)
    finally:
        if opened is not None:
            opened.release()
            opened.spooling.spool._close()
        if lock is not None:
            lock.release()


TARGETS = {
    "batch": Target(_a_body, _mistaken_body, check_body),
    "json": Target(a_text, _mistaken_json, check_text),
    "frames": Target(a_file, _mistaken_file, check_file),
    "segment": Target(a_segment, _mistaken_segment, check_segment),
    "cursor": Target(a_cursor, _mistaken_cursor, check_cursor),
    "losses": Target(a_ledger, _mistaken_ledger, check_ledger),
    "manifest": Target(a_manifest, _mistaken_json, check_manifest),
    "answer": Target(an_answer, _mistaken_json, check_answer),
    "journal": Target(_a_journal, _mistaken_journal, check_journal),
    "events": Target(an_event_file, mistaken_records, check_event_file),
    "listing": Target(a_listing, _mistaken_json, check_listing),
    "media": Target(a_medium, mistaken_medium, check_medium),
    "unit": Target(a_unit, _mistaken_json, partial(check_unit, fresh=_directory.fresh)),
    "wandb": Target(a_wandb_log, mistaken_records, check_wandb_log),
}
