"""Read the first page of a table of 50,000 runs with 40 metrics and 30 config entries each, over loopback.

From SQLite, and from PostgreSQL as it comes. The rows are written past the server, as the packer and the config leave
them. What is timed is a request, its answer
read and decoded: 100 rows of ten columns; and ``steplog.runs`` of all runs, in a process of its own. A poll is such a
request by a client that has the answer, as the page makes it every few seconds: where nothing has changed, and where a
run of the project goes on, which logs a point before each.
"""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

from benchmarks.figure import Figure, over
from benchmarks.postgresql import StoreServer, cluster, store_server
from benchmarks.stage import KEY, Server, Stage
from steplog.delivery.wire import API
from steplog.records.cells import Cell

__all__ = ["figures"]

GROUP = "tables"
METRICS, ENTRIES = 40, 30
COLUMNS = ["name", "status", "duration", *(f"train/metric_{n}.last" for n in range(5)), "config.lr", "config.optimizer"]
LISTED = ["name", "status", "started", "config.lr", "train/metric_3.last"]
WHERE = "train/metric_7.last<1.5 and train/metric_8.last>-1 and config.lr>0.0001"
BY_METRIC = {"columns": ",".join(COLUMNS), "sort": "train/metric_7.last"}
PAGE = {"columns": ",".join(COLUMNS).replace("duration", "started,ended"), "limit": 50, "count": 1}
POLLED = {
    "of the newest": PAGE,
    "by a metric's last value": PAGE | {"sort": "train/metric_7.last"},
    "where an entry is so": PAGE | {"where": "config.lr>0.0001"},
}
PROJECT = "/bench/projects/tables/"
DATE = "2026-11-01T00:00:00.000000Z"
RUNS = 'runs (id, uuid, project, "user", name, slug, status, date_created, date_updated, started, ended, provenance)'
PROGRESS = "progress (run, seen)"
GENERATIONS = "generations (run, number)"
CONFIG = "config (run, key, value, generation, time, writer, position)"
CONFIGS = "configs (project, key, run, value)"
LASTS = "lasts (project, name, run, count, last, low, high)"


def figures(stage: Stage) -> Iterator[Figure]:
    """By the last value of a metric, with and without conditions; by other orders; and the list of runs."""
    runs = stage.pick(50_000, 5_000)
    with stage.server() as server:
        _new_project(server)
        _fill_file(server, runs)
        yield from _read(stage, server, runs, GROUP)
    with cluster() as database, store_server(stage, database.new_store()) as shared:
        _new_project(shared)
        _fill_store(shared, runs)
        yield from _read(stage, shared, runs, f"{GROUP}, PostgreSQL")


def _read(stage: Stage, server: Server, runs: int, group: str) -> Iterator[Figure]:
    asked = [
        (f"{runs:,} runs by a metric's last value", "table/", BY_METRIC, 200, 50),
        ("the same where two metrics and an entry are so", "table/", BY_METRIC | {"where": WHERE}, 200, 50),
        ("the same, and how many there are", "table/", BY_METRIC | {"where": WHERE, "count": 1}, None, None),
        ("by a metric's least value", "table/", BY_METRIC | {"sort": "train/metric_7.min"}, None, None),
        ("by the duration", "table/", BY_METRIC | {"sort": "-duration"}, None, None),
        ("the newest", "table/", {"columns": ",".join(COLUMNS)}, None, None),
        ("those that began last", "table/", {"columns": ",".join(COLUMNS), "sort": "-started"}, None, None),
        ("those with a word, and how many there are", "table/", PAGE | {"where": "words~run_4999"}, None, None),
        ("which columns there are", "table/columns/", {}, None, None),
        ("100 runs of the list", "runs/", {"limit": 100}, None, None),
        ("the last 100 runs of the list", "runs/", {"limit": 100, "after": runs - 100}, None, None),
    ]
    for name, path, parameters, must, reach in asked:
        rounds, before = stage.pick(31, 7), server.cpu_s()
        took = [_read_ms(server, path, parameters) for _ in range(rounds)]
        cpu_ms = 1000 * (server.cpu_s() - before) / rounds
        note = f"{took[0]:.0f} ms at first; the server's CPU {cpu_ms:.1f} ms"
        yield over(took, group=group, name=name, unit="ms", must=must, reach=reach, note=note)
    for name, parameters in POLLED.items():
        for goes_on in (False, True):
            took, cpu_ms = _polls(server, parameters, stage.pick(31, 7), goes_on)
            name_of = f"a poll {name}, {'while a run goes on' if goes_on else 'nothing has changed'}"
            yield over(took, group=group, name=name_of, unit="ms", note=f"the server's CPU {cpu_ms:.1f} ms")
    took = stage.child(list_runs, stage.environment(server), rounds=stage.pick(9, 3), columns=LISTED)
    yield over(took, group=group, name="steplog.runs of all with five columns", unit="ms")


