"""``steplog.compat.tensorboard_sync`` of TensorFlow: its event files, read as its writers flush them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import steplog
from apart import apart
from compat.offline import Offline
from steplog.compat import tensorboard_sync
from steplog.compat.tensorboard.tensorflow_files import EventFileTail
from steplog.compat.unsupported import unsupported
from steplog.formats.protobuf import bytes_field, varint_field
from steplog.formats.tfevents.encoding import float_events, framed, version_event

TENSORFLOW = '''
"""Writers that are made as TensorFlow's, and given the records to write."""
import os
from contextlib import contextmanager
from types import SimpleNamespace

class Writer:
    def __init__(self, path):
        self.path, self.waiting = path, b""
    def write(self, data):
        self.waiting += data
    def flush(self):
        with open(self.path, "ab") as file:
            file.write(self.waiting)
        self.waiting = b""
    def close(self):
        self.flush()
    @contextmanager
    def as_default(self):
        yield self
        self.flush()

made = []

def create_file_writer(logdir, max_queue=None):
    if logdir is None or logdir == "in/a/graph":
        return SimpleNamespace()
    os.makedirs(logdir, exist_ok=True)
    made.append(logdir)
    path = os.path.join(logdir, f"events.out.tfevents.{len(made)}.v2")
    open(path, "w").close()
    return Writer(path)

