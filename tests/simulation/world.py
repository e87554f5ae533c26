"""The simulated world: a virtual clock, servers with a weather, runs with their writers, and an agent that is killed.

A discrete-event simulation of everything around the sender. What decides (sender, consignments, streams, verdicts) is
the real code, and so are the writers and their journals; the network, the clocks and the processes are drawn from the
seed. The same seed gives the same life. After it, ``oracle.verdict`` says what was wrong with it.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from simulation import agent, oracle
from simulation.agent import SimAgent
from simulation.pens import Entry, FakeQuarantine, Fuse, Pen
from simulation.places import Remote, SimRun, SimServer
from simulation.weather import Weather
from steplog.delivery.exchange import Request
from steplog.delivery.generations import date
from steplog.delivery.tickets import RunAddress
from steplog.journal.manifest import Generation

START = 1000.0
ANSWER_LATE_S = 3600.0  # the longest that a server may ask us to stay away
BACKOFF_MAX_S = 60.0
GONE_INTERVAL_S = 600.0


class World:
    """Everything, for one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.added = random.Random(f"added {seed}")  # what came later is drawn apart: other lives stay as they were
        self.owners = random.Random(f"owners {seed}")
        self.now = START
        self.wall_ns = 1_700_000_000_000_000_000
        self.violations: list[str] = []
        self.poison: dict[int, int] = {}  # number of a record: the status that it gets
        self.logged: dict[int, tuple[SimRun, Pen, Entry]] = {}
        self.fuse = Fuse()
        self.kills = 0
        self.flushes = 0
        self.requests = 0
        self.trace = hashlib.sha256()  # of all requests that leave, each with its time
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._numbers = 0
        self.quiet_at = START  # from when on nothing happens but delivery
        self.servers = [self._draw_server(index) for index in range(self.random.choice((1, 1, 1, 2)))]
        self.runs = [self._draw_run(index) for index in range(self.random.choice((1, 1, 2, 3)))]
        self.agent: SimAgent | None = None
        for run in self.runs:
            if self.owners.random() < 0.5:
                self._draw_owners(run)
        self._draw_kills()
        for server in self.servers:
            if self.added.random() < 0.15:
                server.weather.add_nonsense(self.added, START, self.quiet_at - START)

    # -- time -----------------------------------------------------------------------------------------------------

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Have something happen."""
        self._sequence += 1
        heapq.heappush(self._events, (max(time, self.now), self._sequence, event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        self.at(self.now + seconds, event)

    def wrong(self, what: str) -> None:
        """Something happened that must not."""
        self.violations.append(f"at {self.now - START:.3f} s: {what}")

    def run(self) -> list[str]:
        """Live until everything is delivered, or should have been; what was wrong."""
        self.start_agent()
        calm = max(server.weather.calm() for server in self.servers)
        while self._events and not self.violations:
            if self._events[0][0] > calm + 60 and self._events[0][0] > max(calm, self.quiet_at) + self._allowance():
                break
            self.now, _, event = heapq.heappop(self._events)
            event()
            if self.now >= self.quiet_at and self.agent is not None and self.agent.idle():
                break
        self.violations += oracle.verdict(self)
        return self.violations

    def _allowance(self) -> float:
        """How long delivery may take once all is well."""
        allowed = 2 * BACKOFF_MAX_S + 60
        # A record that makes the server fail: some ten rounds of back-off; one that it refuses: one, if there are many.
        allowed += sum(600.0 if status == 500 else BACKOFF_MAX_S for status in self.poison.values())
        allowed += max(agent.DISK_S) * len(self.poison)
        for server in self.servers:
            allowed += ANSWER_LATE_S * server.weather.has("busy", "nonsense")
            allowed += GONE_INTERVAL_S * 1.1 * server.weather.has("proxy 404", "delete")
            allowed += server.weather.round_trip_s * 2 * len(self.logged)
        return allowed

    # -- drawing --------------------------------------------------------------------------------------------------

    def _draw_server(self, index: int) -> SimServer:
        stock = self.random.random() < 0.3
        server = SimServer(self, f"server{index}", stock, Weather.draw(self.random, START, stock))
        for time, kind in server.weather.moments:
            if kind == "restore":
                self.at(START + (time - START) * self.random.random(), lambda: self._back_up(server))
            self.at(time, lambda kind=kind: self._moment(server, kind))  # type: ignore[misc]
        return server

    def _draw_run(self, index: int) -> SimRun:
        server = self.random.choice(self.servers)
        made = server.memory.add_run("me", "demo")
        run = SimRun(server, RunAddress("me", "demo", made.uuid), made.uuid, FakeQuarantine(self.fuse))
        bad = self.random.choice((0, 0, 0, 0.01, 0.05))
        length = self.random.choice((5, 60, 400))
        for number in range(self.random.choice((1, 1, 2, 3))):
            pen = Pen(
                self.fuse,
                self.random,
                self.random.getrandbits(128).to_bytes(16, "big"),
                self.random.choice((1024, 2048, 8192)),
                lambda: self.wall_ns,
            )
            run.pens.append(pen)
            begin = START + (self.random.uniform(0, length / 2) if number else 0.0)
            self._draw_pen(run, pen, begin, length, bad)
        if self.random.random() < 0.8:
            end = START + length * self.random.uniform(0.5, 1.2)
            self.at(end, lambda: self._finish(run, self.random.choice(("COMPLETED", "CRASHED"))))
            self.quiet_at = max(self.quiet_at, end)
        for _ in range(self.random.choice((0, 0, 1, 2))):
            self.at(START + self.random.uniform(0, length), lambda: self._flush(run))
        if self.random.random() < 0.1:
            self.at(START + self.random.uniform(0, length), lambda: self._fill_disk(run, True))
            self.at(START + length, lambda: self._fill_disk(run, False))
        return run

    def _draw_pen(self, run: SimRun, pen: Pen, begin: float, length: float, bad: float) -> None:
        self.at(begin + self.random.uniform(0, 1) * (pen is not run.pens[0]), lambda: self._find(run, pen))
        time = begin
        end = begin + length
        for _ in range(self.random.choice((1, 3, 8, 15))):
            many = self.random.choice((1, 2, 5, 20, 60))
            self.at(time, lambda many=many: self._log(run, pen, many, bad))  # type: ignore[misc]
            time = min(time + self.random.expovariate(8 / length), end)
        if self.random.random() < 0.5:
            dies = self.random.uniform(begin, end)
            self.at(dies, lambda: self._die(pen))
            self.quiet_at = max(self.quiet_at, dies)
        self.quiet_at = max(self.quiet_at, time + 1)

    def _draw_owners(self, run: SimRun) -> None:
        """Have the run be made here, perhaps taken up here since, and perhaps taken up elsewhere meanwhile."""
        made = run.on_server
        assert made is not None
        first = Generation(maker="made it", began=_ns(START - 100), number=self.owners.choice((0, 1)))
        made.made_by, made.begun, run.begun = first.maker, [(date(first.began), first.maker)], (first,)
        if self.owners.random() < 0.6:
            run.begun = (first, Generation(maker="resumed it", began=_ns(START - 10)))
            run.writers = {pen.name: first.maker for pen in run.pens[1:] if self.owners.random() < 0.5}
        if run.server.stocked or run.server.weather.moments:
            return  # where it can be told which status counts
        for number in range(self.owners.choice((0, 0, 1, 2))):
            began = self.owners.choice((START - 50 + number, START + self.owners.uniform(0, 200)))
            remote = Remote(f"elsewhere {number}", began)
            run.remotes.append(remote)
            self.at(max(began, START), lambda remote=remote: self._begin_elsewhere(run, remote))  # type: ignore[misc]
            ends = max(began, START) + self.owners.uniform(0, 300)
            status = self.owners.choice(("COMPLETED", "FAILED"))
            self.at(ends, lambda remote=remote, status=status: self._end_elsewhere(run, remote, status))  # type: ignore[misc]
            self.quiet_at = max(self.quiet_at, ends)

    def _begin_elsewhere(self, run: SimRun, remote: Remote) -> None:
        body = msgspec.json.encode({"began": date(_ns(remote.began))})
        path = f"{run.address.run_path}generations/"
        answer = run.server.directly(Request("POST", path, body, {"Steplog-Maker": remote.maker}))
        remote.number = msgspec.json.decode(answer.body)["generation"]

    def _end_elsewhere(self, run: SimRun, remote: Remote, status: str) -> None:
        remote.status = status
        body = msgspec.json.encode({"status": status, "generation": remote.number})
        run.server.directly(Request("PATCH", run.address.run_path, body))

    def _draw_kills(self) -> None:
        for _ in range(self.random.choice((0, 0, 1, 2, 4))):
            time = START + self.random.uniform(0, self.quiet_at - START) * self.random.choice((0.1, 1, 1, 2))
            self.at(time, lambda: self._kill(self.random.choice((None, 0, 1, 2, 3, 5, 9))))
            self.quiet_at = max(self.quiet_at, time + 30)

    # -- what happens ---------------------------------------------------------------------------------------------

    def _log(self, run: SimRun, pen: Pen, many: int, bad: float) -> None:
        if not pen.living or (pen is run.pens[0] and run.status is not None):
            return
        if self.random.random() < 0.1:
            self.wall_ns += self.random.choice((-(10**18), 10**13, -(10**9)))
        for _ in range(many):
            self._numbers += 1
            if self.random.random() < 0.02:
                pen.claim()
                self.after(self.random.uniform(0, self.random.choice((1, 5, 60))), pen.bury)
            if self.random.random() < bad:
                faulty = sum(status == 500 for status in self.poison.values()) < 3 and self.random.random() < 0.2
                self.poison[self._numbers] = 500 if faulty else self.random.choice((400, 422))
            self.logged[self._numbers] = run, pen, pen.write(self._numbers)
        if self.random.random() < 0.1:
            pen.claim()
            self.after(self.random.uniform(0, 5), pen.bury)
        if self.agent is not None:
            self.agent.notice()

    def _die(self, pen: Pen) -> None:
        pen.die()

    def _find(self, run: SimRun, pen: Pen) -> None:
        run.known.append(pen)
        if self.agent is not None:
            self.agent.add(run, pen)

    def _finish(self, run: SimRun, status: str) -> None:
        if run.status is not None:
            return
        for pen in run.pens:
            if pen not in run.known:
                continue
            pen.bury()
        run.status = status
        run.due_before_status = {entry.number for pen in run.known for entry in pen.entries}
        if self.agent is not None:
            self.agent.decide(run)
            if self.added.random() < 0.5:
                self.agent.finish(run)

    def _flush(self, run: SimRun) -> None:
        if self.agent is not None:
            self.flushes += 1
            self.agent.flush(run, self.random.choice((1.0, 30.0, 600.0)))

    def _fill_disk(self, run: SimRun, full: bool) -> None:
        run.quarantine.full = full

    def _kill(self, after: int | None) -> None:
        """Kill the agent now, or at one of its next stores."""
        if after is not None:
            self.fuse.left = after
        else:
            self.agent_dies()

    def agent_dies(self) -> None:
        if self.agent is None:
            return
        self.kills += 1
        self.fuse.left = None
        self.agent.dead = True
        for run in self.runs:
            run.quarantine.leaving.clear()
        self.agent = None
        back = self.random.choice((0.0, 0.1, 5.0, 25.0))
        self.quiet_at = max(self.quiet_at, self.now + back)
        self.after(back, self.start_agent)

    def start_agent(self) -> None:
        if self.agent is None:
            self.agent = SimAgent(self, adopted=self.now > START and self.random.random() < 0.7)

    def _back_up(self, server: SimServer) -> None:
        server.backup = server.memory.backup()

    def _moment(self, server: SimServer, kind: str) -> None:
        match kind:
            case "restore" if server.backup is not None:
                oracle.restored(self, server)
                server.memory.restore(server.backup)
            case "delete":
                run = self.random.choice([run for run in self.runs if run.server is server] or [None])
                if run is not None:
                    run.deleted = True
                    server.memory.runs.pop(run.memory_run, None)
            case "upgrade":
                server.memory.batch = True
            case "downgrade":
                server.memory.batch = False
                server.stocked = True

    def sent(self, request: Request) -> None:
        """A request leaves the agent for the network."""
        deflated = request.headers.get("Content-Encoding") == "deflate"
        body = zlib.decompress(request.body) if deflated else request.body  # another zlib packs otherwise
        sent = (round(self.now, 6), request.method, request.path, body, sorted(request.headers.items()))
        self.requests += 1
        self.trace.update(repr(sent).encode())

    def run_of(self, server: SimServer, request: Request) -> SimRun | None:
        return next((run for run in self.runs if run.server is server and f"/{run.memory_run}/" in request.path), None)

    def accepted(self) -> dict[int, tuple[SimRun, Pen, Entry]]:
        """Every record whose ``log`` has returned."""
        return self.logged


def _ns(time: float) -> int:
    return int(time * 1_000_000_000)


def live(seed: int) -> list[str]:
    """What was wrong with the life of this seed; nothing, if all is well."""
    return World(seed).run()


def trace(seeds: Iterable[int]) -> tuple[int, str]:
    """How many requests these lives send, and a hash of all of them."""
    requests, traced = 0, hashlib.sha256()
    for seed in seeds:
        world = World(seed)
        world.run()
        requests += world.requests
        traced.update(world.trace.digest())
    return requests, traced.hexdigest()[:16]


def describe(seed: int) -> dict[str, Any]:
    """The life of a seed in numbers, for people."""
    world = World(seed)
    violations = world.run()
    return {
        "seed": seed,
        "lasted_s": round(world.now - START, 1),
        "runs": len(world.runs),
        "writers": sum(len(run.pens) for run in world.runs),
        "records": len(world.logged),
        "poison": len(world.poison),
        "kills": world.kills,
        "exchanges": sum(len(server.failed_at) + len(server.passed_at) for server in world.servers),
        "weather": [[window.kind for window in server.weather.windows] for server in world.servers],
        "violations": violations,
    }
