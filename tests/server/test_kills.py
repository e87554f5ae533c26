"""What the server acknowledged is stored once, in order, through kills, stops, load and full disks."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
import requests

from polling import wait_until
from server.batches import BEGAN_NS, range_of
from server.process import BATCH_HEADERS, KEY, ServerProcess
from steplog.journal.range import Range, encode
from steplog.server.records.chunk import POINTS_MAX

NAMES = ("loss", "accuracy", "rate")
MANY_NAMES = tuple(f"m{number}" for number in range(300))
MIB = 1024 * 1024
KILLS = int(os.environ.get("SERVER_KILLS", "12"))  # SERVER_KILLS=1000 is the long form


class Client(threading.Thread):
    """A writer that sends without pause and resends what was not answered."""

    def __init__(
        self,
        server: ServerProcess,
        run: str,
        writer: str,
        batches: int,
        records_max: int = 400,
        names: Sequence[str] = NAMES,
    ) -> None:
        super().__init__(daemon=True)
        self.names = names
        self.server, self.run_path, self.writer, self.records_max = server, run, writer, records_max
        self.batches = batches
        self.acknowledged = 0  # every position below was answered with 200
        self.answers = 0
        self.failures: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        randomness = random.Random(self.writer)
        end = 0
        with requests.Session() as session:
            while not self.stopped.is_set() and self.answers < self.batches and not self.failures:
                end = max(end, self.acknowledged + randomness.randrange(1, self.records_max))
                first = randomness.randrange(max(0, self.acknowledged - 50), self.acknowledged + 1)
                self.send(session, first, end)

    def send(self, session: requests.Session, first: int, end: int) -> None:
        try:
            answer = session.post(
                f"{self.server.url}/api/v0{self.run_path}metrics/batch/",
                data=encode(self.range(first, end)),
                headers=BATCH_HEADERS | {"Authorization": f"Api-Key {KEY}"},
                timeout=30,
            )
        except requests.RequestException:
            self.stopped.wait(0.01)  # it is being restarted
            return
        if answer.status_code == 200 and (answer.json()["first"], answer.json()["end"]) == (first, end):
            self.acknowledged = end
            self.answers += 1
        elif answer.status_code != 503:
            self.failures.append(f"{answer.status_code} {answer.text}")

    def range(self, first: int, end: int) -> Range:
        """The records of these positions."""
        count = len(self.names)
        steps = count == len(MANY_NAMES)  # the others are numbered by the server
        records = [(self.names[at % count], at, at // count if steps else None) for at in range(first, end)]
        return range_of(records, first=first, writer=self.writer)


class Telling(Client):
    """Some records are about the run."""

    def range(self, first: int, end: int) -> Range:
        """By position: the notes, a config key, or a metric."""
        said = {0: ("steplog/run", b'{"notes": "%d"}'), 3: ("steplog/config", b'{"k%d": 1}')}
        records = [
            (said[at % 7][0], said[at % 7][1] % at) if at % 7 in said else ("loss", at) for at in range(first, end)
        ]
        return range_of(records, first, self.writer, BEGAN_NS + first)


def check(server: ServerProcess, run: str, clients: list[Client], names: Sequence[str] = NAMES) -> int:
    """Each writer's records are there once, in order, and none acknowledged is missing."""
    by_name = defaultdict(list)
    for entry in server.ask("GET", f"{run}metrics/").json():
        by_name[entry["name"]].append(entry["value"])
    total = sum(len(values) for values in by_name.values())
    assert not [client.failures for client in clients if client.failures]
    for name, values in by_name.items():
        counts = defaultdict(int)
        for value in values:
            assert value == names.index(name) + len(names) * (value // len(names))
            counts[value] += 1
        # Writers log the same values: value v is there once for each writer that got as far as v.
        for value, count in counts.items():
            assert count >= sum(client.acknowledged > value for client in clients)
            assert count <= len(clients)
    for row in server.ask("GET", f"{run}series/").json():
        assert row["count"] == len(by_name[row["name"]])
    return total


@pytest.mark.slow
@pytest.mark.parametrize("names", [NAMES, MANY_NAMES], ids=["few names", "many names"])
def test_what_was_answered_before_a_kill_is_there_once(tmp_path, names):
    randomness = random.Random(7)
    with ServerProcess(tmp_path) as server:
        runs = [server.new_run() for _ in range(4)]
        clients = [Client(server, run, f"w{at}", 10**9, 800, names) for at, run in enumerate(runs)]
        for client in clients:
            client.start()
        for _ in range(KILLS):
            wanted = sum(client.answers for client in clients) + randomness.randrange(3, 40)
            wait_for(clients, wanted)
            assert server.end(signal.SIGKILL)[0] == -signal.SIGKILL
            server.start()
            assert server.ask("GET", f"{randomness.choice(runs)}series/").status_code == 200
        for client in clients:
            client.stopped.set()
            client.join(30)
        for run, client in zip(runs, clients, strict=True):
            stored = check(server, run, [client], names)
            assert stored >= client.acknowledged
            listed = server.ask("GET", f"{run}metrics/").json()
            assert [entry["value"] for entry in listed] == list(range(stored)), "lost, doubled or out of order"


@pytest.mark.slow
def test_what_records_say_of_the_run_is_kept_with_their_batch_through_kills(tmp_path):
    with ServerProcess(tmp_path) as server:
        run = server.new_run()
        client = Telling(server, run, "w", 10**9)
        client.start()
        for kill in range(3):
            wait_for([client], client.answers + 3 + 5 * kill)
            assert server.end(signal.SIGKILL)[0] == -signal.SIGKILL
            server.start()
        client.stopped.set()
        client.join(30)
        assert client.failures == []
        mark = server.send(run, range_of([("loss", 1)], first=2**40)).json()["mark"]
        assert mark >= client.acknowledged > 0
        told = server.ask("GET", run).json()
        assert told["config"] == {f"k{at}": 1 for at in range(3, mark, 7)}
        assert told["notes"] == str((mark - 1) // 7 * 7)
        listed = server.ask("GET", f"{run}metrics/").json()
        losses = [at for at in range(mark) if at % 7 not in (0, 3)]
        assert [entry["value"] for entry in listed if entry["name"] == "loss"] == losses
        assert {entry["name"] for entry in listed} == {"loss", "steplog/config"}


def test_a_stop_in_the_middle_of_batches_keeps_what_was_answered(tmp_path):
    with ServerProcess(tmp_path) as server:
        run = server.new_run()
        client = Client(server, run, "w", 10**9)
        client.start()
        wait_until(lambda: client.answers > 5)
        code, errors = server.end(signal.SIGTERM)
        assert (code, errors) == (0, "")
        server.start()
        client.stopped.set()
        client.join(30)
        assert check(server, run, [client]) >= client.acknowledged > 0


@pytest.mark.slow
def test_64_clients_at_once_are_served_each_record_once_in_bounded_memory(server):
    run = server.new_run()
    clients = [Client(server, run, f"w{at}", 6, records_max=POINTS_MAX) for at in range(64)]
    before = resident(server.process.pid)
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
    assert all(client.answers == 6 for client in clients), [client.failures for client in clients]
    assert check(server, run, clients) == sum(client.acknowledged for client in clients)
    assert resident(server.process.pid) - before < 256 * MIB


def test_a_full_disk_answers_507_and_the_server_goes_on_when_there_is_room(tmp_path):
    """A file size limit stands in for a full disk: the same write fails."""
    with ServerProcess(tmp_path) as server:
        run = server.new_run()
        noise = [("a", random.random()) for _ in range(20_000)]
        assert server.send(run, range_of(noise[:1])).status_code == 200
        wal = tmp_path / "server.db-wal"
        limit = wal.stat().st_size + 4096
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        for _ in range(3):
            answer = server.send(run, range_of(noise))
            assert (answer.status_code, list(answer.json())) == (507, ["detail", "request_id"])
        assert len(server.ask("GET", f"{run}metrics/").json()) == 1
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        assert server.send(run, range_of(noise)).json()["accepted"] == 19_999
        listed = server.ask("GET", f"{run}metrics/").json()
        assert [entry["value"] for entry in listed] == [value for _, value in noise]
        assert server.end()[0] == 0


def wait_for(clients: list[Client], answers: int) -> None:
    """Return when so many batches are answered, or one is answered as it should not be."""
    wait_until(lambda: sum(c.answers for c in clients) >= answers or any(c.failures for c in clients))


def resident(pid: int) -> int:
    """The bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
