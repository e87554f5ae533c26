"""A run that no server has is read from its journals as a server would have it, and they stay as they are."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import steplog
from apart import apart
from end_to_end.programs import Host, go_on, line
from server.process import ServerProcess
from steplog.errors import RunNotFoundError, ServerUnavailableError
from steplog.reading.journal_source import JournalSource
from steplog.reading.points import Selection
from steplog.records.dates import exact_date_of
from steplog.records.finite import finite

NAN = float("nan")
LOGS = """
import steplog
from polling import wait_until
run = steplog.init("team", os.environ["PROJECT"], os.environ["RUN_NAME"], mode="offline", config={"lr": 0.1, "seed": 1})
print(run.id, flush=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A machine without a server, and this process a program of it."""
    host = Host(tmp_path, None)
    host.environment.update(STEPLOG_URL="", STEPLOG_API_KEY="", STEPLOG_MODE="offline")
    for name, value in host.environment.items():
        monkeypatch.setenv(name, value)
    return host


def points_in(source: JournalSource, *names: str, **chosen: Any) -> list[tuple[str, int, int, Any]]:
    """Name, step, time and value of each point."""
    found = []
    for part in source.points(Selection(names or None, **chosen)):
        assert part.times is not None
        assert len(part.steps) == len(part.times) == len(part.values)
        values = [json.loads(value) for value in part.values] if part.kind == "json" else list(part.values)
        found += [(part.name, *point) for point in zip(part.steps, part.times, values, strict=True)]
    return found


def values_in(source: JournalSource, *names: str, **chosen: Any) -> list[Any]:
    return [(step, value) for _, step, _, value in points_in(source, *names, **chosen)]


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


@apart
def test_points_without_a_server_have_the_steps_that_a_server_would_give(laptop: Host):
    run = steplog.init(project="digits", name="first")
    for value in (0.5, 0.25):
        run.log("loss", value)
    run.log("loss", NAN, step=7)
    run.log("loss", 0.125)
    run.log("epoch", 1)
    run.log("note", {"a": [1]})
    source = JournalSource(str(run.id))
    (loss, epoch, note) = source.points(Selection())
    assert (loss.name, loss.kind, list(loss.steps)) == ("loss", "f8", [0, 1, 7, 8])
    assert list(loss.values)[:2] == [0.5, 0.25]
    assert math.isnan(list(loss.values)[2])
    assert (epoch.name, epoch.kind, list(epoch.values)) == ("epoch", "i8", [1])
    assert (note.name, note.kind, list(note.values)) == ("note", "json", [b'{"a":[1]}'])
    document = source.document()
    assert (document["uuid"], document["name"], document["status"]) == (run.id, "first", "RUNNING")
    run.finish()
    assert source.document()["status"] == "COMPLETED"


def everything(run: steplog.Run) -> None:
    """Values of each kind, steps given and missing, numbers that turn into texts, and edits."""
    run.config["layers"] = [64, 10]
    run.config.update({"gone": 1, "lr": 0.2})
    del run.config["gone"]
    run.tags, run.group, run.notes = ("a", "b"), "sweep", "long"
    for number in range(3000):
        run.log("loss", 1 / (number + 1))
        run.log("acc", number, step=2 * number)
        if number % 100 == 0:
            run.log("mixed", [number, float(number), True, NAN, "text", None, math.inf][number // 100 % 7], step=None)
    run.log("back", 1.0, step=10)
    run.log("back", 2.0, step=-3)
    run.log("back", False)
    run.name = "renamed"
    run.description = "what it is about"


SAME = ("id", "name", "description", "status", "tags", "group", "job_type", "notes", "started", "ended", "config")
SAME += ("generation", "last_point", "provenance")


@pytest.mark.slow
@apart
def test_what_is_read_before_sync_is_what_the_server_has_after_it(laptop: Host, server: ServerProcess):
    run = steplog.init(project=laptop.project, name="first", id="job-1", config={"lr": 0.1}, job_type="train")
    everything(run)
    run.finish()
    source = JournalSource(str(run.id))
    document, series, points = source.document(), source.series(), points_in(source)
    synced = laptop.run("-m", "steplog", "sync", STEPLOG_URL=server.url, STEPLOG_API_KEY="a-key-of-the-tests")
    assert synced.code == 0, synced
    (told,) = server.ask("GET", f"/team/projects/{laptop.project}/runs/").json()
    path = f"/team/projects/{laptop.project}/runs/{told['uuid']}/"
    theirs = server.ask("GET", f"{path}history/").json()
    assert [(name, step, exact_date_of(time), finite(value)) for name, step, time, value in points] == [
        (each["name"], each["step"], each["time"], each["value"]) for each in theirs
    ]
    assert series == server.ask("GET", f"{path}series/").json()
    told = server.ask("GET", path).json()
    assert {field: document[field] for field in SAME} == {field: told[field] for field in SAME}


KILLED = (
    LOGS
    + """
for number in range(5000):
    run.log("loss", number)
if sys.argv[1] == "disk":
    wait_until(lambda: run.stats().durable >= 5000)
print("logged", flush=True)
sys.stdin.readline()
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["memory", "disk"])
@apart
def test_a_killed_run_is_read_whole_and_is_crashed_and_its_files_stay(laptop: Host, where: str):
    with laptop.start(KILLED, where) as program:
        source = JournalSource(line(program))
        assert line(program) == "logged"
        assert source.document()["status"] == "RUNNING"
        assert values_in(source, "loss") == [(number, number) for number in range(5000)]
        program.send_signal(signal.SIGKILL)
        program.wait()
    memory = Path(os.environ["STEPLOG_MEMORY_DIR"])
    before = tree(laptop.state), tree(memory)
    document = source.document()
    assert (document["status"], document["config"], document["name"]) == ("CRASHED", {"lr": 0.1, "seed": 1}, "run")
    assert document["ended"] == document["last_point"]
    (row,) = (row for row in source.series() if row["name"] == "loss")
    assert (row["count"], row["last_step"], row["last"], row["min"], row["max"]) == (5000, 4999, 4999, 0, 4999)
    assert values_in(source, "loss") == [(number, number) for number in range(5000)]
    assert (tree(laptop.state), tree(memory)) == before


