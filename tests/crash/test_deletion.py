"""With strace: a server that is killed at each of its system calls while it deletes a project leaves the others whole.

The next one removes what is left. The project has a run with rows in every table; each slice is of six steps, and all
room is given back, by checkpoints that cut the file.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crash.system_calls import CALLS, sample, why_not
from polling import wait_until
from server.batches import range_of
from server.process import DEADLINE_S, SOURCES
from server.stores import add, listed, new_project, new_run
from steplog.server.sql.packing import CHUNK_POINTS, pack_run
from steplog.server.sqlite.database_file import check_left_log
from steplog.server.sqlite.schema import connect
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import Creation

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"kills at system calls need strace: {why_not()}")
PROGRAM = """
import itertools, os, sys, types
from pathlib import Path
from steplog.server.sql import removal
from steplog.server.sqlite import checkpoints, free_pages
from steplog.server.sqlite.store import SqliteStore
removal.time = free_pages.time = types.SimpleNamespace(monotonic=itertools.count().__next__)
removal._SLICE_S = free_pages._SLICE_S = 6
free_pages._SPARE_PAGES, checkpoints.COPY_BYTES = 0, 50_000
store = SqliteStore(Path(sys.argv[1]))
project = store.project("team", "gone")
print("ready", flush=True)
sys.stdin.readline()
store.delete_project(project).result()
print("deleted", flush=True)
while store.give_back().result() or store.reap().result():
    pass
store.close()
os._exit(0)
"""
TABLES = (
    *("log", "blocks", "sealed", "points", "chunks", "summaries", "series", "lasts", "configs", "config", "fields"),
    *("generations", "marks", "progress", "runs", "projects", "suffixes", "tombstones"),
)
PARTS = 32  # of all calls


def noise(seed: int) -> bytes:
    """A text of some pages, which does not become less on the way."""
    return f'"{random.Random(seed).randbytes(30_000).hex()}"'.encode()


def fill(database: Path, slug: str) -> None:
    """A run in a project, in every table, and one in its trash."""
    store = SqliteStore(database)
    project = new_project(store, slug)
    run, trashed = (new_run(store, project, Creation(name="n", key=f"{slug} {at}")) for at in range(2))
    add(store, run, range_of([("loss", at + 0.5, at) for at in range(CHUNK_POINTS + 10)]))
    about = [("steplog/config", b'{"lr": 1}'), ("steplog/run", b'{"notes": "n"}')]
    add(store, run, range_of([("text", noise(1)), ("few", 1), *about], writer="v"))
    add(store, trashed, range_of([("loss", 1)]))
    store.discard_run(project, trashed.uuid).result()
    store.close()
    with closing(connect(database)) as connection:
        while pack_run(connection, run.id):
            pass
        connection.execute("INSERT INTO sealed VALUES (?, 99, 1, 'damaged', x'00')", (run.id,))
    store = SqliteStore(database)
    add(store, run, range_of([("loss", 7.0, 7), ("text", noise(2))], writer="u"))
    store.close()


def rows(database: Path) -> dict[str, int]:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


class Prepared(NamedTuple):
    """A database with both projects, and what is to be left of it."""

    database: Path
    rows: dict[str, int]
    points: list[dict[str, Any]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    database = tmp_path_factory.mktemp("prepared") / "server.db"
    fill(database, "kept")
    left = rows(database)
    fill(database, "gone")
    both = rows(database)
    assert all(both[table] > left[table] > 0 for table in TABLES), both
    return Prepared(database, left, kept_points(database))


def kept_points(database: Path) -> list[dict[str, Any]]:
    store = SqliteStore(database)
    try:
        project = store.project("team", "kept")
        assert project is not None
        (run,) = store.runs(project)
        (trashed,) = store.trash(project)
        return [*listed(store, run), {"trashed": trashed.name}]
    finally:
        store.close()


@contextmanager
def traced(database: Path, options: Sequence[str]) -> Iterator[tuple[int, bool]]:
    """How a server that deletes the project ended, and whether it had said that it is deleted."""
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(database)],
        env={"PYTHONPATH": str(SOURCES), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    tracer = subprocess.Popen(
        ["strace", "-f", "-qqq", "-e", f"trace={','.join(CALLS)}", *options, "-p", str(server.pid)],
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        threads = Path(f"/proc/{server.pid}/task")  # one of which may be killed at once
        wait_until(lambda: server.poll() is not None or all(map(is_traced, threads.glob("*/status"))))
        with suppress(BrokenPipeError):  # killed while it waited
            server.stdin.write("\n")
            server.stdin.flush()
        server.wait(DEADLINE_S)
        yield server.returncode, server.stdout.read() == "deleted\n"
    finally:
        server.kill()
        with suppress(BrokenPipeError):
            server.communicate()
        tracer.wait()


def is_traced(status: Path) -> bool:
    try:
        return "TracerPid:\t0\n" not in status.read_text()
    except OSError:  # it has ended
        return True


def copied(database: Path, to: Path) -> Path:
    to.mkdir()
    return Path(shutil.copy(database, to / database.name))


@pytest.fixture(scope="module")
def calls(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int]]:
    """Every (call, number) that a thread of such a server comes to."""
    directory = tmp_path_factory.mktemp("counted")
    database = copied(prepared.database, directory / "database")
    with traced(database, ["-o", str(directory / "trace")]) as ended:
        assert ended == (0, True)
    assert database.stat().st_size < prepared.database.stat().st_size * 0.85
    check_all(prepared, database, deleted=True)
    found = Counter(re.findall(r"^(\d+) +(\w+)\(", (directory / "trace").read_text(), re.MULTILINE))
    most: dict[str, int] = {}
    for (_, call), number in found.items():
        most[call] = max(most.get(call, 0), number)
    return [(call, number) for call in sorted(most) for number in range(1, most[call] + 1)]


def check_all(prepared: Prepared, database: Path, deleted: bool) -> None:
    """What is not deleted is whole, at once and when another server has removed what is left."""
    check_left_log(database)
    assert kept_points(database) == prepared.points
    store = SqliteStore(database)
    project = store.project("team", "gone")
    if project is not None:
        assert not deleted, "it had been deleted"
        store.delete_project(project).result()
    while store.reap().result():
        pass
    store.close()
    assert rows(database) == prepared.rows
    assert kept_points(database) == prepared.points


def kill_at(prepared: Prepared, directory: Path, roots: Sequence[tuple[str, int]]) -> int:
    killed = 0
    for at, (call, number) in enumerate(roots):
        database = copied(prepared.database, directory / str(at))
        with traced(database, ["-e", f"inject={call}:signal=KILL:when={number}"]) as (code, deleted):
            killed += code == -signal.SIGKILL
        check_all(prepared, database, deleted)
    return killed


def test_a_server_killed_at_a_call_while_it_deletes_leaves_others_whole(prepared, calls, tmp_path):
    assert len(calls) > 200
    assert kill_at(prepared, tmp_path, sample(calls, 2, random.Random())) > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_server_killed_at_any_call_while_it_deletes_leaves_others_whole(prepared, calls, tmp_path, part):
    some = calls[part::PARTS]
    assert kill_at(prepared, tmp_path, some) > 0.7 * len(some)
