"""Curves from the embedded server: of one metric of 10⁸ and 10⁹ points, and of many runs in one request.

The long metrics are generated as rows of summaries, which is all that such a curve reads. Of the many runs each point
is there, packed as it would be while the runs go on. Beside them: the server's CPU time, and that of decoding their
chunks and reducing them, in this process, without a server.
"""

from __future__ import annotations

import json
import random
import sqlite3
import struct
import time
import urllib.request
from array import array
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.figure import Figure, over
from benchmarks.stage import KEY, Server, Stage
from steplog import column_format
from steplog.journal import slot
from steplog.journal.range import Range, encode
from steplog.records.points import Points
from steplog.server.open_store import open_store
from steplog.server.records import chunk
from steplog.server.records.batch import from_range
from steplog.server.records.summary import FANOUT, POINTS_AN_ENTRY, Entries
from steplog.server.records.summary import encode as encode_entries
from steplog.server.sql.packing import pack_run
from steplog.server.sql.summaries import HEADER, ROW_ENTRIES
from steplog.server.sqlite.schema import connect, prepare
from steplog.server.store_types import Creation

__all__ = ["figures"]

GROUP = "curves"
SECOND = 10**9
BEGAN = 1_764_000_000 * SECOND
RUN_POINTS = 6144
BATCH_POINTS = 1100
LONGEST = {8: 1, 9: 2}  # the lowest level of summaries that is generated, by the power of ten


def figures(stage: Stage) -> Iterator[Figure]:
    """Long metrics, then many runs."""
    rounds = stage.pick(15, 5)
    for power, level in LONGEST.items():
        if power == 9 and stage.quick:
            continue
        with stage.server(fill=partial(_fill_long, points=10**power, lowest=level)) as server:
            took, cpu_ms = _asked(server, 1000, rounds)
            name, note = f"a curve of 10^{power} points", f"server CPU {cpu_ms:.0f} ms"
            yield over(took, group=GROUP, name=name, unit="ms", must=50, reach=20, note=note)
    sizes = (50, 100_000, 1000, 150, 50), (1000, RUN_POINTS, 200, 400, 200)
    if stage.quick:
        sizes = (5, RUN_POINTS, 1000, 150, 50), (100, RUN_POINTS, 200, 400, 200)
    for runs, points, buckets, must, reach in sizes:
        with stage.server(fill=partial(_fill_many, runs=runs, points=points)) as server:
            took, cpu_ms = _asked(server, buckets, rounds)
            note = f"server CPU {cpu_ms:.0f} ms; decoding all points {_decoding_ms(runs, points):.0f} ms"
            name = f"{runs} runs x 1 metric x {buckets} buckets, {points:,} points a run"
            yield over(took, group=GROUP, name=name, unit="ms", must=must, reach=reach, note=note)


def _asked(server: Server, buckets: int, rounds: int) -> tuple[list[float], float]:
    """How long each request took, and the CPU time that the server needed for one, in ms."""
    question = _question(server.url, buckets)
    _ask_ms(server.url, question)
    before = server.cpu_s()
    took = [_ask_ms(server.url, question) for _ in range(rounds)]
    return took, 1000 * (server.cpu_s() - before) / rounds


def _new_store(database: Path, runs: int) -> None:
    with closing(open_store(database)) as store:
        user = store.add_user("bench", "").result()
        project = store.add_project(store.put_namespace("bench").result(), "curves", "curves", "TEAM").result()
        for future in [store.create_run(project, user, Creation()) for _ in range(runs)]:
            future.result()


def _fill_long(database: Path, points: int, lowest: int) -> None:
    """Rows of summaries of one metric, as its points would have left them."""
    _new_store(database, 1)
    prepare(database).release()
    with closing(connect(database)) as connection:
        connection.execute("BEGIN")
        columns = "run, name, count, next_step, first_step, last_step, max_step, last_time, chunked"
        totals = 1, "loss", points, points, 0, points - 1, points - 1, BEGAN + (points - 1) * SECOND, points
        connection.execute(f"INSERT INTO series ({columns}) VALUES (?{', ?' * 8})", totals)
        connection.execute("UPDATE progress SET arrivals = ?, packed = ?", (points, points))
        level, below = 1, points
        while below > 0:
            size = POINTS_AN_ENTRY * FANOUT ** (level - 1)
            full = ROW_ENTRIES * size
            if level >= lowest:
                covered = below // full * full
                ends = [(first, first + full) for first in range(0, covered, full)]
                if covered < points:  # as many entries as the rows of the level below have made
                    ends.append((covered, below if level > 1 else points))
                for first, end in ends:
                    if first < end:
                        _add_row(connection, level, first, end, size)
            below = below // full * full
            level += 1
        connection.execute("COMMIT")


