"""What several servers do to the catalogue at once ends as if one had come after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import Any

import psycopg
import pytest

from server.stores import ann, new_project, new_run, now
from steplog.server.keys import hash_key
from steplog.server.postgresql.links import conninfo_of, open_connection
from steplog.server.postgresql.schema import TURNS
from steplog.server.postgresql.store import PostgresqlStore
from steplog.server.sql import sessions, views
from steplog.server.store_types import (
    CONFIGURED,
    Creation,
    ExistsError,
    MissingError,
    PageToken,
    SessionRow,
    StoreBusyError,
    TakenError,
    TooManyViewsError,
)

FAR = "2999-01-01T00:00:00+00:00"
LATER = [f"2999-01-01T00:00:0{number}.000000Z" for number in range(4)]


@pytest.fixture
def servers(opened) -> list[PostgresqlStore]:
    return [opened() for _ in range(4)]


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each returns, or the error that it raises, where all begin at one moment."""
    barrier = Barrier(len(calls))

    def call(each: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return each()
        except Exception as error:  # noqa: BLE001 - for the test
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, calls))


def each(servers: Sequence[PostgresqlStore], call: Callable[[PostgresqlStore, int], Any]) -> list[Any]:
    """What ``call`` gives at each server, given its number."""
    return at_once([lambda store=store, number=number: call(store, number) for number, store in enumerate(servers)])


def kinds(outcomes: Sequence[Any], error: type[Exception]) -> tuple[list[Any], int]:
    """Those that did not fail, and how many did, all with this error."""
    failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert {type(each) for each in failed} <= {error}, failed
    return [outcome for outcome in outcomes if not isinstance(outcome, Exception)], len(failed)


def test_a_user_a_namespace_and_a_project_are_made_once(servers):
    made = each(servers, lambda store, _: (store.add_user("bob").result(), store.put_namespace("team").result()))
    assert len(set(made)) == 1
    namespace = made[0][1]
    projects, refused = kinds(
        each(servers, lambda store, _: store.add_project(namespace, "mnist", "mnist", "TEAM").result()), TakenError
    )
    assert (len(projects), refused) == (1, 3)
    assert [project.id for project in servers[0].projects(namespace)] == [projects[0].id]


def test_of_makers_who_each_want_the_run_new_one_gets_it(servers):
    project, user = new_project(servers[0]), ann(servers[0])

    def create(store: PostgresqlStore, number: int) -> Any:
        return store.create_run(project, user, Creation("n", key="id:a", maker=f"m{number}", resume="never")).result()

    made, refused = kinds(each(servers, create), ExistsError)
    assert (len(made), refused, made[0][1]) == (1, 3, True)


def test_by_name_one_makes_the_run_and_the_others_resume_it(servers):
    project, user = new_project(servers[0]), ann(servers[0])
    made = each(servers, lambda store, _: store.create_run(project, user, Creation("n", resume="allow")).result())
    assert ({run.uuid for run, _ in made}, [is_new for _, is_new in made].count(True)) == ({made[0][0].uuid}, 1)


def test_runs_that_are_renamed_to_one_name_get_a_number_each(servers):
    project = new_project(servers[0])
    runs = [new_run(servers[0], project, Creation(f"r{number}")) for number in range(8)]
    at_once(
        [lambda run=run, at=at: servers[at % 4].edit_run(run, {"name": "best"}).result() for at, run in enumerate(runs)]
    )
    names = sorted(run.name for run in servers[0].runs(project))
    assert names == ["best", *(f"best_{number}" for number in range(1, 8))]


def test_a_name_goes_to_a_new_run_or_to_the_one_that_is_renamed(servers):
    """The other gets a number. One that is in the trash at that moment is not renamed."""
    project, user, seen = new_project(servers[0]), ann(servers[0]), set()
    for number in range(5):
        run = new_run(servers[0], project, Creation(f"old{number}"))
        renamed, *others = at_once(
            [
                lambda run=run, n=number: servers[0].edit_run(run, {"name": f"n{n}"}).result(),
                lambda n=number: servers[1].create_run(project, user, Creation(f"n{n}")).result(),
                lambda run=run: servers[2].discard_run(project, run.uuid).result(),
                lambda run=run: servers[3].restore_run(project, run.uuid).result(),
            ]
        )
        assert not any(isinstance(outcome, Exception) for outcome in others)
        servers[0].restore_run(project, run.uuid).result()
        of_both = {f"old{number}"} if isinstance(renamed, MissingError) else {f"n{number}_1"}
        assert {each.name for each in servers[1].runs(project)} - seen == {f"n{number}"} | of_both
        seen |= {f"n{number}"} | of_both


def test_each_owner_that_resumes_gets_a_generation_of_its_own(servers):
    run = new_run(servers[0])
    begun = each(servers, lambda store, at: store.begin_generation(run, f"maker {at}", LATER[0]).result())
    assert sorted(begun) == [(number, True) for number in (2, 3, 4, 5)]
    assert now(servers[0], run).generation == 5
    again = each(servers, lambda store, at: store.begin_generation(run, f"maker {at}", LATER[0]).result())
    assert again == [(number, False) for number, _ in begun]


