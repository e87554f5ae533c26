"""Runs on machines with little shared memory, or none, beside a program that takes what there is, and gives it back.

Each begins where a newcomer's machine begins: there is no directory of steplog's. The run logs 60,000 numbers in three
parts. A neighbour takes memory before it, or between the first two parts, and frees it before the third.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from end_to_end.programs import Host, ended

PARTS = (75, 75, 150)  # in bursts of 200 calls and a rest of 20 ms
CALLS = 200 * sum(PARTS)
VICTIM = f"""
import json
run, calls = begin(), 0
for part, bursts in enumerate({PARTS}):
    for _ in range(bursts):
        for _ in range(200):
            run.log("loss", calls, calls)
            calls += 1
        time.sleep(0.02)
    if part < 2:
        print(flush=True)
        sys.stdin.readline()
if sys.argv[1] == "kill":
    print(json.dumps({{"dropped": sum(run.stats().dropped.values())}}), flush=True)
    os.kill(os.getpid(), 9)
report = run.finish()
counts = ("logged", "delivered", "pending", "rejected", "abandoned")
print(json.dumps({{"dropped": sum(report.dropped.values())}} | {{what: getattr(report, what) for what in counts}}))
"""
MACHINE = """
import json, subprocess
victim, size, first, then, end = sys.argv[1:]
if size == "none":
    os.environ["STEPLOG_MEMORY_DIR"] = "/nowhere/steplog"
else:
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", "/dev/shm"], check=True)
    os.environ["STEPLOG_MEMORY_DIR"] = "/dev/shm/steplog-0"

def take(how):
    with open("/dev/shm/neighbour", "wb", buffering=0) as file:
        system = os.statvfs("/dev/shm")
        free = system.f_bavail * system.f_frsize
        while free > int(how[1:]) if how[0] == "-" else False:  # all but that
            try:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size + free - int(how[1:]))
                break
            except OSError:  # the run has taken some meanwhile
                system = os.statvfs("/dev/shm")
                free = system.f_bavail * system.f_frsize
        if how[0] == "+":
            os.posix_fallocate(file.fileno(), 0, int(how[1:]))

if first:
    take(first)
pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
with subprocess.Popen([sys.executable, victim, end], **pipes) as program:
    program.stdout.readline()
    if then:
        take(then)
    program.stdin.write("\\n")
    program.stdin.flush()
    program.stdout.readline()
    if os.path.exists("/dev/shm/neighbour") and size != "none":
        os.unlink("/dev/shm/neighbour")
    program.stdin.write("\\n")
    out, errors = program.communicate()
told = json.loads(out)
sync = subprocess.run([sys.executable, "-m", "steplog", "sync", "--json"], capture_output=True, text=True)
print(json.dumps(told | {"code": program.returncode, "errors": errors, "sync": sync.stdout}))
"""
ALL_BUT_1_MIB, ALL, MIB_12, NOBODY = f"-{1 << 20}", "-0", f"+{12 << 20}", ""
NEIGHBOURS = {
    "nobody": (NOBODY, NOBODY),
    "12 MiB": (MIB_12, NOBODY),
    "all but 1 MiB later": (NOBODY, ALL_BUT_1_MIB),
    "all later": (NOBODY, ALL),
    "all at first": (ALL, NOBODY),
}
CASES = [
    *((size, neighbour) for size in ("64m", "48m") for neighbour in NEIGHBOURS),
    *(("1m", neighbour) for neighbour in ("nobody", "all later", "all at first")),
    ("none", "nobody"),
]
UNDER = ["unshare", "-m"]


def why_not() -> str | None:
    """Why a test may mount nothing of its own here, if so."""
    try:
        done = subprocess.run(
            [*UNDER, "sh", "-c", "mount --make-rprivate / && mount -t tmpfs tmpfs /dev/shm"], capture_output=True
        )
    except OSError as error:
        return str(error)
    return done.stderr.decode().strip() if done.returncode else None


@pytest.fixture(scope="module")
def needs_mounts() -> None:
    if (why := why_not()) is not None:
        pytest.skip(f"no shared memory of its own can be mounted here: {why}")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["finish", "kill"])
@pytest.mark.parametrize(("size", "neighbour"), CASES)
def test_a_run_on_a_small_machine_loses_nothing_or_says_so(
    host: Host, needs_mounts: None, size: str, neighbour: str, end: str
):
    found = episode(host, size, neighbour, end)
    points = host.server.run("run").points
    lost = CALLS - points - found["dropped"]
    if out := os.environ.get("RESULTS_FILE"):  # a table for people
        with open(out, "a", encoding="utf-8") as file:
            file.write(f"| {size} | {neighbour} | {end} | {points:,} | {found['dropped']:,} | {lost:,} |\n")
    assert found["dropped"] == 0, found["errors"]
    assert host.server.run("run").status == ("COMPLETED" if end == "finish" else "CRASHED")
    if end == "finish":
        assert (lost, found["delivered"], found["logged"]) == (0, CALLS, CALLS)
        assert (found["pending"], found["rejected"], found["abandoned"]) == (0, 0, 0)
    elif size in ("64m", "48m"):
        assert lost == 0, found["errors"]
    else:  # where too little shared memory was left: it was said, and is the end of the run
        assert lost == 0 or "A kill loses" in found["errors"]
        assert lost < CALLS / 2
    if end == "kill":
        (told,) = json.loads(found["sync"])
        assert told["lost"] is None or told["lost"] >= lost
    values = host.server.values("run", "loss")
    assert values == sorted(set(values))  # in order, each once
    assert set(values) <= set(range(CALLS))


def episode(host: Host, size: str, neighbour: str, end: str) -> dict[str, Any]:
    """Run one on a machine of its own, and have its rest delivered."""
    victim = host.write(VICTIM)
    first, then = NEIGHBOURS[neighbour]
    done = ended(host.start(MACHINE, str(victim), size, first, then, end, under=UNDER))
    assert done.code == 0, done.errors
    found: dict[str, Any] = json.loads(done.out)
    return found
