"""``ls`` answers queries: by filter, columns and order, for people and for programs, on any server."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli.terminal import environment, on_terminal
from server.process import DEADLINE_S, KEY, ServerProcess

STYLES = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


def add(server: ServerProcess, project: str, name: str, loss: float | None, **fields: object) -> str:
    """The uuid of a new run."""
    server.ask("POST", "/me/projects/", json={"display_name": project, "visibility": "TEAM"})
    made = server.ask("POST", f"/me/projects/{project}/runs/", json={"name": name})
    path = f"/me/projects/{project}/runs/{made.json()['uuid']}/"
    config = fields.pop("config", {})
    for metric, value in (("steplog/config", config), ("train/loss", loss)):
        if value is not None:
            server.ask("POST", f"{path}metrics/", json={"name": metric, "value": value})
    if fields:
        assert server.ask("PATCH", path, json=fields).status_code == 200
    return str(made.json()["uuid"])


@pytest.fixture(scope="module", params=["batch", "stock"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """``mnist`` with three runs, ``cifar`` with one."""
    options = ["--stock"] if request.param == "stock" else []
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "me", *options) as server:
        add(server, "mnist", "first", 0.5, config={"lr": 0.1, "optim": {"name": "adam"}}, status="COMPLETED")
        add(server, "mnist", "second", 0.25, config={"lr": 0.2}, status="FAILED")
        add(server, "cifar", "third", 0.125, config={"lr": 0.3})
        add(server, "mnist", "fourth", None)
        yield server


def names(output: str) -> list[str]:
    return [line.split()[0] for line in output.splitlines()[1:]]


def test_a_filter_chooses_runs_and_shows_what_it_compares(server, steplog):
    done = steplog("ls", "/mnist", "--where", "config.lr>0.05 and train/loss.last<1", url=server.url)
    assert done.exit_code == 0
    head, *lines = done.output.splitlines()
    assert {"run", "status", "config.lr", "train/loss.last", "started", "id"} <= set(head.split())
    assert [line.split()[0] for line in lines] == ["first", "second"]
    assert "0.2" in lines[1]
    assert "0.25" in lines[1]


def test_an_order_begins_with_what_was_asked_for_and_missing_ones_come_last(server, steplog):
    assert names(steplog("ls", "/mnist", "--sort", "train/loss.last", url=server.url).stdout) == [
        *("second", "first", "fourth")
    ]
    assert names(steplog("ls", "/mnist", "--sort", "-train/loss.last", url=server.url).stdout) == [
        *("first", "second", "fourth")
    ]


def test_columns_are_those_that_were_asked_for_of_all_projects(server, steplog):
    options = ("--columns", "status,config.lr", "--columns", "train/loss.min", "--sort", "-config.lr", "-n", "2")
    done = steplog("ls", *options, url=server.url)
    head, first, second = done.output.splitlines()
    assert head.split() == ["run", "project", "status", "config.lr", "train/loss.min"]
    assert first.split() == ["third", "cifar", "RUNNING", "0.3", "0.125"]
    assert second.split() == ["second", "mnist", "FAILED", "0.2", "0.25"]


def test_status_tag_and_group_go_through_the_same_filter(server, steplog):
    options = ("--status", "failed", "--status", "running", "--where", "name!=fourth", "--columns", "name")
    assert names(steplog("ls", *options, url=server.url).output) == ["second", "third"]


def test_json_has_an_object_a_run_without_what_is_missing(server, steplog):
    done = steplog("ls", "/mnist", "--json", "--columns", "name,config.optim.name", "--sort", "name", url=server.url)
    first, fourth, _ = json.loads(done.stdout)["runs"]
    uuid = first.pop("uuid")
    assert len(uuid) == 36
    assert first == {"namespace": "me", "project": "mnist", "name": "first", "config.optim.name": "adam"}
    assert fourth.keys() == {"namespace", "project", "uuid", "name"}
    (whole,) = json.loads(steplog("ls", "/mnist", "--json", "--where", "name=first", url=server.url).stdout)["runs"]
    assert whole["uuid"] == uuid


def test_csv_has_a_line_a_run(server, steplog):
    options = ("--csv", "--columns", "name,train/loss.last,config.optim", "--sort", "name")
    done = steplog("ls", "/mnist", *options, url=server.url)
    head, *rows = csv.reader(done.stdout.splitlines())
    assert head == ["uuid", "name", "train/loss.last", "config.optim"]
    assert [row[1:] for row in rows] == [["first", "0.5", ""], ["fourth", "", ""], ["second", "0.25", ""]]
    assert done.stdout_bytes.count(b"\r\n") == 4
    head, *rows = csv.reader(steplog("ls", "--csv", url=server.url).stdout.splitlines())
    assert head[:4] == ["uuid", "project", "status", "name"]
    assert [row[3] for row in rows] == ["first", "second", "third", "fourth"]


def test_that_there_are_more_runs_is_said_unless_a_number_was_given(server, steplog, monkeypatch):
    monkeypatch.setattr("steplog.cli.ls._LIMIT", 2)
    words = "steplog: these are 2 of more runs; -n 0 lists all\n"
    assert steplog("ls", "--csv", url=server.url).stderr == words
    assert steplog("ls", "--csv", "-n", "2", url=server.url).stderr == ""
    done = steplog("ls", "--csv", "-n", "0", url=server.url)
    assert (len(done.stdout.splitlines()), done.stderr) == (5, "")
    assert steplog("ls", url=server.url).stderr == ""


def test_a_column_that_no_run_has_is_said_with_close_ones(server, steplog):
    done = steplog("ls", "/mnist", "--columns", "name,config.lrr,trian/loss.last,config.optim", url=server.url)
    assert names(done.stdout) == ["first", "second", "fourth"]
    where = f"no run in me/mnist on {server.url} has"
    assert done.stderr.splitlines() == [
        f"steplog: {where} config.lrr; did you mean 'config.lr'?",
        f"steplog: {where} trian/loss; did you mean 'train/loss'?",
    ]


def test_a_filter_that_matches_nothing_says_which_of_its_fields_no_run_has(server, steplog):
    done = steplog("ls", "/mnist", "--where", "config.lrr>0.1 and train/loss.last<9", url=server.url)
    assert done.exit_code == 0
    assert done.stdout == f"no runs in me/mnist on {server.url}\n"
    assert done.stderr.startswith(
        f"steplog: no run in me/mnist on {server.url} has config.lrr; did you mean 'config.lr'"
    )
    assert len(done.stderr.splitlines()) == 1
    assert steplog("ls", "/mnist", "--where", "config.lr>7", url=server.url).stderr == ""


@pytest.mark.parametrize(
    ("options", "said", "below"),
    [
        (("--where", "config.lr > 0.1 or x"), "--where: expected", ["  config.lr > 0.1 or x", "                  ^"]),
        (("--where", "学=1"), "--where: expected a field", ["  学=1", "  ^"]),
        (("--where", 'name="学" x'), "--where: expected", ['  name="学" x', "            ^"]),
        (("--where", "config.lr"), 'write --where "config.lr>0.1", in quotes', ["  config.lr", "           ^"]),
        (("--columns", "name,loss"), "--columns: ", ["  name,loss", "       ^"]),
        (("--sort", "-tag"), "--sort: a run may have several tags", ["  -tag", "   ^"]),
        (("--where", f"{'name=a and ' * 90}name=="), "--where: ", [f"  {('name=a and ' * 9)[-48:]}name=="[:0]]),
    ],
)
def test_what_cannot_be_read_is_shown_with_a_caret_below_it(steplog, options, said, below):
    done = steplog("ls", *options)
    assert done.exit_code == 2
    first, *lines = done.stderr.splitlines()
    assert said in first
    assert first.endswith("Type: steplog ls --help")
    if below != [""]:
        assert lines == below
    assert lines[1].index("^") <= 50
    assert len(lines[0]) <= 74


def test_export_shows_what_cannot_be_read_of_its_filter_too(steplog):
    done = steplog("export", "--project", "mnist", "--where", "config.lr>")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[1:] == ["  config.lr>", "            ^"]


def test_what_does_not_go_together_is_refused(server, steplog):
    for options in (("--json", "--csv"), ("--here", "--trash"), ("--trash", "--sort", "train/loss.last")):
        assert steplog("ls", *options, url=server.url).exit_code == 2


def test_the_trash_is_filtered_by_fields_and_config(tmp_path, steplog):
    with ServerProcess(tmp_path, "--user", "me") as server:
        for name, rate in (("old", 1), ("older", 2)):
            uuid = add(server, "mnist", name, 0.5, config={"lr": rate}, tags=["a"])
            server.ask("DELETE", f"/me/projects/mnist/runs/{uuid}/")
        done = steplog("ls", "--trash", "--where", "config.lr>1", "--tag", "a", "--columns", "name", url=server.url)
        assert names(done.output) == ["older"]
        assert names(steplog("ls", "--trash", "--sort", "-config.lr", url=server.url).output) == ["older", "old"]


@pytest.mark.slow
def test_runs_that_only_this_machine_has_are_among_the_rows(tmp_path):
    program = """
