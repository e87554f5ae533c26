"""What is set of a run from Python: fields, config, end, deletion; whoever sets it, and whatever dies in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from end_to_end.programs import Host, ended
from server.process import ServerProcess, lasting_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess) -> Host:
    return Host(tmp_path, server)


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[tuple[Host, ServerProcess]]:
    directory = tmp_path / "server"
    directory.mkdir()
    with ServerProcess(directory, "--user", "team", "--stock") as started:
        yield Host(tmp_path, started), started


def told(server: ServerProcess, host: Host) -> list[dict[str, Any]]:
    """The runs of the project, as the server tells them, oldest first."""
    runs = server.ask("GET", f"/team/projects/{host.project}/runs/").json()
    found = [server.ask("GET", f"/team/projects/{host.project}/runs/{run['uuid']}/").json() for run in runs]
    return sorted(found, key=lambda run: run["date_created"])


FIELDS = """
    run = begin(config={"lr": 0.1, "bs": 32}, tags=("a", "b"), group="g", job_type="train", notes="n", **MODE)
    assert run.stats().logged == 1
    run.log("loss", 0.5)
    run.name, run.description, run.tags, run.group = "better", "text", ["c"], None
    run.config["lr"] = 0.2
    del run.config["bs"]
    print(run.name, run.description, run.tags, run.group, run.job_type, run.notes, run.config.lr)
