"""An order: one exchange that is due, and what its answer is for. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from steplog.delivery.exchange import Request
from steplog.delivery.verdicts import Judgement
from steplog.journal.range import Range

__all__ = ["Aside", "Order", "RunAddress"]


@dataclass(frozen=True, slots=True)
class RunAddress:
    """Where a run is on its server."""

    namespace: str
    project: str
    run: str


@dataclass(frozen=True, slots=True)
class Order:
    """A request; whether a success confirms it; and what to do with the judgement, at a time, and the body.

    ``suspect``: a server fault (500) is expected to be the record's own, and says nothing of the server.
    """

    request: Request
    echoes: Callable[[bytes], bool]
    answered: Callable[[float, Judgement, bytes], None]
    suspect: bool = False


class Aside(Protocol):
    """Where records go that the server refuses for good."""

    def positions(self, writer: str) -> set[int]:
        """What was set aside of this writer's journal."""

    def put(self, record: Range, words: str, told: Callable[[float, bool], None]) -> None:
        """Have the one record of a range kept, with the server's words, which is owed from now on.

        ``told``, at what time, whether it is safe now; until then it is neither sent again nor acknowledged.
        """
