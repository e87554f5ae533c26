"""Lanes: which of the concurrent requests to stock servers a metric's name goes with. Pure.

A name stays on its lane, with those whose values mean something only in one order, as what is set and what is removed
of a config. All runs of an agent share its lanes: a new name takes the one with the fewest names.
"""

from __future__ import annotations

from collections import Counter

__all__ = ["Lanes"]


_GOES_WITH = {"steplog/config/removed": "steplog/config"}


class Lanes:
    """The names of one run on ``count`` lanes."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.used = 0  # one more than the highest lane that has a name of this run
        self._of: dict[str, int] = {}
        self._load: Counter[int] = Counter()  # names by lane, of all runs that share them

    def share(self, load: Counter[int]) -> None:
        """Share the lanes with all runs that count their names in ``load``."""
        self._load.subtract(self._of.values())
        self._load = load
        self._load.update(self._of.values())

    def of(self, name: str) -> int:
        """The lane of a name."""
        name = _GOES_WITH.get(name, name)
        if name not in self._of:
            lane = self._of[name] = min(range(self.count), key=self._load.__getitem__)
            self._load[lane] += 1
            self.used = max(self.used, lane + 1)
        return self._of[name]
