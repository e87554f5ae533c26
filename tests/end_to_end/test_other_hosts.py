"""A spool that several machines share: what one has left there, another takes only when it is told to."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from end_to_end.programs import Host, ended, go_on, line

LEAVES = """
from polling import wait_until
run = begin()
print(run.uuid, flush=True)
sys.stdin.readline()
for number in range(1000):
    run.log("loss", number)
wait_until(lambda: run.stats().durable >= 1000)
print("on disk", flush=True)
sys.stdin.readline()
os._exit(9)
"""


@pytest.mark.slow
def test_what_another_host_left_on_a_shared_disk_is_sent_once_and_only_by_name(host: Host):
    with host.start(LEAVES) as program:
        line(program)
        with host.silence():
            go_on(program)
            assert line(program) == "on disk"
            go_on(program)
            assert ended(program).code == 9
    paths = _becomes_another_hosts(host)
    (shown,) = json.loads(host.run("-m", "steplog", "ls", "--here", "--json").out)["waiting"]
    assert (shown["name"], shown["other_host"]) == ("run", "1" * 16)
    assert shown["why"].startswith("other host 11111111…: ")
    assert host.run("-m", "steplog", "sync").out == "nothing waits on this machine\n"
    assert host.run("-m", "steplog", "clean", "run", "--yes").code == 1
    with host.start("begin('next')\nsys.stdin.read()") as looks:  # twice at what the dead have left
        for dead in ("dead", "dead too"):
            assert host.run("run = begin()\nrun.log('loss', 1.0)\nos._exit(9)", name=dead).code == 9
            host.server.wait_for(dead, "CRASHED")
        assert ended(looks).code == 0
    assert (
        host.run(
            f"import steplog\ntry: list(steplog.sync({shown['id']!r}, offline=False))\nexcept ValueError: print(1)"
        ).out
        == "1\n"
    )
    assert host.server.run("run").status == "RUNNING"
    assert paths.is_dir()
    synced = host.run("-m", "steplog", "sync", "run")
    # Its process did not end by itself, and what only its shared memory had cannot be seen from here.
    unknown = "an unknown number of values may be lost with memory that is gone"
    assert (synced.code, synced.out) == (1, f"run: 1,000 delivered; {unknown}\n"), synced
    assert host.server.values("run", "loss") == list(range(1000))
    assert host.server.run("run").status == "CRASHED"
    assert not paths.exists()


def test_a_run_that_another_host_still_delivers_is_left_to_it(host: Host):
    with host.start(
        "run = begin()\nrun.log('loss', 1.0)\nprint(1, flush=True)\nsys.stdin.readline()\nos._exit(9)"
    ) as program:
        line(program)
        program.send_signal(signal.SIGSTOP)  # or it finds its directories gone, and makes them again
        _becomes_another_hosts(host)
        (synced,) = json.loads(host.run("-m", "steplog", "sync", "run", "--json").out)
        assert synced["why"] == "another process delivers it"
        assert host.server.run("run").status == "RUNNING"
        program.send_signal(signal.SIGCONT)
        go_on(program)
        ended(program)


def _becomes_another_hosts(host: Host) -> Path:
    """As this machine sees it if another one has made it: under another name, and its memory is not here."""
    (paths,) = [path.parent for path in host.state.glob("*/manifest")]
    other = paths.with_name(f"{paths.name.partition('.')[0]}.{'1' * 16}")
    paths.rename(other)
    shutil.rmtree(Path(os.environ["STEPLOG_MEMORY_DIR"]) / paths.name)
    return other
