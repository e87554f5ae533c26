"""A run with a log, as the server leaves it to packers; and all of its points, wherever they are."""

from __future__ import annotations

import struct
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg

import postgresql
from steplog.errors import FormatError
from steplog.journal import slot
from steplog.journal.range import Range, encode
from steplog.records.by_name import points_by_name, stored_part
from steplog.records.numbering import assign
from steplog.records.points import Points
from steplog.server.postgresql import schema
from steplog.server.postgresql.connection import PostgresqlConnection, adapt
from steplog.server.records.block import read_directory
from steplog.server.records.chunk import Chunk, decode
from steplog.server.records.log_row import decode_row
from steplog.server.sql import catalog, users
from steplog.server.sql.chunk_ids import chunk_range
from steplog.server.sql.reading import RunReader, snapshot_of
from steplog.server.sqlite.schema import connect, prepare

ENGINES = ("sqlite", "postgresql")

_LOG = "INSERT INTO log (run, first_arrival, records, bytes, names, body) VALUES (?, ?, ?, ?, ?, ?)"
_CHUNK = ", ".join(Chunk.__struct_fields__[:-1])


class Point(NamedTuple):
    """A stored point; a value's bits, or its text."""

    arrival: int
    kind: int
    value: bytes
    step: int
    time_ns: int


class LoggedRun:
    """A run of a database of its own: a file, or a database of PostgreSQL, by its URL."""

    def __init__(self, place: Path | str) -> None:
        self.place = place
        if isinstance(place, Path):
            prepare(place).release()
        else:
            with psycopg.connect(place, autocommit=True) as connection:
                schema.prepare(connection)
        self.connection = self.connect()
        namespace = catalog.put_namespace(self.connection, "team")
        self.project = catalog.add_project(self.connection, namespace, "mnist", "mnist", "TEAM").id
        users.add(self.connection, "team")
        self.id = self.add_run("run")

    @classmethod
    def existing(cls, database: Path) -> LoggedRun:
        """That of a file that is there."""
        found = cls.__new__(cls)
        found.place, found.connection, found.id = database, connect(database, existing=True), 1
        return found

    @classmethod
    @contextmanager
    def of_engine(cls, engine: str, directory: Path) -> Iterator[LoggedRun]:
        """One of an engine, in an empty directory if it takes one; its connection is closed after the block."""
        with postgresql.lending():
            made = cls(postgresql.new_store() if engine == "postgresql" else directory / "server.db")
            with closing(made.connection):
                yield made

    @property
    def database(self) -> Path:
        """The file."""
        assert isinstance(self.place, Path)
        return self.place

    def connect(self) -> Any:
        """Another connection to the database."""
        if isinstance(self.place, Path):
            return connect(self.place)
        connection = psycopg.connect(self.place, autocommit=True)
        adapt(connection)
        return _Closing(connection)

    def add_run(self, name: str) -> int:
        """Another run; its number."""
        self.connection.execute(
            'INSERT INTO runs (uuid, project, "user", date_created, date_updated, status, name)'
            " VALUES (?, ?, (SELECT min(id) FROM users), '', '', 'RUNNING', ?)",
            (name, self.project, name),
        )
        (made,) = self.connection.execute("SELECT id FROM runs WHERE uuid = ?", (name,)).fetchone()
        self.connection.execute("INSERT INTO progress (run, seen) VALUES (?, '')", (made,))
        return int(made)

    def append(self, *batches: Range, body: bytes | None = None, logged: int = 0) -> None:
        """Store batches as they came, or as ``body`` says."""
        for batch in batches:
            stored = stored_part(batch)
            records, size_bytes = len(stored.slots) // slot.SLOT_BYTES, len(batch.slots) + len(batch.payloads)
            (arrivals,) = self.connection.execute("SELECT arrivals FROM progress WHERE run = ?", (self.id,)).fetchone()
            row = self.id, arrivals, records, size_bytes, len(batch.names), encode(batch) if body is None else body
            self.connection.begin(writes=True, isolated=False)
            if records:  # as the server does
                self.connection.execute(_LOG, row)
            self.connection.execute(
                "UPDATE progress SET arrivals = ?, log_bytes = log_bytes + ?, logged = ? WHERE run = ?",
                (arrivals + records, size_bytes, logged, self.id),
            )
            self.connection.execute("COMMIT")

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def progress(self, column: str) -> Any:
        """What the run's progress says."""
        return self.connection.execute(f"SELECT {column} FROM progress WHERE run = ?", (self.id,)).fetchone()[0]

    def points(self) -> dict[str, list[Point]]:
        """The points of each name in order: of chunks, then of blocks, then of the log."""
        self.connection.begin(writes=False)
        (packed,) = self.connection.execute("SELECT packed FROM progress WHERE run = ?", (self.id,)).fetchone()
        found: dict[str, list[Point]] = {}
        next_steps: defaultdict[str, int] = defaultdict(int)
        directories = [
            (read_directory(directory), data)
            for directory, data in self.connection.execute(
                "SELECT directory, data FROM blocks WHERE run = ? ORDER BY first_arrival", (self.id,)
            )
        ]
        query = "SELECT id, name, next_step, chunked, pending, count FROM series WHERE run = ? ORDER BY id"
        for series_id, name, next_step, chunked, pending, count in self.connection.execute(query, (self.id,)):
            rows = self.connection.execute(
                f"SELECT {_CHUNK}, data FROM chunks JOIN points USING ([run, ]id)"
                " WHERE [run = :run AND] id >= :low AND id < :high ORDER BY id",
                chunk_range(self.id, series_id),
            )
            found[name] = [point for row in rows for point in points_of(decode(Chunk(*row)))]
            assert all(point.arrival < chunked for point in found[name])
            in_chunks = len(found[name])
            for directory, data in directories:
                place = directory.find(series_id)
                if place is not None and directory.first_arrivals[place[0]] >= chunked:
                    found[name] += points_of(next(directory.points(data, [place[0]]))[1])
            assert len(found[name]) - in_chunks == pending
            assert len(found[name]) == count
            next_steps[name] = next_step
        query = "SELECT first_arrival, body FROM log WHERE run = ? ORDER BY first_arrival"
        for first_arrival, body in self.connection.execute(query, (self.id,)):
            assert first_arrival >= packed
            try:
                records = decode_row(body)
            except FormatError:  # will be sealed
                continue
            for name, points in points_by_name(records, first_arrival).items():
                steps, next_steps[name] = assign(points.steps, next_steps[name])
                found.setdefault(name, []).extend(
                    point._replace(step=step) for point, step in zip(points_of(points), steps, strict=True)
                )
        self.connection.execute("COMMIT")
        return found


