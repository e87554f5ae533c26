"""What an operator watches, as Prometheus text: counts of requests, of points, and the figures of the store's parts.

1. No label has a name of a user, a project or a run: a route is the pattern of its path, and there are only so many.
2. A request costs two look-ups and some additions of plain numbers, on the event loop; what Prometheus wants is made
   of them when it asks, in a thread, and ``prometheus_client`` is imported then.
3. Who may ask: from the networks given, or with an admin's key (``docs/operations.md``). A store that does not answer
   costs its own figures alone: ``steplog_store_up`` is 0.

https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from steplog.server.seen_request import SeenRequest

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["BUCKETS_S", "FIGURES", "Counts", "Figures", "text"]

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Figures = Callable[[], Mapping[str, float]]

FIGURES = {  # each without ``steplog_``; a name that ends in ``_total`` is a counter
    "points_stored_total": "Values stored",
    "points_duplicate_total": "Values that had been stored before, and were sent again",
    "requests_in_flight": "Requests that are being answered",
    "connections": "Connections that are open",
    "connections_max": "Connections that may be open",
    "draining": "1 from SIGTERM on",
    "store_up": "1 if the store has answered for these figures",
    "writes_waiting": "Writes that wait for their commit",
    "commits_total": "Commits, of any number of writes each",
    "commit_seconds_total": "What commits have taken",
    "unpacked_bytes": "Batches that are stored as they came, and not packed",
    "commit_retries_total": "Transactions run again, since other servers have written meanwhile",
    "pool_size": "Connections to PostgreSQL that may read",
    "pool_used": "Connections to PostgreSQL that read",
    "pool_waiting": "Reads that wait for one",
    "packer_up": "1 while the packer runs",
    "packer_starts_total": "Starts of the packer",
    "reaped_slices_total": "Transactions that have removed something of what is deleted",
    "contents": "Contents of files, in each project that has them",
    "content_bytes": "Their bytes",
    "content_free_bytes": "Room for more of them",
    "contents_collected_total": "Contents that a project has given up, since nothing named them",
    "uploads_swept_total": "Uploads given up, since nobody went on with them",
}


class _Took:
    """What the requests of a route have taken."""

    __slots__ = ("buckets", "bytes_in", "bytes_out", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0
        self.bytes_in = self.bytes_out = 0


class _Snapshot(NamedTuple):
    """Counts as they were at one moment."""

    requests: list[tuple[tuple[str, str, int], int]]
    took: list[tuple[str, tuple[int, ...], float, int, int]]


class Counts:
    """What the server has done since its start; for the event loop.

    Attributes:
        in_flight: requests that are being answered.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: dict[tuple[str, str, int], int] = {}
        self._took: dict[str, _Took] = {}
        self._stored = self._duplicates = 0

    def note(self, seen: SeenRequest) -> None:
        """Count a request that is over."""
        key = seen.method, seen.route, seen.status
        self._requests[key] = self._requests.get(key, 0) + 1
        took = self._took.get(seen.route)
        if took is None:
            took = self._took[seen.route] = _Took()
        took.buckets[bisect_left(BUCKETS_S, seen.seconds)] += 1
        took.seconds += seen.seconds
        took.bytes_in += seen.bytes_in
        took.bytes_out += seen.bytes_out

    def note_points(self, stored: int, duplicates: int = 0) -> None:
        """Count what a batch has brought."""
        self._stored += stored
        self._duplicates += duplicates

    def figures(self) -> Mapping[str, float]:
        """Those that have no labels."""
        return {
            "points_stored_total": self._stored,
            "points_duplicate_total": self._duplicates,
            "requests_in_flight": self.in_flight,
        }

    def snapshot(self) -> _Snapshot:
        """The others, for another thread."""
        took = [(r, tuple(t.buckets), t.seconds, t.bytes_in, t.bytes_out) for r, t in self._took.items()]
        return _Snapshot(list(self._requests.items()), took)


def text(snapshot: _Snapshot, figures: Mapping[str, float], version: str) -> tuple[bytes, str]:
    """The answer to Prometheus, and its media type."""
    import prometheus_client as client

    registry = client.CollectorRegistry()
    client.ProcessCollector(registry=registry)
    registry.register(_Collected([*_labelled(snapshot), *_plain(figures), _build(version)]))
    return client.generate_latest(registry), client.CONTENT_TYPE_LATEST


class _Collected:
    """A collector, in the library's words, of what is made already."""

    def __init__(self, made: Sequence[Metric]) -> None:
        self._made = made

    def collect(self) -> Sequence[Metric]:
        return self._made


def _labelled(snapshot: _Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    requests = CounterMetricFamily(
        "steplog_requests", "Requests, by the pattern of their path", labels=["method", "route", "status"]
    )
    for (method, route, status), count in snapshot.requests:
        requests.add_metric([method, route, str(status)], count)
    yield requests
    limited = CounterMetricFamily("steplog_requests_limited", "Requests beyond a key's quota: answers with 429")
    limited.add_metric([], sum(count for (_, _, status), count in snapshot.requests if status == 429))
    yield limited
    seconds = HistogramMetricFamily("steplog_request_seconds", "What requests take", labels=["route"])
    read = CounterMetricFamily("steplog_request_bytes", "Bodies of requests that were read", labels=["route"])
    sent = CounterMetricFamily("steplog_response_bytes", "Bodies of answers", labels=["route"])
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    for route, buckets, took, bytes_in, bytes_out in snapshot.took:
        counts: list[Any] = list(zip(bounds, accumulate(buckets), strict=True))
        seconds.add_metric([route], counts, took)
        read.add_metric([route], bytes_in)
        sent.add_metric([route], bytes_out)
    yield from (seconds, read, sent)


def _plain(figures: Mapping[str, float]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, value in figures.items():
        family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        yield family(f"steplog_{name}", FIGURES.get(name, "Of the store"), value=value)


def _build(version: str) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    build = GaugeMetricFamily("steplog_build_info", "The version that runs", labels=["version"])
    build.add_metric([version], 1)
    return build
