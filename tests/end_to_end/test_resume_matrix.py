"""A run that is begun again: for each way in which the first process ended, each ``resume`` and each server."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from end_to_end import resuming
from end_to_end.programs import PRELUDE, Host, ended, go_on, line
from end_to_end.resuming import ENDS, RESUMES, SERVERS
from server.process import ServerProcess

FIRST = {
    "completed": ("run.finish()", "COMPLETED"),
    "failed": ("run.finish(status='FAILED')", "FAILED"),
    "crashed": ("raise ValueError('diverged')", "CRASHED"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "CRASHED"),
    "killed, delivered": ("run.flush(20)\nos.kill(os.getpid(), signal.SIGKILL)", "CRASHED"),
    "running here": ("run.flush(20)\nprint('runs', flush=True)\nsys.stdin.readline()\nrun.finish(status='FAILED')", ""),
    "running elsewhere": (
        "run.flush(20)\nprint('runs', flush=True)\nsys.stdin.readline()\nrun.finish(status='FAILED')",
        "",
    ),
}
BEGIN = """
import steplog
run = steplog.init("team", os.environ["PROJECT"], id="job", resume="allow")
run.log("loss", 1.0)
"""
SECOND = """
import steplog
given = {} if sys.argv[1] == "None" else {"id": "job", "resume": sys.argv[1]}
mode = "offline" if sys.argv[2] == "offline" else None
try:
    run = steplog.init("team", os.environ["PROJECT"], None if given else "job", mode=mode, **given)
except steplog.RunExistsError as error:
    assert "init(..., resume=\\"allow\\")" in str(error)
    print("`RunExistsError`")
    sys.exit()
run.log("loss", 2.0)
if mode is None:
    assert run.flush(20)
print("trains", flush=True)
sys.stdin.readline()
run.finish()
print(run.uuid, run.status.value)
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ServerProcess]]:
    embedded = ServerProcess(tmp_path_factory.mktemp("embedded"), "--user", "team")
    stock = ServerProcess(tmp_path_factory.mktemp("stock"), "--user", "team", "--stock")
    with embedded, stock:
        yield {"embedded": embedded, "stock": stock, "offline": embedded}


def is_fast(end: str, resume: str | None, server: str) -> bool:
    return server == "embedded" and (end, resume) in (("killed", "allow"), ("completed", "must"), ("failed", "never"))


def cells() -> Iterator[object]:
    for end, resume, server in product(ENDS, RESUMES, SERVERS):
        marks = () if is_fast(end, resume, server) else (pytest.mark.slow,)
        yield pytest.param(end, resume, server, marks=marks, id=f"{end}-{resume}-{server}")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Another machine: what its programs are told."""
    with tempfile.TemporaryDirectory(prefix="steplog-test-", dir="/dev/shm") as memory:
        yield {"STEPLOG_DIR": str(tmp_path / "elsewhere"), "STEPLOG_MEMORY_DIR": memory}


def begun(host: Host, end: str, where: dict[str, str]) -> subprocess.Popen[str] | None:
    """The first process, if it still runs."""
    body, _ = FIRST[end]
    first = host.start(host.write(PRELUDE + BEGIN + body, prelude=""), **where)
    if "running" in end:
        assert line(first) == "runs"
        return first
    ended(first)
    if end == "killed, delivered":
        assert host.run("-m", "steplog", "sync").code == 0
        assert not host.manifests()
    return None


@pytest.mark.parametrize(("end", "resume", "server"), list(cells()))
def test_a_run_is_begun_again(end, resume, server, servers, tmp_path, elsewhere):
    expected = resuming.outcome(end, resume, server)
    host = Host(tmp_path, servers[server])
    first = begun(host, end, elsewhere if end == "running elsewhere" else {})
    uuid = host.server.runs()[0].uuid
    second = host.start(host.write(PRELUDE + SECOND, prelude=""), str(resume), server)
    said = line(second)
    if expected == resuming.RAISES:
        assert (said, ended(second).code) == (expected, 0)
    else:
        assert said == "trains"
        if expected == resuming.GOES_ON and server != "offline":
            assert [row.status for row in host.server.runs()] == ["RUNNING"]
        go_on(second)
        done = ended(second)
        assert done.code == 0, done
        if server == "offline" and expected != resuming.ADDS:
            assert host.run("-m", "steplog", "sync").code == 0
    runs = host.server.runs()
    assert runs[0].uuid == uuid
    if expected == resuming.NEW:
        assert [(row.name, row.status) for row in runs[1:]] == [("job_1", "COMPLETED")]
        assert host.server.values("job_1", "loss") == [2.0]
    elif expected in (resuming.GOES_ON, resuming.TAKES_OVER, resuming.SHARED):
        assert [row.status for row in runs] == ["COMPLETED"]
    elif expected == resuming.ADDS:
        assert [row.status for row in runs] == ["RUNNING"]
    if first is not None:
        go_on(first)
        assert ended(first).code == 0
        assert host.server.runs()[0].status == ("COMPLETED" if expected == resuming.TAKES_OVER else "FAILED")
    elif expected in (resuming.NEW, resuming.RAISES):
        host.run("-m", "steplog", "sync")
        assert host.server.runs()[0].status == FIRST[end][1]
    both = expected not in (resuming.NEW, resuming.RAISES)
    arrived = sorted(host.server.values("job", "loss"))
    if (end, server) == ("killed", "stock"):  # at least once: a request may have been under way
        arrived = sorted(set(arrived))
    assert arrived == ([1.0, 2.0] if both else [1.0])
    assert not host.manifests()