import steplog
run = steplog.init("me", "plane", name="offline", mode="offline", config={"lr": 0.7})
run.log("loss", 0.5)
"""
    variables = environment(tmp_path, STEPLOG_QUIET="1")

    def typed(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "steplog", *arguments]
        return subprocess.run(
            command, env=variables | more, capture_output=True, text=True, check=False, timeout=DEADLINE_S
        )

    subprocess.run([sys.executable, "-c", program], env=variables, check=True, timeout=DEADLINE_S)
    here = typed("ls", "--here", "--columns", "status,config.lr,loss.last")
    assert here.stdout.splitlines()[1].split() == ["offline", "plane", "COMPLETED", "0.7", "0.5"], here
    assert typed("ls", "--here", "--where", "loss.last>1").stdout == "no runs on this machine that no server has yet\n"
    alone = typed("ls", "/plane", "--sort", "loss.last")
    assert (names(alone.stdout), alone.returncode) == (["offline"], 1), alone
    assert alone.stderr.endswith("none runs on this machine; type: steplog serve, or: steplog login\n")
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "me") as server:
        add(server, "mnist", "there", 0.25)
        configured = {"STEPLOG_URL": server.url, "STEPLOG_API_KEY": KEY}
        rows = typed("ls", "--where", "status!=FAILED", "--sort", "name", **configured)
        assert names(rows.stdout) == ["offline", "there"], rows
        assert "waiting here" not in rows.stdout
        assert "waiting here" in typed("ls", **configured).stdout


@pytest.mark.slow
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_on_a_terminal_the_first_columns_are_shown_and_the_others_named(server, tmp_path, columns):
    fields = "config.lr,config.optim.name,train/loss.last,train/loss.min,train/loss.max,train/loss.count"
    variables = environment(tmp_path, STEPLOG_URL=server.url, STEPLOG_API_KEY=KEY)
    shown = on_terminal(["ls", "/mnist", "--columns", fields, "--sort", "name"], variables, columns=columns)
    text = "\n".join(line.rpartition("\r")[2] for line in STYLES.sub("", shown.text).split("\n"))
    lines = [line for line in text.splitlines() if not line.startswith("steplog: ")]
    notes = [line for line in text.splitlines() if line.startswith("steplog: ")]
    assert all(len(line) <= columns for line in lines)
    assert [line.split()[0] for line in lines[-3:]] == ["first", "fourth", "second"]
    assert [note.split("; ")[0] for note in notes] == {
        40: ["steplog: no room for train/loss.max, train/loss.count"],
        80: [],
        200: [],
    }[columns], shown.text
