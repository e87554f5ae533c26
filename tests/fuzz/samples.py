"""Valid input to begin with, made by a seeded ``random.Random``."""

from __future__ import annotations

import json
import struct
from random import Random
from typing import Any

import msgspec

from fuzz.mutation import NUMBERS
from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.blobs.file_place import Unit
from steplog.blobs.raw_media import RawMedia, head_of
from steplog.journal import cursor, frame, losses, segment, slot
from steplog.journal import range as ranges
from steplog.journal.manifest import Manifest, Plan
from steplog.journal.segment import HEADER_BYTES, PAYLOAD, Header
from strategies import Logged, range_of, slot_of

__all__ = [
    "WRITER",
    "a_cursor",
    "a_file",
    "a_ledger",
    "a_manifest",
    "a_medium",
    "a_range",
    "a_segment",
    "a_text",
    "a_unit",
    "an_answer",
]

WRITER = "w"
_NAMES = ["loss", "accuracy", "steplog/config", "é" * 100, "x", "steplog/run", "steplog/config/removed"]
_TEXTS = [
    "null",
    '"a text"',
    '[1, 2.5, -0, 1e400, 1E-400, ""]',
    '{"a": {"b": [true, false, "\\u00e9\\ud83d\\ude00 \\\\ \\""]}}',
    '"NaN"',
    "-12345678901234567890",
    '{"name": "n", "tags": ["a", "a"], "started": "2026-01-02T03:04:05Z", "notes": 1, "provenance": {}}',
    '["a", "b", 1]',
    "[" * 30 + "]" * 30,
]


def a_text(random: Random) -> bytes:
    """A JSON text."""
    return random.choice([*_TEXTS, json.dumps(random.random()), json.dumps(random.choice(NUMBERS))]).encode()


def _record(random: Random) -> Logged:
    kind = random.choice((slot.KIND_NONE, slot.KIND_FLOAT, slot.KIND_INT, slot.KIND_BOOL, slot.KIND_JSON))
    values: dict[int, Any] = {
        slot.KIND_FLOAT: random.choice((random.random(), *struct.unpack("<d", random.randbytes(8)))),
        slot.KIND_INT: max(-(2**63), min(random.choice(NUMBERS), 2**63 - 1)),
        slot.KIND_BOOL: random.random() < 0.5,
        slot.KIND_JSON: a_text(random),
    }
    step = None if random.random() < 0.1 else random.randrange(-3, 1000)
    return Logged(kind, values.get(kind), step, random.randrange(2**62), random.choice(_NAMES))


def _records(random: Random) -> list[Logged]:
    """Any; or the same names each step, as a training loop has them; or many names with a record each."""
    shape = random.randrange(10)
    if shape < 6:
        return [_record(random) for _ in range(random.randrange(20))]
    steps = range(random.randrange(30))
    if shape < 9:
        names = _NAMES[: random.randrange(1, 5)]
        return [Logged(slot.KIND_FLOAT, step / 3, step, step, name) for step in steps for name in names]
    return [Logged(slot.KIND_INT, number, 1, 2, f"name {number}") for number in range(random.randrange(250, 270))]


def a_range(random: Random) -> ranges.Range:
    """A range of a few records."""
    return range_of(WRITER, random.choice((0, 7, 2**40, 2**63 - 300)), _records(random), random.choice((0, 1, 2**31)))


def a_file(random: Random) -> bytes:
    """A spool file of a few frames."""
    return b"".join(frame.encode(ranges.encode(a_range(random))) for _ in range(random.randrange(1, 4)))


def a_segment(random: Random, base: int | None = None) -> bytes:
    """A segment with names, payloads and slots, and room left."""
    numbers = {name: number for number, name in enumerate(_NAMES, 1)}
    region = bytearray()
    for name, number in numbers.items():
        region += segment.entry(number, name.encode())
    slots = bytearray()
    for record in (_record(random) for _ in range(random.randrange(12))):
        if record.kind == slot.KIND_NONE:
            slots += slot.TOMBSTONE
            continue
        slots += slot_of(record, numbers[record.name], len(region))
        if isinstance(record.value, bytes):
            region += segment.entry(PAYLOAD, record.value)
    region += bytes(16 * random.randrange(8))
    slots += bytes(32 * random.randrange(4))
    base = random.choice((0, 100, 2**62)) if base is None else base
    memory = bytearray(HEADER_BYTES)
    segment.write_header(memory, Header(b"w" * 16, base, len(slots) // 32, len(region)))
    return bytes(memory + region + slots)


def a_cursor(random: Random) -> bytes:
    """A cursor that was stored a few times."""
    memory = bytearray(cursor.CURSOR_BYTES)
    for _ in range(random.randrange(4)):
        delivered = random.randrange(2**40)
        bits = random.randrange(2**cursor.WINDOW)
        found = cursor.Cursor(delivered, delivered + 9, records=7, sent=bits, settled=bits >> 1, begin=delivered // 2)
        cursor.store(memory, found)
    return bytes(memory)


def a_ledger(random: Random) -> bytes:
    """A ledger of loss that was stored a few times."""
    memory = bytearray(losses.LOSSES_BYTES)
    ledger = losses.LossLedger(memory)
    for number in range(random.randrange(4)):
        ledger.store(dropped={"memory full": number, "no place": random.randrange(99)}, closed=random.choice((None, 9)))
        ledger.announce(number, number + 50)
    return bytes(memory)


def a_manifest(random: Random) -> bytes:
    """A run's manifest."""
    plan = Plan(local_id="0" * 32, namespace="", project="p", project_name="P", name=None)
    manifest = Manifest(
        local_id="0" * 32,
        base_url="https://runs.example",
        account="a",
        namespace="n",
        project="p",
        run="r",
        plan=random.choice((None, plan)),
    )
    return msgspec.json.encode(manifest)


def an_answer(random: Random) -> bytes:
    """What a server answers."""
    run = {"uuid": "r", "status": "RUNNING", "batch": 1, "features": ["report"]}
    acknowledgement = {"writer": WRITER, "first": 0, "end": 9, "accepted": 9, "duplicates": 0}
    return json.dumps(random.choice([run, [run, run], acknowledgement, {"username": "me"}])).encode()


def a_medium(random: Random) -> bytes:
    """A value in memory that is to be a file."""
    encodings: list[dict[str, Any]] = [
        {},
        {"format": "png", "width": 2, "height": 3, "channels": 1, "depth": 8},
        {"format": "apng", "width": 1, "height": 1, "channels": 3, "depth": 8, "frames": 2, "delay": [1, 4]},
        {"format": "wav", "sample_rate": 8000, "channels": 1},
    ]
    content = random.randbytes(6)
    raw = RawMedia(
        id=random.randbytes(16).hex(),
        type="image/png",
        suffix=".png",
        size=len(content),
        time=random.randrange(2**62),
        encoding=random.choice(encodings),
    )
    return head_of(raw) + content


def a_unit(random: Random) -> bytes:
    """What is known of files that were taken together."""
    artifact = ArtifactEntry(id="a" * 32, name="m", type="model", aliases=("best",), metadata={"x": [1, None]})
    files = [
        FileEntry(
            id=f"{n:032x}", sha256=f"{n:064x}", size=n, path=f"a/{n}", suffix=".bin", time=random.randrange(2**62)
        )
        for n in range(random.randrange(4))
    ]
    return msgspec.json.encode(
        Unit(id="a" * 32, files=tuple(files), artifact=random.choice((None, artifact)), boot="b", synced=True)
    )
