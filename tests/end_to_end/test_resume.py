"""A run that goes on: after a kill, on another machine, without a server, and while another process delivers it."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from end_to_end.programs import Host, ended, go_on, line
from server.process import KEY, ServerProcess

BEGIN = """
import os, signal, sys, time
import steplog
def begin(**given):
    return steplog.init("team", os.environ["PROJECT"], **given)
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Another machine: what its programs are told."""
    with tempfile.TemporaryDirectory(prefix="steplog-test-", dir="/dev/shm") as memory:
        yield {"STEPLOG_DIR": str(tmp_path / "elsewhere"), "STEPLOG_MEMORY_DIR": memory}


def program(host: Host, source: str) -> Path:
    return host.write(source, prelude=BEGIN)


def told(host: Host, server: ServerProcess) -> dict[str, Any]:
    """The one run of the project, as the API has it."""
    (row,) = host.server.runs()
    url = f"{server.url}/api/v0/team/projects/{host.project}/runs/{row.uuid}/"
    answer = server.session.get(url, headers={"Authorization": f"Api-Key {KEY}"})
    return dict(answer.json())


def sync(host: Host, **where: str) -> str:
    done = host.run("-m", "steplog", "sync", **where)
    assert done.code == 0, done
    return done.errors


def test_what_a_killed_process_left_does_not_end_the_run_that_goes_on_elsewhere(host: Host, server, elsewhere):
    """The run was CRASHED for good, and its config that of the process which was killed."""
    killed = """
        run = begin(id="job", resume="allow", config={"lr": 0.1, "seed": 1})
        run.log("loss", 1.0, step=0)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert host.run(program(host, killed)).code == -9
    goes_on = """
        run = begin(id="job", resume="must", config={"lr": 0.01})
        run.log("loss", 0.5, step=1)
        run.flush(20)
        print("trains", flush=True)
        sys.stdin.readline()
        run.finish()
    """
    second = host.start(program(host, goes_on), **elsewhere)
    assert line(second) == "trains"
    sync(host)  # the first machine comes back
    assert told(host, server)["status"] == "RUNNING"
    go_on(second)
    assert ended(second).code == 0
    run = told(host, server)
    assert (run["status"], run["generation"], run["config"]) == ("COMPLETED", 2, {"lr": 0.01, "seed": 1})
    assert sorted(host.server.values("job", "loss")) == [0.5, 1.0]
    assert not host.manifests()


