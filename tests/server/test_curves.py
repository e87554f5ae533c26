"""Curves of many runs share a grid, and a client that asks for what has changed has what a full answer has."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import pytest

from server.batches import BEGAN_NS, range_of
from server.logged import ENGINES, LoggedRun
from steplog.server.records.curve_query import CurveAnswer, CurveQuery, Signer, digest_of
from steplog.server.sql.curves import curve, curves
from steplog.server.sql.packing import pack_run
from steplog.server.sql.reading import snapshot_of
from steplog.server.sql.summaries import add_missing, find_missing
from steplog.server.store_types import TooManyBucketsError

Row = tuple[Any, ...]


@pytest.fixture(params=ENGINES)
def logged(request, tmp_path) -> Iterator[LoggedRun]:
    with LoggedRun.of_engine(request.param, tmp_path) as run:
        if request.param == "sqlite":
            run.connection.execute("PRAGMA synchronous = OFF")
        yield run


def ask(logged: LoggedRun, query: CurveQuery) -> CurveAnswer:
    return curves(partial(snapshot_of, logged.connection), logged.project, query)


def text_of(value: Any) -> str:
    """A bool is 0 or 1."""
    return repr(int(value) if isinstance(value, bool) else value)


def rows_of(answer: CurveAnswer) -> dict[tuple[str, str], dict[int, Row]]:
    """By run, name and bucket."""
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for number, place, *row in zip(*answer.columns.values(), strict=True):
        run, name = answer.series[number]
        found.setdefault((answer.runs[run], answer.names[name]), {})[place] = tuple(map(text_of, row))
    return found


class Client:
    """Keeps what it was answered, and patches it."""

    def __init__(self, query: CurveQuery) -> None:
        self.query = query
        self.signer = Signer("here", "a secret")
        self.token: str | None = None
        self.rows: dict[tuple[str, str], dict[int, Row]] = {}
        self.resets = 0

    def poll(self, logged: LoggedRun) -> CurveAnswer:
        since = None if self.token is None else self.signer.read("question", self.token)
        answer = ask(logged, msgspec.structs.replace(self.query, since=() if since is None else (since,)))
        # Of a run that is gone the grid may be wider than what is left needs.
        self.token = None if answer.missing else self.signer.token("question", answer.answered)
        if answer.is_reset:
            self.rows = {}
            self.resets += 1
        for number in answer.whole:
            run, name = answer.series[number]
            self.rows.pop((answer.runs[run], answer.names[name]), None)
        for run, name in [*self.rows]:
            if run in answer.missing:
                del self.rows[run, name]
        for series, buckets in rows_of(answer).items():
            self.rows.setdefault(series, {}).update(buckets)
        return answer


class Panel:
    """Asks for some runs and metrics at a time, with the tokens of all that it was answered."""

    def __init__(self, query: CurveQuery) -> None:
        self.query = query
        self.answers: list[CurveAnswer] = []
        self.widths: dict[str, int] = {}
        self.rows: dict[tuple[str, str], dict[int, Row]] = {}

    def poll(self, logged: LoggedRun, runs: Sequence[str], names: Sequence[str]) -> CurveAnswer:
        since = [answer.answered for answer in self.answers]
        answer = ask(logged, msgspec.structs.replace(self.query, runs=runs, names=names, since=since))
        self.answers = [*self.answers[-5:], answer]
        self.widths.update(zip(answer.names, answer.widths, strict=True))
        for number in answer.whole:
            run, name = answer.series[number]
            self.rows.pop((answer.runs[run], answer.names[name]), None)
        for series, buckets in rows_of(answer).items():
            self.rows.setdefault(series, {}).update(buckets)
        return answer


def step_for(kind: str, at: int, source: random.Random) -> int | None:
    """A step of a metric's point number ``at``."""
    late = max(0, at - source.randrange(400))
    return {
        "monotone": at,
        "missing": None,
        "late": source.choice([at, at, at, late]),
        "reset": at % 1500,
        "random": source.randrange(3000),
        "ranks": at // 8,
        "sparse": at * 1000,
    }[kind]