def _add_row(connection: sqlite3.Connection, level: int, first: int, end: int, size: int) -> None:
    entries = _entries(first, end, size)
    chunks = first // chunk.POINTS_MAX, max(1, (end - first) // chunk.POINTS_MAX)
    ranges = first, end - 1, BEGAN + first * SECOND, BEGAN + (end - 1) * SECOND
    widest = size - 1, (size - 1) * SECOND
    values = 1, level, *chunks, len(entries), end - first, *ranges, *widest, encode_entries(entries)
    connection.execute(f"INSERT INTO summaries (series, {HEADER}, data) VALUES (?{', ?' * 12})", values)


_NOISE = random.Random(1)


def _entries(first: int, end: int, size: int) -> Entries:
    low = list(range(first, end, size))
    high = [min(step + size, end) - 1 for step in low]
    values = [array("d", [_NOISE.gauss(0, 1) for _ in low]) for _ in range(4)]
    begun, ended = ([BEGAN + step * SECOND for step in steps] for steps in (low, high))
    counts = [b - a + 1 for a, b in zip(low, high, strict=True)]
    nothing = [array("q", [0]) * len(low)] * 3
    return Entries(*[counts, low, high, low, high, begun, ended, *values, *nothing])


def _fill_many(database: Path, runs: int, points: int) -> None:
    """Runs with one metric, packed as they go on."""
    _new_store(database, runs)
    source = random.Random(2)
    bodies = []
    for first in range(0, points, BATCH_POINTS):
        end = min(points, first + BATCH_POINTS)
        slots = b"".join(
            struct.pack("<qdqIHH", step, source.gauss(0, 1), BEGAN + step * SECOND, 0, 0, slot.KIND_FLOAT)
            for step in range(first, end)
        )
        records = Range("w", first, end, {0: "loss"}, slots, b"")
        bodies.append((records, encode(records)))
    with closing(open_store(database)) as store, closing(connect(database)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        project = store.project("bench", "curves")
        assert project is not None
        listed = store.runs(project)
        for body in bodies:
            for future in [store.add_batch(run, from_range(*body)) for run in listed]:
                future.result()
            for run in listed:
                pack_run(connection, run.id)


def _question(url: str, buckets: int) -> bytes:
    request = urllib.request.Request(
        f"{url}/api/v0/bench/projects/curves/runs/", headers={"Authorization": f"Api-Key {KEY}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        runs = [run["uuid"] for run in json.loads(answer.read())]
    return json.dumps({"runs": runs, "names": ["loss"], "buckets": buckets}).encode()


def _ask_ms(url: str, question: bytes) -> float:
    headers = {
        "Authorization": f"Api-Key {KEY}", "Accept": column_format.MEDIA_TYPE, "Content-Type": "application/json",
    }  # fmt: skip
    request = urllib.request.Request(f"{url}/api/v0/bench/projects/curves/curves/", question, headers)
    begun = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        body = answer.read()
    took = 1000 * (time.perf_counter() - begun)
    (table,) = column_format.decode(body)
    if len(table.about["series"]) != len(json.loads(question)["runs"]):
        raise RuntimeError("a curve is missing")
    return took


def _decoding_ms(runs: int, points: int) -> float:
    """What reading the points themselves would take at least."""
    count, size = 1024, 32
    words = array("q", array("d", [_NOISE.gauss(0, 1) for _ in range(count)]).tobytes())
    times = array("q", [BEGAN + at * SECOND + _NOISE.randrange(10**6) for at in range(count)])
    packed = chunk.encode(Points(bytes([slot.KIND_FLOAT]) * count, words, range(count), times, range(count)))
    begun = time.process_time()
    for _ in range(runs * points // count // 10):
        values = chunk.decode(packed, values_only=True).floats()
        [(min(values[at : at + size]), max(values[at : at + size])) for at in range(0, count, size)]
    return 10_000 * (time.process_time() - begun)
