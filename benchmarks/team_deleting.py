"""What others wait while a server deletes a large project from PostgreSQL, and what that leaves on the disk.

As ``deleting`` has it for the embedded server: four clients write one metric each every 50 ms; the control are the same
clients afterwards, for as long as the deletion has taken, at most a minute. The write-ahead log has PostgreSQL's own
limits (``max_wal_size``), and tables keep their room for what comes next.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

from benchmarks.deleting import CHUNK_BYTES, CHUNKS, MB, NAMES, WRITERS, Client, longest_wait, write
from benchmarks.figure import Figure, quantile
from benchmarks.postgresql import Cluster, StoreServer, cluster, store_server
from benchmarks.stage import Stage

__all__ = ["figures", "watch"]

GROUP = "team_deleting"
CONTROL_S_MAX = 60.0
TIMEOUT_S = 1800.0
_SIZE = "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c WHERE relkind = 'r' AND relname = 'points'"


def figures(stage: Stage) -> Iterator[Figure]:
    """One deletion of 1,000 runs, each of 40 metrics of 8 chunks: 3 GB."""
    runs = stage.pick(1000, 40)
    with cluster() as database, store_server(stage, database.new_store()) as server:
        host = server.url.removeprefix("http://")
        kept, doomed = (Client(host).new_project(name) for name in ("kept", "doomed"))
        paths = [Client(host).new_run(kept) for _ in range(WRITERS)]
        fill(server, Client(host), doomed, runs)
        before = server.number(_SIZE)
        written = _log_position(server)
        told = stage.child(watch, stage.environment(), host=host, paths=paths, doomed=doomed, store=server.store)
        written = _log_position(server) - written
        yield from _figures(server, database, told, before, written)


def _figures(
    server: StoreServer, database: Cluster, told: dict[str, float], before: int, written: int
) -> Iterator[Figure]:
    yield longest_wait(GROUP, told, before)
    yield Figure(
        group=GROUP,
        name="log written by the deletion",
        unit="MB",
        value=written / MB,
        must=64 * 1.048576,
        note=f"of {before / MB:,.0f} MB; {database.log_bytes() / MB:,.0f} MB of it are kept, of at most 1 GiB",
    )
    server.rows("VACUUM points")
    yield Figure(
        group=GROUP,
        name="room of points after the next vacuum",
        unit="% of before",
        value=100 * server.number(_SIZE) / before,
    )


def fill(server: StoreServer, client: Client, project: str, runs: int) -> None:
    """Write the runs' chunks past the server."""
    import psycopg

    uuids = [client.new_run(project).rsplit("/", 2)[1] for _ in range(runs)]
    blob = random.Random(1).randbytes(CHUNK_BYTES)
    with psycopg.connect(server.store) as connection:
        for uuid in uuids:
            ((run,),) = connection.execute("SELECT id FROM runs WHERE uuid = %s", (uuid,)).fetchall()
            for name in range(NAMES):
                connection.execute(
                    "INSERT INTO series (run, id, name, count, next_step, first_step, last_step)"
                    " VALUES (%s, %s, %s, 1, 1, 0, 0)",
                    (run, name + 1, f"metric {name}"),
                )
            ids = [(name + 1) << 32 | number for name in range(NAMES) for number in range(CHUNKS)]
            copying = connection.cursor()
            with copying.copy("COPY points (run, id, data) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "int8", "bytea"])
                for each in ids:
                    copy.write_row((run, each, blob))
            copying.executemany(f"INSERT INTO chunks VALUES (%s, %s{', 1' * 9})", [(run, each) for each in ids])
            connection.commit()
    server.rows("CHECKPOINT")


def watch(host: str, paths: list[str], doomed: str, store: str) -> dict[str, float]:
    """What the clients waited during the deletion and after it, in ms."""
    import psycopg

    waits: list[float] = []
    stopped = threading.Event()
    writers = [threading.Thread(target=write, args=(host, path, waits, stopped)) for path in paths]
    for writer in writers:
        writer.start()
    time.sleep(2)
    waits.clear()
    begun = time.monotonic()
    Client(host).ask("DELETE", doomed)
    with psycopg.connect(store, autocommit=True) as connection:
        query = "SELECT count(*) FROM projects WHERE deleted IS NOT NULL"
        while connection.execute(query).fetchall() != [(0,)]:
            if time.monotonic() > begun + TIMEOUT_S:
                raise RuntimeError("the project is not removed in time")
            time.sleep(0.1)
    seconds, found = time.monotonic() - begun, waits[:]
    waits.clear()
    time.sleep(min(CONTROL_S_MAX, max(3.0, seconds)))
    stopped.set()
    for writer in writers:
        writer.join()
    return {
        "seconds": seconds,
        "longest": 1e3 * max(found),
        "p99": 1e3 * quantile(found, 0.99),
        "control": 1e3 * max(waits),
        "control_p99": 1e3 * quantile(waits, 0.99),
    }


def _log_position(server: StoreServer) -> int:
    return server.number("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
