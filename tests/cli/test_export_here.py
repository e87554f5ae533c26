"""``steplog export --here`` and ``steplog.read_journal``: what is on this machine, read without changing it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from end_to_end.programs import Host, ended, go_on, line
from steplog.cli import main

DEADLINE_S = 30.0


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["export", "--here", *arguments])


def lines(text: str | bytes) -> list[dict[str, Any]]:
    """What the program has logged, and not what steplog has: when the run started."""
    return [row for row in every_line(text) if row["name"] != "steplog/run"]


def every_line(text: str | bytes) -> list[dict[str, Any]]:
    return [json.loads(row) for row in text.splitlines()]


def leave(directory: Path, name: str, *values: object) -> None:
    """A machine with nothing configured, and a run that waits on it."""
    os.environ["STEPLOG_DIR"] = str(directory / "state")
    run = steplog.init(project="mnist", name=name, mode="offline", provenance=False)
    for step, value in enumerate(values):
        run.log("loss", value, step=step)
    run.finish(timeout=0)


def files(*directories: Path) -> dict[str, bytes]:
    """Each file below, as it is."""
    found = [path for directory in directories for path in directory.rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in found}


@apart
def test_each_record_is_a_line_with_name_step_value_and_time(tmp_path: Path):
    leave(tmp_path, "waits", 0.5, 3, True, {"a": [1, None]}, "é\x1b[2J")
    done = typed("waits")
    assert done.exit_code == 0
    assert done.output.isascii()
    rows = lines(done.output)
    assert [row["value"] for row in rows] == [0.5, 3, True, {"a": [1, None]}, "é\x1b[2J"]
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    assert {(row["run"], row["name"], row["state"]) for row in rows} == {("waits", "loss", "waiting")}
    assert all(row["time"].startswith("20") and row["time"].endswith("Z") and len(row["time"]) == 30 for row in rows)
    (waiting,) = steplog.journals()
    assert {row["id"] for row in rows} == {waiting.id}
    assert lines(typed(waiting.id, "--format", "jsonl").output) == rows


@apart
def test_what_steplog_itself_has_recorded_of_a_run_is_there_too(tmp_path: Path):
    leave(tmp_path, "waits", 0.5)
    first, *rest = every_line(typed().output)
    assert (first["name"], list(first["value"]), first["position"]) == ("steplog/run", ["started"], 0)
    assert [row["name"] for row in rest] == ["loss"]


@apart
def test_what_is_no_finite_number_is_a_text_as_the_api_has_it(tmp_path: Path):
    leave(tmp_path, "waits", math.nan, math.inf, -math.inf)
    assert [row["value"] for row in lines(typed().output)] == ["NaN", "Infinity", "-Infinity"]
    values = [record.value for record in steplog.read_journal() if record.name == "loss"]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


@apart
def test_without_a_name_it_is_every_run_and_an_unknown_one_is_an_error(tmp_path: Path):
    leave(tmp_path, "one", 1.0)
    leave(tmp_path, "two", 2.0)
    assert {(row["run"], row["value"]) for row in lines(typed().output)} == {("one", 1.0), ("two", 2.0)}
    refused = typed("three")
    assert (refused.exit_code, "no run on this machine is called 'three'" in refused.output) == (1, True)


@apart
def test_a_machine_where_nothing_was_ever_logged_has_nothing(tmp_path: Path):
    os.environ["STEPLOG_DIR"] = str(tmp_path / "state")
    assert (typed().exit_code, typed().output) == (0, "")
    assert not (tmp_path / "state").exists()


@apart
def test_a_file_is_replaced_when_it_is_whole_and_left_alone_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    leave(tmp_path, "waits", *range(1000))
    path = tmp_path / "out" / "records.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"before")
    seen = []
    real = json.dumps

    def dumps(*arguments: Any, **more: Any) -> str:
        seen.append(path.read_bytes())
        if len(seen) == 900:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    monkeypatch.setattr(json, "dumps", dumps)
    assert typed("--output", str(path)).exit_code == 130  # of a Ctrl-C
    assert set(seen) == {b"before"}
    assert [item.name for item in path.parent.iterdir()] == ["records.jsonl"]
    monkeypatch.undo()
    done = typed("--output", str(path))
    assert (done.exit_code, done.output) == (0, f"1,001 records of 1 run in {path}\n")
    assert [row["value"] for row in lines(path.read_bytes())] == list(range(1000))


@apart
def test_a_file_that_cannot_be_written_is_named_as_it_was_typed(tmp_path: Path):
    leave(tmp_path, "waits", 0.5)
    before = set(tmp_path.rglob("*"))
    for path, words in (
        (f"{tmp_path}/missing/x", "No such file or directory"),
        (str(tmp_path), "Is a directory"),
        ("/proc/x", "No such file or directory"),
    ):
        done = typed("--output", path)
        assert (done.exit_code, done.output) == (1, f"steplog: {path}: {words}\n")
    assert set(tmp_path.rglob("*")) == before
    assert typed("--output", "/").output == "steplog: /: Is a directory\n"


@apart
def test_a_full_disk_is_said_of_the_file_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    leave(tmp_path, "waits", 0.5)

    monkeypatch.setattr("steplog.transfer.whole_file.open", lambda *_: open("/dev/full", "wb"), raising=False)  # noqa: SIM115
    done = typed("--output", f"{tmp_path}/x")
    assert (done.exit_code, done.output) == (1, f"steplog: {tmp_path}/x: No space left on device\n")
    assert not [path for path in tmp_path.iterdir() if path.name != "state"]


@apart
def test_nothing_here_is_changed(tmp_path: Path):
    leave(tmp_path, "waits", *range(5000))
    places = tmp_path / "state", Path(os.environ["STEPLOG_MEMORY_DIR"])
    before = files(*places)
    assert len(lines(typed().output)) == 5000
    assert files(*places) == before


@apart
def test_refused_records_are_marked_and_come_with_the_words_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server = FakeServer()
    server.configure(monkeypatch)
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))
    server.memory.refuses = lambda name, value: 400 if value == "NaN" or value != value else None
    run = steplog.init("me", "demo", "refused")
    for value in (1.0, math.nan, 3.0):
        run.log("loss", value)
    assert run.flush(DEADLINE_S)
    rows = lines(typed().output)
    assert [(row["value"], row["state"]) for row in rows] == [
        ("NaN", "quarantined"),
        (1.0, "delivered"),
        (3.0, "delivered"),
    ]
    assert "refused" in rows[0]["refusal"]
    assert "refusal" not in rows[1]
    (quarantined,) = [record for record in steplog.read_journal() if record.state == "quarantined"]
    assert math.isnan(quarantined.value)
    run.finish(timeout=DEADLINE_S)
    assert [row["state"] for row in lines(typed("refused").output)] == ["quarantined"]


@pytest.mark.slow
def test_while_a_run_goes_on_what_it_has_logged_so_far_comes_in_order(tmp_path: Path):
    """Its agent delivers meanwhile to a server that is slow, and moves to the disk what stays."""
    host = Host(tmp_path, None, "http://127.0.0.1:9")
    logs = """
    run = begin()
    print("begun", flush=True)
    for number in range(25_000):
        run.log("loss", number)
        if number % 1000 == 0:
            print(number, flush=True)
    print("all", flush=True)
    sys.stdin.readline()
    os._exit(9)
    """
    with host.start(logs) as program:
        assert line(program) == "begun"
        counts = []
        while (said := line(program)) != "all":
            if int(said) % 10_000 == 0:
                values = [row["value"] for row in lines(host.run("-m", "steplog", "export", "--here").out)]
                assert values == list(range(len(values)))
                assert len(values) > int(said)
                counts.append(len(values))
        values = [row["value"] for row in lines(host.run("-m", "steplog", "export", "--here").out)]
        assert values == list(range(25_000))
        go_on(program)
        assert ended(program).code == 9
    assert len(lines(host.run("-m", "steplog", "export", "--here").out)) == 25_000
