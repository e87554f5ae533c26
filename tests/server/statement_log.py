"""Every statement that PostgreSQL executes, with its plan, also those inside of functions; and which lines sent them.

A plugin of pytest: with ``-p server.statement_log`` the lines that call ``execute`` and ``executemany`` are written to
the file that STATEMENT_SITES names, when the tests are over, and what a test itself executes begins with OF_A_TEST.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import steplog
from server.statement_rules import Statement
from steplog.server.postgresql.connection import PostgresqlConnection

SOURCES = Path(steplog.__file__).parent
OF_A_TEST = "/* of a test */ "
_sites: set[tuple[str, int]] = set()


def settings(directory: Path) -> str:
    """Lines of a cluster's configuration that have it write its statements below a directory, which it can write to."""
    return f"""
session_preload_libraries = 'auto_explain'
auto_explain.log_min_duration = 0
auto_explain.log_format = json
auto_explain.log_nested_statements = on
enable_seqscan = off
plan_cache_mode = force_custom_plan
logging_collector = on
log_destination = 'jsonlog'
log_directory = '{directory}'
log_filename = 'statements'
log_rotation_size = 0
"""


def statements(directory: Path) -> Iterator[Statement]:
    """What connections of steplog's have executed, in order, but for transactions of tests."""
    found = list(_all(directory))
    of_tests = {statement.transaction for statement in found if statement.text.startswith(OF_A_TEST)}
    return (statement for statement in found if statement.transaction not in of_tests)


def _all(directory: Path) -> Iterator[Statement]:
    with (directory / "statements.json").open() as file:
        for line in file:
            entry = json.loads(line)
            _, found, plan = str(entry["message"]).partition("plan:\n")
            if found and str(entry.get("application_name", "")).startswith("steplog"):
                told = json.loads(plan)
                yield Statement(told["Query Text"], told["Plan"], f"{entry['session_id']} {entry['vxid']}")


def sites(file: Path) -> set[tuple[str, int]]:
    """File and line of each call, as the plugin has written them."""
    return {(name, line) for name, line in json.loads(file.read_text())}


def pytest_configure() -> None:
    """Watch the connection, from outside of the code that is tested."""
    if "STATEMENT_SITES" in os.environ:
        for name in ("execute", "executemany"):
            setattr(PostgresqlConnection, name, _noting(getattr(PostgresqlConnection, name)))


def pytest_unconfigure() -> None:
    if "STATEMENT_SITES" in os.environ:
        Path(os.environ["STATEMENT_SITES"]).write_text(json.dumps(sorted(_sites)))


def _noting(method: Callable[..., Any]) -> Callable[..., Any]:
    def noting(connection: Any, statement: str, *values: Any) -> Any:
        caller = sys._getframe(1)
        _sites.add((caller.f_code.co_filename, caller.f_lineno))
        of_a_test = not caller.f_code.co_filename.startswith(f"{SOURCES}/")
        return method(connection, OF_A_TEST + statement if of_a_test else statement, *values)

    return noting
