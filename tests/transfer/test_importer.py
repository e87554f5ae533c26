"""The importer and a server in memory: each record once, whatever fails, whatever is imported again."""

from __future__ import annotations

import itertools
import random
from functools import partial
from typing import Any

import msgspec
import pytest

from steplog import ConfigurationError, InvalidAPIKeyError, RunNotFoundError, ServerUnavailableError
from steplog.formats.imported import ImportedRun, RecordBatch, Stream, exported
from steplog.formats.run_info import RunInfo
from steplog.records.finite import finite
from steplog.testing.memory_server import Fault, MemoryRun, MemoryServer
from steplog.transfer.exchanges import ATTEMPTS_MAX
from steplog.transfer.importer import MAKER
from transfer.import_sources import T0_NS, batches_of, importer_to, losses, run_of

NOTHING = RecordBatch([], [], [], [])


def only_run(memory: MemoryServer) -> MemoryRun:
    (run,) = memory.runs.values()
    return run


def rows_of(run: MemoryRun) -> list[tuple[str, int, Any]]:
    return [(row.name, row.step, row.value) for row in run.rows if not row.name.startswith("steplog/")]


def expected(rows: list[Any]) -> list[tuple[str, int, Any]]:
    return [(name, step, value) for name, step, _, value in rows]


def test_twice_gives_nothing_twice():
    memory, rows = MemoryServer(), losses(10)
    first = importer_to(memory).add(run_of(rows, config={"lr": 0.1}))
    assert (first.sent, first.there) == (10, 0)
    before = msgspec.to_builtins(only_run(memory).rows)
    again = importer_to(memory).add(run_of(rows, config={"lr": 0.1}))
    assert (again.sent, again.there) == (0, 10)
    assert msgspec.to_builtins(only_run(memory).rows) == before
    assert rows_of(only_run(memory)) == expected(rows)


def test_a_batch_without_records_says_nothing_of_the_start():
    """Rows of a table may all be empty."""
    memory = MemoryServer()
    run = run_of([], started=None)._replace(
        streams=[Stream("main", lambda: iter([NOTHING, *batches_of(losses(2), 4)]))]
    )
    assert importer_to(memory).add(run).sent == 2
    empty = run_of([], started=None, id="empty")._replace(streams=[Stream("main", lambda: iter([NOTHING]))])
    assert importer_to(memory).add(empty).sent == 0


def test_a_source_that_grew_gives_what_is_new():
    memory = MemoryServer()
    for count, sent in ((0, 0), (3, 3), (4, 1), (9, 5), (9, 0)):
        assert importer_to(memory).add(run_of(losses(count))).sent == sent
    assert rows_of(only_run(memory)) == expected(losses(9))


@pytest.mark.parametrize("seed", range(30))
def test_faults_and_interruptions_lose_nothing_and_double_nothing(seed: int):
    """Answers are lost, requests refused, the import stopped and begun again, at random."""
    chance = random.Random(seed)
    memory, rows = MemoryServer(), losses(40)
    kinds = (Fault.lost(), Fault.refused(), Fault(503), Fault(429, headers={"retry-after": "1"}), Fault(500))
    memory.script = lambda request: chance.choice(kinds) if chance.random() < 0.3 else None

    def stop(records: int) -> None:
        if chance.random() < 0.1:
            raise KeyboardInterrupt

    for _ in range(1000):
        try:
            importer_to(memory, progress=stop).add(run_of(rows, size=3, config={"lr": 0.1}, tags=["a"]))
        except (KeyboardInterrupt, ServerUnavailableError):
            continue
        break
    run = only_run(memory)
    assert rows_of(run) == expected(rows)
    assert [row.value for row in run.rows if row.name == "steplog/config"] == [{"lr": 0.1}]
    assert (run.status, run.fields["tags"]) == ("COMPLETED", ["a"])


@pytest.mark.parametrize("anonymous", [False, True])
@pytest.mark.parametrize("at", [1, 5])
def test_two_imports_of_a_source_at_once_store_it_once(at: int, anonymous: bool):
    """The second begins while the first is under way, and overtakes it."""
    memory, rows, calls = MemoryServer(), losses(40), itertools.count(1)
    memory.script = _series_of(memory)

    def progress(records: int) -> None:
        if next(calls) == at:
            importer_to(memory).add(run_of(rows, anonymous=anonymous))

    importer_to(memory, progress=progress).add(run_of(rows, anonymous=anonymous))
    assert rows_of(only_run(memory)) == expected(rows)


