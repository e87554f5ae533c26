"""What runs out while a run goes on: descriptors, the size of a file. Nothing is dropped for that."""

from __future__ import annotations

import pytest

from end_to_end.programs import Host

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
        time.sleep(0.3)
        {back}
        report = run.finish()
        print(report.logged, report.delivered, dict(report.dropped))
        """,
        STEPLOG_MEMORY_BYTES_MAX=str(8 << 20),
    )
    assert done.out == f"{CALLS} {CALLS} {{}}\n", done.errors
    assert done.errors.count("goes on without shared memory") == 1
    assert host.server.values("run", "loss") == [float(number) for number in range(CALLS)]
