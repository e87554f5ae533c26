"""Offline folders of wandb as runs: what wandb 0.31 wrote, and what its other versions and a kill leave."""

from __future__ import annotations

import itertools
import math
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.events import message, number
from formats.test_wandb_log import written
from steplog.formats.imported import ImportedRun
from steplog.formats.wandb import runs as wandb_offline
from steplog.formats.wandb.runs import RUNNING_S

GOLDEN = Path(__file__).parent.parent / "golden"
START = 1_795_756_477


def item(value: str, *path: str) -> bytes:
    """Of a history: wandb 0.31 writes even one key as nested."""
    return message(1, *(message(2, key.encode()) for key in path), message(16, value.encode()))


def history(step: int, *items: bytes, time: str = f"{START}.5") -> bytes:
    own = (item(time, "_timestamp"), item("0.5", "_runtime"), item(str(step), "_step"))
    return message(2, *items, *own, message(2, number(1, step) if step else b""))


def run_record(run_id: str = "abc", *more: bytes, project: str = "p") -> bytes:
    started = message(17, number(1, START), number(2, 250_000_000))
    return message(17, message(1, run_id.encode()), message(3, project.encode()), started, *more)


EXIT = message(18)


def write(folder: Path, *records: bytes, run_id: str = "abc", date: str = "20261127_051427") -> Path:
    """A folder ``wandb`` with a run's folder in it."""
    inner = folder / "wandb" / f"offline-run-{date}-{run_id}"
    inner.mkdir(parents=True, exist_ok=True)
    (inner / f"run-{run_id}.wandb").write_bytes(written(list(records)))
    return folder


def only(path: Path, now: float = START + 10**6) -> ImportedRun:
    (run,) = wandb_offline.runs(path, now=lambda: now)
    return run


def rows_of(run: ImportedRun) -> list[tuple[str, int | None, int, Any]]:
    batches = [batch for stream in run.streams for batch in stream.read()]
    return [row for batch in batches for row in zip(*batch, strict=True)]


