"""``show RUN NAME`` draws a metric, on a terminal, in a file, and where there is only ASCII."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.conftest import EVIL, named_run
from cli.terminal import environment, on_terminal
from server.process import DEADLINE_S, KEY, ServerProcess
from steplog.cli.api import Api

PROGRAM = [sys.executable, "-m", "steplog"]


def test_a_metric_is_drawn_over_its_steps_with_what_it_comes_to(server, steplog):
    printed = steplog("show", "first", "loss", url=server.url).output.splitlines()
    assert printed[0].split() == ["first", "COMPLETED"]
    assert printed[3] == "loss  100 points, last 0.01, min 0.01, max 1"
    assert printed[4].startswith("    1 ┤⣀") or printed[4].startswith("    1 ┤⠑") or printed[4].startswith("    1 ┤⠉")
    assert printed[12].startswith(" 0.01 ┤")
    assert printed[-1].split() == ["0", "99"]
    assert len(printed[-1]) == 80


def test_each_metric_that_is_named_has_a_chart_in_that_order_and_no_others(server, steplog):
    printed = steplog("show", "first", "note", "loss", "note", url=server.url).output
    assert printed.count(" point") == 2
    assert printed.index("note  1 point") < printed.index("loss  100 points")
    assert "note  1 point, the last:\n  rather good\n" in printed
    assert "64" not in printed
    told = json.loads(steplog("show", "first", "loss", "--json", url=server.url).output)
    assert [metric["name"] for metric in told["metrics"]] == ["loss"]
    assert len(told["metrics"][0]["curve"]) == 100


def test_the_last_value_that_is_no_number_is_printed_as_what_it_is(server, steplog):
    path = named_run(server, "mnist", "tables")
    rows = [[number, "cat"] for number in range(52)]
    table = {"_type": "table", "columns": ["id", "label"], "data": rows}
    for name, value in (("predictions", table), ("compat/unsupported", {"wandb.watch()": 3})):
        assert server.ask("POST", f"{path}metrics/", json={"name": name, "value": value}).status_code == 201
    printed = steplog("show", "tables", "predictions", "compat/unsupported", url=server.url).output.splitlines()
    assert printed[3:6] == ["predictions  1 point, the last:", "id   label", "0    cat"]
    assert printed[54:] == ["49   cat", "2 rows more: --json", "", *printed[57:]]
    assert printed[57:] == ["compat/unsupported  1 point, the last:", "wandb.watch()   3"]


def test_a_logarithmic_chart_has_its_middle_in_proportion(server, steplog):
    printed = steplog("show", "first", "loss", "--log", url=server.url).output
    assert " 0.1 ┤" in printed


def test_a_metric_that_is_not_there_is_answered_with_those_that_are(server, steplog):
    result = steplog("show", "first", "lost", url=server.url)
    assert result.exit_code == 1
    assert result.output == "steplog: the run 'first' has no metric 'lost'; did you mean 'loss'?\n"
    result = steplog("show", "first", "accuracy", url=server.url)
    assert "has no metric 'accuracy'; it has note, " in result.output
    result = steplog("show", "first", "--log", url=server.url)
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert "--log is for charts" in result.output


def test_names_and_values_of_any_kind_do_not_break_a_chart(server, steplog):
    path = named_run(server, "odd", "odd")
    for name, values in {
        "huge": [1.7e308, -1.7e308, 10**400],
        "none": ["NaN", "Infinity"],
        "one": [5],
        "steplog/own": [1, 2],
        EVIL: [1, "\x1b[2J", {"a": 1}, True, 2],
    }.items():
        for value in values:
            assert server.ask("POST", f"{path}metrics/", json={"name": name, "value": value}).status_code == 201
    for log in ((), ("--log",)):
        result = steplog("show", "odd", "huge", "none", "one", "steplog/own", EVIL, *log, url=server.url)
        assert result.exit_code == 0, result.output
        assert not {"\x1b", "\x07", "\u202e"} & set(result.output)
        assert result.output.count("┤") >= 4


@pytest.mark.slow
def test_many_metrics_are_drawn_by_few_requests(server, steplog, monkeypatch):
    path = named_run(server, "many", "many")
    names = [f"m/{number:03}" for number in range(250)]
    for index, name in enumerate(names):
        for step, value in enumerate((index, "NaN", index + 1)):
            server.ask("POST", f"{path}metrics/", json={"name": name, "value": value, "step": step})
    asked: list[str] = []
    get = Api.get
    monkeypatch.setattr(Api, "get", lambda api, *parts, **query: asked.append(parts[-1]) or get(api, *parts, **query))
    told = json.loads(steplog("show", "many", "--json", url=server.url).output)
    assert len(asked) < 10
    assert [metric["name"] for metric in told["metrics"]] == names
    for index, metric in enumerate(told["metrics"]):
        assert [(bucket["step"], bucket["last"]) for bucket in metric["curve"]][::2] == [(0, index), (2, index + 1)]
        assert sum(bucket["count"] for bucket in metric["curve"]) == 3


@pytest.mark.slow
def test_a_server_without_curves_has_charts_too(tmp_path, steplog):
    with ServerProcess(tmp_path, "--user", "me", "--stock") as stock:
        path = named_run(stock, "mnist", "first")
        for step in range(200):
            stock.ask("POST", f"{path}metrics/", json={"name": "loss", "value": step == 100, "step": step})
        printed = steplog("show", "mnist/first", "loss", url=stock.url).output.splitlines()
        assert printed[3] == "loss  200 points, last false, min 0, max 1"
        assert len(printed) == 15


@pytest.fixture
def variables(server: ServerProcess, tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path, STEPLOG_URL=server.url, STEPLOG_API_KEY=KEY)


def test_a_chart_fits_the_terminal_and_is_coloured_only_there(variables):
    shown = on_terminal(["show", "first", "loss"], variables, columns=50)
    lines = shown.text.splitlines()
    assert "\x1b[36m" in shown.text
    assert lines[-1].rstrip().endswith("99\x1b[0m")
    plain = on_terminal(["show", "first", "loss"], variables | {"NO_COLOR": "1"}, columns=50).text.splitlines()
    assert "\x1b[3" not in "".join(plain)
    assert max(map(len, plain[4:])) == 50


def test_the_curves_of_the_table_are_in_one_line_each(variables):
    lines = on_terminal(["show", "first"], variables | {"NO_COLOR": "1"}).text.splitlines()
    curves = [line for line in lines if line and line[-1] in "▁▂▃▄▅▆▇█"]
    assert [line.split()[0] for line in curves] == ["loss"], lines


def test_a_chart_is_ascii_where_the_output_is(variables):
    told = variables | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [*PROGRAM, "show", "first", "loss"], env=told, capture_output=True, timeout=DEADLINE_S, check=False
    )
    lines = done.stdout.decode("ascii").splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines[4].startswith("    1 |")
    assert "?" not in done.stdout.decode()
    assert lines[-2] == f"      +{'-' * 73}"


OFFLINE = """
import steplog
run = steplog.init(project="mnist", name="kept", mode="offline", config={"lr": 0.1})
for step in range(1000):
    run.log("loss", float("nan") if step == 500 else 1 / (step + 1))
