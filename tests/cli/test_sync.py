"""``steplog sync`` and ``steplog clean``, as a user types them."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from end_to_end.programs import DEADLINE_S
from polling import wait_until
from steplog import instance
from steplog.cli import main
from steplog.cli.sync import _ProgressBar
from steplog.file_lock import FileLock
from steplog.journal.directories import new_id
from steplog.lifecycle.adoption import NotAdopted
from steplog.lifecycle.process import current
from steplog.testing import HostileServer
from steplog.testing.memory_server import Fault


def typed(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=answer)


def leave_a_run(directory: Path) -> None:
    """A machine with nothing configured, and a run that waits on it."""
    os.environ["STEPLOG_DIR"] = str(directory / "state")
    run = steplog.init(project="mnist", name="waits", mode="offline")
    run.log({"loss": 0.5, "accuracy": 0.1})
    run.finish(timeout=2)


@apart
def test_sync_says_of_each_run_what_it_did_and_why_something_is_left(tmp_path: Path):
    leave_a_run(tmp_path)
    done = typed("sync")
    assert done.exit_code == 1
    assert done.output == "waits: 0 delivered, 2 kept here: there is no server: steplog serve, or steplog login\n"
    (told,) = json.loads(typed("sync", "waits", "--json").output)
    assert (told["name"], told["pending"]) == ("waits", 2)
    assert typed("sync", "--all").output == done.output
    assert typed("sync", "waits", "--all").exit_code == 2


@pytest.mark.slow
@apart
def test_sync_looks_for_a_server_of_this_machine_once_however_many_runs_wait(tmp_path: Path):
    """Each run waited two seconds for a port on which something says nothing."""
    for _ in range(3):
        leave_a_run(tmp_path)
    with HostileServer(lambda peer: peer.hold()) as silent:
        path = instance.state_path(tmp_path / "state")
        instance.write(path, instance.Instance("of 0.1", silent.url, "secret", "key", "ann"))
        done = typed("sync")
        assert done.output.count("there is no server") == 3
        assert silent.connections == 1


@pytest.mark.parametrize("stays", [0, 1])
@apart
def test_sync_of_two_runs_of_which_one_stays_delivers_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: int
):
    server = FakeServer()
    server.configure(monkeypatch)
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("STEPLOG_EXCHANGE_TIMEOUT_S", "0.5")
    for name in ("one", "two"):
        run = steplog.init("team", "mnist", name, mode="offline")
        run.log({"loss": 0.5, "accuracy": 0.1})
        run.finish(timeout=2)
    kept, sent = sorted(steplog.journals(), key=lambda run: run.id, reverse=stays == 1)
    held = FileLock.take(kept.path / "lock")  # as another process that delivers it
    done = typed("sync")
    assert sorted(done.output.splitlines()) == sorted(
        [
            f"{kept.name}: 0 delivered, 2 kept here: another process delivers it; nothing of it has arrived for 0.5 s",
            f"{sent.name}: 2 delivered",
        ]
    )
    assert (done.exit_code, [row.name for row in server.memory.runs.values()]) == (1, [sent.name])
    assert held is not None
    held.release()
    done = typed("sync")
    assert (done.exit_code, done.output) == (0, f"{kept.name}: 2 delivered\n")
    assert typed("sync").output == "nothing waits on this machine\n"


def leave_a_run_for(server: FakeServer, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.configure(monkeypatch)
    monkeypatch.setenv("STEPLOG_DIR", str(directory / "state"))
    run = steplog.init("team", "mnist", "one", mode="offline")
    run.log({"loss": 0.5, "accuracy": 0.1})
    run.finish(timeout=2)


@pytest.mark.parametrize("follow", [(), ("--follow",)])
@apart
def test_sync_ends_where_the_server_refuses_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follow: tuple[str, ...]
):
    """It asked again and again without a pause, for ever, and said nothing."""
    leave_a_run_for(server := FakeServer(), tmp_path, monkeypatch)
    server.memory.script = lambda request: Fault(400, b"no") if request.method == "PATCH" else None
    done = typed("sync", *follow)
    words = "its end is kept here: the server refuses the status COMPLETED: 400 no"
    assert (done.exit_code, done.output.splitlines()[-1]) == (1, f"one: 2 delivered; {words}")
    server.memory.script = lambda request: None
    assert (typed("sync").exit_code, [run.status for run in server.memory.runs.values()]) == (0, ["COMPLETED"])


@apart
def test_sync_ends_where_the_server_has_the_run_and_no_route_for_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It asked for the run and sent the status in turns, for ever."""
    leave_a_run_for(server := FakeServer(), tmp_path, monkeypatch)
    server.memory.script = lambda request: Fault(404, b"no") if request.method == "PATCH" else None
    done = typed("sync")
    assert (done.exit_code, done.output.splitlines()[-1]) == (1, "one: 2 delivered; its end is kept here: 404 no")


