"""Moving a database of SQLite into PostgreSQL while runs go on: ``steplog db move``.

1. While its server runs, all of it is copied, and again and again what has changed. Once it is stopped, what is left is
   copied under the database's lock, what is there is counted, and the old database is marked as moved.
2. A transaction of the new database has a group of runs as they were in one snapshot of the old one, and the *state* of
   each: runs whose state is another now are copied again. So a kill at any point leaves nothing half done, and to begin
   again is to go on.
3. What never changes of a run that has much, its rows of ``BY_KEY``, is copied ahead, ``_SLICE_BYTES`` a transaction:
   no snapshot lasts long, since the old database's log grows with it.
4. Ids stay: of runs, since clients' records may wait with their uuid and key alone; of series, since blocks have them;
   the database's own, by which clients on this machine find their server.
5. First the old database says that it was moved, then the new one may be served: never can both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from steplog.errors import ConfigurationError
from steplog.server.postgresql.moving import Target
from steplog.server.sql.moving import BY_KEY, BY_RUN, CATALOGUE, RunTable
from steplog.server.sqlite.database_lock import DatabaseInUseError
from steplog.server.sqlite.moving import Source
from steplog.server.store_place import shown_place
from steplog.server.store_types import StoreError

__all__ = ["Moved", "move"]

_PAUSE_S = 0.5  # between two looks whether the server is stopped
_REST, _REST_S_MAX = 5, 30.0  # times what a copy of what has changed takes, before the next one
_SHORT_S = 30.0  # a copy after which the server may be stopped, or after two longer ones
_SAY_S = 5.0
_RUNS_A_GROUP = 200
_POINTS_A_GROUP = 500_000
_SLICE_BYTES = 16 << 20
_ROW_BYTES = 100  # beside its data


class Moved(NamedTuple):
    """A database that was moved; ``runs`` are all that it has, also those in the trash."""

    place: str
    runs: int
    points: int


def move(database: Path, url: str, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep) -> Moved:
    """Move all of a database into an empty store; waits until its server is stopped. ``say`` takes lines for a person.

    Raises ConfigurationError, StoreError.
    """
    place = shown_place(url)
    with closing(Source(database)) as source, closing(Target(url)) as target:
        if source.moved_to not in (None, place):
            raise ConfigurationError(f"{database} was moved to {source.moved_to}; nothing was changed")
        if target.moving_from is None and target.instance == source.instance:
            raise ConfigurationError(f"{database} has been moved to {place}. Type: steplog serve --store {place}")
        target.begin(source.instance)
        mover = _Mover(source, target, say)
        try:
            _move(mover, place, sleep)
        except StoreError as error:
            where = f"{database} is as it was, and may be served" if source.moved_to is None else "all of it is copied"
            raise StoreError(f"{error}; {where}. Type the same again, to go on") from error
        return Moved(place, target.count("runs"), target.arrivals())


def _move(mover: _Mover, place: str, sleep: Callable[[float], None]) -> None:
    source = mover.source
    next_at, copies = -math.inf, 0
    while not _moved_alone(mover, place):
        if source.is_unfinished():
            mover.say_once("its server is still adding what an older version did not write; it is copied after that")
        elif time.monotonic() >= next_at:
            took_s = mover.catch_up()
            next_at, copies = time.monotonic() + min(_REST * took_s, _REST_S_MAX), copies + 1
            if took_s < _SHORT_S or copies > 2:
                mover.say_once(
                    f"copied; what is logged from now on is copied again and again. Stop the server of {source.path}:"
                    f" the rest is moved then, in some {max(2, round(2 * took_s))} s. Clients keep what they log until"
                    " the new server answers"
                )
        sleep(_PAUSE_S)
    mover.target.finish(source.sequences())


def _moved_alone(mover: _Mover, place: str) -> bool:
    """Whether no server has the old database, and all of it is moved."""
    try:
        with mover.source.alone():
            mover.catch_up()
            mover.verify()
            mover.source.mark_moved(place)
    except DatabaseInUseError:
        return False
    return True


class _Mover:
    def __init__(self, source: Source, target: Target, say: Callable[[str], None]) -> None:
        self.source = source
        self.target = target
        self._say = say
        self._said: set[str] = set()
        self._known: dict[int, str | None] = {}
        self._say_at = 0.0

    def say_once(self, what: str) -> None:
        """Unless it was said before, but for its figures."""
        words = what.partition(";")[0]
        if words not in self._said:
            self._said.add(words)
            self._say(what)

    def catch_up(self) -> float:
        """Copy all that has changed; how long it took. Raises StoreError."""
        began = time.monotonic()
        source = self.source
        self._known = self.target.states()
        with source.snapshot():
            states, points, projects = source.states(), source.sizes(), source.projects()
            with self.target.transaction():
                self._copy_catalogue()
        gone = [run_id for run_id in self._known if run_id not in states]
        for at in range(0, len(gone), _RUNS_A_GROUP):
            self._remove(gone[at : at + _RUNS_A_GROUP])
        changed = [run_id for run_id, state in states.items() if self._known.get(run_id) != state]
        done = 0
        for group in _groups(changed, points):
            if points.get(group[0], 0) > _POINTS_A_GROUP:
                self._copy_ahead(group[0], projects[group[0]])
            self._copy(group, [(run_id, projects[run_id], states[run_id]) for run_id in group])
            done += len(group)
            self._say_progress(done, len(changed))
        return time.monotonic() - began

    def verify(self) -> None:
        """All that was read is there; in ``Source.alone``. Raises StoreError."""
        source, target = self.source, self.target
        states = source.states()
        found = [(name, source.count(name), target.count(name)) for name in self._catalogue()]
        found.append(("runs with points", sum(points > 0 for points in source.sizes().values()), target.with_points()))
        found.append(("points", sum(source.sizes().values()), target.arrivals()))
        wrong = [f"{name}: {here:,}, of which {there:,} are there" for name, here, there in found if here != there]
        if target.states() != states:
            wrong.append("not every run is as it was")
        if wrong:
            raise StoreError(f"the copy is not complete: {'; '.join(wrong)}")

    def _catalogue(self) -> list[str]:
        there = self.source.tables()
        return [name for name in CATALOGUE if name in there and self.target.columns(name)]

    def _copy_catalogue(self) -> None:
        names = self._catalogue()
        self.target.clear(names)
        for name in names:
            columns = self.target.columns(name)
            self.target.copy(name, columns, self.source.rows(name, columns))
        self.target.put_about(self.source.about())

    def _copy(self, run_ids: Sequence[int], noted: Iterable[tuple[int, int, str]]) -> None:
        """Copy runs as they are now, in one transaction."""
        source, target = self.source, self.target
        known = [run_id for run_id in run_ids if run_id in self._known]
        with source.snapshot(), target.transaction():
            target.remove_runs(known)
            for of in BY_RUN:
                columns = target.columns(of.name)
                count = target.copy(of.name, columns, self._rows(of, run_ids, columns))
                self._check_count(of, run_ids, count)
            project_of = {run_id: project for run_id, project, _ in noted}
            configs = self._rows(_CONFIG, run_ids, ("run", "key", "value"))
            target.put_configs((project_of[run_id], run_id, key, value) for run_id, key, value in configs)
            for of in BY_KEY:
                columns = target.columns(of.name)
                new = [run_id for run_id in run_ids if run_id not in self._known]
                count = target.copy(of.name, columns, self._rows(of, new, columns))
                self._check_count(of, run_ids, count + self._copy_difference(of, known))
            target.note(noted)

    def _copy_difference(self, of: RunTable, run_ids: Sequence[int]) -> int:
        """Copy what is not there of runs of which some is, and remove what is no more; how many there are."""
        if not run_ids:
            return 0
        missing, stale, count = self._differences(of, run_ids)
        self.target.remove_rows(of, stale)
        columns = self.target.columns(of.name)
        self.target.copy(of.name, columns, self._found(of, missing, columns))
        return count

    def _differences(
        self, of: RunTable, run_ids: Sequence[int]
    ) -> tuple[dict[tuple[int, ...], int], list[tuple[int, ...]], int]:
        """The keys, with their runs, of rows that are missing, with their sizes; of stale ones; how many there are."""
        sizes = self.target.sizes(of)
        data = [at for at, size in enumerate(sizes) if size.startswith("length(")]
        width = len(of.key)
        stored = {row[: width + 1]: row[width + 1 :] for row in self.target.sized(of, run_ids)}
        missing: dict[tuple[int, ...], int] = {}
        stale, count = [], 0
        for run_id in run_ids:
            for row in self.source.run_rows(of, run_id, [*of.key, *sizes]):
                count += 1
                key, found = (run_id, *row[:width]), row[width:]
                before = stored.pop(key, None)
                if before == found:
                    continue
                if before is not None:
                    stale.append(key)
                missing[key] = _ROW_BYTES + sum(found[at] for at in data)
        return missing, [*stale, *stored], count

    def _copy_ahead(self, run_id: int, project: int) -> None:
        """Copy most of a large run."""
        source, target = self.source, self.target
        with target.transaction():
            target.note([(run_id, project, None)])
        self._known.setdefault(run_id, None)
        for of in BY_KEY:
            with source.snapshot(), target.transaction():
                missing, stale, _ = self._differences(of, [run_id])
                target.remove_rows(of, stale)
            columns = target.columns(of.name)
            for keys in _slices(missing):
                with source.snapshot(), target.transaction():
                    target.copy(of.name, columns, self._found(of, keys, columns))
                self._say_progress(None, len(missing))

    def _remove(self, run_ids: Sequence[int]) -> None:
        with self.target.transaction():
            self.target.remove_runs(run_ids, (*BY_RUN, *BY_KEY))
            self.target.forget_runs(run_ids)

    def _rows(self, of: RunTable, run_ids: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for run_id in run_ids:
            yield from self.source.run_rows(of, run_id, columns)

    def _found(
        self, of: RunTable, keys: Iterable[tuple[int, ...]], columns: Sequence[str]
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of these keys, of those that are still there."""
        for run_id, *key in keys:
            row = self.source.row(of, run_id, key, columns)
            if row is not None:
                yield row

    def _check_count(self, of: RunTable, run_ids: Sequence[int], count: int) -> None:
        found = self.target.count_of_runs(of.name, run_ids)
        if found != count:
            raise StoreError(f"of {of.name}, {count:,} rows were read and {found:,} are there; nothing of it was kept")

    def _say_progress(self, done: int | None, total: int) -> None:
        now = time.monotonic()
        if now >= self._say_at + _SAY_S:
            self._say_at = now
            self._say("copying the points of a large run" if done is None else f"copied {done:,} of {total:,} runs")


_CONFIG = next(of for of in BY_RUN if of.name == "config")


def _groups(run_ids: Sequence[int], points: dict[int, int]) -> Iterator[list[int]]:
    """Runs that are copied together: one that has many points, or some that have few."""
    group: list[int] = []
    size = 0
    for run_id in run_ids:
        size += points.get(run_id, 0)
        if group and (len(group) == _RUNS_A_GROUP or size > _POINTS_A_GROUP):
            yield group
            group, size = [], points.get(run_id, 0)
        group.append(run_id)
    if group:
        yield group


def _slices(sizes: dict[tuple[int, ...], int]) -> Iterator[list[tuple[int, ...]]]:
    """Keys whose rows have some ``_SLICE_BYTES`` together."""
    keys: list[tuple[int, ...]] = []
    total = 0
    for key, size in sizes.items():
        keys.append(key)
        total += size
        if total >= _SLICE_BYTES:
            yield keys
            keys, total = [], 0
    if keys:
        yield keys
