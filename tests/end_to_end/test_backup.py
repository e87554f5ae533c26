"""A server goes back to an older copy while a program logs: what is still here arrives, what is gone is counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.programs import Host, ended, go_on, line
from server.process import ServerProcess, lasting_port
from steplog.server.open_store import back_up

pytestmark = pytest.mark.slow

LOGS_ON = """
run = begin()
for number in range(3_000):
    if number in (1_000, 2_000):
        assert run.flush(30)
        print(number, flush=True)
        sys.stdin.readline()
    run.log("loss", number + 0.5, step=number)
    run.log("metric", number)
report = run.finish(timeout=30)
print(report.delivered, report.pending, report.lost)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    directory = tmp_path / "server"
    directory.mkdir(mode=0o700)
    with ServerProcess(directory, "--user", "team", "--port", str(lasting_port())) as started:
        yield started


def restore(server: ServerProcess, copy: Path) -> None:
    """As the documentation says."""
    assert server.end() == (0, "")
    copy.rename(server.database)
    server.start()


def ended_after_restoring(program, server, copy):
    """How a program ends that logs on while its server's database becomes the copy."""
    go_on(program)
    assert line(program) == "2000"
    restore(server, copy)
    go_on(program)
    done = ended(program)
    assert done.code == 0
    return done


def test_a_run_goes_on_with_a_server_that_was_restored_from_a_backup(server, tmp_path):
    """What the server had acknowledged since the backup is on neither side, and the run says how much."""
    host, copy = Host(tmp_path, server), tmp_path / "copy.db"
    program = host.start(LOGS_ON)
    assert line(program) == "1000"
    back_up(server.database, copy)
    done = ended_after_restoring(program, server, copy)
    words = r"the server went back from position (\d+) to (\d+) of writer \w+\. What is still here .*; (\d+) positions"
    said = re.search(words, done.errors)
    assert said is not None, done.errors
    delivered, mark, gone = map(int, said.groups())
    values = host.server.values("run", "loss")
    assert values[:1000] == [number + 0.5 for number in range(1000)]
    assert values[-1000:] == [number + 0.5 for number in range(2000, 3000)]
    assert len(values) + len(host.server.values("run", "metric")) == 6000 - gone
    assert 0 < gone <= delivered - mark
    assert delivered - mark >= 2000
    host.server.wait_for("run", "COMPLETED")


def test_a_run_that_began_after_the_backup_keeps_what_it_has_and_says_so(server, tmp_path):
    host, copy = Host(tmp_path, server), tmp_path / "copy.db"
    back_up(server.database, copy)
    program = host.start(LOGS_ON)
    assert line(program) == "1000"
    done = ended_after_restoring(program, server, copy)
    assert "the server does not have the run" in done.errors
    again = host.run("-m", "steplog", "sync", "run", "--recreate")
    assert again.code == 0, again
    values = host.server.values("run", "loss")
    assert values[-1000:] == [number + 0.5 for number in range(2000, 3000)]
