"""``ls`` and ``show`` say what the server has, and one line says why they cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import click
import pytest

from cli.conftest import EVIL, named_run
from server.process import DEADLINE_S, KEY, SOURCES, ServerProcess
from steplog.cli import main
from steplog.cli.show import sparkline


@pytest.fixture
def added(server: ServerProcess) -> Iterator[Callable[[str, str], str]]:
    """``named_run``, for as long as a test runs: others list what is there."""
    with ExitStack() as made:

        def add(project: str, name: str) -> str:
            path = named_run(server, project, name)
            made.callback(server.ask, "DELETE", path)
            return path

        yield add


def test_ls_lists_the_runs_of_the_keys_own_user_the_latest_last(server, steplog):
    listed = steplog("ls", url=server.url)
    assert listed.exit_code == 0
    header, first, second = listed.output.splitlines()
    assert header.split() == ["run", "project", "status", "started", "duration", "id"]
    assert first.split()[:3] == ["first", "mnist", "COMPLETED"]
    assert "cifar" in second


def test_ls_of_one_project_has_its_runs_alone(server, steplog):
    told = json.loads(steplog("ls", "me/mnist", "--json", url=server.url).output)["runs"]
    assert [(run["namespace"], run["name"], run["status"]) for run in told] == [("me", "first", "COMPLETED")]


def test_ls_gives_the_latest_so_many(server, steplog):
    told = json.loads(steplog("ls", "-n", "1", "--json", url=server.url).output)["runs"]
    assert [run["project"]["slug"] for run in told] == ["cifar"]


def test_ls_of_several_projects_is_in_the_order_of_time_and_the_latest_of_all(server, steplog):
    for project in ("early", "late"):
        server.ask("POST", "/mixed/projects/", json={"display_name": project, "visibility": "TEAM"})
    for number, project in enumerate(("early", "late", "early", "late", "early")):
        server.ask("POST", f"/mixed/projects/{project}/runs/", json={"name": f"run {number}"})
    told = json.loads(steplog("ls", "mixed", "--json", url=server.url).output)["runs"]
    assert [run["name"] for run in told] == [f"run {number}" for number in range(5)]
    told = json.loads(steplog("ls", "mixed", "-n", "2", "--json", url=server.url).output)["runs"]
    assert [(run["name"], run["project"]["slug"]) for run in told] == [("run 3", "late"), ("run 4", "early")]


def test_ls_without_a_run_says_where_it_looked(server, steplog):
    server.ask("POST", "/me/projects/", json={"display_name": "hollow", "visibility": "TEAM"})
    assert steplog("ls", "me/hollow", url=server.url).output == f"no runs in me/hollow on {server.url}\n"


@pytest.mark.parametrize("spelled", ["first", "mnist/first", "me/mnist/first", "{uuid}", "{short}", "{url}"])
def test_show_finds_a_run_by_whatever_names_it(server, steplog, spelled):
    (run,) = json.loads(steplog("ls", "me/mnist", "--json", url=server.url).output)["runs"]
    address = f"{server.url}/me/projects/mnist/runs/first/"
    named = spelled.format(uuid=run["uuid"], short=run["uuid"][:8], url=address)
    told = json.loads(steplog("show", named, "--json", url=server.url).output)
    assert told["uuid"] == run["uuid"]


def test_show_has_a_row_a_metric_and_the_config_apart(server, steplog):
    told = json.loads(steplog("show", "first", "--json", url=server.url).output)
    assert told["config"] == {"lr": 0.3, "layers": [64, 10]}
    metrics = {metric["name"]: metric for metric in told["metrics"]}
    assert set(metrics) == {"note", EVIL, "loss"}
    assert (metrics["loss"]["count"], metrics["loss"]["min"], metrics["loss"]["max"]) == (100, 0.01, 1.0)
    assert metrics["note"]["last"] == "rather good"
    printed = steplog("show", "first", url=server.url).output
    assert "[64, 10]" in printed
    row = next(line for line in printed.splitlines() if line.startswith("loss ")).split()
    assert row[1:5] == ["100", "0.01", "0.01", "1"]
    assert (row[5][0], row[5][-1]) == ("█", "▁")


def test_a_name_cannot_move_the_cursor_or_turn_the_text(server, steplog):
    for arguments in (("ls",), ("show", "first"), ("ls", "--json"), ("show", "first", "--json")):
        printed = steplog(*arguments, url=server.url).output
        assert not {"\x1b", "\x07", "\u202e"} & set(printed)


def test_a_server_without_curves_is_shown_from_its_metrics(tmp_path, steplog):
    with ServerProcess(tmp_path, "--user", "me", "--stock") as stock:
        path = named_run(stock, "mnist", "first")
        for step in range(70):
            stock.ask("POST", f"{path}metrics/", json={"name": "loss", "value": step, "step": step})
        told = json.loads(steplog("show", "mnist/first", "--json", url=stock.url).output)
        (loss,) = told["metrics"]
        assert (loss["count"], loss["last"], loss["min"], loss["max"]) == (70, 69, 0, 69)
        assert len(loss["curve"]) <= 32


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "nothing"), "has no run 'nothing' in me. Type: steplog ls"),
        (("show", "frist"), "has no run 'frist' in me; did you mean 'first'? Type: steplog ls"),
        (("ls", "me/nothing"), "has no project me/nothing"),
        (("ls", "nobody"), "has no namespace nobody"),
        (("ls", "mnist"), "has no namespace mnist, but a project. Type: steplog ls /mnist"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(server, steplog, arguments, words):
    result = steplog(*arguments, url=server.url)
    assert result.exit_code == 1
    assert words in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("length", [8, 32])
def test_a_run_is_found_by_the_id_that_it_had_on_its_machine(server, steplog, length):
    """``ls --here`` had shown that, and the run was not found by it once the server had it."""
    here = uuid4().hex
    headers = {"Idempotency-Key": f'"{here}"', "Steplog-Maker": here}
    made = server.ask("POST", "/me/projects/mnist/runs/", json={"name": "offline"}, headers=headers).json()
    assert made["uuid"] in steplog("show", here[:length], url=server.url).output
    assert made["uuid"].replace("-", "") != here
    assert steplog("tail", here[:length], url=server.url).exit_code == 0
    refused = steplog("show", here[: length - 1] + "x", url=server.url)
    assert "has no run" in refused.output
    assert "has no run" in steplog("show", here[:7], url=server.url).output
    server.ask("DELETE", f"/me/projects/mnist/runs/{made['uuid']}/?now=1")


def test_a_run_that_two_names_fit_has_to_be_named_better(server, steplog, added):
    path = added("twins", "twin")
    added("twins-too", "twin")
    result = steplog("show", "twin", url=server.url)
    assert result.exit_code == 1
    assert f"me/twins/twin ({path.split('/')[-2]})" in result.output


def test_a_server_that_is_away_is_one_line_that_says_what_is_safe_and_what_to_type(steplog):
    for arguments in (("ls",), ("show", "first")):
        result = steplog(*arguments, url="http://127.0.0.1:9")
        assert result.exit_code == 1
        assert "What was logged is kept. Type: steplog doctor" in result.output
        assert len(result.output.splitlines()) == 1


def test_a_wrong_key_is_one_line_that_says_what_to_type(server, steplog):
    result = steplog("ls", url=server.url, key="wrong")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "rejects the API key. Type: steplog login" in result.output


def test_debug_adds_the_traceback_and_nothing_else_does(steplog):
    assert "Traceback" not in steplog("ls", url="http://127.0.0.1:9").output
    assert "Traceback" in steplog("--debug", "ls", url="http://127.0.0.1:9").output


def test_a_sparkline_spans_its_values_and_leaves_blank_what_is_no_number():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([0.0, "NaN", None, 1.0]) == "▁  █"
    assert sparkline([-1e308, 1e308]) == "▁█"
    assert sparkline([3, 3]) == "▁▁"
    assert sparkline(["a", {}]) == ""


def test_what_waits_on_this_machine_is_listed_also_where_the_server_is_away(tmp_path):
    environment = dict(os.environ) | {"PYTHONPATH": str(SOURCES), "STEPLOG_DIR": str(tmp_path), "STEPLOG_QUIET": "1"}
    program = (
        "import steplog; steplog.init(project='mnist', namespace='me', name='kept', mode='offline').log('loss', 1.0)"
    )
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=DEADLINE_S)
    asked = [sys.executable, "-m", "steplog", "ls", "--json"]
    here = subprocess.run([*asked, "--here"], env=environment, capture_output=True, text=True, check=True)
    (run,) = json.loads(here.stdout)["waiting"]
    assert (run["name"], run["project"], run["pending"]) == ("kept", "mnist", 1)
    away = environment | {"STEPLOG_URL": "http://127.0.0.1:9", "STEPLOG_API_KEY": KEY}
    done = subprocess.run(asked, env=away, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)) == (1, {"runs": None, "waiting": [run]})
    assert done.stderr.endswith("What was logged is kept. Type: steplog doctor\n")


def test_what_a_run_went_down_on_is_shown_below_its_metrics(server, steplog, added):
    path = added("crashes", "crashed")
    told = {"type": "ValueError", "message": "a loss of \x1b[2Jnan", "traceback": "Traceback:\n  at\x1b[1m home\n"}
    server.ask("POST", f"{path}metrics/", json={"name": "steplog/exception", "value": told})
    server.ask("PATCH", path, json={"status": "CRASHED"})
    printed = steplog("show", "crashes/crashed", url=server.url).output
    assert printed.splitlines()[-3:] == ["Traceback:", "  at\ufffd[1m home", "ValueError: a loss of \ufffd[2Jnan"]
    assert json.loads(steplog("show", "crashes/crashed", "--json", url=server.url).output)["exception"] == told


def test_with_nothing_configured_ls_says_how_to_get_a_server(steplog):
    result = steplog("ls")
    assert result.exit_code == 1
    assert result.output == (
        "steplog: no server is configured, and none runs on this machine; type: steplog serve, or: steplog login\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nonsense",), "steplog: No such command 'nonsense'. Type: steplog --help"),
        (("show",), "steplog: Missing argument 'RUN'. Type: steplog show --help"),
        (("show", ""), "steplog: Invalid value for 'RUN': '' is not a run"),
        (("ls", "a/b/c"), "steplog: Invalid value for '[NAMESPACE][/PROJECT]': 'a/b/c' is no place"),
        (("serve", "--port", "x"), "steplog: Invalid value for '--port'"),
        (("ls", "--nonsense"), "steplog: No such option"),
    ],
)
def test_what_is_mistyped_is_one_line_that_says_what_to_type(steplog, arguments, words):
    result = steplog(*arguments)
    assert result.exit_code == 2
    assert result.output.startswith(words)
    assert result.output.endswith("--help\n")
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("command", main.list_commands(click.Context(main)))
def test_an_unknown_option_of_any_command_is_a_usage_error(steplog, command):
    assert steplog(command, "--nonsense").exit_code == 2


@pytest.mark.parametrize("arguments", [("ls",), ("show", "first"), ("login",)])
def test_without_a_server_each_command_that_needs_one_fails(steplog, arguments):
    assert steplog(*arguments, typed="a-key\n").exit_code == 1


@pytest.mark.parametrize("arguments", [("ls", "--here"), ("doctor",), ("version",)])
def test_with_nothing_here_and_no_server_these_succeed(steplog, arguments):
    assert steplog(*arguments).exit_code == 0


@pytest.mark.parametrize("name", main.list_commands(click.Context(main)))
def test_the_list_of_commands_has_the_first_line_of_each_help(name):
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert main.commands[name].get_short_help_str(80) == (command.help or "").split("\n\n")[0].strip()


@pytest.mark.parametrize("arguments", [("ls",), ("show", "first"), ("show", "twin")])
def test_what_a_server_says_cannot_move_the_cursor(httpserver, steplog, arguments):
    run = {"name": "first", "uuid": "1\x1b[2J", "status": "RUNNING\x1b[2J", "date_created": "today\x1b[2J"}
    runs = [run, run | {"name": "twin"}, run | {"name": "twin"}]
    answers = {
        "verify-api-key": {"username": "me", "id": "\x1b[2J", "email": ""},
        "me/projects": [{"slug": "mnist\x1b[2J"}],
        "me/projects/mnist\x1b[2J/runs": runs,
        "me/projects/mnist\x1b[2J/runs/1\x1b[2J/series": [],
    }
    for path, answer in answers.items():
        httpserver.expect_request(f"/api/v0/{path}/").respond_with_json(answer)
    httpserver.expect_request("/api/v0/me/projects/mnist\x1b[2J/table/").respond_with_data(status=404)
    result = steplog(*arguments, url=httpserver.url_for("").rstrip("/"))
    assert "mnist\ufffd[2J" in result.output
    assert "\x1b" not in result.output


@pytest.mark.parametrize("body", ["{}", "[null]", '[{"name":"a"}]', '[{"name":5,"count":"x"}]', "[" * 100_000], ids=len)
def test_rows_of_show_that_are_none_of_metrics_are_one_line(httpserver, steplog, body):
    run = {"name": "first", "uuid": "1", "status": "RUNNING", "date_created": "2026-11-27T05:11:27Z"}
    for path, answer in {
        "verify-api-key": {"username": "me", "id": "1", "email": ""},
        "me/projects": [{"slug": "mnist"}],
        "me/projects/mnist/runs": [run],
    }.items():
        httpserver.expect_request(f"/api/v0/{path}/").respond_with_json(answer)
    httpserver.expect_request("/api/v0/me/projects/mnist/runs/1/series/").respond_with_data(body)
    result = steplog("show", "first", url=httpserver.url_for("").rstrip("/"))
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "Type: steplog doctor" in result.output


def test_without_a_command_the_commands_are_listed(steplog):
    assert "doctor" in steplog().output
    assert steplog("--help").exit_code == 0


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/nowhere"])
def test_a_directory_that_cannot_be_used_is_one_line_that_says_which_setting(place):
    environment = dict(os.environ) | {"PYTHONPATH": str(SOURCES), "STEPLOG_DIR": place}
    command = [sys.executable, "-m", "steplog", "serve", "--port", "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "What was logged is kept. Set STEPLOG_DIR to a directory that can be written" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_completion_that_knows_the_commands(shell):
    environment = dict(os.environ) | {"PYTHONPATH": str(SOURCES)}
    command = [sys.executable, "-c", "from steplog.cli import main; main(prog_name='steplog')"]
    asked = environment | {"_STEPLOG_COMPLETE": f"{shell}_source"}
    source = subprocess.run(command, env=asked, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert "_STEPLOG_COMPLETE" in source.stdout, source.stderr
    words = {"COMP_WORDS": "steplog s", "COMP_CWORD": "s" if shell == "fish" else "1"}
    asked = environment | {"_STEPLOG_COMPLETE": f"{shell}_complete"} | words
    told = subprocess.run(command, env=asked, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert all(name in told.stdout for name in ("serve", "show", "sync"))
    assert "doctor" not in told.stdout