@pytest.mark.parametrize("released", [pytest.param(False, marks=pytest.mark.slow), True])
@apart
def test_sync_ends_where_nothing_delivers_the_run_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, released: bool
):
    """It waited for ever for a run that its agent had let go, as where files turn up while a run is removed."""
    monkeypatch.setenv("STEPLOG_EXCHANGE_TIMEOUT_S", "0.5")
    leave_a_run_for(server := FakeServer(), tmp_path, monkeypatch)
    goes_on = threading.Event()
    server.memory.script = lambda request: None if goes_on.wait(DEADLINE_S) else Fault(500)
    agent = current().agent

    def let_go(synced: steplog.Synced) -> None:
        for lease in list(agent.leases.values()):
            agent.release(lease) if released else agent.pause(lease)

    (done,) = steplog.sync(progress=let_go)
    goes_on.set()
    why = "it was left to another process: steplog sync" if released else "nothing of it has arrived for 5 s"
    assert (done.pending, done.why) == (2, why)


@pytest.mark.parametrize("removed", [False, True])
@apart
def test_sync_counts_what_its_own_agent_delivered_of_a_run_before_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: bool
):
    """It said 0 of a run that the agent had adopted meanwhile, and nothing of one that was removed as well."""
    FakeServer().configure(monkeypatch)
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))
    for name in ("one", "two"):
        run = steplog.init("team", "mnist", name, mode="offline")
        run.log({"loss": 0.5, "accuracy": 0.1})
        run.finish(timeout=2)
    runs, process = steplog.sync(), current()
    first = next(runs)
    (paths,) = process.roots.runs()
    adopted = process.adopter.adopt(paths, by_hand=True)
    assert not isinstance(adopted, NotAdopted)
    process.agent.deliver(*adopted, adopted=True)
    assert process.agent.wait(adopted[0], DEADLINE_S, whole=True)
    if removed:
        wait_until(lambda: not paths.spool.exists())
    (second,) = runs
    assert {first.name, second.name} == {"one", "two"}
    assert [(run.delivered, run.pending, run.logged) for run in (first, second)] == [(2, 0, 2)] * 2


@apart
def test_an_empty_run_directory_is_not_listed_and_clean_removes_it(tmp_path: Path):
    """Two syncs at once left one, which each later sync repeated as "0 delivered"."""
    os.environ["STEPLOG_DIR"] = str(tmp_path / "state")
    paths, lock = current().roots.claim(new_id())
    assert lock is not None
    lock.release()
    assert steplog.journals() == []
    assert typed("sync").output == "nothing waits on this machine\n"
    assert typed("clean").output == "0 runs removed\n"
    assert [directory.exists() for directory in paths.directories()] == [False] * len(paths.directories())


@apart
def test_what_a_killed_removal_left_is_removed_by_the_next_sync(tmp_path: Path):
    os.environ["STEPLOG_DIR"] = str(tmp_path / "state")
    paths, lock = current().roots.claim(new_id())
    assert lock is not None
    lock.release()
    for directory in paths.directories():
        directory.rename(directory.with_name(f"{directory.name}.0123abcd.old"))
    assert typed("sync").output == "nothing waits on this machine\n"
    assert [list(directory.parent.glob("*.old")) for directory in paths.directories()] == [[]] * len(
        paths.directories()
    )


@apart
def test_a_run_that_is_not_here_is_one_line_and_exit_code_1(tmp_path: Path):
    leave_a_run(tmp_path)
    for command in ("sync", "clean"):
        done = typed(command, "nobody")
        assert done.exit_code == 1
        assert "no run on this machine is called 'nobody'" in done.output


