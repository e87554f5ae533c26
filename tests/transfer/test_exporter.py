"""Runs become files: all in one, or one each in a directory, which an export that was broken off goes on with."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from steplog.errors import ConfigurationError, MetricNotFoundError, RunNotFoundError, ServerUnavailableError
from steplog.transfer.export_directory import STATE_NAME
from transfer.sources import FakeSource, exporter, into


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != STATE_NAME}


def in_one(sources: list[FakeSource], kind: str = "csv", *, several: bool = True, **options: Any) -> str:
    sink = io.BytesIO()
    exporter(sources, kind, **options).to_file(sink, several=several)
    return sink.getvalue().decode()


def runs_of(lines: str) -> list[str]:
    return [line.split(",")[0] for line in lines.split("\r\n")[1:-1]]


def test_several_runs_in_one_file_follow_one_another_each_by_its_name():
    one, two = FakeSource("one", {"loss": [0.5, 0.25]}), FakeSource("two", {"loss": [1]})
    assert runs_of(in_one([one, two])) == ["one", "one", "two"]
    assert in_one([one], several=False).startswith("name,step,time,value\r\nloss,0,")
    assert [json.loads(line).get("run", {}).get("id") for line in in_one([two, one], "jsonl").splitlines()] == [
        "uuid-two",
        None,
        "uuid-one",
        None,
        None,
    ]


def test_runs_of_one_name_in_one_file_are_told_apart_by_their_ids():
    same = [FakeSource("same", {"loss": [0.5]}, id=name) for name in "ab"]
    assert runs_of(in_one([*same, FakeSource("other", {"loss": [0.5]})])) == ["same (a)", "same (b)", "other"]


def test_a_directory_has_a_file_for_each_run_whatever_it_is_called(tmp_path: Path):
    names = ["first", "a/b", "..", "x" * 300, "First"]
    done = into(
        tmp_path / "new" / "out", *(FakeSource(name, {"loss": [0.5]}, id=f"i{at}") for at, name in enumerate(names))
    )
    assert sorted(files(tmp_path / "new" / "out")) == sorted(
        ["first-i0.csv", "a_b.csv", "i2.csv", "x" * 100 + ".csv", "First-i4.csv"]
    )
    assert (done.runs, done.points, done.unchanged, done.failed) == (5, 5, 0, [])


def test_a_run_that_has_not_changed_is_not_read_again_and_one_that_has_is(tmp_path: Path):
    sources = [FakeSource(f"r{at}", {"loss": [0.5] * 10}) for at in range(5)]
    into(tmp_path, *sources)
    before = files(tmp_path)
    sources[1].metrics["loss"].append(0.25)
    sources[2].told["tags"] = ["new"]
    for source in sources:
        source.asked.clear()
    done = into(tmp_path, *sources)
    assert (done.runs, done.unchanged, done.points) == (2, 3, 21)
    assert ["points" in source.asked for source in sources] == [False, True, True, False, False]
    assert [name for name, content in files(tmp_path).items() if content != before[name]] == ["r1.csv"]


def test_what_is_asked_for_otherwise_is_written_again(tmp_path: Path):
    source = FakeSource("r", {"loss": [0.5], "other": [1]})
    assert into(tmp_path, source).runs == 1
    assert into(tmp_path, source, kind="jsonl").runs == 1
    assert into(tmp_path, source).unchanged == 1
    assert into(tmp_path, source, names=("loss",)).runs == 1
    assert into(tmp_path, source, excel=True).runs == 1
    assert sorted(files(tmp_path)) == ["r.csv", "r.jsonl"]


def test_a_file_that_was_removed_or_cut_is_written_again(tmp_path: Path):
    source = FakeSource("r", {"loss": [0.5]})
    into(tmp_path, source)
    whole = (tmp_path / "r.csv").read_bytes()
    (tmp_path / "r.csv").unlink()
    assert into(tmp_path, source).runs == 1
    (tmp_path / "r.csv").write_bytes(whole[:-1])
    assert into(tmp_path, source).runs == 1
    assert files(tmp_path) == {"r.csv": whole}


def test_an_export_that_is_broken_off_goes_on_with_the_runs_that_are_missing(tmp_path: Path):
    sources = [FakeSource(f"r{at}", {"loss": [0.5] * 3000}) for at in range(4)]

    def fail() -> None:
        raise ServerUnavailableError("away")

    sources[2].on_stretch = fail
    with pytest.raises(ServerUnavailableError):
        into(tmp_path, *sources)
    assert sorted(files(tmp_path)) == ["r0.csv", "r1.csv"]
    sources[2].on_stretch = lambda: None
    for source in sources:
        source.asked.clear()
    done = into(tmp_path, *sources)
    assert (done.runs, done.unchanged) == (2, 2)
    assert [source.asked.count("points") for source in sources] == [0, 0, 1, 1]
    assert sorted(files(tmp_path)) == [f"r{at}.csv" for at in range(4)]


def test_a_file_of_somebody_else_is_left_alone_and_the_other_runs_are_exported(tmp_path: Path):
    (tmp_path / "r0.csv").write_text("mine")
    done = into(tmp_path, FakeSource("r0", {"loss": [0.5]}), FakeSource("r1", {"loss": [0.5]}))
    ((name, error),) = done.failed
    assert (name, type(error)) == ("r0", FileExistsError)
    assert str(tmp_path / "r0.csv") in str(error)
    assert (done.runs, (tmp_path / "r0.csv").read_text()) == (1, "mine")


def test_a_run_that_is_gone_does_not_keep_the_others_from_their_files(tmp_path: Path):
    sources = [FakeSource(f"r{at}", {"loss": [0.5]}) for at in range(3)]
    sources[1].gone = True
    done = into(tmp_path, *sources)
    assert [name for name, _ in done.failed] == ["r1"]
    assert sorted(files(tmp_path)) == ["r0.csv", "r2.csv"]


def test_a_run_with_another_name_moves_and_leaves_no_file_behind(tmp_path: Path):
    source, other = FakeSource("before", {"loss": [0.5]}), FakeSource("other", {"loss": [0.5]})
    into(tmp_path, source, other)
    source.told["name"], other.told["name"] = "other", "before"
    into(tmp_path, source)
    assert sorted(files(tmp_path)) == ["other-uuid-before.csv", "other.csv"]
    into(tmp_path, source, other)
    assert sorted(files(tmp_path)) == ["before.csv", "other-uuid-before.csv"]


def test_two_exports_do_not_write_into_a_directory_at_once(tmp_path: Path):
    source = FakeSource("r", {"loss": [0.5]})

    def another() -> None:
        with pytest.raises(ConfigurationError, match=f"another export writes into {tmp_path}"):
            into(tmp_path, FakeSource("s", {"loss": [0.5]}))

    source.on_stretch = another
    assert into(tmp_path, source).runs == 1


def test_a_state_that_is_cut_or_damaged_costs_but_a_second_reading(tmp_path: Path):
    source = FakeSource("r", {"loss": [0.5]})
    into(tmp_path, source)
    state = tmp_path / STATE_NAME
    state.write_bytes(b'\xff\n{"id":1}\n' + state.read_bytes()[:-5])
    assert into(tmp_path, source).runs == 1
    assert into(tmp_path, source).unchanged == 1


def test_a_metric_that_no_run_has_is_named_with_those_that_are_close(tmp_path: Path):
    one = FakeSource("one", {"loss": [0.5], "lr": [1]})
    two = FakeSource("two", {"other": [1]})
    with pytest.raises(MetricNotFoundError, match="the run 'one' has no metric 'los'; did you mean 'loss'"):
        in_one([one], names=("los", "lr"))
    with pytest.raises(MetricNotFoundError, match="none of 2 runs has a metric 'x'; there is 'loss', 'lr', 'other'"):
        in_one([one, two], names=("x",))
    assert runs_of(in_one([one, two], names=("lr",))) == ["one"]
    with pytest.raises(MetricNotFoundError, match="there is none"):
        into(tmp_path, FakeSource("none", {}), names=("loss",))


def test_a_broken_export_leaves_nothing_that_looks_whole_of_a_parquet_file():
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    source, sink = FakeSource("r", {"loss": [0.5] * 2000}), io.BytesIO()

    def interrupt() -> None:
        if len(source.asked) and sink.tell():
            raise KeyboardInterrupt

    source.on_stretch = interrupt
    with pytest.raises(KeyboardInterrupt):
        exporter([source], "parquet").to_file(sink, several=False)
    assert sink.getvalue() == b"PAR1"


def test_a_run_that_goes_in_the_middle_leaves_no_half_of_it(tmp_path: Path):
    sources = [FakeSource(f"r{at}", {"loss": [0.5] * 3000}) for at in range(3)]

    def remove() -> None:
        raise RunNotFoundError("no run 'r1' any more")

    sources[1].on_stretch = remove
    assert [name for name, _ in into(tmp_path, *sources).failed] == ["r1"]
    assert sorted(files(tmp_path)) == ["r0.csv", "r2.csv"]
    with pytest.raises(RunNotFoundError):
        in_one(sources)


def test_event_files_are_a_directory_for_each_run(tmp_path: Path):
    sources = [FakeSource(name, {"loss": [0.5]}) for name in ("a/b", "c")]
    assert into(tmp_path, *sources, kind="tfevents").runs == 2
    assert into(tmp_path, *sources, kind="tfevents").unchanged == 2
    sources[0].metrics["loss"].append(1.0)
    assert into(tmp_path, *sources, kind="tfevents").runs == 1
    folders = {path.name: os.listdir(path) for path in tmp_path.iterdir() if path.is_dir()}
    assert {name: len(each) for name, each in folders.items()} == {"a_b": 1, "c": 1}
