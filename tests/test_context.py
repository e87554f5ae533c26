"""The active run: the ``with`` block around the caller, else the process's default, else the only open run."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from steplog import Run, get_active_run, set_active_run


def with_server(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test apart, beside a server in memory; it gets what makes a run there that is not active."""

    def run_it(monkeypatch: pytest.MonkeyPatch) -> None:
        FakeServer().configure(monkeypatch)
        test(lambda name, **given: steplog.init("team", "mnist", name, **{"activate": False, **given}))

    run_it.__name__ = test.__name__
    return apart(run_it)


Begin = Callable[..., Run]


def in_a_thread(work: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@apart
def test_without_any_run_there_is_no_active_one():
    with pytest.raises(ValueError, match=r"no active run: call steplog\.init\(\)"):
        get_active_run()
    with pytest.raises(ValueError, match="no active run"):
        steplog.log("loss", 0.5)


@with_server
def test_a_bare_init_makes_its_run_active_in_every_thread(begin: Begin):
    run = begin("run", activate=True)
    assert get_active_run() is run
    assert in_a_thread(get_active_run) is run
    other = in_a_thread(lambda: begin("other", activate=True))
    assert get_active_run() is other
    set_active_run(run)
    assert get_active_run() is run


@with_server
def test_the_only_open_run_is_the_active_one_and_of_several_one_must_be_named(begin: Begin):
    first = begin("first")
    assert get_active_run() is first
    second = begin("second")
    with pytest.raises(ValueError, match="several runs are open") as told:
        get_active_run()
    assert "'first'" in str(told.value)
    assert "'second'" in str(told.value)
    first.finish()
    assert get_active_run() is second
    set_active_run(None)
    assert get_active_run() is second
    second.finish()
    with pytest.raises(ValueError, match="no active run"):
        get_active_run()


@with_server
def test_a_finished_run_is_active_no_more(begin: Begin):
    run = begin("run", activate=True)
    run.finish()
    with pytest.raises(ValueError, match="no active run"):
        get_active_run()


@with_server
def test_with_blocks_nest_and_go_before_the_default(begin: Begin):
    default, outer, inner = begin("default", activate=True), begin("outer"), begin("inner")
    with outer:
        assert get_active_run() is outer
        with inner:
            assert get_active_run() is inner
        assert get_active_run() is outer
    assert get_active_run() is default


@with_server
def test_a_run_that_is_finished_within_its_block_leaves_the_block_around_it_active(begin: Begin):
    default, outer, inner = begin("default", activate=True), begin("outer"), begin("inner")
    with outer:
        with inner:
            inner.finish()
            assert get_active_run() is outer
        assert get_active_run() is outer
    assert get_active_run() is default


@with_server
def test_each_task_of_asyncio_has_the_run_of_its_own_block(begin: Begin):
    async def train(run: Run) -> int:
        with run:
            for number in range(20):
                steplog.log("loss", number)
                await asyncio.sleep(0)
                assert get_active_run() is run
        return run.finish().delivered

    async def main() -> list[int]:
        return await asyncio.gather(*[train(begin(f"run {number}")) for number in range(4)])

    assert asyncio.run(main()) == [20] * 4


@with_server
def test_a_task_that_is_made_in_a_block_is_in_that_block(begin: Begin):
    outer, other = begin("outer"), begin("other")

    async def enters_another() -> None:
        assert get_active_run() is outer
        with other:
            assert get_active_run() is other
            await asyncio.sleep(0)

    async def main() -> None:
        with outer:
            task = asyncio.create_task(enters_another())
            await asyncio.sleep(0)
            assert get_active_run() is outer
            await task
            assert get_active_run() is outer

    asyncio.run(main())


@with_server
def test_the_block_of_one_thread_is_not_that_of_another(begin: Begin):
    default, entered = begin("default", activate=True), begin("entered")
    inherits = getattr(sys.flags, "thread_inherit_context", 0)  # as free-threaded Python 3.14 does
    with entered:
        assert in_a_thread(get_active_run) is (entered if inherits else default)
        assert get_active_run() is entered


@with_server
def test_the_log_of_the_module_goes_to_the_active_run(begin: Begin):
    first, second = begin("first", activate=True), begin("second")
    steplog.log("loss", 0.5, step=3)
    with second:
        steplog.log("loss", 0.25)
        steplog.log("loss", 0.125)
    assert (first.finish().delivered, second.finish().delivered) == (1, 2)
