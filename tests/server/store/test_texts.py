"""A text is stored as it is, whatever code points it has: PostgreSQL's own have no NUL."""

from __future__ import annotations

import pytest

from server.batches import range_of
from server.stores import add, ann, config, listed, new_project, new_run, now, says
from steplog.server.keys import hash_key
from steplog.server.store_types import Creation

TEXTS = ["a\0b", "\0", "\0\0", "\U0010ffff", "\U0010fffe", "\U0010ffff\U0010fffe", "\U0010ffff\0\U0010ffff\U0010ffff\0"]


def test_runs_with_any_name_are_told_apart_and_found(store):
    project = new_project(store)
    made = {text: new_run(store, project, Creation(text)) for text in TEXTS}
    assert {text: run.name for text, run in made.items()} == {text: text for text in TEXTS}
    for text in TEXTS:
        found, is_new = store.create_run(project, ann(store), Creation(text, resume="must")).result()
        assert (found.uuid, is_new) == (made[text].uuid, False)
    again = new_run(store, project, Creation("a\0b"))
    assert again.name == "a\0b_1"


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_said_of_a_run_reads_as_it_was_said(store, text):
    run = new_run(store)
    fields = {"notes": text, "group": text, "description": text}
    add(store, run, range_of([says(fields), says({text: [text]}, "config"), (text, 0.5, 0)]))
    present = now(store, run)
    assert {field: getattr(present, field) for field in fields} == fields
    assert config(store, run) == {text: [text]}
    assert [point for point in listed(store, run) if point["name"] == text] == [{"name": text, "value": 0.5, "step": 0}]


@pytest.mark.parametrize("text", TEXTS)
def test_nothing_is_found_by_a_text_that_nobody_has(store, text):
    project = new_project(store)
    run = new_run(store, project)
    assert store.run("team", "mnist", run.uuid + text) is None
    assert store.project("team", text) is None
    assert store.namespace(text) is None


@pytest.mark.parametrize("text", TEXTS)
def test_users_labels_and_views_have_any_text(store, text):
    user = store.add_user(f"u{text}").result()
    assert (user.username, store.add_user(f"u{text}").result()) == (f"u{text}", user)
    key = store.issue_key(user.username, hash_key("key"), text).result()
    assert (key.label, store.key(key.id)) == (text, key)
    view = store.add_view(new_project(store), user, text, f"?{text}").result()
    assert (view.name, view.address) == (text, f"?{text}")
