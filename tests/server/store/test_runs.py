"""Runs of a project: found by uuid, slug and page, named once, owned by generations, edited in any order."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.batches import BEGAN_NS, range_of
from server.stores import add, ann, config, new_project, new_run, now, says
from steplog.server.records.batch import from_range
from steplog.server.store_types import Creation, ExistsError, MissingError, UnknownRunError

T = [f"2026-01-01T00:00:{second:02}.000000Z" for second in range(60)]


def test_a_run_is_as_it_was_asked_for(store):
    asked = Creation("first", "why", "FAILED", "id:a", "maker", None, T[10])
    user, project = ann(store), new_project(store)
    run, made = store.create_run(project, user, asked).result()
    assert (made, run.name, run.description, run.status, run.key) == (True, "first", "why", "FAILED", "a")
    assert (run.made_by, run.generation, run.generation_began, run.started) == ("maker", 1, T[10], T[10])
    assert (run.date_created, run.seen, run.deleted) == (run.date_updated, run.date_created, None)
    assert (run.username, run.user_uuid) == (user.username, user.uuid)
    assert (run.project_uuid, run.project_slug) == (project.uuid, "mnist")
    assert (run.tags, run.group, run.notes, run.ended, run.last_point, run.report) == (None,) * 6
    assert now(store, run) == run


def test_a_run_is_found_in_its_own_project_alone(store):
    run = new_run(store)
    other = new_project(store, "other")
    assert store.run("team", "mnist", run.uuid) == run
    assert [store.run("team", "other", run.uuid), store.run("other", "mnist", run.uuid)] == [None, None]
    assert store.run("team", "mnist", other.uuid) is None


def test_a_known_run_takes_batches_by_its_number_as_long_as_it_is_there(store):
    """What asks for a batch does not read the run again; that it is there is checked with the write."""
    run, project = new_run(store), store.project("team", "mnist")
    assert store.known_run("team", "other", run.uuid) is None
    assert store.run("team", "mnist", run.uuid) == run
    known = store.known_run("team", "mnist", run.uuid)
    assert known is not None
    assert [store.known_run(*path, run.uuid) for path in (("team", "other"), ("other", "mnist"))] == [None, None]
    batches = [from_range(range_of([("a", at)], first=at)) for at in range(3)]
    assert store.add_batch(known, batches[0]).result().accepted == 1
    store.discard_run(project, run.uuid).result()
    assert isinstance(store.add_batch(known, batches[1]).exception(), MissingError)
    store.restore_run(project, run.uuid).result()
    assert store.add_batch(known, batches[1]).result().accepted == 1
    store.delete_project(project).result()
    assert isinstance(store.add_batch(known, batches[2]).exception(), MissingError)


def test_runs_are_listed_oldest_first_a_page_at_a_time(store):
    made = [new_run(store).uuid for _ in range(7)]
    project = store.project("team", "mnist")
    new_run(store, new_project(store, "other"))
    pages = [store.runs(project, offset, 3) for offset in (0, 3, 6, 9)]
    assert [[run.uuid for run in page] for page in pages] == [made[:3], made[3:6], made[6:], []]
    assert [run.uuid for run in store.runs(project, 2)] == made[2:]


def test_a_taken_name_gets_the_first_free_number(store):
    names = [new_run(store, asked=Creation("n")).name for _ in range(3)]
    assert names == ["n", "n_1", "n_2"]
    runs = store.runs(store.project("team", "mnist"))
    store.edit_run(runs[1], {"name": "else"}).result()
    assert [new_run(store, asked=Creation(name)).name for name in ("n", "n", "n_1", "n_", "N")] == [
        *("n_1", "n_3", "n_1_1", "n_", "N")
    ]
    assert store.edit_run(runs[0], {"name": "else"}).result().name == "else_1"
    assert store.edit_run(runs[0], {"name": "else_1"}).result().name == "else_1", "its own name is not taken"
    assert new_run(store, new_project(store, "other"), Creation("n")).name == "n"


def test_runs_that_are_made_at_once_under_one_name_get_a_number_each(store):
    user, project = ann(store), new_project(store)

    def make(_: int) -> str:
        return store.create_run(project, user, Creation("n")).result()[0].name

    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(make, range(24)))
    assert sorted(names) == sorted(["n", *(f"n_{number}" for number in range(1, 24))])


def test_a_run_without_a_name_gets_one_of_words(store):
    names = {new_run(store).name for _ in range(5)}
    assert len(names) == 5
    assert all(len(name.split("_")) >= 3 for name in names)


def test_slugs_find_every_run_whose_name_has_it(store):
    names = ["A run", "a-run", "a run!", "b"]
    made = [new_run(store, asked=Creation(name)) for name in names]
    project = store.project("team", "mnist")
    assert [run.name for run in store.runs_by_slug(project, "a-run")] == names[:3]
    store.edit_run(made[1], {"name": "renamed"}).result()
    store.discard_run(project, made[2].uuid).result()
    assert [run.name for run in store.runs_by_slug(project, "a-run")] == ["A run"]
    assert [run.name for run in store.runs_by_slug(project, "a-run", in_trash=True)] == ["a run!"]
    assert store.runs_by_slug(project, "none") == []


def test_a_key_gives_the_same_run_however_many_ask_at_once(store):
    user, project = ann(store), new_project(store)

    def make(number: int) -> tuple[str, bool]:
        run, made = store.create_run(project, user, Creation("n", key="r1", maker=f"m{number}")).result()
        return run.uuid, made

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(make, range(16)))
    assert len({uuid for uuid, _ in answers}) == 1
    assert sum(made for _, made in answers) == 1
    other, made = store.create_run(new_project(store, "other"), user, Creation(key="r1")).result()
    assert (made, other.uuid != answers[0][0]) == (True, True)


def test_what_is_refused_says_which_run_it_was(store):
    run = new_run(store, asked=Creation("n", key="id:a", maker="m"))
    user, project = ann(store), store.project("team", "mnist")
    with pytest.raises(ExistsError) as caught:
        store.create_run(project, user, Creation(key="id:a", maker="other", resume="never")).result()
    assert caught.value.run == run
    with pytest.raises(UnknownRunError, match="named nobody"):
        store.create_run(project, user, Creation("nobody", resume="must")).result()
    assert [each.uuid for each in store.runs(project)] == [run.uuid]


def test_a_run_is_seen_when_it_is_heard_of_and_when_it_sends(store):
    run = new_run(store)
    heard = store.hear(run).result()
    assert heard.seen > run.seen
    assert heard.date_updated == run.date_updated
    add(store, run, range_of([("system/cpu", 1.0)]))
    assert now(store, run).seen > heard.seen
    assert now(store, run).last_point is None, "the program has logged nothing"
    add(store, run, range_of([("loss", 1.0)], first=1))
    assert now(store, run).last_point == "2023-11-14T22:13:20.000000Z"


def test_each_resume_begins_a_generation_of_its_own(store):
    run = new_run(store, asked=Creation(maker="first", began=T[10]))
    assert store.begin_generation(run, "first", T[59]).result() == (1, False), "it asks again"
    assert store.begin_generation(run, "second", T[30]).result() == (2, True)
    assert store.begin_generation(run, "second", T[30]).result() == (2, False)
    assert store.begin_generation(run, "late", T[20]).result() == (1, False), "it began before the second"
    assert (now(store, run).generation, now(store, run).generation_began) == (2, T[30])
    futures = [store.begin_generation(run, f"m{number}", T[40]) for number in range(8)]
    assert [future.result() for future in futures] == [(number, True) for number in range(3, 11)]


def test_only_a_status_of_the_present_generation_counts(store):
    run = new_run(store, asked=Creation(maker="first", began=T[10]))
    ended = store.edit_run(run, {"ended": T[15]}, "FAILED", 1).result()
    assert (ended.status, ended.ended) == ("FAILED", T[15])
    store.begin_generation(run, "second", T[20]).result()
    resumed = now(store, run)
    assert (resumed.status, resumed.ended) == ("RUNNING", None)
    for number in (1, None):
        assert store.edit_run(run, {"name": "mine"}, "CRASHED", number).result() == resumed
        assert store.edit_run(run, {"ended": T[15]}, None, number).result() == resumed
    done = store.edit_run(run, {}, "COMPLETED", 2).result()
    assert (done.status, done.ended) == ("COMPLETED", done.date_updated)


def test_the_end_of_a_killed_run_is_its_last_sign_of_life(store):
    run = new_run(store, asked=Creation(began=T[10]))
    assert store.edit_run(run, {}, "CRASHED").result().ended == T[10]
    store.edit_run(run, {}, "RUNNING").result()
    add(store, run, range_of([("loss", 0.5)], began_ns=1_767_229_200 * 10**9))
    assert store.edit_run(run, {}, "CRASHED").result().ended == "2026-01-01T01:00:00.000000Z"


def test_fields_are_set_kept_and_emptied(store):
    run = new_run(store)
    told = store.edit_run(run, {"notes": "n", "group": "g", "tags": '["a"]'}).result()
    assert (told.notes, told.group, told.tags) == ("n", "g", '["a"]')
    assert told.date_updated > run.date_updated
    told = store.edit_run(run, {"notes": None}).result()
    assert (told.notes, told.group) == (None, "g")
    assert now(store, run) == told


def test_what_records_say_of_a_run_ends_the_same_in_whatever_order_they_come(store):
    """The greatest (generation, time, writer, position) counts, field by field and key by key."""
    sent = [
        ("a", 1, BEGAN_NS, [says({"group": "1", "notes": "1"}), says({"lr": 1, "seed": 1}, "config")]),
        ("b", 1, BEGAN_NS + 9, [says({"group": "2"}), says({"lr": 2}, "config"), says(["seed"], "config/removed")]),
        ("c", 2, BEGAN_NS - 9, [says({"notes": "3"}), says({"lr": 3}, "config")]),
    ]
    for order in itertools.permutations(sent):
        run = new_run(store)
        for writer, generation, began_ns, records in order:
            add(store, run, range_of(records, 0, writer, began_ns), generation)
        told = now(store, run)
        assert (told.group, told.notes, config(store, run)) == ("2", "3", {"lr": 3})


def test_a_record_that_names_a_run_gets_a_suffix_and_is_answered(store):
    new_run(store, asked=Creation("taken"))
    run = new_run(store)
    named = range_of([says({"name": "taken"}), ("loss", 1.0)])
    assert add(store, run, named).name == "taken_1"
    assert add(store, run, named).name == "taken_1", "one whose answer was lost"
    assert add(store, run, range_of([("loss", 1.0)], first=2)).name is None
    assert now(store, run).name == "taken_1"
    assert [series.name for series in store.series(run)] == ["loss"]


def test_configs_are_of_the_runs_that_were_asked_for(store):
    runs = [new_run(store) for _ in range(3)]
    for number, run in enumerate(runs[:2]):
        add(store, run, range_of([says({"lr": number, "model": {"depth": [1]}}, "config")]))
    found = store.configs(runs)
    assert set(found) == {run.id for run in runs}
    assert [config(store, run) for run in runs] == [{"lr": n, "model": {"depth": [1]}} for n in range(2)] + [{}]
    assert store.configs([]) == {}
