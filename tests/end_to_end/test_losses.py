"""What a run loses is known after a kill: told by ``sync``, whose exit code says so, and never less than was lost."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from end_to_end.programs import Done, Host, ended, go_on, line

MEMORY_BYTES = 1024 * 1024
# Other programs hold all of the memory that steplog may take, and the disk may take nothing.
FULL = f"""
memory = os.environ["STEPLOG_MEMORY_DIR"]
os.makedirs(memory, 0o700, exist_ok=True)
with open(memory + "/others", "wb") as others:
    others.write(bytes({MEMORY_BYTES}))
"""
TAKES_NOTHING = """import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
number = 0"""
LOGS = """
import mmap, struct
with open("calls", "w+b") as file:
    file.truncate(16)
    calls = mmap.mmap(file.fileno(), 16)
run = begin()
print("ready", flush=True)
sys.stdin.readline()
number = 0
while number < {most}:
    run.log("loss", number)
    number += 1
    calls[0:8] = struct.pack("<q", number)
    if number % 500 == 0:
        calls[8:16] = struct.pack("<q", number - run.stats().at_risk)
        if number == 5000:
            print("logging", flush=True)
print("logged", flush=True)
sys.stdin.readline()
"""


def called(host: Host) -> tuple[int, int]:
    """Calls that had returned, and those that a kill would not have taken when ``stats()`` was last asked."""
    with open(host.directory / "calls", "rb") as file, mmap.mmap(file.fileno(), 16, access=mmap.ACCESS_READ) as calls:
        returned, safe = struct.unpack("<qq", calls[:])
        return returned, safe


def sync(host: Host, *arguments: str) -> Done:
    return host.run("-m", "steplog", "sync", *arguments)


def killed_while_it_logs(host: Host, program: subprocess.Popen[str]) -> None:
    assert line(program) == "ready"
    with host.silence():
        go_on(program)
        assert line(program) == "logging"
        program.kill()
        program.wait()


def test_a_kill_loses_what_stats_said_at_most_and_sync_counts_what_it_lost(host: Host):
    with host.start(
        FULL + LOGS.format(most=10**9).replace("number = 0", TAKES_NOTHING), STEPLOG_MEMORY_BYTES_MAX=str(MEMORY_BYTES)
    ) as program:
        killed_while_it_logs(host, program)
    returned, safe = called(host)
    done = sync(host, "--json")
    (told,) = json.loads(done.out)
    stored, dropped = host.server.run("run").points, sum(told["dropped"].values())
    lost = returned - stored - dropped
    assert lost > 0
    assert lost <= returned - safe, "more than stats() said"
    assert lost <= told["lost"], "more than sync says"
    assert told["logged"] == stored + dropped + told["lost"] + told["abandoned"]
    assert done.code == 1
    assert host.manifests() == []


def leave_killed_with_drops(host: Host) -> None:
    """A run that was killed after memory had been full."""
    # Without a record of where it was started from, which may come once memory is full and is then counted as dropped.
    bounded = {"STEPLOG_MEMORY_BYTES_MAX": str(256 * 1024), "STEPLOG_PROVENANCE": "0"}
    with host.start(LOGS.format(most=60_000), **bounded) as program:
        assert line(program) == "ready"
        with host.silence():
            go_on(program)
            assert line(program) == "logging"
            assert line(program) == "logged"
            program.kill()
            program.wait()


@pytest.mark.slow
def test_what_was_dropped_before_a_kill_is_told_by_sync_and_to_the_server(host: Host):
    """It said nothing, and exited 0."""
    leave_killed_with_drops(host)
    waits = json.loads(host.run("-m", "steplog", "ls", "--here", "--json").out)["waiting"][0]
    done = sync(host)
    stored = host.server.run("run").points
    dropped = {"memory full": 60_000 - stored}
    assert (done.code, done.out) == (
        1,
        f"run: {stored:,} delivered; {60_000 - stored:,} of 60,000 values were dropped: memory full\n",
    )
    assert (waits["logged"], waits["pending"], waits["dropped"]) == (60_000, stored, dropped)
    assert host.server.run("run").status == "CRASHED"
    shown = json.loads(host.run("-m", "steplog", "show", f"team/{host.project}/run", "--json").out)
    assert shown["report"] == {"dropped": dropped, "abandoned": 0, "lost": 0, "rejected": 0}
    assert f"{60_000 - stored:,} of 60,000 values were dropped: memory full" in (
        host.run("-m", "steplog", "show", f"team/{host.project}/run").out
    )
    assert "values were dropped: memory full" in host.run("-m", "steplog", "ls", f"team/{host.project}").out


LAST = """
class Last:
    def __init__(self, run):
        self.run, self.out = run, sys.stdout

    def __del__(self):
        for step, value in enumerate((1.0, 2, {"a": [1]}, "text")):
            self.run.log("last", value, step)
        self.run.log({"two": 2, "three": 3})
        self.run.finish()
        stats = self.run.stats()
        self.out.write(f"{stats.logged} {stats.pending} {dict(stats.dropped)}\\n")
        self.out.flush()
