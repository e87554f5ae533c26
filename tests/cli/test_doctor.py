"""``doctor`` says what is set, what works, and what to type; its exit code says whether something is wrong."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.terminal import environment, on_terminal
from server.process import DEADLINE_S, KEY, SOURCES, ServerProcess
from steplog.journal import compiled
from steplog.settings import documented

MIB = 1024 * 1024


def checks(result) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(result.output)["checks"]}


def test_where_all_is_well_it_says_so_and_ends_with_0(server, steplog):
    result = steplog("doctor", "--json", url=server.url)
    assert result.exit_code == 0, result.output
    found = checks(result)
    assert found["server"]["words"] == f"{server.url}, takes batches"
    assert found["key"]["words"] == "belongs to me, from environment STEPLOG_API_KEY"
    assert "locks work" in found["spool"]["words"]


def test_each_setting_is_there_with_where_it_came_from_and_never_the_key(server, steplog, tmp_path):
    result = steplog("doctor", "--json", url=server.url)
    settings = json.loads(result.output)["settings"]
    assert settings["url"] == {"value": server.url, "from": "environment STEPLOG_URL"}
    assert settings["dir"] == {"value": str(tmp_path), "from": "environment STEPLOG_DIR"}
    assert settings["finish_timeout_s"] == {"value": 60.0, "from": "default"}
    assert settings["api_key"] == {"value": "set", "from": "environment STEPLOG_API_KEY"}
    assert KEY not in result.output + steplog("doctor", url=server.url).output


@pytest.mark.parametrize(
    ("why", "state", "words"),
    [
        (None, "good", "log() compiled"),
        ("free-threaded", "good", "log() in Python, under a lock: free-threaded"),
        ("not compiled", "note", "log() in Python, not compiled. A number takes "),
    ],
)
def test_it_says_how_log_runs_here_and_why(monkeypatch, steplog, why, state, words):
    monkeypatch.setattr(compiled, "why_pure", lambda: why)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    found = checks(steplog("doctor", "--json"))["python"]
    assert found["state"] == state
    assert f" on Linux, {words}" in found["words"]


def test_each_sentence_of_a_row_is_a_line_and_what_to_type_begins_one(monkeypatch, steplog):
    """What to do about a log() that is not compiled stood at the end of one line of 260 characters."""
    monkeypatch.setattr(compiled, "why_pure", lambda: "not compiled")
    rows, *_ = steplog("doctor").output.split("\n\n")
    lines = rows.splitlines()
    (at,) = (at for at, line in enumerate(lines) if "not compiled." in line)
    indent = " " * lines[at].index("CPython")
    assert all(line.startswith(indent) for line in lines[at + 1 : at + 4]), rows
    assert lines[at + 3].startswith(f"{indent}Then type: pip install ")
    assert lines[-1].startswith(f"{indent}Type: steplog serve")
    assert max(map(len, lines[at : at + 3])) <= 110


def test_on_80_columns_each_default_is_one_line_and_a_directory_is_whole(tmp_path):
    """Where a setting came from stood below each of them, and a long directory was cut."""
    directory = tmp_path / ("d" * 80)
    shown = on_terminal(["doctor"], environment(tmp_path, STEPLOG_DIR=str(directory), NO_COLOR="1"))
    given, others = (table.splitlines() for table in shown.text.strip().split("\n\n")[-2:])
    defaults = [name for name, *_ in documented() if name not in ("dir", "memory_dir")]
    assert [line.split()[0] for line in others] == ["setting", *defaults]
    assert "".join(line.split()[-1] for line in given).count(str(directory)) == 1


def test_it_says_what_has_asked_for_the_append_in_python(monkeypatch, steplog):
    monkeypatch.setattr(compiled, "why_pure", lambda: None)
    monkeypatch.setenv("STEPLOG_PURE", "1")
    words = checks(steplog("doctor", "--json"))["python"]["words"]
    assert words.endswith("log() in Python, not compiled: pure is set by environment STEPLOG_PURE")


def test_a_plain_address_of_this_machine_is_a_note_that_says_what_it_is_worth(server, steplog):
    result = steplog("doctor", "--json", url=server.url)
    assert checks(result)["address"]["state"] == "note"
    assert "any user of this machine can take its port" in checks(result)["address"]["words"]
    assert result.exit_code == 0


def test_a_stock_server_is_told_from_one_that_takes_batches(tmp_path, steplog):
    with ServerProcess(tmp_path, "--stock") as stock:
        assert "stock server" in checks(steplog("doctor", "--json", url=stock.url))["server"]["words"]


def test_a_server_that_is_away_is_wrong(steplog):
    result = steplog("doctor", "--json", url="http://127.0.0.1:9")
    assert (result.exit_code, checks(result)["server"]["state"]) == (1, "bad")


def test_a_server_without_its_database_is_wrong_in_its_own_words(tmp_path, steplog):
    with ServerProcess(tmp_path) as here:
        here.database.rename(tmp_path / "away.db")
        result, listed = steplog("doctor", "--json", url=here.url), steplog("ls", url=here.url)
        words = f"the database {here.database} is not there (No such file or directory)"
        found = checks(result)["server"]
        assert (result.exit_code, found["state"]) == (1, "bad")
        assert found["words"].startswith(f"{here.url} answered 503: {words}")
        assert listed.exit_code == 1
        assert f"steplog: {here.url} answered 503: {words}" in listed.output


@pytest.mark.parametrize("path", ["verify-api-key", "me/projects"])
def test_a_refusal_is_told_in_the_words_of_the_server_and_cannot_move_the_cursor(httpserver, steplog, path):
    httpserver.expect_request(f"/api/v0/{path}/").respond_with_json({"detail": "gone \x1b[2J"}, status=500)
    httpserver.expect_request("/api/v0/verify-api-key/").respond_with_json({"username": "me", "email": ""})
    url = httpserver.url_for("").rstrip("/")
    for command in ("doctor", "ls"):
        result = steplog(command, url=url)
        assert (result.exit_code, "\x1b" in result.output) == (1, False)
        assert f"{url} answered 500: gone" in result.output


def test_a_key_that_the_server_does_not_know_is_wrong_and_login_is_what_to_type(server, steplog):
    result = steplog("doctor", "--json", url=server.url, key="wrong")
    assert result.exit_code == 1
    assert checks(result)["server"]["words"].endswith("Type: steplog login")


def test_with_nothing_configured_and_no_server_here_it_says_how_to_get_one(steplog):
    result = steplog("doctor", "--json")
    assert (result.exit_code, checks(result)["server"]["state"]) == (0, "note")
    assert "steplog serve" in checks(result)["server"]["words"]


def test_a_server_on_this_machine_is_found_where_nothing_is_configured(tmp_path, steplog):
    with ServerProcess(tmp_path) as here:
        found = checks(steplog("doctor", "--json"))
    assert found["server"]["words"].startswith(here.url)
    assert "found on this machine" in found["key"]["words"]
    assert "address" not in found
    assert "0 bytes in use" in found["spool"]["words"]


def test_each_server_of_this_machine_is_listed_in_the_order_in_which_they_began(tmp_path, steplog):
    other = tmp_path / "other.db"
    with ServerProcess(tmp_path) as first, ServerProcess(tmp_path, "--db", str(other), "--user", "ann") as second:
        listed = json.loads(steplog("doctor", "--json").output)["servers"]
        assert [(each["url"], each["process"], each["database"], each["first"]) for each in listed] == [
            (first.url, first.process.pid, str(first.database), True),
            (second.url, second.process.pid, str(other), False),
        ]
        assert listed[0]["since"] <= listed[1]["since"]
        assert (listed[1]["answers"], listed[1]["words"]) == (True, "answers as ann")
        output = steplog("doctor").output
        assert f"\n    database {first.database}\n    answers as " in output
        assert output.count("used where none is configured") == 1


@pytest.mark.slow
def test_a_server_of_this_machine_that_hangs_is_listed_as_one(tmp_path, steplog):
    with ServerProcess(tmp_path), ServerProcess(tmp_path, "--db", str(tmp_path / "other.db")) as second:
        second.process.send_signal(signal.SIGSTOP)
        result = steplog("doctor", "--json")
        second.process.send_signal(signal.SIGCONT)
        listed = json.loads(result.output)["servers"]
    assert (result.exit_code, [each["answers"] for each in listed]) == (0, [True, False])
    assert listed[1]["words"].startswith(f"it runs (process {second.process.pid}) and has not answered for 3 s")


def test_no_server_of_this_machine_is_listed_where_none_runs(tmp_path, steplog):
    with ServerProcess(tmp_path) as here:
        here.end(signal.SIGKILL)
        assert json.loads(steplog("doctor", "--json").output)["servers"] == []
    assert "server on this machine" not in steplog("doctor").output


def test_a_spool_that_cannot_be_written_is_bad_and_memory_that_cannot_be_is_a_note(server, steplog, monkeypatch):
    monkeypatch.setenv("STEPLOG_MEMORY_DIR", "/proc/nothing")
    (found := checks(steplog("doctor", "--json", url=server.url)))
    assert found["shared memory"]["state"] == "note"
    monkeypatch.setenv("STEPLOG_DIR", "/proc/nothing")
    result = steplog("doctor", "--json", url=server.url)
    assert (result.exit_code, checks(result)["spool"]["state"]) == (1, "bad")


def refuses(file, operation):
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("flock", [refuses, lambda file, operation: None], ids=["refuses", "keeps nobody out"])
def test_a_spool_on_a_file_system_without_locks_is_wrong_whatever_its_room(steplog, monkeypatch, flock):
    """As on some network file systems: a lock is refused, or a second one is given beside the first."""
    monkeypatch.setattr(fcntl, "flock", flock)
    result = steplog("doctor", "--json")
    spool = checks(result)["spool"]
    assert (result.exit_code, spool["state"]) == (1, "bad")
    assert spool["words"].endswith("its file system cannot lock. Set STEPLOG_DIR to a local disk")
    assert "locks work" not in spool["words"]


@pytest.mark.parametrize(("free", "state"), [(0, "note"), (64 * MIB - 1, "note"), (64 * MIB, "good")])
def test_a_disk_with_little_room_for_the_spool_is_a_note(steplog, monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    result = steplog("doctor", "--json")
    spool = checks(result)["spool"]
    assert (result.exit_code, spool["state"]) == (0, state)
    assert f"{free // MIB}.0 MiB free" in spool["words"] or free != 64 * MIB
    assert "locks work" in spool["words"]


@pytest.mark.parametrize(("free", "state"), [(0, "note"), (8 * MIB - 4096, "note"), (8 * MIB, "good")])
def test_a_shared_memory_with_little_room_is_a_note(steplog, monkeypatch, free, state):
    memory = Path(os.environ["STEPLOG_MEMORY_DIR"])
    usage = {memory: SimpleNamespace(free=free)}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage.get(path, SimpleNamespace(free=1 << 40)))
    result = steplog("doctor", "--json")
    assert (result.exit_code, checks(result)["shared memory"]["state"]) == (0, state)


def test_what_waits_on_this_machine_is_a_note_with_how_to_see_it(steplog, tmp_path):
    assert checks(steplog("doctor", "--json"))["waiting"] == {"name": "waiting", "state": "good", "words": "no records"}
    source = "import steplog; steplog.init(project='mnist', mode='offline').log({'loss': 1.0, 'accuracy': 0.5})"
    environment = os.environ | {"PYTHONPATH": str(SOURCES), "STEPLOG_DIR": str(tmp_path), "STEPLOG_QUIET": "1"}
    subprocess.run([sys.executable, "-c", source], env=environment, check=True, timeout=DEADLINE_S)
    asked = [sys.executable, "-m", "steplog", "doctor", "--json"]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    waiting = {check["name"]: check for check in json.loads(done.stdout)["checks"]}["waiting"]
    assert (waiting["state"], waiting["words"]) == ("note", "2 records of 1 run: steplog ls --here")


def test_what_a_server_here_keeps_is_not_taken_for_runs_that_wait(steplog, monkeypatch, tmp_path):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    kept = ("server.db.blobs/ab", "kept-files/demo/first", "servers")
    for folder in (*kept, "0" * 32):
        (tmp_path / folder).mkdir(mode=0o700, parents=True)
        (tmp_path / folder / "file").write_bytes(bytes(64 * 1024))
    assert ", 64.0 KiB in use, " in checks(steplog("doctor", "--json"))["spool"]["words"]


def test_a_setting_that_does_not_parse_is_one_line_that_names_it(steplog, monkeypatch):
    monkeypatch.setenv("STEPLOG_FINISH_TIMEOUT_S", "soon")
    result = steplog("doctor")
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert "finish_timeout_s (environment STEPLOG_FINISH_TIMEOUT_S)" in result.output