def test_what_another_import_stores_meanwhile_makes_a_source_no_other():
    """They come between the two requests by which the second import learns what is there."""
    memory, rows = MemoryServer(), [*losses(20), *[("acc", step, 0, 1.0) for step in range(20)]]
    importer_to(memory).add(run_of(rows[:15], anonymous=True))
    told = _series_of(memory)

    def script(request: Any) -> Fault | None:
        answer = told(request)
        if answer is not None:
            memory.script = lambda request: None
            importer_to(memory).add(run_of(rows[:30]))
        return answer

    memory.script = script
    assert importer_to(memory).add(run_of(rows, anonymous=True)).sent == 10
    assert rows_of(only_run(memory)) == expected(rows)


def test_a_run_that_its_own_program_has_logged_here_is_left_alone():
    memory = MemoryServer()
    run = memory.add_run("me", "mnist", "logged")
    outcome = importer_to(memory).add(run_of(losses(3), id=run.uuid))
    assert (outcome.is_other, outcome.name, outcome.sent) == (True, "logged", 0)
    assert (run.rows, run.statuses, run.marks) == ([], [], {})


def test_a_run_that_was_imported_from_another_source_is_left_alone():
    """What a wandb folder gave is exported; the export has the same run, and counts its records otherwise."""
    memory = MemoryServer()
    importer_to(memory).add(run_of(losses(3))._replace(origin="wandb"))
    for _ in range(2):
        outcome = importer_to(memory).add(exported(run_of(losses(3)).info, lambda: batches_of(losses(3), 4)))
        assert (outcome.is_other, outcome.made_by, outcome.sent) == (True, f"{MAKER}-wandb", 0)
    assert importer_to(memory).add(run_of(losses(4))._replace(origin="wandb")).sent == 1
    assert rows_of(only_run(memory)) == expected(losses(4))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_export_that_has_grown_gives_what_is_new_of_each_metric(size: int):
    """Metric after metric: what is new of one comes before all of the next."""
    memory = MemoryServer()
    for count, sent in ((4, 12), (4, 0), (9, 15), (9, 0)):
        rows = [(name, *row[1:]) for name in ("a", "b", "c") for row in losses(count)]
        outcome = importer_to(memory).add(exported(run_of([]).info, partial(batches_of, rows, size)))
        assert (outcome.sent, outcome.there) == (sent, len(rows) - sent)
    assert sorted(rows_of(only_run(memory))) == sorted(expected(rows))


def test_an_export_whose_metrics_are_mixed_is_taken_metric_by_metric():
    memory = MemoryServer()
    rows = [(f"m{step % 7}", step, T0_NS, step / 7) for step in range(50_000)]
    for count in (1000, 50_000):
        importer_to(memory, batch_records=1000).add(exported(run_of([]).info, partial(batches_of, rows[:count], 100)))
    found = rows_of(only_run(memory))
    assert sorted(found) == sorted(expected(rows))
    assert [row for row in found if row[0] == "m3"] == expected(rows[3::7])
    assert len([request for request, _ in memory.requests if request.path.endswith("/batch/")]) < 90


def test_a_name_that_is_taken_gets_a_suffix_and_keeps_it():
    memory = MemoryServer()
    memory.add_run("me", "mnist", "first")
    for _ in range(2):
        outcome = importer_to(memory).add(run_of(losses(3)))
        assert (outcome.name, outcome.info.name) == ("first_1", "first")


def test_a_running_source_is_running_until_it_has_ended():
    memory = MemoryServer()
    importer_to(memory).add(run_of(losses(3), status="RUNNING"))
    run = only_run(memory)
    assert (run.status, run.statuses, run.ended) == ("RUNNING", [], None)
    importer_to(memory).add(run_of(losses(5), status="FAILED"))
    assert (run.status, run.statuses) == ("FAILED", ["FAILED"])
    assert run.ended == "2023-11-14T22:13:24.000000Z"  # of its last point
    importer_to(memory).add(run_of(losses(5), status="FAILED"))


