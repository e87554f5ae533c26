"""Roles in namespaces and projects, users that are removed, keys that are bound, projects that are changed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from server.stores import ann, new_project, new_run, now
from steplog.server.keys import hash_key
from steplog.server.permissions import Facts, role_in
from steplog.server.store import Store
from steplog.server.store_types import (
    CONFIGURED,
    KeyRow,
    KeyTerms,
    MemberRow,
    MissingError,
    RefusedError,
    RevokedKeyError,
    SessionRow,
    UserRow,
)

PAST, FAR = "2020-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"


def issue(store: Store, user: str, terms: KeyTerms) -> KeyRow:
    return store.issue_key(user, hash_key(user), "", terms).result()


def role(store: Store, user: UserRow, project: str = "mnist") -> str | None:
    facts = store.facts_of(user.id, "team", project)
    assert facts is not None
    return role_in(facts.visibility, facts.in_namespace, facts.in_project)


def test_a_user_owns_the_namespace_of_its_name_and_has_no_other_role(store):
    project, user = new_project(store), store.add_user("bob").result()
    own, team = store.namespace("bob"), store.namespace("team")
    assert store.namespace_roles(user.id) == {own.id: "OWNER"}
    assert store.facts(user.id) == [Facts(team.id, project.id, "TEAM", None, None)]
    assert store.facts(user.id, own) == []
    assert store.roles(user) == [MemberRow("bob", None, "bob", "OWNER")]
    assert not user.is_admin


def test_a_role_in_the_namespace_and_one_in_the_project_are_kept_apart(store):
    project, user, other = new_project(store), store.add_user("bob").result(), store.add_user("eve").result()
    new_project(store, "other")
    team = store.namespace("team")
    store.put_member(team, None, user, "READER").result()
    store.put_member(team, project, user, "MEMBER").result()
    assert (role(store, user), role(store, user, "other"), role(store, other)) == ("MEMBER", "READER", None)
    store.put_member(team, project, user, "OWNER").result()
    assert store.members(team, project) == [MemberRow("team", "mnist", "bob", "OWNER")]
    assert store.members(team) == [MemberRow("team", None, "bob", "READER")]
    store.remove_member(team, project, user).result()
    assert role(store, user) == "READER"
    with pytest.raises(MissingError):
        store.remove_member(team, project, user).result()
    assert store.facts_of(user.id, "team", "none") is store.facts_of(user.id, "none", "mnist") is None


def test_who_makes_a_namespace_or_a_project_owns_it(store):
    user = ann(store)
    team = store.put_namespace("team", user).result()
    other = store.add_user("bob").result()
    assert store.put_namespace("team", other).result() == team
    project = store.add_project(team, "mnist", "mnist", "RESTRICTED", other).result()
    assert [each.username for each in store.members(team)] == ["ann"]
    assert [(each.username, each.role) for each in store.members(team, project)] == [("bob", "OWNER")]


def test_a_deleted_project_has_no_members_and_no_service_keys(store):
    """Its number may be another project's later."""
    project, user = new_project(store), store.add_user("bob").result()
    team = store.namespace("team")
    store.put_member(team, project, user, "OWNER").result()
    key = issue(store, "bob", KeyTerms(project_id=project.id))
    store.delete_project(project).result()
    assert store.members(team, project) == []
    assert store.key(key.id).revoked is not None
    with pytest.raises(MissingError):
        store.put_member(team, project, user, "OWNER").result()


def test_a_name_with_the_namespace_of_another_user_is_refused(store):
    """Who had it would own what the other one has."""
    ann(store)
    with pytest.raises(RefusedError, match="user ann has the namespace ann"):
        store.add_user("Ann!").result()
    assert [user.username for user in store.users()] == ["ann"]


def test_a_removed_user_has_neither_keys_nor_sessions_nor_roles_and_keeps_its_runs(store):
    run, team = new_run(store), store.namespace("team")
    user, project = ann(store), store.project("team", "mnist")
    store.put_member(team, project, user, "OWNER").result()
    key = issue(store, "ann", KeyTerms())
    store.begin_session(SessionRow(b"session", key, FAR)).result()
    store.add_user("ann", is_admin=True).result()
    store.remove_user("ann").result()
    assert (store.key(key.id).revoked is not None, store.sessions_of_hashes([b"session"])) == (True, [])
    assert (store.roles(user), now(store, run).username) == ([], "ann")
    (removed,) = store.users()
    assert (removed.is_admin, removed.removed is not None) == (False, True)
    for name in ("ann", "nobody"):
        with pytest.raises(MissingError, match=f"there is no user {name}"):
            store.remove_user(name).result()
    again = store.add_user("ann").result()
    assert (again.id, again.removed, again.is_admin) == (user.id, None, False)
    assert [each.namespace for each in store.roles(user)] == ["ann"]


