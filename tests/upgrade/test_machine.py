"""This version on a machine on which 0.1.0 was used: its runs arrive once, its server, keys and settings go on."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from end_to_end.oracle import Oracle
from polling import wait_until
from server.process import DEADLINE_S, ServerProcess
from steplog import instance
from steplog.delivery.wire import API
from steplog.network.keys import find_key
from steplog.settings import resolve, sources
from upgrade.former import Side
from upgrade.make import ACKNOWLEDGED, ENDS, KEPT, SETTINGS, losses

FIRST = {"flag": True, "count": 2**40, "nothing": None, "note": {"text": "é", "of": [1, 2.5]}}
ODD = 2  # values
PENDING = dict.fromkeys(ENDS, KEPT + ODD) | {
    "raised": KEPT + ODD + 1,  # steplog/exception
    "interrupted": KEPT + ODD + 1,
    "killed-beside-a-worker": KEPT + ODD + KEPT,
    "offline": ACKNOWLEDGED + len(FIRST) + 2 + KEPT + ODD,  # twice steplog/config
}


@pytest.fixture
def held(server: ServerProcess) -> Oracle:
    return Oracle(server.database, "mnist")


def assert_whole(held: Oracle, name: str) -> None:
    """What the program of this name logged has arrived, once, and nothing else."""
    values: dict[str, list[Any]] = {}
    for metric, value, _ in held.metrics(name):
        values.setdefault(metric, []).append(value)
    configs = values.pop("steplog/config")
    assert (configs[0], configs[-1]["later"]) == ({"lr": 0.1, "layers": [64, 10], "é": None}, "yes")
    exception = values.pop("steplog/exception", [])
    assert len(exception) == (name in ("raised", "interrupted"))
    assert sorted(values.pop("of the worker", [])) == sorted(losses()[:KEPT] if name.endswith("worker") else [])
    assert repr(values.pop("odd")) == "[nan, -inf]"
    assert values == {"loss": losses()} | {metric: [value] for metric, value in FIRST.items()}


def assert_all_arrived(held: Oracle) -> None:
    """Every run of that machine is on the server, with its status."""
    assert {run.name: run.status for run in held.runs()} == ENDS
    for name in ENDS:
        assert_whole(held, name)


def test_sync_delivers_every_run_that_0_1_left_once(machine, server, held):
    done = machine.steplog("sync")
    assert done.returncode == 0, done
    assert_all_arrived(held)
    assert machine.steplog("sync").stdout == "nothing waits on this machine\n"
    assert not [*machine.state.glob("*.*/manifest"), *machine.memory.glob("*/manifest")]


@pytest.mark.slow
def test_the_first_run_delivers_what_0_1_left_but_what_was_offline(machine, server, held):
    """As the server of this version does by itself."""
    program = machine.program("import steplog\nrun = steplog.init('team', 'mnist', 'new')\ninput()")
    online = {name: status for name, status in ENDS.items() if name != "offline"}
    wait_until(lambda: {run.name: run.status for run in held.runs()} == online | {"new": "RUNNING"}, 60)
    assert program.communicate("\n", timeout=DEADLINE_S)[1].count("lost") == 0
    for name in online:
        assert_whole(held, name)
    assert [run["name"] for run in waiting(machine)] == ["offline"]


def waiting(machine: Side) -> list[dict[str, Any]]:
    """What ``steplog ls --here`` lists."""
    return json.loads(machine.steplog("ls", "--here", "--json").stdout)["waiting"]


def test_ls_has_the_runs_that_0_1_left_without_a_server(machine):
    found = {run["name"]: run for run in waiting(machine)}
    assert {name: run["pending"] for name, run in found.items()} == PENDING
    for run in found.values():
        lost = [run[key] for key in ("lost", "abandoned", "at_risk", "dropped", "other_host")]
        assert lost == [0, 0, 0, {}, None]


@pytest.mark.slow
def test_clean_removes_a_run_that_0_1_left_and_no_other(machine):
    assert machine.steplog("clean", "--yes").returncode == 0
    assert len(waiting(machine)) == len(ENDS)
    assert machine.steplog("clean", "killed", "--yes").returncode == 0
    assert {run["name"] for run in waiting(machine)} == ENDS.keys() - {"killed"}


def test_the_key_of_then_opens_the_server_and_the_pages_token_of_then_does_not(machine, request):
    before = instance.read(machine.state / "server.json")
    assert before is not None
    server: ServerProcess = request.getfixturevalue("server")
    after = instance.read(machine.state / "server.json")
    assert after is not None
    assert (after.instance, after.api_key, after.username) == (before.instance, before.api_key, before.username)
    assert after.page_token not in ("", before.page_token)
    for credential, status in (
        (f"Api-Key {before.api_key}", 200),
        (f"Page-Token {after.page_token}", 200),
        (f"Page-Token {before.page_token}", 401),
    ):
        headers = {"Authorization": credential}
        answer = requests.get(f"{server.url}{API}/team/projects/mnist/runs/", headers=headers, timeout=DEADLINE_S)
        assert answer.status_code == status, credential.split()[0]
    assert requests.get(server.url, timeout=DEADLINE_S).status_code == 200


@pytest.mark.slow
def test_ls_and_show_have_the_runs_of_a_database_of_0_1(machine, server):
    listed = json.loads(machine.steplog("ls", "team/mnist", "--json").stdout)
    assert {run["name"] for run in listed["runs"]} == ENDS.keys() - {"offline"}
    shown = json.loads(machine.steplog("show", "team/mnist/completed", "--json").stdout)
    assert shown["config"]["layers"] == [64, 10]


def test_a_key_that_login_of_0_1_stored_is_found(machine):
    ((url, key),) = json.loads((machine.state / "keys.json").read_text()).items()
    found = find_key(resolve({"STEPLOG_DIR": str(machine.state)}, url=url))
    assert found is not None
    assert (found[0].reveal(), found[1]) == (key, f"file {machine.state / 'keys.json'}")


def test_every_setting_of_a_file_of_0_1_is_taken(machine):
    directory = machine.state.parent
    settings = resolve({}, directory)
    assert (directory / "steplog.toml").read_text() == SETTINGS
    for line in SETTINGS.splitlines():
        name, _, value = line.partition(" = ")
        assert getattr(settings, name) == json.loads(value), name
        assert sources(settings)[name] == f"file {directory / 'steplog.toml'}"
