"""Waiting for what another thread or process brings about: looked at again and again, to a deadline.

The programs of the tests find this module too (``end_to_end.programs``).
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["wait_until"]

_POLL_S = 0.005


def wait_until(
    condition: Callable[[], object],
    deadline_s: float = 30.0,
    found: Callable[[], object] = lambda: "no more is known",
) -> None:
    """Return when ``condition()`` is true; AssertionError, with what is ``found`` instead, when the deadline passes."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"it does not come to hold within {deadline_s:g} s: {found()}"
        time.sleep(_POLL_S)