def test_the_user_of_the_servers_own_key_is_an_admin_and_is_not_removed(store):
    key = store.put_started_key(ann(store), b"own", CONFIGURED).result()
    assert (key.user.is_admin, [user.is_admin for user in store.users()]) == (True, [True])
    with pytest.raises(RefusedError, match="the server's own key is one of ann"):
        store.remove_user("ann").result()
    assert store.started_key() == key


def test_a_key_has_what_it_is_bound_to(store):
    project = new_project(store)
    terms = KeyTerms(FAR, project.id, 60, 1_000_000)
    key = issue(store, "bob", terms)
    assert (key.terms, key.project) == (terms, "team/mnist")
    assert store.keys_of_hashes([key.hash]) == store.all_keys() == [store.key(key.id)] == [key]


def test_a_key_that_has_expired_begins_no_session_and_ends_those_it_has(store):
    key = issue(store, "bob", KeyTerms(expires=FAR))
    assert (key.is_valid(PAST), key.is_valid(FAR)) == (True, False)
    store.begin_session(SessionRow(b"session", key, FAR)).result()
    assert len(store.sessions_of_hashes([b"session"])) == 1
    store.replace_key(key, b"new", PAST).result()
    assert store.sessions_of_hashes([b"session"]) == []
    with pytest.raises(MissingError):
        store.begin_session(SessionRow(b"another", key, FAR)).result()
    with pytest.raises(RevokedKeyError, match="expired on 2020-01-01"):
        store.replace_key(key, b"again").result()


def test_a_key_that_is_replaced_with_an_overlap_lasts_until_then_and_no_longer(store):
    own = store.put_started_key(ann(store), b"own", CONFIGURED).result()
    new = store.replace_key(own, b"new", FAR).result()
    old = store.key(own.id)
    assert (old.revoked, old.terms.expires, new.terms.expires) == (None, FAR, None)
    assert store.started_key() == new
    store.put_started_key(ann(store), b"new", CONFIGURED).result()
    assert store.key(own.id) == old, "a start in the meantime leaves it"
    bound = issue(store, "bob", KeyTerms(expires=PAST.replace("2020", "2998"), requests_a_minute=7))
    assert store.replace_key(bound, b"next", FAR).result().terms == bound.terms
    assert store.key(bound.id).terms == bound.terms


def test_a_project_is_changed_and_keeps_its_slug(store):
    project = new_project(store)
    values = {"display_name": "Digits", "visibility": "OPEN", "retention_days": 30}
    changed = store.edit_project("team", project, values).result()
    assert (changed.slug, changed.display_name, changed.visibility, changed.retention_days) == (
        *("mnist", "Digits", "OPEN", 30),
    )
    assert store.edit_project("team", project, {}).result() == changed == store.project("team", "mnist")
    assert store.edit_project("team", project, {"retention_days": None}).result().retention_days is None
    store.delete_project(project).result()
    with pytest.raises(MissingError):
        store.edit_project("team", project, values).result()


def test_runs_that_ended_long_enough_ago_go_to_the_trash(store):
    kept, project = new_run(store, new_project(store, "kept")), new_project(store)
    long_ago = "2020-01-01T00:00:00.000000Z"
    going, ended, imported = (new_run(store, project) for _ in range(3))
    store.edit_run(kept, {"ended": long_ago}, "COMPLETED").result()
    for run, fields, status in ((ended, {}, "FAILED"), (imported, {"ended": long_ago}, "COMPLETED")):
        store.edit_run(run, fields, status).result()
    later = datetime.now(timezone.utc) + timedelta(days=31)
    assert store.expire_runs(later) == 0, "without a limit of their project all are kept"
    store.edit_project("team", project, {"retention_days": 30}).result()
    assert store.expire_runs(later - timedelta(days=2)) == 0, "what ended before it was imported is not gone at once"
    assert store.expire_runs(later) == 2
    assert [run.uuid for run in store.runs(project)] == [going.uuid]
    assert [run.uuid for run in store.trash(project)] == [ended.uuid, imported.uuid]
    assert store.expire_runs(later) == 0
    assert [run.uuid for run in store.runs(store.project("team", "kept"))] == [kept.uuid]
