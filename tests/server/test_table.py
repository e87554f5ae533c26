"""Tables of runs: what the database answers is what the filter language means, in order, page by page."""

from __future__ import annotations

import json
import math
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.batches import range_of
from server.store.engines import ENGINES
from server.stores import add, new_project, new_run
from steplog.filters import (
    MISSING,
    Condition,
    Field,
    filter_of,
    matches,
    parse_field,
    parse_fields,
    parse_filter,
    value_of,
)
from steplog.records.run_fields import changes_of
from steplog.server.postgresql.store import PostgresqlStore
from steplog.server.records.totals import Totals
from steplog.server.run_document import run_document
from steplog.server.sql import table_query
from steplog.server.sql.connection import Connection
from steplog.server.sql.packing import pack_run
from steplog.server.sql.store import SqlStore
from steplog.server.sql.table import put_lasts
from steplog.server.sqlite.connection import SqliteConnection
from steplog.server.sqlite.filling import fill
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import ColumnNames, Creation, RunRow, TablePage, TableQuery

NOW = datetime(2026, 11, 3, tzinfo=timezone.utc)
NOW_TEXT = "2026-11-03T00:00:00.000000Z"
LASTS = [0.5, -1, 7, 7.0, math.inf, '"NaN"', '"a text"', '"b"', "true", "null", '{"a": 1}', 2**53, -0.0, '"5"', 1e300]
CONFIGS: list[dict[str, Any]] = [
    {},
    {"lr": 0.1, "optim": {"name": "adam"}, "a.b": 1},
    {"lr": "0.1", "optim": {"name": "sgd", "lr": 7}, "amp": True},
    {"lr": None, "amp": False, "layers": [1, 2], "a.b": {"c d": "x"}},
    {"lr": 7, "optim": {}, "amp": 1, "note": "salt and pepper"},
    {"lr": -3, "amp": None, "optim": "adam"},
]
FIELDS = [
    *("name", "status", "id", "group", "description", "notes"),
    *("job_type", "user", "started", "ended", "duration", "seen", "last_point", "lost", "generation"),
    *(
        "config.lr",
        "config.optim.name",
        'config."a.b"',
        'config."a.b"."c d"',
        "config.amp",
        "config.layers",
        "config.note",
    ),
    *("loss.last", "loss.min", "loss.max", "loss.count", "other.last", "none.last", '"p(a<b)".last'),
]
VALUES = [0.5, 7, -1, 5, "5", "a text", "adam", True, False, None, "NaN", "Infinity", "x", "", 2**53, 1e300, 0, 3]
TEXTS = ["run-3", "run", "RUNNING", "CRASHED", "id-2", "a", "b", "ann", ""]
DATES = ["2026-11-01", "2026-11-01T00:00:05Z", "2026-10-31T23:59:59.5Z"]


def _forget_end(connection: Connection, run: int) -> None:
    connection.execute("UPDATE runs SET ended = NULL WHERE id = ?", (run,))


def _fill_series(connection: Connection, run_id: int, rows: list[tuple[str, Totals]]) -> None:
    """As an older version has left them."""
    for name, row in rows:
        connection.execute(
            "INSERT INTO series (run, name, count, next_step, first_step, last_step, low, high, last, pending)"
            " VALUES (?, ?, ?, 0, 0, 0, ?, ?, ?, 1)",
            (run_id, name, row.count, row.low, row.high, row.last),
        )


def _metrics(number: int) -> list[tuple[str, Totals]]:
    """Of each run others, and of some none."""
    rows = []
    for name, first in (("loss", 0), ("other", 4), ("p(a<b)", 9)):
        if (number + first) % 5:
            last = LASTS[(number * 3 + first) % len(LASTS)]
            low, high = (last, last) if isinstance(last, (int, float)) else (None, None)
            rows.append((name, Totals(number % 4 + 1, last=last, low=low, high=high)))
    return rows


