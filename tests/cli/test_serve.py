"""``steplog serve`` starts, says where it is, and stops without leaving anything half done."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from end_to_end.oracle import Oracle
from polling import wait_until
from server.process import DEADLINE_S, KEY, SOURCES, ServerProcess
from steplog import instance
from steplog.server.launch import ServerOptions, address_elsewhere


def steplog(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "steplog", *arguments],
        env=dict(os.environ) | {"PYTHONPATH": str(SOURCES)} | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly_with_connections_open(tmp_path, number):
    with ServerProcess(tmp_path) as server:
        assert server.ask("GET", "/verify-api-key/").status_code == 200  # kept alive from here on
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as half:
            half.sendall(b"POST /api/v0/x HTTP/1.1\r\nContent-Le")
            assert server.state.exists()
            assert server.end(number) == (0, "")
        assert not server.state.exists()
        assert not Path(f"{server.database}-wal").exists()


def test_the_key_that_it_makes_up_stays_the_same_and_is_never_printed(tmp_path):
    with ServerProcess(tmp_path, key=None) as server:
        state = instance.read(server.state)
        assert state is not None
        assert len(state.api_key) >= 32
        server.process.send_signal(signal.SIGTERM)
        printed = server.said + "".join(server.process.communicate(timeout=DEADLINE_S))
        assert state.api_key not in printed
        server.start()
        again = instance.read(server.state)
        assert again is not None
        assert (again.api_key, again.instance) == (state.api_key, state.instance)
        assert again.secret != state.secret
        kept = Path(f"{server.database}.key")
        assert (kept.read_text().strip(), kept.stat().st_mode & 0o777) == (state.api_key, 0o600)


def test_the_key_comes_from_argument_file_or_environment_in_this_order(tmp_path):
    (tmp_path / "key").write_text("from-a-file\n")
    for arguments, key in [
        (("--api-key", "given", "--api-key-file", str(tmp_path / "key")), "given"),
        (("--api-key-file", str(tmp_path / "key")), "from-a-file"),
        ((), KEY),
    ]:
        with ServerProcess(tmp_path, *arguments) as server:
            answers = {
                each: server.ask("GET", "/verify-api-key/", headers={"Authorization": f"Api-Key {each}"}).status_code
                for each in ("given", "from-a-file", KEY)
            }
            assert answers == {each: 200 if each == key else 401 for each in answers}


def test_its_first_line_is_its_address_and_the_rest_how_to_use_it(tmp_path):
    with ServerProcess(tmp_path) as server:
        assert str(server.database) in server.said
        assert "nothing to set" in server.said
        assert "elsewhere" not in server.said  # 127.0.0.1, which it printed, leads nowhere from another machine
        assert KEY not in server.said


@pytest.mark.slow
def test_a_second_one_says_which_is_found_first_and_how_to_choose_it(tmp_path):
    with ServerProcess(tmp_path) as first, ServerProcess(tmp_path, "--db", str(tmp_path / "o.db"), key=None) as second:
        way = f"steplog key issue --db {tmp_path / 'o.db'}"
        words = f"a run that is configured for no server finds {first.url}, which has run longer; for this one, set"
        assert f"  here      {words} STEPLOG_URL={second.url} and a key of: {way}\n" in second.said
        key = steplog(*way.split()[1:], STEPLOG_DIR=str(tmp_path)).stdout.strip()
        second.session.headers["Authorization"] = f"Api-Key {key}"
        wait_until(lambda: second.ask("GET", "/verify-api-key/").status_code == 200)
        first.end()
        second.end()
        second.start()
        assert "nothing to set" in second.said


def test_beyond_this_machine_it_prints_what_to_set_there_and_answers_to_that_name(tmp_path):
    reachable = ("--host", "0.0.0.0", "--insecure")
    with ServerProcess(tmp_path, *reachable) as server:
        assert "elsewhere no name of this machine is known: add --allow-host NAME\n" in server.said
        server.end()
    with ServerProcess(tmp_path, *reachable, "--allow-host", "box.lan") as server:
        port = server.url.rpartition(":")[2]
        told = f"STEPLOG_URL=http://box.lan:{port} STEPLOG_ALLOW_HTTP=1 and a key of: steplog key issue"
        assert f"  elsewhere set {told}\n" in server.said
        answer = server.ask("GET", "/verify-api-key/", headers={"Host": f"box.lan:{port}"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("listening", "options", "address"),
    [
        ("127.0.0.1", ServerOptions(), None),
        ("127.0.1.1", ServerOptions("box"), None),  # as Debian resolves the machine's own name
        ("::1", ServerOptions("::1"), None),
        ("0.0.0.0", ServerOptions("0.0.0.0"), ""),
        ("::", ServerOptions("::"), ""),
        ("0.0.0.0", ServerOptions("0.0.0.0", hosts=("box.lan",)), "https://box.lan:8787"),
        ("0.0.0.0", ServerOptions("0.0.0.0", hosts=("box.lan:443", "other")), "https://box.lan:443"),
        ("10.0.0.1", ServerOptions("10.0.0.1"), "https://10.0.0.1:8787"),
        ("fe80::1%2", ServerOptions("fe80::1"), "https://[fe80::1]:8787"),
        ("10.0.0.1", ServerOptions("box"), "https://box:8787"),
    ],
)
def test_its_address_from_elsewhere_is_one_that_it_answers_to(listening, options, address):
    assert address_elsewhere(options, listening, "https://127.0.0.1:8787") == address


@pytest.mark.parametrize("trouble", ["port", "database", "key", "user", "second"])
def test_what_it_cannot_start_with_is_said_in_one_line_with_code_1(tmp_path, trouble):
    directory, database = tmp_path / "state", tmp_path / "x.db"
    environment = {"STEPLOG_DIR": str(directory)}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        database.write_text("precious")
        arguments = {
            "port": ["--port", port],
            "database": ["--port", "0", "--db", str(database)],
            "key": ["--port", "0", "--api-key", "with space-canary"],
            "user": ["--port", "0", "--user", "!!!"],
            "second": ["--port", "0"],
        }[trouble]
        if trouble == "second":
            with ServerProcess(directory) as server:
                done = steplog("serve", *arguments, **environment)
                assert server.ask("GET", "/verify-api-key/").status_code == 200
        else:
            done = steplog("serve", *arguments, **environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("steplog: ")
    assert "canary" not in done.stderr
    assert database.read_text() == "precious"
    assert (directory / "server.json").exists() == (trouble == "second")


def test_on_the_port_of_a_server_it_names_that_one_and_a_way_that_works(tmp_path):
    with ServerProcess(tmp_path) as running:
        port = running.url.rpartition(":")[2]
        done = steplog("serve", "--port", port, STEPLOG_DIR=str(tmp_path))
        told, _, way = done.stderr.strip().partition(". To start a second one: steplog serve ")
        words = f"Address already in use by the steplog server {running.url}, which programs on this machine can use"
        assert told == f"steplog: cannot listen on 127.0.0.1 port {port}: {words}"
        assert way == "--port 0 --db other.db"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = steplog("serve", "--port", str(taken.getsockname()[1]), STEPLOG_DIR=str(tmp_path))
        assert done.stderr.endswith("in use. To use any free port: steplog serve --port 0 --db other.db\n")
        with ServerProcess(tmp_path, "--db", str(tmp_path / "other.db")) as second:
            assert second.ask("GET", "/verify-api-key/").status_code == 200


def test_on_a_port_of_another_program_any_free_port_is_the_way(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = steplog("serve", "--port", str(taken.getsockname()[1]), STEPLOG_DIR=str(tmp_path / "state"))
    assert done.stderr.endswith("Address already in use. To use any free port: steplog serve --port 0\n")


def test_of_a_database_in_a_missing_directory_it_names_the_directory(tmp_path):
    database = tmp_path / "missing" / "o.db"
    done = steplog("serve", "--port", "0", "--db", str(database), STEPLOG_DIR=str(tmp_path / "state"))
    words = f"{database} cannot be used: {database.parent}: No such file or directory"
    assert (done.returncode, done.stderr) == (1, f"steplog: {words}\n")


def test_debug_adds_the_traceback(tmp_path):
    bad = tmp_path / "x.db"
    bad.write_text("precious")
    done = steplog("--debug", "serve", "--port", "0", "--db", str(bad), STEPLOG_DIR=str(tmp_path / "state"))
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_without_a_place_for_the_state_file_it_serves_all_the_same(tmp_path):
    directory = tmp_path / "state"
    directory.mkdir()
    directory.chmod(0o777)  # others could plant a file there
    with ServerProcess(directory, "--db", str(tmp_path / "x.db")) as server:
        assert server.ask("GET", "/verify-api-key/").status_code == 200
        assert not server.state.exists()


def test_an_answer_does_not_wait_for_a_delayed_acknowledgement(tmp_path):
    """With Nagle's algorithm on, each answer took 40 ms: the socket did not name its protocol."""
    with ServerProcess(tmp_path) as server:
        times = sorted(server.ask("GET", "/verify-api-key/").elapsed.total_seconds() for _ in range(21))
        assert times[10] < 0.03