def test_what_was_left_changes_neither_status_nor_config_after_the_end(host: Host, server, elsewhere):
    left = """
        run = begin(id="job", resume="allow", config={"lr": 0.1})
        run.log("loss", 1.0, step=0)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert host.run(program(host, left)).code == -9
    done = """
        run = begin(id="job", resume="allow", config={"lr": 0.01})
        run.log("loss", 0.5, step=1)
        assert run.finish().pending == 0
    """
    assert host.run(program(host, done), **elsewhere).code == 0
    sync(host)
    run = told(host, server)
    assert (run["status"], run["config"]) == ("COMPLETED", {"lr": 0.01})
    assert sorted(host.server.values("job", "loss")) == [0.5, 1.0]


@pytest.mark.slow
def test_a_run_that_another_process_delivers_is_taken_up_and_gets_its_status(host: Host, server):
    """Its owner was killed, a worker lives on, a bystander delivers; who resumed it could not end it."""
    bystander = host.start(program(host, "begin(name='bystander')\nprint('up', flush=True)\nsys.stdin.read()"))
    assert line(bystander) == "up"
    victim = host.start(
        program(
            host,
            """
        run = begin(id="victim")
        run.log("loss", 1.0)
        pid = os.fork()
        if pid == 0:
            run.log("worker", 1.0)
            print("worker", flush=True)
            sys.stdin.readline()
            os._exit(0)
        signal.pause()
            """,
        )
    )
    assert line(victim) == "worker"
    victim.kill()
    victim.wait()
    host.server.wait_for_points("victim", 2)  # the bystander has it
    done = host.run(
        program(
            host,
            """
        run = begin(id="victim", resume="must")
        assert run._opened.lease is None
        run.log("loss", 2.0)
        run.finish(status="FAILED")
        print(run.status.value)
            """,
        )
    )
    assert (done.code, done.out, done.errors) == (0, "FAILED\n", "")
    row = host.server.run("victim")
    assert (row.status, row.points) == ("FAILED", 3)
    go_on(victim)
    bystander.communicate("", timeout=30)
    victim.communicate(timeout=30)
    assert host.server.run("victim").status == "FAILED"


@pytest.mark.slow
def test_of_two_who_take_a_run_over_at_once_the_first_one_decides_its_status(host: Host, server):
    bystander = host.start(program(host, "begin(name='bystander')\nprint('up', flush=True)\nsys.stdin.read()"))
    assert line(bystander) == "up"
    assert host.run(program(host, "begin(id='victim').log('a', 0)\nos.kill(os.getpid(), 9)")).code == -9
    host.server.wait_for("victim", "CRASHED")
    worker = host.start(
        program(host, "steplog.attach('victim').log('a', 1)\nprint('up', flush=True)\nsys.stdin.read()")
    )
    assert line(worker) == "up"
    host.server.wait_for_points("victim", 2)  # so that the run stays here, and the bystander has it
    bystander.send_signal(signal.SIGSTOP)
    taken = """
        run = begin(id="victim", resume="must")
        run.log("a", 2)
        print("up", flush=True)
        sys.stdin.readline()
        run.finish(status=sys.argv[1])
    """
    first = host.start(program(host, taken), "COMPLETED")
    assert line(first) == "up"
    second = host.start(program(host, taken), "FAILED")
    assert line(second) == "up"
    bystander.send_signal(signal.SIGCONT)
    go_on(second)
    done = ended(second)
    assert "has its owner in another process; its status is not changed." in done.errors
    go_on(first)
    assert ended(first).errors == ""
    row = host.server.run("victim")
    assert (row.status, row.points) == ("COMPLETED", 4)
    worker.communicate("", timeout=30)
    bystander.communicate("", timeout=30)


@pytest.mark.slow
def test_who_took_the_run_over_and_is_killed_leaves_the_run_crashed(host: Host, server):
    bystander = host.start(program(host, "begin(name='bystander')\nprint('up', flush=True)\nsys.stdin.read()"))
    assert line(bystander) == "up"
    victim = host.run(program(host, "run = begin(id='victim')\nrun.log('a', 1)\nos.kill(os.getpid(), 9)"))
    assert victim.code == -9
    host.server.wait_for("victim", "CRASHED")
    second = host.start(
        program(
            host,
            """
        run = begin(id="victim", resume="must")
        run.log("a", 2)
        run.flush(20)
        print("trains", flush=True)
        sys.stdin.read()
            """,
        )
    )
    assert line(second) == "trains"
    assert host.server.run("victim").status == "RUNNING"
    second.kill()
    ended(second)
    bystander.communicate("", timeout=30)
    sync(host)
    row = host.server.run("victim")
    assert (row.status, row.points) == ("CRASHED", 2)


def test_a_run_begun_and_resumed_offline_is_one_run_that_began_when_it_began(host: Host, server):
    before = time.time()
    left = """
        run = begin(id="job", resume="allow", mode="offline", config={"lr": 0.1, "seed": 1})
        run.log("loss", 1.0, step=0)
        run.flush(1)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert host.run(program(host, left)).code == -9
    began_by = time.time()
    done = """
        run = begin(id="job", resume="must", mode="offline", config={"lr": 0.01})
        run.log("loss", 0.5, step=1)
        run.finish()
    """
    assert host.run(program(host, done)).code == 0
    assert len(host.manifests()) == 1
    ended_by = time.time()
    sync(host)
    run = told(host, server)
    assert (run["status"], run["generation"], run["config"]) == ("COMPLETED", 2, {"lr": 0.01, "seed": 1})
    assert (run["id"], run["name"]) == ("job", "job")
    started, over = (
        datetime.fromisoformat(run[key].replace("Z", "+00:00")).timestamp() for key in ("started", "ended")
    )
    assert before <= started <= began_by <= over <= ended_by
    assert sorted(host.server.values("job", "loss")) == [0.5, 1.0]
    assert not host.manifests()