run.log("note", "NaN")
run.finish()
"""


@pytest.mark.slow
def test_a_run_of_this_machine_alone_is_shown_without_a_server(tmp_path, steplog):
    variables = environment(tmp_path, STEPLOG_QUIET="1")
    subprocess.run([sys.executable, "-c", OFFLINE], env=variables, check=True, timeout=DEADLINE_S)
    for url in (None, "http://127.0.0.1:9"):
        given = {"STEPLOG_URL": url, "STEPLOG_API_KEY": KEY} if url else {}
        command = [*PROGRAM, "show", "kept"]
        done = subprocess.run(command, env=variables | given, capture_output=True, timeout=DEADLINE_S, check=False)
        printed = done.stdout.decode()
        assert (done.returncode, done.stderr) == (0, b""), done
        assert printed.startswith("kept  COMPLETED\non this machine alone: 1,002 records to send. Type: steplog sync\n")
        assert "lr       0.1\n" in printed
        (row,) = (line.split() for line in printed.splitlines() if line.startswith("loss "))
        assert row[:5] == ["loss", "1,000", "0.001", "0.001", "1"]
        assert row[5][0] == "█"
    command = [*PROGRAM, "show", "mnist/kept", "loss"]
    drawn = subprocess.run(command, env=variables, capture_output=True, timeout=DEADLINE_S, check=True).stdout.decode()
    assert "loss  1,000 points, last 0.001, min 0.001, max 1" in drawn
    assert drawn.splitlines()[-1].split() == ["0", "999"]
    done = subprocess.run(
        [*PROGRAM, "show", "other"], env=variables, capture_output=True, timeout=DEADLINE_S, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no server is configured" in done.stderr
