"""What is in a simulated world: servers with their weather, and runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulation import oracle
from simulation.pens import FakeQuarantine, Pen, number_in
from simulation.weather import Weather
from steplog.delivery.exchange import Answer, Request
from steplog.delivery.tickets import RunAddress
from steplog.journal.manifest import Generation
from steplog.testing.memory_server import Fault, MemoryRun, MemoryServer

if TYPE_CHECKING:
    from simulation.world import World


class SimServer:
    """A model server with its weather; the transport that the sender knows."""

    def __init__(self, world: World, name: str, stock: bool, weather: Weather) -> None:
        self.world = world
        self.weather = weather
        self.memory = MemoryServer(batch=not stock, base_url=f"http://{name}")
        self.memory.refuses = lambda name, value: world.poison.get(number_in(value))
        self.backup: dict[str, MemoryRun] | None = None
        self.failed_at: list[float] = []  # when an exchange brought nothing
        self.passed_at: list[float] = []
        self.stocked = stock  # whether it ever was a stock server

    @property
    def base_url(self) -> str:
        return self.memory.base_url

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        raise AssertionError("the world exchanges")

    def refresh_key(self) -> bool:
        self.memory.found_key = None if self.weather.key_is_bad(self.world.now) else "key"
        return self.memory.refresh_key()

    def abort(self, request: Request) -> None:
        pass

    def arrive(self, request: Request, fault: Fault | None, sent_at: float) -> Answer:
        """A request reaches the server; its answer."""
        now = self.world.now
        self.memory.body_bytes_max = self.weather.limit(now)
        if self.weather.key_is_bad(now):
            self.memory.sent_key = "old"
        if fault is None or fault.stored:
            oracle.arriving(self.world, self, request, sent_at)
        if fault is not None and not fault.stored:
            return Answer(fault.status or 0, fault.body, fault.headers)
        answer = self.memory.exchange(request, 0.0)
        if fault is None or (answer.status >= 400 and (fault.status or 0) < 300):
            return answer
        return Answer(fault.status or 0, fault.body, fault.headers)

    def directly(self, request: Request) -> Answer:
        """A request of another client, whose way to the server is a good one."""
        key, self.memory.sent_key = self.memory.sent_key, self.memory.key
        try:
            return self.memory.exchange(request, 0.0)
        finally:
            self.memory.sent_key = key


@dataclass
class Remote:
    """An owner on another host: when it began, and the number that it got; and the status that it set."""

    maker: str
    began: float
    number: int = 0
    status: str | None = None


@dataclass(eq=False)
class SimRun:
    """One run: its writers, where it goes, and what has been decided about it."""

    server: SimServer
    address: RunAddress
    memory_run: str
    quarantine: FakeQuarantine
    pens: list[Pen] = field(default_factory=list)
    known: list[Pen] = field(default_factory=list)  # those that an agent can find
    status: str | None = None
    status_sent: bool = False
    due_before_status: set[int] = field(default_factory=set)
    confirmed_at: float | None = None  # when the server's answer to the status was taken in and written down
    deleted: bool = False
    lost: set[int] = field(default_factory=set)  # gone with an older backup, and from here as well
    shaky: set[int] = field(default_factory=set)  # a restored backup took them from the server
    in_the_dark: set[int] = field(default_factory=set)  # sent, and no answer has told what became of them
    half_sent: int = 0  # so many were about to be sent when the agent was killed
    half_told: set[int] = field(default_factory=set)  # of these, the agent was killed while it learned
    ambiguous: set[int] = field(default_factory=set)  # of these, sent to a stock server once more
    restored: float | None = None  # when its server went back to an older backup, if it did
    asked_since: set[str] = field(default_factory=set)  # the writers that sent something after that
    begun: tuple[Generation, ...] = ()  # generations of ownership that began here, as they are stored
    writers: dict[str, str] = field(default_factory=dict)  # of an earlier one: its maker
    remotes: list[Remote] = field(default_factory=list)

    @property
    def on_server(self) -> MemoryRun | None:
        return self.server.memory.runs.get(self.memory_run)