class _Closing(PostgresqlConnection):
    """One that can be closed."""

    def close(self) -> None:
        self._connection.close()


def read_points(run: LoggedRun) -> dict[str, list[Point]]:
    """The points of each name, as the server's reads find them."""
    with snapshot_of(run.connection):
        return {
            each.name: [
                point for part in (*map(each.read, each.chunks), each.pending, each.tail) for point in points_of(part)
            ]
            for each in RunReader(run.connection, run.id).all_series()
        }


def points_of(points: Points) -> list[Point]:
    """Points, one by one."""
    values = [
        bytes(value) if isinstance(value, msgspec.Raw) else array("q", [word]).tobytes()
        for value, word in zip(points.values(), points.words, strict=True)
    ]
    return list(map(Point, points.arrivals, points.kinds, values, points.steps, points.times))


def expected(batches: Sequence[Range]) -> dict[str, list[Point]]:
    """What must come out of these batches, worked out slot by slot."""
    found: dict[str, list[Point]] = {}
    next_steps: defaultdict[str, int] = defaultdict(int)
    arrival = 0
    for batch in batches:
        at = 0
        for step, value, time_ns, number, _, kind in struct.iter_unpack("<q8sqIHH", batch.slots):
            if kind == slot.KIND_JSON:
                length = struct.unpack("<II", value)[1]
                value, at = batch.payloads[at : at + length], at + length
            name = batch.names.get(number, "")
            if kind == slot.KIND_NONE or name == "steplog/run":
                continue
            step = next_steps[name] if step == slot.NO_STEP else step
            next_steps[name] = max(next_steps[name], min(step + 1, slot.STEP_MAX))
            found.setdefault(name, []).append(Point(arrival, kind, value, step, time_ns))
            arrival += 1
    return found