def test_a_run_begun_offline_goes_on_online_and_is_delivered_after_a_kill(host: Host, server):
    begun = "run = steplog.init(project=os.environ['PROJECT'], id='job', mode='offline')\n"
    assert host.run(program(host, begun + "run.log('loss', 1.0)\nrun.finish(status='FAILED')")).code == 0
    goes_on = """
        run = steplog.init(project=os.environ["PROJECT"], id="job", resume="allow")
        run.log("loss", 2.0)
        assert run.flush(20)
        run.log("loss", 3.0)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert host.run(program(host, goes_on)).code == -9
    assert (told(host, server)["status"], told(host, server)["generation"]) == ("RUNNING", 2)
    host.deliver("job", "CRASHED")
    assert sorted(host.server.values("job", "loss")) == [1.0, 2.0, 3.0]


def test_a_run_begun_offline_is_resumed_by_the_id_it_had_then(host: Host, server):
    """A checkpoint that had kept ``run.id`` of an offline run went on with another run."""
    begun = "run = begin(mode='offline')\nrun.log('loss', 1.0)\nrun.finish()\nprint(run.id)"
    local_id = host.run(program(host, begun)).out.strip()
    for mode, value in (("offline", 2.0), ("online", 3.0)):
        goes_on = f"run = begin(id={local_id!r}, resume='allow', mode={mode!r})\nrun.log('loss', {value})\nrun.finish()"
        assert host.run(program(host, goes_on)).code == 0
    assert told(host, server)["status"] == "COMPLETED"
    (row,) = host.server.runs()
    assert sorted(host.server.values(row.name, "loss")) == [1.0, 2.0, 3.0]


@pytest.mark.slow
def test_who_cannot_ask_whether_the_run_exists_logs_on_and_is_told_later(host: Host, server):
    assert host.run(program(host, "begin(id='there').finish()")).code == 0
    offline = """
        for key, resume in (("there", None), ("missing", "must")):
            run = begin(id=key, resume=resume, mode="offline")
            run.log("loss", 1.0)
            run.finish()
    """
    done = host.run(program(host, offline))
    assert (done.code, done.errors) == (0, "")
    said = sync(host)
    assert "there is a run with the id there already; what was logged here is a new run." in said
    assert "there is no run with the id missing to resume; one is made." in said
    assert {row.name: row.points for row in host.server.runs()} == {"there": 0, "there_1": 1, "missing": 1}


def test_a_run_is_found_by_the_name_that_it_has_now_and_by_its_uuid(host: Host, server):
    done = host.run(
        program(
            host,
            """
        first = begin(name="before")
        first.name = "after"
        first.finish()
        again = begin(name="after", resume="must")
        assert again.uuid == first.uuid
        again.finish()
        again = begin(id=first.uuid, resume="must")
        assert (again.uuid, again.key) == (first.uuid, None)
        again.finish(status="FAILED")
        try:
            begin(name="before", resume="must")
        except steplog.RunNotFoundError as error:
            print(error)
            """,
        )
    )
    words = f'team/{host.project} has no run called before; to make it: init(..., resume="allow")\n'
    assert (done.code, done.out) == (0, words), done
    run = told(host, server)
    assert (run["status"], run["generation"], run["name"]) == ("FAILED", 3, "after")


def test_attach_as_the_owner_begins_a_generation_and_a_run_built_by_hand_does_not(host: Host, server, elsewhere):
    first = host.start(
        program(
            host,
            """
        run = begin(name="job")
        run.flush(20)
        print(run.uuid, flush=True)
        sys.stdin.readline()
        run.finish(status="FAILED")
            """,
        )
    )
    uuid = line(first)
    by_hand = """
        from steplog import Run, RunOrg, RunProject
        run = Run(sys.argv[1], "job", None, "RUNNING", organization=RunOrg("team"),
                  project=RunProject("", sys.argv[2], sys.argv[2]))
        run.log("loss", 1.0)
        run.flush(20)
        os._exit(0)
    """
    assert host.run(program(host, by_hand), uuid, host.project, **elsewhere).code == 0
    assert told(host, server)["generation"] == 1
    taken = """
        run = steplog.attach(sys.argv[1], owner=True, namespace_slug="team", project_slug=sys.argv[2])
        run.log("loss", 2.0)
        run.finish()
    """
    done = host.run(program(host, taken), uuid, host.project, **elsewhere)
    assert done.code == 0, done
    assert (told(host, server)["generation"], told(host, server)["status"]) == (2, "COMPLETED")
    go_on(first)
    assert ended(first).code == 0
    assert told(host, server)["status"] == "COMPLETED"


def test_a_journal_of_0_1_is_delivered_and_then_resumed(host: Host, server):
    done = host.run(program(host, "run = begin(name='old', mode='offline')\nrun.log('a', 1)\nrun.finish()"))
    assert done.code == 0
    new = {"version", "key", "generations", "writers", "ended"}
    for path in (*host.state.glob("*/manifest"), *Path(host.environment["STEPLOG_MEMORY_DIR"]).glob("*/manifest")):
        fields = json.loads(path.read_text())
        plan = {name: value for name, value in fields["plan"].items() if name not in ("key", "resume")}
        old = {name: value for name, value in fields.items() if name not in new} | {"version": 1, "plan": plan}
        path.write_text(json.dumps(old))
    sync(host)
    assert (host.server.run("old").status, host.server.run("old").points) == ("COMPLETED", 1)
    done = host.run(
        program(host, "run = begin(name='old', resume='must')\nrun.log('a', 2)\nrun.finish(status='FAILED')")
    )
    assert (done.code, done.errors) == (0, "")
    assert (told(host, server)["status"], told(host, server)["generation"]) == ("FAILED", 2)
    assert host.server.values("old", "a") == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("given", ["id", "name"])
def test_a_resumed_run_says_so_and_since_when_there_is_one(host: Host, server, elsewhere, given: str):
    """It said the same as of a new run; nor did a run that was found by its name know its id."""
    begins = f"run = begin({given}='job', resume='allow'); print(run.key, run.finish().pending)"
    host.run(program(host, "begin(id='job').finish()"))
    began = datetime.fromisoformat(told(host, server)["started"].replace("Z", "+00:00")).astimezone()
    words = f"steplog: run job is resumed in team/{host.project}; it began {began:%Y-%m-%d %H:%M:%S}\n"
    for where in ({}, elsewhere):
        done = host.run(program(host, begins), STEPLOG_QUIET="", **where)
        assert done.out == "job 0\n", done
        assert done.errors.startswith(words)


def test_a_run_that_is_resumed_offline_says_so(host: Host):
    begins = program(host, "begin(id='job', resume='allow', mode='offline').finish()")
    first, second = (host.run(begins, STEPLOG_QUIET="").errors.splitlines()[0] for _ in range(2))
    assert first.startswith("steplog: run job is kept on this machine;")
    assert second.startswith("steplog: run job is resumed, and kept on this machine;")
