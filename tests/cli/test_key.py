"""``steplog key`` issues, lists, revokes and rotates what opens a server, while it runs or not."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from end_to_end.oracle import Oracle
from polling import wait_until
from server.process import DEADLINE_S, KEY, SOURCES, ServerProcess
from steplog import instance
from steplog.cli import main
from steplog.server.sqlite import schema

PROMISED_S = 5.0
PROGRAM = """
import sys, steplog
with steplog.init(project="shared", name="r") as run:
    run.log("loss", 0.0, 0)
    run.flush()
    print("delivered", flush=True)
    sys.stdin.readline()
    run.log("loss", 0.5, 1)
"""


class Done(NamedTuple):
    """What a command has printed."""

    returncode: int
    stdout: str
    stderr: str


Steplog = Callable[..., Done]


@pytest.fixture
def steplog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Steplog:
    """The command line, in this process, with the directories of ``server``."""
    for name in os.environ:
        if name.startswith(("STEPLOG_", "TELLURIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))

    def call(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with a key of its own."""
    with ServerProcess(tmp_path, "--user", "me", key=None) as started:
        yield started
        assert started.end() == (0, "")


def status(server: ServerProcess, key: str) -> int:
    return server.ask("GET", "/verify-api-key/", headers={"Authorization": f"Api-Key {key}"}).status_code


def page_status(server: ServerProcess, token: str) -> int:
    return server.ask("GET", "/namespaces/", headers={"Authorization": f"Page-Token {token}"}).status_code


def own_key(server: ServerProcess) -> str:
    found = instance.read(server.state)
    assert found is not None
    return found.api_key