@pytest.mark.slow
@apart
def test_a_run_without_shared_memory_goes_on_until_it_is_killed(laptop: Host):
    with laptop.start(KILLED, "disk", STEPLOG_MEMORY_DIR=str(laptop.state / "none" / "none")) as program:
        source = JournalSource(line(program))
        assert line(program) == "logged"
        assert source.document()["status"] == "RUNNING"
        assert values_in(source, "loss") == [(number, number) for number in range(5000)]
        program.send_signal(signal.SIGKILL)
        program.wait()
    assert source.document()["status"] == "CRASHED"


GROWS = (
    LOGS
    + """
number = 0
while not os.path.exists("stop"):
    run.log("loss", number)
    number += 1
    if number % 1000 == 0:
        print(number, flush=True)
        sys.stdin.readline()
"""
)


@pytest.mark.slow
@apart
def test_a_run_that_goes_on_is_read_without_a_gap_while_segments_come_and_go(laptop: Host):
    with laptop.start(GROWS, STEPLOG_SPOOL_INTERVAL_S="0.05") as program:
        source = JournalSource(line(program))
        for _ in range(30):
            least = int(line(program))
            go_on(program)
            found = values_in(source, "loss")
            assert len(found) >= least
            assert found == [(number, number) for number in range(len(found))]
        program.kill()
        program.communicate()


FORKS = (
    LOGS
    + """
run.log("shared", "owner 0")
if os.fork() == 0:
    run.log("shared", "child 0")
    run.log("shared", "child 1", step=40)
    run.config["child"] = True
    os._exit(0)
os.wait()
run.log("shared", "owner 1")
run.config["lr"] = 0.3
run.finish()
"""
)


