"""TAB completes the names of runs, in a real bash, quickly and without a word."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.conftest import EVIL, named_run
from cli.terminal import environment
from server.process import DEADLINE_S, KEY, ServerProcess
from steplog.cli import completion
from steplog.testing import HostileServer

COMMAND = f"""#!{sys.executable}
import os, sys
from steplog.cli import completion, main
completion._WAIT_S = float(os.environ.get("WAIT_S", completion._WAIT_S))
main(prog_name="steplog")
"""
# As a startup file sets it up, and then as TAB calls it: the words that bash would offer, one a line.
SCRIPT = """
eval "$(_STEPLOG_COMPLETE=bash_source steplog)"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_steplog_completion steplog
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "me") as server:
        for name in ("trial-1", "trial-2", "lr/1e-3", "two words", "a:b", "$(touch x)", "`x`", "--yes", EVIL, "学習"):
            named_run(server, "sweep", name)
        server.ask("DELETE", named_run(server, "sweep", "old-trial"))
        yield server


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """``steplog`` on the path, and no server."""
    command = tmp_path / "bin" / "steplog"
    command.parent.mkdir()
    command.write_text(COMMAND)
    command.chmod(0o755)
    state = tmp_path / "state"
    state.mkdir(0o700)
    return environment(state, PATH=f"{command.parent}:{os.environ['PATH']}", WAIT_S=f"{DEADLINE_S}")


@pytest.fixture
def variables(server: ServerProcess, alone: dict[str, str]) -> dict[str, str]:
    return alone | {"STEPLOG_URL": server.url, "STEPLOG_API_KEY": KEY}


def offered(variables: dict[str, str], *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    command = ["bash", "--norc", "-c", SCRIPT, "bash", "steplog", *words]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.split("\n")[:-1] if done.stdout != "\n" else []


def test_the_shell_completes_the_names_of_runs(variables):
    assert offered(variables, "show", "tri") == ["trial-1", "trial-2"]
    assert offered(variables, "rm", "trial-1", "lr") == ["lr/1e-3"]
    assert offered(variables, "mv", "sweep/lr") == ["sweep/lr/1e-3"]
    assert offered(variables, "tag", "学") == ["学習"]


def test_a_uuid_is_offered_once_something_of_it_is_typed(server, variables):
    uuid = named_run(server, "uuids", "some").split("/")[-2]
    assert offered(variables, "show", uuid[:6]) == [uuid]
    assert uuid not in offered(variables, "show", "")


def test_names_that_a_shell_would_change_or_run_are_not_offered(variables):
    names = offered(variables, "show", "")
    assert {"trial-1", "trial-2", "lr/1e-3", "学習"} <= set(names)
    assert not [name for name in names if name[:1] == "-" or set(name) & set(" :$(`\x1b\u202e")]


def test_the_metrics_of_the_run_that_is_typed_are_offered(server, variables):
    path = named_run(server, "measures", "measured")
    for name in ("train/loss", "train/acc", "val loss", "test"):
        server.ask("POST", f"{path}metrics/", json={"name": name, "value": 1})
    assert offered(variables, "show", "measured", "train/") == ["train/acc", "train/loss"]
    assert offered(variables, "show", "measured", "test", "") == ["test", "train/acc", "train/loss"]
    assert offered(variables, "show", "nothing", "") == []


def test_only_restore_is_offered_what_is_in_the_trash(variables):
    assert offered(variables, "restore", "") == ["old-trial"]
    assert "old-trial" not in offered(variables, "show", "old")


@pytest.mark.slow
def test_what_waits_on_this_machine_is_offered_where_it_is_meant(variables):
    program = "import steplog; steplog.init(project='mnist', name='kept-here', mode='offline').log('loss', 1.0)"
    quiet = variables | {"STEPLOG_QUIET": "1"}
    subprocess.run([sys.executable, "-c", program], env=quiet, check=True, timeout=DEADLINE_S)
    for command in ("sync", "clean", "export", "show", "tail"):
        assert offered(variables, command, "kept") == ["kept-here"]
    assert offered(variables, "show", "kept-here", "l") == ["loss"]
    assert offered(variables, "rm", "kept") == []


@pytest.mark.slow
def test_without_a_server_nothing_is_offered_and_nothing_is_said(variables, alone):
    assert offered(alone, "show", "tri") == []
    assert offered(variables | {"STEPLOG_API_KEY": "wrong"}, "show", "tri") == []
    assert offered(variables | {"STEPLOG_URL": "http://127.0.0.1:9"}, "show", "tri") == []
    assert offered(variables | {"STEPLOG_URL": "no address at all"}, "show", "tri") == []
    assert offered(variables | {"STEPLOG_DIR": "/dev/null"}, "sync", "tri") == []


def test_a_server_that_hangs_does_not_hold_up_the_shell(variables):
    """Its answer would be waited for for 30 seconds."""
    with HostileServer(lambda peer: peer.hold()) as silent:
        begin = time.monotonic()
        assert offered(variables | {"STEPLOG_URL": silent.url, "WAIT_S": "0.5"}, "show", "tri") == []
        assert time.monotonic() - begin < 15  # a program's start on a busy machine, and not an exchange's deadline


def test_the_shell_waits_for_names_for_half_a_second(monkeypatch):
    held = threading.Event()
    waited: list[float | None] = []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", lambda _, timeout=None: waited.append(timeout))
        assert completion.offered("", lambda: [str(held.wait(DEADLINE_S))]) == []
    held.set()
    logging.disable(logging.NOTSET)
    assert waited == [0.5]


def test_fields_of_runs_are_completed_where_ls_takes_one(server, variables):
    path = named_run(server, "fields", "some")
    for name, value in (("steplog/config", {"lr": 1, "layers": {"a b": 2}}), ("train/loss", 1), ("a loss", 2)):
        server.ask("POST", f"{path}metrics/", json={"name": name, "value": value})
    assert offered(variables, "ls", "me/fields", "--columns", "config.l") == ["config.lr"]
    assert offered(variables, "ls", "me/fields", "--columns", "name,train/loss.m") == [
        *("name,train/loss.max", "name,train/loss.min")
    ]
    assert offered(variables, "ls", "--sort", "du") == ["duration"]
    assert "train/loss.last" in offered(variables, "ls", "--where", "train")
