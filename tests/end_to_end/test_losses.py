"""What a run loses is known after a kill: told by ``sync``, whose exit code says so, and never less than was lost."""

from __future__ import annotations

import json
import mmap
import signal
import struct
from pathlib import Path

import pytest

from end_to_end.programs import Done, Host, go_on, line
from steplog import journals

MEMORY_BYTES = 1024 * 1024
# Other programs hold all of the memory that steplog may take, and the disk may take nothing.
FULL = f"""
memory = os.environ["STEPLOG_MEMORY_DIR"]
os.makedirs(memory, 0o700, exist_ok=True)
with open(memory + "/others", "wb") as others:
    others.write(bytes({MEMORY_BYTES}))
"""
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
        time.sleep(0.001)
print("logged", flush=True)
sys.stdin.readline()
"""
PRIVATE = {"STEPLOG_MEMORY_BYTES_MAX": str(MEMORY_BYTES), "STEPLOG_SPOOL_BYTES_MAX": "1"}


def called(host: Host) -> tuple[int, int]:
    """How many calls had returned, and of how many of them ``stats()`` had last said that a kill would not take them."""
    with open(host.directory / "calls", "rb") as file, mmap.mmap(file.fileno(), 16, access=mmap.ACCESS_READ) as calls:
        returned, safe = struct.unpack("<qq", calls[:])
        return returned, safe


def sync(host: Host, *arguments: str) -> Done:
    return host.run("-m", "steplog", "sync", *arguments)


def test_a_kill_in_private_memory_loses_what_stats_said_at_most_and_sync_counts_it(host: Host):
    with host.silence_at_start() if hasattr(host, "silence_at_start") else host.start(
        FULL + LOGS.format(most=10**9), **PRIVATE
    ) as program:
        assert line(program) == "ready"
        with host.silence():
            go_on(program)
            assert line(program) == "logging"
            program.send_signal(signal.SIGKILL)
            program.wait()
    returned, safe = called(host)
    done = sync(host, "--json")
    (told,) = json.loads(done.out)
    stored = host.server.run("run").points
    lost = returned - stored - told["dropped"].get("memory full", 0)
    assert lost > 0
    assert lost <= returned - safe
    assert lost <= told["lost"]
    assert told["logged"] == stored + sum(told["dropped"].values()) + told["lost"] + told["abandoned"]
    assert done.code == 1
    assert journals_of(host) == []


def journals_of(host: Host) -> list[str]:
    return json.loads(host.run("-m", "steplog", "ls", "--here", "--json").out)["waiting"]