summary = SimpleNamespace(create_file_writer=create_file_writer)
'''


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    return Offline(tmp_path, monkeypatch)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "tensorflow.py").write_text(TENSORFLOW)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)


def tensorflow() -> Any:
    return importlib.import_module("tensorflow")


def scalars(tag: str, *values: float, start: int = 0) -> bytes:
    steps = list(range(start, start + len(values)))
    return framed([version_event(1.0), *float_events(tag, steps, [1.0] * len(values), values)])


def test_a_tail_gives_whole_records_once_and_leaves_a_cut_one(tmp_path: Path):
    path, records = tmp_path / "events", [b"first", b"", b"x" * 300]
    data = framed(records)
    tail = EventFileTail(str(path))
    seen: list[list[bytes]] = []
    for size in (5, 20, 21, 37, 60, len(data) - 1, len(data)):
        path.write_bytes(data[:size])
        seen.append(tail.records())
    assert [record for found in seen for record in found] == records
    assert [len(found) for found in seen] == [0, 0, 1, 1, 0, 0, 1]


@pytest.mark.parametrize("imported", ["before", "after"])
@apart
def test_what_is_flushed_is_logged(offline: Offline, stand_in: None, imported: str):
    module = tensorflow() if imported == "before" else None
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        writer = (module or tensorflow()).summary.create_file_writer("logs/a")
        with writer.as_default():
            writer.write(scalars("loss", 0.5, 0.25))
        assert offline.points("joined", "loss") == [(0, 0.5), (1, 0.25)]
        writer.write(scalars("loss", 0.125, start=2))
        writer.close()
    assert offline.points("joined", "loss") == [(0, 0.5), (1, 0.25), (2, 0.125)]


def histogram(tag: str, *rows: tuple[float, float, float]) -> bytes:
    """An event of a histogram as TensorFlow 2 writes it."""
    content = b"".join(struct.pack("<3d", *row) for row in rows)
    metadata = bytes_field(1, bytes_field(1, b"histograms"))
    value = bytes_field(1, tag.encode()) + bytes_field(8, varint_field(1, 2) + bytes_field(4, content))
    return framed([varint_field(2, 7) + bytes_field(5, bytes_field(1, value + bytes_field(9, metadata)))])


@apart
def test_a_histogram_is_a_json_value_as_of_other_writers(offline: Offline, stand_in: None):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        writer = tensorflow().summary.create_file_writer("logs/a")
        writer.write(histogram("weights", (0.0, 1.0, 0.0), (1.0, 2.0, 3.0), (2.0, 4.0, 1.0)))
        writer.close()
    made = {"_type": "histogram", "values": [3, 1], "bins": [1, 2, 4]}
    assert offline.points("joined", "weights") == [(7, made)]
    assert unsupported.counts() == {}


@apart
def test_what_is_not_flushed_is_logged_by_flush_stop_and_another_start(offline: Offline, stand_in: None):
    run = steplog.init(project="mnist", name="first", activate=False)
    other = steplog.init(project="mnist", name="second", activate=False)
    tensorboard_sync.start(run)
    writer = tensorflow().summary.create_file_writer("logs/a")
    writer.write(scalars("loss", 0.5))
    tensorboard_sync.flush()
    assert offline.points("first", "loss") == [(0, 0.5)]
    writer.write(scalars("loss", 0.25, start=1))
    tensorboard_sync.start(other)
    writer.write(scalars("loss", 0.125, start=2))
    tensorboard_sync.stop()
    writer.write(scalars("loss", 0.0625, start=3))
    writer.close()
    assert offline.points("first", "loss") == [(0, 0.5), (1, 0.25)]
    assert offline.points("second", "loss") == [(2, 0.125)]


@apart
def test_the_parts_of_a_keras_training_have_their_prefixes(offline: Offline, stand_in: None):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        for part in ("train", "validation"):
            writer = tensorflow().summary.create_file_writer(logdir=f"logs/a/{part}")
            writer.write(scalars("epoch_loss", 0.5))
            writer.close()
    assert offline.names("joined") == ["train/epoch_loss", "validation/epoch_loss"]


@apart
def test_a_writer_without_a_file_is_counted_and_one_of_none_is_not(offline: Offline, stand_in: None):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        assert isinstance(tensorflow().summary.create_file_writer("in/a/graph"), SimpleNamespace)
        tensorflow().summary.create_file_writer(None)
        assert unsupported.counts() == {"tf.summary.create_file_writer()": 1}


@apart
def test_a_damaged_or_missing_file_stops_no_writer(offline: Offline, stand_in: None, caplog: Any):
    with steplog.init(project="mnist", name="joined") as run:
        tensorboard_sync.start(run)
        writer = tensorflow().summary.create_file_writer("logs/a")
        writer.write(framed([b"\x0b\xff"]))
        writer.flush()
        writer.write(scalars("loss", 0.5))
        writer.flush()
        os.unlink(writer.path)
        writer.path = "logs/elsewhere"
        writer.close()
    assert offline.points("joined", "loss") == [(0, 0.5)]
    assert len({record.message for record in caplog.records if "not logged of logs/a" in record.message}) == 2


PROGRAM = """
import numpy, steplog
from steplog.compat import tensorboard_sync
run = steplog.init(project="mnist", name="own")
tensorboard_sync.start(run)
import tensorflow, keras
writer = tensorflow.summary.create_file_writer("logs/a")
with writer.as_default():
    for step in range(3):
        tensorflow.summary.scalar("loss", 0.5 / (1 + step), step=step)
    tensorflow.summary.text("note", "hello", step=2)
    tensorflow.summary.histogram("weights", [0.0, 1.0, 1.0, 2.0], step=2, buckets=2)
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile(loss="mse")
callback = keras.callbacks.TensorBoard("logs/a")
model.fit(numpy.ones((20, 3)), numpy.ones((20, 1)), epochs=2, validation_split=0.5, verbose=0, callbacks=[callback])
writer.set_as_default()
tensorflow.summary.scalar("late", 0.25, step=7)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs tensorflow, tensorboard and keras")
def test_the_real_tensorflow_and_its_keras_are_synced(offline: Offline):
    environment = os.environ | {"PYTHONPATH": str(Path(steplog.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr

    @apart
    def look() -> None:
        assert offline.points("own", "loss") == [(0, 0.5), (1, 0.25), (2, pytest.approx(0.5 / 3))]
        assert offline.points("own", "note") == [(2, "hello")]
        made = {"_type": "histogram", "values": [1, 3], "bins": [0, 1, 2]}
        assert offline.points("own", "weights") == [(2, made)]
        assert offline.points("own", "late") == [(7, 0.25)]
        assert [len(offline.points("own", f"{part}/epoch_loss")) for part in ("train", "validation")] == [2, 2]

    look()
