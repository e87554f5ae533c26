"""The oracle: what holds after every life, whatever happened in it (``I`` numbers as in the list of invariants).

* I1 every record whose ``log`` returned is on the server, or set aside, or was lost by the server with an old backup
  after it had confirmed it and is gone from here too;
* I2 once, on the batch path; on a stock server only what is ambiguous is there more than once;
* I3 nothing is there that was not logged, and nothing is altered;
* I4 in order, per writer and name;
* I6 the status is the one that was decided, came after every record that was written before, and is not sent again once
  it was confirmed;
* I7 of several owners the status of the one that began last counts, whatever arrives when;
* I8 every record is in the generation in whose time its writer was opened;
* I10 all of it within the time that back-off takes once the weather is calm; nothing is hammered in the meantime;
* I11 the marks count what happened: delivered, set aside, ambiguous. Exactly the poison is set aside, and
  none is sent while the disk has yet to take it. Ambiguous are the
  records that went to a stock server again while no answer had told what became of them. An agent that is killed right
  at a store may have stored what did not happen, or not have stored what did.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from typing import TYPE_CHECKING

import msgspec

from simulation.pens import Pen, number_in
from steplog.delivery import wire
from steplog.delivery.exchange import Answer, Request
from steplog.delivery.generations import date
from steplog.delivery.loss_report import LossReport
from steplog.delivery.sender import InFlight
from steplog.journal import range as ranges

if TYPE_CHECKING:
    from simulation.places import SimRun, SimServer
    from simulation.world import World
    from steplog.testing.memory_server import MemoryRun

LANES = 3  # to a stock server
FAILURES_A_MINUTE_MAX = 60


def missing(run: SimRun, numbers: set[int]) -> set[int]:
    """Which of these records are neither on the server nor set aside nor lost by the server itself."""
    there = set() if run.on_server is None else {number_in(row.value) for row in run.on_server.rows}
    aside = {number_in(value) for kept in run.quarantine.kept.values() for value in kept.values()}
    return numbers - there - aside - run.lost


def restored(world: World, server: SimServer) -> None:
    """Just before a server goes back: what it is about to lose may be gone from the journals already."""
    assert server.backup is not None
    for run in world.runs:
        if run.server is server and run.on_server is not None:
            run.restored = world.now
            kept = {number_in(row.value) for row in server.backup[run.memory_run].rows}
            run.shaky |= {number_in(row.value) for row in run.on_server.rows} - kept


def mark_heard(world: World, run: SimRun, due: InFlight, answer: Answer) -> None:
    """The agent hears that the server went back: of what that lost, the journal may have let go what was delivered."""
    for pen in run.known:
        first = due.outbox.journals[pen.name].memory.extents()[0].base
        run.lost |= {e.number for e in pen.entries if e.position < first and e.number in run.shaky}


def gone_for_a_reason(world: World, run: SimRun, gone: bool) -> None:
    """A run is given up for gone only where it was deleted, or something answered 404 as the server itself does."""
    if gone and not run.deleted and not run.server.weather.has("nonsense"):
        world.wrong("a run counts as gone though nothing has said so")


def leaving(world: World, run: SimRun, request: Request) -> set[int]:
    """A request leaves; the records that are in the dark from now on, until an answer says otherwise."""
    if request.method != "POST" or not request.path.endswith(("/metrics/", "/metrics/batch/")):
        return set()
    if request.path.endswith("/batch/"):
        deflated = request.headers.get("Content-Encoding") == "deflate"
        batch = ranges.decode(request.body if deflated else zlib.compress(request.body))
        numbers = {number_in(_value(record)) for record in wire.records(batch)}
    else:
        numbers = {number_in(msgspec.json.decode(request.body)["value"])}
        run.ambiguous |= numbers & run.in_the_dark
    if numbers & run.quarantine.leaving:
        world.wrong(f"sent while they are being set aside: {sorted(numbers & run.quarantine.leaving)[:5]}")
    new = numbers - run.in_the_dark
    run.in_the_dark |= new
    return new


def marked_sent(world: World) -> dict[SimRun, int]:
    """How many records of each run the marks say were sent, with no answer that tells what became of them."""

    def sent(pen: Pen) -> int:
        cursor = pen.journal().cursor
        return (cursor.sent | (1 << cursor.reach) - 1).bit_count()

    return {run: sum(sent(pen) for pen in run.known) for run in world.runs}


def arriving(world: World, server: SimServer, request: Request, sent_at: float) -> None:
    """A request is about to be carried out."""
    run = world.run_of(server, request)
    if run is None:
        return
    known = server.memory.sent_key == server.memory.key
    if (
        run.restored is not None
        and sent_at > run.restored
        and known
        and request.headers.get("Content-Encoding") == "deflate"
    ):
        run.asked_since.add(ranges.decode(request.body).writer)
    if request.method == "PATCH" and b"status" in request.body and run.on_server is not None:
        if run.confirmed_at is not None and sent_at > run.confirmed_at and run.restored is None:
            world.wrong("the status is sent again after it was confirmed")
        if run.status is None:
            world.wrong("a status is sent that nobody decided")
        left = missing(run, run.due_before_status) - run.shaky
        if left and known:
            world.wrong(f"the status is sent before {len(left)} records that were written before it")


def verdict(world: World) -> list[str]:
    """What is wrong with a life that is over."""
    if world.violations:
        return []
    wrong: list[str] = []
    if world.agent is None or not world.agent.idle():
        wrong.append("not everything is delivered, long after all is well again: " + _left(world))
    for run in world.runs:
        wrong += _of_run(world, run)
    for server in world.servers:
        streams = sum(len(run.pens) for run in world.runs if run.server is server) * (LANES if server.stocked else 1)
        wrong += _hammered(server, 8 * len(world.poison) + 8 * streams)
    return wrong


def _left(world: World) -> str:
    agent = world.agent
    if agent is None:
        return "no agent"
    return "; ".join(
        f"{outbox.pending()} records, question {outbox.probe.question}, status {outbox.status} "
        f"{outbox.status_sent}, trouble {agent.sender.trouble(outbox)}"
        for outbox in agent.outboxes.values()
    )


def _of_run(world: World, run: SimRun) -> list[str]:
    wrong = []
    mine = {number: (pen, entry) for number, (owner, pen, entry) in world.logged.items() if owner is run}
    aside = sorted(number_in(value) for kept in run.quarantine.kept.values() for value in kept.values())
    good = [number for number in aside if number not in world.poison]
    if good or run.quarantine.twice:
        wrong.append(f"set aside although the server takes them: {good[:5]}; twice: {run.quarantine.twice}")
    if run.deleted or run.on_server is None:
        return wrong + _kept(world, run)
    # Nobody has asked the server about these writers since it went back, so nobody can know.
    run.lost |= {n for n, (pen, _) in mine.items() if n in run.shaky and pen.name not in run.asked_since}
    rows = run.on_server.rows
    counts: dict[int, int] = {}
    for row in rows:
        counts[number_in(row.value)] = counts.get(number_in(row.value), 0) + 1
    foreign = counts.keys() - mine.keys()
    if foreign:
        wrong.append(f"on the server and never logged: {sorted(foreign)[:5]}")
        return wrong
    lost = missing(run, set(mine))
    if lost:
        wrong.append(f"lost: {len(lost)} records: {sorted(lost)[:5]}")
    if stored_poison := sorted(number for number in counts if number in world.poison):
        wrong.append(f"poison on the server: {stored_poison[:5]}")
    wrong += _altered(run, mine)
    wrong += _ordered(run, mine, wrong)
    wrong += _counted(world, run, counts, aside)
    return wrong + _owned(run, run.on_server)


def _owned(run: SimRun, on_server: MemoryRun) -> list[str]:
    """The status is that of the owner that began last; each writer is in the generation of its owner."""
    latest = max(run.remotes, key=lambda remote: remote.began, default=None)
    status, whose = run.status, "here"
    if latest is not None and (not run.begun or round(latest.began * 1e9) >= run.begun[-1].began):
        status, whose = latest.status, latest.maker
    wrong = []
    if status is not None and on_server.status != status and run.restored is None:
        wrong.append(f"the status is {on_server.status}, decided was {status} by {whose}")
    if not run.begun or run.server.stocked or run.server.weather.moments:
        return wrong
    begun = [(its_began, maker) for its_began, maker in on_server.begun]
    for pen in run.known:
        maker = run.writers.get(pen.name, run.begun[-1].maker)
        (began,) = (date(one.began) for one in run.begun if one.maker == maker)
        number = max(at for at, (its_began, _) in enumerate(begun, 1) if its_began <= began)
        told = on_server.generations.get(pen.name)
        if told not in (None, number):
            wrong.append(f"the records of a writer of generation {number} came as {told}")
    return wrong


def _kept(world: World, run: SimRun) -> list[str]:
    """A run that was deleted: what was not delivered is still in its journals."""
    wrong = []
    for pen in run.known:
        journal = pen.journal()
        end = journal.written()
        there = {number_in(_value(record)) for record in wire.records(journal.read(journal.cursor.delivered, end))}
        aside = set(run.quarantine.kept.get(pen.name, ()))
        for entry in pen.entries:
            if entry.position >= journal.cursor.delivered and entry.number not in there and entry.position not in aside:
                settled = journal.cursor.done >> (entry.position - journal.cursor.delivered) & 1
                if not settled:
                    wrong.append(f"of a deleted run, record {entry.number} is gone")
                    break
    return wrong


def _value(record: wire.Record) -> object:
    from simulation.pens import value_of

    return value_of(record)


def _altered(run: SimRun, mine: dict[int, tuple[Pen, object]]) -> list[str]:
    assert run.on_server is not None
    for row in run.on_server.rows:
        pen, entry = mine[number_in(row.value)]
        if row.name != entry.name or (entry.step is not None and row.step != entry.step):  # type: ignore[attr-defined]
            return [f"altered: {row}, logged was {entry}"]
        if row.writer and (row.writer, row.position) != (pen.name, entry.position):  # type: ignore[attr-defined]
            return [f"at another place: {row}, logged was {entry}"]
    return []


def _ordered(run: SimRun, mine: dict[int, tuple[Pen, object]], wrong: list[str]) -> list[str]:
    """First arrivals of each writer and name come in the order of the calls."""
    assert run.on_server is not None
    last: dict[tuple[str, str], int] = {}
    seen: set[int] = set()
    for row in run.on_server.rows:
        number = number_in(row.value)
        if number in seen:
            continue
        seen.add(number)
        key = mine[number][0].name, row.name
        if last.get(key, -1) > number:
            return [f"out of order in {row.name}: {number} after {last[key]}"]
        last[key] = number
    return []


def _counted(world: World, run: SimRun, counts: dict[int, int], aside: list[int]) -> list[str]:
    """The marks say what happened."""
    wrong = []
    extras = sum(count - 1 for count in counts.values())
    cursor = [pen.journal().cursor for pen in run.known]
    ambiguous = sum(mark.ambiguous for mark in cursor)
    if any(count > 1 and number not in run.ambiguous for number, count in counts.items()):
        wrong.append(f"{extras} records too many on the server; ambiguous: {ambiguous}")
    certain = len(run.ambiguous - run.half_told) - world.fuse.burnt
    if run.restored is None and not certain <= ambiguous <= len(run.ambiguous) + run.half_sent + world.fuse.burnt:
        wrong.append(f"{len(run.ambiguous)} records are ambiguous, and the marks say {ambiguous}")
    rejected = sum(mark.rejected for mark in cursor)
    if rejected != len(aside):
        wrong.append(f"{len(aside)} records are set aside, and the marks say {rejected}")
    if world.agent is None or not world.agent.idle() or run.restored is not None:
        return wrong
    delivered = sum(mark.records for mark in cursor)
    logged = sum(len(pen.entries) for pen in run.known)
    if delivered + rejected != logged:
        wrong.append(f"{logged} logged, but {delivered} delivered and {rejected} refused by the marks")
    losses, holes = LossReport.of(pen.journal() for pen in run.known), sum(pen.holes for pen in run.known)
    if losses.logged(delivered, pending=0) != logged + losses.abandoned or losses.abandoned > holes:
        wrong.append(f"{logged} logged, {holes} interrupted, and the ends say {delivered} delivered and {losses}")
    report = run.on_server.report if run.on_server is not None else None
    if report is not None and (report["dropped"] or report["lost"] or report["rejected"] > rejected):
        wrong.append(f"the server was told {report}, and lost is nothing")
    return wrong


def _hammered(server: SimServer, searching: int) -> list[str]:
    """No busy loop: failures come at the pace of back-off, but where a success or a search came in between.

    To a stock server a success lets each lane try at once.
    """
    failed, lanes = server.failed_at, LANES if server.stocked else 1
    for index, time in enumerate(failed):
        within = bisect_left(failed, time + 60.0) - index
        if within > FAILURES_A_MINUTE_MAX + searching:
            passed = bisect_left(server.passed_at, time + 60.0) - bisect_left(server.passed_at, time)
            if within > FAILURES_A_MINUTE_MAX + searching + passed * lanes:
                return [f"{within} exchanges in vain within a minute, and {passed} others"]
    return []