def listed(steplog: Steplog, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(steplog("key", "list", "--json", *arguments).stdout)["keys"]
    return found


@pytest.mark.slow
def test_a_key_of_an_earlier_start_opens_the_server_no_more(tmp_path):
    """Each start with another key used to leave the one before valid for ever."""
    database = str(tmp_path / "a.db")
    with ServerProcess(tmp_path, "--db", database, "--user", "ann", "--api-key", "key-of-ann") as server:
        assert status(server, "key-of-ann") == 200
        assert server.ask("POST", "/ann/projects/", json={"display_name": "x", "visibility": "TEAM"}).status_code == 401
    with ServerProcess(tmp_path, "--db", database, "--user", "bob", "--api-key", "key-of-bob") as server:
        assert [status(server, f"key-of-{name}") for name in ("ann", "bob")] == [401, 200]
        headers = {"Authorization": "Api-Key key-of-ann"}
        assert server.ask("DELETE", "/bob/projects/x/", headers=headers).status_code == 401
    with ServerProcess(tmp_path, "--db", database, "--user", "ann", "--api-key", "key-of-ann") as server:
        assert [status(server, f"key-of-{name}") for name in ("ann", "bob")] == [200, 401]


def test_an_issued_key_is_printed_once_and_opens_the_running_server(steplog, server, tmp_path):
    done = steplog("key", "issue", "--user", "Ann B", "--label", "her laptop")
    assert (done.returncode, done.stderr) == (0, "key 2 of Ann B; it is not shown again:\n")
    key = done.stdout.removesuffix("\n")
    assert len(key) >= 43
    wait_until(lambda: status(server, key) == 200, PROMISED_S)
    answer = server.ask("GET", "/verify-api-key/", headers={"Authorization": f"Api-Key {key}"}).json()
    assert (answer["username"], answer["email"]) == ("Ann B", "ann-b@localhost")
    server.session.headers["Authorization"] = f"Api-Key {key}"
    run = server.ask("GET", server.new_run("ann-b", "mine")).json()
    assert run["user"]["username"] == "Ann B"
    for arguments in (("list",), ("list", "--all"), ("list", "--json")):
        assert key not in steplog("key", *arguments).stdout
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or key.encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_the_list_says_whose_each_key_is_where_it_is_from_and_when_it_was_used(steplog, server):
    made = json.loads(steplog("key", "issue", "--label", "ci", "--json").stdout)
    wait_until(lambda: status(server, made["key"]) == 200, PROMISED_S)
    wait_until(lambda: listed(steplog)[1]["last_used"])
    first, second = listed(steplog)
    assert (first["id"], first["user"], first["label"], first["origin"]) == (1, "me", "", "generated")
    assert (second["id"], second["user"], second["label"], second["origin"]) == (2, "me", "ci", "issued")
    assert set(first) == set(made) - {"key"}
    assert second["last_used"].endswith(":00:00+00:00")
    rows = steplog("key", "list").stdout.splitlines()
    assert rows[0].split("   ")[0] == "key"
    assert [row.split()[:2] for row in rows[1:3]] == [["1", "me"], ["2", "me"]]
    assert ("the server's own file" in rows[1], "steplog key issue" in rows[2]) == (True, True)
    assert rows[-1].startswith("the page's token is valid until ")


@pytest.mark.slow
def test_a_revoked_key_is_refused_within_five_seconds_and_the_others_are_not(steplog, server):
    mine, other = (json.loads(steplog("key", "issue", "--json", "--user", name).stdout) for name in ("ann", "bob"))
    wait_until(lambda: [status(server, each["key"]) for each in (mine, other)] == [200, 200], PROMISED_S)
    done = steplog("key", "revoke", str(mine["id"]))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"key {mine['id']} of ann is revoked; a running server refuses it within 5 seconds\n"
    wait_until(lambda: status(server, mine["key"]) == 401, PROMISED_S)
    assert [status(server, key) for key in (other["key"], own_key(server))] == [200, 200]
    again = steplog("key", "revoke", str(mine["id"]))
    assert (again.returncode, again.stdout.startswith(f"key {mine['id']} of ann was revoked before, at ")) == (0, True)
    assert [key["id"] for key in listed(steplog)] == [1, other["id"]]
    assert [bool(key["revoked"]) for key in listed(steplog, "--all")] == [False, True, False]


@pytest.mark.slow
def test_what_was_issued_or_revoked_stays_so_after_a_restart(steplog, tmp_path):
    with ServerProcess(tmp_path, key=None) as server:
        kept, gone = (json.loads(steplog("key", "issue", "--json", "--user", name).stdout) for name in ("ann", "bob"))
        server.end()
        assert steplog("key", "revoke", str(gone["id"])).returncode == 0
        late = json.loads(steplog("key", "issue", "--json", "--user", "eve").stdout)
        server.start()
        assert [status(server, each["key"]) for each in (kept, gone, late)] == [200, 401, 200]


@pytest.mark.slow
def test_a_key_that_was_revoked_does_not_come_back_by_a_start_with_it(steplog, tmp_path, monkeypatch):
    with ServerProcess(tmp_path) as server:
        done = steplog("key", "revoke", "1")
        assert done.returncode == 0
        assert done.stderr == "it is the one that the server was started with: start it with another one\n"
        wait_until(lambda: status(server, KEY) == 401, PROMISED_S)
    monkeypatch.setenv("STEPLOG_SERVE_API_KEY", KEY)
    done = steplog("serve", "--port", "0")
    assert done.returncode == 1
    assert "$STEPLOG_SERVE_API_KEY was revoked on " in done.stderr
    assert KEY not in done.stderr
    with ServerProcess(tmp_path, key="another-key") as server:
        assert [status(server, key) for key in (KEY, "another-key")] == [401, 200]


@pytest.mark.slow
def test_the_servers_own_key_is_rotated_in_its_file_and_where_clients_look(steplog, server):
    before = own_key(server)
    assert steplog("key", "revoke", "1").returncode == 1
    done = steplog("key", "rotate")
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: status(server, before) == 401, PROMISED_S)
    after = own_key(server)
    assert after != before
    assert status(server, after) == 200
    kept = Path(f"{server.database}.key")
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (f"{after}\n", 0o600)
    assert not {before, after} & set((done.stdout + steplog("key", "list", "--all").stdout).split())
    server.end()
    server.start()
    assert (own_key(server), status(server, after), status(server, before)) == (after, 200, 401)
    assert [key["origin"] for key in listed(steplog)] == ["generated"]


LASTING = """
import sys, steplog
with steplog.init(project="lasting", name="r") as run:
    for step in range(2):
        run.log("loss", float(step), step)
        print(run.flush(timeout=20), flush=True)
        sys.stdin.readline()
"""


