"""The points of a run on a server come whole and once, whatever becomes of the answers that they come in."""

from __future__ import annotations

import json
import math
import random
import signal
import socket
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

import steplog
from polling import wait_until
from server.batches import BEGAN_NS, range_of
from server.process import KEY, ServerProcess, lasting_port
from steplog.column_format import MEDIA_TYPE, encode, numbers, texts
from steplog.errors import InvalidAPIKeyError, RunNotFoundError, ServerUnavailableError
from steplog.reading import server_source
from steplog.reading.points import Selection, SeriesPoints
from steplog.reading.server_source import ServerSource
from steplog.settings import resolve
from steplog.testing import HostileServer, Peer, answer

METRICS = ["loss", "acc", "note", "steplog/config", "mixed", 'odd/ & é"']
Shown = tuple[str, int, int, str]


def value_of(name: str, step: int) -> object:
    if name == "note":
        return json.dumps({"at": step}).encode()
    if name == "steplog/config":
        return b'{"lr": 0.1}'
    if name == "mixed":
        return step if step % 2 else step + 0.5
    return math.nan if step % 97 == 5 else step / 7


def records(first: int, count: int) -> list[tuple[str, object]]:
    return [(name, value_of(name, step)) for step in range(first, first + count) for name in METRICS]


class Cutter:
    """In front of a server: of each answer with points as many bytes go through as the next of ``allow`` says.

    Attributes:
        allow: bytes for the answers to come; None, or nothing left: all.
        queries: of each request for points.
        between: called when an answer was cut.
        answered: called with how each answer begins, and its size.
    """

    def __init__(self, port: int) -> None:
        self.allow: deque[int | None] = deque()
        self.queries: list[dict[str, list[str]]] = []
        self.between: Callable[[], None] = lambda: None
        self.answered: Callable[[bytes, int], object] = lambda head, size: None
        self._port = port
        self.server = HostileServer(self._script)

    def _script(self, peer: Peer) -> None:
        request = peer.request()
        target = request.split(b" ", 2)[1].decode()
        left: float = math.inf
        if "/history/" in target:
            self.queries.append(parse_qs(urlsplit(target).query))
            left = (self.allow.popleft() if self.allow else None) or math.inf
        with socket.create_connection(("127.0.0.1", self._port)) as onward:
            onward.sendall(request.replace(b"Accept-Encoding: identity\r\n", b"Connection: close\r\n"))
            head, size = b"", 0
            while left and (data := onward.recv(65536)):
                data = data[: int(min(left, len(data)))]
                head, size, left = head or data, size + len(data), left - len(data)
                peer.send(data)
            self.answered(head, size)
        if left != math.inf:
            self.between()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team", "--allow-host", "127.0.0.1") as started:
        yield started


@pytest.fixture
def run(server: ServerProcess) -> str:
    made = server.new_run()
    for first in range(0, 600, 200):
        batch = range_of(records(first, 200), first * len(METRICS))
        assert server.send(made, batch).status_code == 200
    return made


@pytest.fixture
def cutter(server: ServerProcess) -> Iterator[Cutter]:
    made = Cutter(urlsplit(server.url).port or 0)
    with made.server:
        yield made


@pytest.fixture
def naps() -> list[float]:
    return []


@pytest.fixture
def source_at(naps: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ServerSource]]:
    monkeypatch.setenv("STEPLOG_API_KEY", KEY)
    clients: list[steplog.TellurioClient] = []

    def made(url: str, run: str, sleep: Callable[[float], None] = naps.append, **settings: float) -> ServerSource:
        clients.append(steplog.TellurioClient(url, settings=resolve(**settings)))
        _, namespace, _, project, _, uuid, *_ = run.split("/")
        return ServerSource(clients[-1], namespace, project, uuid, sleep=sleep)

    yield made
    for client in clients:
        client.close()


def shown(parts: Iterator[SeriesPoints]) -> list[Shown]:
    """Name, step, time and value, as text that tells NaN and kinds apart."""
    found = []
    for part in parts:
        assert part.times is not None
        rows = zip(part.steps, part.times, part.values, strict=True)
        found += [(part.name, step, time - BEGAN_NS, f"{value!r}") for step, time, value in rows]
    return found