def value_for(source: random.Random) -> Any:
    return source.gauss(0, 1) if source.random() > 0.02 else source.choice([math.nan, math.inf, -math.inf, 7, True])


def poll_at_random(logged: LoggedRun, seed: int, polls: int, x: str) -> tuple[int, int]:
    """Batches, packing, deletion and polls in random order; how many answers were patches, and how many rows came."""
    source = random.Random(seed)
    kinds = [source.choice(["monotone", "missing", "late", "reset", "random", "ranks", "sparse"]) for _ in range(2)]
    runs = [logged.id, logged.add_run(f"run {seed}")]
    ids = [f"{number}" for number in runs]
    logged.connection.executemany("UPDATE runs SET uuid = ?, date_created = ? WHERE id = ?", [
        (uuid, "2023-11-14T22:13:20.000000Z", number) for uuid, number in zip(ids, runs, strict=True)
    ])  # fmt: skip
    low, high = source.choice([(None, None), (None, None), (100, None), (50, 2000)])
    client = Client(CurveQuery(ids, ("a", "b", "c"), x, low, high, source.choice([7, 50, 300])))
    written, patches, sent = [0, 0], 0, 0
    for _ in range(polls):
        for _ in range(source.randrange(3)):
            which = source.randrange(2)
            logged.id = runs[which]
            count = source.choice([1, 5, 60, 400])
            records = []
            for at in range(written[which], written[which] + count):
                records.append(("a", value_for(source), step_for(kinds[which], at, source)))
                if at % 7 == 0:
                    records.append(("b", source.choice([1, 2.5, b'"text"', b"null"])))
            logged.append(range_of(records, began_ns=BEGAN_NS + 10**9 * written[which]))
            written[which] += count
        if source.random() < 0.4:
            pack_run(logged.connection, source.choice(runs))
        if source.random() < 0.05:
            date = source.choice([None, "2023-11-14T22:13:20Z"])
            logged.connection.execute("UPDATE runs SET deleted = ? WHERE id = ?", (date, source.choice(runs)))
        answer = client.poll(logged)
        patches += not answer.is_reset
        sent += len(answer.columns["place"])
        fresh = ask(logged, client.query)
        widths = dict(zip(fresh.names, fresh.widths, strict=True))
        if not answer.missing:
            told = zip(answer.names, answer.widths, strict=True)
            assert all(widths.get(name, width) == width for name, width in told), f"seed {seed}"
            assert {key: rows for key, rows in client.rows.items() if rows} == rows_of(fresh), f"seed {seed}"
    logged.connection.execute("UPDATE runs SET deleted = NULL")
    return patches, sent


@pytest.mark.parametrize("x", ["step", "time", "relative"])
def test_a_client_that_patches_has_what_a_full_answer_has(logged, x):
    assert poll_at_random(logged, 1, 40, x)[0] > 10


@pytest.mark.slow
@pytest.mark.parametrize("x", ["step", "time", "relative"])
def test_clients_that_patch_have_what_full_answers_have(logged, x):
    patches = 0
    for seed in range(2, 42):
        logged.id = logged.add_run(f"first {seed}")
        patches += poll_at_random(logged, seed, 40, x)[0]
    assert patches > 400