class Filled:
    """A store with runs of all kinds in one project, and what the API says of them."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.project = new_project(store, "mnist")
        other = new_run(store, new_project(store, "other"))
        _write(store, put_lasts, other.id, _metrics(1))
        self.documents: list[tuple[dict[str, Any], dict[str, dict[str, Any]]]] = []
        for number in range(36):
            self._add(number)

    def _add(self, number: int) -> None:
        key = f"id:id-{number}" if number % 3 else f"random-{number}"
        run = new_run(self.store, self.project, Creation(name=f"run-{number}", key=key))
        fields = {
            "tags": json.dumps([["a"], ["a", "b"], ["debug-a"]][number % 3]) if number % 4 else None,
            "group": [None, "a", "b"][number % 3],
            "started": None if number % 5 == 0 else f"2026-11-01T00:00:0{number % 10}.250000Z",
        }
        fields |= {
            "description": [None, "a", "b" * 300, "b" * 256][number % 4],
            "notes": ["x" * 300 + "a", None][number % 2],
        }
        lost = None if number % 8 == 1 else number % 8
        report = {"dropped": {"memory full": number % 3, "oldest": 1}, "abandoned": 0, "lost": lost, "rejected": 2}
        fields["report"] = json.dumps(report) if number % 4 else None
        status = ["RUNNING", "COMPLETED", "CRASHED"][number % 3]
        if status != "RUNNING":
            fields["ended"] = f"2026-11-01T00:01:{number % 60:02}.500000Z"
        self.store.edit_run(run, fields, status, 1).result()
        if number % 7 == 6:
            _write(self.store, _forget_end, run.id)
        text = json.dumps(CONFIGS[number % len(CONFIGS)]).encode()
        self.store.add_metric(run, None, changes=changes_of([("steplog/config", 1, 0, text)])).result()
        rows = _metrics(number)
        _write(self.store, put_lasts, run.id, rows)
        if number == 11:
            self.store.discard_run(self.project, run.uuid).result()
            return
        found = self.store.run("team", "mnist", run.uuid)
        assert found is not None
        document = run_document(found, self.store.configs([found])[found.id])
        metrics = {name: {"last": row.last, "min": row.low, "max": row.high, "count": row.count} for name, row in rows}
        decoded = {
            name: each | {"last": json.loads(each["last"]) if isinstance(each["last"], str) else each["last"]}
            for name, each in metrics.items()
        }
        self.documents.append((json.loads(msgspec.json.encode(document)), decoded))

    def expected(self, conditions: tuple[Condition, ...], sort: Field | None, descending: bool) -> list[str]:
        """The uuids, by the filter language in Python."""
        found = [(run, m) for run, m in self.documents if matches(conditions, run, m, NOW)][::-1]
        if sort is not None:
            values = [_shown(value_of(sort, run, m, NOW), sort) for run, m in found]
            kinds = [_kind(value, sort) for value in values]
            order: list[int] = []
            for kind in (0, 1, 2):
                of_kind = [index for index in range(len(found)) if kinds[index] == kind]
                of_kind.sort(key=lambda index: _sort_key(values[index]), reverse=descending)
                if descending:  # the newest first among equals, as before
                    of_kind.sort(key=lambda index: _Reversed(_sort_key(values[index])))
                order += of_kind
            order += [index for index in range(len(found)) if kinds[index] == 3]
            found = [found[index] for index in order]
        return [run["uuid"] for run, _ in found]

    def page(self, where: Any = (), sort: Field | None = None, descending: bool = False, **more: Any) -> TablePage:
        query = TableQuery(where, more.pop("columns", ()), more.pop("limit", 100), NOW_TEXT, sort, descending, **more)
        return self.store.table(self.project, query)

    def all_pages(self, limit: int, *arguments: Any) -> list[str]:
        found: list[str] = []
        after = None
        while True:
            page = self.page(*arguments, limit=limit, after=after)
            found += [row.uuid for row in page.rows]
            after = page.end
            if after is None:
                return found
            assert len(page.rows) == limit


def _shown(value: Any, field: Field) -> Any:
    """Of long fields of runs a table has the beginning."""
    return value[:256] if field.kind == "run" and isinstance(value, str) else value


class _Reversed:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.value < self.value)


def _is_above_entries(value: Any, field: Field) -> bool:
    """A part of a config that has entries, which have columns: it has none of its own."""
    return field.kind == "config" and isinstance(value, dict) and bool(value)


def _kind(value: Any, field: Field) -> int:
    if value is MISSING or (value is None and field.kind == "run") or _is_above_entries(value, field):
        return 3
    if isinstance(value, float) and math.isnan(value):
        return 2
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0
    return 1 if isinstance(value, str) else 2


def _sort_key(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"))
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def _write(store: SqlStore, write: Callable[..., Any], *arguments: Any) -> Any:
    """Run some statements in a transaction."""
    return store._database.write(write, *arguments).result()


def _pack(store: SqlStore, run: RunRow) -> None:
    """Pack some of a run, as a packer does."""
    assert isinstance(store, (SqliteStore, PostgresqlStore))
    with store.database.borrow() as connection:
        pack_run(connection, run.id)


@contextmanager
def _opened(engine: str, directory: Path) -> Iterator[SqlStore]:
    store = ENGINES[engine](directory)()
    assert isinstance(store, SqlStore)
    yield store
    store.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with _opened(request.param, tmp_path_factory.mktemp("table")) as store:
        yield Filled(store)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    with _opened(request.param, tmp_path) as opened:
        yield opened


def _conditions() -> st.SearchStrategy[tuple[Condition, ...]]:
    operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    triples = st.one_of(
        st.tuples(st.sampled_from(FIELDS[15:]), operators, st.sampled_from(VALUES)),
        st.tuples(st.sampled_from(FIELDS[15:]), st.just("~"), st.sampled_from(["a", "", "NaN", "5"])),
        st.tuples(st.sampled_from(FIELDS[:8]), operators | st.just("~"), st.sampled_from(TEXTS)),
        st.tuples(st.sampled_from(["group", "ended", "duration", "id", "lost", "notes"]), operators, st.none()),
        st.tuples(st.sampled_from(["lost", "generation"]), operators, st.sampled_from([0, 1, 5, 2.5, 7])),
        st.tuples(st.just("lost"), operators | st.just("~"), st.just("Infinity")),
        st.tuples(st.sampled_from(["started", "ended", "seen", "last_point"]), operators, st.sampled_from(DATES)),
        st.tuples(st.just("duration"), operators, st.sampled_from([60.25, 61, 172_795.75, 0])),
        st.tuples(
            st.just("words"), st.just("~"), st.sampled_from(["RUN-3", "Debug", "ann", "", "a\na", "b\n", "id-2\n"])
        ),
        st.tuples(st.just("tag"), st.sampled_from(["=", "!=", "~"]), st.sampled_from(["a", "b", "debug", "c"])),
    )
    return st.lists(triples.map(list), max_size=3).map(filter_of)


SORTS = st.none() | st.sampled_from([parse_field(name) for name in FIELDS])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(conditions=_conditions(), sort=SORTS, descending=st.booleans(), limit=st.integers(1, 40))
def test_the_database_answers_what_the_language_means(filled, conditions, sort, descending, limit):
    expected = filled.expected(conditions, sort, descending)
    assert filled.all_pages(limit, conditions, sort, descending) == expected
    assert filled.page(conditions, limit=1, counted=True).count == len(expected)


def test_a_duration_without_an_end_is_null_in_both(filled):
    conditions = parse_filter("duration=null")
    expected = filled.expected(conditions, None, False)
    assert expected
    assert filled.all_pages(40, conditions, None, False) == expected


def test_a_number_has_no_text_in_it(filled):
    for text in ('lost ~ "Infinity"', 'lost = "Infinity"'):
        conditions = parse_filter(text)
        assert filled.all_pages(40, conditions, None, False) == filled.expected(conditions, None, False)


TEXTS = ["a\0b", "\\u0000", "\\", "\\\0", "\0\0", "ß", "SS", "\U0010ffff", '"', "a\nb", "\ue000", "\U00010000"]


def test_fields_with_any_text_are_found_by_it_alone(filled):
    """By their tags, too, which are JSON."""
    project = new_project(filled.store, "texts")
    runs = {}
    for text in TEXTS:
        runs[text] = run = new_run(filled.store, project)
        report = {"dropped": {text: 2, f"{text}\0": 1}, "abandoned": 0, "lost": 0, "rejected": 0}
        tags, told = (msgspec.json.encode(value).decode() for value in ([text], report))
        fields = {"tags": tags, "notes": text, "report": told}
        filled.store.edit_run(run, fields).result()

    def found(*condition: object) -> list[str]:
        query = TableQuery(filter_of([list(condition)]), (), 100, NOW_TEXT)
        return [row.uuid for row in filled.store.table(project, query).rows]

    for text, run in runs.items():
        assert found("tag", "=", text) == found("notes", "=", text) == [run.uuid]
        containing = [each.uuid for other, each in runs.items() if text in other][::-1]
        assert found("tag", "~", text) == found("notes", "~", text) == containing
        folded = [each.uuid for other, each in runs.items() if text.casefold() in f"{other}\n{other}".casefold()]
        assert set(found("words", "~", text)) == set(folded)
    assert len(found("lost", "=", 3)) == len(TEXTS)


@pytest.mark.parametrize("order", ["-started", "started", "-name", "name"])
def test_a_page_in_order_of_starts_or_names_reads_no_more_of_more_runs(tmp_path, order):
    """The first page, and the one after it."""
    store = SqliteStore(tmp_path / "a.db")
    project = new_project(store)
    sort, descending = parse_field(order.lstrip("-")), order.startswith("-")
    steps = []
    for number in range(400):
        new_run(store, project, Creation(name=f"run-{number:03}"))
        if number in (19, 399):
            first = TableQuery((), (), 5, NOW_TEXT, sort, descending)
            after = store.table(project, first).end
            pages = [first, msgspec.structs.replace(first, after=after)]
            steps.append([store.database.read(_counted_steps, project.id, each) for each in pages])
    store.close()
    assert all(of_400 <= of_20 + 1 for of_20, of_400 in zip(*steps, strict=True)), steps  # a unit may begin before


def _counted_steps(connection: SqliteConnection, project_id: int, query: TableQuery) -> int:
    """Of SQLite's virtual machine that a page takes, in units of 50."""
    counted: list[int] = []
    connection.set_progress_handler(lambda: counted.append(1), 50)  # type: ignore[arg-type,return-value]
    table_query.page(connection, project_id, query)
    connection.set_progress_handler(None, 0)
    return len(counted)