@apart
def test_the_short_id_that_ls_shows_is_enough_for_each_command(tmp_path: Path):
    """They said that no run was called so."""
    leave_a_run(tmp_path)
    (waiting,) = steplog.journals()
    short = waiting.id[:8]
    assert short in typed("ls", "--here").output
    assert len(typed("export", short).output.splitlines()) > 0
    assert "no run" not in typed("sync", short).output
    assert "nobody can be asked" in typed("clean", short).output  # it has records that are not delivered
    assert (typed("clean", "--yes", short).exit_code, steplog.journals()) == (0, [])


@pytest.mark.parametrize("chosen", [None, "job-7"])
@apart
def test_ls_shows_of_a_run_that_waits_the_id_that_the_server_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
):
    """It showed that of the journal here, which is another one, and which ``show`` and ``rm`` do not take."""
    FakeServer().configure(monkeypatch)
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))
    run = steplog.init("team", "mnist", "one", id=chosen)
    run.log("loss", 0.5)
    (waiting,) = steplog.journals()
    assert waiting.id != waiting.run == run.uuid
    shown = chosen or run.uuid[:8]
    _, row = typed("ls", "--here").stdout.splitlines()
    assert shown in row.split()
    assert typed("clean", shown[:5], "--yes").output.endswith(f"{shown[:5]} stays: a process delivers it\n")


@apart
def test_clean_asks_before_it_removes_what_is_not_delivered(tmp_path: Path):
    leave_a_run(tmp_path)
    done = typed("clean")
    assert (done.exit_code, done.output) == (0, "0 runs removed\n")
    refused = typed("clean", "waits", answer="n\n")
    assert refused.exit_code == 2, refused.output  # no terminal, so nobody can be asked
    assert "type --yes to go on. Type: steplog clean --help" in refused.output
    assert [run.name for run in steplog.journals()] == ["waits"]
    (waits,) = steplog.journals()
    removed, *last = typed("clean", "waits", "--yes").output.splitlines()
    assert removed.startswith(f"waits ({waits.id[:8]}): 2 records not delivered; ")
    assert last == ["1 run removed"]
    assert steplog.journals() == []
    done = typed("sync")
    assert (done.exit_code, done.output) == (0, "nothing waits on this machine\n")


@apart
def test_clean_says_that_a_run_stays_because_a_process_delivers_it(tmp_path: Path):
    """It said "0 runs removed" with exit code 0, and not why."""
    leave_a_run(tmp_path)
    (waits,) = steplog.journals()
    held = FileLock.take(waits.path / "lock")  # as another process that delivers it
    assert held is not None
    done = typed("clean", "waits", "--yes")
    assert (done.exit_code, done.output) == (
        1,
        "0 runs removed\nsteplog: waits stays: a process delivers it\n",
    )
    held.release()
    assert typed("clean", "waits", "--yes").exit_code == 0


def test_the_bar_is_gone_before_a_line_is_printed_and_is_back_for_the_next_run():
    """It took the line that was printed below it along."""
    terminal = io.StringIO()
    bar = _ProgressBar(Console(file=terminal, force_terminal=True, width=80))
    for name in ("first\x1b[2J", "second"):
        bar.show(steplog.Synced("a" * 32, name, 1000, 2000, "away"))
        shown = terminal.getvalue()
        assert f"{name.replace(chr(27), chr(0xFFFD))} " in shown
        assert "1,000 of 3,000  away" in shown
        bar.clear()
        after = terminal.getvalue()
        assert after.endswith("\x1b[1A\x1b[2K")
        bar.clear()
        assert terminal.getvalue() == after


def test_where_nobody_looks_there_is_no_bar():
    file = io.StringIO()
    bar = _ProgressBar(Console(file=file))
    bar.show(steplog.Synced("a" * 32, "run", 1, 2, ""))
    bar.clear()
    assert file.getvalue() == ""


def test_there_is_no_bar_in_a_log_either_where_colours_are_forced(monkeypatch, capsys):
    """CI sets FORCE_COLOR: its logs had escape codes four times a second."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    bar = _ProgressBar()
    bar.show(steplog.Synced("a" * 32, "run", 1, 2, ""))
    bar.clear()
    assert capsys.readouterr() == ("", "")
