"""Deleting a run: into the trash, out of it, and for good, in slices that hold nobody up."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from polling import wait_until
from server.batches import range_of
from server.packed import pack
from server.process import ServerProcess
from server.stores import ann
from steplog import instance
from steplog.server.records.batch import from_range
from steplog.server.records.totals import Totals
from steplog.server.sql import removal, trash
from steplog.server.sql.table import put_lasts
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import Creation, DeletedError, MissingError, ProjectRow, RunRow

NAMES = itertools.count()
PACKED = ("points", "chunks", "series", "summaries", "blocks", "sealed")
RUN_TABLES = ("log", *PACKED, "lasts", "config", "configs", "fields", "generations", "marks", "progress", "runs")
IN_BATCH = b'{"notes": "n"}'


def ask_new(server: ServerProcess, key: str | None = None, **body: Any) -> tuple[int, dict[str, Any]]:
    headers = {} if key is None else {"Idempotency-Key": f'"{key}"'}
    answer = server.ask("POST", "/team/projects/mnist/runs/", json=body, headers=headers)
    return answer.status_code, answer.json()


def path_of(run: dict[str, Any]) -> str:
    return f"/team/projects/mnist/runs/{run['uuid']}/"


def in_trash(server: ServerProcess) -> list[str]:
    return [run["uuid"] for run in server.ask("GET", "/team/projects/mnist/runs/?trash=1").json()]


def test_a_deleted_run_is_nowhere_but_in_the_trash(server, run):
    uuid = run.rsplit("/", 2)[1]
    server.send(run, range_of([("a", 1)]))
    name = server.ask("GET", run).json()["name"]
    gone = server.ask("DELETE", run)
    assert (gone.status_code, gone.content) == (204, b"")
    runs_path = "/team/projects/mnist/runs/"
    maker = {"Steplog-Maker": "m"}
    asked = [
        server.ask("GET", run),
        server.ask("PATCH", run, json={"status": "FAILED"}),
        server.ask("GET", f"{run}metrics/"),
        server.ask("POST", f"{run}metrics/", json={"name": "a", "value": 1}),
        server.ask("GET", f"{run}series/"),
        server.ask(
            "POST", f"{run}generations/", json={"began": "2026-01-01T00:00:00Z"}, headers={"Steplog-Maker": "m"}
        ),
        server.ask("GET", run, headers=maker),
        server.send(run, range_of([("a", 1)], first=1)),
        server.ask("DELETE", run),
    ]
    assert [(answer.status_code, answer.json()) for answer in asked] == [(404, {"detail": "Not found."})] * len(asked)
    assert uuid not in [each["uuid"] for each in server.ask("GET", runs_path).json()]
    assert server.ask("GET", f"{runs_path}?slug={name}").json() == []
    (listed,) = [each for each in server.ask("GET", f"{runs_path}?trash=1").json() if each["uuid"] == uuid]
    assert listed["deleted"] > listed["date_created"]
    assert server.ask("GET", f"{runs_path}?trash=0").json() == server.ask("GET", runs_path).json()


def test_a_run_that_is_restored_goes_on_where_it_was(server, run):
    server.send(run, range_of([("a", 1), ("steplog/config", b'{"lr": 0.1}')]))
    before = server.ask("GET", run).json()
    server.ask("DELETE", run)
    restored = server.ask("POST", f"{run}restore/")
    assert restored.status_code == 200
    kept = {field: value for field, value in before.items() if field not in ("date_updated", "batch", "features")}
    assert {field: restored.json()[field] for field in kept} == kept
    assert "deleted" not in restored.json()
    sent = server.send(run, range_of([("a", 2)], first=2))
    assert (sent.status_code, sent.json()["accepted"], sent.json()["duplicates"]) == (200, 1, 0)
    assert [point["value"] for point in server.ask("GET", f"{run}metrics/").json()] == [1, {"lr": 0.1}, 2]
    assert run.rsplit("/", 2)[1] not in in_trash(server)
    assert server.ask("POST", f"{run}restore/").status_code == 200, "its answer may have been lost"


def test_the_name_and_the_id_of_a_deleted_run_are_free_and_may_be_taken_meanwhile(server):
    name = f"name {next(NAMES)}"
    status, first = ask_new(server, f"id:{name[5:]}", name=name)
    server.ask("DELETE", path_of(first))
    again, second = ask_new(server, f"id:{name[5:]}", name=name)
    assert (status, again) == (201, 201)
    assert (second["name"], second["id"]) == (name, name[5:])
    assert second["uuid"] != first["uuid"]
    restored = server.ask("POST", f"{path_of(first)}restore/").json()
    assert (restored["name"], restored["id"]) == (f"{name}_1", None)
    server.ask("DELETE", path_of(second))
    assert ask_new(server, f"id:{name[5:]}")[0] == 201


def test_a_random_key_makes_no_run_again_until_it_is_restored(server):
    key = f"random-{next(NAMES)}"
    _, run = ask_new(server, key)
    server.ask("DELETE", path_of(run))
    assert ask_new(server, key) == (410, {"detail": "The run was deleted."})
    server.ask("POST", f"{path_of(run)}restore/")
    assert ask_new(server, key)[0] == 200
    server.ask("DELETE", f"{path_of(run)}?now=1")
    assert ask_new(server, key)[0] == 410


@pytest.mark.parametrize("first", [True, False])
def test_what_is_deleted_for_good_does_not_come_back(server, run, first):
    if first:
        server.ask("DELETE", run)
    assert server.ask("DELETE", f"{run}?now=1").status_code == 204
    assert run.rsplit("/", 2)[1] not in in_trash(server)
    for method, path in (("POST", f"{run}restore/"), ("DELETE", f"{run}?now=1"), ("DELETE", run), ("GET", run)):
        answer = server.ask(method, path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_deleting_what_is_not_there_is_refused(server, run):
    unknown = f"{run.rsplit('/', 2)[0]}/{'0' * 8}-0000-4000-8000-{'0' * 12}/"
    assert server.ask("DELETE", unknown).status_code == 404
    assert server.ask("POST", f"{unknown}restore/").status_code == 404
    server.new_run("team", "elsewhere")
    other = run.replace("mnist", "elsewhere")
    assert server.ask("DELETE", other).status_code == 404
    assert server.ask("GET", run).status_code == 200
    assert server.ask("DELETE", f"{run}?now=yes").json() == {"now": ['"yes" is not a valid choice.']}
    assert server.ask("GET", run).status_code == 200


def test_a_reader_cannot_delete(server, run):
    """The page's token."""
    found = instance.read(server.state)
    assert found is not None
    headers = {"Authorization": f"Page-Token {found.page_token}"}
    assert server.ask("GET", run, headers=headers).status_code == 200
    for method, path in (("DELETE", run), ("POST", f"{run}restore/")):
        assert server.ask(method, path, headers=headers).status_code == 403


