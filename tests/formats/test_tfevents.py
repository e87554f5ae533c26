"""Folders of event files as runs, and the writer: what it writes comes back, and is what TensorBoard shows."""

from __future__ import annotations

import itertools
import math
import struct
import tarfile
from array import array
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats import events
from formats.events import event, record, scalar, slow_crc, training, version
from steplog.column_format import json_text
from steplog.errors import FormatError
from steplog.formats.crc32c import crc32c, masked
from steplog.formats.imported import ImportedRun
from steplog.formats.run_info import RunInfo
from steplog.formats.run_writer import RunWriter
from steplog.formats.tfevents import runs as tfevents
from steplog.reading.points import SeriesPoints

GOLDEN = Path(__file__).parent.parent / "golden"
FILE = "events.out.tfevents.1795756477.host.1.0"


def write(folder: Path, *records: bytes, name: str = FILE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(map(record, records)))
    return folder


def values_of(run: ImportedRun) -> dict[str, list[tuple[int, Any]]]:
    found: dict[str, list[tuple[int, Any]]] = {}
    for stream in run.streams:
        for batch in stream.read():
            for name, step, value in zip(batch.names, batch.steps, batch.values, strict=True):
                found.setdefault(name, []).append((step, value))
    return found


def runs_in(path: Path) -> dict[str, ImportedRun]:
    return {run.info.name: run for run in tfevents.runs(path)}


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    with tarfile.open(GOLDEN / "tensorboard-2.21.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "runs"


def test_what_tensorboards_own_writers_wrote_is_read(golden):
    assert tfevents.recognizes(golden)
    runs = runs_in(golden)
    assert list(runs) == ["keras/train", "x"]
    x = values_of(runs["x"])
    assert list(x) == [
        "train/loss",
        "lr",
        "note/text_summary",
        "weights",
        "sample",
        "hp/acc",
        "split/train",
        "split/valid",
    ]
    assert x["weights"][0][1]["_type"] == "histogram"
    assert x["sample"][0][1]["_type"] == "image"
    assert x["train/loss"][:2] == [(0, 1.0), (1, 0.5)]
    assert (len(x["train/loss"]), len(x["lr"])) == (40, 40)
    assert x["note/text_summary"] == [(3, "hello")]
    assert (x["hp/acc"], x["split/train"], x["split/valid"]) == ([(39, 0.5)], [(5, 1.0)], [(5, 2.0)])
    assert runs["x"].info.config == {"lr": 0.1, "layers": 3, "opt": "adam", "amp": True}
    assert runs["x"].remarks() == []
    keras = values_of(runs["keras/train"])
    assert keras["epoch_loss"][:2] == [(0, 0.5), (1, 0.25)]
    assert (len(keras["epoch_loss"]), keras["table"]) == (30, [(2, ["a", "b", "c", "d"])])
    assert runs["keras/train"].remarks() == []


def test_a_folder_with_event_files_is_a_run_called_by_its_path(tmp_path):
    for name in ("a", "b", "b/eval", "deep/er/c"):
        write(tmp_path / "logs" / name, version(), event(scalar(f"in {name}", 1)))
    (tmp_path / "logs" / "empty").mkdir()
    runs = runs_in(tmp_path / "logs")
    assert {name: list(values_of(run)) for name, run in runs.items()} == {
        name: [f"in {name}"] for name in ("a", "b", "b/eval", "deep/er/c")
    }
    assert len({run.info.id for run in runs.values()}) == 4
    assert list(runs_in(tmp_path / "logs" / "a")) == ["a"]


def test_a_runs_id_is_the_same_from_wherever_and_however_it_is_imported(tmp_path):
    files = {f"events.out.tfevents.179575647{n}.host": event(scalar("a", n), wall=events.START + n) for n in range(3)}
    for name, data in files.items():
        for folder in ("one", "moved/elsewhere"):
            write(tmp_path / folder, version(), data, name=name)
    (one,), (two,) = runs_in(tmp_path / "one").values(), runs_in(tmp_path / "moved").values()
    assert one.info.id == two.info.id
    assert [stream.key for stream in one.streams] == [stream.key for stream in two.streams] == list(files)
    (single,) = tfevents.runs(tmp_path / "one" / "events.out.tfevents.1795756471.host")
    assert (single.info.id, single.info.name) == (one.info.id, "one")
    assert [stream.key for stream in single.streams] == ["events.out.tfevents.1795756471.host"]
    write(tmp_path / "one", version(), *training(["a"], range(50)), name="events.out.tfevents.1795756479.host")
    (grown,) = runs_in(tmp_path / "one").values()
    assert grown.info.id == one.info.id


def test_folders_of_one_call_belong_to_the_run_above(tmp_path):
    write(tmp_path / "a", version(), event(scalar("loss", 1)))
    write(tmp_path / "a" / "1795756477.155", version(), event(events.hparams(lr=0.5)), event(scalar("best", 2)))
    write(tmp_path / "a" / "acc_valid", version(), event(scalar("acc", 3)))
    write(tmp_path / "a" / "top_acc_x" / "y", version(), event(scalar("top/acc", 4)))
    (run,) = runs_in(tmp_path).values()
    assert run.info.config == {"lr": 0.5}
    assert {name: value for name, ((_, value),) in values_of(run).items()} == {
        "loss": 1.0,
        "best": 2.0,
        "acc/valid": 3.0,
        "top/acc/x/y": 4.0,
    }


def test_a_run_starts_no_later_than_its_first_point(tmp_path):
    write(tmp_path / "a", version(), event(scalar("loss", 1), wall=events.START - 3600), event(scalar("loss", 2)))
    write(tmp_path / "b", version(), event(scalar("loss", 1), wall=events.START + 60))
    started = [
        datetime.fromisoformat((run.info.started or "").replace("Z", "+00:00")).timestamp()
        for run in runs_in(tmp_path).values()
    ]
    assert started == [pytest.approx(events.START - 3600, abs=1e-5), pytest.approx(events.START, abs=1e-5)]


def test_several_folders_of_hyperparameters_are_runs_of_their_own(tmp_path):
    """One SummaryWriter that logs a whole sweep, as in torch's documentation."""
    write(tmp_path / "a", version())
    for trial in range(3):
        write(tmp_path / "a" / f"1795756477.{trial}", version(), event(events.hparams(lr=trial)), event(scalar("f", 1)))
    runs = runs_in(tmp_path)
    assert {name: run.info.config for name, run in runs.items()} == {
        f"a/1795756477.{trial}": {"lr": trial} for trial in range(3)
    }


def test_what_is_damaged_is_said_with_its_file_and_what_comes_before_is_there(tmp_path):
    write(tmp_path / "a", version(), event(scalar("loss", 1)), event(scalar("loss", 2)))
    file = tmp_path / "a" / FILE
    file.write_bytes(file.read_bytes()[:-1])
    (run,) = runs_in(tmp_path).values()
    assert values_of(run) == {"loss": [(0, 1.0)]}
    (remark,) = run.remarks()
    assert remark == f"{FILE}: it ends within a record, at byte {24 + 16 + 41 - 1}; another import takes what comes yet"
    damaged = bytearray(file.read_bytes())
    damaged[45] ^= 1
    file.write_bytes(damaged)
    assert values_of(run) == {}
    assert run.remarks() == [f"{FILE}: the checksum of a length is wrong, at byte 40; what follows is left out"]


@pytest.mark.parametrize("content", [b"\x00" * 100, b"PK\x03\x04" * 99])
def test_a_file_that_does_not_begin_with_a_record_gives_no_run(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    for path in (tmp_path, tmp_path / FILE):
        with pytest.raises(FormatError, match=f"{FILE}: no event file: it does not begin with a record"):
            list(tfevents.runs(path))


def test_a_record_that_says_it_is_huge_is_not_allocated(tmp_path):
    length = struct.pack("<Q", 2**62)
    (tmp_path / FILE).write_bytes(length + struct.pack("<I", masked(crc32c(length))) + b"x" * 100)
    with pytest.raises(FormatError, match="no event file"):
        list(tfevents.runs(tmp_path / FILE))


def test_an_event_file_of_any_name_is_read_where_it_is_given(tmp_path):
    write(tmp_path, version(), event(scalar("loss", 1)), name="renamed.bin")
    (run,) = tfevents.runs(tmp_path / "renamed.bin")
    assert values_of(run) == {"loss": [(0, 1.0)]}


def test_what_has_no_event_files_is_not_recognized(tmp_path):
    wandb = write(tmp_path / "wandb" / "run-1" / "files", version())
    (wandb.parent / "run-1.wandb").write_bytes(b"")
    write(tmp_path / "plugins", name="events.out.tfevents.1.host.profile-empty")
    (tmp_path / "notes.txt").write_text("tfevents")
    assert not tfevents.recognizes(tmp_path)
    assert not tfevents.recognizes(tmp_path / "notes.txt")
    assert not tfevents.recognizes(tmp_path / FILE)
    assert tfevents.recognizes(write(tmp_path / "a", version()))
    assert tfevents.recognizes(tmp_path / "a" / FILE)


def written(folder: Path, info: RunInfo, *points: SeriesPoints) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    writer: RunWriter = tfevents.Writer(folder)
    writer.begin(info)
    for each in points:
        writer.points(each)
    writer.end()
    writer.close()
    (file,) = folder.iterdir()
    return file


def series(name: str, kind: str, values: Any, steps: Any = None) -> SeriesPoints:
    count = len(values)
    times = array("q", (1_795_756_477_123_456_789 + 10**7 * place for place in range(count)))
    return SeriesPoints(name, kind, array("q", range(count) if steps is None else steps), times, values)


INFO = RunInfo(
    id="first", name="a/b", project="P", started="2026-11-27T05:11:27.5Z", config={"lr": 0.1, "o": {"x": []}}
)
FLOATS = array("d", (0.5, 0.1, math.nan, math.inf, -math.inf, -0.0, 1e300, -1e300, 5e-324, 1.5))


def test_what_an_export_wrote_comes_back_exactly(tmp_path):
    texts = ["hello", "", "NaN", "é", "\ud800", None, True, [1, "x"], {"a": {"b": 0.1}}, 2**70, math.nan]
    json = [b'"\\ud800"' if text == "\ud800" else json_text(text) for text in texts]
    points = (
        series("loss", "f8", FLOATS, range(-3, 7)),
        series("epoch", "i8", array("q", (0, 1, -1, 2**63 - 1, -(2**63)))),
        series("mixed/é", "json", json),
    )
    path = written(tmp_path, INFO, *points)
    assert path.name == "events.out.tfevents.1795756287.steplog"
    (run,) = tfevents.runs(tmp_path)
    assert run.info == INFO
    found = values_of(run)
    assert repr(found["loss"]) == repr(list(zip(range(-3, 7), FLOATS, strict=True)))
    assert repr(found["epoch"]) == repr([(0, 0), (1, 1), (2, -1), (3, 2**63 - 1), (4, -(2**63))])
    back = [
        b'"\\ud800"' if bytes(json[4]) == text else text for text in map(json_text, (v for _, v in found["mixed/é"]))
    ]
    assert back == json


def test_integers_among_floats_are_numbers_for_tensorboard(tmp_path):
    mixed = series("loss", "json", [b"1", b"0.5", str(2**63 - 1).encode()])
    path = written(tmp_path / "mixed", INFO, mixed)
    content = path.read_bytes()
    assert content.count(b"text") == written(tmp_path / "none", INFO).read_bytes().count(b"text")
    (run,) = tfevents.runs(tmp_path / "mixed")
    assert repr(values_of(run)["loss"]) == repr([(0, 1), (1, 0.5), (2, 2**63 - 1)])


def test_a_second_export_of_what_was_imported_has_the_same_bytes(tmp_path):
    points = (
        series("loss", "f8", FLOATS),
        series("n", "i8", array("q", (1, 2))),
        series("t", "json", [b'"x"', b"[ ]"]),
    )
    first = written(tmp_path / "first", INFO, *points)
    (run,) = tfevents.runs(first)
    rows = [row for stream in run.streams for batch in stream.read() for row in zip(*batch, strict=True)]
    again = []
    for name, of_name in itertools.groupby(rows, lambda row: row[0]):
        _, steps, times, values = map(list, zip(*of_name, strict=True))
        kind = {float: "f8", int: "i8"}.get(type(values[0]), "json")
        again.append(SeriesPoints(name, kind, steps, times, list(map(json_text, values)) if kind == "json" else values))
    second = written(tmp_path / "second", run.info, *again)
    assert second.read_bytes() == first.read_bytes()


def test_each_record_that_is_written_has_its_checksums_and_a_float_for_tensorboard(tmp_path):
    """TensorBoard's fast reader shows nothing but ``simple_value``; a protobuf reader skips fields that it lacks."""
    data = written(
        tmp_path, INFO, series("loss", "f8", FLOATS), series("n", "i8", array("q", [2**40] * 30))
    ).read_bytes()
    begin, contents = 0, []
    while begin < len(data):
        (length,) = struct.unpack_from("<Q", data, begin)
        end = begin + 12 + length
        assert struct.unpack_from("<I", data, begin + 8)[0] == slow_crc(data[begin : begin + 8])
        assert struct.unpack_from("<I", data, end)[0] == slow_crc(data[begin + 12 : end])
        contents.append(data[begin + 12 : end])
        begin = end + 4
    assert contents[0] == version(1_795_756_287.5)
    assert len(contents) == 3 + len(FLOATS) + 30
    for value, content in zip(FLOATS, contents[3:], strict=False):
        nearest = math.copysign(math.inf, value) if abs(value) == 1e300 else value
        assert scalar("loss", nearest) in content
    assert all(scalar("n", 2.0**40) in content for content in contents[-30:])


def test_stretches_of_any_size_give_the_same_file(tmp_path):
    values = array("d", (0.1 * place for place in range(100)))
    whole = series("loss", "f8", values)
    parts = [
        SeriesPoints(*(whole[:2]), *(column[begin : begin + 7] for column in whole[2:])) for begin in range(0, 100, 7)
    ]
    one, two = written(tmp_path / "1", INFO, whole), written(tmp_path / "2", INFO, *parts)
    assert one.read_bytes() == two.read_bytes()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=80), st.booleans())