def test_of_owners_that_race_the_one_that_began_last_has_the_run(servers):
    """Each gets the number in whose time it began, or one of its own."""
    run = new_run(servers[0])
    begun = each(servers, lambda store, at: store.begin_generation(run, f"maker {at}", LATER[at]).result())
    numbers = [number for number, _ in begun]
    assert numbers == sorted(numbers)
    assert begun[-1] == (now(servers[0], run).generation, True)


def test_a_project_has_no_more_views_than_allowed(servers, monkeypatch):
    monkeypatch.setattr(views, "VIEWS_MAX", 3)
    project, user = new_project(servers[0]), ann(servers[0])
    calls = [lambda at=at: servers[at % 4].add_view(project, user, f"v{at}", "?").result() for at in range(8)]
    made, refused = kinds(at_once(calls), TooManyViewsError)
    assert (len(made), refused) == (3, 5)
    assert sorted(view.name for view in servers[0].views(project)) == sorted(view.name for view in made)


def test_a_view_of_a_name_is_saved_once(servers):
    project, user = new_project(servers[0]), ann(servers[0])
    made, refused = kinds(each(servers, lambda store, _: store.add_view(project, user, "v", "?").result()), TakenError)
    assert (len(made), refused) == (1, 3)
    other = servers[0].add_view(project, user, "w", "?").result()
    taken = each(servers, lambda store, _: store.edit_view(project, other.uuid, "v", None).result())
    assert kinds(taken, TakenError) == ([], 4)


def test_a_key_has_no_more_sessions_than_allowed(servers, monkeypatch):
    monkeypatch.setattr(sessions, "_SESSIONS_MAX", 3)
    key = servers[0].issue_key("ann", hash_key("key"), "").result()
    hashes = [bytes([number]) for number in range(8)]
    at_once([lambda at=at: servers[at % 4].begin_session(SessionRow(hashes[at], key, FAR)).result() for at in range(8)])
    assert len(servers[0].sessions_of_hashes(hashes)) == 3


def test_servers_that_start_with_one_key_share_it(servers):
    user = ann(servers[0])
    started = each(servers, lambda store, _: store.put_started_key(user, hash_key("key"), CONFIGURED).result())
    assert len({key.id for key in started}) == 1
    assert servers[0].all_keys() == [servers[0].started_key()]


def test_of_servers_that_start_with_several_keys_one_key_stays(servers):
    user = ann(servers[0])
    started = each(servers, lambda store, at: store.put_started_key(user, hash_key(str(at)), CONFIGURED).result())
    (left,) = servers[0].all_keys()
    assert left in started
    assert servers[0].started_key() == left


def test_servers_that_start_at_once_have_one_token_of_the_page(servers):
    tokens = each(servers, lambda store, at: store.put_page_token(PageToken(f"token {at}", "2026"), None).result())
    assert tokens == [servers[0].page_token()] * 4


def test_a_run_is_made_before_its_project_is_deleted_or_not_at_all(servers):
    user = ann(servers[0])
    for number in range(5):
        project = new_project(servers[0], f"p{number}")
        calls = [
            lambda at=at, p=project: servers[at].create_run(p, user, Creation(f"n{at}")).result() for at in (0, 1, 2)
        ]
        outcomes = at_once([*calls, lambda p=project: servers[3].delete_project(p).result()])
        made, refused = kinds(outcomes[:3], MissingError)
        assert len(made) + refused == 3
        assert outcomes[3] is None
        again = new_project(servers[1], f"p{number}")
        for store in servers:
            assert store.runs(again) == []
            assert [store.run("team", again.slug, run.uuid) for run, _ in made] == [None] * len(made)


def test_a_sweep_over_all_servers_is_refused_nothing_and_numbers_all(servers):
    """Each server has as many waiting as there are workers."""
    project, user = new_project(servers[0]), ann(servers[0])
    made = [servers[at % 4].create_run(project, user, Creation("sweep")) for at in range(80)]
    names = {future.result(60)[0].name for future in made}
    assert names == {"sweep", *(f"sweep_{number}" for number in range(1, 80))}


@pytest.mark.slow
def test_a_server_that_hangs_in_its_turn_holds_up_that_project_alone(servers, url):
    """Until PostgreSQL ends its transaction."""
    project, other, user = new_project(servers[0]), new_project(servers[0], "other"), ann(servers[0])
    with closing(open_connection(conninfo_of(url))) as hanging:
        began = time.monotonic()
        hanging.execute(f"BEGIN; LOCK TABLE turns_{project.id % TURNS} IN EXCLUSIVE MODE".encode())
        assert servers[1].create_run(other, user, Creation("n")).result(5.0)
        with pytest.raises(StoreBusyError, match="lock timeout"):
            servers[0].create_run(project, user, Creation("n")).result(10.5)
        assert servers[0].create_run(project, user, Creation("n")).result(began + 15.5 - time.monotonic())
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            hanging.execute("COMMIT")