def ask_for_some_at_random(logged: LoggedRun, seed: int, polls: int) -> int:
    """Runs that go on, and polls of some of them and of their metrics; how many answers were less than all."""
    source = random.Random(seed)
    runs = [logged.id, *(logged.add_run(f"run {seed} {number}") for number in range(3))]
    uuids = [f"{number}" for number in runs]
    logged.connection.executemany("UPDATE runs SET uuid = ? WHERE id = ?", zip(uuids, runs, strict=True))
    panel = Panel(CurveQuery((), (), "step", *source.choice([(None, None), (30, 700)]), source.choice([7, 50])))
    written, fewer = [0] * len(runs), 0
    for _ in range(polls):
        which = source.randrange(len(runs))
        logged.id = runs[which]
        steps = range(written[which], written[which] + source.choice([1, 30, 300]))
        records = [(name, value_for(source), step // ("abc".index(name) + 1)) for step in steps for name in "abc"]
        logged.append(range_of(records, began_ns=BEGAN_NS + written[which]))
        written[which] = steps.stop
        if source.random() < 0.3:
            pack_run(logged.connection, source.choice(runs))
        some = source.sample(uuids, source.randint(1, len(uuids)))
        names = source.sample("abc", source.randint(1, 3))
        answer = panel.poll(logged, some, names)
        fewer += 0 < len(answer.columns["place"]) < sum(len(panel.rows.get((u, n), ())) for u in some for n in names)
        grids = {digest_of(name): grid for name, grid in zip(names, answer.answered.names, strict=True)}
        for name in names:
            grid = grids[digest_of(name)]
            assert 1 << grid.shift == panel.widths.get(name, 1), f"seed {seed}"
            since = (msgspec.structs.replace(answer.answered, names=[grid], runs={}),)  # the grid, and no curves
            fresh = ask(logged, msgspec.structs.replace(panel.query, runs=some, names=(name,), since=since))
            held = {key: rows for key, rows in panel.rows.items() if key[0] in some and key[1] == name and rows}
            assert held == rows_of(fresh), f"seed {seed}"
    return fewer


def test_a_client_that_asks_for_some_curves_has_what_a_full_answer_has(logged):
    assert ask_for_some_at_random(logged, 1, 30) > 5


@pytest.mark.slow
def test_clients_that_ask_for_some_curves_have_what_full_answers_have(logged):
    fewer = 0
    for seed in range(2, 62):
        logged.id = logged.add_run(f"first {seed}")
        fewer += ask_for_some_at_random(logged, seed, 40)
    assert fewer > 400


def test_each_metric_has_a_grid_of_its_own(logged):
    logged.append(range_of([("loss", 0.5, step) for step in range(0, 1_000_000, 1000)]))
    logged.append(range_of([("accuracy", 0.5, epoch) for epoch in range(100)], 1000))
    answer = ask(logged, CurveQuery(("run",), ("loss", "accuracy", "none"), buckets=100))
    assert (answer.names, answer.widths) == (["loss", "accuracy"], [16384, 1])
    assert [len(rows) for rows in rows_of(answer).values()] == [61, 100]


def test_what_a_token_does_not_cover_is_answered_whole_on_the_same_grid(logged):
    logged.append(range_of([("loss", 0.5, step) for step in range(1000)]))
    first = ask(logged, CurveQuery(("run",), ("loss",), buckets=100))
    logged.id = logged.add_run("other")
    logged.append(range_of([("loss", 0.5, step) for step in range(10)]))
    both = CurveQuery(("run", "other"), ("loss",), buckets=100, since=(first.answered,))
    answer = ask(logged, both)
    assert (answer.runs, answer.widths, answer.whole, answer.columns["place"]) == (["other"], [16], [0], [0])
    alone = ask(logged, CurveQuery(("other",), ("loss",), buckets=100, since=(answer.answered,)))
    assert (alone.series, alone.answered.names) == ([], answer.answered.names)
    logged.append(range_of([("loss", 0.5, 5000)], 10))
    wider = ask(logged, msgspec.structs.replace(both, since=(first.answered, alone.answered)))
    assert (wider.is_reset, wider.runs, wider.widths, len(wider.whole)) == (False, ["run", "other"], [64], 2)


def test_nothing_is_answered_of_runs_in_which_nothing_has_arrived(logged):
    logged.append(range_of([("loss", 0.5, step) for step in range(100)]))
    client = Client(CurveQuery(("run",), ("loss",)))
    assert len(client.poll(logged).columns["place"]) == 100
    answer = client.poll(logged)
    assert (answer.is_reset, answer.series, answer.columns["place"]) == (False, [], [])
    logged.append(range_of([("loss", 0.25, 50), ("loss", 0.5, 100)], 100))
    answer = client.poll(logged)
    assert answer.columns["place"] == [50, 100]
    assert answer.columns["count"] == [2, 1]
    assert client.resets == 1


def test_runs_share_a_grid_and_what_is_not_there_is_said(logged):
    logged.append(range_of([("loss", 0.5, step) for step in range(1000)] + [("acc", 1, 5)]))
    logged.id = logged.add_run("other")
    logged.append(range_of([("loss", 0.5, step) for step in range(3000, 3100)]))
    answer = ask(logged, CurveQuery(("run", "gone", "other", "run"), ("loss", "acc"), buckets=100))
    assert (answer.widths, answer.missing) == ([32, 1], ["gone"])
    assert [(answer.runs[run], answer.names[name]) for run, name in answer.series] == [
        ("run", "loss"),
        ("run", "acc"),
        ("other", "loss"),
    ]
    assert sum(answer.columns["count"]) == 1101
    narrow = ask(logged, CurveQuery(("run", "other"), ("loss",), low=10, high=40, buckets=4))
    assert (narrow.widths, narrow.columns["place"]) == ([16], [0, 1, 2])
    assert sum(narrow.columns["count"]) == 48, "whole buckets, from the one with 10 to the one with 40"
    assert ask(logged, CurveQuery(("run",), ("loss",), low=5000)).columns["place"] == []


def test_many_series_are_read_from_several_snapshots(logged):
    names = [f"m{number}" for number in range(200)]
    uuids = ["run", *(f"run {number}" for number in range(30))]
    for uuid in uuids[1:]:
        logged.id = logged.add_run(uuid)
        logged.append(range_of([(name, 0.5, 3) for name in names]))
    answer = ask(logged, CurveQuery(uuids, names, buckets=10))
    assert len(answer.series) == 30 * 200
    again = ask(logged, CurveQuery(uuids, names, buckets=10, since=(answer.answered,)))
    assert (again.is_reset, again.series) == (False, [])
    with pytest.raises(TooManyBucketsError, match="at most 83 buckets"):
        ask(logged, CurveQuery(uuids, names, buckets=100))


def test_a_token_counts_only_for_the_question_and_the_server_it_was_made_for(logged):
    logged.append(range_of([("loss", 0.5, 1)]))
    answered = ask(logged, CurveQuery(("run",), ("loss",))).answered
    token = Signer("here", "secret").token(["a"], answered)
    assert Signer("here", "secret").read(["a"], token) == answered
    assert Signer("here", "secret").read(["b"], token) is None
    assert Signer("there", "secret").read(["a"], token) is None
    assert Signer("here", "other").read(["a"], token) is None
    for wrong in ("", "é", "AAAA", token[:-4], token[4:], token[:30] + "AAAA" + token[34:]):
        assert Signer("here", "secret").read(["a"], wrong) is None


@pytest.mark.parametrize("packs", [0, 1])
def test_a_metric_that_fits_is_drawn_point_by_point_and_else_on_a_grid(logged, packs):
    values: list[Any] = [0.5, math.nan, math.inf, 7, True, b'"text"', 2**60 + 1]
    logged.append(range_of([("m", value, step) for step, value in enumerate(values * 300)]))
    for _ in range(packs):
        pack_run(logged.connection, logged.id)
    few = curve(logged.connection, logged.id, "m", 7, 0, 6)
    assert few is not None
    shown = [(b.step, b.low, b.high, b.count) for b in few]
    assert shown == [(0, 0.5, 0.5, 1), (1, None, None, 1), (2, math.inf, math.inf, 1), (3, 7, 7, 1), (4, 1, 1, 1),
                     (5, None, None, 1), (6, 2**60 + 1, 2**60 + 1, 1)]  # fmt: skip
    assert [bytes(b.last) if isinstance(b.last, msgspec.Raw) else b.last for b in few][3:] == [*values[3:]]
    many = curve(logged.connection, logged.id, "m", 100, None, None)
    assert many is not None
    assert 50 < len(many) <= 100
    assert sum(bucket.count for bucket in many) == len(values) * 300
    assert {bucket.high for bucket in many[:-1]} == {math.inf}
    assert curve(logged.connection, logged.id, "none", 100, None, None) is None


def steps(buckets: Sequence[Any]) -> list[int]:
    return [bucket.step for bucket in buckets]


def test_what_goes_back_is_drawn_where_it_was_logged(logged):
    source = random.Random(1)
    shuffled = list(range(500))
    source.shuffle(shuffled)
    logged.append(range_of([("sine", math.sin(step / 50), step) for step in shuffled]))
    logged.append(range_of([("saw", float(step), step) for _ in range(30) for step in range(100)], 500))
    for _ in range(2):
        few = curve(logged.connection, logged.id, "sine", 1000, None, None)
        assert few is not None
        assert steps(few) == shuffled
        sine = curve(logged.connection, logged.id, "sine", 250, None, None)
        assert sine is not None
        assert steps(sine) == sorted(steps(sine))
        assert all(b.high - b.low <= 0.03 and abs(b.last - math.sin(b.step / 50)) < 1e-9 for b in sine)
        saw = curve(logged.connection, logged.id, "saw", 200, None, None)
        assert saw is not None
        assert [(b.step, b.low, b.high, b.count) for b in saw] == [(s, s, s, 30) for s in range(100)]
        pack_run(logged.connection, logged.id)


@pytest.mark.parametrize("x", ["step", "time"])
def test_what_an_older_version_has_stored_is_drawn_before_it_is_summarized(logged, x):
    for first in range(0, 40_000, 4000):
        records = [("loss", math.sin(step / 999), step) for step in range(first, first + 4000)]
        logged.append(range_of(records, first, began_ns=BEGAN_NS + first))
        pack_run(logged.connection, logged.id)
    logged.connection.execute("DELETE FROM summaries")
    logged.connection.execute("UPDATE series SET last_time = NULL")
    client = Client(CurveQuery(("run",), ("loss",), x, buckets=100))
    for _ in range(2):
        client.poll(logged)
        buckets = client.rows["run", "loss"]
        assert sum(int(row[3]) for row in buckets.values()) == 40_000
        assert len(buckets) >= 50
        assert max(int(row[6]) for row in buckets.values()) < BEGAN_NS + 10**9, "a time at which nothing was logged"
        while (found := find_missing(logged.connection)) is not None:
            add_missing(logged.connection, found)
    assert client.resets == 2, "what was not summarized may have been drawn otherwise"
    assert {key: rows for key, rows in client.rows.items() if rows} == rows_of(ask(logged, client.query))


def test_what_arrives_while_many_runs_are_read_widens_the_grid_of_the_next_answer(logged):
    uuids = ["run", *(f"run {number}" for number in range(4))]
    for uuid in uuids[1:]:
        logged.id = logged.add_run(uuid)
        logged.append(range_of([("m0", 0.5, step) for step in range(10)]))
    names = [f"m{number}" for number in range(200)]
    looked = []

    @contextmanager
    def snapshot() -> Iterator[Any]:
        looked.append(1)
        if len(looked) == 3:  # the grid is fixed
            logged.append(range_of([("m0", 0.5, 10_000)], 10))
        with snapshot_of(logged.connection) as connection:
            yield connection

    query = CurveQuery(uuids * 4, names, buckets=10)
    answer = curves(snapshot, logged.project, query)
    assert (len(looked), answer.widths) == (4, [1])
    assert answer.answered.names[0].high == 10_000
    after = ask(logged, msgspec.structs.replace(query, since=(answer.answered,)))
    assert (after.is_reset, after.widths, len(after.whole)) == (False, [1024], len(after.series))