def list_runs(rounds: int, columns: list[str]) -> list[float]:
    """How many ms ``steplog.runs`` takes."""
    import steplog

    steplog.runs("bench/tables", limit=1)
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        steplog.runs("bench/tables", columns=columns)
        took.append(1000 * (time.perf_counter() - begun))
    return took


def _request(server: Server, method: str, path: str, body: bytes | None = None) -> bytes:
    headers = {"Authorization": f"Api-Key {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}{API}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: bytes = answer.read()
    return found


def _read_ms(server: Server, path: str, parameters: dict[str, Any]) -> float:
    begun = time.perf_counter()
    found = json.loads(_request(server, "GET", f"{PROJECT}{path}?{urlencode(parameters)}"))
    took = 1000 * (time.perf_counter() - begun)
    if not (found if isinstance(found, list) else found.get("rows") or found.get("metrics")):
        raise RuntimeError("the answer is empty")
    return took


def _polls(server: Server, parameters: dict[str, Any], rounds: int, goes_on: bool) -> tuple[list[float], float]:
    """How long each poll took, and the CPU time that the server needed for one, in ms."""
    run = json.loads(_request(server, "POST", f"{PROJECT}runs/", b"{}"))["uuid"] if goes_on else ""
    url = f"{server.url}{API}{PROJECT}table/?{urlencode(parameters)}"
    tag, took, cpu_s = "", [], 0.0
    for step in range(rounds + 1):
        if goes_on:
            point = {"name": "train/metric_7", "value": step % 7, "step": step}
            _request(server, "POST", f"{PROJECT}runs/{run}/metrics/", json.dumps(point).encode())
        before, begun = server.cpu_s(), time.perf_counter()
        headers = {"Authorization": f"Api-Key {KEY}", "If-None-Match": tag}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, None, headers), timeout=60) as answer:
                json.loads(answer.read())
                told = answer.headers
        except urllib.error.HTTPError as error:
            if error.code != 304:
                raise
            told = error.headers
        tag = told["ETag"]
        if step:  # the first one has nothing yet
            took.append(1000 * (time.perf_counter() - begun))
            cpu_s += server.cpu_s() - before
    if goes_on:
        _request(server, "DELETE", f"{PROJECT}runs/{run}/")
    return took, 1000 * cpu_s / rounds


def _new_project(server: Server) -> None:
    body = {"display_name": "tables", "visibility": "TEAM"}
    _request(server, "POST", "/bench/projects/", json.dumps(body).encode())