"""


# Has Python clear the modules before the last destructors of a program.
KEPT = "sys.kept = sys.modules['__main__']\n"
clears_modules = sys.version_info < (3, 14) and bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.mark.parametrize("kept", ["", KEPT], ids=["usual", "modules are cleared"])
@pytest.mark.parametrize("pure", ["", "1"], ids=["usual append", "pure append"])
def test_log_and_finish_in_the_last_destructor_are_counted_and_quiet(host: Host, kept: str, pure: str):
    """finish() raised ImportError there; where modules are cleared, both raised TypeError."""
    program = LAST + kept + "last = Last(begin(mode='offline'))\nlast.run.log('loss', 0.5, step=0)"
    done = host.run(program, STEPLOG_PURE=pure)
    assert (done.code, done.out, done.errors) == (0, "7 1 {'finished': 6}\n", "")
    (waits,) = json.loads(host.run("-m", "steplog", "ls", "--here", "--json").out)["waiting"]
    assert (waits["logged"], waits["pending"], waits["dropped"]) == (7, 1, {"finished": 6})


CHILD = """
run = begin()
pid = os.fork()
if pid == 0:
    last = Last(run)
    del run
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
report = run.finish()
print(report.delivered, flush=True)
"""


@pytest.mark.skipif(clears_modules, reason="this Python clears the modules before")
def test_what_a_child_logs_first_in_its_last_destructor_arrives_and_the_child_ends(host: Host):
    """It waited for ever for a thread that could not start any more."""
    done = host.run(LAST + CHILD)
    assert (done.code, done.out) == (0, "6 0 {}\n6\n"), done.errors
    assert host.server.run("run").points == 6


def test_a_child_whose_modules_are_cleared_before_its_first_log_says_that_it_is_lost(host: Host):
    done = host.run(LAST + KEPT + CHILD)
    assert (done.code, done.out) == (0, "0\n"), done.errors
    assert "RuntimeError: steplog: not recorded: log() came after Python had cleared its modules\n" in done.errors
    assert host.server.run("run").points == 0


def test_an_offline_run_that_ended_lost_nothing_though_its_memory_is_gone(host: Host):
    assert host.run("run = begin(mode='offline')\nrun.log({'loss': 1.0, 'more': 2})\nrun.finish()").code == 0
    shutil.rmtree(Path(os.environ["STEPLOG_MEMORY_DIR"]))
    done = sync(host, "run")
    assert (done.code, done.out) == (0, "run: 2 delivered\n"), done.errors


def test_of_an_offline_run_that_was_killed_nobody_knows_what_went_with_its_memory(host: Host):
    with host.start(
        """
        from polling import wait_until
        run = begin(mode="offline")
        run.log({"loss": 1.0, "more": 2})
        wait_until(lambda: run.stats().durable >= 2)
        print("on disk", flush=True)
        sys.stdin.readline()
        """
    ) as program:
        assert line(program) == "on disk"
        program.kill()
        program.wait()
    shutil.rmtree(Path(os.environ["STEPLOG_MEMORY_DIR"]))
    done = sync(host, "run")
    unknown = "an unknown number of values may be lost with memory that is gone"
    assert (done.code, done.out) == (1, f"run: 2 delivered; {unknown}\n"), done.errors


def test_the_process_that_delivers_a_killed_run_logs_once_what_that_lost(host: Host):
    leave_killed_with_drops(host)
    with host.start("begin('adopts')\nsys.stdin.read()") as adopting:
        host.server.wait_for("run", "CRASHED")
        done = ended(adopting)
    dropped = 60_000 - host.server.run("run").points
    words = f"{dropped:,} of 60,000 values were dropped: memory full"
    assert done.errors.splitlines() == [f"steplog has delivered what the run run left here: {words}."]
