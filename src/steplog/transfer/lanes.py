"""A stream's records by what is numbered together: all of them, or each metric by itself. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from steplog.formats.imported import BATCH_RECORDS, RecordBatch, Stream
from steplog.transfer.planes import Encoder
from steplog.transfer.run_records import writer_of

__all__ = ["Lane", "Lanes"]

_WAITING_MAX = 8 * BATCH_RECORDS  # of all lanes of a stream


class Lane:
    """What one writer sends: ``position`` is how far it has come, ``mark`` how far the server has."""

    def __init__(self, writer: str, mark: int) -> None:
        self.encoder = Encoder(writer)
        self.mark = mark
        self.position = 0
        self.waiting: list[RecordBatch] = []
        self.count = 0  # of records that wait

    def take(self) -> RecordBatch:
        """What waits, which it has come past then."""
        parts, self.waiting = self.waiting, []
        self.position += self.count
        self.count = 0
        if len(parts) == 1:
            return parts[0]
        names, steps, times, values = (list(chain.from_iterable(column)) for column in zip(*parts, strict=True))
        return RecordBatch(names, steps, times, values)


class Lanes:
    """Those of a stream; ``mark_of`` tells how far the server has come with a writer, ``least`` how many are enough."""

    def __init__(self, run_id: str, stream: Stream, mark_of: Callable[[str], int], least: int) -> None:
        self._least = least
        self._parts = (run_id, stream.key)
        self._by_name = stream.by_name
        self._mark_of = mark_of
        self._lanes: dict[str, Lane] = {}
        self._waiting = 0

    def add(self, batch: RecordBatch) -> Iterator[Lane]:
        """The next records; yields each lane where enough of them wait to be taken."""
        for name, part in self._split(batch):
            lane = self._lane(name)
            lane.waiting.append(part)
            lane.count += len(part.names)
            self._waiting += len(part.names)
            if lane.count >= self._least:
                self._waiting -= lane.count
                yield lane
        if self._waiting >= _WAITING_MAX:
            yield from self.rest()

    def rest(self) -> Iterator[Lane]:
        """Each lane where some wait."""
        self._waiting = 0
        yield from [lane for lane in self._lanes.values() if lane.count]

    def _split(self, batch: RecordBatch) -> Iterator[tuple[str, RecordBatch]]:
        names = dict.fromkeys(batch.names) if self._by_name else {}
        if len(names) < 2:
            if batch.names:
                yield next(iter(names), ""), batch
            return
        places: dict[str, list[int]] = {name: [] for name in names}
        for at, name in enumerate(batch.names):
            places[name].append(at)
        for name, some in places.items():
            steps, times = [batch.steps[at] for at in some], [batch.times[at] for at in some]
            yield name, RecordBatch([name] * len(some), steps, times, [batch.values[at] for at in some])

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            writer = writer_of(*self._parts, *((name,) if self._by_name else ()))
            lane = self._lanes[name] = Lane(writer, self._mark_of(writer))
        return lane