def test_all_points_come_in_the_order_and_the_types_in_which_they_were_logged(server, run, source_at):
    source = source_at(server.url, run)
    found = shown(source.points(Selection()))
    assert [row[0] for row in found] == [name for name in METRICS for _ in range(600)]
    for name in METRICS:
        rows = [row for row in found if row[0] == name]
        assert [row[1] for row in rows] == list(range(600))
        given = [value_of(name, step) for step in range(600)]
        if name == "mixed":
            given = [json.dumps(value).encode() for value in given]
        assert [row[3] for row in rows] == [repr(value) for value in given]
    kinds = {part.name: part.kind for part in source.points(Selection())}
    assert kinds == dict(zip(METRICS, ["f8", "f8", "json", "json", "json", "f8"], strict=True))
    part = next(iter(source.points(Selection(("loss",)))))
    assert memoryview(part.steps).format == "q"
    assert memoryview(part.values).format == "d"


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(("note", "loss")),
        Selection(start=5, end=400, last=300),
        Selection(last=7),
        Selection(skip={"loss": 10, "note": 600}),
        Selection(("mixed", "acc"), last=300, skip={"acc": 3}),
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_an_answer_cut_anywhere_goes_on_where_it_was(server, run, cutter, source_at, naps, selection, seed):
    """What arrives meanwhile does not come, and changes nothing of what does."""
    whole = shown(source_at(server.url, run).points(selection))
    sent = 600
    source = random.Random(seed)

    def between() -> None:
        nonlocal sent
        more = range_of([*records(sent, 1), ("new", 1)], sent * len(METRICS) + sent - 600)
        assert server.send(run, more).status_code == 200
        sent += 1

    cutter.allow.append(800)  # of the first answer its head, at least
    for _ in range(8):
        few = [int(10 ** source.uniform(1.5, 4)) for _ in range(source.randrange(5))]
        cutter.allow.extend([*few, source.randrange(20_000, 40_000)])  # which brings a metric
    cutter.between = between
    assert shown(source_at(cutter.server.url, run).points(selection)) == whole
    assert sent > 600
    assert naps


def test_an_answer_that_stalls_goes_on_over_another_connection(server, run, source_at, naps):
    whole = shown(source_at(server.url, run).points(Selection()))
    stalls = [20_000, 50_000]

    def script(peer: Peer) -> None:
        request = peer.request()
        with socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) as onward:
            onward.sendall(request.replace(b"Accept-Encoding: identity\r\n", b"Connection: close\r\n"))
            body = b"".join(iter(lambda: onward.recv(65536), b""))
        if b"/history/" in request and stalls:
            peer.send(body[: stalls.pop()])
            peer.hold()
        else:
            peer.send(body)

    with HostileServer(script) as between:
        assert shown(source_at(between.url, run, exchange_timeout_s=0.5).points(Selection())) == whole
    assert not stalls
    assert len(naps) == 2


def test_an_absent_server_is_said_at_once_and_one_that_goes_later_waited_for(run, source_at, naps):
    table = encode([numbers("step", "i8", [1]), numbers("time", "i8", [2]), numbers("value", "f8", [3])], {"name": "a"})
    with HostileServer(lambda peer: peer.reset()) as nobody:
        source = source_at(nobody.url, run)
        for ask in (source.document, source.series, lambda: next(source.points(Selection()))):
            with pytest.raises(ServerUnavailableError):
                ask()
        assert naps == []

    def once(peer: Peer) -> None:
        if b"/history/" in peer.request() and not served:
            served.append(1)
            peer.send(answer(200, table * 2, {"Content-Type": MEDIA_TYPE, "Steplog-Arrivals": "2"})[:-8])

    served: list[int] = []
    with HostileServer(once) as away:
        parts = source_at(away.url, run).points(Selection())
        assert next(parts).name == "a"
        with pytest.raises(ServerUnavailableError, match="closed without an answer"):
            next(parts)
        assert len(naps) == 7
        assert all(0 <= nap <= 8 for nap in naps)


