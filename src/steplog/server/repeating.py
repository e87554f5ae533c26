"""Work that the server does again and again while it serves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["repeating"]


@contextmanager
def repeating(work: Callable[[], float], name: str, first_s: float = 0.0) -> Iterator[None]:
    """In a thread, do ``work``, which raises nothing, after ``first_s`` seconds, then after as many as it returns."""
    stopping = threading.Event()

    def live() -> None:
        pause_s = first_s
        while not stopping.wait(pause_s):
            pause_s = work()

    thread = threading.Thread(target=live, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
