"""An older database is upgraded; a file that is not a steplog database is refused by name and not changed."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sqlite3
from pathlib import Path

import pytest

from server.batches import range_of
from server.process import ServerProcess
from steplog.blobs.entries import FileEntry
from steplog.errors import ConfigurationError
from steplog.filters import parse_fields, parse_filter
from steplog.server import keys
from steplog.server.permissions import role_in
from steplog.server.records.batch import from_range
from steplog.server.sql import table
from steplog.server.sqlite import filling, schema, upgrades
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import CONFIGURED, Creation, HistoryQuery, RunRow, TableQuery

GOLDEN = Path(__file__).parents[1] / "golden"
OLDER_VERSIONS = (1, 2, 3)


def tables(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """The columns of each table, and the indices."""
    connection = sqlite3.connect(database)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    made = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
    made |= {f"{name} indices": sorted(connection.execute(f"PRAGMA index_list({name})").fetchall()) for name in names}
    made["references"] = [connection.execute(f"PRAGMA foreign_key_list({name})").fetchall() for name in names]
    made["version"] = connection.execute("PRAGMA user_version").fetchall()
    connection.close()
    return made


def written_by(version: int, tmp_path: Path) -> Path:
    path = tmp_path / "older.db"
    path.write_bytes(gzip.decompress((GOLDEN / f"database-v{version}.db.gz").read_bytes()))
    return path


@pytest.fixture(params=OLDER_VERSIONS)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database that the server of an older version wrote: two users, a packed run, a run of 300 names."""
    return written_by(request.param, tmp_path)


def configs(store: SqliteStore, *of: RunRow) -> list[dict[str, object]]:
    found = store.configs(of)
    return [{key: json.loads(bytes(value)) for key, value in found[run.id].values.items()} for run in of]


def test_an_older_database_is_upgraded_in_place_with_all_that_is_in_it(older, tmp_path):
    reports = older.read_bytes()[60:64] == (3).to_bytes(4, "big")
    for _ in range(2):
        store = SqliteStore(older)
        project = store.project("team", "mnist")
        first, second = store.runs(project)
        assert [(run.name, run.status, run.username, run.ended) for run in (first, second)] == [
            ("first", "COMPLETED", "bob", first.date_updated),
            ("second", "RUNNING", "bob", None),
        ]
        for run in (first, second):
            assert (run.idempotency_key, run.description, run.generation, run.made_by) == (run.name, "d", 1, None)
            assert (run.seen, run.started, run.tags, run.deleted) == (run.date_updated, None, None, None)
        assert first.report == (
            '{"dropped":{"memory full":3},"abandoned":0,"lost":0,"rejected":0}' if reports else None
        )
        assert configs(store, first, second) == [{"lr": 0.1}, {}]
        assert [(each.name, each.count) for each in store.series(first)] == [
            ("steplog/config", 1),
            ("loss", 50),
            ("note", 1),
        ]
        assert [(each.max_step, each.last_time) for each in store.series(first)] == [(0, None), (49, None), (0, None)]
        assert [point.value for point in store.metrics(first, 0, 52)][1:51] == [1 / (step + 1) for step in range(50)]
        assert store.point_count(second) == 300
        for run in (first, second):
            parts = store.history(run, HistoryQuery())
            assert sum(len(points.kinds) for _, points in parts) == store.point_count(run)
        assert older.read_bytes()[60:64] == (8).to_bytes(4, "big")  # what an older server looks at before it opens it
        store.close()
    SqliteStore(tmp_path / "new.db").close()
    assert tables(older) == tables(tmp_path / "new.db")


def test_the_runs_of_an_older_database_are_in_tables_before_they_are_filled_in(older):
    store = SqliteStore(older)
    project = store.project("team", "mnist")
    columns = parse_fields("name,config.lr,loss.last,loss.max,loss.count")
    asked = TableQuery(
        parse_filter("config.lr<1 and loss.count=50"), columns, 10, "2026-11-01T00:00:00.000000Z", columns[2]
    )
    for _ in range(2):
        page = store.table(project, asked)
        cells = dict(zip(columns, ["first", 0.1, 0.02, 1.0, 50], strict=True))
        assert [row.cells for row in page.rows] == [cells]
        assert [run.name for run in store.runs_by_slug(project, "first")] == ["first"]
        while store.database.write(filling.fill, 0.0).result():
            pass
    assert store.database.read(table.unfilled) is None
    store.close()


def test_an_upgraded_database_takes_batches_and_reports(older):
    store = SqliteStore(older)
    project = store.project("team", "mnist")
    run = store.runs(project, 1)[0]
    many = [(f"layer {number}", float(number), 1) for number in range(300)]
    store.add_batch(run, from_range(range_of(many, first=300), b"")).result()
    assert {(each.count, each.max_step, each.last_time) for each in store.series(run)} == {
        (2, 1, "2023-11-14T22:13:20.000000Z")
    }
    store.edit_run(run, {"report": '{"lost":0}'}).result()
    assert store.runs(project, 1)[0].report == '{"lost":0}'
    store.close()


