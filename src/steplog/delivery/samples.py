"""System metrics of one run on their way to a server that takes ranges. Pure.

They are kept apart from what the user logs: in private memory, under a writer of their own, in no journal. So they take
no room from records, are in no count of values, losses or what is left, hold back neither the end of a run nor its
status, and never come after it. A kill loses those that wait. While the server is away the last ``SAMPLES_MAX`` wait,
an hour at one each 15 s; older ones are dropped.

They go when nothing else is due. What may have arrived is sent again as it was, and the server knows it by its
positions; what is refused is dropped, and those that follow come under a new writer.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping

from steplog.delivery.backoff import Backoff
from steplog.delivery.exchange import Request
from steplog.delivery.tickets import RunAddress, Sample, Send
from steplog.delivery.verdicts import NOT_STORED, Judgement, Verdict
from steplog.delivery.wire import CONTENT_TYPE_RANGE
from steplog.journal import slot
from steplog.journal.range import NAME_BYTES_MAX, RANGE_BYTES_MAX, Range, encode

__all__ = ["FAULTS_MAX", "SAMPLES_MAX", "Samples"]

SAMPLES_MAX = 240
FAULTS_MAX = 3  # answers of 500 in a row, after which it is dropped
_RANGE_BYTES = RANGE_BYTES_MAX // 2  # from which on the next sample waits for the next range
_HEADERS = {"Content-Type": CONTENT_TYPE_RANGE, "Content-Encoding": "deflate"}


class Samples:
    """``new_writer`` gives the id of a new writer."""

    def __init__(self, source: random.Random, new_writer: Callable[[], str]) -> None:
        self.backoff = Backoff(source)
        self._new_writer = new_writer
        self._waiting: deque[tuple[int, Mapping[str, float]]] = deque(maxlen=SAMPLES_MAX)
        self._sent: Range | None = None  # whose answer is not known
        self._writer = new_writer()
        self._mark = 0  # how far this writer has come
        self._faults = 0

    def add(self, time_ns: int, values: Mapping[str, float]) -> None:
        """Send these, of this time; of the names those that a server takes."""
        self._waiting.append((time_ns, values))

    def drop(self) -> None:
        """Nothing more is to be sent."""
        self._waiting.clear()
        self._sent = None

    def due_at(self, now: float) -> float | None:
        """When something is to be sent, on the monotonic clock; None: nothing is left."""
        return max(now, self.backoff.due) if self._waiting or self._sent is not None else None

    def send(self, address: RunAddress) -> Send:
        """All that waits."""
        if self._sent is None:
            self._sent = self._range()
        return Send(Request("POST", address.batch_path, encode(self._sent), _HEADERS), Sample(range=self._sent))

    def _range(self) -> Range:
        numbers: dict[str, int] = {}
        records = bytearray()
        while self._waiting and len(records) < _RANGE_BYTES:
            time_ns, values = self._waiting.popleft()
            for name, value in values.items():
                if not 0 < len(name.encode()) <= NAME_BYTES_MAX:
                    continue
                number = numbers.setdefault(name, len(numbers) + 1)
                at = len(records)
                records += bytes(slot.SLOT_BYTES)
                slot.pack_float(records, at, slot.NO_STEP, value, time_ns, slot.key_of(number, slot.KIND_FLOAT))
        names = {number: name for name, number in numbers.items()}
        end = self._mark + len(records) // slot.SLOT_BYTES
        return Range(self._writer, self._mark, end, names, bytes(records), b"")

    def answered(self, now: float, ticket: Sample, judgement: Judgement) -> None:
        """Learn from an answer."""
        if ticket.range is not self._sent:
            return  # dropped meanwhile
        verdict = judgement.verdict
        self._faults = self._faults + 1 if verdict is Verdict.FAULT else 0
        if verdict is Verdict.ACCEPTED:
            self._sent, self._mark = None, ticket.range.end
            self.backoff.passed()
        elif verdict in NOT_STORED or self._faults >= FAULTS_MAX:
            self._sent, self._mark, self._writer = None, 0, self._new_writer()
            self.backoff.failed(now, judgement.retry_after_s)
        else:
            self.backoff.failed(now, judgement.retry_after_s)
