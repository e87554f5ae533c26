"""Who waits for a run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

__all__ = ["Waiter"]


class Waiter(msgspec.Struct, eq=False):
    """Waits until what was written and taken of files by now is delivered, and with ``status`` until that is set.

    ``afresh``: one attempt is made for it at once, whatever was decided before. ``files_until``: when the status goes
    without the files, on the monotonic clock, in seconds.
    """

    done: Callable[[], None]
    status: bool = False
    afresh: bool = False
    ends: Mapping[str, int] = {}
    files: frozenset[str] = frozenset()
    files_until: float = 0.0
