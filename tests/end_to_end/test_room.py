"""What runs out while a run goes on: descriptors, the size of a file. Nothing is dropped for that."""

from __future__ import annotations

import ast

import pytest

from end_to_end.gate import Gate
from end_to_end.programs import Host, ended, go_on, line
from server.process import ServerProcess

CALLS = 30_000
AWAY = {
    "no descriptor is left": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
    ),
    "no file may be large": (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", AWAY)
def test_a_run_goes_on_in_private_memory_and_says_so_once(host: Host, what: str):
    away, back = AWAY[what]
    done = host.run(
        f"""
        import resource
        run = begin()
        run.log("loss", 0.0)
        run.flush()
        {away}
        for number in range(1, {CALLS}):
            run.log("loss", float(number))
        time.sleep(2.0)  # twice what the keeper takes to come round
        {back}
        report = run.finish()
        print(report.logged, report.delivered, dict(report.dropped))
        """,
        STEPLOG_MEMORY_BYTES_MAX=str(8 << 20),
    )
    assert done.out == f"{CALLS} {CALLS} {{}}\n", done.errors
    assert done.errors.count("goes on without shared memory") == 1
    assert host.server.values("run", "loss") == [float(number) for number in range(CALLS)]


@pytest.mark.parametrize(
    ("on_full", "away"),
    [
        ("drop_oldest", "reset"),
        pytest.param("drop_oldest", "hold", marks=pytest.mark.slow),
        ("drop_newest", "reset"),
    ],
)
def test_when_memory_and_disk_are_full_what_on_full_says_goes_and_is_counted(
    host: Host, server: ServerProcess, on_full: str, away: str
):
    with Gate(int(server.url.rpartition(":")[2])) as gate:
        host.environment["STEPLOG_URL"] = gate.url
        program = host.start(
            """
            import random
            from polling import wait_until
            from steplog.lifecycle.open_run import open_runs
            run = begin()
            pool = open_runs()[0].opened.writer.pool
            run.log("loss", 0.5, 0)
            run.flush()
            print("away", flush=True)
            sys.stdin.readline()
            number, full = 1, os.environ["STEPLOG_ON_FULL"] == "drop_newest"
            while number < 400_000:
                wait_until(lambda: full or pool.measure() <= 3_600_000)
                for _ in range(1000):
                    run.log("loss", random.random(), number)
                    number += 1
            print("back", flush=True)
            sys.stdin.readline()
            report = run.finish()
            print(report.logged, report.delivered, report.pending, report.abandoned, dict(report.dropped), number)
            """,
            STEPLOG_MEMORY_BYTES_MAX=str(4 << 20),
            STEPLOG_SPOOL_BYTES_MAX=str(1 << 20),
            STEPLOG_ON_FULL=on_full,
        )
        assert line(program) == "away"
        gate.mode = away
        go_on(program)
        assert line(program) == "back"
        gate.mode = "pass"
        go_on(program)
        done = ended(program)
    assert done.code == 0, done.errors
    logged, delivered, pending, abandoned, reasons = done.out.split(maxsplit=4)
    dropped, calls = ast.literal_eval(reasons[: reasons.index("}") + 1]), int(reasons.split()[-1])
    steps = [step for _, _, step in host.server.metrics("run")]
    assert (len(steps), pending, abandoned) == (int(delivered), "0", "0")
    if on_full == "drop_oldest":
        burst = dropped.get("memory full", 0)  # of calls that came faster than the agent made room
        assert dropped["oldest"] > 50_000
        assert calls == int(logged) == int(delivered) + dropped["oldest"] + burst
        assert steps == sorted(set(steps))
        assert steps[0] == 0
        # What was under way all the time is on the server; what came after it is gone.
        gap = max(range(1, len(steps)), key=lambda at: steps[at] - steps[at - 1])
        assert (gap == 1) is (away == "reset")
        assert dropped["oldest"] < steps[gap] - steps[gap - 1] <= dropped["oldest"] + burst + 1
    else:
        assert dropped.keys() == {"memory full"}
        assert int(logged) == calls == int(delivered) + dropped["memory full"]


EXHAUST = """
def exhaust(leaving):
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for descriptor in taken[:leaving]:
        os.close(descriptor)
    return taken[leaving:]

def give_back(taken):
    for descriptor in taken:
        os.close(descriptor)

import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
begin("first").finish()
"""


def test_a_run_that_begins_without_a_free_descriptor_arrives_once_there_are_some(host: Host):
    done = host.run(
        f"""
        {EXHAUST.replace(chr(10), chr(10) + " " * 8)}
        for leaving in range(6):
            taken = exhaust(leaving)
            run = begin(f"leaving {{leaving}}")
            for number in range(1000):
                run.log("loss", float(number))
            give_back(taken)
            report = run.finish()
            print(leaving, report.delivered, report.pending, dict(report.dropped))
        """
    )
    assert done.code == 0, done.errors
    assert done.out == "".join(f"{leaving} 1000 0 {{}}\n" for leaving in range(6)), done.errors
    assert sum(row.points for row in host.server.runs()) == 6000


def test_a_child_forked_without_a_free_descriptor_counts_and_reports_its_drops(host: Host):
    done = host.run(
        f"""
        {EXHAUST.replace(chr(10), chr(10) + " " * 8)}
        run = begin()
        taken = exhaust(0)
        pid = os.fork()
        if pid == 0:
            exhaust(0)
            for number in range(1000):
                run.log("child", float(number))
            give_back(taken)
            print(run.stats().dropped, flush=True)
            os._exit(0)
        give_back(taken)
        assert os.waitpid(pid, 0)[1] == 0
        run.log("parent", 1.0)
        run.finish()
        """
    )
    assert (done.code, done.out) == (0, "{'no place': 1000}\n"), done.errors
    assert done.errors.count("what it logs is dropped") == 1
    assert host.server.values("run", "parent") == [1]