def test_it_listens_on_the_host_that_it_is_told(tmp_path):
    with ServerProcess(tmp_path, "--host", "localhost", "--allow-host", "box.lan") as server:
        assert server.url.startswith("http://localhost:")
        answer = requests.get(
            f"{server.url}/api/v0/instance/?nonce=x", headers={"Host": "box.lan:99"}, timeout=DEADLINE_S
        )
        assert answer.status_code == 200


def test_help_and_version_import_no_server():
    for arguments in (["--help"], ["serve", "--help"], ["version"], ["--version"]):
        done = steplog(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
    assert steplog("--version").stdout == steplog("version").stdout
    program = "import sys, steplog.cli; sys.exit(int(bool({'starlette', 'uvicorn', 'rich'} & set(sys.modules))))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ) | {"PYTHONPATH": str(SOURCES)}, check=False
    )
    assert done.returncode == 0
    assert steplog("nonsense").returncode == 2


WAITS = """
import sys, steplog
run = steplog.init(project="mnist", name=sys.argv[1], **({"mode": "offline"} if sys.argv[1] == "on purpose" else {}))
run.config["lr"] = 0.1
for step in range(1000):
    run.log("loss", step / 2, step)
if sys.argv[1] == "killed":
    import os
    os._exit(9)
"""


@pytest.mark.slow
def test_it_takes_in_what_waits_here_for_no_server_in_particular_and_nothing_else(tmp_path):
    places = {"STEPLOG_DIR": str(tmp_path), "STEPLOG_MEMORY_DIR": str(tmp_path / "memory"), "STEPLOG_QUIET": "1"}
    environment = dict(os.environ) | {"PYTHONPATH": str(SOURCES)} | places
    for name in ("ended", "killed", "on purpose"):
        subprocess.run([sys.executable, "-c", WAITS, name], env=environment, timeout=DEADLINE_S, check=False)
    with ServerProcess(tmp_path, "--user", "me", key=None) as server:
        held = Oracle(server.place, "mnist")
        for name, status in (("ended", "COMPLETED"), ("killed", "CRASHED")):
            held.wait_for(name, status)
            assert held.values(name, "loss") == [step / 2 for step in range(1000)]
        # A run is removed up to a second after its status was sent.
        wait_until(lambda: len(json.loads(steplog("ls", "--json", **places).stdout)["waiting"]) == 1)
        (waiting,) = json.loads(steplog("ls", "--json", **places).stdout)["waiting"]
        assert (waiting["name"], waiting["pending"], waiting["why"]) == (
            "on purpose",
            1001,
            "it was started offline: steplog sync",
        )
        assert waiting["size_bytes"] > 1000
        synced = steplog("sync", **places)
        assert (synced.returncode, synced.stdout) == (0, "on purpose: 1,001 delivered\n")


