"""A run on a server that gives its history as columns.

1. Points are views of the tables in which they come; of an answer, a table and what comes with it are held.
2. An answer that breaks off is asked for again from where it was, as often as that brings something, and then
   as often as ``retrying`` has it: each point comes once. What arrives at the server meanwhile is not among them.
3. What has not changed since it was asked for (``ETag``) is not sent again, so that a run may be polled.
4. What cannot be begun, since nothing answers, raises at once; a server that is busy is asked again.
5. The server may give the end of a metric after the other metrics, if much waits there to be packed.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import msgspec

from steplog.column_format import MEDIA_TYPE, Table, decode_stream
from steplog.delivery.verdicts import is_proxys_404
from steplog.delivery.wire import LIST_BYTES_MAX, api_path, read
from steplog.errors import FormatError, InvalidAPIKeyError, RunNotFoundError, ServerUnavailableError
from steplog.reading.points import Selection, SeriesPoints
from steplog.reading.retrying import no_answer, retried

if TYPE_CHECKING:
    from steplog.client import TellurioClient
    from steplog.network.response import Response
    from steplog.network.stream import Stream

__all__ = ["HISTORY_FEATURE", "ServerSource"]

HISTORY_FEATURE = "history"
_T = TypeVar("_T")
_GONE = (403, 404, 410)
_SERIES_BYTES_MAX = 256 * 1024 * 1024  # each row has its last value, which may be long
_QUERY_CHARACTERS_MAX = 4000  # of an address, which a proxy may bound


class _Row(msgspec.Struct):
    """What a row of ``series/`` has at least."""

    name: str
    count: int
    first_step: int
    max_step: int


class ServerSource:
    """The run of this uuid; see ``RunSource``."""

    def __init__(
        self,
        client: TellurioClient,
        namespace: str,
        project: str,
        uuid: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._path = namespace, "projects", project, "runs", uuid
        self._words = f"{client.base_url} has no run {uuid} in {namespace}/{project}"
        self._sleep = sleep
        self._answers: dict[str, tuple[str, bytes]] = {}  # the last of a path, with its tag: it may not have changed

    def document(self) -> dict[str, Any]:
        """See ``RunSource``."""
        return self.retried(self._json, api_path(*self._path), dict[str, Any])

    def config(self) -> dict[str, Any]:
        """See ``RunSource``."""
        return dict(self.document().get("config") or {})

    def series(self) -> list[dict[str, Any]]:
        """See ``RunSource``."""
        return self.retried(self._json, api_path(*self._path, "series"), list[dict[str, Any]])

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        """See ``RunSource``."""
        return _Points(self, selection).parts()

    def history(self, query: list[tuple[str, object]]) -> Stream:
        """An answer of points as columns. Raises KeyError for a metric that the run has not."""
        path = f"{api_path(*self._path, 'history')}?{urlencode(query, errors='replace')}"
        stream = self._ask(path, {"Accept": MEDIA_TYPE})
        if stream.status == 200 and stream.headers.get("content-type") == MEDIA_TYPE:
            return stream
        response = stream.response()
        names = [str(value) for key, value in query if key == "name"]
        if response.status == 404 and names:
            there = {row["name"] for row in self.series()}
            for name in names:
                if name not in there:
                    raise KeyError(name)
        raise self._refused(response)

    def _ask(self, path: str, headers: dict[str, str]) -> Stream:
        """The answer; with the key of now, if the server does not take that of before any more."""
        stream = self._client.stream("GET", path, headers=headers)
        if stream.status == 401 and self._client.refresh_key():
            stream.close()
            stream = self._client.stream("GET", path, headers=headers)
        return stream

    def _json(self, path: str, kind: type[_T]) -> _T:
        tag, body = self._answers.get(path, ("", b""))
        with self._ask(path, {"If-None-Match": tag} if tag else {}) as stream:
            if stream.status == 200:
                response = stream.response(LIST_BYTES_MAX if kind == dict[str, Any] else _SERIES_BYTES_MAX)
                if not response.whole:
                    long = f"the answer is longer than {len(response.body) // 1024**2} MiB"
                    raise ServerUnavailableError(f"{self._client.base_url}{path}: {long}")
                body = response.body
            elif not tag or stream.status != 304:
                raise self._refused(stream.response())
        told = read(body, kind)
        if told is None or (kind != dict[str, Any] and read(body, list[_Row]) is None):
            raise ServerUnavailableError(f"{self._client.base_url}{path}: not the answer of a run server")
        if stream.status == 200:
            self._answers[path] = stream.headers.get("etag", ""), body
        return told

    def _refused(self, response: Response) -> Exception:
        """The error to raise for an answer without what was asked for."""
        if response.status == 401:
            return InvalidAPIKeyError(f"{self._client.base_url} rejects the API key; type: steplog login")
        if response.status in _GONE and not is_proxys_404(response.status, response.body):
            return RunNotFoundError(self._words)
        return no_answer(response)

    def retried(self, call: Callable[..., _T], *given: Any, begun: Callable[[], bool] = lambda: False) -> _T:
        """What it returns, after some attempts; of what has not ``begun``, only while the server is busy."""
        return retried(call, *given, sleep=self._sleep, begun=begun)


class _Points:
    """Reads the points of one selection."""

    def __init__(self, source: ServerSource, selection: Selection) -> None:
        self._source = source
        self._selection = selection
        names = selection.names
        if names is None and selection.skip:
            names = tuple(row["name"] for row in source.series())
        # What is still to be asked for; None: all metrics.
        self._groups: deque[tuple[str, ...] | None] = deque([None] if names is None else _groups(dict.fromkeys(names)))
        self._came: Counter[str] = Counter()
        self._current: str | None = None  # the metric that came last
        self._arrivals: str | None = None  # how many points the run had, of all metrics, at the first answer
        self._stream: Stream | None = None
        self._begun = False  # an answer has
        self._broken = False  # one was left before its end, after points had come
        self._tables: Iterator[Table] = iter(())

    def parts(self) -> Iterator[SeriesPoints]:
        """The points. Raises as ``RunSource``."""
        try:
            while True:
                part = self._source.retried(self._next, begun=lambda: self._begun)
                if part is None:
                    return
                yield part
        finally:
            self._leave()

    def _next(self) -> SeriesPoints | None:
        """The next points; None after the last. What is raised may be tried again."""
        try:
            while True:
                if self._stream is None:
                    if not self._groups:
                        return None
                    if self._broken:
                        self._go_on()
                    self._ask(self._groups[0])
                table = next(self._tables, None)
                if table is None:
                    self._leave()
                    self._groups.popleft()
                    continue
                part = _points_of(table)
                if len(part.steps) or part.name not in self._came:
                    self._current = part.name
                    self._came[part.name] += len(part.steps)
                    return part
        except FormatError as error:
            self._break_off()
            raise ServerUnavailableError(f"the server's history cannot be read: {error}") from None
        except ServerUnavailableError:
            self._break_off()
            raise

    def _ask(self, names: tuple[str, ...] | None) -> None:
        asked = self._selection
        bounds = ("from", asked.start), ("to", asked.end), ("last", asked.last), ("arrivals", self._arrivals)
        query: list[tuple[str, object]] = [(key, value) for key, value in bounds if value is not None]
        for name in names or ():
            query += [("name", name), ("skip", asked.skip.get(name, 0) + self._came[name])]
        self._stream = self._source.history(query)
        self._begun = True
        self._arrivals = self._arrivals or self._stream.headers.get("steplog-arrivals")
        self._tables = decode_stream(self._stream)

    def _break_off(self) -> None:
        self._broken = self._broken or (self._stream is not None and self._current is not None)
        self._leave()

    def _go_on(self) -> None:
        """Have the next answer be of what the last one was to bring, the present metric first."""
        if self._groups[0] is None:
            names = [row["name"] for row in self._source.series()]
            at = names.index(self._current) if self._current in names else 0
            self._groups = deque(_groups([*names[at:], *names[:at]]))
        self._broken = False

    def _leave(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream, self._tables = None, iter(())


def _groups(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """The names by requests."""
    group: list[str] = []
    length = 0
    for name in names:
        own = len(urlencode({"name": name, "skip": 2**53}, errors="replace"))
        if group and length + own > _QUERY_CHARACTERS_MAX:
            yield tuple(group)
            group, length = [], 0
        group.append(name)
        length += own
    if group:
        yield tuple(group)


def _points_of(table: Table) -> SeriesPoints:
    """Raises FormatError for another table."""
    name, columns = table.about.get("name"), table.columns
    steps, times, values = (columns.get(each) for each in ("step", "time", "value"))
    if not isinstance(name, str) or steps is None or times is None or values is None:
        raise FormatError("a table that is none of points")
    if (steps.type, times.type) != ("i8", "i8") or values.type not in ("f8", "i8", "json"):
        raise FormatError(f"points of the types {steps.type}, {times.type}, {values.type}")
    if not steps.count == times.count == values.count:
        raise FormatError("columns of different lengths")
    found = values.texts() if values.type == "json" else values.values()
    return SeriesPoints(name, values.type, steps.values(), times.values(), found)
