"""A primary and a standby that has each commit before it is answered, and the change from one to the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg

import postgresql
from polling import wait_until

DURABLE = """
listen_addresses = '127.0.0.1'
max_connections = 100
shared_buffers = 64MB
"""
_SYNCHRONOUS = "synchronous_standby_names = '*'\n"


@contextlib.contextmanager
def durable_cluster(settings: str = DURABLE) -> Iterator[postgresql.Cluster]:
    """A cluster that waits for the disk, as it does by default; started. Skips without PostgreSQL."""
    postgresql.cluster()
    with postgresql.cluster_directory() as directory:
        made = postgresql.Cluster(_programs(), directory, settings)
        made.start()
        try:
            yield made
        finally:
            with contextlib.suppress(AssertionError):  # it is stopped already
                made.stop("immediate")


class Pair:
    """A primary, and a standby of it; a context manager.

    Attributes:
        url: names both; connections go to whichever takes writes.
    """

    def __init__(self) -> None:
        self._opened = contextlib.ExitStack()
        self.primary = self._opened.enter_context(durable_cluster())
        with psycopg.connect(self.primary.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE once")
        self.standby = self._opened.enter_context(standby_of(self.primary))
        with (self.primary.data / "postgresql.conf").open("a") as file:
            file.write(_SYNCHRONOUS)
        with psycopg.connect(self.primary.url(), autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
            query = "SELECT sync_state FROM pg_stat_replication"
            wait_until(lambda: connection.execute(query).fetchall() == [("sync",)])
        ports = ",".join(f"127.0.0.1:{each.port}" for each in (self.primary, self.standby))
        self.url = f"postgresql://postgres@{ports}/once?target_session_attrs=read-write"

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def fail_over(self) -> None:
        """Stop the primary as a crash would, for good; make the standby the primary."""
        self.primary.stop("immediate")
        self.standby.promote()


@contextlib.contextmanager
def standby_of(primary: postgresql.Cluster) -> Iterator[postgresql.Cluster]:
    """A standby, started, which follows the primary."""
    with postgresql.cluster_directory() as directory:
        made = postgresql.Cluster(_programs(), directory, copy_of=primary)
        made.start()
        try:
            yield made
        finally:
            with contextlib.suppress(AssertionError):
                made.stop("immediate")


def _programs() -> Path:
    return postgresql.cluster().programs
