"""What has been measured so far, in a file: groups measured at different times are put together, each with its run.

::

    {"groups": {"log_cost": {"run": RUN, "took_s": …, "figures": [FIGURE, …]}, …},
     "peers": {"run": RUN, "took_s": …, "figures": [FIGURE, …], "rows": {PEER: {FIELD: {median, low, high}}},
               "rounds": {PEER: [RESULT, …]}}}

RUN has the machine, the date, the version and the commit. A group that is measured again replaces what it was; so do
the peers, as soon as a whole round is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, as_json, from_json
from benchmarks.groups import GROUPS

__all__ = ["Results"]


class Results:
    """Of one file; written whenever something is put."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.told: dict[str, Any] = {"groups": {}, "peers": {}}
        if path.exists():
            told = json.loads(path.read_text("utf-8"))
            if "groups" in told:  # not one of before groups were put together
                self.told = told

    def put(self, group: str, run: Mapping[str, str], took_s: float | None, figures: Sequence[Figure]) -> None:
        """A group's figures."""
        found = [as_json(figure) for figure in figures]
        self.told["groups"][group] = {"run": dict(run), "took_s": _rounded(took_s), "figures": found}
        self._write()

    def put_peers(
        self,
        run: Mapping[str, str],
        took_s: float | None,
        figures: Sequence[Figure],
        rows: Mapping[str, Any],
        rounds: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> None:
        """The peers' rounds and what they come to."""
        self.told["peers"] = {
            "run": dict(run),
            "took_s": _rounded(took_s),
            "figures": [as_json(figure) for figure in figures],
            "rows": dict(rows),
            "rounds": {name: list(results) for name, results in rounds.items()},
        }
        self._write()

    def run(self, group: str) -> dict[str, str]:
        """The run in which a group was measured."""
        found: dict[str, str] = self.told["groups"][group]["run"]
        return found

    def took_s(self, group: str) -> float | None:
        """How long it was measured; None: nobody has looked."""
        found: float | None = self.told["groups"][group]["took_s"]
        return found

    def figures(self, group: str) -> list[Figure]:
        """A group's figures; none if it was not measured."""
        return [from_json(each) for each in self.told["groups"].get(group, {}).get("figures", ())]

    def groups(self) -> list[str]:
        """Those that were measured, in the order of a page."""
        return [name for name in GROUPS if name in self.told["groups"]]

    @property
    def peers(self) -> dict[str, Any]:
        """``run``, ``took_s``, ``figures``, ``rows`` and ``rounds``; empty if they were not measured."""
        found: dict[str, Any] = self.told["peers"]
        return found

    def peer_figures(self) -> list[Figure]:
        """Ours against the best of them."""
        return [from_json(each) for each in self.peers.get("figures", ())]

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".tmp")
        beside.write_text(json.dumps(self.told, indent=1), "utf-8")
        os.replace(beside, self._path)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
