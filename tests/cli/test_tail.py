"""``tail`` prints the last points of a run, and follows it to its end, wherever it is and whatever its server does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.conftest import EVIL, named_run
from cli.terminal import environment, on_terminal
from polling import wait_until
from server.process import DEADLINE_S, KEY, ServerProcess, lasting_port

PROGRAM = [sys.executable, "-m", "steplog"]


def post(server: ServerProcess, path: str, name: str, *values: Any) -> None:
    for value in values:
        assert server.ask("POST", f"{path}metrics/", json={"name": name, "value": value}).status_code == 201


@pytest.fixture(scope="module")
def path(server: ServerProcess) -> str:
    """A run of some metrics that has ended."""
    path = named_run(server, "tails", "tailed")
    for step in range(12):
        post(server, path, "loss", step / 2)
        if step % 4 == 0:
            post(server, path, EVIL, f"\x1b[2J{step}")
    post(server, path, "system/cpu", 1)
    post(server, path, "steplog/config", {"lr": 1})
    post(server, path, "odd", "NaN", {"a": [1, None]}, True)
    server.ask("PATCH", path, json={"status": "FAILED"})
    return path


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def shown(text: str, name: str) -> list[Any]:
    return [each["value"] for each in objects(text) if each["name"] == name]


class Printed(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def apart(tmp_path: Path) -> Callable[..., Printed]:
    """The command in a process of its own, with standard output and standard error apart."""

    def call(*arguments: str, url: str) -> Printed:
        variables = environment(tmp_path / "reader", STEPLOG_URL=url, STEPLOG_API_KEY=KEY)
        command = [*PROGRAM, *arguments]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        return Printed(done.returncode, done.stdout, done.stderr)

    return call


@pytest.mark.usefixtures("path")
class TestOfAnEndedRun:
    def test_the_last_points_of_each_metric_are_printed_by_time(self, server, steplog):
        result = steplog("tail", "tailed", "-n", "2", "--json", url=server.url)
        assert result.exit_code == 0, result.output
        told = objects(result.output)
        assert [(each["name"], each["step"], each["value"]) for each in told] == [
            (EVIL, 1, "\x1b[2J4"),
            (EVIL, 2, "\x1b[2J8"),
            ("loss", 10, 5.0),
            ("loss", 11, 5.5),
            ("odd", 1, {"a": [1, None]}),
            ("odd", 2, True),
        ]
        assert [each["time"] for each in told] == sorted(each["time"] for each in told)
        assert result.output.isascii()

    def test_metrics_that_are_named_are_printed_alone_a_point_a_line(self, server, steplog):
        lines = steplog("tail", "tailed", "odd", "system/cpu", url=server.url).output.splitlines()
        assert [line.split(None, 2)[2] for line in lines] == [
            "0  system/cpu  1",
            "0  odd         NaN",
            '1  odd         {"a": [1, null]}',
            "2  odd         true",
        ]

    def test_a_metric_that_is_not_there_is_answered_with_what_is_like_it(self, server, steplog):
        result = steplog("tail", "tailed", "lost", url=server.url)
        assert result.exit_code == 1
        assert result.output == "steplog: the run 'tailed' has no metric 'lost'; did you mean 'loss'?\n"

    def test_names_and_values_cannot_move_the_cursor(self, server, steplog, tmp_path):
        assert not {"\x1b", "\x07", "\u202e"} & set(steplog("tail", "tailed", url=server.url).output)
        variables = environment(tmp_path, STEPLOG_URL=server.url, STEPLOG_API_KEY=KEY, NO_COLOR="1")
        printed = on_terminal(["tail", "tailed", EVIL, "odd"], variables, columns=60).text
        assert "\x1b" not in printed
        assert max(map(len, printed.splitlines())) <= 60

    def test_following_it_prints_the_same_and_says_how_it_ended(self, server, steplog, apart):
        followed = apart("tail", "-f", "tailed", "loss", "-n", "3", "--json", url=server.url)
        assert (followed.code, followed.err) == (0, "run FAILED\n")
        assert followed.out == steplog("tail", "tailed", "loss", "-n", "3", "--json", url=server.url).output


def test_without_points_there_is_a_word_about_it(server, steplog):
    named_run(server, "tails", "hollow")
    result = steplog("tail", "hollow", url=server.url)
    assert (result.exit_code, result.output) == (0, "no points yet\n")


def test_a_run_that_two_names_fit_has_to_be_named_better(server, steplog):
    named_run(server, "tails", "twin")
    named_run(server, "tails-too", "twin")
    result = steplog("tail", "twin", url=server.url)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "'twin' may mean 2 runs" in result.output


@pytest.mark.slow
def test_a_server_of_the_original_alone_is_followed_too(tmp_path, apart):
    with ServerProcess(tmp_path, "--user", "me", "--stock") as stock:
        path = named_run(stock, "mnist", "first")
        post(stock, path, "loss", *range(20))
        post(stock, path, "acc", 0.5)
        stock.ask("PATCH", path, json={"status": "COMPLETED"})
        printed = apart("tail", "-f", "mnist/first", "-n", "2", "--json", url=stock.url)
        assert objects(printed.out) == [
            {"name": "acc", "step": 0, "time": None, "value": 0.5},
            {"name": "loss", "step": 18, "time": None, "value": 18},
            {"name": "loss", "step": 19, "time": None, "value": 19},
        ]
        assert printed.err == "run COMPLETED\n"


class Following:
    """``steplog tail -f`` in a process of its own; what it prints goes to files."""

    def __init__(self, directory: Path, variables: dict[str, str], *arguments: str) -> None:
        self.printed, self.said = directory / "printed", directory / "said"
        with self.printed.open("wb") as out, self.said.open("wb") as err:
            command = [*PROGRAM, "tail", "-f", *arguments]
            self.process = subprocess.Popen(command, env=variables, stdout=out, stderr=err)

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def values(self, name: str) -> list[Any]:
        text = self.printed.read_text()
        return shown(text[: text.rfind("\n") + 1], name)

    def wait_for(self, name: str, value: Any) -> None:
        wait_until(lambda: value in self.values(name), found=lambda: self.said.read_text())


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that has its port again after a restart."""
    with ServerProcess(tmp_path, "--user", "me", "--port", str(lasting_port())) as server:
        yield server


