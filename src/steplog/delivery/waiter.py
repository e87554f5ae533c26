"""Who waits for a run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Waiter"]


@dataclass(eq=False, slots=True)
class Waiter:
    """Waits until what was written and taken of files by now is delivered, and with ``status`` until that is set.

    ``afresh``: one attempt is made for it at once, whatever was decided before. ``files_until``: when the status goes
    without the files, on the monotonic clock, in seconds.
    """

    done: Callable[[], None]
    status: bool = False
    afresh: bool = False
    ends: Mapping[str, int] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    files_until: float = 0.0
