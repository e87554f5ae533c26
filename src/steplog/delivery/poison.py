"""The poison test: does the server refuse this record, or everything? Pure.

A poison record (as in poison message) can never be delivered, and would hold back all after it. It goes to quarantine
only if the server takes anything else of the run in the same episode. What counts is a *round*: the record is refused,
and the very next request, a harmless *control*, is accepted. One round may be an accident, two are not. A server fault
(500) is weaker evidence than a refusal: ``FAULT_ROUNDS`` rounds.

    refused ──▶ control accepted: a round    (and the record again, or enough rounds: poison)
            ──▶ control refused: blocked, everything is; the control again, slowly, and count from none
            ──▶ no answer: no round; the record again
"""

from __future__ import annotations

__all__ = ["FAULTS_MAX", "FAULT_ROUNDS", "ROUNDS", "PoisonTest"]

FAULTS_MAX = 5  # faults in a row of one request before it is suspected
FAULT_ROUNDS = 5
ROUNDS = 2


class PoisonTest:
    """Of the positions ``[first, end)``.

    ``vouched``: a control was accepted since it began; ``blocked``: none since one was refused. ``fault``: the refusals
    are faults; ``words`` are the server's.
    """

    def __init__(self, first: int, end: int, *, vouched: bool = False, blocked: bool = False) -> None:
        self.first = first
        self.end = end
        self.vouched = vouched
        self.blocked = blocked
        self.fault = False
        self.words = ""
        self.rounds = 0
        self._open = False  # refused, and nothing since

    @property
    def needs_control(self) -> bool:
        """Whether the control is next, and not the record."""
        return self._open or self.blocked

    def refused(self, fault: bool, words: str) -> None:
        """The record is refused."""
        if fault is not self.fault:
            self.rounds = 0
        self.fault, self.words, self._open = fault, words, True

    def control_accepted(self) -> bool:
        """The control is accepted; whether the record is poison."""
        self.rounds += self._open
        self.vouched, self.blocked, self._open = True, False, False
        return self.rounds >= (FAULT_ROUNDS if self.fault else ROUNDS)

    def control_unanswered(self) -> None:
        """The control got no answer that says anything."""
        self._open = False

    def control_refused(self) -> None:
        """The control is refused too."""
        self.vouched, self.blocked, self._open, self.rounds = False, True, False, 0