def test_rows_have_what_the_api_says_of_each_run(filled):
    columns = parse_fields(",".join(["tag", *FIELDS]))
    rows = {row.uuid: row for row in filled.page(columns=columns).rows}
    assert len(rows) == len(filled.documents)
    assert any(run["config"] for run, _ in filled.documents)
    for run, metrics in filled.documents:
        cells = rows[run["uuid"]].cells
        for column in columns:
            value = _shown(value_of(column, run, metrics, NOW), column)
            if isinstance(value, float) and not math.isfinite(value):
                value = "NaN" if math.isnan(value) else "Infinity"
            shown = cells.get(column, MISSING)
            shown = json.loads(bytes(shown)) if isinstance(shown, msgspec.Raw) else shown
            if not _is_above_entries(value, column):
                assert (shown, type(shown)) == (value, type(value)), column


def test_an_older_database_answers_the_same_while_it_is_filled_in(tmp_path):
    filled = Filled(SqliteStore(tmp_path / "a.db"))
    for run, number in [(1, 1), *enumerate(range(36), 2)]:
        _write(filled.store, _fill_series, run, _metrics(number))
    copy = sqlite3.connect(tmp_path / "b.db")
    filled.store.database.read(lambda connection: connection.backup(copy))
    with copy:
        for table in ("lasts", "configs"):
            copy.execute(f"DELETE FROM {table}")
        copy.execute("UPDATE runs SET slug = NULL")
        copy.execute("INSERT INTO filling SELECT min(id), max(id) + 1, '', NULL FROM runs")
    copy.close()
    store = SqliteStore(tmp_path / "b.db")
    filled_before, filled.store = filled.store, store
    try:
        queries = [
            (parse_filter("loss.last>0 and config.optim.name!=sgd"), parse_field("loss.last"), True),
            (parse_filter('config."a.b"=1'), parse_field("loss.min"), False),
            ((), parse_field("config.lr"), True),
        ]
        columns = parse_fields(",".join(FIELDS))
        names = filled_before.column_names(filled.project, "", 100)
        rows = filled.page(columns=columns).rows
        steps = 0
        while store.database.write(fill, 0.0).result():  # as little as there is at once
            steps += 1
            if steps % 8 == 0:
                for query in queries:
                    assert filled.all_pages(7, *query) == filled.expected(*query)
                assert filled.page(columns=columns).rows == rows
                assert [run.name for run in store.runs_by_slug(filled.project, "run-7")] == ["run-7"]
                assert store.column_names(filled.project, "", 100) == names
        assert steps > 2 * len(filled.documents)
        assert store.database.read(_both) == filled_before.database.read(_both)
        assert store.database.write(fill).result() is False
    finally:
        filled_before.close()
        store.close()