def test_the_status_of_a_run_that_somebody_has_resumed_is_left_alone():
    memory = MemoryServer()
    importer_to(memory).add(run_of(losses(3), status="RUNNING"))
    run = only_run(memory)
    run.generation, run.status = 2, "RUNNING"
    importer_to(memory).add(run_of(losses(3)))
    assert (run.status, run.statuses) == ("RUNNING", [])


def test_anonymous_sources_that_begin_alike_are_runs_of_their_own():
    memory = MemoryServer()
    sources = [losses(9), [*losses(5), ("loss", 5, 0, 0.01), *losses(3, 6)], losses(3) + [("acc", 3, 0, 1.0)] * 6]
    memory.script = _series_of(memory)
    for sent in (9, 0):
        for rows in sources:
            assert importer_to(memory).add(run_of(rows, anonymous=True)).sent == sent
    assert [rows_of(run) for run in memory.runs.values()] == list(map(expected, sources))
    assert [run.key for run in memory.runs.values()] == ["run-1", "run-1-2", "run-1-3"]
    longer = [*sources[1], ("loss", 9, 0, 0.5)]
    assert importer_to(memory).add(run_of(longer, anonymous=True)).sent == 1
    assert importer_to(memory).add(run_of(sources[0][:4], anonymous=True, id="run-1")).sent == 4  # was it cut?


def _series_of(memory: MemoryServer) -> Any:
    """``series/``, which the server in memory does not have."""

    def answer(request: Any) -> Fault | None:
        if not request.path.endswith("/series/"):
            return None
        run = memory.runs[request.path.split("/")[-3]]
        found: dict[str, Any] = {}
        for row in run.rows:
            told = found.setdefault(row.name, {"name": row.name, "count": 0, "first_step": row.step})
            numbers = [each for each in (row.value, told.get("min"), told.get("max")) if isinstance(each, float)]
            told |= {"count": told["count"] + 1, "last_step": row.step, "last": finite(row.value)}
            told |= {"min": min(numbers, default=None), "max": max(numbers, default=None)}
        return Fault(200, msgspec.json.encode(list(found.values())))

    return answer


def test_an_anonymous_source_is_compared_by_what_of_it_can_be_stored():
    memory = MemoryServer()
    memory.script = _series_of(memory)
    rows = [("steplog/x", 0, 0, 1.0), ("loss", 2**70, 0, 1.0), ("loss", None, 0, 2.0), ("note", 1, 0, float("nan"))]
    assert importer_to(memory).add(run_of(rows, anonymous=True)).left_out.total() == 2
    assert importer_to(memory).add(run_of(rows, anonymous=True)).sent == 0
    assert len(memory.runs) == 1


def test_an_anonymous_source_in_another_folder_keeps_the_name_that_the_run_has():
    memory = MemoryServer()
    memory.script = _series_of(memory)
    importer_to(memory).add(run_of(losses(3), anonymous=True, name="here"))
    importer_to(memory).add(run_of(losses(3), anonymous=True, name="there"))
    assert only_run(memory).name == "here"
    importer_to(memory).add(run_of(losses(3), anonymous=True, name="there"), "mine")
    assert only_run(memory).name == "mine"


def test_a_record_that_the_server_refuses_is_left_out_and_said():
    memory, rows = MemoryServer(), losses(20)
    memory.refuses = lambda name, value: 400 if value == rows[7][3] else None
    outcome = importer_to(memory).add(run_of(rows, size=20))
    assert rows_of(only_run(memory)) == expected(rows[:7] + rows[8:])
    assert outcome.sent == 19
    ((reason, count),) = outcome.left_out.items()
    assert (count, "400 The record at position 7 is refused" in reason) == (1, True)
    assert importer_to(memory).add(run_of(rows, size=20)).sent == 0


def test_a_body_that_is_too_large_for_the_server_is_halved():
    memory, rows = MemoryServer(), losses(2000)
    memory.body_bytes_max = 3000
    assert importer_to(memory).add(run_of(rows, size=2000)).sent == 2000
    assert rows_of(only_run(memory)) == expected(rows)