"""
SET = {"name": "better", "description": "text", "tags": ["c"], "job_type": "train", "notes": "n", "config": {"lr": 0.2}}


def has(run: dict[str, Any], **fields: Any) -> bool:
    return {name: run[name] for name in fields} == fields


def test_what_is_set_arrives_and_is_no_value_and_no_metric(host: Host, server: ServerProcess):
    done = host.run(FIELDS.replace("**MODE", "") + "    print(run.finish())\n")
    assert done.errors == ""
    assert done.out.startswith("better text ('c',) None train n 0.2\nReport(logged=4, delivered=4, pending=0, ")
    (run,) = told(server, host)
    assert has(run, **SET, group=None)
    assert run["started"] <= run["date_created"]
    names = {name for name, _, _ in host.server.metrics("better")}
    assert names == {"loss", "steplog/config", "steplog/config/removed"}


def test_an_offline_run_that_is_killed_brings_what_was_set_when_it_is_synced(host: Host, server: ServerProcess):
    killed = host.start(
        FIELDS.replace("**MODE", 'mode="offline"') + "    print('set', flush=True)\n    sys.stdin.readline()\n"
    )
    assert killed.stdout is not None
    assert [killed.stdout.readline().strip() for _ in range(2)][1] == "set"
    killed.kill()
    ended(killed)
    done = host.run("-m", "steplog", "sync")
    assert done.code == 0, done.errors
    assert done.out.startswith("better: 4 delivered")
    (run,) = told(server, host)
    assert has(run, **SET, status="CRASHED")
    assert run["started"] < run["date_created"]


def test_a_name_that_is_taken_comes_back_with_its_suffix(host: Host):
    done = host.run("""
        first, second = begin("taken", activate=False), begin("other", activate=False)
        second.name = "taken"
        assert second.name == "taken"
        second.flush()
        print(second.name, "taken-1" in second.url)
    """)
    assert (done.out, done.errors) == ("taken_1 True\n", "")


def test_every_process_of_a_run_changes_its_own_keys_alone(host: Host, server: ServerProcess):
    """An attached process, a spawned one and a forked one had each replaced all of the config."""
    done = host.run(
        """
        import multiprocessing, steplog

        def child(run, name):
            run.config[name] = dict(run.config)
            run.tags = [*run.tags, name]
            run.flush()

        if __name__ == "__main__":
            with begin(config={"lr": 0.1}, tags=["t"]) as run:
                for kind in ("fork", "spawn"):
                    process = multiprocessing.get_context(kind).Process(target=child, args=(run, kind))
                    process.start()
                    process.join()
                run.flush()
                joined = steplog.attach(run.uuid)
                print(sorted(joined.config), joined.tags, joined.name)
                joined.config.joined = True
                joined.flush()
        """
    )
    assert (done.out, done.errors) == ("['fork', 'lr', 'spawn'] ('t', 'spawn') run\n", "")
    (run,) = told(server, host)
    assert run["config"] == {"lr": 0.1, "fork": {"lr": 0.1}, "spawn": {"lr": 0.1}, "joined": True}


def test_a_joined_run_whose_server_is_away_begins_with_what_the_journals_here_hold(tmp_path: Path):
    host = Host(tmp_path, None, "http://127.0.0.1:9")
    done = host.run("""
        import steplog
        run = begin(config={"lr": 0.1, "gone": 1}, tags=["t"], mode="offline")
        del run.config["gone"]
        run.log("loss", 1.0, step=7)
        kept = steplog.Run(run.uuid, None, None, "RUNNING", organization=run.organization, project=run.project)
        kept._opened_as(run._opened)
        print(kept.config, kept.tags, kept.step, kept.last_step("loss"))
    """)
    assert (done.out, done.errors) == ("Config({'lr': 0.1}) ('t',) 7 7\n", "")


def test_a_write_to_the_config_of_a_joined_run_asks_nobody(host: Host):
    done = host.run("""
        import steplog
        from steplog.lifecycle import run_state
        run = begin()
        joined = steplog.attach(run.uuid)
        joined._told = None
        asked = []
        get, run_state.get = run_state.get, lambda *given: asked.append(given) or get(*given)
        joined.config.lr = 0.1
        joined.tags = ["t"]
        print(len(asked), joined.config, joined.group, len(asked))
    """)
    assert (done.out, done.errors) == ("0 Config({'lr': 0.1}) None 1\n", "")


def test_to_a_stock_server_go_name_and_description_and_the_rest_is_said_once(stock: tuple[Host, ServerProcess]):
    host, server = stock
    done = host.run("""
        import logging
        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        run = begin(tags=["a"], notes="n")
        run.log("loss", 0.5)
        run.tags, run.description = ["b"], "text"
        report = run.finish()
        print(report.logged, report.delivered, report.pending, report.abandoned)
    """)
    said = "steplog: this server keeps no tags, notes of a run."
    assert done.out.splitlines()[0] == said
    assert done.out.count("keeps no") == 1
    assert done.out.splitlines()[-1] == "1 1 0 0"
    (run,) = server.ask("GET", f"/team/projects/{host.project}/runs/").json()
    rows = server.ask("GET", f"/team/projects/{host.project}/runs/{run['uuid']}/metrics/").json()
    assert [(row["name"], row["value"]) for row in rows] == [("loss", 0.5)]
    assert run["status"] == "COMPLETED"


def test_a_name_that_a_stock_server_does_not_take_is_not_the_runs_name(stock: tuple[Host, ServerProcess]):
    host, server = stock
    done = host.run("""
        import logging
        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        run = begin()
        run.log("loss", 0.5)
        run.name = "other"
        print(run.name)
        run.finish()
        print(run.name)
    """)
    words = "steplog: this server does not change the name of a run."
    assert done.out.splitlines() == ["other", words, "run"]
    assert [run["name"] for run in server.ask("GET", f"/team/projects/{host.project}/runs/").json()] == ["run"]


def test_a_config_on_a_stock_server_is_found_in_its_metrics(stock: tuple[Host, ServerProcess]):
    host, _ = stock
    done = host.run("""
        import steplog
        run = begin(config={"lr": 0.1, "bs": 1})
        del run.config["bs"]
        run.log("loss", 1.0, step=4)
        run.log("loss", 1.0, step=2)
        run.flush()
        joined = steplog.attach(run.uuid)
        joined._told = None
        print(joined.config, joined.step, joined.last_step("loss"), joined.last_step("none"))
    """)
    assert (done.out, done.errors) == ("Config({'lr': 0.1}) 4 2 None\n", "")


def test_the_steps_of_a_run_are_known_whether_they_wait_or_have_arrived(host: Host):
    done = host.run("""
        import steplog
        run = begin(config={"a": 1})
        print(run.step, run.last_step("loss"))
        for step in (0, 30, 20.0):
            run.log("loss", 1.0, step=step)
        for _ in range(2):
            run.log("unnumbered", 1.0)
        print(run.step, run.last_step("loss"), run.last_step("unnumbered"))
        run.flush()
        run.log("unnumbered", 1.0)
        joined = steplog.attach(run.uuid)
        joined.log("unnumbered", 1.0)
        print(run.last_step("unnumbered"), joined.step, joined.last_step("loss"), joined.last_step("none"))
        for step in range(200_000):  # more than memory keeps once they have arrived
            run.log("many", 1.0, step)
        run.log("many", 1.0, 5)
        run.flush()
        assert run._opened.opened.writer.head.header.base > 0
        print(run.step, run.last_step("many"), run.last_step("loss"))
        print(run.finish().logged)
    """)
    assert (done.out, done.errors) == (
        "None None\n30 20 1\n2 30 20 None\n199999 5 20\n200009\n",
        "",
    )


def test_an_error_given_to_finish_is_recorded_and_the_run_is_crashed(host: Host):
    done = host.run("""
        for name, given in (("crashed", {}), ("failed", {"status": "FAILED"})):
            run = begin(name, activate=False)
            try:
                1 / 0
            except ZeroDivisionError as error:
                run.finish(error=error, **given)
        begin("well", activate=False).finish()
        try:
            begin("wrong", activate=False).finish(error="text")
        except TypeError as error:
            print(error)
    """)
    assert (done.out, done.errors) == ("finish() takes an exception as the error, not str\n", "")
    assert [host.server.run(name).status for name in ("crashed", "failed", "well")] == [
        "CRASHED",
        "FAILED",
        "COMPLETED",
    ]
    for name in ("crashed", "failed"):
        (kept,) = host.server.values(name, "steplog/exception")
        assert kept["type"] == "ZeroDivisionError"
        assert "1 / 0" in kept["traceback"]


def test_a_deleted_run_leaves_nothing_here_takes_no_more_and_comes_back(host: Host, server: ServerProcess):
    done = host.run("""
        import steplog
        run = begin()
        run.log("loss", 1.0)
        run.delete()
        try:
            run.log("loss", 2.0)
        except steplog.RunFinishedError as error:
            print(error)
        print(run.finish().logged, [path for path in os.listdir(os.environ["STEPLOG_DIR"]) if run.uuid in path])
        run.restore()
        joined = steplog.attach(run.uuid)
        joined.log("loss", 3.0)
        joined.flush()
        joined.delete(now=True)
        for gone in (joined.delete, joined.restore):
            try:
                gone()
            except steplog.RunNotFoundError as error:
                print("no such run" in str(error))
    """)
    assert done.errors == ""
    assert done.out == (
        "the run is deleted and takes no more metrics; run.restore() and attach() bring it back\n1 []\nTrue\nTrue\n"
    )
    assert told(server, host) == []
    assert [path.name for path in host.state.iterdir() if (path / "manifest").exists()] == []


CANNOT_DELETE = """
    import steplog
    run = begin(**MODE)
    run.log("loss", 1.0)
    run.flush(FLUSH_S)
    try:
        run.delete()
    except steplog.SteplogError as error:
        print(type(error).__name__, error)
    run.log("loss", 2.0)
    print(run.stats().logged)
    print(run.finish(timeout=FLUSH_S).delivered)