@pytest.mark.slow
@apart
def test_points_of_forked_writers_are_numbered_in_order_of_time(laptop: Host):
    done = laptop.run(FORKS)
    assert done.code == 0, done
    source = JournalSource(done.out.split()[0])
    expected = [(0, "owner 0"), (1, "child 0"), (40, "child 1"), (41, "owner 1")]
    assert values_in(source, "shared") == expected
    assert source.document()["config"] == {"child": True, "lr": 0.3, "seed": 1}


CROWD = (
    LOGS
    + """
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        for number in range(3000):
            run.log(f"own/{child}", number)
            run.log("shared", child, step=number)
        run.config[f"child {child}"] = child
        if child == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
os.kill(os.getpid(), signal.SIGKILL)
"""
)


@pytest.mark.slow
@apart
def test_what_killed_processes_of_a_run_left_is_read_as_the_server_gets_it(laptop: Host, server: ServerProcess):
    with laptop.start(CROWD) as program:
        source = JournalSource(line(program))
        program.communicate(timeout=60)
    points, document = points_in(source), source.document()
    assert len(points) == 4 * 6001 + 1
    assert laptop.run("-m", "steplog", "sync", STEPLOG_URL=server.url, STEPLOG_API_KEY="a-key-of-the-tests").code == 0
    (told,) = server.ask("GET", f"/team/projects/{laptop.project}/runs/").json()
    path = f"/team/projects/{laptop.project}/runs/{told['uuid']}/"
    theirs = server.ask("GET", f"{path}history/").json()
    for name in {name for name, *_ in points}:
        ours = [(exact_date_of(time), step, value) for each, step, time, value in points if each == name]
        found = [(each["time"], each["step"], each["value"]) for each in theirs if each["name"] == name]
        if name == "steplog/config":  # numbered by the server as they came: process by process
            assert [(time, value) for time, _, value in ours] == sorted((time, value) for time, _, value in found)
        else:
            assert ours == (sorted(found, key=lambda point: point[0]) if name == "shared" else found)
    told = server.ask("GET", path).json()
    same = ("name", "status", "config", "last_point", "started")
    assert {field: document[field] for field in same} == {field: told[field] for field in same}


RESUMED = """
import steplog
run = steplog.init("team", os.environ["PROJECT"], id="job", resume="allow", mode="offline", config=eval(sys.argv[1]))
run.log("loss", 1.0)
run.tags = [sys.argv[1]]
run.finish(status=sys.argv[2])
print(run.id)
"""


@pytest.mark.slow
@apart
def test_a_run_resumed_offline_is_one_run_with_the_last_status_and_config(laptop: Host):
    first = laptop.run(RESUMED, "{'lr': 0.1, 'a': 1}", "FAILED")
    second = laptop.run(RESUMED, "{'lr': 0.2}", "COMPLETED")
    assert first.out == second.out, (first, second)
    source = JournalSource(first.out.strip())
    document = source.document()
    assert (document["id"], document["status"], document["tags"]) == ("job", "COMPLETED", ["{'lr': 0.2}"])
    assert document["config"] == {"lr": 0.2, "a": 1}
    assert values_in(source, "loss") == [(0, 1.0), (1, 1.0)]


@apart
def test_a_selection_cuts_each_metric_by_step_and_from_its_end(laptop: Host):
    run = steplog.init(project="digits", name="first")
    for step in range(10):
        run.log("a", step, step=step)
        run.log("b", float(step), step=-step)
    source = JournalSource(str(run.id))
    assert values_in(source, "a", start=3, end=5) == [(3, 3), (4, 4), (5, 5)]
    assert values_in(source, "a", last=2) == [(8, 8), (9, 9)]
    assert values_in(source, "b", "a", start=0, last=2) == [(0, 0.0), (8, 8), (9, 9)]
    assert values_in(source, "a", last=3, skip={"a": 2}) == [(9, 9)]
    assert values_in(source, "a", skip={"a": 20, "b": 1}) == []
    (empty,) = source.points(Selection(("a",), start=100))
    assert (empty.name, len(empty.steps)) == ("a", 0)
    with pytest.raises(KeyError, match="los"):
        list(source.points(Selection(("a", "los"))))