def test_a_server_that_is_set_back_to_a_backup_gets_again_what_it_has_lost():
    memory, rows = MemoryServer(), losses(40)
    numbers, backups = itertools.count(), []

    def script(request: Any) -> Fault | None:
        if request.path.endswith("/batch/"):
            number = next(numbers)
            if number == 5:
                backups.append(memory.backup())
            elif number == 9:
                memory.restore(backups[0])
        return None

    memory.script = script
    importer_to(memory).add(run_of(rows, size=4))
    assert next(numbers) > 12
    assert rows_of(only_run(memory)) == expected(rows)


def test_a_run_that_is_deleted_meanwhile_is_an_error_that_says_so():
    memory = MemoryServer()

    def progress(records: int) -> None:
        memory.runs.clear()

    with pytest.raises(RunNotFoundError, match=r"somebody has deleted me/mnist/first while it was imported. Import"):
        importer_to(memory, progress=progress).add(run_of(losses(40)))


def test_a_server_of_an_older_steplog_is_refused_in_words():
    memory = MemoryServer()
    memory.features = ["report"]
    with pytest.raises(ConfigurationError, match=r"is a server of an older steplog\. Update it first"):
        importer_to(memory).add(run_of(losses(3)))
    assert only_run(memory).rows == []


def test_a_server_that_stays_away_is_given_up():
    memory, waited = MemoryServer(), []
    memory.script = lambda request: Fault.refused()
    with pytest.raises(ServerUnavailableError, match="connection refused"):
        importer_to(memory, sleep=waited.append).check()
    assert (len(memory.requests), waited) == (1, [])
    memory.requests.clear()
    with pytest.raises(ServerUnavailableError, match="connection refused"):
        importer_to(memory, sleep=waited.append).add(run_of(losses(3)))
    assert len(memory.requests) == ATTEMPTS_MAX
    assert sum(waited) < 180
    assert max(waited) <= 8


def test_a_server_that_says_when_is_not_asked_before():
    memory, waited = MemoryServer(), []
    memory.faults.append(Fault(429, headers={"retry-after": "17"}))
    importer_to(memory, sleep=waited.append).add(run_of(losses(3)))
    assert (len(waited), waited[0] >= 17) == (1, True)


def test_a_key_that_is_refused_is_looked_for_again_and_else_said():
    memory = MemoryServer()
    memory.sent_key, memory.found_key = "old", "key"
    assert importer_to(memory).add(run_of(losses(3))).sent == 3
    memory.key = "another"
    with pytest.raises(InvalidAPIKeyError, match=r"rejects the API key\. Type: steplog login"):
        importer_to(memory).add(run_of(losses(5)))


def test_streams_of_a_run_go_on_each_by_itself():
    memory = MemoryServer()

    def run(history: int, system: int) -> ImportedRun:
        streams = [
            Stream("history", lambda: batches_of(losses(history), 4)),
            Stream("system", lambda: batches_of([("cpu", *row[1:]) for row in losses(system)], 4)),
        ]
        return ImportedRun(RunInfo(id="run-1", project="mnist"), streams)

    assert importer_to(memory).add(run(5, 3)).sent == 8
    assert importer_to(memory).add(run(7, 9)).sent == 8
    assert sorted(rows_of(only_run(memory))) == sorted(
        expected(losses(7)) + [("cpu", step, value) for _, step, value in expected(losses(9))]
    )
    assert (only_run(memory).name, only_run(memory).made_by) == ("run-1", MAKER)


def test_what_of_a_run_the_server_cannot_hold_is_cut_and_said():
    memory = MemoryServer()
    outcome = importer_to(memory).add(
        run_of(losses(1), name="n" * 300, tags=["a", "b" * 129, *map(str, range(100))], ended="yesterday", status="OK")
    )
    run = only_run(memory)
    assert (len(run.name), len(run.fields["tags"])) == (256, 64)
    assert outcome.cut == [
        "ended, which is no date",
        "the end of the name, which has more than 256 characters",
        "the status 'OK', which is none; COMPLETED is in its place",
        "38 tags: a run has 64 of at most 128 bytes",
    ]


def test_a_config_that_is_larger_than_a_record_comes_in_several():
    memory = MemoryServer()
    config = {f"key{number}": "x" * 100_000 for number in range(12)}
    importer_to(memory).add(run_of(losses(1), config=config))
    parts = [row.value for row in only_run(memory).rows if row.name == "steplog/config"]
    assert len(parts) > 1
    assert {key: value for part in parts for key, value in part.items()} == config
