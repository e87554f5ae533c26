"""What the agent has on lease, without directories, and an agent whose clock has back-off over soon."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from delivery.parts import Line
from steplog.delivery.agent import Agent
from steplog.delivery.doorbell import Doorbell
from steplog.delivery.options import DeliveryOptions

DEADLINE_S = 30.0


class NoFiles:
    """A run has no files."""

    def has_work(self) -> bool:
        return False

    def look_at(self, lock: Any) -> None:
        pass


class Held:
    """A run that the agent delivers, without directories: what ``Lease`` is to the agent."""

    doorbell = Doorbell(None)
    shared = False
    files = NoFiles()

    def __init__(self, line: Line, own: Any = None) -> None:
        self.line = line
        self.outbox = line.outbox
        self.own = own
        self.settled = 0
        self.looks = 0
        self.spooled = threading.Event()

    def look(self, lock: Any) -> bool:
        self.looks += 1
        return False

    def look_at_files(self, lock: Any) -> None:
        self.files.look_at(lock)

    def keeps_files(self) -> bool:
        return False

    def holds(self) -> bool:
        return True

    def decide(self, status: str, ended: int) -> None:
        self.outbox.end_with(status, ended=ended)

    def settle(self) -> None:
        self.settled += 1

    def act(self, action: Any) -> None:
        self.line.act(self.outbox, action)

    def write(self, lock: Any, clock: Any) -> bool:
        return False

    def done(self) -> bool:
        return False

    def spool(self, lock: Any, pressed: bool) -> None:
        self.spooled.set()

    @property
    def paths(self) -> Any:
        class Place:
            local_id = "x"

        return Place


class Owned:
    """A writer of this process, as far as the keeper knows one."""

    is_over = False

    def __init__(self, maintain: Callable[[], None]) -> None:
        self.maintain = maintain
        self.use_up: Callable[[], None] = lambda: None
        self.followed = threading.Event()
        self.writer = self
        self.pool = self

    def measure(self) -> int:
        return 0

    def follow(self) -> None:
        self.followed.set()

    def has_holes(self) -> bool:
        return False

    def call_on_successor(self, callback: Callable[[], None]) -> None:
        self.use_up = callback

    def take_over(self) -> None:
        pass

    def keep_alive(self) -> None:
        pass


def fast() -> float:
    """A clock that has back-off over soon."""
    return 20 * time.monotonic()


def started(*lines: Line, lanes: int = 1, **more: Any) -> tuple[Agent, list[Held]]:
    agent = Agent(
        DeliveryOptions(0.05, lanes), DEADLINE_S, clock=more.pop("clock", fast), source=random.Random(1), **more
    )
    held = [Held(line) for line in lines]
    for line, lease in zip(lines, held, strict=True):
        agent.deliver(lease, line.server)  # type: ignore[arg-type]
    return agent, held
