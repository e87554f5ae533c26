"""A disk that is really full, or limited: the run goes on, nothing is lost, it is said once, and is over when it is."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.network import Network
from end_to_end.programs import Host, ended, go_on, line
from server.process import ServerProcess
from tmpfs import mounted

CALLS = 20_000
PROGRAM = """
    import contextlib, hashlib
    from polling import wait_until
    run = begin()
    print("ready", flush=True)
    sys.stdin.readline()
    slowest = 0.0
    for number in range(20_000):
        began = time.perf_counter()
        run.log("loss", number + 0.5 if number % 2 else hashlib.sha256(b"%d" % number).hexdigest(), number)
        slowest = max(slowest, time.perf_counter() - began)
        if number % 200 == 0:
            time.sleep(0.02)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: run.stats().last_error is not None, 10)
    print(run.stats().pending, sum(run.stats().dropped.values()), flush=True)
    sys.stdin.readline()
    report = run.finish(timeout=40)
    print(report.delivered, report.pending, flush=True)
"""


def why_not() -> str | None:
    """Why no tmpfs can be mounted here, if it cannot."""
    if os.geteuid() != 0:
        return "only root may mount a tmpfs"
    return None if Path("/proc/self/mounts").exists() else "no mounts here"


needs_mounts = pytest.mark.skipif(why_not() is not None, reason=f"a full tmpfs: {why_not()}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team", "--allow-host", "127.0.0.1") as started:
        yield started


@pytest.fixture
def network(server: ServerProcess) -> Iterator[Network]:
    with Network(int(server.url.rpartition(":")[2]), random.Random(1)) as made:
        yield made


@pytest.fixture
def host(tmp_path: Path, server: ServerProcess, network: Network) -> Host:
    host = Host(tmp_path, server, network.url)
    host.environment |= {
        "STEPLOG_SPOOL_INTERVAL_S": "0.2",
        "STEPLOG_BATCH_AGE_S": "0.1",
        "STEPLOG_SPOOL_BYTES_MAX": "1000000000",
    }
    return host


def through_an_outage(host: Host, network: Network, source: str = PROGRAM) -> str:
    """The server goes away while the program logs, and comes back; what the program wrote on stderr."""
    program = host.start(source)
    assert line(program) == "ready"
    network.state = "down"
    go_on(program)
    pending, dropped = line(program).split()
    network.state = "up"
    go_on(program)
    assert (int(pending), int(dropped)) == (CALLS, 0)
    assert line(program) == f"{CALLS} 0"
    done = ended(program)
    assert done.code == 0, done.errors
    stored = host.server.metrics("run")
    assert [step for _, _, step in stored] == list(range(CALLS))
    return done.errors


def said(errors: str, what: str) -> int:
    return sum(what in text for text in errors.splitlines())


@pytest.mark.slow
@needs_mounts
def test_a_disk_that_fills_up_while_the_server_is_away(host: Host, network: Network):
    with mounted(host.state, "100k"):
        errors = through_an_outage(host, network)
        assert said(errors, "No space left") == 1, errors
        assert not list(host.state.iterdir())


@pytest.mark.slow
@needs_mounts
def test_a_disk_without_a_free_inode(host: Host, network: Network):
    with mounted(host.state, "10m", ",nr_inodes=6"):
        errors = through_an_outage(host, network)
        assert said(errors, "steplog cannot write to") == 1, errors
        assert said(errors, "cannot write the manifest") <= 1, errors


@pytest.mark.slow
def test_a_limit_on_the_size_of_files(host: Host, network: Network):
    limited = PROGRAM.replace("    run = begin()\n", "    import resource\n    run = begin()\n", 1).replace(
        "    slowest = 0.0\n",
        "    slowest = 0.0\n    resource.setrlimit(resource.RLIMIT_FSIZE, (530_000, 530_000))\n",
        1,
    )
    errors = through_an_outage(host, network, limited)
    assert said(errors, "File too large") <= 1, errors
