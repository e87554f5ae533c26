"""``steplog.open`` finds a run wherever it is, and the same one again; else it says what there is instead."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from end_to_end.programs import Host, line
from server.process import KEY, ServerProcess
from steplog.testing.memory_server import Fault

LOGS = """
import steplog
from polling import wait_until
run = steplog.init("team", os.environ["PROJECT"], os.environ["RUN_NAME"], mode="offline")
for number in range(1000):
    run.log("loss", 1 / (number + 1), number)
wait_until(lambda: run.stats().durable >= 1000)
print(run.id, flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A machine without a server, and this process a program of it."""
    host = Host(tmp_path, None)
    host.environment.update(STEPLOG_URL="", STEPLOG_API_KEY="")
    for name, value in host.environment.items():
        monkeypatch.setenv(name, value)
    return host


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A machine that knows the server, and this process a program of it."""
    made = Host(tmp_path, server)
    made.configure(monkeypatch)
    return made


def begun(host: Host, name: str, **given: object) -> steplog.Run:
    """A run with 20 values."""
    run = steplog.init("team", host.project, name, **given)  # type: ignore[arg-type]
    for step in range(20):
        run.log("loss", 1 / (step + 1), step)
    return run


@apart
def test_on_a_laptop_without_a_server_a_run_is_read_by_its_name(laptop: Host):
    with begun(laptop, "first"):
        pass
    run = steplog.open("first")
    assert repr(run) == f"<ReadOnlyRun team/{laptop.project}/first ({run.id}), COMPLETED>"
    assert run.history().to_dict()["loss"] == [1 / (step + 1) for step in range(20)]
    assert (run.summary, run.url) == ({"loss": 0.05}, None)
    with pytest.raises(
        steplog.MetricNotFoundError, match=rf"the run team/{laptop.project}/first .* did you mean 'loss'"
    ):
        run.history("los")
    with pytest.raises(
        steplog.ConfigurationError, match=r"the run 'frist' \(did you mean 'first'\?\), .* steplog serve"
    ):
        steplog.open("frist")


@apart
def test_what_a_run_and_its_metrics_are_called_cannot_move_the_cursor(laptop: Host):
    evil = "x\x1b]0;owned\x07\x1b[2J\r\nforged\u202e"
    with begun(laptop, evil) as made:
        made.log(f"metric {evil}", 0.5)
    run = steplog.open(made)
    for shown in (repr(run), repr(run.history()), repr(run.series())):
        assert shown.isprintable()


@apart
def test_a_run_that_is_gone_can_still_be_printed(laptop: Host):
    with begun(laptop, "first"):
        pass
    run = steplog.open("first")
    assert steplog.clean("first")
    assert repr(run) == f"<ReadOnlyRun team/{laptop.project}/first ({run.uuid})>"


@pytest.mark.slow
@apart
def test_a_run_is_the_same_after_refresh_whatever_else_is_called_so_by_then(host: Host):
    with begun(host, "first"):
        pass
    run = steplog.open("first")
    with begun(host, "first", mode="offline") as other:
        other.log("other", 1.0)
    run.refresh()
    assert list(run.summary) == ["loss"]
    assert steplog.open("first").uuid == other.id
    with pytest.raises(ValueError, match="may mean 2 runs"):
        steplog.open("firs")


@pytest.mark.slow
@apart
def test_an_offline_run_is_found_on_the_server_though_that_calls_it_otherwise(host: Host, server: ServerProcess):
    """By its name the run would be another one, which had the name first."""
    with begun(host, "first"):
        pass
    with begun(host, "first", mode="offline") as kept:
        kept.log("other", 1.0)
    run = steplog.open(kept)
    assert run.history("other")["other"] == [1.0]
    assert host.run("-m", "steplog", "sync").code == 0
    assert (run.history("other")["other"], run.summary, run.uuid) == ([1.0], {"loss": 0.05, "other": 1.0}, kept.id)
    run.refresh()
    assert (run.name, run.history("other")["other"]) == ("first_1", [1.0])
    assert steplog.clean() == []
    assert steplog.open(str(kept.id)).uuid == run.uuid != kept.id


@pytest.mark.slow
@apart
def test_what_is_read_while_a_run_is_sent_is_a_beginning_of_it(host: Host):
    """The journal of an offline run that is being sent names no server: there was no key for it."""
    run = steplog.init("team", host.project, "first", mode="offline")
    for step in range(100_000):
        run.log("loss", step, step)
    run.finish()
    opened = steplog.open("first")
    found = []
    with host.start("-m", "steplog", "sync") as sync:
        while sync.poll() is None:
            try:
                steps = opened.history("loss")["loss"]
            except steplog.MetricNotFoundError:  # the first ones are on their way
                steps = []
            assert steps == list(range(len(steps)))
            found.append(len(steps))
        assert sync.returncode == 0
    assert (found[0], len(opened.history())) == (100_000, 100_000)


@pytest.mark.slow
@apart
def test_a_run_whose_sending_was_given_up_is_read_on_the_server_and_the_rest_named(
    laptop: Host, monkeypatch: pytest.MonkeyPatch
):
    with begun(laptop, "first"):
        pass
    fake = FakeServer()
    fake.configure(monkeypatch)
    fake.memory.script = lambda request: Fault(503) if request.path.endswith("/batch/") else None
    sent = laptop.run("-m", "steplog", "sync", STEPLOG_URL=fake.url, STEPLOG_API_KEY=fake.memory.key)
    assert (sent.code, len(fake.memory.runs)) == (1, 1)
    run = steplog.open("first")
    assert (run.uuid, run.url) == (*fake.memory.runs, f"{fake.url}/team/projects/{laptop.project}/runs/first/")
    with pytest.raises(steplog.MetricNotFoundError, match="it has none; 20 values of it wait on this machine"):
        run.history("loss")


@pytest.mark.slow
@apart
def test_a_run_that_is_removed_from_this_machine_unsent_is_said_to_be_gone(laptop: Host, host: Host):
    with begun(host, "first", mode="offline"):
        pass
    run = steplog.open("first")
    assert len(run.history()) == 20
    assert steplog.clean("first")
    for ask in (run.history, run.series, run.refresh):
        with pytest.raises(steplog.RunNotFoundError, match=r"first .* is not on this machine any more; if it was sent"):
            ask()


@pytest.mark.slow
@apart
def test_a_run_of_another_server_is_read_there_if_there_is_a_key_for_it(
    host: Host, server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = begun(host, "first")
    run.flush()
    monkeypatch.setenv("STEPLOG_URL", "http://127.0.0.1:9")
    program = "import steplog\nprint(len(steplog.open('first').history()))"
    refused = host.run(program, STEPLOG_URL="http://127.0.0.1:9")
    place = f"team/{host.project}/first ({run.uuid})"
    words = f"the run {place} is on {server.url}, for which there is no API key here"
    assert f"{words}; type: steplog login --url {server.url}" in refused.errors
    with host.start("-m", "steplog", "login", "--url", server.url, STEPLOG_API_KEY="") as login:
        login.communicate(f"{KEY}\n")
    assert login.returncode == 0
    assert host.run(program, STEPLOG_URL="http://127.0.0.1:9").out == "20\n"


@pytest.mark.slow
@apart
def test_a_server_that_is_away_is_said_with_the_run_and_what_of_it_waits_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with ServerProcess(tmp_path, "--user", "team") as server:
        host = Host(tmp_path, server)
        host.configure(monkeypatch)
        run = begun(host, "first")
        assert run.flush()
        opened = steplog.open("first")
        server.end(signal.SIGKILL)
        for step in range(1000):
            run.log("loss", 0.5, step)
        left = "1,000 values of it wait on this machine, type: steplog export --here first"
        words = rf"^the run team/{host.project}/first \({run.uuid}\) cannot be read: {server.url}: refused; {left}$"
        for ask in (opened.history, opened.refresh, opened.series, lambda: steplog.open("first")):
            with pytest.raises(steplog.ServerUnavailableError, match=words):
                ask()
        with pytest.raises(steplog.ServerUnavailableError, match=r"the run 'frist' \(did you mean 'first'\?\), and"):
            steplog.open("frist")


@pytest.mark.slow
@apart
def test_a_server_of_this_machine_that_does_not_run_is_named_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    host = Host(tmp_path, None)
    host.environment.update(STEPLOG_URL="", STEPLOG_API_KEY="")
    for name, value in host.environment.items():
        monkeypatch.setenv(name, value)
    with host.start("-m", "steplog", "serve", "--port", "0", "--user", "team") as served:
        line(served)
        run = begun(host, "first")
        assert run.flush()
        served.kill()
        served.communicate()
    run.log("loss", 0.5)
    left = "not running; type: steplog serve; 1 value of it waits on this machine, type: steplog export --here first"
    with pytest.raises(steplog.ServerUnavailableError, match=f"cannot be read: http://127.0.0.1:.*: {left}"):
        steplog.open(run)
    done = host.run("import steplog\nsteplog.open('first')")  # by a process that does not know where it was
    assert f"cannot be read: its server on this machine: {left}\n" in done.errors


@apart
def test_a_metric_that_has_not_arrived_yet_is_said_to_wait_here(host: Host, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPLOG_BATCH_AGE_S", "60")
    monkeypatch.setenv("STEPLOG_SPOOL_INTERVAL_S", "120")
    run = steplog.init("team", host.project, "first")
    run.flush()
    run.log("loss", 0.5)
    with pytest.raises(steplog.MetricNotFoundError, match=r"it has none; 1 value of it waits on this machine"):
        steplog.open(run).history("loss")
    run.flush()
    assert steplog.open(run).history("loss")["loss"] == [0.5]


@pytest.mark.slow
@apart
def test_runs_that_were_killed_here_or_on_another_host_of_this_disk_are_read(laptop: Host):
    for name in ("here", "there"):
        with laptop.start(LOGS, name=name) as program:
            local_id = line(program)
            program.kill()
            program.communicate()
    (directory,) = laptop.state.glob(f"{local_id}.*")
    directory.rename(laptop.state / f"{local_id}.{'1' * 16}")
    for left in Path(os.environ["STEPLOG_MEMORY_DIR"]).rglob(f"{local_id}.*"):
        shutil.rmtree(left)
    here, there = steplog.open("here"), steplog.open("there")
    assert (here.status, there.status) == (steplog.RunStatus.CRASHED, steplog.RunStatus.RUNNING)
    assert here.history()["loss"] == there.history()["loss"] == [1 / (number + 1) for number in range(1000)]


@apart
def test_a_run_that_logs_nowhere_has_nothing_to_read(laptop: Host):
    run = steplog.init(project="digits", mode="disabled")
    with pytest.raises(steplog.RunNotFoundError, match="logs nowhere"):
        steplog.open(run)
