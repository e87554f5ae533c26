"""``steplog export``: what is on a server, as files, asked for as one types it."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import steplog as steplog_package
from apart import apart
from cli.conftest import COMMAND, EVIL, named_run
from cli.terminal import environment, on_terminal
from polling import wait_until
from server.batches import range_of
from server.process import DEADLINE_S, KEY, SOURCES, ServerProcess, lasting_port
from steplog.cli import main

HEADER = ["name", "step", "time", "value"]


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def test_a_run_is_written_as_csv_with_a_row_a_point(server: ServerProcess, steplog: COMMAND):
    done = steplog("export", "first", url=server.url)
    assert (done.exit_code, done.stderr) == (0, "")
    header, *points = rows(done.stdout)
    assert header == HEADER
    assert [point[0] for point in points[:2]] == ["note", "loss\x1b]0;owned\x07\x1b[2J\u202e"]
    assert [(point[0], point[1], point[3]) for point in points[2:]] == [
        ("loss", str(step), str((100 - step) / 100)) for step in range(100)
    ]


def test_a_file_says_by_its_ending_of_which_format_it_is(server: ServerProcess, steplog: COMMAND, tmp_path: Path):
    for ending in ("jsonl", "ndjson", "JSONL"):
        done = steplog("export", "mnist/first", "--output", f"{tmp_path}/x.{ending}", url=server.url)
        assert (done.exit_code, done.stderr) == (0, f"102 points of 1 run in {tmp_path}/x.{ending}\n")
        first, *points = map(json.loads, (tmp_path / f"x.{ending}").read_text().splitlines())
        assert first["run"]["config"] == {"layers": [64, 10], "lr": 0.3}
        assert len(points) == 102
    steplog("export", "first", "--format", "csv", "--output", f"{tmp_path}/x.jsonl", url=server.url)
    assert (tmp_path / "x.jsonl").read_text().startswith("name,")
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".x")]


def test_event_files_are_told_by_the_ending_of_their_directory(server: ServerProcess, steplog: COMMAND, tmp_path: Path):
    for output in (tmp_path / "a.tfevents", f"{tmp_path}/b.tfevents/"):
        done = steplog("export", "mnist/first", "--output", str(output), url=server.url)
        assert done.exit_code == 0, done.output
        (file,) = Path(output).glob("first/*")
        assert ".tfevents." in file.name


def test_the_runs_that_a_filter_means_have_a_column_that_says_which(server: ServerProcess, steplog: COMMAND):
    done = steplog("export", "--project", "mnist", "--where", "status=COMPLETED", "--name", "loss", url=server.url)
    header, *points = rows(done.stdout)
    assert header == ["run", *HEADER]
    assert ({point[0] for point in points}, len(points)) == ({"first"}, 100)
    wide = rows(steplog("export", "first", "--wide", "--name", "loss", url=server.url).stdout)
    assert wide[0] == ["step", "time", "loss"]
    assert [row[2] for row in wide[1:3]] == ["1.0", "0.99"]


def test_a_directory_has_each_run_and_what_has_not_changed_is_left(
    server: ServerProcess, steplog: COMMAND, tmp_path: Path
):
    out = f"{tmp_path}/out/"
    done = steplog("export", "--project", "cifar", "--output", out, url=server.url)
    assert (done.exit_code, done.stderr) == (0, f"0 points of 1 run in {out}\n")
    done = steplog("export", "first", "--project", "cifar", "--output", out, url=server.url)
    assert (done.exit_code, "not both" in done.stderr) == (2, True)
    done = steplog("export", "first", "first", "--output", out, url=server.url)
    assert done.stderr == f"102 points of 1 run in {out}\n"
    assert steplog("export", "first", "--output", out, url=server.url).stderr.endswith(", 1 unchanged\n")
    assert sorted(os.listdir(out)) == [".steplog-export.jsonl", "first.csv", "loss__0_owned___2J_.csv"]


def test_a_file_that_is_not_ours_is_named_and_the_exit_code_says_so(
    server: ServerProcess, steplog: COMMAND, tmp_path: Path
):
    (tmp_path / "first.csv").write_text("mine")
    done = steplog("export", "first", "--output", f"{tmp_path}/", url=server.url)
    assert done.exit_code == 1
    assert f"{tmp_path}/first.csv is not of an earlier export into this directory; remove it" in done.stderr
    assert (tmp_path / "first.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "which runs? give RUN, or --project, or --here"),
        (("fist",), 1, "no run 'fist'"),
        (("first", "--name", "los"), 1, "the run 'first' has no metric 'los'; did you mean 'loss'?"),
        (("first", "--format", "jsonl", "--wide"), 2, "--wide is for csv and parquet, not jsonl."),
        (("first", "--format", "jsonl", "--excel"), 2, "--excel is for csv, not jsonl."),
        (("first", "--format", "tfevents"), 2, "tfevents is a directory for each run; give --output DIR/."),
        (("first", "--output", "/nowhere/x.csv.gz"), 2, "nothing is compressed, as .gz says; leave that out"),
        (("first", "--here", "--wide"), 2, "--here takes RUN and --output alone"),
        (("--project", "minst"), 1, "has no project me/minst; did you mean 'me/mnist'?"),
        (("--project", "mnist", "--where", "status=FAILED"), 1, "me/mnist has no run of status=FAILED."),
        (("first", "--output", "/nowhere/x.csv"), 1, "/nowhere/x.csv: No such file or directory"),
        (("first", "--output", "/dev/full"), 1, "/dev/full: No space left on device"),
        (("first", "--output", "/dev/null/"), 1, "/dev/null: Not a directory"),
    ],
)
def test_what_is_wrong_is_said_and_what_there_is_instead(
    server: ServerProcess, steplog: COMMAND, arguments: tuple[str, ...], code: int, words: str
):
    done = steplog("export", *arguments, url=server.url)
    assert (done.exit_code, done.stdout) == (code, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_excel_gets_a_file_that_it_reads(server: ServerProcess, steplog: COMMAND, tmp_path: Path):
    done = steplog("export", "first", "--excel", "--output", f"{tmp_path}/x.csv", url=server.url)
    assert done.exit_code == 0
    assert (tmp_path / "x.csv").read_bytes().startswith(b"\xef\xbb\xbfname,step,time,value\r\n")


def test_without_pyarrow_parquet_says_what_to_type(
    server: ServerProcess, steplog: COMMAND, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    done = steplog("export", "first", "--output", f"{tmp_path}/x.parquet", url=server.url)
    assert (done.exit_code, list(tmp_path.glob("*x.parquet*"))) == (1, [])
    assert "pip install 'steplog[parquet]'" in done.stderr


@apart
def test_runs_that_only_this_machine_has_are_exported_with_those_of_their_project(tmp_path: Path):
    with ServerProcess(tmp_path, "--user", "me") as server:
        settings = {"STEPLOG_DIR": f"{tmp_path}/state", "STEPLOG_URL": server.url, "STEPLOG_API_KEY": KEY}
        os.environ.update(settings)
        assert server.send(named_run(server, "mnist", "there"), range_of([("loss", 0.25, 0)])).status_code == 200
        run = steplog_package.init(project="mnist", name="here", mode="offline", provenance=False)
        run.log("loss", 0.5, step=7)
        run.finish(timeout=0)
        done = CliRunner().invoke(main, ["export", "--project", "mnist"])
        found = [(row[0], row[2], row[4]) for row in rows(done.stdout)[1:]]
        assert sorted(found) == [("here", "7", "0.5"), ("there", "0", "0.25")]
        assert rows(CliRunner().invoke(main, ["export", "here"]).stdout)[1][1] == "7"


@pytest.mark.slow
def test_runs_of_a_stock_server_have_no_times(steplog: COMMAND, tmp_path: Path):
    with ServerProcess(tmp_path, "--user", "me", "--stock") as server:
        path = named_run(server, "mnist", "first")
        for name, value in (("steplog/config", {"lr": 0.3}), ("loss", 0.5), ("loss", "NaN"), ("note", {"a": 1})):
            server.ask("POST", f"{path}metrics/", json={"name": name, "value": value})
        done = steplog("export", "mnist/first", url=server.url)
        assert rows(done.stdout) == [
            HEADER,
            ["loss", "0", "", "0.5"],
            ["loss", "1", "", "NaN"],
            ["note", "0", "", '{"a":1}'],
        ]
        wide = rows(steplog("export", "--project", "mnist", "--wide", url=server.url).stdout)
        assert wide[1:] == [["first", "0", "", "0.5", '{"a":1}'], ["first", "1", "", "NaN", ""]]
        first, *points = steplog("export", "mnist/first", "--format", "jsonl", url=server.url).stdout.splitlines()
        assert json.loads(first)["run"]["config"] == {"lr": 0.3}
        assert json.loads(points[0]) == {"name": "loss", "step": 0, "value": 0.5}


class Typed:
    """``steplog export`` in a process of its own, of a run of many points on a server."""

    def __init__(self, server: ServerProcess, home: Path, *arguments: str, **more: object) -> None:
        environment = {**os.environ, "STEPLOG_URL": server.url, "STEPLOG_API_KEY": KEY, "STEPLOG_DIR": str(home)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "steplog", "export", *arguments],
            env={**environment, "PYTHONPATH": str(SOURCES)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,  # type: ignore[call-overload]
        )

    def ended(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, errors.decode()


@pytest.fixture(scope="module")
def many(server: ServerProcess) -> str:
    """A run of which not all fits into a pipe."""
    path = named_run(server, "large", "many")
    assert server.send(path, range_of([("loss", step / 7, step) for step in range(20_000)])).status_code == 200
    return "large/many"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_reader_that_has_enough_ends_it_quietly(server: ServerProcess, many: str, tmp_path: Path, kind: str):
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    typed = Typed(server, tmp_path, many, "--format", kind)
    assert typed.process.stdout is not None
    typed.process.stdout.read(10)
    typed.process.stdout.close()
    typed.process.stdout = None
    code, errors = typed.ended()
    assert (code, errors) == (1, "")


@pytest.mark.slow
def test_a_terminal_gets_lines_without_what_it_would_obey_or_a_bar(server: ServerProcess, tmp_path: Path):
    variables = environment(tmp_path, STEPLOG_URL=server.url, STEPLOG_API_KEY=KEY)
    shown = on_terminal(["export", "first", "--name", EVIL, "--name", "note"], variables)
    assert shown.code == 0
    assert shown.text.splitlines()[0] == "name,step,time,value"
    assert len(shown.text.splitlines()) == 3
    assert not {"\x1b", "\x07", "\u202e"} & set(shown.text)
    shown = on_terminal(["export", "first", "--output", f"{tmp_path}/x.csv"], variables, columns=120)
    assert shown.text.endswith(f"102 points of 1 run in {tmp_path}/x.csv\n")
    assert "102/102" in shown.text
    refused = on_terminal(["export", "first", "--format", "parquet"], variables, columns=120)
    assert (refused.code, "Parquet is nothing for a terminal; give --output FILE." in refused.text) == (2, True)


def test_a_bar_is_not_drawn_between_lines_that_go_through_a_pipe(server: ServerProcess, tmp_path: Path):
    screen, terminal = pty.openpty()
    variables = environment(tmp_path, STEPLOG_URL=server.url, STEPLOG_API_KEY=KEY)
    command = [sys.executable, "-m", "steplog", "export", "first", "--name", "loss"]
    done = subprocess.run(
        command, env=variables, stdout=subprocess.PIPE, stderr=terminal, timeout=DEADLINE_S, check=True
    )
    os.write(terminal, b"the end")
    assert os.read(screen, 65_536) == b"the end"
    assert done.stdout.count(b"\n") == 101
    os.close(screen)
    os.close(terminal)


@pytest.mark.slow
def test_parquet_goes_through_a_pipe(server: ServerProcess, many: str, tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    typed = Typed(server, tmp_path, many, "--format", "parquet")
    content, errors = typed.process.communicate(timeout=DEADLINE_S)
    assert (typed.process.returncode, errors) == (0, b"")
    table = parquet.read_table(io.BytesIO(content))
    assert table.column("value").to_pylist() == [step / 7 for step in range(20_000)]


@pytest.mark.slow
def test_ctrl_c_ends_it_with_one_line(server: ServerProcess, many: str, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    typed = Typed(server, tmp_path, many, "--format", "jsonl", "--output", str(tmp_path / "pipe"))
    with open(tmp_path / "pipe", "rb") as pipe:
        assert pipe.read(1) == b"{"  # it is written, and waits until more is read
        typed.process.send_signal(signal.SIGINT)
        assert typed.ended() == (130, "\nsteplog: interrupted\n")


@pytest.mark.slow
def test_a_server_that_is_killed_and_comes_back_costs_no_point(tmp_path: Path):
    """So many points that they wait in the server, when the first ones have been written."""
    count, batch = 600_000, 30_000
    (tmp_path / "server").mkdir()
    with ServerProcess(tmp_path / "server", "--user", "me", "--port", str(lasting_port())) as server:
        path = named_run(server, "large", "many")
        for first in range(0, count, batch):
            records = [("loss", step / 7, step) for step in range(first, first + batch)]
            assert server.send(path, range_of(records, first)).status_code == 200
        os.mkfifo(tmp_path / "pipe")
        typed = Typed(server, tmp_path, "large/many", "--output", str(tmp_path / "pipe"))
        with open(tmp_path / "pipe", "rb", buffering=0) as pipe:
            content = [pipe.read(1)]
            while sum(map(len, content)) < 100:  # a point has come
                content.append(pipe.read(100))
            server.process.kill()
            server.process.communicate(timeout=DEADLINE_S)
            server.start()
            while piece := pipe.read(1 << 20):
                content.append(piece)
        assert typed.ended() == (0, f"{count:,} points of 1 run in {tmp_path}/pipe\n")
    found = b"".join(content).decode().splitlines()[1:]
    assert [line.rpartition(",")[2] for line in found] == [str(step / 7) for step in range(count)]


@pytest.mark.slow
def test_an_export_of_many_runs_that_is_killed_goes_on_with_those_that_are_missing(tmp_path: Path):
    (tmp_path / "server").mkdir()
    out = tmp_path / "out"
    with ServerProcess(tmp_path / "server", "--user", "me") as server:
        for number in range(100):
            path = named_run(server, "many", f"run {number}")
            assert server.send(path, range_of([("loss", 0.5, step) for step in range(10)])).status_code == 200
        typed = Typed(server, tmp_path, "--project", "many", "--output", f"{out}/")
        wait_until(lambda: len(list(out.glob("*.csv"))) >= 10)
        typed.process.kill()
        typed.process.communicate(timeout=DEADLINE_S)
        code, errors = Typed(server, tmp_path, "--project", "many", "--output", f"{out}/").ended()
        written, unchanged = map(int, re.findall(r"of (\d+) runs? in .*, (\d+) unchanged", errors)[0])
        assert (code, written + unchanged) == (0, 100)
        assert unchanged >= 9  # the one that was renamed when it was killed may not be in the list yet
    found = {path.name: path.read_bytes().count(b"\r\n") for path in out.iterdir() if not path.name.startswith(".")}
    assert found == {f"run {number}.csv": 11 for number in range(100)}
