"""Segments are made by the maintenance thread: in the run's process, in a forked worker, in one that joins."""

from __future__ import annotations

import pytest

from end_to_end.programs import Host
from steplog.journal import compiled

PLANTED = """
from polling import wait_until
from steplog.journal.memory import MemoryPool
from steplog.lifecycle.open_run import open_runs

made_by, allocate = [], MemoryPool.allocate
def planted(pool, size):
    made_by.append(threading.current_thread().name)
    return allocate(pool, size)
MemoryPool.allocate = planted

def log_and_tell(run, who):
    made_by.clear()
    writer = open_runs()[-1].opened.writer
    for number in range(9000):
        wait_until(lambda: writer._spares)
        run.log("loss", float(number))
        if number % 3 == 0:
            run.log("text", "x" * 4094)
        if number % 9 == 0:
            run.log(f"metric {number}", number)
    print(who, len(made_by) > 5, sorted(set(made_by)), dict(run.stats().dropped), flush=True)
"""
TOLD = "True ['steplog-maintenance'] {}\n"


@pytest.mark.slow
@pytest.mark.parametrize("pure", [False, True] if compiled._built else [True])
def test_the_thread_that_logs_makes_no_segment_from_the_first_call_on(host: Host, pure: bool):
    done = host.run(
        f"""
        {PLANTED.replace(chr(10), chr(10) + " " * 8)}
        run = begin()
        log_and_tell(run, "owner")
        pid = os.fork()
        if pid == 0:
            run.log("loss", 0.5)  # opens the child's writer, with its spare
            log_and_tell(run, "forked")
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        import subprocess
        joins = "import steplog; run = steplog.attach(os.environ['RUN']); log_and_tell(run, 'joined')"
        program = "import os, threading, sys" + os.environ["PLANTED"] + joins
        done = subprocess.run([sys.executable, "-c", program], env=os.environ | {{"RUN": run.uuid}}, check=True)
        run.finish()
        """,
        STEPLOG_PURE=str(int(pure)),
        PLANTED=PLANTED,
    )
    assert done.code == 0, done.errors
    assert done.out == "".join(f"{who} {TOLD}" for who in ("owner", "forked", "joined")), done.errors
    assert host.server.run("run").points == 3 * (9000 + 3000 + 1000) + 1
