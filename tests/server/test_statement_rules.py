"""Tables of points, and what is asked of them, keep to rules by which a distributed PostgreSQL could serve them."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import postgresql
from server import statement_log
from server.statement_rules import Statement, problems, problems_of_transaction
from steplog.server.open_store import open_store
from steplog.server.postgresql.schema import POINTS

ROOT = Path(__file__).parents[2]
SQL = statement_log.SOURCES / "server" / "sql"
DEADLINE_S = 3000.0
ONE_ENGINE_ALONE = re.compile(r"\bRETURNING\b|\bOR (?:REPLACE|IGNORE)\b|\blastrowid\b|\bIS \?|\bILIKE\b")


@pytest.fixture(scope="module")
def database() -> Iterator[psycopg.Connection]:
    url = postgresql.new_database()
    open_store(url).close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET plan_cache_mode = force_custom_plan")
        yield connection


def test_the_run_leads_every_key_of_a_table_of_points(database):
    keys = database.execute(
        "SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE c.relname = ANY(%s)",
        (list(POINTS),),
    ).fetchall()
    assert {table for table, _ in keys} == set(POINTS)
    assert {column for _, column in keys} == {"run"}


def test_no_constraint_ties_a_table_of_points_to_another(database):
    ties = database.execute(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'f'"
        " AND (conrelid::regclass::text = ANY(%(points)s) OR confrelid::regclass::text = ANY(%(points)s))",
        {"points": list(POINTS)},
    ).fetchall()
    assert ties == []


def test_no_table_numbers_its_rows_by_an_identity_column(database):
    """A distributed PostgreSQL begins them anew."""
    identities = database.execute(
        "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attidentity <> ''"
        " AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
    ).fetchall()
    assert identities == []


def test_points_are_stored_as_they_are_since_they_are_compressed_already(database):
    columns = database.execute(
        "SELECT attrelid::regclass::text, attname, attstorage::text FROM pg_attribute"
        " WHERE attrelid::regclass::text = ANY(%s) AND atttypid = 'bytea'::regtype AND attnum > 0",
        (list(POINTS),),
    ).fetchall()
    assert ("log", "body", "e") in columns
    assert [each for each in columns if each[2] != "e"] == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("SELECT * FROM log", "reads log without its run: Seq Scan"),
        ("SELECT * FROM points WHERE id = 7", "reads points without its run: "),
        ("SELECT * FROM series WHERE name = 'loss'", "reads series without its run: "),
        ("SELECT 1 FROM runs WHERE EXISTS (SELECT 1 FROM log WHERE run = runs.id)", "asks runs beside log"),
        ("UPDATE progress SET packed = 1 WHERE run = ANY('{1,2}')", "writes progress of more than one run"),
        ("UPDATE progress SET packed = 1 FROM marks WHERE progress.run = marks.run AND mark > 1", "writes progress of"),
        ("DELETE FROM marks WHERE run IN (1, 2)", "writes marks of more than one run"),
        ("DELETE FROM log", "reads log without its run: Seq Scan"),
        ("INSERT INTO marks (run, writer, mark) SELECT run, 'w', 1 FROM progress WHERE run = 1", "fills marks from"),
    ],
)  # fmt: skip
def test_a_statement_that_breaks_a_rule_is_found_by_its_plan(database, statement, problem):
    assert any(found.startswith(problem) for found in problems(planned(database, statement), POINTS))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM runs",
        "SELECT * FROM progress WHERE run = ANY('{1,2}')",
        "SELECT c.id, data FROM chunks c JOIN points USING (run, id) WHERE c.run = 1 AND c.id >= 1 AND c.id < 9",
        "UPDATE progress SET packed = 1 WHERE run = 1",
        "DELETE FROM log WHERE run = 1 AND first_arrival IN (SELECT first_arrival FROM log WHERE run = 1 LIMIT 3)",
        "INSERT INTO marks (run, writer, mark) VALUES (1, 'w', 2)"
        " ON CONFLICT (run, writer) DO UPDATE SET mark = excluded.mark",
    ],
)
def test_a_statement_that_keeps_the_rules_is_left_alone(database, statement):
    assert list(problems(planned(database, statement), POINTS)) == []


LOCK = "SELECT 1 FROM progress WHERE run = {} FOR NO KEY UPDATE"
MARK = "SELECT mark FROM marks WHERE run = 1 AND writer = 'w'"
ADD = "INSERT INTO log (run, first_arrival, records, bytes, names, body) VALUES (1, 0, 1, 1, 1, '')"


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        ([LOCK.format(1), MARK, ADD, LOCK.format(2)], None),
        ([MARK], None),
        ([LOCK.format(2), LOCK.format(1)], "locks run 1 after 2"),
        (["SELECT 1 FROM progress WHERE run = ANY('{2,1}') FOR NO KEY UPDATE"], "locks more than one run at a time"),
        ([MARK, LOCK.format(1), ADD], "reads marks before it has locked the run"),
        ([ADD], "adds to a run that it has not locked"),
    ],
)
def test_a_transaction_locks_in_order_and_reads_marks_after_that(database, statements, problem):
    found = problems_of_transaction([planned(database, statement) for statement in statements])
    assert [text for _, text in found] == [problem] * (problem is not None)


def test_statements_for_both_engines_have_nothing_that_one_alone_takes():
    """SQLite takes RETURNING since 3.35."""
    found = [
        f"{file.name}:{node.lineno}: {match[0]}"
        for file in sorted(SQL.glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for match in ONE_ENGINE_ALONE.finditer(node.value)
    ]
    assert found == []


ALL_PROGRESS = "who has something to pack is asked of all runs at once, and of no other table"
ALLOWED = {  # parts of statements that break a rule, and why; what breaks none goes
    "SELECT run, packed, log_bytes FROM progress WHERE packed < arrivals": ALL_PROGRESS,
    "SELECT CAST(coalesce(sum(log_bytes), 0) AS bigint) FROM progress": ALL_PROGRESS,
    # A distributed one takes no recursion, but a DISTINCT, which reads a row of the index for each of the log.
    "WITH RECURSIVE waiting (run) AS ( (SELECT run FROM log": "the same, of the log, by one search a run",
    "(SELECT seen FROM progress WHERE run = r.id)": "a table by it would carry the numbers of all runs to and fro",
    "(SELECT last_point FROM progress WHERE run = r.id)": "the same",
}
OLDER = "of a database that an older version has made, which is SQLite's"
UNREACHED = {  # functions of sql/ with a statement that no quick test executes in PostgreSQL, and which that is
    "block_reading.read_entries": "part of a block of more than 64 KiB",
    "reading._last_chunk": OLDER,
    "removal._large_rows": "SQLite alone reads ahead",
    "run_changes._read_configs": "of a config that is cut",
    "runs.points_version": "SQLite's; PostgreSQL's is in its own versions",
    "table.unfilled": OLDER,
    "table_columns._fresh_entries": OLDER,
    "table_columns._fresh_metrics": OLDER,
    "table_columns._newest_unfilled": OLDER,
    "table_rows._put_cells_by_column": OLDER,
    "versions.numbers": "SQLite's; PostgreSQL's is in its own versions",
}


@pytest.mark.slow
def test_all_that_the_stores_tests_execute_keeps_the_rules_and_no_call_is_missed():
    """Every statement, also inside of functions, by the plan that PostgreSQL itself has logged."""
    postgresql.cluster()  # skips where there is none
    with tempfile.TemporaryDirectory(prefix="steplog-log-") as place:
        log, sites = Path(place) / "log", Path(place) / "sites"
        log.mkdir()
        os.chmod(place, 0o755)
        if (owner := postgresql.owner()) is not None:
            shutil.chown(log, owner)
        run_the_stores_tests(log, sites)
        amiss: dict[str, set[str]] = defaultdict(set)
        transactions: dict[str, list[Statement]] = defaultdict(list)
        for statement in statement_log.statements(log):
            transactions[statement.transaction].append(statement)
            amiss[" ".join(statement.text.split())].update(problems(statement, POINTS))
        for statements in transactions.values():
            for statement, problem in problems_of_transaction(statements):
                amiss[" ".join(statement.text.split())].add(problem)
        reached = statement_log.sites(sites)
    broken = {text: found for text, found in amiss.items() if found}
    assert {text: found for text, found in broken.items() if not any(part in text for part in ALLOWED)} == {}
    assert [part for part in ALLOWED if not any(part in text for text in broken)] == []
    missed = sorted({name for name, where in calls() if not where & reached})
    assert missed == sorted(UNREACHED)


def run_the_stores_tests(log: Path, sites: Path) -> None:
    environment = os.environ | {
        "STEPLOG_TEST_POSTGRESQL_SETTINGS": statement_log.settings(log),
        "STATEMENT_SITES": str(sites),
        "PYTHONPATH": str(ROOT / "tests"),
    }
    chosen = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "server.statement_log",
        "-m",
        "not slow",
        "-k",
        "postgresql",
        "tests/server",
    ]
    left_out = ["--deselect", "tests/server/test_statement_rules.py"]
    command = [sys.executable, "-m", "pytest", *chosen, *left_out]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout[-4000:]


def calls() -> Iterator[tuple[str, set[tuple[str, int]]]]:
    """Each call of execute and executemany in sql/: its function, and its lines."""
    for file in sorted(SQL.glob("*.py")):
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("execute", "executemany"):
                    lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                    yield f"{file.stem}.{function.name}", {(str(file), line) for line in lines}


def planned(database: psycopg.Connection, statement: str) -> Statement:
    (told,) = database.execute(f"EXPLAIN (FORMAT JSON) {statement}".encode()).fetchone() or ([],)
    return Statement(statement, told[0]["Plan"], "")
