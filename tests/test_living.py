"""``Living`` has what lives, and any thread adds to it and lists it at any time."""

from __future__ import annotations

import threading

from steplog.living import Living


class Thing:
    pass


def test_it_has_what_lives_and_keeps_nothing_alive():
    living = Living[Thing]()
    kept, gone = Thing(), Thing()
    living.add(kept)
    living.add(kept)
    living.add(gone)
    assert len([*living]) == 2
    del gone
    assert [*living] == [kept]
    living.clear()
    assert [*living] == []


def test_a_thread_may_add_while_another_lists():
    """A set of weak references raised RuntimeError, in the thread that opened a lock file."""
    living, kept, failed = Living[Thing](), [Thing() for _ in range(200)], list[BaseException]()

    def add() -> None:
        for _ in range(300):
            for thing in kept:
                living.add(thing)
            living.clear()

    adding = threading.Thread(target=add)
    adding.start()
    while adding.is_alive():
        try:
            assert all(isinstance(each, Thing) for each in living)
        except RuntimeError as error:
            failed.append(error)
    adding.join()
    assert failed == []