def test_what_is_in_the_log_is_shown_named_and_compared(store):
    project = new_project(store, "live")
    run = new_run(store, project)
    layers = [(f"layer {number}", 1.0, 1) for number in range(300)]
    add(store, run, range_of([("loss", 0.5, 1), ("loss", 0.25, 2), ("note", b'"a"', 1), ("amp", True, 1), *layers]))
    columns = parse_fields("loss.last,loss.min,loss.max,loss.count,note.last,amp.last,no.last")
    (live,) = store.table(project, TableQuery((), columns, 10, NOW_TEXT)).rows
    assert {str(field): cell for field, cell in live.cells.items()} == {
        "loss.last": 0.25,
        "loss.min": 0.25,
        "loss.max": 0.5,
        "loss.count": 2,
        "note.last": "a",
        "amp.last": msgspec.Raw(b"true"),
    }
    where = parse_filter("loss.last<0.3 and loss.count=2 and amp.last=true and no.last!=0")
    assert store.table(project, TableQuery(where, columns, 10, NOW_TEXT, columns[0])).rows == [live]
    assert store.table(project, TableQuery(parse_filter("loss.last>0.3"), (), 10, NOW_TEXT)).rows == []
    assert store.column_names(project, "O", 10) == ColumnNames([], ["loss", "note"], ["numbers", "others"], False)
    assert store.column_names(project, "", 2) == ColumnNames([], ["amp", "layer 0"], ["numbers", "numbers"], True)