@pytest.mark.slow
def test_each_point_comes_once_through_a_kill_of_the_server_until_the_run_ends(tmp_path, lasting):
    path = named_run(lasting, "mnist", "live")
    post(lasting, path, "loss", *range(30))
    variables = environment(tmp_path / "reader", STEPLOG_URL=lasting.url, STEPLOG_API_KEY=KEY)
    with Following(tmp_path, variables, "live", "-n", "5", "--json") as tail:
        tail.wait_for("loss", 29)
        post(lasting, path, "loss", *range(30, 40))
        post(lasting, path, "late", 1)
        tail.wait_for("loss", 39)
        lasting.end(signal.SIGKILL)
        wait_until(lambda: "waiting: the run me/mnist/live" in tail.said.read_text())
        lasting.start()
        post(lasting, path, "loss", *range(40, 45))
        lasting.ask("PATCH", path, json={"status": "COMPLETED"})
        assert tail.process.wait(DEADLINE_S) == 0
        assert tail.values("loss") == list(range(25, 45))
        assert tail.values("late") == [1]
        waited, ended = tail.said.read_text().splitlines()
        assert "waiting" in waited
        assert ended == "run COMPLETED"


@pytest.fixture
def idle(server: ServerProcess, tmp_path: Path) -> dict[str, str]:
    post(server, named_run(server, "tails", "idle"), "loss", 1, 2)
    return environment(tmp_path, STEPLOG_URL=server.url, STEPLOG_API_KEY=KEY)


def test_it_ends_when_nobody_reads_any_more_though_nothing_comes(idle):
    command = [*PROGRAM, "tail", "-f", "tails/idle"]
    with subprocess.Popen(command, env=idle, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline().endswith("loss  1\n")
        tail.stdout.close()
        assert tail.wait(DEADLINE_S) == 1
        assert tail.stderr is not None
        assert tail.stderr.read() == ""


def test_ctrl_c_ends_it_without_a_word(idle, tmp_path):
    with Following(tmp_path, idle, "tails/idle", "--json") as tail:
        tail.wait_for("loss", 2)
        tail.process.send_signal(signal.SIGINT)
        assert tail.process.wait(DEADLINE_S) == 130
        assert tail.said.read_text() == ""


PROGRAM_THAT_LOGS = """
import sys, steplog
run = steplog.init(project="mnist", name="kept", mode=sys.argv[1])
for line in sys.stdin:
    first, end = map(int, line.split())
    for step in range(first, end):
        run.log("loss", step, step)
    print(end, flush=True)
run.finish()
"""


class Logging:
    """A program that logs what it is told to, until it is told to finish."""

    def __init__(self, variables: dict[str, str], mode: str) -> None:
        command = [sys.executable, "-c", PROGRAM_THAT_LOGS, mode]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, env=variables, text=True, **pipes)  # type: ignore[call-overload]

    def __enter__(self) -> Logging:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def log(self, first: int, end: int) -> None:
        print(first, end, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == f"{end}\n"

    def finish(self) -> None:
        self.process.stdin.close()


@pytest.mark.slow
def test_a_run_of_this_machine_is_followed_until_its_program_ends(tmp_path):
    variables = environment(tmp_path, STEPLOG_QUIET="1")
    with Logging(variables, "offline") as program:
        program.log(0, 20)
        with Following(tmp_path, variables, "kept", "-n", "3", "--json") as tail:
            tail.wait_for("loss", 19)
            program.log(20, 25)
            tail.wait_for("loss", 24)
            program.finish()
            assert tail.process.wait(DEADLINE_S) == 0
            assert tail.values("loss") == list(range(17, 25))
            assert tail.said.read_text() == "run COMPLETED\n"


@pytest.mark.slow
def test_a_run_whose_server_comes_later_is_followed_from_its_journal_to_there(tmp_path, lasting):
    lasting.end()
    own = tmp_path / "own"
    own.mkdir(0o700)
    variables = environment(own, STEPLOG_QUIET="1", STEPLOG_URL=lasting.url, STEPLOG_API_KEY=KEY)
    with Logging(variables, "online") as program:
        program.log(0, 20)
        with Following(tmp_path, variables, "kept", "-n", "3", "--json") as tail:
            tail.wait_for("loss", 19)
            lasting.start()
            wait_until(lambda: lasting.ask("GET", "/me/projects/mnist/runs/").json() != [])
            program.log(20, 30)
            tail.wait_for("loss", 29)
            program.finish()
            assert tail.process.wait(DEADLINE_S) == 0
            assert tail.values("loss") == list(range(17, 30))
            assert tail.said.read_text().endswith("run COMPLETED\n")