def test_exact_numbers_that_are_read_by_shape_are_those_written(tmp_path_factory, values, are_integers):
    folder = tmp_path_factory.mktemp("events")
    numbers = [int.from_bytes(struct.pack("<d", value), "little", signed=True) for value in values]
    points = series("v", "i8", array("q", numbers)) if are_integers else series("v", "f8", array("d", values))
    written(folder, RunInfo(id="r"), points)
    (run,) = tfevents.runs(folder)
    assert repr(values_of(run)["v"]) == repr(list(enumerate(points.values)))


def test_points_without_times_are_written(tmp_path):
    """Of a stock server, which keeps none."""
    written(tmp_path, RunInfo(id="r"), SeriesPoints("v", "f8", array("q", (0, 1)), None, array("d", (1, 2))))
    (run,) = tfevents.runs(tmp_path)
    assert values_of(run) == {"v": [(0, 1.0), (1, 2.0)]}


def test_a_damaged_description_of_an_export_is_an_error_that_names_the_folder(tmp_path):
    damaged = event(events.tensor("steplog/run", 7, b'{"id": 1}', "steplog_run", field=8))
    write(tmp_path / "a", version(), damaged)
    with pytest.raises(ValueError, match=f"{tmp_path / 'a'}: what an export says of its run is damaged"):
        list(tfevents.runs(tmp_path))
    assert msgspec.json.decode(b'{"id": "x"}', type=RunInfo).id == "x"
