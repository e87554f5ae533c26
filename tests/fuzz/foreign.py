"""Files of other loggers: event files of TensorBoard and logs of wandb, with mistakes behind right checksums."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from random import Random

import msgspec

from formats import events
from formats.events import event, histogram, record, scalar, tensor, text, training, version
from formats.slow_reading import rows_of, same, slowly
from formats.test_wandb_log import written
from formats.test_wandb_offline import EXIT, history, item, run_record
from fuzz.mutation import changed
from steplog.formats.tfevents.reader import EventFile, read_head
from steplog.formats.wandb import runs as wandb_offline

__all__ = ["a_wandb_log", "an_event_file", "check_event_file", "check_wandb_log", "mistaken_records"]

_CHUNK_BYTES = 2000


def an_event_file(random: Random) -> bytes:
    """Its records: a loop, and some of other kinds."""
    step = random.choice((0, 100, 16_370))
    others = (
        event(text("note", "hello"), step=3),
        event(histogram("w")),
        event(tensor("a", 1, b"\0\0\0\x3f", "scalars"), step=2),
        event(events.hparams(lr=0.1, opt="adam", amp=True)),
        event(scalar("a", 0.5), scalar("b", 0.0), step=9),
    )
    loop = training(random.choice((["a"], ["a", "b"])), range(step, step + random.randrange(60)))
    place = random.randrange(len(loop) + 1)
    records = [version(), *loop[:place], *random.sample(others, random.randrange(3)), *loop[place:]]
    return msgspec.msgpack.encode(records)


def a_wandb_log(random: Random) -> bytes:
    """Its records."""
    values = ("1", "NaN", '"text"', '{"_type":"histogram","bins":[1]}', "[1]", "1e400")
    rows = [history(step, *(item(random.choice(values), name) for name in "ab")) for step in range(random.randrange(9))]
    nested = history(9, item('"image-file"', "image", "_type"), item("1", "image", "width"), item("2", "deep", "key"))
    config = events.message(5, item("1", "lr"), item("2", "optim", "name"))
    stats = events.message(
        7, events.message(2, events.number(1, 5)), events.message(3, events.message(1, b"gpu.0.gpu"))
    )
    return msgspec.msgpack.encode([run_record(), config, *rows, stats, nested, EXIT])


def mistaken_records(random: Random, data: bytes) -> bytes:
    """Mistakes in some records, whose checksums are made right again; seldom one in the file itself."""
    parts = msgspec.msgpack.decode(data)
    records = [part for part in parts if isinstance(part, bytes)]
    for place, part in enumerate(parts):
        if isinstance(part, bytes) and random.random() < 2 / len(records):
            parts[place] = changed(random, part, random.choice(records))
    return msgspec.msgpack.encode([*parts, random.randrange(1 << 20)] if random.random() < 0.3 else parts)


def _file(data: bytes, kind: str) -> bytes:
    """The file with these records; numbers among them: at which byte it is damaged."""
    parts = msgspec.msgpack.decode(data)
    records = [part for part in parts if isinstance(part, bytes)]
    content = bytearray(written(records) if kind == "wandb" else b"".join(map(record, records)))
    for part in parts:
        if isinstance(part, int) and content:
            content[part % len(content)] ^= 1 + part % 255
    return bytes(content)


def check_event_file(data: bytes) -> None:
    """What is read at once is what the parser says, record by record."""
    content = _file(data, "events")
    expected, end = slowly(content)
    for size in (_CHUNK_BYTES, len(content) + 1):
        chunks = iter([content[begin : begin + size] for begin in range(0, len(content), size)])
        file = EventFile(lambda wanted, chunks=chunks: next(chunks, b""))
        assert same(rows_of(file), expected)
        assert (file.damage is None) == (end == len(content))
    read_head(io.BytesIO(content).read)


def check_wandb_log(data: bytes) -> None:
    """Each run of it is read, and what it says can be said."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "run-a.wandb").write_bytes(_file(data, "wandb"))
        for run in wandb_offline.runs(Path(folder), now=lambda: 0):
            rows = [row for stream in run.streams for batch in stream.read() for row in zip(*batch, strict=True)]
            assert all(isinstance(name, str) and isinstance(time, int) for name, _, time, _ in rows)
            assert all(isinstance(line, str) for line in run.remarks())
            msgspec.json.encode(run.info)