def test_the_runs_of_an_older_database_are_in_their_first_generation(older):
    store = SqliteStore(older)
    run = store.runs(store.project("team", "mnist"))[0]
    assert store.begin_generation(run, "late", "2026-01-01T00:00:00.000000Z").result() == (1, False)
    assert store.begin_generation(run, "m", run.date_created).result() == (2, True)
    assert store.run("team", "mnist", run.uuid).status == "RUNNING"
    store.close()


def test_the_keys_of_an_older_database_are_kept_as_those_of_earlier_starts(older):
    store = SqliteStore(older)
    kept = store.all_keys()
    assert [(key.user.username, key.hash, key.origin, key.revoked) for key in kept] == [
        (name, keys.hash_key(f"golden-key-of-{name}"), CONFIGURED, None) for name in ("ann", "bob")
    ]
    assert [key.user.email for key in kept] == ["ann@example.org", "bob@example.org"]
    store.close()


@pytest.mark.parametrize("version", [1, 2])
def test_a_page_token_of_unknown_age_ends_with_the_upgrade(tmp_path, version):
    """Earlier servers printed it wherever their output went."""
    older = written_by(version, tmp_path)
    connection = sqlite3.connect(older)
    ((token,),) = connection.execute("SELECT value FROM about WHERE name = 'page_token'")
    connection.close()
    with ServerProcess(tmp_path, "--db", str(older), "--user", "bob", key="golden-key-of-bob") as server:
        headers = {"Authorization": f"Page-Token {token}"}
        assert server.ask("GET", "/namespaces/", headers=headers).status_code == 401
        assert server.ask("GET", "/team/projects/mnist/runs/").json()[0]["name"] == "first"


def test_the_configs_of_an_older_database_are_merged_in_order_of_arrival(tmp_path):
    """Packed ones, one in a range that is stored as it came, and a metric of the name that is no config."""
    store = SqliteStore(written_by(3, tmp_path))
    (run,) = store.runs_by_slug(store.project("team", "configs"), "configured")
    expected = {"batch": 32, "lr": 0.3, "model": {"depth": 3}, "name": "ä", "seed": None}
    assert configs(store, run) == [expected]
    assert [each.count for each in store.series(run) if each.name == "steplog/config"] == [5]
    store.close()


ADDED_7 = {
    "users": ("is_admin", "removed"),
    "keys": ("expires", "project", "requests_a_minute", "bytes_a_minute"),
    "projects": ("retention_days",),
}


ADDED_8 = (
    *("files", "contents", "project_contents", "content_totals"),
    *("artifacts", "artifact_files", "artifact_aliases", "artifact_uses"),
)


def undo_version_8(path: Path) -> None:
    """Make a database what one of version 7 was."""
    connection = sqlite3.connect(path)
    for name in ADDED_8:
        connection.execute(f"DROP TABLE {name}")
    connection.execute("ALTER TABLE runs DROP COLUMN files_pending")
    connection.execute("PRAGMA user_version = 7")
    connection.close()


def undo_version_7(path: Path) -> None:
    """Make a database what one of version 6 was."""
    undo_version_8(path)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE members")
    for table_name, columns in ADDED_7.items():
        for column in columns:
            connection.execute(f"ALTER TABLE {table_name} DROP COLUMN {column}")
    connection.execute("PRAGMA user_version = 6")
    connection.close()


def test_after_an_upgrade_every_user_may_write_where_it_could_before(tmp_path):
    """Until then whoever had a key could write everywhere, and clients made projects RESTRICTED."""
    path = tmp_path / "older.db"
    store = SqliteStore(path)
    ann, bob = store.add_user("ann").result(), store.add_user("bob").result()
    store.put_started_key(ann, b"ann", CONFIGURED).result()
    store.issue_key("bob", b"bob", "").result()
    for namespace, visibility in (("team", "RESTRICTED"), ("ann", "TEAM"), ("bob", "RESTRICTED")):
        store.add_project(store.put_namespace(namespace).result(), "mnist", "mnist", visibility).result()
    store.close()
    undo_version_7(path)
    store = SqliteStore(path)
    assert [(user.username, user.is_admin) for user in store.users()] == [("ann", True), ("bob", False)]
    assert store.namespace_roles(bob.id) == {
        store.namespace(slug).id: role for slug, role in (("ann", "MEMBER"), ("bob", "OWNER"), ("team", "MEMBER"))
    }
    roles = [role_in(*store.facts_of(bob.id, namespace, "mnist")[2:]) for namespace in ("team", "ann", "bob")]
    assert roles == ["MEMBER", "MEMBER", "OWNER"]
    store.add_project(store.namespace("team"), "later", "later", "RESTRICTED").result()
    assert role_in(*store.facts_of(bob.id, "team", "later")[2:]) is None
    store.close()


