"""Every range of a run goes to each of several servers, cut differently, until all of it is acknowledged by each.

Then every point is there once, with its value, whatever was killed or stopped meanwhile.
"""

from __future__ import annotations

import http.client
import json
import random
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from server.batches import BEGAN_NS
from server.process import BATCH_HEADERS, KEY
from steplog.delivery.wire import acknowledges, api_path
from steplog.journal import slot
from steplog.journal.range import Range, encode

NAMES = {number: f"metric {number}" for number in range(4)}
PROJECT = ("team", "once")
TIMEOUT_S = 10.0
GIVE_UP_S = 300.0  # of one request: whatever was stopped is there again long before
_PAUSE_S = 0.03
_KEYS = [slot.key_of(number, slot.KIND_FLOAT) for number in NAMES]
_pack = struct.Struct("<qdqQ").pack


def ranges(writer: str, first: int, end: int) -> bytes:
    """The body of a request: position p is step p // 4 of metric p % 4, and its value is p and the writer's number."""
    slots = b"".join(_pack(p // 4, p + _number(writer) / 8, BEGAN_NS + p, _KEYS[p % 4]) for p in range(first, end))
    return encode(Range(writer, first, end, NAMES, slots, b""))


def expected(writers: Iterable[str], end: int) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each metric, sorted, of writers that have delivered all below ``end``."""
    points: dict[str, list[tuple[int, float]]] = {name: [] for name in NAMES.values()}
    for writer in writers:
        for p in range(end):
            points[NAMES[p % 4]].append((p // 4, p + _number(writer) / 8))
    return {name: sorted(of) for name, of in points.items() if of}


def _number(writer: str) -> int:
    return int(writer.rpartition("-")[2])


@dataclass
class Counts:
    """What clients have seen, all together."""

    answers: Counter[int] = field(default_factory=Counter)  # by status
    lost: int = 0  # requests without an answer
    accepted: int = 0
    ranges: int = 0
    slowest_s: float = 0.0  # from the first try to the acknowledgement
    lock: threading.Lock = field(default_factory=threading.Lock)


class Line:
    """A connection to a server that asks until it is answered."""

    def __init__(self, url: str, counts: Counts, key: str = KEY) -> None:
        self._host = urlsplit(url).netloc
        self._counts = counts
        self._key = key
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """The first answer that is not 5xx, and its body."""
        until = time.monotonic() + GIVE_UP_S
        while time.monotonic() < until:
            try:
                status, told = self._ask(method, path, body, headers)
            except (OSError, http.client.HTTPException):
                self.close()
                with self._counts.lock:
                    self._counts.lost += 1
            else:
                with self._counts.lock:
                    self._counts.answers[status] += 1
                if status < 500:
                    return status, told
            time.sleep(_PAUSE_S)
        raise AssertionError(f"{method} {path} was not answered in {GIVE_UP_S:.0f} s")

    def json(self, method: str, path: str, value: Any = None, **headers: str) -> tuple[int, Any]:
        """The same of JSON."""
        body = None if value is None else json.dumps(value).encode()
        status, told = self.ask(method, path, body, **{"Content-Type": "application/json"} | headers)
        return status, json.loads(told) if told else None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)
        sent = {"Authorization": f"Api-Key {self._key}"} | headers
        self._connection.request(method, path, body, sent)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


class Client(threading.Thread):
    """Delivers the positions below the last of ``ends``, in ranges that end there, to one server."""

    def __init__(self, url: str, run: str, writer: str, ends: Sequence[int], counts: Counts) -> None:
        super().__init__(daemon=True)
        self._line = Line(url, counts)
        self._path = f"{run}metrics/batch/"
        self._writer, self.ends, self._counts = writer, ends, counts
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            mark = 0
            for end in self.ends:
                while mark < end:
                    mark = self._deliver(mark, end)
        except BaseException as error:  # noqa: BLE001 - for the test
            self.failure = error
        finally:
            self._line.close()

    def _deliver(self, first: int, end: int) -> int:
        """Where to go on."""
        begun = time.monotonic()
        status, told = self._line.ask("POST", self._path, ranges(self._writer, first, end), **BATCH_HEADERS)
        if status == 409:
            return int(json.loads(told)["mark"])
        assert status == 200, (status, told)
        assert acknowledges(told, self._writer, first, end), told
        with self._counts.lock:
            self._counts.ranges += 1
            self._counts.accepted += json.loads(told)["accepted"]
            self._counts.slowest_s = max(self._counts.slowest_s, time.monotonic() - begun)
        return end


def cuts(source: random.Random, end: int, size_max: int) -> list[int]:
    """Ascending ends of ranges of at most this size, the last of which is ``end``."""
    found, at = [], 0
    while at < end:
        at = min(end, at + source.randrange(1, size_max + 1))
        found.append(at)
    return found


def new_runs(urls: Sequence[str], count: int, counts: Counts) -> list[str]:
    """The paths of new runs, each asked for at all servers at once, under one key. Raises AssertionError for two."""
    namespace, slug = PROJECT
    lines = [Line(url, counts) for url in urls]
    wanted = {"display_name": slug, "visibility": "TEAM"}
    lines[0].json("POST", api_path(namespace, "projects"), wanted)  # it is there already where an answer was lost
    assert lines[0].json("GET", api_path(namespace, "projects", slug))[0] == 200
    path = api_path(namespace, "projects", slug, "runs")
    made = []
    for number in range(count):
        found: list[str] = []

        def ask(line: Line, key: str = f'"key {number}"', found: list[str] = found) -> None:
            status, run = line.json("POST", path, {"name": "one name"}, **{"Idempotency-Key": key})
            assert status in (200, 201), (status, run)
            found.append(run["uuid"])

        asking = [threading.Thread(target=ask, args=(line,)) for line in lines]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert len(found) == len(urls)
        assert len(set(found)) == 1, f"one key made {len(set(found))} runs"
        made.append(f"{path}{found[0]}/")
    for line in lines:
        line.close()
    return made


def check(url: str, run: str, writers: Sequence[str], end: int) -> None:
    """Raises AssertionError unless each point of these writers is there once."""
    line = Line(url, Counts())
    status, listed = line.json("GET", f"{run}metrics/")
    assert status == 200, listed
    line.close()
    found: dict[str, list[tuple[int, float]]] = {}
    for entry in listed:
        found.setdefault(entry["name"], []).append((entry["step"], entry["value"]))
    assert {name: sorted(of) for name, of in found.items()} == expected(writers, end)
