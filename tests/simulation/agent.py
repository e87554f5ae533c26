"""The agent of the simulation: what ``delivery.agent`` does with threads and a clock, done with events.

It drives the real ``Sender``. It can die at every event, and inside of one at each store (``Fuse``); a new one finds
what the old one has stored: journals, marks, what was set aside, and what was decided about the run.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulation import oracle
from simulation.pens import Killed, Pen
from simulation.weather import TIMEOUT_S
from steplog.delivery.creation import Made
from steplog.delivery.exchange import Answer
from steplog.delivery.generations import Generations
from steplog.delivery.options import DeliveryOptions
from steplog.delivery.outbox import Outbox
from steplog.delivery.sender import InFlight, Sender
from steplog.delivery.tickets import Quarantine, Store
from steplog.delivery.verdicts import NOT_STORED, Verdict, judge
from steplog.delivery.waiter import Waiter

if TYPE_CHECKING:
    from simulation.places import SimRun
    from simulation.world import World

POLL_MIN_S = 0.02
POLL_MAX_S = 30.0
NOTICE_S = 0.5
FINISH_S = 30.0  # that somebody who ends a run waits
REFUSED_S = 60.0  # after which whoever was told that the status is refused tries again
LANES = oracle.LANES
DISK_S = (0.0, 0.01, 1.0, 30.0)  # until the disk has taken a line


class SimAgent:
    """One agent's life, from its start to its death."""

    def __init__(self, world: World, adopted: bool) -> None:
        self.world = world
        self.dead = False
        self.sender = Sender(random.Random(world.random.getrandbits(32)), POLL_MAX_S)
        self.outboxes: dict[SimRun, Outbox] = {}
        self._busy = [False] * LANES
        self._look_at = [0.0] * LANES
        self._poll_s = [POLL_MIN_S] * LANES
        self._asked_at: dict[SimRun, float] = {}  # when the last request of a run left
        for run in world.runs:
            outbox = Outbox(
                run.address,
                run.quarantine.positions,
                DeliveryOptions(0.5, LANES),
                random.Random(world.random.getrandbits(32)),
                "me" if adopted else None,
                generations=Generations(run.begun, run.writers),
            )
            outbox.resumed = len(run.begun) > 1
            self.outboxes[run] = outbox
            for pen in run.known:
                outbox.add(pen.journal())
            if run.status is not None:
                outbox.end_with(run.status)
                outbox.status_sent = run.status_sent
            elif not adopted and world.random.random() < 0.5:
                self._made(outbox, run)
            self.sender.add(world.now, outbox, run.server, adopted)
        for lane in range(LANES):
            self._look_in(lane, 0.0)

    def _made(self, outbox: Outbox, run: SimRun) -> None:
        """The answer to the run's creation told what the server has."""
        memory = run.server.memory
        if not run.begun:
            outbox.knows(memory.batch)
            return
        features = memory.features if memory.batch else None
        outbox.made(Made(run.memory_run, "run", features=features, generation=1), "me", memory.batch)

    # -- from outside ---------------------------------------------------------------------------------------------

    def add(self, run: SimRun, pen: Pen) -> None:
        self.outboxes[run].add(pen.journal())
        self.notice()

    def notice(self) -> None:
        """Records were written: a poll will see them."""
        self.sender.wake()
        for lane in range(LANES):
            self._poll_s[lane] = POLL_MIN_S
            self._look_in(lane, self.world.random.uniform(0, NOTICE_S))

    def wrote(self, run: SimRun, action: Quarantine) -> None:
        """The disk has taken what goes to quarantine, or has refused it."""

        def written() -> None:
            self.outboxes[run].quarantined(self.world.now, run.quarantine.write(action))
            for outbox in self.outboxes.values():
                outbox.release_waiters()

        if not self.dead:
            self._guarded(written)
            self.wake()

    def wake(self) -> None:
        self.sender.wake()
        for lane in range(LANES):
            self._look_in(lane, 0.0)

    def decide(self, run: SimRun) -> None:
        if run.status is not None and not (self.dead or run.status_sent):
            self.outboxes[run].end_with(run.status)
            self.wake()

    def flush(self, run: SimRun, timeout_s: float) -> None:
        """Somebody waits, and when he is told that it is done, it must be."""
        outbox = self.outboxes[run]
        numbers = {entry.number for pen in run.known for entry in pen.entries}

        def done() -> None:
            missing = self.world_missing(run, numbers) - run.shaky
            if missing and not run.deleted and not outbox.gone:
                self.world.wrong(f"a flush ended while {len(missing)} records were not there: {sorted(missing)[:5]}")

        wait = Waiter(done)
        outbox.wait(wait)
        self.world.after(timeout_s, lambda: wait in outbox.waiters and outbox.waiters.remove(wait))  # type: ignore[func-returns-value]
        self._guarded(outbox.release_waiters)
        self.wake()

    def finish(self, run: SimRun) -> None:
        """Somebody ends the run and waits: whatever was decided before, the server is asked."""
        outbox, begun = self.outboxes[run], self.world.now

        def was_asked() -> bool:
            return run.status_sent or outbox.status_sent or self._asked_at.get(run, 0.0) >= begun

        def done() -> None:
            if not was_asked():
                self.world.wrong("who ended the run was told that it is gone, and the server was not asked")
            self.world.after(REFUSED_S, lambda: self.decide(run))

        waiter = Waiter(done, status=True, afresh=True)
        outbox.wait(waiter)
        self.world.after(FINISH_S, lambda: waiter in outbox.waiters and outbox.waiters.remove(waiter))  # type: ignore[func-returns-value]
        self._guarded(outbox.release_waiters)
        self.wake()

        def look() -> None:
            held = run.quarantine.leaving or run.quarantine.full
            if not (self.dead or held or was_asked()):
                self.world.wrong(f"who ended the run at {begun:.3f} s waited, and the server was not asked")

        # One lane may have to wait for an exchange of each run.
        self.world.after((len(self.outboxes) + 1) * TIMEOUT_S, look)

    def world_missing(self, run: SimRun, numbers: set[int]) -> set[int]:
        return oracle.missing(run, numbers)

    def idle(self) -> bool:
        """Whether everything is delivered, as far as it can be."""
        return all(outbox.idle() or (run.deleted and outbox.gone) for run, outbox in self.outboxes.items()) and not any(
            self._busy
        )

    # -- its threads ----------------------------------------------------------------------------------------------

    def _look_in(self, lane: int, seconds: float) -> None:
        time = self.world.now + seconds
        if self._busy[lane] or (self.world.now < self._look_at[lane] <= time):
            return
        self._look_at[lane] = time
        self.world.at(time, lambda: self._look(lane, time))

    def _look(self, lane: int, time: float) -> None:
        if self.dead or self._busy[lane] or self._look_at[lane] != time:
            return
        self._guarded(lambda: self._send(lane))

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Killed:
            self.world.agent_dies()

    def _send(self, lane: int) -> None:
        now = self.world.now
        before = oracle.marked_sent(self.world) if self.world.fuse.left is not None else {}
        try:
            found = self.sender.next(now, lane)
        except Killed:
            for run, bits in oracle.marked_sent(self.world).items():
                run.half_sent += max(0, bits - before[run])
            raise
        if isinstance(found, InFlight):
            self._exchange(lane, found)
            return
        self._poll_s[lane] = min(self._poll_s[lane] * 1.5, POLL_MAX_S if not self.sender.lanes() else 2.0)
        wait = self._poll_s[lane] if found is None else min(max(found - now, 0.0), POLL_MAX_S)
        self._look_in(lane, wait)

    def _exchange(self, lane: int, flight: InFlight) -> None:
        world, server = self.world, flight.server.transport
        assert hasattr(server, "weather")
        self._busy[lane] = True
        self._poll_s[lane] = POLL_MIN_S
        world.sent(flight.request)
        blow = server.weather.strike(world.now, world.random)
        run = next(run for run, outbox in self.outboxes.items() if outbox is flight.outbox)
        self._asked_at[run] = world.now
        new = oracle.leaving(world, run, flight.request)
        box: list[Answer | None] = []
        if blow.arrives_s is not None:
            world.after(blow.arrives_s, lambda: box.append(server.arrive(flight.request, blow.fault, flight.sent_at)))
        world.after(
            min(blow.answers_s, TIMEOUT_S),
            lambda: self._answered(lane, flight, new, box[0] if box and blow.answered and box[0] else "no answer"),
        )

    def _answered(self, lane: int, flight: InFlight, new: set[int], answer: Answer | str) -> None:
        if self.dead:
            return
        self._guarded(lambda: self._take(lane, flight, new, answer))

    def _take(self, lane: int, flight: InFlight, new: set[int], answer: Answer | str) -> None:
        world = self.world
        self._busy[lane] = False
        server = flight.server.transport
        assert hasattr(server, "weather")
        judged = judge(answer, flight.ticket.confirms) if isinstance(answer, Answer) else None
        accepted = judged is not None and judged.verdict is Verdict.ACCEPTED
        (server.passed_at if accepted else server.failed_at).append(world.now)
        run = next(run for run, outbox in self.outboxes.items() if outbox is flight.outbox)
        if isinstance(answer, Answer) and answer.status == 409:
            oracle.mark_heard(world, run, flight, answer)
        told = new if judged is not None and (judged.verdict in NOT_STORED or judged.declined) else set()
        run.half_told |= told
        for action in self.sender.answered(world.now, flight, answer):
            if isinstance(action, Store) and run.begun != flight.outbox.generations.begun:
                world.fuse.burn()
                run.begun = flight.outbox.generations.begun
                world.fuse.burn()
            if isinstance(action, Quarantine):
                run.quarantine.put(action)
                world.after(world.random.choice(DISK_S), lambda action=action: self.wrote(run, action))  # type: ignore[misc]
        run.half_told -= told
        run.in_the_dark -= told
        oracle.gone_for_a_reason(world, run, flight.outbox.gone)
        flight.outbox.release_waiters()
        if flight.outbox.status_sent and not run.status_sent:
            world.fuse.burn()
            run.status_sent, run.confirmed_at = True, world.now
            world.fuse.burn()
        self.wake() if self.sender.lanes() else self._look_in(lane, 0.0)
