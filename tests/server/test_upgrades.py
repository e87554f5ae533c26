"""An upgrade takes as long whatever points there are, and one that is killed goes on with nothing lost."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crash.system_calls import why_not
from server.packed import pack
from server.process import SOURCES
from server.stores import listed
from server.test_database_files import configs, written_by
from steplog.server.sqlite import schema
from steplog.server.sqlite.store import SqliteStore

ENVIRONMENT = os.environ | {"PYTHONPATH": str(SOURCES)}
KILLED_STATEMENTS = (1, 20, 45)  # of some 65
CALLS = "pwrite64,pread64,fdatasync,fsync,ftruncate,fcntl,unlink,mmap,openat"
KILLS_A_CALL = 10
KILL_AT = """
import os, signal, sys
from pathlib import Path
from steplog.server.sqlite import schema

left = int(sys.argv[2])

def count(statement):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def counted(*args, **options):
    connection = connect(*args, **options)
    connection.set_trace_callback(count)
    return connection

connect = schema.connect
schema.connect = counted
schema.prepare(Path(sys.argv[1])).release()
"""


def held(path: Path) -> dict[str, Any]:
    """All that the runs of a database have, before and after it is packed."""
    store = SqliteStore(path)
    found = {}
    for project in store.projects(store.namespace("team")):
        for run in store.runs(project):
            points = listed(store, run)
            pack(store, run)
            assert listed(store, run) == points
            found[f"{project.slug}/{run.name}"] = (points, configs(store, run), run.status, run.seen, run.report)
    store.close()
    return found


@pytest.mark.parametrize("version", [*(pytest.param(each, marks=pytest.mark.slow) for each in (1, 2)), 3])
def test_a_killed_upgrade_goes_on_with_nothing_lost(tmp_path, version):
    older = written_by(version, tmp_path)
    whole = Path(shutil.copy(older, tmp_path / "whole.db"))
    expected = held(whole)
    assert sum(len(points) for points, *_ in expected.values()) >= 352
    for number in KILLED_STATEMENTS:
        path = Path(shutil.copy(older, tmp_path / f"{number}.db"))
        done = subprocess.run([sys.executable, "-c", KILL_AT, path, str(number)], env=ENVIRONMENT, check=False)
        assert done.returncode == -9, f"it has no statement {number}"
        assert held(path) == expected


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=f"kills at system calls need strace: {why_not()}")
def test_an_upgrade_that_is_killed_at_a_system_call_goes_on(tmp_path):
    """At calls for the database and the files beside it, a sample where one call is made often."""
    older = written_by(3, tmp_path)
    expected = held(Path(shutil.copy(older, tmp_path / "whole.db")))
    done, trace = traced(tmp_path, older, "counted", "-o", str(tmp_path / "trace"))
    assert done.returncode == 0
    counts = Counter(re.findall(r"^\d+ +(\w+)\(", (tmp_path / "trace").read_text(), re.MULTILINE))
    assert counts["pwrite64"] > 50
    killed = 0
    for call, count in counts.items():
        for number in range(1, count + 1, max(1, count // KILLS_A_CALL)):
            inject = f"inject={call}:signal=KILL:when={number}"
            done, path = traced(tmp_path, older, f"{call}-{number}", "-e", inject)
            killed += done.returncode != 0
            assert held(path) == expected, inject
    assert killed > 40


def traced(tmp_path: Path, older: Path, name: str, *options: str) -> tuple[subprocess.CompletedProcess[bytes], Path]:
    """An upgrade of a copy, with these options of strace."""
    path = Path(shutil.copy(older, tmp_path / f"{name}.db"))
    files = [option for suffix in ("", "-wal", "-shm", "-journal") for option in ("-P", f"{path}{suffix}")]
    command = [
        "strace",
        "-f",
        "-qqq",
        "-e",
        f"trace={CALLS}",
        *options,
        *files,
        sys.executable,
        "-c",
        KILL_AT,
        path,
        "0",
    ]
    return subprocess.run(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL, check=False), path


def test_an_upgrade_does_as_much_whatever_points_there_are(tmp_path):
    """But for a few chunks of series whose steps are all negative, or the largest."""
    steps = {}
    for chunks in (1, 1000):
        path = written_by(3, tmp_path)
        with closing(sqlite3.connect(path)) as connection:
            before = connection.execute("SELECT max(id) FROM series WHERE name = 'loss'").fetchone()[0]
            for number in range(chunks):
                connection.execute(
                    "INSERT INTO chunks VALUES (?, 1000, 0, 999, 0, 999, 0, 999, 0, 0, 0.0, 1.0, 0.5)",
                    (before << 32 | 100 + number,),
                )
            connection.execute("UPDATE series SET next_step = 1000 WHERE id = ?", (before,))
            connection.commit()
        steps[chunks] = counted_steps(path)
    assert steps[1] <= steps[1000] <= steps[1] + 10


def counted_steps(path: Path) -> int:
    """Of SQLite's virtual machine, in units of ten, that an upgrade takes."""
    counted = []

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = opened(*args, **options)
        connection.set_progress_handler(lambda: counted.append(1), 10)  # type: ignore[arg-type,return-value]
        return connection

    opened = schema.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "connect", connect)
        schema.prepare(path).release()
    assert counted
    return len(counted)