def test_kinds_tell_what_a_metric_holds_packed_or_not(store):
    project = new_project(store, "kinds")
    values: dict[str, list[Any]] = {
        "numbers": [0.5, 7, math.nan, math.inf, True],
        "others": [b'"a text"', b"null", b'{"a": 1}', b"[1]", json.dumps("long " * 60).encode()],
    }
    runs = []
    for number in range(6):
        runs.append(run := new_run(store, project))
        some = [(kind, found[number % len(found)]) for kind, found in values.items()]
        add(store, run, range_of([*some, ("both", 1.0 if number % 2 else b'"x"'), (f"only {number}", some[0][1])]))
    for run in [None, *runs]:
        if run is not None:
            _pack(store, run)
        found = store.column_names(project, "", 100)
        kinds = dict(zip(found.metrics, found.kinds, strict=True))
        expected = {"numbers": "numbers", "others": "others", "both": "both"}
        assert kinds == expected | {f"only {number}": "numbers" for number in range(6)}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_a_table_does_not_depend_on_what_is_packed(store, seed):
    source = random.Random(seed)
    project = new_project(store, "packing")
    runs = [new_run(store, project) for _ in range(10)]
    columns = parse_fields("name,loss.last,loss.min,loss.count,note.last")
    values = [0.5, -1, math.nan, math.inf, b'"text"', True, 7, json.dumps("long " * 60).encode()]
    first = dict.fromkeys((run.uuid for run in runs), 0)
    for _ in range(2):
        for run in source.sample(runs, 7):
            names = source.sample(["loss", "note", "other"], source.randint(1, 3))
            records = [(name, source.choice(values)) for name in names for _ in range(source.randint(1, 3))]
            add(store, run, range_of(records, first=first[run.uuid]))
            first[run.uuid] += len(records)
        queries = [
            TableQuery(parse_filter(where), columns, 4, NOW_TEXT, parse_field(sort), descending, counted=True)
            for where in ("", "loss.last>0", "loss.min!=0.5 and note.count>=1", "loss.last~e and note.last!=7")
            for sort in ("loss.last", "note.min", "other.count")
            for descending in (False, True)
        ]
        before = [store.table(project, query) for query in queries]
        left = source.sample(runs, len(runs))
        while left:
            _pack(store, left.pop())
            if len(left) in (0, 5):
                assert [store.table(project, query) for query in queries] == before


