"""Three programs log while their server's database is moved into PostgreSQL, by a command that is killed twice."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import postgresql
from end_to_end.programs import Host, ended, line
from polling import wait_until
from server.process import DEADLINE_S, KEY, SOURCES, ServerProcess, lasting_port

pytestmark = pytest.mark.slow

LOGS_ON = """
import itertools, pathlib
run = begin()
run.config.update({"lr": 0.5})
for number in itertools.count():
    run.log("loss", number / 8, step=number)
    run.log("unnumbered", number)
    if number == 400:
        print("begun", flush=True)
    if number % 20 == 0:
        run.flush(1)
        if pathlib.Path("stop").exists() and number > 1000:
            break
report = run.finish(timeout=60)
print(number + 1, report.delivered, report.pending, report.lost, flush=True)
"""


class Move:
    """``steplog db move`` in a process."""

    def __init__(self, database: Path, url: str) -> None:
        command = [sys.executable, "-m", "steplog", "db", "move", "--db", str(database)]
        environment = os.environ | {"PYTHONPATH": str(SOURCES), "STEPLOG_STORE": url}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said = ""

    def wait_for(self, words: str) -> None:
        """Wait until it has printed a line with these words."""
        assert self.process.stdout is not None
        while words not in self.said:
            ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE_S)
            more = self.process.stdout.readline() if ready else ""
            assert more, (self.said, self.process.poll())
            self.said += more

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    directory = tmp_path / "server"
    directory.mkdir(mode=0o700)
    with ServerProcess(directory, "--user", "team", "--port", str(lasting_port())) as started:
        yield started


def end(program: subprocess.Popen[str]) -> None:
    program.kill()
    program.communicate()


def copied_runs(url: str) -> int:
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('moving')").fetchone() == (None,):
            return 0
        (count,) = connection.execute("SELECT count(*) FROM moving WHERE state IS NOT NULL").fetchone() or (0,)
        return count


def test_programs_log_on_while_their_servers_database_is_moved(server, tmp_path, request):
    url, host = postgresql.new_database(), Host(tmp_path, server)
    programs = {name: host.start(LOGS_ON, name=name) for name in ("one", "two", "three")}
    request.addfinalizer(lambda: [end(program) for program in programs.values()])
    for program in programs.values():
        assert line(program) == "begun"
    first = Move(server.database, url)
    wait_until(lambda: copied_runs(url), DEADLINE_S)
    first.kill()
    second = Move(server.database, url)
    second.wait_for("Stop the server of")
    second.kill()
    third = Move(server.database, url)
    third.wait_for("Stop the server of")
    code, errors = server.end()
    assert (code, errors) == (0, "")
    out, errors = third.process.communicate(timeout=DEADLINE_S)
    assert (third.process.returncode, errors) == (0, "")
    assert "moved 3 runs with" in out

    port = server.url.rpartition(":")[2]
    with ServerProcess(tmp_path / "server", "--user", "team", "--port", port, store=url) as there:
        (tmp_path / "stop").touch()
        for name, program in programs.items():
            done = ended(program)
            assert done.code == 0, done.errors
            count, delivered, pending, lost = done.out.split()[-4:]
            assert (delivered, pending, lost) == (str(2 * int(count) + 1), "0", "0"), done.out
            assert points(there, host.project, name, "loss") == [(n, n / 8) for n in range(int(count))]
            assert points(there, host.project, name, "unnumbered") == [(n, n) for n in range(int(count))]
        listed = there.ask("GET", f"/team/projects/{host.project}/runs/").json()
        assert {(run["name"], run["status"], run["config"]["lr"]) for run in listed} == {
            (name, "COMPLETED", 0.5) for name in programs
        }
        assert there.end() == (0, "")


def points(server: ServerProcess, project: str, name: str, metric: str) -> list[tuple[int, float]]:
    """Step and value of a run's points, as the server lists them."""
    listed = server.ask("GET", f"/team/projects/{project}/runs/").json()
    (uuid,) = [run["uuid"] for run in listed if run["name"] == name]
    answer = server.ask("GET", f"/team/projects/{project}/runs/{uuid}/history/?name={metric}", headers=CSV)
    assert answer.status_code == 200, answer.text
    rows = [row.split(",") for row in answer.text.splitlines()[1:]]
    return [(int(row[1]), float(row[-1])) for row in rows]


CSV = {"Accept": "text/csv", "Authorization": f"Api-Key {KEY}"}