def test_a_busy_server_is_asked_again_when_it_says(run, source_at, naps):
    answers = [answer(503, b"{}", {"Retry-After": "9"}), answer(429, b"{}"), answer(200, b"[]")]

    def script(peer: Peer) -> None:
        while True:
            peer.request()
            peer.send(answers.pop(0))

    with HostileServer(script) as busy:
        assert source_at(busy.url, run).series() == []
    assert naps[0] == 9
    assert len(naps) == 2


def test_what_has_not_changed_is_not_sent_again(server, cutter, source_at):
    run = server.new_run()
    assert server.send(run, range_of(records(0, 200), 0)).status_code == 200
    sent: list[tuple[int, int]] = []
    cutter.answered = lambda head, size: sent.append((int(head.split()[1]), size))
    source = source_at(cutter.server.url, run)
    first = source.series(), source.document()
    assert (source.series(), source.document()) == first
    wait_until(lambda: len(sent) == 4)
    assert sorted(status for status, _ in sent) == [200, 200, 304, 304]
    assert all(size < 1000 for status, size in sent if status == 304)
    server.ask("POST", f"{run}metrics/", json={"name": "loss", "value": 1.5, "step": 10**6})
    assert source.series() != first[0]


def test_the_end_of_a_metric_may_come_after_the_others_and_be_cut_there(run, source_at):
    """A server with much to pack gives it so; what is asked for again begins with that metric."""

    def table(name: str, *steps: int) -> bytes:
        columns = [numbers("step", "i8", steps), numbers("time", "i8", steps), texts("value", [b"1"] * len(steps))]
        return encode(columns, {"name": name})

    head = {"Content-Type": MEDIA_TYPE, "Steplog-Arrivals": "6"}
    first = answer(200, table("a", 0, 1) + table("b", 0) + table("a", 2) + table("b", 1, 2), head)[:-10]
    second = answer(200, table("a") + table("c") + table("b", 1, 2), head)
    series = answer(
        200, json.dumps([{"name": name, "count": 9, "first_step": 0, "max_step": 9} for name in "abc"]).encode()
    )
    queries: list[str] = []

    def script(peer: Peer) -> None:
        while True:
            request = peer.request()
            if b"/series/" in request:
                peer.send(series)
                continue
            queries.append(request.split(b" ", 2)[1].decode().partition("?")[2])
            peer.send(second if len(queries) > 1 else first)
            if len(queries) == 1:
                return

    with HostileServer(script) as odd:
        found = shown(source_at(odd.url, run).points(Selection(last=9)))
    assert [(name, step) for name, step, _, _ in found] == [("a", 0), ("a", 1), ("b", 0), ("a", 2), ("b", 1), ("b", 2)]
    assert queries == ["last=9", "last=9&arrivals=6&name=a&skip=3&name=b&skip=1&name=c&skip=0"]


def test_many_names_are_asked_for_in_several_requests_of_one_moment(server, cutter, source_at):
    run = server.new_run()
    names = [f"{number}/" + "é" * 100 for number in range(60)]
    assert server.send(run, range_of([(name, 0.5) for name in names])).status_code == 200
    source = source_at(cutter.server.url, run)
    found = shown(source.points(Selection(tuple(reversed(names)))))
    assert [row[0] for row in found] == names[::-1]
    assert len(cutter.queries) > 5
    assert {tuple(query.get("arrivals", ())) for query in cutter.queries[1:]} == {("60",)}
    assert all(len(query["name"]) == len(query["skip"]) < 20 for query in cutter.queries)


def test_what_is_not_there_is_told_apart(server, run, source_at, monkeypatch):
    source = source_at(server.url, run)
    with pytest.raises(KeyError, match="lss"):
        next(source.points(Selection(("loss", "lss"))))
    with pytest.raises(KeyError, match="ud800"):
        next(source.points(Selection(("\ud800",))))
    assert source.document()["name"]
    assert source.config() == {"lr": 0.1}
    assert [row["name"] for row in source.series()] == METRICS
    assert server.ask("DELETE", run).status_code == 204
    for ask in (source.document, source.series, lambda: next(source.points(Selection(("loss",))))):
        with pytest.raises(RunNotFoundError, match=run.split("/")[-2]):
            ask()
    monkeypatch.setenv("STEPLOG_API_KEY", "another-key-than-that")
    with pytest.raises(InvalidAPIKeyError):
        source_at(server.url, run).series()


