"""A program that gives up its rights after init(): what it logs then arrives, and log() raises nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import scratch
from end_to_end.programs import Host
from users import needs_users, other_user

__all__ = ["other_user"]

pytestmark = needs_users
IMPORTED = """
import steplog.client, steplog.server, slugify, traceback, email.parser
"""  # Python itself may be out of reach later, as in a home that is closed to others
GIVEN_UP = """
run = begin()
run.log("before", 1)
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
for number in range(20_000):
    run.log("after", number)
"""
CHILD = """
if not os.fork():
    run.log("child", 1)
    print(run.flush(20), flush=True)
    run.log("child", 2)
    print(run.flush(20), run.stats().faults, dict(run.stats().dropped), flush=True)
    os._exit(0)
assert os.wait()[1] == 0
"""
FINISHED = """
report = run.finish()
print(report.delivered, report.faults, report.pending, dict(report.dropped))
"""


@pytest.fixture
def open_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in which each user may make one."""
    path = scratch.make("test")
    path.chmod(0o1777)
    yield path
    scratch.remove(path)


def test_a_run_goes_on_after_the_rights_are_given_up_and_ends_as_ever(host: Host, other_user: int):
    done = host.run(IMPORTED + GIVEN_UP + FINISHED, str(other_user))
    assert done.code == 0, done.errors
    assert done.out == "20001 0 0 {}\n", done.errors
    assert "Traceback" not in done.errors
    host.server.wait_for("run", "COMPLETED")
    host.server.wait_for_points("run", 20_001)


def test_a_child_forked_after_that_delivers_what_it_logs(host: Host, other_user: int):
    """log() raised PermissionError in the child, for the directory that its parent had made with other rights."""
    done = host.run(IMPORTED + GIVEN_UP + CHILD + FINISHED, str(other_user))
    assert done.code == 0, done.errors
    assert done.out.splitlines()[:2] == ["True", "True 0 {}"], done.errors
    assert "Traceback" not in done.errors
    host.server.wait_for("run", "COMPLETED")
    host.server.wait_for_points("run", 20_003)


@pytest.mark.slow
def test_a_child_of_another_user_keeps_what_it_logs_in_directories_of_that_user(
    host: Host, other_user: int, open_place: Path
):
    """Neither spool nor shared memory of the parent are its own; it has no server, and is killed."""
    prelude = "from steplog import default_paths\nfrom pathlib import Path\n"
    prelude += f"default_paths.SHARED_MEMORY = Path({str(open_place)!r})\n"
    child = """
if not os.fork():
    os.environ["HOME"] = "/nonexistent"
    for number in range(100):
        run.log("child", number)
    os.kill(os.getpid(), signal.SIGKILL)
assert os.wait()[1] == signal.SIGKILL
"""
    source = IMPORTED + prelude + GIVEN_UP + child + FINISHED
    unset = {"STEPLOG_DIR": "", "STEPLOG_MEMORY_DIR": "", "STEPLOG_MODE": "offline", "TMPDIR": str(open_place)}
    done = host.run(source, str(other_user), **unset)
    assert done.code == 0, done.errors
    assert "Traceback" not in done.errors
    assert (open_place / f"steplog-{other_user}").stat().st_uid == other_user
    assert list(open_place.glob(f"steplog-{other_user}/*/manifest"))
    assert list(open_place.glob(f"steplog-state-{other_user}/*/lock"))
    assert list(open_place.glob(f"steplog-{other_user}/*/*/*.segment"))
    assert list(open_place.glob(f"steplog-{os.geteuid()}/*/*/*.segment"))
