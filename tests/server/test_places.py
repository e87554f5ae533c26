"""Which connection gives up its place: never one with a key while there is one without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.server.places import Places


def entered(places: Places[int], *connections: int) -> list[int | None]:
    return [places.enter(connection) for connection in connections]


def keyed(places: Places[int], *connections: int, idle: bool = True) -> None:
    for connection in connections:
        assert places.enter(connection) is None
        places.show_key(connection)
        if idle:
            places.end(connection)


def test_those_without_a_key_have_so_many_places_and_the_oldest_goes_first():
    places: Places[int] = Places(10, 3)
    assert entered(places, 1, 2, 3, 4, 5) == [None, None, None, 1, 2]
    assert len(places) == 3


def test_the_places_of_those_with_a_key_are_not_taken_by_those_without():
    places: Places[int] = Places(10, 3)
    keyed(places, *range(7))
    assert entered(places, 10, 11, 12, 13, 14) == [None, None, None, 10, 11]
    assert len(places) == 10


def test_when_all_is_taken_one_without_a_key_goes_before_any_with_one():
    places: Places[int] = Places(4, 2)
    keyed(places, 1, 2, 3)
    assert entered(places, 4, 5) == [None, 4]
    places.show_key(5)
    assert entered(places, 6) == [1], "the one that has idled longest: none is without a key but the new one"


def test_the_one_that_has_idled_longest_goes_and_none_with_a_request():
    places: Places[int] = Places(3, 3)
    keyed(places, 1, 2, 3)
    places.begin(1)
    places.end(1)
    places.begin(2)
    assert entered(places, 4) == [3]
    places.show_key(4)
    assert entered(places, 5) == [1]
    places.show_key(5)
    assert entered(places, 6) == [6], "all have a request in progress"
    assert len(places) == 3


def test_who_has_left_has_no_place():
    places: Places[int] = Places(2, 1)
    keyed(places, 1)
    places.enter(2)
    for connection in (1, 2, 2, 3):
        places.leave(connection)
    assert len(places) == 0


@given(st.lists(st.tuples(st.sampled_from(["enter", "show_key", "begin", "end", "leave"]), st.integers(0, 15))))
def test_there_are_never_more_than_the_limits_whatever_happens(events):
    places: Places[int] = Places(6, 3)
    shown: dict[int, bool] = {}  # those who are in, and whether they have shown a key
    for event, connection in events:
        if (event == "enter") == (connection in shown):
            continue
        leaving = getattr(places, event)(connection)
        if event == "enter":
            shown[connection] = False
        if event == "show_key":
            shown[connection] = True
        if event == "leave":
            del shown[connection]
        if leaving is not None:
            assert not (shown.pop(leaving) and any(not key for each, key in shown.items() if each != connection))
        assert len(places) == len(shown) <= 6
        assert sum(not key for key in shown.values()) <= 3


@pytest.mark.parametrize(("total", "unkeyed"), [(1, 1)])
def test_with_a_single_place_the_new_one_takes_it_from_one_that_idles(total, unkeyed):
    places: Places[int] = Places(total, unkeyed)
    keyed(places, 1)
    assert entered(places, 2) == [1]
