"""Runs on a Mac, which the shim stands for: delivered, kept, killed, forked, and after a power cut."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from macos.mac import Mac
from tmpfs import mounted

COUNT = 500
STATS = """
import dataclasses, json
def tell(stats):
    found = dataclasses.asdict(stats)
    print(json.dumps({name: found[name] for name in ("logged", "pending", "lost", "faults", "abandoned", "dropped")}))
"""
LOGGED = f"""{STATS}
import steplog, sys
run = steplog.init(project="p", name=sys.argv[1] if len(sys.argv) > 1 else "trained")
for step in range({COUNT}):
    run.log("loss", step / 7, step=step)
"""
FINISHED = f"{LOGGED}\nrun.finish()\ntell(run.stats())"
KILLED = f"{LOGGED}\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
SLOW_KILLED = f"""{LOGGED}
import os, signal
from polling import wait_until
wait_until(lambda: run.stats().durable >= {COUNT})
os.kill(os.getpid(), signal.SIGKILL)
"""
FORKED = f"""{LOGGED}
import os
if (child := os.fork()) == 0:
    for step in range({COUNT}, 2 * {COUNT}):
        run.log("loss", step / 7, step=step)
    run.finish()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
run.finish()
tell(run.stats())
"""
READ = """
import steplog, sys
run = steplog.open(f"p/{sys.argv[1]}")
print(len(run.history("loss")), run.status.value)
"""
WHOLE = {"pending": 0, "lost": 0, "faults": 0, "abandoned": 0}


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mac:
    monkeypatch.delenv("STEPLOG_MEMORY_DIR")
    return Mac(tmp_path)


def points(mac: Mac, name: str = "trained") -> tuple[int, str]:
    """How many values of a run the server has, and its status."""
    count, status = mac.run("-c", READ, name).stdout.split()
    return int(count), status


def whole(printed: str) -> dict[str, object]:
    """The figures of a run in which nothing went wrong."""
    found: dict[str, object] = json.loads(printed.splitlines()[-1])
    assert {name: found[name] for name in WHOLE} == WHOLE
    assert not any(found["dropped"].values())
    return found


def test_a_run_is_delivered_to_a_server_found_by_its_long_socket_path(mac):
    with mac.serving():
        [socket] = (mac.state / "servers").glob("*.sock")
        assert len(os.fsencode(socket)) > 103
        done = mac.run("-c", FINISHED, STEPLOG_QUIET="1")
        assert whole(done.stdout)["logged"] == COUNT
        assert done.stderr == ""
        assert points(mac) == (COUNT, "COMPLETED")
    assert not list((mac.state / "servers").glob("*.sock"))


def test_memory_is_private_files_in_the_users_caches(mac):
    mac.run("-c", KILLED, code=-signal.SIGKILL, STEPLOG_MODE="offline")
    [memory] = mac.memory()
    assert memory.stat().st_mode & 0o777 == 0o700
    segments = list(memory.rglob("*.segment"))
    assert segments
    for segment in segments:
        assert segment.stat().st_blocks * 512 >= segment.stat().st_size, "a page of it may find no room on the disk"


def test_what_a_killed_program_has_logged_offline_is_synced_whole(mac):
    mac.run("-c", KILLED, code=-signal.SIGKILL, STEPLOG_MODE="offline")
    with mac.serving():
        mac.steplog("sync")
        assert points(mac) == (COUNT, "CRASHED")


def test_a_fork_logs_to_the_same_run(mac):
    with mac.serving():
        whole(mac.run("-c", FORKED, STEPLOG_QUIET="1").stdout)
        assert points(mac) == (2 * COUNT, "COMPLETED")


def test_two_processes_log_to_one_run(mac):
    joined = f"""
import multiprocessing, steplog
def work(run_id, first):
    run = steplog.attach(run_id)
    for step in range(first, first + {COUNT}):
        run.log("loss", step / 7, step=step)
    run.finish()
if __name__ == "__main__":
    assert multiprocessing.get_start_method() == "spawn"
    run = steplog.init(project="p", name="trained")
    workers = [multiprocessing.Process(target=work, args=(run.id, first)) for first in (0, {COUNT})]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    run.finish()
