"""A server over PgBouncer, in session mode: what it stores and reads, and what becomes of it when PgBouncer goes.

Another mode is refused.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import postgresql
from polling import wait_until
from server.batches import range_of
from server.process import DEADLINE_S, ServerProcess, lasting_port
from steplog.errors import ConfigurationError
from steplog.server.open_store import open_store, schema_versions

pytestmark = pytest.mark.slow

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 60
"""


class Bouncer:
    """PgBouncer before the cluster of the tests."""

    def __init__(self, directory: Path, database: str, mode: str = "session") -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            pytest.skip("pgbouncer is not installed")
        place = urlsplit(database)
        port = lasting_port()
        (directory / "pgbouncer.ini").write_text(CONFIGURATION.format(server=place.port, port=port, mode=mode))
        self._user = None
        if os.geteuid() == 0:  # which it refuses to run as
            self._user = pwd.getpwnam("nobody").pw_name
            directory.chmod(0o755)
        self._command = [program, str(directory / "pgbouncer.ini")]
        self.url = f"postgresql://{place.username}@127.0.0.1:{port}{place.path}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, cwd="/", user=self._user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._answers, DEADLINE_S)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None
        with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
            return True
        return False


@contextmanager
def running(mode: str) -> Iterator[Bouncer]:
    with tempfile.TemporaryDirectory(prefix="steplog-bouncer-") as directory:
        started = Bouncer(Path(directory), postgresql.new_database(), mode)
        try:
            yield started
        finally:
            started.kill()


@pytest.fixture
def bouncer() -> Iterator[Bouncer]:
    with running("session") as started:
        yield started


def test_a_pooler_that_lends_connections_for_a_transaction_is_refused():
    with running("transaction") as bouncer:
        with pytest.raises(ConfigurationError, match="pool_mode = session"):
            open_store(bouncer.url)
        assert schema_versions(bouncer.url)[0] == 0, "it makes no tables"


def test_a_server_works_over_pgbouncer_in_session_mode_also_after_it_was_killed(bouncer, tmp_path):
    with ServerProcess(tmp_path / "server", "--user", "me", "--namespace", "team", store=bouncer.url) as server:
        run = server.new_run()
        assert server.send(run, range_of([("loss", step / 8, step) for step in range(3000)])).status_code == 200
        bouncer.kill()
        assert server.send(run, range_of([("loss", 0.5, 3000)], 3000)).status_code == 503
        bouncer.start()
        wait_until(lambda: server.send(run, range_of([("loss", 0.5, 3000)], 3000)).status_code == 200, DEADLINE_S)
        wait_until(lambda: packed(bouncer.url) == 3001, DEADLINE_S)
        listed = server.ask("GET", f"{run}history/?name=loss", headers={"Accept": "text/csv"}).text.splitlines()[1:]
        assert [float(row.rpartition(",")[2]) for row in listed] == [*(step / 8 for step in range(3000)), 0.5]
        assert server.ask("PATCH", run, json={"status": "COMPLETED"}).status_code == 200


def packed(url: str) -> int:
    with psycopg.connect(url) as connection:
        return (connection.execute("SELECT sum(packed)::bigint FROM progress").fetchone() or (0,))[0]