class _Rows:
    """The rows of each table, whose values are the same again and again; ``cell`` makes one of a value."""

    def __init__(self, runs: int, cell: Callable[[Cell], Any]) -> None:
        self.runs = range(1, runs + 1)
        self._cell = cell
        source = random.Random(1)
        self._values = [
            {f"k{entry}": source.choice([1, 2, 4]) for entry in range(ENTRIES - 2)}
            | {"lr": 10 ** -source.uniform(1, 5), "optimizer": source.choice(["adam", "sgd"])}
            for _ in self.runs
        ]
        self.keys = sorted(self._values[0])
        self.names = sorted(f"train/metric_{metric}" for metric in range(METRICS))

    def of_runs(self) -> Iterator[tuple[Any, ...]]:
        """``RUNS``."""
        source = random.Random(2)
        provenance = {"host": "node-17", "command": ["train.py", *["--option=value"] * 40], "git": "a" * 40}
        for run in self.runs:
            started = f"2026-11-0{source.randint(1, 9)}T00:00:00.000000Z"
            status = source.choice(["COMPLETED", "CRASHED"])
            yield (
                *(run, str(uuid.UUID(int=source.getrandbits(128))), 1, 1, f"run_{run}", f"run-{run}"),
                *(status, DATE, DATE, DATE, started, json.dumps(provenance)),
            )

    def config(self) -> Iterator[tuple[Any, ...]]:
        """``CONFIG``."""
        for run in self.runs:
            for key in self.keys:
                yield run, key, json.dumps(self._values[run - 1][key]), 1, 0, "", 0

    def entry(self, run: int, key: str) -> tuple[Any, ...]:
        """Of ``CONFIGS``."""
        return 1, key, run, self._cell(self._values[run - 1][key])

    def last(self, run: int, name: str) -> tuple[Any, ...]:
        """Of ``LASTS``."""
        last = random.Random(f"{run} {name}").gauss(0, 1)
        return 1, name, run, 1000, *map(self._cell, (last, last - 1, last + 1))


def _fill_file(server: Server, runs: int) -> None:
    """Table by table, in the order of their keys."""
    rows = _Rows(runs, lambda value: value)
    with contextlib.closing(sqlite3.connect(server.database, isolation_level=None, timeout=60)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")

        def put(table: str, of: Iterable[tuple[Any, ...]]) -> None:
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * table.count(','))}, ?)", of)

        put(RUNS, rows.of_runs())
        put(PROGRESS, ((run, DATE) for run in rows.runs))
        put(GENERATIONS, ((run, 1) for run in rows.runs))
        put(CONFIG, rows.config())
        put(CONFIGS, (rows.entry(run, key) for key in rows.keys for run in rows.runs))
        put(LASTS, (rows.last(run, name) for name in rows.names for run in rows.runs))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fill_store(server: StoreServer, runs: int) -> None:
    """Run by run, as they were written."""
    import psycopg

    from steplog.server.postgresql.connection import PostgresqlConnection, adapt

    with psycopg.connect(server.store, autocommit=True) as connection:
        adapt(connection)
        rows = _Rows(runs, PostgresqlConnection(connection).cell)
        ((of_cell,),) = connection.execute("SELECT CAST(CAST('cell' AS regtype) AS bigint)").fetchall()

        def put(table: str, types: str, of: Iterable[tuple[Any, ...]]) -> None:
            with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copy:
                copy.set_types([of_cell if name == "cell" else name for name in types.split()])
                for row in of:
                    copy.write_row(row)

        put(RUNS, "int8 text int8 int8 text text text text text text text text", rows.of_runs())
        put(PROGRESS, "int8 text", ((run, DATE) for run in rows.runs))
        put(GENERATIONS, "int8 int8", ((run, 1) for run in rows.runs))
        put(CONFIG, "int8 text text int8 int8 text int8", rows.config())
        put(CONFIGS, "int8 text int8 cell", (rows.entry(run, key) for run in rows.runs for key in rows.keys))
        put(LASTS, "int8 text int8 int8 cell cell cell", (rows.last(r, name) for r in rows.runs for name in rows.names))
        connection.execute(f"SELECT setval('runs_ids', {runs})".encode())
        connection.execute("VACUUM ANALYZE")  # as autovacuum does within a minute