def values_of(run: ImportedRun) -> dict[str, Any]:
    return {name: value for name, _, _, value in rows_of(run)}


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    with tarfile.open(GOLDEN / "wandb-0.31.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "wandb"


def test_what_wandb_wrote_is_read(golden):
    assert wandb_offline.recognizes(golden)
    runs = {run.info.id: run for run in wandb_offline.runs(golden, now=lambda: 2e9)}
    assert list(runs) == ["wandb-first001", "wandb-failed01", "wandb-killed01", "wandb-twice001"]
    first = runs["wandb-first001"]
    assert (first.info.name, first.info.project, first.info.status) == ("first run", "mnist", "COMPLETED")
    assert (first.info.group, first.info.job_type, first.info.tags) == ("g", "train", ["a", "b"])
    assert (first.info.notes, first.info.provenance["host"]) == ("some notes", "host")
    optim = {"name": "adam", "betas": [0.9, 0.99]}
    assert first.info.config == {"lr": 0.2, "optim": optim, "none": None, "flag": True, "late": 5}
    rows = rows_of(first)
    assert [row[1:4:2] for row in rows if row[0] == "loss"] == [(0, 1), (1, 0.5), (2, 1 / 3), (3, 0.25), (4, 0.2)]
    assert [row[1:4:2] for row in rows if row[0] == "nested.b.c"] == [(step, "text") for step in range(5)]
    values = values_of(first)
    assert (values["inf"], values["-inf"], values["big"]) == (math.inf, -math.inf, 2**60)
    assert math.isnan(values["nan"])
    assert (values["list"], values["none"], values["even"]) == ([1, 2], None, True)
    assert values["hist"] == {"_type": "histogram", "bins": [1, 2, 3], "values": [1, 2]}
    assert {row[1] for row in rows if row[0] == "part 1"} == {row[1] for row in rows if row[0] == "part 2"}
    assert not [name for name in values if name.startswith("_")]
    assert (values["html"]["_type"], values["table"]["_type"]) == ("html", "table")
    assert first.remarks() == ["left out: files of values that are not there (2)"]
    system = [row for row in rows if row[0] == "system/proc.cpu.threads"]
    assert [type(value) for _, _, _, value in system] == [float]
    assert system[0][1] is None
    assert (runs["wandb-failed01"].info.status, runs["wandb-killed01"].info.status) == ("FAILED", "CRASHED")
    assert values_of(runs["wandb-killed01"])["x"] == 2
    twice = runs["wandb-twice001"]
    assert len({stream.key for stream in twice.streams}) == len(twice.streams) == 2
    assert [row[3] for row in rows_of(twice) if row[0] == "part"] == [0, 1]


def test_a_link_to_a_folder_is_no_second_run_and_may_be_given_itself(golden):
    assert (golden / "latest-run").is_symlink()
    (latest,) = wandb_offline.runs(golden / "latest-run")
    (file,) = (golden / "latest-run").glob("*.wandb")
    (alone,) = wandb_offline.runs(file)
    assert alone.info == latest.info
    assert [stream.key for stream in alone.streams] == [stream.key for stream in latest.streams]


@pytest.mark.parametrize(
    ("ending", "age", "status"),
    [
        ([EXIT], 0, "COMPLETED"),
        ([message(18, number(1, 1))], 0, "FAILED"),
        ([message(18, number(1, -1))], 0, "FAILED"),
        ([], RUNNING_S - 10, "RUNNING"),
        ([], RUNNING_S + 10, "CRASHED"),
    ],
)
def test_a_status_is_that_of_the_exit_record_else_of_the_last_records_age(tmp_path, ending, age, status):
    write(tmp_path, run_record(), history(0, item("1", "x"), time=str(START + 100)), *ending)
    assert only(tmp_path, START + 100 + age).info.status == status


def test_a_run_that_was_resumed_has_the_status_of_its_last_folder(tmp_path):
    write(tmp_path, run_record(), EXIT, date="20261127_051427")
    write(tmp_path, run_record(), message(18, number(1, 1)), date="20261128_051427")
    assert only(tmp_path).info.status == "FAILED"


def test_a_file_that_was_moved_gives_the_same_run_and_stream(tmp_path):
    write(tmp_path, run_record(), history(0, item("1", "x")), EXIT)
    before = only(tmp_path)
    (file,) = tmp_path.rglob("*.wandb")
    after = only(file.rename(tmp_path / "kept.wandb"))
    assert after.info == before.info
    assert [stream.key for stream in after.streams] == [stream.key for stream in before.streams]


def test_runs_of_one_id_in_two_projects_are_two(tmp_path):
    write(tmp_path / "1", run_record(project="one"), EXIT)
    write(tmp_path / "2", run_record(project="two"), EXIT)
    assert [(run.info.id, run.info.project) for run in wandb_offline.runs(tmp_path)] == [
        ("wandb-abc", "one"),
        ("wandb-abc", "two"),
    ]


def test_a_record_gives_its_step_its_time_and_values_of_every_form(tmp_path):
    typed = [
        message(1, message(1, b"none"), number(3, 0)),
        message(1, message(1, b"yes"), number(4, 1)),
        message(1, message(1, b"minus"), number(5, 13)),
        message(1, message(1, b"half"), b"\x31" + struct.pack("<d", 0.5)),
        message(1, message(1, b"text"), message(7, b"t")),
        message(1, message(1, b"json"), message(8, b"[1]")),
        item('"NaN"', "old nan"),
        item("-Infinity", "new infinity"),
        item("1e400", "large"),
        item('{"_type":"histogram","values":[1]}', "whole"),
        item('{"_type":"image-file","path":"x.png"}', "image"),
        item("{broken", "broken"),
        message(1, message(2, b"bytes"), message(16, b'"\xff"')),
        item("1", "a" * 200),
    ]
    write(tmp_path, run_record(), history(7, *typed, time="1795756480.125"), EXIT)
    run = only(tmp_path)
    rows = rows_of(run)
    assert {(step, time) for _, step, time, _ in rows} == {(7, 1_795_756_480_125_000_000)}
    values = values_of(run)
    assert math.isnan(values.pop("old nan"))
    assert values.pop("image")["_type"] == "image"
    assert values == {
        "none": None,
        "yes": True,
        "minus": -7,
        "half": 0.5,
        "text": "t",
        "json": [1],
        "new infinity": -math.inf,
        "large": math.inf,
        "whole": {"_type": "histogram", "values": [1]},
        "broken": "{broken",
        "bytes": '"\ufffd"',
        "a" * 200: 1,
    }
    assert run.remarks() == ["left out: files of values that are not there (1)"]


def test_a_record_without_step_or_time_follows_the_one_before(tmp_path):
    """As versions of wandb before 0.13 wrote them: the step in an item, or none."""
    bare = message(2, item("1", "x"))
    stepped = message(2, item("2", "x"), item("5", "_step"), item(str(START + 3), "_timestamp"))
    write(tmp_path, run_record(), bare, stepped, bare, EXIT)
    begun, later = START * 10**9 + 250_000_000, (START + 3) * 10**9
    assert rows_of(only(tmp_path)) == [("x", 0, begun, 1), ("x", 5, later, 2), ("x", 6, later, 1)]


def test_config_is_merged_key_by_key_and_keys_are_removed(tmp_path):
    first = message(4, item("1", "a"), item("2", "b", "c"), item("{}", "_wandb"))
    update = message(5, item("3", "b", "d"), item("4", "e"), message(2, message(2, b"a")))
    write(tmp_path, run_record("abc", first), update, EXIT)
    assert only(tmp_path).info.config == {"b": {"c": 2, "d": 3}, "e": 4}


def test_system_metrics_that_are_ours_have_our_names(tmp_path):
    parts = [
        message(3, message(1, name.encode()), message(16, value))
        for name, value in (("gpu.0.gpu", b"97"), ("gpu.12.temp", b"60.5"), ("cpu", b"3"), ("gpu.0.odd", b'"text"'))
    ]
    write(tmp_path, run_record(), message(7, message(2, number(1, START)), *parts), EXIT)
    assert rows_of(only(tmp_path)) == [
        ("system/gpu.0.utilization_percent", None, START * 10**9, 97),
        ("system/gpu.12.temperature_celsius", None, START * 10**9, 60.5),
        ("system/cpu", None, START * 10**9, 3),
    ]


def test_a_file_that_is_cut_gives_what_is_whole_and_says_where_it_ends(tmp_path):
    records = [run_record(), *(history(step, item(str(step), "x")) for step in range(100))]
    write(tmp_path, *records, EXIT)
    whole = rows_of(only(tmp_path))
    (file,) = tmp_path.rglob("*.wandb")
    data = file.read_bytes()
    for cut in (len(data) - 1, len(data) // 2):
        file.write_bytes(data[:cut])
        run = only(tmp_path)
        rows = rows_of(run)
        assert rows == whole[: len(rows)]
        assert run.info.status == "CRASHED"
        (remark,) = run.remarks()
        assert remark.startswith("offline-run-20261127_051427-abc: it ends within a record, at byte ")


def test_a_record_that_is_no_record_ends_reading_there(tmp_path):
    """As of a version that nobody knows yet."""
    broken = message(2, message(1, message(2, b"x"), b"\x3c"))
    write(tmp_path, run_record(), history(0, item("1", "x")), broken, history(1, item("2", "x")))
    run = only(tmp_path)
    assert (rows_of(run)[0][3], len(rows_of(run))) == (1, 1)
    (remark,) = run.remarks()
    assert "abc: a record is damaged: a field of the unknown type 4; what follows is left out" in remark


@pytest.mark.parametrize("size", [0, 3, 7, 20])
def test_a_file_that_does_not_come_to_its_run_is_none(tmp_path, size):
    """Wandb writes 32 KiB at once: a program that is killed early leaves seven bytes."""
    write(tmp_path, run_record(), EXIT)
    (file,) = tmp_path.rglob("*.wandb")
    file.write_bytes(file.read_bytes()[:size])
    assert list(wandb_offline.runs(tmp_path)) == []


def test_an_id_that_ours_cannot_be_has_its_hash(tmp_path):
    write(tmp_path, run_record("a b"), EXIT, run_id="a b")
    assert only(tmp_path).info.id.startswith("wandb-")
    assert " " not in only(tmp_path).info.id
    assert only(tmp_path).info.name == "a b"


def test_what_is_not_wandbs_is_not_recognized(tmp_path):
    (tmp_path / "run-x.wandb").write_bytes(b"something else")
    (tmp_path / "notes.txt").write_text("x")
    assert not wandb_offline.recognizes(tmp_path)
    assert not wandb_offline.recognizes(tmp_path / "notes.txt")
    assert not wandb_offline.recognizes(tmp_path / "missing")
    assert wandb_offline.recognizes(write(tmp_path / "a", EXIT))


keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


@given(st.sampled_from((1, 2)), keys, st.integers(-(2**70), 2**70))
def test_the_short_way_through_an_item_gives_what_the_long_one_gives(field, key, value):
    data = message(field, key.encode()) + message(16, str(value).encode())
    assert wandb_offline._item(data) == wandb_offline._any_item(data) == ((key,), value)


def test_batches_are_of_the_size_that_they_may_have(tmp_path):
    records = [history(step, *(item("1", f"m{n}") for n in range(10))) for step in range(2000)]
    write(tmp_path, run_record(), *records, EXIT)
    (stream,) = only(tmp_path).streams
    sizes = [len(batch.names) for batch in stream.read()]
    assert (max(sizes), sum(sizes)) == (wandb_offline.BATCH_RECORDS, 20_000)
    assert all(size == sizes[0] for size, _ in itertools.pairwise(sizes))
