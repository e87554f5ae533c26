"""A project on a server, of any kind: its runs as rows of a table, its columns, and what is beside it.

A server with ``table/`` answers a query itself, page by page. Of another one the list of runs is read, and of each
run its metrics where one, or the config, is compared or shown.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import msgspec

from steplog.delivery.verdicts import is_proxys_404
from steplog.delivery.wire import api_path
from steplog.errors import InvalidAPIKeyError, RunNotFoundError, ServerUnavailableError
from steplog.filters import Field
from steplog.reading.retrying import BUSY, no_answer, retried
from steplog.reading.rows import Candidate, chosen, names_of
from steplog.reading.stock_source import StockSource
from steplog.reading.table_query import UUID, Row, TableQuery

if TYPE_CHECKING:
    from steplog.client import TellurioClient
    from steplog.network.response import Response

__all__ = ["ServerProject"]

_T = TypeVar("_T")
_Made = TypeVar("_Made")
_PAGE_ROWS = 10_000  # as many as a server gives at once
_LIST_RUNS = 1000
_NOT_THERE = (403, 404, 405)  # 403: not for this key
_RUNS_SINGLY = 32
_AT_ONCE = 8  # runs that are read beside each other
_NAMES_MAX = 10_000  # as many as a server gives
_ANSWER_BYTES_MAX = 64 * 1024 * 1024


class _Columns(msgspec.Struct):
    config: list[str]
    metrics: list[str]


class _Page(msgspec.Struct):
    rows: list[Row]
    next: str | None


_page_of = msgspec.json.Decoder(_Page).decode
_columns_of = msgspec.json.Decoder(_Columns).decode
_list_of = msgspec.json.Decoder(list[dict[str, Any]]).decode


class ServerProject:
    """The project of these slugs.

    Attributes:
        date: of the last answer.

    Raises ServerUnavailableError for what is no answer, InvalidAPIKeyError, and ``requests.HTTPError`` for a refusal.
    """

    def __init__(
        self,
        client: TellurioClient,
        namespace: str,
        project: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = client.base_url
        self.date: str | None = None
        self._client = client
        self._namespace = namespace
        self._project = project
        self._sleep = sleep
        self._runs: dict[str, dict[str, Any]] | None = None  # the list, if it was read
        self._names: dict[str, None] = {}  # of what the runs have that were read whole
        self._whole: set[str] = set()

    def rows(self, query: TableQuery, now: datetime, read: Callable[[], None]) -> list[Row] | None:
        """The answer; None: there is no such project. ``read`` is called for each run that is read by itself."""
        found = self._table(query)
        if found is None:
            listed = self.listed()
            if listed is None:
                return None
            self._runs = {run[UUID]: run for run in listed}
            candidates = [Candidate(run, partial(self.whole, run)) for run in reversed(listed)]
            at_once = _AT_ONCE if self._client.replaced("GET") is None else 1
            found = chosen(candidates, query, now, partial(_each_of, at_once, read))
        return found

    def _table(self, query: TableQuery) -> list[Row] | None:
        """By ``table/``; None where the server has none, or not the project."""
        parameters: dict[str, object] = {"columns": ",".join(map(str, query.fields)) or "name"}
        parameters |= {"where": query.where} if query.conditions else {}
        parameters |= {"sort": query.order} if query.sort is not None else {}
        most, found = _PAGE_ROWS, dict[str, Row]()
        while True:
            limit = most if query.limit is None else min(most, query.limit - len(found))
            response = self._get(self._path("table"), **parameters, limit=limit)
            if response.status != 200:
                return None
            if not response.whole and limit > 1:
                most = limit // 2
                continue
            page = _page(response)
            for row in page.rows:
                found.setdefault(row[UUID], row)  # one that has changed meanwhile may come twice
            if page.next is None or len(found) == query.limit:
                return list(found.values())
            parameters["after"] = page.next

    def documents(self, uuids: Sequence[str], *, brief: bool) -> dict[str, dict[str, Any]]:
        """The JSON of these runs, by uuid, of those that are there; ``brief``: config and provenance are not needed."""
        runs, query, found = self._runs, {"brief": 1} if brief else {}, dict[str, dict[str, Any]]()
        if runs is None and len(uuids) <= _RUNS_SINGLY:
            for uuid in uuids:
                response = self._get(self._path("runs", uuid), **query)
                if response.status != 200:
                    break
                found[uuid] = _document(response)
        if len(found) < len(uuids):
            runs = {run[UUID]: run for run in self.listed(brief=brief) or ()} if runs is None else runs
            found = {uuid: runs[uuid] for uuid in uuids if uuid in runs}
        return found

    def columns(self, part: str = "") -> list[str] | None:
        """What may be a column beside the fields of runs, those with ``part`` in their name: config entries, metrics.

        None: the server has no tables, and not all of its runs were read.
        """
        response = self._get(self._path("table", "columns"), q=part, limit=_NAMES_MAX)
        if response.status != 200:
            if self._runs is None or not self._whole.issuperset(self._runs):
                return None
            return [name for name in self._names if part.lower() in name.lower()]
        told = _columns(response)
        return [*told.config, *(str(Field("metric", (name, "last")))[: -len(".last")] for name in told.metrics)]

    def listed(self, *, brief: bool = False) -> list[dict[str, Any]] | None:
        """The runs' JSON, the oldest first; None: there is no such project. Some servers know no pages."""
        found: dict[str, dict[str, Any]] = {}
        while True:
            after = {"after": len(found)} if found else {}
            response = self._get(self._path("runs"), limit=_LIST_RUNS, **after, **({"brief": 1} if brief else {}))
            if response.status != 200:
                if is_proxys_404(response.status, response.body):
                    raise no_answer(response)
                return None
            page = _objects(response)
            new = {run[UUID]: run for run in page if isinstance(run.get(UUID), str) and run[UUID] not in found}
            found |= new
            if not new or len(page) != _LIST_RUNS:
                return list(found.values())

    def projects(self) -> list[str] | None:
        """The slugs of the namespace's projects; None: there is no such namespace, or the server does not list them."""
        return self._slugs(api_path(self._namespace, "projects"))

    def namespaces(self) -> list[str] | None:
        """The slugs of the namespaces; None: the server does not list them."""
        return self._slugs(api_path("namespaces"))

    def check_key(self) -> None:
        """Raise InvalidAPIKeyError for a key that the server rejects."""
        self._client.login()

    def _slugs(self, path: str) -> list[str] | None:
        response = self._get(path)
        return [str(each.get("slug")) for each in _objects(response)] if response.status == 200 else None

    def _path(self, *parts: str) -> str:
        return api_path(self._namespace, "projects", self._project, *parts)

    def _get(self, path: str, **query: object) -> Response:
        """The answer: 200, or one of ``_NOT_THERE``."""
        path = f"{path}?{urlencode(query)}" if query else path
        return retried(self._once, path, sleep=self._sleep, begun=lambda: self.date is not None)

    def _once(self, path: str) -> Response:
        response = self._client.send("GET", path, answer_bytes_max=_ANSWER_BYTES_MAX)
        self.date = response.headers.get("date", self.date or "")
        if response.status == 401:
            raise InvalidAPIKeyError(f"{self.base_url} rejects the API key; type: steplog login")
        if response.status in BUSY:
            raise no_answer(response)
        if response.status not in (200, *_NOT_THERE):
            raise response.http_error()
        return response

    def whole(self, run: Mapping[str, Any], kinds: set[str]) -> tuple[Mapping[str, Any], dict[str, Any]] | None:
        """For ``Candidate``; by the list of its metrics."""
        source = StockSource(self._client, self._namespace, self._project, run[UUID])
        try:
            if "config" in kinds and "config" not in run:
                run = {**run, "config": source.config()}
            metrics = {row["name"]: row for row in source.series()} if "metric" in kinds else {}
        except RunNotFoundError:  # deleted meanwhile
            return None
        self._whole.add(run[UUID])
        self._names.update(dict.fromkeys(names_of(run, metrics)))
        return run, metrics