@pytest.mark.parametrize("field", ["seen", "last_point"])
def test_runs_are_found_by_when_they_were_last_heard_of(store, field):
    project = new_project(store, f"heard-{field.replace('_', '-')}")
    run = new_run(store, project)
    add(store, run, range_of([("loss", 0.5)]))
    for where, found in ((f"{field}>2001-01-01", [run.uuid]), (f"{field}>2999-01-01", [])):
        query = TableQuery(parse_filter(where), parse_fields("name"), 4, NOW_TEXT, parse_field(field), False)
        assert [row.uuid for row in store.table(project, query).rows] == found


def test_packing_changes_the_version_of_tables_of_metrics_alone(store):
    """Of many runs that go on, a filter knows what is packed: another table once more is."""
    project = new_project(store, "packs")
    run = new_run(store, project)
    add(store, run, range_of([("loss", 0.5)]))
    queries = [TableQuery((), parse_fields(columns), 10, NOW_TEXT) for columns in ("loss.last", "name,config.lr")]
    before = [store.table_version(project, query) for query in queries]
    _pack(store, run)
    after = [store.table_version(project, query) for query in queries]
    assert (before[0] != after[0], before[1]) == (True, after[1])


def test_a_deleted_project_leaves_none_of_its_columns_to_the_next(store):
    project = new_project(store, "old")
    run = new_run(store, project)
    _write(store, put_lasts, run.id, _metrics(1))
    store.delete_project(project).result()
    for slug in ("next", "after it is removed"):
        again = new_project(store, slug)
        assert store.column_names(again, "", 10) == ColumnNames([], [], [], False)
        query = TableQuery((), parse_fields("loss.last"), 10, NOW_TEXT, parse_field("loss.last"))
        assert store.table(again, query).rows == []
        while store.reap().result():
            pass


def _both(connection: Connection) -> list[list[tuple[Any, ...]]]:
    tables = [connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall() for name in ("lasts", "configs")]
    return [*tables, connection.execute("SELECT id, slug FROM runs ORDER BY id").fetchall()]
