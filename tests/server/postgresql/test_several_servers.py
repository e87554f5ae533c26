"""Servers over one database are as one server: whatever is sent to which of them is stored once."""

from __future__ import annotations

import json
import random
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest

from polling import wait_until
from server.batches import BEGAN_NS, range_of
from server.stores import add, ann, config, listed, new_project, new_run, now, says
from steplog.journal.range import encode
from steplog.server.records.batch import SinglePoint, from_range
from steplog.server.store_types import BatchResult, Creation, GapError, MissingError


def test_a_range_that_another_server_has_is_a_duplicate_there_and_partly_one(stores):
    first, second = stores
    run, records = new_run(first), [("a", float(number)) for number in range(15)]
    assert add(first, run, range_of(records[:10])) == BatchResult(10, 0)
    assert add(second, run, range_of(records[:10])) == BatchResult(0, 10)
    assert add(second, run, range_of(records[5:], first=5)) == BatchResult(5, 5)
    with pytest.raises(GapError) as caught:
        add(first, run, range_of(records[:1], first=20))
    assert caught.value.mark == 15
    assert [point["value"] for point in listed(first, run)] == [value for _, value in records]


def test_a_duplicate_is_a_sign_of_life_at_any_server(stores):
    first, second = stores
    run = new_run(first)
    add(first, run, range_of([("a", 1)]))
    before = now(first, run).seen
    add(second, run, range_of([("a", 1)]))
    assert now(first, run).seen > before


def test_ranges_cut_differently_and_sent_to_all_at_once_are_stored_once(opened):
    servers = [opened() for _ in range(3)]
    runs = [new_run(servers[0]) for _ in range(4)]
    writers = ("v", "w")
    records = [(f"m{number % 3}", float(number)) for number in range(120)]

    def deliver(seed: int) -> int:
        """As a client does that each server answers now and then; how many records it was told were stored."""
        choice, stored = random.Random(seed), 0
        todo = [(run, writer) for run in runs for writer in writers]
        marks = dict.fromkeys(((run.id, writer) for run, writer in todo), 0)
        while todo:
            run, writer = choice.choice(todo)
            first = marks[run.id, writer]
            end = min(len(records), first + choice.randint(1, 17))
            sent = range_of(records[first:end], first, writer)
            try:
                stored += servers[choice.randrange(3)].add_batch(run, from_range(sent, encode(sent))).result().accepted
                marks[run.id, writer] = end
            except GapError as error:
                marks[run.id, writer] = error.mark
            if marks[run.id, writer] == len(records):
                todo.remove((run, writer))
        return stored

    with ThreadPoolExecutor() as clients:
        told = sum(clients.map(deliver, range(6)))
    assert told == len(runs) * len(writers) * len(records)
    for run in runs:
        values = [point["value"] for point in listed(servers[1], run)]
        assert sorted(values) == sorted([value for _, value in records] * len(writers))


def test_what_a_batch_says_of_its_run_and_edits_elsewhere_are_both_kept(stores):
    first, second = stores
    run = new_run(first)
    edited: list[Future[Any]] = []
    for number in range(20):
        records = [("a", float(number)), says({f"key{number}": number}, "config"), says({"notes": str(number)})]
        sent = range_of(records, 3 * number, began_ns=BEGAN_NS + number)
        batch = first.add_batch(run, from_range(sent, encode(sent)))
        edited.append(second.edit_run(run, {"name": f"name{number}", "tags": json.dumps([str(number)])}))
        assert batch.result().accepted == 3
    for each in edited:
        each.result()
    found = now(second, run)
    assert (found.name, found.tags, found.notes) == ("name19", '["19"]', "19")
    assert config(first, run) == {f"key{number}": number for number in range(20)}
    assert sum(1 for point in listed(first, run) if point["name"] == "a") == 20


