"""What every test starts from: nothing that is set on this machine, a home and a shared memory of its own."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from benchmarks import scratch
from leftovers import no_agent_left, said_anew
from steplog.delivery.deferred_log import deferred_log

hypothesis.settings.register_profile("steplog", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.register_profile("fast", hypothesis.settings.get_profile("steplog"), max_examples=20)
hypothesis.settings.load_profile("steplog")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it does not wait for
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionstart() -> None:
    """Remove what tests have left that were killed."""
    scratch.sweep()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Also for the processes that a test starts; removed afterwards, so that no test leaves pages in /dev/shm.

    Not by ``tmp_path_factory``, which looks through all directories that it has made for the number of the next.
    """
    for name in list(os.environ):
        if name.startswith(("STEPLOG_", "TELLURIO_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home, memory = scratch.make("home"), scratch.make("test", scratch.SHARED)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("STEPLOG_MEMORY_DIR", str(memory))
    deferred_log.forget()  # what a test without threads has left
    yield
    scratch.remove(memory)
    scratch.remove(home)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    with no_agent_left(), said_anew():
        yield


@pytest.fixture(autouse=True)
def _no_stream_is_logged_to_afterwards() -> Iterator[None]:
    """``serve``, called in this process, has it log to the stream of that test, which is closed afterwards."""
    before = logging.getLogger().handlers[:]
    yield
    for handler in logging.getLogger().handlers[:]:
        if type(handler) is logging.StreamHandler and handler not in before:
            logging.getLogger().removeHandler(handler)
