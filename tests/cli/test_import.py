"""``steplog import`` to a real server: what is printed, what is on the server then, and what to type where it fails."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import COMMAND
from cli.terminal import environment, on_terminal
from server.process import KEY, SOURCES, ServerProcess, lasting_port
from steplog.transfer.sources import FORMATS


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def exported(run: dict[str, Any], *points: tuple[str, int, str, Any]) -> list[str]:
    """The lines of a run as export writes them."""
    keys = ("name", "step", "time", "value")
    return [json.dumps({"run": run}), *(json.dumps(dict(zip(keys, point, strict=True))) for point in points)]


def runs_of(server: ServerProcess, project: str) -> list[dict[str, Any]]:
    found = server.ask("GET", f"/me/projects/{project}/runs/")
    return list(found.json()) if found.status_code == 200 else []


def points_of(server: ServerProcess, project: str, run: dict[str, Any]) -> list[tuple[str, int, Any]]:
    found = server.ask("GET", f"/me/projects/{project}/runs/{run['uuid']}/metrics/").json()
    return [(p["name"], p["step"], p["value"]) for p in found if not p["name"].startswith("steplog/")]


def test_twice_gives_nothing_twice_from_wherever_it_is(steplog: COMMAND, server: ServerProcess, tmp_path: Path):
    path = write(tmp_path / "a" / "loss.csv", "step,loss,acc", "0,0.5,", "1,0.25,0.9")
    done = steplog("import", str(path), "--project", "twice", url=server.url)
    assert (done.exit_code, done.output) == (0, "twice/loss: 3 records sent\n")
    again = steplog("import", str(path), "--project", "me/twice", url=server.url)
    assert (again.exit_code, again.output) == (0, "twice/loss: 0 records sent, 3 already there\n")
    other = write(tmp_path / "b" / "loss.csv", *path.read_text().splitlines(), "2,0.125,")
    grown = steplog("import", str(other), "--project", "twice", url=server.url)
    assert (grown.exit_code, grown.output) == (0, "twice/loss: 1 record sent, 3 already there\n")
    (run,) = runs_of(server, "twice")
    assert points_of(server, "twice", run) == [("loss", 0, 0.5), ("loss", 1, 0.25), ("acc", 1, 0.9), ("loss", 2, 0.125)]


def test_names_steps_times_config_tags_and_status_are_kept(steplog: COMMAND, server: ServerProcess, tmp_path: Path):
    fields: dict[str, Any] = {
        "description": "what",
        "tags": ["a", "b"],
        "group": "g",
        "job_type": "train",
        "notes": "n",
        "started": "1999-12-31T23:59:59.500000Z",
        "ended": "2001-01-01T00:00:00.000000Z",
        "config": {"lr": 0.1, "layers": [1, {"a": None}]},
        "provenance": {"host": "there"},
        "status": "CRASHED",
    }
    points: list[tuple[str, int, str, Any]] = [
        ("loss", -5, "1969-12-31T23:59:59.000000001Z", 0.5),
        ("loss", 2**63 - 1, "2000-01-01T00:00:00.000000002Z", "Infinity"),
        ("note", 0, "2000-01-01T00:00:00.000000003Z", {"a": None}),
        ("steplog/exception", 0, "2000-01-01T00:00:00.000000004Z", {"type": "ValueError"}),
    ]
    lines = exported({"id": "kept-1", "name": "kept", "project": "Kept here"} | fields, *points)
    done = steplog("import", str(write(tmp_path / "a.jsonl", *lines)), url=server.url)
    assert (done.exit_code, done.output) == (0, "kept-here/kept: 4 records sent\n")
    (run,) = runs_of(server, "kept-here")
    assert (run["id"], run["name"], run["project"]["display_name"]) == ("kept-1", "kept", "Kept here")
    assert {name: run[name] for name in fields} == fields
    told = server.ask(
        "GET", f"/me/projects/kept-here/runs/{run['uuid']}/history/", headers={"Accept": "application/x-ndjson"}
    )
    rows = [json.loads(line) for line in told.text.splitlines()]
    found = [(row["name"], row["step"], row["time"], row["value"]) for row in rows]
    assert [row for row in found if row[0] != "steplog/config"] == points


def test_what_changes_at_the_source_is_changed_and_what_changed_at_the_server_stays(
    steplog: COMMAND, server: ServerProcess, tmp_path: Path
):
    def import_(**fields: Any) -> str:
        run = {"id": "changes", "name": "changes", "project": "changes", "status": "RUNNING"} | fields
        done = steplog("import", str(write(tmp_path / "a.jsonl", *exported(run))), url=server.url)
        assert done.exit_code == 0
        return str(done.output)

    for tags in (["a"], ["b"], ["a"], ["b"], ["a"]):
        import_(config={"lr": 0.1, "old": 1} if tags == ["a"] else {"lr": 0.3}, tags=tags, notes="theirs")
        (run,) = runs_of(server, "changes")
        assert (run["tags"], run["config"]["lr"], run["notes"]) == (tags, 0.1 if tags == ["a"] else 0.3, "theirs")
        assert ("old" in run["config"]) == (tags == ["a"])
    (run,) = runs_of(server, "changes")
    path = f"/me/projects/changes/runs/{run['uuid']}/"
    server.ask("PATCH", path, json={"notes": "mine", "name": "renamed"})
    said = import_(
        config={"lr": 0.2}, tags=["a", "b"], notes="theirs", status="COMPLETED", ended="2020-01-01T00:00:00Z"
    )
    assert said == "changes/renamed: 0 records sent\n"
    run = server.ask("GET", path).json()
    assert (run["config"], run["tags"], run["notes"]) == ({"lr": 0.2}, ["a", "b"], "mine")
    assert (run["status"], run["ended"], run["name"]) == ("COMPLETED", "2020-01-01T00:00:00.000000Z", "renamed")


def test_an_export_into_the_server_that_it_came_from_sends_nothing(
    steplog: COMMAND, server: ServerProcess, tmp_path: Path
):
    (run,) = runs_of(server, "mnist")
    before = points_of(server, "mnist", run)
    lines = exported({"id": run["uuid"], "name": "first", "project": "mnist"}, ("loss", 0, "2000-01-01T00:00:00Z", 7.0))
    done = steplog("import", str(write(tmp_path / "a.jsonl", *lines)), url=server.url)
    words = "is on this server already, logged by its own program; nothing is sent"
    assert (done.exit_code, done.output) == (0, f"mnist/first: {words}\n")
    assert points_of(server, "mnist", run) == before
    elsewhere = steplog("import", str(tmp_path / "a.jsonl"), "--project", "copies", url=server.url)
    assert elsewhere.output == "copies/first: 1 record sent\n"


def test_a_run_that_was_deleted_is_imported_anew(steplog: COMMAND, server: ServerProcess, tmp_path: Path):
    path = write(tmp_path / "gone.csv", "step,loss", "0,0.5")
    for _ in range(2):
        done = steplog("import", str(path), "--project", "gone", url=server.url)
        assert (done.exit_code, done.output) == (0, "gone/gone: 1 record sent\n")
        (run,) = runs_of(server, "gone")
        assert points_of(server, "gone", run) == [("loss", 0, 0.5)]
        server.ask("DELETE", f"/me/projects/gone/runs/{run['uuid']}/")


def test_a_name_that_is_taken_gets_a_suffix_and_that_is_said(steplog: COMMAND, server: ServerProcess, tmp_path: Path):
    for number, expected in (
        (1, "names/a: 1 record sent"),
        (2, "names/a_1: 1 record sent; the name a is another run's"),
    ):
        path = write(tmp_path / str(number) / "x.csv", "loss", str(number))
        done = steplog("import", str(path), "--project", "names", "--name", "a", url=server.url)
        assert (done.exit_code, done.output) == (0, f"{expected}\n")


def test_what_cannot_be_held_is_said_and_the_rest_is_there(steplog: COMMAND, server: ServerProcess, tmp_path: Path):
    name = "n" * 257
    path = write(tmp_path / "a.csv", f"step,loss,{name},steplog/x", "0,0.5,1,1", f"{2**63},1,,", "-1,2,3,")
    for sent in ("2 records sent", "0 records sent, 2 already there"):
        done = steplog("import", str(path), "--project", "odd", url=server.url)
        assert done.exit_code == 1
        assert done.output.splitlines() == [
            f"odd/a: {sent}",
            f"steplog: a: left out: 2 records of {name[:40]}…, a name of more than 256 bytes",
            "steplog: a: left out: 1 record of steplog/x: names under steplog/ are steplog's own",
            "steplog: a: left out: 1 record with a step beyond 64 bits",
        ]
    (run,) = runs_of(server, "odd")
    assert points_of(server, "odd", run) == [("loss", 0, 0.5), ("loss", -1, 2)]


def test_a_file_that_is_damaged_does_not_hold_back_the_next(steplog: COMMAND, server: ServerProcess, tmp_path: Path):
    bad = write(tmp_path / "bad.csv", "step,loss", "0,0.5,7")
    good = write(tmp_path / "good.csv", "step,loss", "0,0.5")
    missing = tmp_path / "missing.csv"
    done = steplog("import", str(bad), str(missing), str(good), "--project", "damaged", url=server.url)
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        f"steplog: {bad}: a row has 3 cells, the first row 2: 0,0.5,7",
        f"steplog: {missing}: No such file or directory",
        "damaged/good: 1 record sent",
    ]


def test_standard_input_is_json_lines(steplog: COMMAND, server: ServerProcess):
    typed = '{"_step": 3, "loss": 0.5}\n'
    for sent in ("1 record sent", "0 records sent, 1 already there"):
        done = steplog("import", "-", "--project", "piped", url=server.url, typed=typed)
        assert (done.exit_code, done.output) == (0, f"piped/stdin: {sent}\n")
    done = steplog(
        "import", "-", "--format", "csv", "--project", "piped", "--name", "b", url=server.url, typed="a\n1\n"
    )
    assert (done.exit_code, done.output) == (0, "piped/b: 1 record sent\n")


def test_a_dry_run_says_what_there_is_and_needs_no_server(steplog: COMMAND, tmp_path: Path):
    write(tmp_path / "x" / "a.csv", "step,loss,acc", "0,0.5,1", "1,0.5,")
    write(tmp_path / "x" / "b.csv", *["a,b,c,d,e,f,g", "1,2,3,4,5,6,7"])
    done = steplog("import", "--dry-run", str(tmp_path / "x"))
    first, second = done.output.splitlines()
    assert first.startswith("a, COMPLETED: 3 records of loss, acc; id csv-")
    assert second.startswith("b, COMPLETED: 7 records of a, b, c, d, e and 2 more; id csv-")
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["a.txt"],
            1,
            "a.txt holds nothing that can be imported: wandb, tfevents, mlflow, trackio, csv, jsonl, parquet",
        ),
        (["both"], 1, "both holds csv and jsonl. Say which: --format csv"),
        (["both", "--format", "csv", "--name", "x"], 2, "--name is for one run; there are more, such as 'b'."),
        (["a.csv"], 1, "a.csv: it does not say of which project it is. Name one with --project"),
        (["a.csv", "--project", "///"], 1, "no name of a project. Name one with --project"),
        (["a.csv", "--project", "p", "--step-column", "x"], 1, "there is no column 'x' for the steps; there are loss"),
        (["empty.csv", "--project", "p"], 0, "empty.csv: no runs"),
        (["gone.csv", "--project", "p"], 1, "gone.csv: No such file or directory"),
        *[(["gone.csv", "--format", each], 1, "gone.csv: No such file or directory") for each in FORMATS],
        ([], 2, "Missing argument 'PATH...'. Type: steplog import --help"),
    ],
)
def test_what_cannot_be_is_said_with_what_to_type(
    steplog: COMMAND, server: ServerProcess, tmp_path: Path, arguments: list[str], code: int, words: str
):
    write(tmp_path / "a.txt", "x")
    write(tmp_path / "a.csv", "loss", "1")
    write(tmp_path / "empty.csv")
    for name in ("both/a.csv", "both/b.csv", "both/a.jsonl"):
        write(tmp_path / name, "loss", "1")
    done = steplog(
        "import",
        *(str(tmp_path / each) if "." in each or each == "both" else each for each in arguments),
        url=server.url,
    )
    assert done.exit_code == code
    assert words in done.output.replace(f"{tmp_path}/", "")
    assert len(done.output.splitlines()) == 1


def test_without_a_server_it_says_what_to_type(steplog: COMMAND, tmp_path: Path):
    done = steplog("import", str(write(tmp_path / "a.csv", "loss", "1")))
    words = "no server is configured, and none runs on this machine; type: steplog serve, or: steplog login"
    assert (done.exit_code, done.output) == (1, f"steplog: {words}\n")


def test_a_server_that_is_not_there_is_not_waited_for(steplog: COMMAND, tmp_path: Path):
    done = steplog("import", str(write(tmp_path / "a.csv", "loss", "1")), url="http://127.0.0.1:1")
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert done.output.startswith("steplog: http://127.0.0.1:1: ")
    assert done.output.endswith("Type: steplog doctor\n")


def test_a_server_that_knows_no_batches_is_refused_and_nothing_is_made_there(steplog: COMMAND, tmp_path: Path):
    with ServerProcess(tmp_path / "stock", "--user", "me", "--stock") as server:
        path = write(tmp_path / "a.csv", "loss", "1")
        done = steplog("import", str(path), "--project", "p", url=server.url)
        assert done.exit_code == 1
        assert done.output.startswith(f"steplog: {server.url} takes one metric a request, and cannot tell one that")
        assert done.output.endswith("Type: steplog serve\n")
        assert server.ask("GET", "/me/projects/p/").status_code == 404


@pytest.mark.slow
def test_on_a_terminal_the_bar_is_gone_at_the_end(server: ServerProcess, tmp_path: Path):
    losses(tmp_path / "bar.csv", 20_000)
    variables = environment(tmp_path / "state", STEPLOG_URL=server.url, STEPLOG_API_KEY=KEY)
    shown = on_terminal(["import", str(tmp_path / "bar.csv"), "--project", "bar"], variables)
    assert shown.code == 0
    assert "bar 20,000 records" in shown.text
    assert shown.text.endswith("\x1b[2Kbar/bar: 20,000 records sent\n")  # in a line that was erased


@pytest.mark.slow
def test_nobody_who_reads_what_is_printed_is_no_error(server: ServerProcess, tmp_path: Path):
    write(tmp_path / "a.csv", "loss", "1")
    started = program(server, tmp_path / "state", str(tmp_path / "a.csv"), "--project", "unread")
    assert started.stdout is not None
    started.stdout.close()
    assert started.stderr is not None
    assert started.stderr.read() == ""
    started.wait(60)
    started.stderr.close()


def program(server: ServerProcess, directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith(("STEPLOG_", "TELLURIO_"))}
    environment |= {"STEPLOG_DIR": str(directory), "STEPLOG_URL": server.url, "STEPLOG_API_KEY": KEY}
    return subprocess.Popen(
        [sys.executable, "-m", "steplog", "import", *arguments],
        env=environment | {"PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stored(server: ServerProcess, project: str) -> int:
    """How many points have arrived."""
    paths = [f"/me/projects/{project}/runs/{run['uuid']}/series/" for run in runs_of(server, project)]
    return sum(row["count"] for path in paths for row in server.ask("GET", path).json())


def losses(path: Path, count: int) -> list[tuple[str, int, float]]:
    """A file of so many points, and these."""
    points = [("loss", step, step / 7) for step in range(count)]
    path.write_text("step,loss\n" + "".join(f"{step},{value}\n" for _, step, value in points), "utf-8")
    return points


@pytest.mark.slow
def test_kills_at_any_moment_lose_nothing_and_double_nothing(server: ServerProcess, tmp_path: Path):
    """Of the program, by SIGKILL and by Ctrl-C, each time once it has come further; then it is left to end."""
    points = losses(tmp_path / "big.csv", 300_000)
    arguments, chance = (str(tmp_path / "big.csv"), "--project", "killed"), random.Random(7)
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        wanted = stored(server, "killed") + chance.randrange(1, 50_000)
        started = program(server, tmp_path / "state", *arguments)
        while started.poll() is None and stored(server, "killed") < wanted:
            pass
        started.send_signal(number)
        _, errors = started.communicate(timeout=60)
        if started.returncode == 130:
            assert errors == "steplog: interrupted. Type the same again: it goes on where it was\n"
    ended = program(server, tmp_path / "state", *arguments)
    output, errors = ended.communicate(timeout=120)
    assert (ended.returncode, errors) == (0, "")
    (run,) = runs_of(server, "killed")
    assert points_of(server, "killed", run) == points
    assert run["status"] == "COMPLETED"
    sent, there = re.fullmatch(r"killed/big: ([\d,]+) records sent, ([\d,]+) already there\n", output).groups()
    assert sum(int(number.replace(",", "")) for number in (sent, there)) == len(points)


@pytest.mark.slow
def test_a_server_that_dies_and_comes_back_is_waited_for(tmp_path: Path):
    points = losses(tmp_path / "big.csv", 200_000)
    with ServerProcess(tmp_path / "server", "--user", "me", "--port", str(lasting_port())) as server:
        started = program(server, tmp_path / "state", str(tmp_path / "big.csv"), "--project", "back")
        while started.poll() is None and not runs_of(server, "back"):
            pass
        server.end(signal.SIGKILL)
        server.start()
        output, errors = started.communicate(timeout=120)
        assert started.returncode == 0
        assert re.fullmatch(rf"(steplog: {server.url}: .*; waiting\n)*", errors)
        assert re.fullmatch(
            r"back/big: 200,000 records sent\n|back/big: [\d,]+ records sent, [\d,]+ already there\n", output
        )
        (run,) = runs_of(server, "back")
        assert points_of(server, "back", run) == points