# The reaper


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "a.db")
    opened.add_user("ann").result()
    yield opened
    opened.close()


def project_of(store: SqliteStore, slug: str = "mnist") -> ProjectRow:
    namespace = store.put_namespace("team").result()
    return store.add_project(namespace, slug, slug, "TEAM").result()


def filled(store: SqliteStore, project: ProjectRow, key: str | None = None) -> RunRow:
    """A run with rows in every table."""
    run, _ = store.create_run(project, ann(store), Creation(key=key)).result()
    packed = [("a", 1), ("b", b'"x"'), ("steplog/run", IN_BATCH), ("steplog/config", b'{"lr": 1}')]
    store.add_batch(run, from_range(range_of(packed))).result()
    pack(store, run, 1)
    waiting = range_of([(f"layer {number}", float(number), 1) for number in range(300)], first=4)
    store.add_batch(run, from_range(waiting)).result()
    store.database.write(_fill_others, run.id).result()
    return run


def _fill_others(connection: sqlite3.Connection, run_id: int) -> None:
    connection.execute("INSERT INTO blocks VALUES (?, 0, 0, 1, x'00', x'00')", (run_id,))
    connection.execute("INSERT INTO sealed VALUES (?, 0, 1, 'damaged', x'00')", (run_id,))
    put_lasts(connection, run_id, [("a", Totals(1)), ("b", Totals(1, last='"x"'))])
    summary = "INSERT INTO summaries SELECT id, 9, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, x'00' FROM series WHERE run = ?"
    connection.execute(summary, (run_id,))


def rows(tmp_path: Path, tables: tuple[str, ...] = RUN_TABLES) -> dict[str, int]:
    connection = sqlite3.connect(tmp_path / "a.db")
    found = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    connection.close()
    return found


