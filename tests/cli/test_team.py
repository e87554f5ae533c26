"""``steplog user``, ``key``, ``member`` and ``project`` on a server's database, while it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

import postgresql
from polling import wait_until
from server.process import ServerProcess
from steplog import init
from steplog.cli import main
from steplog.cli.printing import local_time

PROMISED_S = 5.0
RUNS = "/vision/projects/mnist/runs/"


class Done(NamedTuple):
    """What a command has printed."""

    returncode: int
    stdout: str
    stderr: str


Steplog = Callable[..., Done]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "admin") as started:
        made = {"display_name": "MNIST", "visibility": "RESTRICTED"}
        assert started.ask("POST", "/vision/projects/", json=made).status_code == 201
        yield started
        assert started.end() == (0, "")


@pytest.fixture
def steplog(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> Steplog:
    def call(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--db", str(server.database)])
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, *capsys.readouterr())

    return call


def issued(steplog: Steplog, *arguments: str) -> dict[str, Any]:
    done = steplog("key", "issue", "--json", *arguments)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def status(server: ServerProcess, key: dict[str, Any], method: str = "GET", path: str = RUNS) -> int:
    headers = {"Authorization": f"Api-Key {key['key']}"}
    return server.ask(method, path, headers=headers, json=None if method == "GET" else {}).status_code


@pytest.mark.slow
def test_a_user_has_the_role_that_it_is_given_until_it_is_taken_away(server, steplog):
    assert steplog("user", "add", "bob", "--email", "bob@example.org").stdout.startswith("user bob, owner of the name")
    key = issued(steplog, "--user", "bob")
    assert status(server, key) == 404
    assert steplog("member", "add", "vision/mnist", "bob", "reader").returncode == 0
    assert [status(server, key, method) for method in ("GET", "POST")] == [200, 403]
    assert steplog("member", "add", "vision/mnist", "bob").returncode == 0
    assert status(server, key, "POST") == 201
    assert "bob" in steplog("member", "list", "vision/mnist").stdout
    listed = json.loads(steplog("member", "list", "vision/mnist", "--json").stdout)
    assert {"username": "bob", "role": "MEMBER", "namespace": "vision", "project": "mnist"} in listed
    assert steplog("member", "remove", "vision/mnist", "bob").returncode == 0
    wait_until(lambda: status(server, key) == 404, PROMISED_S)
    again = steplog("member", "remove", "vision/mnist", "bob")
    assert (again.returncode, again.stderr) == (1, "steplog: bob has no role of its own in vision/mnist\n")


def test_a_member_of_a_namespace_is_told_of_what_it_does_not_show(server, steplog):
    steplog("user", "add", "max")
    made = {"display_name": "Secret", "visibility": "RESTRICTED"}
    assert server.ask("POST", "/max/projects/", json=made).status_code == 201
    done = steplog("member", "add", "max", "admin", "reader")
    words = "max/secret is RESTRICTED: for members of the project alone. To show it to max: "
    assert done.stderr == f"{words}steplog project set max/secret --visibility TEAM\n"
    assert steplog("member", "add", "max/secret", "admin", "reader").stderr == ""
    assert steplog("member", "add", "max", "admin", "owner").stderr == ""
    steplog("project", "set", "max/secret", "--visibility", "team")
    assert steplog("member", "add", "max", "admin").stderr == ""


def test_init_says_who_opens_a_project_that_is_there_and_hidden(server, steplog, monkeypatch, tmp_path):
    steplog("user", "add", "ida")
    steplog("member", "add", "vision", "ida")
    for name, value in {"URL": server.url, "API_KEY": issued(steplog, "--user", "ida")["key"], "DIR": tmp_path}.items():
        monkeypatch.setenv(f"STEPLOG_{name}", str(value))
    words = r"^the project 'mnist' of 'vision' at http.* is not for the user of this key: .*already exists\. "
    with pytest.raises(
        requests.HTTPError, match=words + "Ask an OWNER of it for: steplog member add vision/mnist ida$"
    ):
        init("vision", "mnist")


def test_a_key_that_is_replaced_counts_as_long_as_is_said(server, steplog):
    steplog("user", "add", "kim")
    first = issued(steplog, "--user", "kim")
    done = steplog("key", "rotate", str(first["id"]))
    assert done.stderr.startswith(f"running servers refuse key {first['id']} within 5 seconds\nkey ")
    second = json.loads(steplog("key", "list", "--json").stdout)["keys"][-1]["id"]
    done = steplog("key", "rotate", str(second), "--overlap", "1h")
    ends = next(each for each in json.loads(steplog("key", "list", "--json").stdout)["keys"] if each["id"] == second)
    assert done.stderr.startswith(f"running servers refuse key {second} from {local_time(ends['expires'])} on\nkey ")


def test_an_admin_may_do_everything_until_removed(server, steplog):
    assert steplog("user", "add", "eve", "--admin").stdout.startswith("admin eve, ")
    key = issued(steplog, "--user", "eve")
    assert status(server, key, "POST") == 201
    users = {user["username"]: user for user in json.loads(steplog("user", "list", "--json").stdout)}
    assert (users["eve"]["is_admin"], users["eve"]["keys"], users["admin"]["is_admin"]) == (True, 1, True)
    assert "admin, eve OWNER" in steplog("user", "list").stdout
    assert steplog("user", "remove", "eve").returncode == 0
    wait_until(lambda: status(server, key) == 401, PROMISED_S)
    assert "eve" not in steplog("user", "list").stdout
    assert "eve" in steplog("user", "list", "--all").stdout
    own = steplog("user", "remove", "admin")
    assert (own.returncode, "the server's own key is one of admin" in own.stderr) == (1, True)


def test_a_service_key_opens_its_project_to_write_and_nothing_else(server, steplog):
    key = issued(steplog, "--user", "ci", "--project", "vision/mnist", "--requests-a-minute", "100000")
    assert (key["project"], key["requests_a_minute"]) == ("vision/mnist", 100000)
    assert status(server, key, "POST") == 201
    assert status(server, key, "DELETE", "/vision/projects/mnist/") == 403
    assert status(server, key, "POST", "/vision/projects/") == 403
    assert status(server, key, "POST", "/ci/projects/") == 404, "nor the namespace of its user"
    assert "vision/mnist" in steplog("key", "list").stdout


def test_a_key_expires_and_one_that_is_rotated_counts_for_the_overlap(server, steplog):
    key = issued(steplog, "--user", "admin", "--expires", "2s")
    assert status(server, key) == 200
    wait_until(lambda: status(server, key) == 401, 2 + PROMISED_S)
    assert key["id"] not in [each["id"] for each in json.loads(steplog("key", "list", "--json").stdout)["keys"]]
    rotated = steplog("key", "rotate", str(key["id"]))
    assert (rotated.returncode, "has expired" in rotated.stderr) == (1, True)
    old = issued(steplog, "--user", "admin", "--label", "ci")
    new = json.loads(steplog("key", "rotate", str(old["id"]), "--overlap", "1h", "--json").stdout)
    assert (new["label"], new["expires"]) == ("ci", None)
    assert [status(server, each) for each in (old, new)] == [200, 200]
    assert "expires" in steplog("key", "list").stdout
    for wrong in ("soon", "2020-01-01", "0d"):
        assert steplog("key", "issue", "--expires", wrong).returncode == 2


def test_a_projects_visibility_name_and_retention_are_set(server, steplog):
    made = {"display_name": "MNIST", "visibility": "RESTRICTED"}
    assert server.ask("POST", "/shown/projects/", json=made).status_code == 201
    done = steplog(
        "project", "set", "shown/mnist", "--visibility", "public", "--retention-days", "30", "--name", "Digits"
    )
    assert done.stdout.startswith("shown/mnist is PUBLIC, and keeps its runs for 30 days; ")
    (listed,) = json.loads(steplog("project", "list", "shown", "--json").stdout)
    assert (listed["display_name"], listed["visibility"], listed["retention_days"]) == ("Digits", "PUBLIC", 30)
    assert status(server, issued(steplog, "--user", "guest"), path="/shown/projects/mnist/runs/") == 200
    assert "30 days" in steplog("project", "list").stdout
    assert "forever" in steplog("project", "set", "shown/mnist", "--retention-days", "forever").stdout
    assert steplog("project", "set", "shown/mnist", "--retention-days", "0").returncode == 2
    assert steplog("project", "set", "shown/mnist").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("member", "add", "nowhere", "bob"), "there is no namespace nowhere: "),
        (("member", "add", "vision/none", "bob"), "there is no project vision/none. Type: steplog project list vision"),
        (("member", "add", "vision", "nobody"), "there is no user nobody. Type: steplog user add nobody"),
        (("project", "set", "vision", "--name", "x"), "name a project: vision/PROJECT"),
        (("user", "remove", "nobody"), "there is no user nobody"),
        (("key", "issue", "--user", "x", "--project", "vision/none"), "there is no project vision/none"),
    ],
)
def test_what_is_not_there_is_said_with_what_to_type(steplog, arguments, words):
    done = steplog(*arguments)
    assert (done.returncode, words in done.stderr) == (1, True), done.stderr


def test_a_users_name_that_is_anothers_namespace_is_refused(steplog):
    assert steplog("user", "add", "carol").returncode == 0
    done = steplog("user", "add", "Carol!")
    assert (done.returncode, "user carol has the namespace carol" in done.stderr) == (1, True)


@pytest.mark.slow
def test_a_team_begins_with_an_empty_postgresql_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """An admin makes the first project by a key, and what is granted at one server counts at the other."""
    url = postgresql.new_store()

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--store", url])
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, *capsys.readouterr())

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with (
        ServerProcess(tmp_path / "a", store=url, key=None) as first,
        ServerProcess(tmp_path / "b", store=url, key=None) as second,
    ):
        assert "of its users. Type: steplog user add NAME --admin --store postgresql://" in first.said
        assert "then steplog key issue --user NAME --store postgresql://" in first.said
        assert call("user", "add", "ann", "--admin").returncode == 0
        ann, bob = issued(call, "--user", "ann"), issued(call, "--user", "bob")
        made = {"display_name": "MNIST", "visibility": "RESTRICTED"}
        headers = {"Authorization": f"Api-Key {ann['key']}"}
        assert first.ask("POST", "/vision/projects/", json=made, headers=headers).status_code == 201
        assert [status(each, bob) for each in (first, second)] == [404, 404]
        assert call("member", "add", "vision/mnist", "bob").returncode == 0
        assert [status(each, bob, "POST") for each in (first, second)] == [201, 201]
        assert call("user", "remove", "bob").returncode == 0
        for each in (first, second):
            wait_until(lambda server=each: status(server, bob) == 401, PROMISED_S)
        assert call("project", "set", "vision/mnist", "--retention-days", "7").returncode == 0
        assert "7 days" in call("project", "list").stdout