def test_a_run_or_project_that_another_server_has_deleted_takes_no_points(stores):
    first, second = stores
    run, project = new_run(first), first.project("team", "mnist")
    assert project is not None
    add(second, run, range_of([("a", 1)]))
    assert second.run("team", "mnist", run.uuid) is not None
    known = second.known_run("team", "mnist", run.uuid)
    assert known is not None
    first.discard_run(project, run.uuid).result()
    for target in (run, known):
        with pytest.raises(MissingError):
            add(second, target, range_of([("a", 2)], 1))
    first.restore_run(project, run.uuid).result()
    assert add(second, known, range_of([("a", 2)], 1)) == BatchResult(1, 0)
    first.delete_project(project).result()
    with pytest.raises(MissingError):
        add(second, known, range_of([("a", 3)], 2))


def test_batches_of_a_run_that_is_deleted_meanwhile_are_stored_or_refused(stores):
    first, second = stores
    run, other = new_run(first), new_run(first)
    project = first.project("team", "mnist")
    assert project is not None
    answers = []
    for number in range(60):
        for each in (run, other):
            sent = range_of([("a", number)], number)
            answers.append((each, second.add_batch(each, from_range(sent, encode(sent)))))
        if number == 30:
            deleted = first.discard_run(project, run.uuid)
    deleted.result()
    outcomes: dict[int, list[str]] = {run.id: [], other.id: []}
    for each, answer in answers:
        error = answer.exception()
        assert error is None or isinstance(error, (MissingError, GapError))
        outcomes[each.id].append("stored" if error is None else "refused")
    assert outcomes[other.id] == ["stored"] * 60
    stored = outcomes[run.id].count("stored")
    assert outcomes[run.id] == ["stored"] * stored + ["refused"] * (60 - stored)
    first.restore_run(project, run.uuid).result()
    assert len(listed(first, run)) == stored


def test_creations_that_race_at_four_servers_make_one_run_a_key_and_number_a_name(opened):
    servers = [opened() for _ in range(4)]
    project, user = new_project(servers[0]), ann(servers[0])
    together = Barrier(len(servers))

    def create(server: Any) -> list[tuple[str, str, bool]]:
        together.wait()
        asked = [Creation(key=f"key{number}", name="sweep") for number in range(12)]
        made = [server.create_run(project, user, each) for each in asked]
        return [(run.uuid, run.name, is_new) for run, is_new in (each.result() for each in made)]

    with ThreadPoolExecutor() as racing:
        answers = list(racing.map(create, servers))
    for each in zip(*answers, strict=True):
        assert len({uuid for uuid, _, _ in each}) == 1
        assert sum(is_new for _, _, is_new in each) == 1
    names = {name for answer in answers for _, name, _ in answer}
    assert names == {"sweep", *(f"sweep_{number}" for number in range(1, 12))}


def test_points_without_a_step_are_numbered_as_they_arrive_at_either_server(stores):
    run = new_run(stores[0])
    for number in range(8):
        point, store = SinglePoint("a", b"1.5", None, BEGAN_NS), stores[number % 2]
        numbered = store.number(run, point)
        if number == 6:  # arrives after the number was chosen
            add(stores[1], run, range_of([("a", 0.5)], writer="x"))
        assert store.add_metric(run, point, numbered).result() == number + (number >= 6)
    assert [point["step"] for point in listed(stores[0], run)] == list(range(9))


def test_figures_count_commits_and_what_waits_for_one(stores, url):
    first, second = stores
    run = new_run(first)
    before = first.figures()
    assert (before["pool_size"], before["pool_used"], before["pool_waiting"], before["writes_waiting"]) == (16, 0, 0, 0)
    with psycopg.connect(url) as blocking:
        blocking.execute("LOCK TABLE runs")
        waiting = [first.hear(run) for _ in range(3)]
        wait_until(lambda: first.figures()["writes_waiting"] == 2)
    for each in waiting:
        each.result()
    add(first, run, range_of([("a", 1)]))
    after = first.figures()
    assert after["commits_total"] - before["commits_total"] == 4
    assert after["commit_seconds_total"] > before["commit_seconds_total"]
    assert after["unpacked_bytes"] == second.figures()["unpacked_bytes"] > 0