def _each_of(
    at_once: int, done: Callable[[], None], call: Callable[[_T], _Made], items: Iterable[_T]
) -> Iterator[_Made]:
    """As ``map``, so many at once; ``done`` is called after each. Threads that hang do not outlast the program."""
    pending: deque[Future[_Made]] = deque()
    for item in items:
        if at_once == 1:  # in this thread
            yield call(item)
            done()
            continue
        future: Future[_Made] = Future()
        pending.append(future)
        threading.Thread(target=_settle, args=(future, call, item), name="steplog-read", daemon=True).start()
        if len(pending) == at_once:
            yield pending.popleft().result()
            done()
    while pending:
        yield pending.popleft().result()
        done()


def _settle(future: Future[_Made], call: Callable[[_T], _Made], item: _T) -> None:
    try:
        future.set_result(call(item))
    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
        future.set_exception(error)


def _page(response: Response) -> _Page:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        page = _page_of(response.body)
        if all(isinstance(row.get(UUID), str) for row in page.rows):
            return page
    raise ServerUnavailableError(f"{response.url}: the answer is no table of runs")


def _columns(response: Response) -> _Columns:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _columns_of(response.body)
    raise ServerUnavailableError(f"{response.url}: the answer is no list of columns")


def _document(response: Response) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        told = response.json()
        if isinstance(told, dict) and isinstance(told.get(UUID), str):
            return told
    raise ServerUnavailableError(f"{response.url}: the answer is no run")


def _objects(response: Response) -> list[dict[str, Any]]:
    if not response.whole:
        raise ServerUnavailableError(f"{response.url}: the answer is longer than {_ANSWER_BYTES_MAX // 1024**2} MiB")
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _list_of(response.body)
    raise ServerUnavailableError(f"{response.url}: the answer is no list")
