"""What is done with a PostgreSQL database as a whole: upgrading it, and copying it into a file.

A copy is an archive of ``pg_dump``, one snapshot, for ``pg_restore``, in a new file (``new_file``). The password goes
by the environment.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from steplog.errors import ConfigurationError
from steplog.server import new_file
from steplog.server.postgresql.links import conninfo_of, refused
from steplog.server.postgresql.schema import found_version, prepare
from steplog.server.store_place import shown_place
from steplog.server.store_types import DatabaseCopy, StoreError

__all__ = ["back_up", "migrate", "schema_version"]


def back_up(url: str, target: Path) -> DatabaseCopy:
    """Copy a database, whether or not servers have it open.

    Raises ConfigurationError where the target exists, the database is none of steplog's, or there is no pg_dump;
    StoreError, OSError.
    """
    target = target.absolute()
    new_file.check_free(target)
    program = shutil.which("pg_dump")
    if program is None:
        wanted = f"pg_dump --format=custom --file={shlex.quote(str(target))} {shlex.quote(shown_place(url))}"
        raise ConfigurationError(f"pg_dump is not on PATH. Type where it is (Debian: postgresql-client): {wanted}")
    runs = _count_runs(url)
    with new_file.scratch_file(target) as scratch:
        _dump(program, url, scratch)
        new_file.give_name(scratch, target)
    return DatabaseCopy(str(target), target.stat().st_size, runs)


def schema_version(url: str) -> int:
    """The version of a database; 0 of one without tables. Raises ConfigurationError."""
    with _connected(url) as connection:
        return found_version(connection)


def migrate(url: str) -> None:
    """Upgrade a database to the present version. Raises ConfigurationError."""
    with _connected(url) as connection:
        prepare(connection, is_moving=True)


def _count_runs(url: str) -> int:
    with _connected(url) as connection:
        if _one(connection, "SELECT to_regclass('runs')::text") is None:
            raise ConfigurationError(f"{shown_place(url)} has no tables of steplog")
        return int(_one(connection, "SELECT count(*) FROM runs"))


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(conninfo_of(url), autocommit=True) as connection:
            yield connection
    except psycopg.Error as error:
        raise refused(url, error) from None


def _one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def _dump(program: str, url: str, scratch: Path) -> None:
    parameters = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
    password = parameters.pop("password", None)
    environment = dict(os.environ) if password is None else os.environ | {"PGPASSWORD": str(password)}
    place = make_conninfo("", **parameters)
    command = [program, "--format=custom", "--no-owner", "--no-acl", f"--file={scratch}", f"--dbname={place}"]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise StoreError(f"{shown_place(url)} was not copied: {words[-1]}")
