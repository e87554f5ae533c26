"""Event files and wandb's logs that are imported while their programs write: each record once, all at the end."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from formats import events
from formats.events import event, record, scalar, text, training, version
from formats.test_wandb_log import written
from formats.test_wandb_offline import EXIT, history, item, run_record
from steplog.formats.tfevents import runs as tfevents
from steplog.formats.wandb import runs as wandb_offline
from steplog.testing.memory_server import MemoryServer
from transfer.import_sources import importer_to


def event_file() -> bytes:
    """A loop with an evaluation and a text now and then, and a step's varint that grows."""
    records = [version(), *training(["loss", "lr"], range(100, 150))]
    records += [event(text("note", "hello"), step=150), event(scalar("valid", 0.5), step=150)]
    records += [event(events.histogram("w"), step=150), *training(["loss", "lr"], range(150, 160))]
    return b"".join(map(record, records))


def wandb_log() -> bytes:
    return written([run_record(), *(history(step, item(str(step), "x")) for step in range(60)), EXIT])


@pytest.mark.parametrize(
    ("path", "data", "module", "count"),
    [
        ("runs/a/events.out.tfevents.1795756477.host", event_file(), tfevents, 122),
        ("wandb/offline-run-20261127_051427-abc/run-abc.wandb", wandb_log(), wandb_offline, 60),
    ],
    ids=["tfevents", "wandb"],
)
def test_a_file_that_grows_between_imports_gives_each_record_once(tmp_path: Path, path, data, module, count):
    file, memory, sent = tmp_path / path, MemoryServer(), 0
    file.parent.mkdir(parents=True)
    for cut in (*range(200, len(data), 701), len(data), len(data)):
        file.write_bytes(data[:cut])
        for run in module.runs(tmp_path):
            named = run._replace(info=msgspec.structs.replace(run.info, project="p"))
            sent += importer_to(memory).add(named).sent
    (run,) = memory.runs.values()
    rows = [(row.name, row.step, row.value) for row in run.rows if not row.name.startswith("steplog/")]
    (whole,) = module.runs(tmp_path)
    batches = [batch for stream in whole.streams for batch in stream.read()]
    assert rows == [row for batch in batches for row in zip(batch.names, batch.steps, batch.values, strict=True)]
    assert (sent, len(rows)) == (count, count)
    assert run.status == "COMPLETED"
