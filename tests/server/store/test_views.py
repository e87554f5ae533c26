"""Saved views: a name each in its project, and gone with it."""

from __future__ import annotations

import pytest

from server.stores import ann, new_project
from steplog.server.sql.views import VIEWS_MAX
from steplog.server.store_types import MissingError, TakenError, TooManyViewsError


def test_views_are_saved_changed_and_deleted(store):
    project, user = new_project(store), ann(store)
    first = store.add_view(project, user, "first", "?x=time").result()
    second = store.add_view(project, user, "second", "").result()
    assert (first.name, first.address, first.username, first.date_created) == (
        *("first", "?x=time", "ann"),
        first.date_updated,
    )
    assert store.views(project) == [first, second]
    renamed = store.edit_view(project, first.uuid, "renamed", None).result()
    assert (renamed.uuid, renamed.name, renamed.address) == (first.uuid, "renamed", "?x=time")
    assert renamed.date_updated >= first.date_updated
    moved = store.edit_view(project, first.uuid, None, "").result()
    assert (moved.name, moved.address) == ("renamed", "")
    store.delete_view(project, second.uuid).result()
    assert store.views(project) == [moved]
    for view in (second.uuid, "no uuid"):
        with pytest.raises(MissingError):
            store.edit_view(project, view, "x", None).result()
        with pytest.raises(MissingError):
            store.delete_view(project, view).result()


def test_a_name_is_taken_in_its_project_alone(store):
    project, other, user = new_project(store), new_project(store, "other"), ann(store)
    store.add_view(project, user, "name", "").result()
    view = store.add_view(project, user, "another", "").result()
    assert store.add_view(other, user, "name", "").result().name == "name"
    with pytest.raises(TakenError):
        store.add_view(project, user, "name", "?x=time").result()
    with pytest.raises(TakenError):
        store.edit_view(project, view.uuid, "name", None).result()
    assert store.edit_view(project, view.uuid, "another", "?x=time").result().address == "?x=time"
    with pytest.raises(MissingError):
        store.edit_view(other, view.uuid, "of another project", None).result()
    with pytest.raises(MissingError):
        store.delete_view(other, view.uuid).result()


def test_a_project_has_a_bounded_number_of_views(store):
    project, user = new_project(store), ann(store)
    for made in [store.add_view(project, user, str(number), "") for number in range(VIEWS_MAX)]:
        made.result()
    with pytest.raises(TooManyViewsError):
        store.add_view(project, user, "one more", "").result()
    assert len(store.views(project)) == VIEWS_MAX


def test_a_deleted_project_takes_its_views_along(store):
    project, user = new_project(store), ann(store)
    view = store.add_view(project, user, "name", "").result()
    store.delete_project(project).result()
    assert store.views(project) == []
    with pytest.raises(MissingError):
        store.add_view(project, user, "name", "").result()
    again = new_project(store)
    assert store.views(again) == []
    while store.reap().result():
        pass
    assert store.views(again) == []
    assert store.add_view(again, user, "name", "").result().uuid != view.uuid
