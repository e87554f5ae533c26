"""Processes that give up the oldest without a pause, with the server away and the disk full, are killed over it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from end_to_end.gate import Gate
from end_to_end.programs import Host, ended, go_on, line
from server.process import ServerProcess
from steplog.journal import cursor

TESTS = Path(__file__).resolve().parents[1]
VICTIMS = 3
LIFE_S = 1.0
MEMORY_BYTES = 2 << 20
# Its last act is at a bytecode of a later time that it gives something up, or comes from outside (0 bytecodes).
VICTIM = f"""
import base64, mmap, random, struct
sys.path.insert(0, {str(TESTS)!r})
from journal.tracing import AtBytecode
from polling import wait_until
from steplog.journal.spooling import Spooling
from steplog.lifecycle.open_run import open_runs

entries, bytecodes = int(sys.argv[2]), int(sys.argv[3])
give_up, said = Spooling._give_up_oldest, []

def gives_up(self, below):
    global entries
    entries -= bool(said)
    if entries > 0 or not bytecodes:
        given_up = give_up(self, below)
        if given_up and not said:
            said.append(True)
            print("gives up", flush=True)
        return given_up
    return AtBytecode(bytecodes, lambda: os.kill(os.getpid(), signal.SIGKILL)).during(lambda: give_up(self, below))

Spooling._give_up_oldest = gives_up
source = random.Random(1)
with open(sys.argv[1], "r+b") as file:
    ledger = mmap.mmap(file.fileno(), 4096)
run = begin()
writer = open_runs()[0].opened.writer
pool, dropped = writer.pool, writer.dropped
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + 40
number = 0
while time.monotonic() < end:
    wait_until(lambda: pool.measure() <= {MEMORY_BYTES} * 9 // 10)
    for _ in range(20):
        value, before = f"{{number}} {{base64.b64encode(source.randbytes(300)).decode()}}", dict(dropped)
        run.log("loss", value, number)
        number += dropped == before  # else it came faster than room was made: once more
        struct.pack_into("<q", ledger, 0, number)
"""


class Victim:
    """A program on a machine of its own, that logs without a pause until it is killed."""

    def __init__(self, host: Host, name: str, source: random.Random, steered: bool) -> None:
        self.host, self.name, self.steered = host, name, steered
        self.ledger = host.directory / f"{name}.ledger"
        self.ledger.write_bytes(bytes(4096))
        self.memory = Path(os.environ["STEPLOG_MEMORY_DIR"]) / name
        self.environment = {
            "STEPLOG_DIR": str(host.directory / name),
            "STEPLOG_MEMORY_DIR": str(self.memory),
            "STEPLOG_MEMORY_BYTES_MAX": str(MEMORY_BYTES),
            "STEPLOG_SPOOL_BYTES_MAX": str(1 << 20),
            "STEPLOG_ON_FULL": "drop_oldest",
        }
        steering = [source.randint(1, 12), source.randint(1, 3000) if steered else 0]
        arguments = [str(self.ledger), *map(str, steering)]
        self.program = host.start(VICTIM, *arguments, name=name, **self.environment)

    def die(self, source: random.Random) -> None:
        """Killed once it has given something up: by itself, or, where that does not come about, from outside."""
        assert line(self.program) == "gives up"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.program.wait(10 if self.steered else source.uniform(0, LIFE_S))
        self.program.kill()
        assert ended(self.program).code == -signal.SIGKILL

    def recover(self) -> None:
        """Have the rest delivered."""
        (found,) = self.memory.glob("*/*/marks")
        self.before = cursor.load(bytearray(found.read_bytes()))
        command = [sys.executable, "-m", "steplog", "sync", "--all"]
        environment = self.host.environment | self.environment
        self.sync = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def given_up(self) -> int:
        """How many were: all others are there."""
        done, before = ended(self.sync), self.before
        assert done.code == (before.oldest > 0), done.out  # 1: the run has lost some
        (returned,) = struct.unpack_from("<q", self.ledger.read_bytes())
        stored = self.host.server.metrics(self.name)
        steps = [step for _, _, step in stored]
        assert all(str(value).startswith(f"{step} ") for _, value, step in stored)
        assert steps == sorted(set(steps))
        assert steps[-1] in (returned - 1, returned)  # a call in flight may be there
        assert len(steps) + before.oldest == steps[-1] + 1
        gaps = [(left, right) for left, right in pairwise([-1, *steps]) if right > left + 1]
        assert len(gaps) == (before.oldest > 0)
        assert before.records <= len(steps)
        return before.oldest


@pytest.mark.slow
@pytest.mark.parametrize("steered", [True, False], ids=["in the middle of it", "at any moment"])
def test_a_kill_while_the_oldest_is_given_up_leaves_a_suffix_and_an_exact_count(
    host: Host, server: ServerProcess, steered: bool
):
    source = random.Random()
    with Gate(int(server.url.rpartition(":")[2])) as gate:
        host.environment["STEPLOG_URL"] = gate.url
        victims = [Victim(host, f"victim{number}", source, steered) for number in range(VICTIMS)]
        for victim in victims:
            assert line(victim.program) == "ready"
        gate.mode = "reset"
        for victim in victims:
            go_on(victim.program)
        for victim in victims:
            victim.die(source)
        gate.mode = "pass"
        for victim in victims:
            victim.recover()
        found = [victim.given_up() for victim in victims]
    assert all(found)