@pytest.mark.slow
def test_a_run_on_this_machine_goes_on_with_the_servers_rotated_key(steplog, server, tmp_path):
    places = {"STEPLOG_DIR": str(tmp_path), "STEPLOG_MEMORY_DIR": str(tmp_path / "memory"), "STEPLOG_QUIET": "1"}
    before = own_key(server)
    with subprocess.Popen(
        [sys.executable, "-c", LASTING],
        env=os.environ | {"PYTHONPATH": str(SOURCES)} | places,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as training:
        assert training.stdin is not None
        assert training.stdout is not None
        assert training.stdout.readline() == "True\n"
        assert steplog("key", "rotate").returncode == 0
        wait_until(lambda: status(server, before) == 401, PROMISED_S)
        training.stdin.write("\n")
        training.stdin.flush()
        assert training.stdout.readline() == "True\n"
        training.communicate("\n", timeout=DEADLINE_S)
    held = Oracle(server.place, "lasting")
    assert (held.values("r", "loss"), held.run("r").status) == ([0.0, 1.0], "COMPLETED")


@pytest.mark.slow
def test_the_page_of_the_second_of_two_servers_is_found_by_its_database(steplog, server, tmp_path):
    database = tmp_path / "second.db"
    with ServerProcess(tmp_path, "--db", str(database), key=None) as second:
        addresses = [steplog("key", "page", *option).stdout for option in ((), ("--db", str(database)))]
        assert [each.partition("/#token=")[0] for each in addresses] == [server.url, second.url]


KILLED = """
import os
from steplog.server.sqlite.store import SqliteStore
SqliteStore.replace_key = lambda *_: os._exit(9)
from steplog.cli import main
main(["key", "rotate"])
"""


@pytest.mark.slow
def test_a_rotation_that_is_killed_half_way_leaves_a_key_that_works(steplog, server, tmp_path):
    """The file has the next key by then, which a start takes; until then the one before counts."""
    first = own_key(server)
    assert steplog("key", "rotate").returncode == 0
    wait_until(lambda: status(server, first) == 401, PROMISED_S)
    second = own_key(server)
    environment = os.environ | {"PYTHONPATH": str(SOURCES), "STEPLOG_DIR": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-c", KILLED], env=environment, timeout=DEADLINE_S)
    assert killed.returncode == 9
    third = Path(f"{server.database}.key").read_text().strip()
    token = steplog("key", "page").stdout
    assert steplog("key", "rotate", "--page").returncode == 0  # the state file is written again
    wait_until(lambda: page_status(server, token.strip().partition("#token=")[2]) == 401, PROMISED_S)
    assert own_key(server) == second
    assert [status(server, key) for key in (first, second, third)] == [401, 200, 401]
    server.end()
    server.start()
    assert own_key(server) == third
    assert [status(server, key) for key in (first, second, third)] == [401, 401, 200]


def test_rotating_an_issued_key_keeps_its_user_and_label(steplog, server):
    old = json.loads(steplog("key", "issue", "--json", "--user", "ann", "--label", "ci").stdout)
    done = steplog("key", "rotate", str(old["id"]))
    refused = f"running servers refuse key {old['id']} within 5 seconds\n"
    assert (done.returncode, done.stderr) == (0, f"{refused}key 3 of ann; it is not shown again:\n")
    wait_until(lambda: status(server, done.stdout.strip()) == 200, PROMISED_S)
    assert status(server, old["key"]) == 401
    new = listed(steplog)[-1]
    assert (new["user"], new["label"], new["origin"]) == ("ann", "ci", "issued")


@pytest.mark.slow
def test_the_pages_token_is_rotated_and_the_old_one_refused_within_five_seconds(steplog, server):
    address = steplog("key", "page")
    assert (address.returncode, address.stderr) == (0, "")
    url, _, old = address.stdout.strip().partition("/#token=")
    assert (url, page_status(server, old)) == (server.url, 200)
    done = steplog("key", "rotate", "--page")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    wait_until(lambda: page_status(server, old) == 401, PROMISED_S)
    new = steplog("key", "page").stdout.strip().partition("/#token=")[2]
    assert (page_status(server, new), new in done.stdout) == (200, False)
    found = instance.read(server.state)
    assert found is not None
    assert found.page_token == new


IMPOSSIBLE = [
    (("revoke", "9"), 1, "there is no key 9"),
    (("rotate", "9"), 1, "there is no key 9"),
    (("revoke", "1"), 1, "key 1 is the server's own, which programs on this machine use. Type: steplog key rotate"),
    (("issue", "--user", "!!!"), 1, "a user name needs a letter or a digit"),
    (("issue", "--label", "x" * 129), 2, "more than 128 characters"),
    (("rotate", "1", "--page"), 2, "KEY or --page, not both"),
    (("revoke",), 2, "Missing argument"),
    (("list", "--db", "{tmp}/none.db"), 1, "there is no database {tmp}/none.db. Type: steplog serve"),
    (("list", "--db", "{tmp}/notes"), 1, "notes is not a database; it was not changed"),
]


def test_what_cannot_be_done_is_said_in_one_line_and_changes_nothing(steplog, server, tmp_path):
    (tmp_path / "notes").write_text("precious " * 30)
    before = listed(steplog, "--all")
    for arguments, code, words in IMPOSSIBLE:
        done = steplog("key", *(part.format(tmp=tmp_path) for part in arguments))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), arguments
        assert words.format(tmp=tmp_path) in done.stderr
        assert listed(steplog, "--all") == before
    assert (tmp_path / "notes").read_text() == "precious " * 30
    assert not (tmp_path / "none.db").exists()


def test_a_key_that_the_server_is_started_with_is_rotated_where_it_is_configured(steplog, tmp_path):
    with ServerProcess(tmp_path) as server:
        done = steplog("key", "rotate")
        assert (done.returncode, done.stdout) == (1, "")
        assert "is the one that the server is started with" in done.stderr
        assert status(server, KEY) == 200


def test_names_and_labels_reach_the_terminal_as_one_line_of_text(steplog, server):
    evil = "x\x1b[2J\u202e\r\n"
    for arguments in (("issue", "--user", evil, "--label", evil), ("list",), ("revoke", "2"), ("list", "--all")):
        done = steplog("key", *arguments)
        assert done.returncode == 0
        assert not {"\x1b", "\u202e", "\r"} & set(done.stdout + done.stderr)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_another_users_database_is_left_to_that_user(steplog, server):
    os.chown(server.database, 65534, 65534)
    done = steplog("key", "rotate")
    os.chown(server.database, 0, 0)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{server.database} belongs to another user: type this as that user" in done.stderr
    assert len(listed(steplog, "--all")) == 1


@pytest.mark.slow
def test_a_run_whose_key_is_revoked_keeps_its_records_until_it_gets_the_next_one(steplog, server, tmp_path):
    """As the page on sharing tells it: issue, log in elsewhere, log, revoke, log in with the next one."""
    away = {"STEPLOG_DIR": str(tmp_path / "away"), "STEPLOG_MEMORY_DIR": str(tmp_path / "away" / "memory")}
    away |= {"STEPLOG_URL": server.url, "STEPLOG_FINISH_TIMEOUT_S": "1", "STEPLOG_QUIET": "1"}
    environment = os.environ | {"PYTHONPATH": str(SOURCES)} | away

    def there(*arguments: str, typed: str = "") -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "steplog", *arguments],
            env=environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        return done.returncode, done.stdout

    def log_in() -> str:
        key = steplog("key", "issue", "--user", "ann").stdout
        wait_until(lambda: status(server, key.strip()) == 200, PROMISED_S)
        assert there("login", typed=key) == (0, f"logged in as ann at {server.url}\n")
        return key.strip()

    first = log_in()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as training:
        assert training.stdout is not None
        assert training.stdout.readline() == "delivered\n"
        assert steplog("key", "revoke", "2").returncode == 0
        wait_until(lambda: status(server, first) == 401, PROMISED_S)
        training.communicate("\n", timeout=DEADLINE_S)
    assert training.returncode == 0
    held = Oracle(server.place, "shared")
    assert (held.values("r", "loss"), held.run("r").status) == ([0.0], "RUNNING")
    assert there("sync")[0] == 1
    log_in()
    assert there("sync")[0] == 0
    assert (held.values("r", "loss"), held.run("r").status) == ([0.0, 0.5], "COMPLETED")


def test_a_database_of_an_older_version_is_upgraded_before_its_keys_are_listed(steplog, tmp_path):
    golden = Path(__file__).parents[1] / "golden" / "database-v1.db.gz"
    (tmp_path / "server.db").write_bytes(gzip.decompress(golden.read_bytes()))
    assert [(key["user"], key["origin"]) for key in listed(steplog)] == [("ann", "configured"), ("bob", "configured")]
    connection = sqlite3.connect(tmp_path / "server.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
    connection.close()
