"""What servers over one PostgreSQL take to store what many runs send them, beside the embedded server's SQLite.

*Closed* rounds say what a processor can do: one server process and two take turns. *Paced* ones, thin, and closed ones,
dense, say what 200 clients wait for an acknowledgement. CPU seconds are those of servers, packers and PostgreSQL
together until everything is packed, since all of them and the clients share the machine's processors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.clients import DENSE, THIN, Load, ask, new_runs, send
from benchmarks.figure import Figure, over, quantile
from benchmarks.postgresql import Cluster, cluster, store_server
from benchmarks.stage import KEY, Server, Stage

__all__ = ["figures"]

GROUP = "team"
CLIENTS = 200
_REQUESTS_MAX = 400  # of a client


@dataclass(frozen=True)
class _Sent:
    """What so many clients send; ``is_paced``: one request a second each."""

    name: str
    load: Load
    clients: int
    is_paced: bool

    @property
    def what(self) -> str:
        return f"{self.name}, {self.clients} clients"


CLOSED_THIN = _Sent("thin", THIN, CLIENTS, False)
CLOSED_DENSE = _Sent("dense", DENSE, 8, False)
TEAM_THIN = _Sent("thin, paced", THIN, CLIENTS, True)
TEAM_DENSE = _Sent("dense", DENSE, CLIENTS, False)

_Round = dict[str, float]


def figures(stage: Stage) -> Iterator[Figure]:
    """Throughput and CPU of one and of two server processes, and latencies, both engines."""
    with cluster() as database:
        for sent, seconds in ((CLOSED_THIN, stage.pick(12, 5)), (CLOSED_DENSE, stage.pick(10, 4))):
            one: list[_Round] = []
            two: list[_Round] = []
            for _ in range(stage.pick(5, 2)):
                one.append(_round(stage, database, sent, 1, seconds))
                two.append(_round(stage, database, sent, 2, seconds))
            yield from _closed(sent, one, two)
        for sent, seconds in ((TEAM_THIN, stage.pick(40, 10)), (TEAM_DENSE, stage.pick(12, 5))):
            for engine, processes in ((database, 1), (database, 2), (None, 1)):
                rounds = [_round(stage, engine, sent, processes, seconds) for _ in range(stage.pick(3, 1))]
                yield from _waits(sent, "SQLite" if engine is None else f"PostgreSQL × {processes}", rounds)


def _closed(sent: _Sent, one: Sequence[_Round], two: Sequence[_Round]) -> Iterator[Figure]:
    parts = ", ".join(
        f"{part} {1e6 * quantile([each[part] for each in one], 0.5):.2f}" for part in ("server", "packer", "database")
    )
    note = f"µs a metric: {parts}"
    if sent.load is THIN:
        rates = [each["requests"] / each["seconds"] for each in one]
        name = f"requests a second, one process, {sent.what}"
        yield over(rates, group=GROUP, name=name, unit="", must=1500, reach=3000, more_is_better=True, note=note)
    else:
        rates = [each["records"] / each["seconds"] / 1e6 for each in one]
        yield over(rates, group=GROUP, name=f"metrics a second, one process, {sent.what}", unit="million")
        rates = [1e-6 / (each["server"] + each["database"]) for each in one]
        name = f"metrics a CPU second, one process, {sent.what}"
        yield over(rates, group=GROUP, name=name, unit="million", must=3, reach=6, more_is_better=True, note=note)
    rates = [each["requests"] / each["seconds"] for each in two]
    yield over(rates, group=GROUP, name=f"requests a second, two processes, {sent.what}", unit="")
    ratios = [after["all"] / before["all"] for before, after in zip(one, two, strict=True)]
    name = f"CPU a metric of two processes, {sent.what}"
    yield over(ratios, group=GROUP, name=name, unit="× one process's", must=1.15, reach=1.05)


def _waits(sent: _Sent, where: str, rounds: Sequence[_Round]) -> Iterator[Figure]:
    rate = quantile([each["records"] / each["seconds"] for each in rounds], 0.5)
    cpu = {part: 1e6 * quantile([each[part] for each in rounds], 0.5) for part in ("server", "packer", "database")}
    notes = {
        "p50": f"{rate:,.0f} metrics a second",
        "p99": "µs a metric: " + ", ".join(f"{part} {used:.2f}" for part, used in cpu.items()),
        "max": f"{sum(each['again'] for each in rounds):.0f} requests sent again",
    }
    for part, note in notes.items():
        times = [1e3 * each[part] for each in rounds]
        yield over(times, group=GROUP, name=f"acknowledgement {part}, {where}, {sent.what}", unit="ms", note=note)


def _round(stage: Stage, database: Cluster | None, sent: _Sent, processes: int, seconds: float) -> _Round:
    """``database`` None: the embedded server with SQLite. CPU seconds a metric of each part."""
    with contextlib.ExitStack() as opened:
        if database is None:
            servers: list[Server] = [opened.enter_context(stage.server())]
        else:
            store = database.new_store()
            servers = [opened.enter_context(store_server(stage, store)) for _ in range(processes)]
        urls = [server.url for server in servers]
        runs = new_runs(urls, KEY, sent.clients)
        before = _used(servers, database)
        told: _Round = stage.child(
            send,
            stage.environment(),
            urls=urls,
            key=KEY,
            runs=runs,
            names=sent.load.names,
            records=sent.load.records,
            requests=_REQUESTS_MAX,
            interval_s=1.0 if sent.is_paced else 0.0,
            seconds=seconds,
        )
        for at, run in enumerate(runs):
            ask(urls[at % len(urls)], KEY, "PATCH", run, {"status": "COMPLETED"})
        servers[0].wait_until_packed()
        if servers[0].points() != told["records"]:
            raise RuntimeError(f"{told['records']} records were acknowledged, and {servers[0].points()} are stored")
        used = {part: (after - before[part]) / told["records"] for part, after in _used(servers, database).items()}
        return told | used | {"all": sum(used.values())}


def _used(servers: Sequence[Server], database: Cluster | None) -> _Round:
    return {
        "server": sum(server.cpu_s() for server in servers),
        "packer": sum(server.packer_cpu_s() for server in servers),
        "database": 0.0 if database is None else database.cpu_s(),
    }