def in_hours(hours: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(hours=hours)


def reap_all(store: SqliteStore, at: datetime | None = None) -> int:
    """Reap until nothing is left; returns how many slices that took."""
    slices = 1
    while store.reap(at).result():
        slices += 1
    return slices


def test_what_has_been_in_the_trash_for_a_day_leaves_no_row(store, tmp_path):
    project = project_of(store)
    kept = filled(store, project)
    before = rows(tmp_path)
    assert all(before.values()), before
    gone = filled(store, project)
    store.discard_run(project, gone.uuid).result()
    reap_all(store, in_hours(23.9))
    assert rows(tmp_path)["runs"] == 2
    assert store.restore_run(project, gone.uuid).result().uuid == gone.uuid
    store.discard_run(project, gone.uuid).result()
    reap_all(store, in_hours(24.1))
    assert rows(tmp_path) == before
    with pytest.raises(MissingError):
        store.restore_run(project, gone.uuid).result()
    assert store.run("team", "mnist", kept.uuid) is not None
    assert [series.count for series in store.series(kept)] == [1] * 303


def test_a_run_of_which_something_was_removed_does_not_come_back(store, monkeypatch):
    monkeypatch.setattr(removal, "_SLICE_S", 0.0)
    project = project_of(store)
    run = filled(store, project)
    store.discard_run(project, run.uuid).result()
    assert store.reap(in_hours(24.1)).result(), "more is left"
    with pytest.raises(MissingError):
        store.restore_run(project, run.uuid).result()
    assert store.trash(project) == []
    reap_all(store)
    assert store.database.read(lambda c: c.execute("SELECT count(*) FROM runs").fetchone()) == (0,)


def test_a_batch_that_comes_beside_the_deletion_is_refused(store):
    """Its request found the run before it was deleted; the store knew it by then."""
    project = project_of(store)
    run = filled(store, project)
    batch = from_range(range_of([("a", 2)], first=304))
    deleted, added = store.discard_run(project, run.uuid), store.add_batch(run, batch)
    assert deleted.exception() is None
    assert isinstance(added.exception(), MissingError)
    assert store.restore_run(project, run.uuid).result().uuid == run.uuid
    assert store.add_batch(run, batch).result().accepted == 1


def test_an_id_leaves_no_tombstone(store, tmp_path):
    project = project_of(store)
    run = filled(store, project, "id:a")
    store.discard_run(project, run.uuid, now=True).result()
    assert rows(tmp_path, ("tombstones",)) == {"tombstones": 0}


def test_what_is_deleted_for_good_and_the_runs_of_a_deleted_project_go_at_once(store, tmp_path):
    project, other = project_of(store), project_of(store, "other")
    run = filled(store, project)
    for key in ("r1", "r2"):
        filled(store, other, key)
    store.discard_run(other, store.runs(other, 0, 1)[0].uuid).result()
    store.discard_run(project, run.uuid, now=True).result()
    store.delete_project(other).result()
    reap_all(store)
    assert rows(tmp_path, (*RUN_TABLES, "tombstones")) == dict.fromkeys((*RUN_TABLES, "tombstones"), 0)


def test_a_new_project_does_not_see_the_runs_of_a_deleted_one_of_its_slug(store):
    project = project_of(store)
    run = filled(store, project, "r1")
    store.delete_project(project).result()
    again = project_of(store)
    assert again.id != project.id, "its number is not free before its runs are gone"
    assert (store.runs(again), store.trash(again)) == ([], [])
    assert store.run("team", "mnist", run.uuid) is None
    with pytest.raises(MissingError):
        store.restore_run(again, run.uuid).result()
    made, new = store.create_run(again, ann(store), Creation(key="r1")).result()
    assert (made.uuid != run.uuid, new) == (True, True)
    reap_all(store)
    assert [each.uuid for each in store.runs(again)] == [made.uuid]


def test_nothing_is_written_to_a_deleted_project_by_who_had_found_it_before(store):
    project, other = project_of(store), project_of(store, "other")
    run, kept = filled(store, project), filled(store, other)
    store.delete_project(project).result()
    refused = [
        store.add_batch(run, from_range(range_of([("a", 2)], first=304))),
        store.create_run(project, ann(store), Creation()),
        store.edit_run(run, {"notes": "n"}),
        store.begin_generation(run, "m", "2026-01-01T00:00:00Z"),
        store.restore_run(project, run.uuid),
    ]
    assert [type(each.exception()) for each in refused] == [MissingError] * len(refused)
    assert [each.slug for each in store.projects(store.put_namespace("team").result())] == ["other"]
    assert store.project("team", f"mnist~{project.id}") is None
    assert store.add_batch(kept, from_range(range_of([("a", 2)], first=304))).result().accepted == 1


def test_deleting_a_project_costs_the_same_whatever_its_runs(store):
    """It had marked each of them."""
    cost = {}
    for count in (1, 400):
        project = project_of(store, f"p{count}")
        for _ in range(count):
            store.create_run(project, ann(store), Creation()).result()
        cost[count] = store.database.write(counted, trash.delete_project, project.id).result()
    assert 0 < cost[400] <= cost[1] + 1


def test_a_tombstone_lasts_for_thirty_days(store):
    project = project_of(store)
    run, _ = store.create_run(project, ann(store), Creation(key="r1")).result()
    store.discard_run(project, run.uuid).result()
    reap_all(store, in_hours(24 * 30 - 0.1))
    assert isinstance(store.create_run(project, ann(store), Creation(key="r1")).exception(), DeletedError)
    reap_all(store, in_hours(24 * 30 + 0.1))
    assert store.create_run(project, ann(store), Creation(key="r1")).result()[1]


@pytest.mark.slow
def test_a_large_run_is_removed_slice_by_slice_and_batches_come_between(store, tmp_path, monkeypatch):
    """Each slice is of one step here, whatever time it takes."""
    monkeypatch.setattr(removal, "_SLICE_S", 0.0)
    monkeypatch.setattr(removal, "_CHUNKS_A_STEP", 4)
    project = project_of(store)
    kept, gone = filled(store, project), filled(store, project)
    for first in range(304, 314):  # 11 chunks of one metric
        store.add_batch(gone, from_range(range_of([("a", first, first)], first=first))).result()
        pack(store, gone, 1)
    store.discard_run(project, gone.uuid, now=True).result()
    slices, last = 0, rows(tmp_path)
    while store.reap().result():
        slices += 1
        now = rows(tmp_path)
        removed = {table: last[table] - now[table] for table in RUN_TABLES}
        assert all(0 <= count <= 512 for count in removed.values()), removed
        assert max(removed["points"], removed["chunks"]) <= 4
        batch = from_range(range_of([("a", slices, slices)], first=303 + slices, writer="w"))
        assert store.add_batch(kept, batch).result().accepted == 1
        last = rows(tmp_path)
    assert slices > len(RUN_TABLES)
    left = rows(tmp_path)
    assert (left["runs"], left["marks"], left["log"]) == (1, 1, 1 + slices)


def test_removing_a_run_costs_as_much_for_each_of_its_names(store):
    """It had sorted all that were left for each."""
    cost = {}
    for names in (300, 1200):
        project = project_of(store, f"p{names}")
        run, _ = store.create_run(project, ann(store), Creation()).result()
        store.add_batch(run, from_range(range_of([(f"layer {number}", 1.0, 1) for number in range(names)]))).result()
        pack(store, run, 1)
        store.discard_run(project, run.uuid, now=True).result()
        counted = store.database.write(counting_reap).result()
        cost[names] = counted
    assert cost[300] > 0
    assert cost[1200] < 6 * cost[300]


def counting_reap(connection: sqlite3.Connection) -> int:
    """Reap all; returns the steps of SQLite's machine, by the hundred."""

    def reap_until_nothing_is_left(connection: sqlite3.Connection) -> None:
        while removal.reap(connection):
            pass

    return counted(connection, reap_until_nothing_is_left, every=100)


def counted(connection: sqlite3.Connection, job: Callable[..., None], *args: int, every: int = 1) -> int:
    """The steps of SQLite's machine that a job takes."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    connection.set_progress_handler(step, every)
    job(connection, *args)
    connection.set_progress_handler(None, 0)
    return steps


def test_a_server_that_starts_goes_on_with_what_it_had_begun_to_remove(tmp_path, monkeypatch):
    monkeypatch.setattr(removal, "_SLICE_S", 0.0)
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    store = SqliteStore(directory / "server.db")
    store.add_user("ann").result()
    project = project_of(store)
    gone = filled(store, project)
    store.discard_run(project, gone.uuid, now=True).result()
    for _ in range(3):
        assert store.reap().result()
    store.close()
    with ServerProcess(directory, "--user", "ann") as server:
        connection = sqlite3.connect(server.database)
        wait_until(lambda: connection.execute("SELECT count(*) FROM runs").fetchone() == (0,), 20)
        wait_until(lambda: connection.execute("SELECT count(*) FROM chunks").fetchone() == (0,), 20)
        connection.close()
        assert server.end() == (0, "")