"""


def test_a_run_that_cannot_be_deleted_now_goes_on(stock: tuple[Host, ServerProcess]):
    host, server = stock
    at_stock = host.run(CANNOT_DELETE.replace("**MODE", "").replace("FLUSH_S", "20")).out.splitlines()
    refused = 'SteplogError run run is not deleted: 405 Method "DELETE" not allowed.'
    assert at_stock[0] == f"{refused}; a stock server deletes whole projects alone"
    assert at_stock[1:] == ["2", "2"]
    server.end()
    for mode in ("", 'mode="offline"'):
        away = host.run(CANNOT_DELETE.replace("**MODE", mode).replace("FLUSH_S", "0.1")).out.splitlines()
        assert away[0].startswith("ServerUnavailableError run run is not on a server yet, and cannot be deleted there;")
        assert "steplog clean" in away[0]
        assert away[1:] == ["2", "0"]


def test_a_deletion_that_gets_no_answer_changes_nothing_and_is_not_kept(tmp_path: Path):
    directory = tmp_path / "another"
    directory.mkdir()
    with ServerProcess(directory, "--user", "team", "--port", str(lasting_port())) as server:
        alone = Host(tmp_path, server)
        program = (
            CANNOT_DELETE.replace("**MODE", "")
            .replace("FLUSH_S", "30")
            .replace("    try:\n", "    print('up', flush=True)\n    sys.stdin.readline()\n    try:\n", 1)
        )
        running = alone.start(program)
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stdout.readline() == "up\n"
        server.end()
        running.stdin.write("\n")
        running.stdin.flush()
        said = [running.stdout.readline().strip() for _ in range(2)]
        server.start()
        assert ended(running).out.strip() == "2"
        assert said[0].startswith("ServerUnavailableError run run is not deleted: ")
        assert said[0].endswith("; a deletion is not kept for later, when it might take what others use by then")
        assert said[1] == "2"
        assert alone.server.values("run", "loss") == [1.0, 2.0]


RESUMED = """
    import steplog
    run = begin(resume="allow", id="job", **GIVEN)
    print(run.step, run.last_step("loss"), dict(run.config), run.tags, run.group, run.last_step("none"))
    run.log("loss", 1.0, (run.step or 0) + 10)
    run.config["rounds"] = run.config.get("rounds", 0) + 1
    run.finish()
"""


def test_a_resumed_run_begins_with_its_config_fields_and_steps_and_keeps_its_start(host: Host, server: ServerProcess):
    given = 'config={"lr": 0.1}, tags=["t"], group="g"'
    first = host.run(RESUMED.replace("**GIVEN", given))
    assert (first.out, first.errors) == ("None None {'lr': 0.1} ('t',) g None\n", "")
    (before,) = told(server, host)
    second = host.run(RESUMED.replace("**GIVEN", 'notes="n"'))
    assert (second.out, second.errors) == ("10 10 {'lr': 0.1, 'rounds': 1} ('t',) g None\n", "")
    (run,) = told(server, host)
    assert has(
        run, config={"lr": 0.1, "rounds": 2}, tags=["t"], notes="n", started=before["started"], status="COMPLETED"
    )
    assert host.server.values(run["name"], "loss") == [1.0, 1.0]