def test_a_key_that_has_changed_is_looked_for_again(server, run, source_at, monkeypatch):
    monkeypatch.setenv("STEPLOG_API_KEY", "the-key-of-before")
    source = source_at(server.url, run)
    for ask in (source.series, lambda: next(source.points(Selection()))):
        with pytest.raises(InvalidAPIKeyError):
            ask()
    monkeypatch.setenv("STEPLOG_API_KEY", KEY)
    assert next(source.points(Selection())).name == "loss"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<html>"),
        (MEDIA_TYPE, b"\x08\0\0\0{}      "),
        (MEDIA_TYPE, encode([numbers("step", "i8", [1])], {"name": "a"})),
        (MEDIA_TYPE, encode([numbers("step", "i8", [1]), numbers("time", "i8", []), numbers("value", "f8", [])])),
    ],
    ids=["html", "no table", "no values", "no name"],
)
def test_an_answer_that_is_none_of_points_is_no_answer(run, source_at, kind, body):
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200, body, {"Content-Type": kind}))

    with HostileServer(script) as odd, pytest.raises(ServerUnavailableError):
        list(source_at(odd.url, run).points(Selection()))


@pytest.mark.parametrize("body", [b"{}", b"[null]", b'[{"name":"a"}]', b'[{"name":5,"count":"x"}]', b"[" * 100_000])
def test_rows_that_are_none_of_metrics_are_no_answer(run, source_at, body):
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200, body))

    with HostileServer(script) as odd, pytest.raises(ServerUnavailableError, match="not the answer of a run server"):
        source_at(odd.url, run).series()


@pytest.mark.parametrize("part", ["document", "series"])
def test_an_answer_without_an_end_is_given_up(source_at, monkeypatch, part):
    """After as much as the longest has."""
    for name in ("LIST_BYTES_MAX", "_SERIES_BYTES_MAX"):
        monkeypatch.setattr(server_source, name, 1 << 20)

    def endless(peer: Peer) -> None:
        peer.request()
        peer.send(answer(200, headers={"Transfer-Encoding": "chunked"}))
        while True:
            peer.send(b"10000\r\n" + b" " * 65536 + b"\r\n")

    with HostileServer(endless) as server, pytest.raises(ServerUnavailableError, match="answer is longer than 1 MiB"):
        getattr(source_at(server.url, "/me/projects/mnist/runs/0/"), part)()


def test_what_is_read_no_further_leaves_no_connection_open(server, run, cutter, source_at):
    source = source_at(cutter.server.url, run)
    parts = source.points(Selection())
    next(parts)
    parts.close()
    assert [row["name"] for row in source.series()] == METRICS


@pytest.mark.slow
def test_a_server_that_is_killed_and_comes_back_costs_a_reader_nothing(tmp_path, source_at):
    with ServerProcess(tmp_path, "--port", str(lasting_port())) as server:
        run = server.new_run()
        for first in range(0, 300_000, 20_000):
            records = [("loss", step / 7, step) for step in range(first, first + 20_000)]
            assert server.send(run, range_of(records, first)).status_code == 200
        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 2:  # it is away for the first attempts
                server.start()

        parts = source_at(server.url, run, sleep).points(Selection())
        steps = list(next(parts).steps)
        assert len(steps) < 300_000
        server.end(signal.SIGKILL)
        for part in parts:
            steps += part.steps
        assert steps == list(range(300_000))
        assert len(naps) > 1


@pytest.mark.slow
def test_a_long_history_is_read_in_bounded_memory(server, source_at):
    run = server.new_run()
    for first in range(0, 1_000_000, 20_000):
        records = [("loss", step / 7, step) for step in range(first, first + 20_000)]
        assert server.send(run, range_of(records, first)).status_code == 200
    source = source_at(server.url, run)
    tracemalloc.start()
    try:
        assert sum(len(part.steps) for part in source.points(Selection())) == 1_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000  # of 24 MB; a table has 1.5