@apart
def test_a_journal_beyond_what_is_held_at_once_reads_the_same(laptop: Host):
    run = steplog.init(project="digits", name="first")
    everything(run)
    source = JournalSource(str(run.id))
    whole, series, chosen = points_in(source), source.series(), points_in(source, "acc", "mixed")
    source._points_at_once = 3100
    assert repr(points_in(source)) == repr(whole)
    assert source.series() == series
    assert repr(points_in(source, "acc", "mixed")) == repr(chosen)
    with pytest.raises(KeyError, match="los"):
        list(source.points(Selection(("acc", "los"))))


@apart
def test_a_run_that_is_delivered_meanwhile_is_said_to_be_elsewhere(laptop: Host, server: ServerProcess):
    run = steplog.init(project=laptop.project, name="first")
    run.log("loss", 0.5)
    run.finish()
    source = JournalSource(str(run.id))
    assert source.series()
    # A record that the server refuses keeps the journal here; else it is gone.
    manifest = next(laptop.state.glob("*/manifest"))
    kept = manifest.read_bytes()
    assert laptop.run("-m", "steplog", "sync", STEPLOG_URL=server.url, STEPLOG_API_KEY="a-key-of-the-tests").code == 0
    with pytest.raises(RunNotFoundError, match="not on this machine any more"):
        source.document()
    manifest.parent.mkdir(mode=0o700)
    manifest.write_bytes(kept.replace(b'"run":""', b'"run":"11111111-2222-4333-8444-555555555555"'))
    with pytest.raises(ServerUnavailableError, match=r"meanwhile; open it again: steplog\.open\('11111111-"):
        list(source.points(Selection()))


@pytest.mark.slow
@apart
def test_what_another_host_left_on_a_shared_disk_is_read_here(laptop: Host):
    with laptop.start(KILLED, "disk") as program:
        local_id = line(program)
        assert line(program) == "logged"
        program.kill()
        program.communicate()
    (directory,) = laptop.state.glob(f"{local_id}.*")
    directory.rename(laptop.state / f"{local_id}.{'1' * 16}")
    shutil.rmtree(os.environ["STEPLOG_MEMORY_DIR"])
    source = JournalSource(local_id)
    assert values_in(source, "loss") == [(number, number) for number in range(5000)]
    assert source.document()["status"] == "RUNNING"  # who is alive there is not known here


@apart
def test_a_run_that_steplog_0_1_has_kept_is_read_and_begins_with_its_first_record(laptop: Host):
    """Its manifest has no generations: it began in 1970."""
    run = steplog.init(project="digits", name="first", provenance=False)
    run.log("loss", 0.5)
    run.finish()
    (path,) = laptop.state.glob("*/manifest")
    shutil.rmtree(os.environ["STEPLOG_MEMORY_DIR"])
    told = json.loads(path.read_bytes())
    path.write_text(json.dumps(told | {"version": 1, "generations": [], "writers": {}}))
    source = JournalSource(str(run.id))
    document = source.document()
    assert (document["status"], document["generation"], values_in(source, "loss")) == ("COMPLETED", 1, [(0, 0.5)])
    assert document["started"] <= document["last_point"]
    assert abs(
        datetime.fromisoformat(document["date_created"].replace("Z", "+00:00")) - datetime.now(timezone.utc)
    ) < timedelta(minutes=5)


@apart
def test_a_local_id_without_a_journal_is_not_found(laptop: Host):
    with pytest.raises(RunNotFoundError, match="no journal on this machine"):
        JournalSource("0" * 32)
