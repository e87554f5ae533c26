"""What a test would leave in the process for the tests after it, whatever their order."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from polling import wait_until

__all__ = ["AGENT", "SAID", "no_agent_left", "said_anew"]

AGENT = ("steplog-files", "steplog-maintenance", "steplog-sender", "steplog-system", "steplog-upload")  # its threads
ENDS_S = 10.0  # of a thread that is about to end
SAID = {  # what has been said once, by module
    "steplog.compat.notices": "_said",
    "steplog.compat.wandb.term": "_said",
    "steplog.journal.values": "_said",
    "steplog.lifecycle.messages": "_once",
}


@contextmanager
def said_anew() -> Iterator[None]:
    """What is said in this block is said again after it, though a process says it once."""
    try:
        yield
    finally:
        for module, name in SAID.items():
            if module in sys.modules:
                getattr(sys.modules[module], name).clear()


@contextmanager
def no_agent_left() -> Iterator[None]:
    """A block that must end the threads of the agents that it has begun. Raises AssertionError with their names.

    They go on until the process ends: they log what another test waits for, and do its work.
    """
    before = set(threading.enumerate())

    def left() -> list[str]:
        return sorted(thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith(AGENT))

    yield
    wait_until(lambda: not left(), ENDS_S, lambda: f"{left()} run on: end them, or run the test apart")
