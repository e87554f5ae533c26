"""Scripts that call wandb, against a server: how they end, what arrives, and how they go on."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from end_to_end.programs import FORK_WARNING, Host, ended, line
from server.process import ServerProcess

PRELUDE = """\
import os, signal, sys
import steplog.compat.wandb as wandb
"""
RANKS = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team", "--namespace", "team") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess) -> Host:
    return beside(tmp_path, server)


def beside(directory: Path, server: ServerProcess | None, url: str | None = None) -> Host:
    made = Host(directory, server, url)
    del made.environment["STEPLOG_MODE"]
    made.environment["WANDB_PROJECT"] = made.project
    return made


def script(host: Host, source: str) -> Path:
    return host.write(source, prelude=PRELUDE)


def logged(host: Host, run: str) -> list[tuple[str, Any, int]]:
    """What the server has that the script has logged."""
    aside = ("steplog/", "system/", "compat/")
    return [point for point in host.server.metrics(run) if not point[0].startswith(aside)]


def config(host: Host, run: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for value in host.server.values(run, "steplog/config"):
        found |= json.loads(value) if isinstance(value, str) else value
    return found


def test_a_script_that_just_ends_has_completed_its_run(host):
    source = """
        wandb.init(name="run", config={"sizes": [1]})
        wandb.define_metric("loss", summary="min")
        for loss in (0.5, 0.25):
            wandb.log({"loss": loss})
        wandb.config.sizes.append(2)
    """
    done = host.run(script(host, source))
    assert (done.code, done.out) == (0, "")
    assert host.server.run("run").status == "COMPLETED"
    assert logged(host, "run") == [("loss", 0.5, 0), ("loss", 0.25, 1), ("summary/loss.min", 0.25, 0)]
    assert config(host, "run") == {"sizes": [1, 2]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("raise ValueError('x')", 1),
        ("sys.exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
    ],
)
def test_a_script_that_fails_has_crashed_and_keeps_its_last_row(host, end, code):
    source = f"""
        wandb.init(name="run")
        wandb.define_metric("loss", summary="max")
        wandb.log({{"loss": 1}}, commit=False)
        {end}
    """
    assert host.run(script(host, source)).code == code
    assert host.server.run("run").status == "CRASHED"
    assert logged(host, "run") == [("loss", 1, 0), ("summary/loss.max", 1, 0)]


@pytest.mark.slow
def test_a_killed_script_loses_no_row_and_goes_on_at_the_next_step(host):
    source = """
        run = wandb.init(id="job", resume="allow", config={"lr": 0.5})
        print(run.resumed, run.step, dict(wandb.config), flush=True)
        for _ in range(3):
            wandb.log({"loss": run.step})
        wandb.log({"late": 1}, commit=False)
        if not run.resumed:
            os.kill(os.getpid(), signal.SIGKILL)
    """
    program = script(host, source)
    first, second = host.run(program), host.run(program)
    assert (first.code, first.out) == (-9, "False 0 {'lr': 0.5}\n")
    assert (second.code, second.out) == (0, "True 4 {'lr': 0.5}\n"), second.errors
    assert host.server.run("job").status == "COMPLETED"
    losses = [(value, step) for name, value, step in logged(host, "job") if name == "loss"]
    assert sorted(losses) == [(step, step) for step in (0, 1, 2, 4, 5, 6)]  # either process may deliver first


@pytest.mark.slow
def test_a_run_begun_without_an_answer_is_sent_once_there_is_one(tmp_path, server, host):
    source = """
        run = wandb.init(name="run", entity="team")
        wandb.log({"loss": 1})
        wandb.finish()
        print(wandb.run)
    """
    with host.silence():
        done = host.run(script(host, source), STEPLOG_EXCHANGE_TIMEOUT_S="0.5", STEPLOG_FINISH_TIMEOUT_S="0.5")
    assert (done.code, done.out) == (0, "None\n"), done.errors
    assert host.run("-m", "steplog", "sync").code == 0
    assert logged(host, "run") == [("loss", 1, 0)]


@pytest.mark.slow
def test_an_offline_run_is_sent_by_sync(host):
    source = """
        wandb.init(name="run", mode="offline", entity="not-here", config={"lr": 0.5})
        wandb.log({"loss": 1})
    """
    assert host.run(script(host, source)).code == 0
    assert not host.server.runs()
    assert host.run("-m", "steplog", "sync").code == 0
    assert (logged(host, "run"), config(host, "run")) == ([("loss", 1, 0)], {"lr": 0.5})


@pytest.mark.slow
def test_an_entity_is_left_out_on_the_machines_own_server(tmp_path):
    """It made a namespace that its user does not look at."""
    with ServerProcess(tmp_path / "state", key=None):
        host = beside(tmp_path, None)
        for name in ("STEPLOG_URL", "STEPLOG_API_KEY"):
            del host.environment[name]
        source = """
            run = wandb.init(name="run", entity="my-team")
            print(run.entity != "my-team", bool(run.url))
        """
        done = host.run(script(host, source), STEPLOG_QUIET="0")
    assert (done.code, done.out) == (0, "True True\n"), done.errors
    assert "the entity 'my-team' is left out: this machine's own server has one user" in done.errors


@pytest.mark.slow
def test_the_id_of_an_offline_run_is_the_one_to_resume_it_by_once_it_is_sent(host):
    done = host.run(script(host, "wandb.init(mode='offline').log({'a': 1}); print(wandb.run.id)"))
    assert host.run("-m", "steplog", "sync").code == 0
    source = f"""
        run = wandb.init(id={done.out.strip()!r}, resume="must")
        print(run.step, [found.id == run.id for found in wandb.Api().runs(run.project)])
    """
    resumed = host.run(script(host, source))
    assert (resumed.code, resumed.out) == (0, "1 [True]\n"), resumed.errors


@pytest.mark.slow
def test_an_entity_that_the_server_has_not_is_left_out_and_said(host):
    source = """
        run = wandb.init(name="run", entity="some-lab")
        print(run.entity, run.path.split("/")[0])
    """
    done = host.run(script(host, source), STEPLOG_QUIET="0")
    assert (done.code, done.out) == (0, "team team\n"), done.errors
    assert done.errors.count("the entity 'some-lab' is not for this key here") == 1
    assert host.server.run("run").status == "COMPLETED"


@pytest.mark.slow
def test_an_id_that_is_taken_leaves_the_first_run_alone(host):
    source = """
        run = wandb.init(id="same")
        print(run.resumed, run.step, run.id == "same")
        wandb.log({"a": 1})
    """
    program = script(host, source)
    assert [host.run(program).out for _ in range(2)] == ["False 0 True\n", "False 0 False\n"]
    names = [row.name for row in host.server.runs()]
    assert (len(names), names[0]) == (2, "same")
    assert names[1].startswith("same")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "error"),
    [
        ('wandb.init(id="no-such-run", resume="must")', "UsageError"),
        ('wandb.init(id="there", resume="never")', "UsageError"),
    ],
)
def test_a_run_that_is_missing_or_there_raises_wandbs_errors(host, call, error):
    source = f"""
        wandb.init(id="there")
        wandb.finish()
        try:
            {call}
        except wandb.errors.{error} as found:
            print(type(found).__name__, wandb.run)
    """
    done = host.run(script(host, source))
    assert (done.code, done.out) == (0, f"{error} None\n"), done.errors


@pytest.mark.slow
def test_a_key_that_is_wrong_raises_wandbs_error(host):
    source = """
        try:
            wandb.init()
        except wandb.errors.AuthenticationError as error:
            print("steplog login" in str(error))
    """
    done = host.run(script(host, source), STEPLOG_API_KEY="wrong")
    assert (done.code, done.out) == (0, "True\n"), done.errors


@pytest.mark.slow
def test_every_rank_of_a_job_has_a_run_in_the_group(host):
    source = """
        run = wandb.init(name=f"rank {os.environ['RANK']}")
        wandb.log({"rank": int(os.environ["RANK"])})
        print(run.group)
    """
    program = script(host, source)
    ranks = [host.start(program, RANK=str(rank), WORLD_SIZE=str(RANKS), WANDB_RUN_GROUP="job") for rank in range(RANKS)]
    assert [ended(each).out for each in ranks] == ["job\n"] * RANKS
    for rank in range(RANKS):
        assert logged(host, f"rank {rank}") == [("rank", rank, 0)]


@pytest.mark.slow
def test_processes_that_share_a_run_by_its_id_add_to_it(host):
    """Their rows have the server's numbers, whatever step they name, and the worker's end is not the run's."""
    source = """
        main = sys.argv[1] == "main"
        settings = wandb.Settings(mode="shared", x_primary=main, x_update_finish_state=main)
        run = wandb.init(id="job", settings=settings)
        print("ready", flush=True)
        if main:
            sys.stdin.readline()
        wandb.log({"who": sys.argv[1]}, step=90)
    """
    program = script(host, source)
    with host.start(program, "main") as main:
        assert line(main) == "ready"
        worker = host.run(program, "worker")
        assert (worker.code, host.server.run("job").status) == (0, "RUNNING"), worker.errors
        done = ended(main)
    assert (done.code, host.server.run("job").status) == (0, "COMPLETED"), done.errors
    found = logged(host, "job")
    assert ({value for _, value, _ in found}, {step for *_, step in found}) == ({"main", "worker"}, {0, 1})


@pytest.mark.slow
def test_a_run_that_is_ended_by_another_library_is_ended_once(host):
    source = """
        import atexit
        run = wandb.init(name="run")
        wandb.log({"a": 1})
        atexit.register(wandb.finish)
        atexit.register(run.finish, 1)
    """
    done = host.run(script(host, source))
    assert (done.code, host.server.run("run").status) == (0, "FAILED"), done.errors
    assert logged(host, "run") == [("a", 1, 0)]


@pytest.mark.slow
def test_workers_of_a_loader_log_to_the_run_that_they_inherit(host):
    source = """
        run = wandb.init(name="run")
        children = []
        for worker in range(3):
            if (pid := os.fork()) == 0:
                for index in range(10):
                    wandb.log({f"worker/{worker}": index})
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        wandb.log({"done": 1})
    """
    done = host.run(script(host, source), PYTHONWARNINGS=FORK_WARNING)
    assert (done.code, host.server.run("run").status) == (0, "COMPLETED"), done.errors
    found = sorted((name, step, value) for name, value, step in logged(host, "run"))
    assert found == [("done", 0, 1), *((f"worker/{worker}", step, step) for worker in range(3) for step in range(10))]
