"""A PostgreSQL cluster of this test run, from the binaries of the machine, and a database of it for each test.

It is made when the first test asks for it, listens on a socket of its own directory and a free loopback port, runs as
an unprivileged user, and waits for no disk. ``STEPLOG_TEST_POSTGRESQL`` is its version, else it is the newest there is;
``STEPLOG_TEST_POSTGRESQL_SETTINGS`` are more lines of its configuration.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from benchmarks import scratch
from steplog.server.open_store import open_store

_PLACE = Path("/usr/lib/postgresql")  # of Debian
_SETTINGS = """
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
max_connections = 200
shared_buffers = 64MB
"""
_VERSION = os.environ.get("STEPLOG_TEST_POSTGRESQL")  # now: tests have none of these variables
_MORE_SETTINGS = os.environ.get("STEPLOG_TEST_POSTGRESQL_SETTINGS", "")
_numbers = itertools.count()
_spare: list[str] = []  # databases with empty tables
_lent: list[list[str]] = []  # those that a block of ``lending`` uses
_EMPTY = """
SET LOCAL session_replication_role = replica;
SET LOCAL lock_timeout = '1s';
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'S') AND relname NOT LIKE 'turns_%' LOOP
        IF each.relkind = 'S' THEN
            EXECUTE format('ALTER SEQUENCE %I RESTART', each.relname);
        ELSIF each.relname = 'about' THEN
            DELETE FROM about WHERE name NOT IN ('instance', 'schema');
        ELSE
            EXECUTE format('DELETE FROM %I', each.relname);
        END IF;
    END LOOP;
END
$$
"""


def versions() -> dict[int, Path]:
    """The folders with the programs of each version that this machine has."""
    return {
        int(found.parent.name): found
        for found in _PLACE.glob("*/bin")
        if found.parent.name.isdigit() and (found / "initdb").exists()
    }


class Cluster:
    """A cluster, which ``start`` starts."""

    def __init__(
        self, programs: Path, directory: Path, settings: str = _SETTINGS, copy_of: Cluster | None = None
    ) -> None:
        """Make one in a directory that is there; ``copy_of``: a standby of another, with its settings."""
        self.programs = programs
        self.directory = directory
        self.data = directory / "data"
        self.port = _free_port()
        self._owner = owner()
        if self._owner is not None:
            shutil.chown(directory, self._owner)
        if copy_of is None:
            chosen = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
            self._run("initdb", "-D", self.data, *chosen)
        else:
            self._run("pg_basebackup", "-D", self.data, "-R", "-c", "fast", "-d", copy_of.url())
            settings = ""
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"{settings}\nport = {self.port}\nunix_socket_directories = '{directory}'\n")
            file.write("dynamic_shared_memory_type = mmap\n")  # in its directory, with which it goes if it is killed

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run("pg_ctl", "-D", self.data, "-l", self.directory / "log", "-w", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; ``immediate``: as a crash would."""
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "-D", self.data, "-w", "promote")

    def url(self, database: str = "postgres") -> str:
        """Of a database of it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """The URL of a database that is as this one, which is empty."""
        name = f"test{os.getpid()}_{next(_numbers)}"  # a fork counts on
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url(name)

    def _run(self, program: str, *args: object) -> None:
        # Not into a pipe, which the server would keep open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [self.programs / program, *map(str, args)], cwd="/", user=self._owner, check=False,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            )  # fmt: skip
            output.seek(0)
            assert done.returncode == 0, output.read().decode(errors="replace")


@contextmanager
def cluster_directory() -> Iterator[Path]:
    """A directory for a cluster; a short path, since the name of a socket has at most 107 bytes."""
    above = scratch.make("pg")
    above.chmod(0o711)  # for the user whom it runs as
    directory = above / "pg"
    directory.mkdir(0o700)
    try:
        yield directory
    finally:
        scratch.remove(above)


@contextmanager
def own_cluster(settings: str) -> Iterator[Cluster]:
    """One of a single test, which may stop it; ``settings`` are lines of its configuration."""
    with cluster_directory() as directory:
        made = Cluster(cluster().programs, directory, settings)
        made.start()
        try:
            yield made
        finally:
            if (made.data / "postmaster.pid").exists():
                made.stop("immediate")


@functools.cache
def cluster() -> Cluster:
    """The cluster of this test run; skips where there is no PostgreSQL."""
    found = versions()
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    wanted = int(_VERSION or max(found))
    assert wanted in found, f"PostgreSQL {wanted} is not on this machine, which has {sorted(found)}"
    opened = ExitStack()
    made = Cluster(found[wanted], opened.enter_context(cluster_directory()), _SETTINGS + _MORE_SETTINGS)
    made.start()
    process = os.getpid()

    def remove() -> None:
        if os.getpid() == process:  # not in a fork
            made.stop("immediate")
            opened.close()

    atexit.register(remove)
    return made


def new_database() -> str:
    """The URL of a database that is empty; skips where there is no PostgreSQL."""
    return cluster().new_database()


def new_store() -> str:
    """The URL of a database with the tables of a store, which are empty: quicker than to make them."""
    url = _spare.pop() if _spare else cluster().new_database(_template())
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE about SET value = %s WHERE name = 'instance'", (uuid.uuid4().hex,))
    if _lent:
        _lent[-1].append(url)
    return url


@contextmanager
def lending() -> Iterator[None]:
    """Use what ``new_store`` gives in the block again after it: to empty a database takes a tenth of making one."""
    _lent.append([])
    try:
        yield
    finally:
        for url in _lent.pop():
            with suppress(psycopg.Error), psycopg.connect(url) as connection:  # a test that failed may have it locked
                connection.execute(_EMPTY)
                _spare.append(url)


@functools.cache
def _template() -> str:
    url = new_database()
    open_store(url).close()
    return url.rpartition("/")[2]


def owner() -> str | None:
    """Whom it runs as, other than this user: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
            return name
        except KeyError:
            continue
    pytest.skip("there is no unprivileged user to run PostgreSQL as")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