@pytest.mark.parametrize("version", [4, 5, 6])
def test_a_database_of_before_the_sessions_the_views_or_roles_is_upgraded(tmp_path, version):
    path = tmp_path / "older.db"
    SqliteStore(path).close()
    new = tables(path)
    undo_version_7(path)
    connection = sqlite3.connect(path)
    if version < 6:
        connection.execute("DROP TABLE views")
        connection.execute("DROP INDEX runs_by_start")
        connection.execute("ALTER TABLE projects DROP COLUMN packs")
    if version == 4:
        connection.execute("DROP TABLE sessions")
        connection.execute("DROP INDEX runs_running")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    SqliteStore(path).close()
    assert tables(path) == new


def test_a_database_of_before_files_keeps_all_and_takes_them(tmp_path):
    older = written_by(7, tmp_path)
    store = SqliteStore(older)
    project = store.project("team", "mnist")
    first, second = store.runs(project)
    assert [(run.name, run.key, run.status, run.files_pending) for run in (first, second)] == [
        ("first", "first", "COMPLETED", None),
        ("second", None, "RUNNING", None),
    ]
    assert [(run.name, run.notes) for run in store.trash(project)] == [("third", None)]
    assert (first.tags, first.notes, configs(store, first)) == ('["a"]', "n", [{"lr": 0.1, "model": {"depth": 3}}])
    assert [(each.name, each.count) for each in store.series(first)] == [
        ("steplog/config", 1),
        ("loss", 50),
        ("note", 1),
    ]
    assert [point.value for point in store.metrics(first, 1, 51)] == [1 / (step + 1) for step in range(50)]
    assert store.point_count(second) == 300
    assert [view.name for view in store.views(project)] == ["losses"]
    assert [(user.username, user.email) for user in store.users()] == [
        ("ann", "ann@example.org"),
        ("bob", "bob@example.org"),
    ]
    sha256 = hashlib.sha256(b"a").hexdigest()
    file = FileEntry(id="0" * 32, sha256=sha256, size=1, path="a.txt")
    assert store.announce_files(first, [file], ()).result().missing == [sha256]
    assert [row.path for row in store.files(first)] == ["a.txt"]
    store.close()
    SqliteStore(tmp_path / "new.db").close()
    assert tables(older) == tables(tmp_path / "new.db")


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(tmp_path, monkeypatch):
    older = written_by(1, tmp_path)
    before = tables(older)
    broken = dict(upgrades.UPGRADES)
    broken[3] = lambda connection: connection.execute("CREATE TABLE runs (x)")
    monkeypatch.setattr(schema, "UPGRADES", broken)
    with pytest.raises(ConfigurationError, match="already exists"):
        SqliteStore(older)
    assert tables(older) == before
    monkeypatch.undo()
    SqliteStore(older).close()
    assert len(tables(older)["tombstones"]) == 3


def test_the_numbers_of_runs_go_on_after_an_upgrade(tmp_path):
    """A run that was deleted before, and was the newest, does not give its number to another."""
    older = written_by(3, tmp_path)
    connection = sqlite3.connect(older)
    connection.execute("DELETE FROM runs WHERE id >= 3")
    connection.commit()
    connection.close()
    store = SqliteStore(older)
    user, project = store.add_user("ann").result(), store.project("team", "mnist")
    assert store.create_run(project, user, Creation()).result()[0].id == 5
    store.close()


def make_foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()


def make_newer(path: Path) -> None:
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()


def make_cut(path: Path) -> None:
    SqliteStore(path).close()
    os.truncate(path, 6000)


FILES = {
    "text": (lambda path: path.write_text("notes, not a database\n" * 99), "is not a database"),
    "short": (lambda path: path.write_bytes(b"SQLite format 3\0"), "is not a database"),
    "image": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(9999)), "is not a database"),
    "foreign": (make_foreign, "of another program"),
    "newer": (make_newer, "schema version 9"),
    "cut": (make_cut, "cannot be used"),
    "directory": (lambda path: path.mkdir(), "cannot be used"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_another_kind_is_refused_and_left_as_it_is(tmp_path, kind):
    path = tmp_path / "a.db"
    make, words = FILES[kind]
    make(path)
    before = path.read_bytes() if path.is_file() else None
    files = set(tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match=words) as caught:
        SqliteStore(path)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    beside = {".lock"} if kind != "cut" else {".lock", ".db-shm", ".db-wal"}  # cut short, but ours
    assert {file for file in tmp_path.iterdir() if not file.name.endswith(tuple(beside))} <= files


def test_an_empty_file_becomes_a_database(tmp_path):
    path = tmp_path / "a.db"
    path.touch()
    SqliteStore(path).close()
    store = SqliteStore(path)
    assert len(store.instance) == 32
    store.close()


def test_a_database_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        store = SqliteStore(tmp_path / "a.db")
        store.put_namespace("x").result()
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    store.close()


def test_a_database_in_a_directory_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        SqliteStore(tmp_path / "nowhere" / "a.db")