"""
    program = mac.home / "joined.py"
    program.write_text(joined)
    with mac.serving():
        mac.run(str(program), STEPLOG_QUIET="1")
        assert points(mac) == (2 * COUNT, "COMPLETED")


def test_after_another_start_of_the_machine_what_is_durable_is_delivered(mac):
    """What mapped files hold after a power cut is of several moments: it is removed, as Linux's shared memory is."""
    mac.run("-c", SLOW_KILLED, code=-signal.SIGKILL, STEPLOG_MODE="offline")
    [before] = mac.memory()
    for segment in before.rglob("*.segment"):
        segment.write_bytes(b"\xff" * segment.stat().st_size)
    restarted = "8F4E0000-0000-4000-8000-000000000002"
    with mac.serving(MAC_BOOT=restarted):
        mac.run("-c", FINISHED, "later", STEPLOG_QUIET="1", MAC_BOOT=restarted)
        said = mac.steplog("sync", code=1, MAC_BOOT=restarted)
        assert "500 delivered; an unknown number of values may be lost with memory that is gone" in said
        mac.environment["MAC_BOOT"] = restarted
        assert points(mac) == (COUNT, "CRASHED")
        assert points(mac, "later") == (COUNT, "COMPLETED")
    assert before not in mac.memory()
    assert len(mac.memory()) == 1


def test_memory_of_another_host_with_the_same_home_is_left_alone(mac):
    mac.run("-c", KILLED, code=-signal.SIGKILL, STEPLOG_MODE="offline", MAC_HOST="ab" * 16)
    [others] = mac.memory()
    mac.run("-c", KILLED, "here", code=-signal.SIGKILL, STEPLOG_MODE="offline", MAC_BOOT="another")
    assert others in mac.memory()
    assert len(mac.memory()) == 2


def test_a_system_that_tells_no_start_is_without_shared_memory_and_says_so(mac):
    done = mac.run("-c", FINISHED, STEPLOG_MODE="offline", MAC_BOOT="")
    assert "steplog goes without shared memory: the system has none." in done.stderr
    assert mac.memory() == []


def test_a_full_disk_is_no_fault_in_mapped_memory(mac):
    """Zeros are written before a segment is mapped: what does not fit is private memory, and said."""
    full = """
import os, steplog
run = steplog.init(project="p", name="trained")
path = os.path.join(os.path.expanduser("~/Library/Caches"), "ballast")
with open(path, "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
for step in range(40_000):
    run.log("loss", step / 7, step=step)
run.finish()
print(run.stats().lost, run.stats().faults, sum(run.stats().dropped.values()), run.stats().abandoned)
"""
    with mac.serving(), mounted(mac.caches, "1m"):
        assert mac.run("-c", full).stdout.split()[-4:] == ["0", "0", "0", "0"]
        assert points(mac) == (40_000, "COMPLETED")


def test_what_is_called_durable_has_left_the_drives_cache(mac):
    mac.run("-c", SLOW_KILLED, code=-signal.SIGKILL, STEPLOG_MODE="offline")
    syncs = mac.syncs()
    assert syncs["F_FULLFSYNC"] > 0
    assert syncs.keys() == {"F_FULLFSYNC"}, "fsync leaves data in the drive's cache; mmap of a file syncs all of it"


def test_a_file_system_without_full_syncs_is_synced_as_it_can(mac):
    mac.run("-c", SLOW_KILLED, code=-signal.SIGKILL, STEPLOG_MODE="offline", MAC_FULLFSYNC="ENOTSUP")
    syncs = mac.syncs()
    assert syncs["fsync"] == syncs["F_FULLFSYNC"] > 0


def test_a_sync_that_failed_is_not_repeated_by_one_that_does_not_see_it(mac):
    mac.run("-c", FINISHED, STEPLOG_MODE="offline", MAC_FULLFSYNC="EIO", STEPLOG_FINISH_TIMEOUT_S="3")
    syncs = mac.syncs()
    assert syncs["F_FULLFSYNC"] > 0
    assert syncs["fsync"] == 0
