"""A run server in memory, for tests of programs that log: a ``Transport`` that needs no network.

It answers as a server that takes ranges, or with ``batch=False`` as a stock one, and keeps what it was sent where a
test can look: ``runs``, each with its rows in the order of arrival, its marks and the statuses it was given.
What goes wrong is said by a script: a ``Fault`` for the next requests (``faults``), a function of each request
(``script``, which may also block, or raise what a network raises), and a judgement of each record (``refuses``).

    server = MemoryServer()
    run = server.add_run("me", "demo")
    server.faults.append(Fault.lost())       # stored, and the answer is lost
    server.faults.append(Fault(429, headers={"retry-after": "5"}))
    server.refuses = lambda name, value: 400 if name == "bad" else None

Any number of threads may use it at once. Times in seconds; it never waits by itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from slugify import slugify

from steplog.delivery import wire
from steplog.delivery.exchange import Answer, Request
from steplog.errors import FormatError, ServerUnavailableError
from steplog.journal import range as ranges
from steplog.testing.memory_runs import MemoryRun, shown_project, shown_row, shown_run

__all__ = ["Fault", "MemoryServer"]

_VISIBILITIES = ("RESTRICTED", "TEAM", "PUBLIC", "OPEN")
_STATUSES = ("RUNNING", "COMPLETED", "CRASHED", "FAILED")


@dataclass(frozen=True)
class Fault:
    """What happens to a request instead of its answer; ``status`` None: no answer comes.

    ``stored``: it is carried out all the same.
    """

    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stored: bool = False
    reason: str = "no answer"

    @classmethod
    def refused(cls) -> Fault:
        """The connection is refused."""
        return cls(reason="connection refused")

    @classmethod
    def lost(cls) -> Fault:
        """The request is carried out, and its answer lost."""
        return cls(stored=True, reason="connection reset")


class _Metric(msgspec.Struct):
    name: str
    value: Any
    step: int | None = None


class MemoryServer:
    """The server, and the way to it; ``key`` is what it accepts, ``sent_key`` what is sent.

    ``body_bytes_max`` answers 413 to longer bodies; ``found_key`` is what ``refresh_key`` finds.
    ``requests`` is everything that arrived, with what was answered (None: nothing).
    """

    def __init__(self, *, batch: bool = True, base_url: str = "http://127.0.0.1:9", username: str = "me") -> None:
        self._base_url = base_url
        self.batch = batch
        self.username = username
        self.key = self.sent_key = "key"
        self.found_key: str | None = None
        self.body_bytes_max: int | None = None
        self.runs: dict[str, MemoryRun] = {}
        self.projects: dict[tuple[str, str], str] = {}  # (namespace, slug): name
        self.requests: list[tuple[Request, Answer | None]] = []
        self.faults: deque[Fault] = deque()
        self.script: Callable[[Request], Fault | None] = lambda request: None
        self.refuses: Callable[[str, Any], int | None] = lambda name, value: None
        self._made: dict[str, str] = {}  # idempotency key: run
        self._lock = threading.RLock()

    # -- for the test -------------------------------------------------------------------------------------------

    def add_run(self, namespace: str, project: str, name: str = "") -> MemoryRun:
        """Make a run, and its project if need be."""
        with self._lock:
            self.projects.setdefault((namespace, project), project)
            uuid = f"00000000-0000-4000-8000-{len(self.runs) + len(self._made):012x}"
            run = MemoryRun(uuid, name or f"run_{len(self.runs) + 1}", namespace, project)
            self.runs[uuid] = run
            return run

    def backup(self) -> dict[str, MemoryRun]:
        """A copy of all runs, for ``restore``."""
        with self._lock:
            return {uuid: run.copy() for uuid, run in self.runs.items()}

    def restore(self, runs: dict[str, MemoryRun]) -> None:
        """Go back to a backup, rows and marks."""
        with self._lock:
            self.runs = {uuid: run.copy() for uuid, run in runs.items()}

    # -- Transport ----------------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """See Transport."""
        return self._base_url

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        """See Transport."""
        fault = self.script(request)
        with self._lock:
            if fault is None and self.faults:
                fault = self.faults.popleft()
            answer = self._carry_out(request) if fault is None or fault.stored else None
            if fault is not None:
                answer = None if fault.status is None else Answer(fault.status, fault.body, fault.headers)
            self.requests.append((request, answer))
        if answer is None:
            raise ServerUnavailableError(f"{self._base_url}: {fault.reason if fault is not None else 'no answer'}")
        return answer

    def refresh_key(self) -> bool:
        """See Transport."""
        with self._lock:
            if self.found_key is None or self.found_key == self.sent_key:
                return False
            self.sent_key = self.found_key
            return True

    def abort(self, request: Request) -> None:
        """See Transport; nothing is ever under way here."""

    # -- routes -------------------------------------------------------------------------------------------------

    def _carry_out(self, request: Request) -> Answer:
        if self.sent_key != self.key:
            return _refusal(401, "Invalid API key.")
        if self.body_bytes_max is not None and len(request.body) > self.body_bytes_max:
            return _refusal(413, "Too large.")
        parts = [unquote(part) for part in urlsplit(request.path).path.removeprefix(wire.API).strip("/").split("/")]
        match request.method, parts:
            case "GET", ["verify-api-key"]:
                return _json(200, {"email": "", "username": self.username, "message": "API key is valid."})
            case _, [namespace, "projects"]:
                return self._projects(request, namespace)
            case _, [namespace, "projects", project, *rest] if (namespace, project) in self.projects:
                return self._project(request, namespace, project, rest)
        return _refusal(404, "Not found.")

    def _projects(self, request: Request, namespace: str) -> Answer:
        if request.method != "POST":
            found = [(*project, name) for project, name in sorted(self.projects.items()) if project[0] == namespace]
            return _json(200, [shown_project(*project) for project in found])
        fields = _fields(request.body)
        name = fields.get("display_name")
        if not isinstance(name, str) or not name or fields.get("visibility") not in _VISIBILITIES:
            return _refusal(400, "display_name and visibility are needed.")
        slug = slugify(name)
        if not slug:
            return _refusal(400, "display_name has no letter or digit.")
        self.projects[namespace, slug] = name
        return _json(201, shown_project(namespace, slug, name) | {"role": "OWNER", "org_slug": namespace})

    def _project(self, request: Request, namespace: str, project: str, rest: list[str]) -> Answer:
        match request.method, rest:
            case "GET", []:
                return _json(200, shown_project(namespace, project, self.projects[namespace, project]))
            case "DELETE", []:
                del self.projects[namespace, project]
                self.runs = {run.uuid: run for run in self.runs.values() if (run.namespace, run.project) != (
                    namespace, project)}  # fmt: skip
                return Answer(204)
            case "GET", ["runs"]:
                found = [run for run in self.runs.values() if (run.namespace, run.project) == (namespace, project)]
                return _json(200, [shown_run(run) for run in found])
            case "POST", ["runs"]:
                return self._make_run(request, namespace, project)
            case _, ["runs", uuid, *tail] if uuid in self.runs:
                return self._on_run(request, self.runs[uuid], tail)
        return _refusal(404, "Not found.")

    def _make_run(self, request: Request, namespace: str, project: str) -> Answer:
        key = request.headers.get("Idempotency-Key", "").strip('"') if self.batch else ""
        run = self.runs.get(self._made.get(key, ""))
        if run is None:
            fields = _fields(request.body)
            run = self.add_run(namespace, project, self._free_name(namespace, project, str(fields.get("name") or "")))
            run.description, run.status = str(fields.get("description") or ""), str(fields.get("status") or "RUNNING")
            if key:
                self._made[key] = run.uuid
        return _json(201, shown_run(run) | self._shows_batch())

    def _free_name(self, namespace: str, project: str, name: str) -> str:
        """The name, or where the project has a run of it already, the name with _1, _2, … behind it."""
        runs = (run for run in self.runs.values() if (run.namespace, run.project) == (namespace, project))
        taken = {run.name for run in runs}
        names = (f"{name}_{number}" if number else name for number in count())
        return next(free for free in names if not free or free not in taken)

    def _on_run(self, request: Request, run: MemoryRun, tail: list[str]) -> Answer:
        match request.method, tail:
            case "GET", []:
                return _json(200, shown_run(run) | self._shows_batch()) if self.batch else _refusal(405, "Not allowed.")
            case "PATCH", []:
                return self._set_status(run, _fields(request.body))
            case "GET", ["metrics"]:
                return _json(200, [shown_row(row) for row in run.rows])
            case "POST", ["metrics"]:
                return self._add_metric(run, request.body)
            case "POST", ["metrics", "batch"] if self.batch:
                return self._add_range(run, request)
        return _refusal(404, "Not found.")

    def _shows_batch(self) -> dict[str, int]:
        return {"batch": 1} if self.batch else {}

    def _set_status(self, run: MemoryRun, fields: dict[str, Any]) -> Answer:
        status = fields.get("status")
        if status is not None:
            if status not in _STATUSES:
                return _refusal(400, f"{status!r} is not a valid choice.")
            run.status = status
            run.statuses.append(status)
        return _json(200, shown_run(run))

    def _add_metric(self, run: MemoryRun, body: bytes) -> Answer:
        try:
            metric = msgspec.json.decode(body, type=_Metric)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _refusal(400, str(error))
        if (status := self.refuses(metric.name, metric.value)) is not None:
            return _refusal(status, "This metric is refused.")
        row = run.add(metric.name, metric.value, metric.step)
        return _json(201, shown_row(row))

    def _add_range(self, run: MemoryRun, request: Request) -> Answer:
        if request.headers.get("Content-Encoding") != "deflate":
            return _json(415, {"v": [ranges.VERSION]})
        try:
            batch = ranges.decode(request.body)
        except ranges.VersionError:
            return _json(415, {"v": [ranges.VERSION]})
        except FormatError as error:
            return _refusal(400, str(error))
        mark = run.marks.get(batch.writer, 0)
        if batch.first > mark:
            return _json(409, {"mark": mark})
        records = [(record, _value(record)) for record in wire.records(batch)]
        new = [item for item in records if item[0].position >= mark]
        for record, value in new:
            if (status := self.refuses(record.name, value)) is not None:
                return _refusal(status, f"The record at position {record.position} is refused.")
        for record, value in new:
            run.add(record.name, value, record.step, batch.writer, record.position)
        run.marks[batch.writer] = max(mark, batch.end)
        return _json(200, wire.Acknowledgement(batch.writer, batch.first, batch.end, len(new), len(records) - len(new)))


def _value(record: wire.Record) -> Any:
    return msgspec.json.decode(record.value) if isinstance(record.value, bytes) else record.value


def _fields(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _json(status: int, value: Any) -> Answer:
    return Answer(status, msgspec.json.encode(value), {"content-type": "application/json"})


def _refusal(status: int, words: str) -> Answer:
    return _json(status, {"detail": words})