def test_the_address_with_what_a_browser_needs_is_shown_on_a_terminal_and_in_no_log(tmp_path):
    places = {"STEPLOG_DIR": str(tmp_path), "STEPLOG_MEMORY_DIR": str(tmp_path / "memory"), "PYTHONPATH": str(SOURCES)}
    program = [sys.executable, "-c", "import steplog; steplog.init(project='p', name='r').finish()"]
    with ServerProcess(tmp_path, "--user", "me", key=None) as server:
        environment = dict(os.environ) | places
        logged = subprocess.run(
            program, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=True
        )
        assert logged.stderr.splitlines()[1] == f"steplog: {server.url}/me/projects/p/runs/r/"
        terminal, its_end = os.openpty()
        subprocess.run(program, env=environment, stderr=its_end, timeout=DEADLINE_S, check=True)
        os.close(its_end)
        shown = os.read(terminal, 65536).decode().splitlines()
        os.close(terminal)
        assert shown[1].startswith(f"steplog: {server.url}/me/projects/p/runs/r-1/#token=")


def test_the_pages_token_is_printed_on_a_terminal_and_in_no_log(tmp_path):
    """A log is kept, and read by others."""
    for database in (tmp_path / "server.db", tmp_path / "another one.db"):
        with ServerProcess(tmp_path, "--db", str(database), key=None) as server:
            option = "" if database.name == "server.db" else f" --db '{database}'"
            assert f"  page      type: steplog key page{option}\n" in server.said
            state = instance.read(server.state)
            assert state is not None
            assert state.page_token not in server.said
    terminal, its_end = os.openpty()
    started = subprocess.Popen(
        [sys.executable, "-m", "steplog", "serve", "--port", "0"],
        env=dict(os.environ) | {"PYTHONPATH": str(SOURCES), "STEPLOG_DIR": str(tmp_path)},
        stdout=its_end,
    )
    os.close(its_end)
    shown = ""
    while "stop" not in shown:
        shown += os.read(terminal, 65536).decode()
    state = instance.read(tmp_path / "server.json")
    started.terminate()
    started.wait(DEADLINE_S)
    os.close(terminal)
    assert state is not None
    assert f"  page      {state.base_url}/#token={state.page_token}" in shown
