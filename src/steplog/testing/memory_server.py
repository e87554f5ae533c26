"""The run server in memory: a ``Transport`` without a network.

It serves batches, generations of ownership, ids and ``Steplog-Resume``, and takes reports of losses; or with
``batch=False`` the original API. ``features`` may leave some out; with ``FILES_FEATURE`` it keeps files. ``faults``
apply to the next requests; ``script`` sees each request, and may block or raise; ``refuses`` sees each record::

    server = MemoryServer()
    run = server.add_run("me", "demo")
    server.faults.append(Fault.lost())
    server.faults.append(Fault(429, headers={"retry-after": "5"}))
    server.refuses = lambda name, value: 400 if name == "bad" else None

Thread-safe; never waits.
"""

from __future__ import annotations

import copy
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec
from slugify import slugify

from steplog.delivery import wire
from steplog.delivery.exchange import Answer, Request
from steplog.errors import FormatError, ServerUnavailableError
from steplog.journal import range as ranges
from steplog.journal.reserved import RESERVED, RUN_NAME
from steplog.testing.memory_files import MemoryFiles

__all__ = ["Fault", "MemoryRun", "MemoryServer", "Row"]

_VISIBILITIES = ("RESTRICTED", "TEAM", "PUBLIC", "OPEN")
_DATE = "2026-01-01T00:00:00Z"
_STATUSES = ("RUNNING", "COMPLETED", "CRASHED", "FAILED")


@dataclass(frozen=True)
class Fault:
    """The response to a request, or None; with ``stored`` the request is carried out all the same."""

    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stored: bool = False
    reason: str = "no answer"

    @classmethod
    def refused(cls) -> Fault:
        """Connection refused."""
        return cls(reason="connection refused")

    @classmethod
    def lost(cls) -> Fault:
        """The request is carried out, the response lost."""
        return cls(stored=True, reason="connection reset")


class Row(NamedTuple):
    """One metric; ``writer``, ``position`` and the writer's ``generation`` for those from a batch."""

    name: str
    value: Any
    step: int
    writer: str = ""
    position: int = -1
    generation: int = 0


@dataclass
class MemoryRun:
    """A run.

    ``statuses`` lists those set by PATCH, ``report`` is the last report of losses. ``generation`` is the present one,
    ``begun`` has the maker of each and when it began, ``generations`` that of each writer. ``heard`` counts the GETs of
    owners. ``fields`` are those of records ``steplog/run``, the last one of each.
    """

    uuid: str
    name: str
    namespace: str
    project: str
    description: str = ""
    status: str = "RUNNING"
    rows: list[Row] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    report: dict[str, Any] | None = None
    next_steps: dict[str, int] = field(default_factory=dict)
    key: str | None = None
    made_by: str | None = None
    generation: int = 1
    begun: list[tuple[str, str | None]] = field(default_factory=lambda: [("", None)])  # (began, maker)
    ended: str | None = None
    generations: dict[str, int] = field(default_factory=dict)
    heard: int = 0
    fields: dict[str, Any] = field(default_factory=dict)

    def add(
        self, name: str, value: Any, step: int | None, writer: str = "", position: int = -1, generation: int = 0
    ) -> Row:
        """Store one metric; None as the step takes the next one."""
        number = self.next_steps.get(name, 0) if step is None else step
        self.next_steps[name] = max(self.next_steps.get(name, 0), number + 1)
        row = Row(name, value, number, writer, position, generation)
        self.rows.append(row)
        return row


class _Metric(msgspec.Struct):
    name: str
    value: Any
    step: int | None = None


class MemoryServer:
    """The server and the ``Transport`` to it.

    Attributes:
        key: the key that is accepted; ``sent_key`` the one that is sent, ``found_key`` what ``refresh_key`` finds.
        features: what it offers besides batches.
        files: those that it keeps.
        body_bytes_max: longer bodies get 413.
        requests: every request with its response (None: none).
    """

    def __init__(self, *, batch: bool = True, base_url: str = "http://127.0.0.1:9", username: str = "me") -> None:
        self.base_url = base_url
        self.batch = batch
        self.features = [wire.REPORT_FEATURE, wire.GENERATIONS_FEATURE, wire.RESUME_FEATURE, wire.RUN_FEATURE]
        self.username = username
        self.key = self.sent_key = "key"
        self.found_key: str | None = None
        self.body_bytes_max: int | None = None
        self.files = MemoryFiles()
        self.runs: dict[str, MemoryRun] = {}
        self.projects: dict[tuple[str, str], str] = {}  # (namespace, slug): name
        self.requests: list[tuple[Request, Answer | None]] = []
        self.faults: deque[Fault] = deque()
        self.script: Callable[[Request], Fault | None] = lambda request: None
        self.refuses: Callable[[str, Any], int | None] = lambda name, value: None
        self._made: dict[str, str] = {}  # idempotency key: run
        self._lock = threading.RLock()

    def add_run(self, namespace: str, project: str, name: str = "") -> MemoryRun:
        """Create a run, and its project if missing."""
        with self._lock:
            self.projects.setdefault((namespace, project), project)
            uuid = f"00000000-0000-4000-8000-{len(self.runs) + len(self._made):012x}"
            run = MemoryRun(uuid, name or f"run_{len(self.runs) + 1}", namespace, project)
            self.runs[uuid] = run
            return run

    def backup(self) -> dict[str, MemoryRun]:
        """A copy of all runs."""
        with self._lock:
            return copy.deepcopy(self.runs)

    def restore(self, runs: dict[str, MemoryRun]) -> None:
        """Restore a backup."""
        with self._lock:
            self.runs = copy.deepcopy(runs)

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
            raise ServerUnavailableError(f"{self.base_url}: {fault.reason if fault is not None else 'no answer'}")
        return answer

    def refresh_key(self) -> bool:
        """See Transport."""
        with self._lock:
            if self.found_key is None or self.found_key == self.sent_key:
                return False
            self.sent_key = self.found_key
            return True

    def abort(self, request: Request) -> None:
        """See Transport; does nothing."""

    def _carry_out(self, request: Request) -> Answer:
        if self.sent_key != self.key:
            return _detail(401, "Invalid API key.")
        if self.body_bytes_max is not None and len(request.body) > self.body_bytes_max:
            return _detail(413, "Too large.")
        parts = [unquote(part) for part in urlsplit(request.path).path.removeprefix(wire.API).strip("/").split("/")]
        match request.method, parts:
            case "GET", ["verify-api-key"]:
                return _json(200, {"email": "", "username": self.username, "message": "API key is valid."})
            case _, [namespace, "projects"]:
                return self._projects(request, namespace)
            case _, [namespace, "projects", project, *rest] if (namespace, project) in self.projects:
                return self._project(request, namespace, project, rest)
        return _detail(404, "Not found.")

    def _projects(self, request: Request, namespace: str) -> Answer:
        if request.method != "POST":
            found = [(*project, name) for project, name in sorted(self.projects.items()) if project[0] == namespace]
            return _json(200, [_project_json(*project) for project in found])
        fields = _json_fields(request.body)
        name = fields.get("display_name")
        if not isinstance(name, str) or not (slug := slugify(name)) or fields.get("visibility") not in _VISIBILITIES:
            return _detail(400, "display_name and visibility are needed.")
        self.projects[namespace, slug] = name
        return _json(201, _project_json(namespace, slug, name) | {"role": "OWNER", "org_slug": namespace})

    def _project(self, request: Request, namespace: str, project: str, rest: list[str]) -> Answer:
        match request.method, rest:
            case "GET", []:
                return _json(200, _project_json(namespace, project, self.projects[namespace, project]))
            case "DELETE", []:
                del self.projects[namespace, project]
                for run in self._runs_of(namespace, project):
                    del self.runs[run.uuid]
                return Answer(204)
            case "GET", ["runs"]:
                runs = self._runs_of(namespace, project)
                most = 1 if "limit=1" in urlsplit(request.path).query and self.batch else None
                return _json(200, [_run_json(run) | self._added(run) for run in runs[:most]])
            case "POST", ["runs"]:
                return self._make_run(request, namespace, project)
            case "PUT", ["blobs", sha256] if self._offers(wire.FILES_FEATURE):
                return self.files.put(f"{namespace}/{project}", sha256, request)
            case _, ["runs", uuid, *tail] if uuid in self.runs:
                return self._on_run(request, self.runs[uuid], tail)
        return _detail(404, "Not found.")

    def _runs_of(self, namespace: str, project: str) -> list[MemoryRun]:
        return [run for run in self.runs.values() if (run.namespace, run.project) == (namespace, project)]

    def _make_run(self, request: Request, namespace: str, project: str) -> Answer:
        key = request.headers.get("Idempotency-Key", "").strip('"') if self.batch else ""
        maker, fields = request.headers.get("Steplog-Maker"), _json_fields(request.body)
        resume = request.headers.get("Steplog-Resume") if self._offers(wire.RESUME_FEATURE) else None
        run = self.runs.get(self._made.get(f"{namespace}/{project}/{key}", ""))
        if run is None and resume is not None:
            run = self._found(namespace, project, key, fields.get("name"))
        if run is None and resume == "must":
            return _detail(404, "There is no such run.")
        if run is not None and resume == "never" and run.made_by != maker:
            return _detail(409, "There is such a run.")
        if run is not None:
            return _json(200, _run_json(run) | self._batch_json(run))
        run = self.add_run(namespace, project, self._free_name(namespace, project, str(fields.get("name") or "")))
        run.description, run.status = str(fields.get("description") or ""), str(fields.get("status") or "RUNNING")
        run.made_by, run.begun = maker, [(str(fields.get("began") or ""), maker)]
        if key:
            self._made[f"{namespace}/{project}/{key}"] = run.uuid
            run.key = key.removeprefix("id:") if key.startswith("id:") else None
        return _json(201, _run_json(run) | self._batch_json(run))

    def _found(self, namespace: str, project: str, key: str, name: object) -> MemoryRun | None:
        """The run that is to be resumed: by its uuid as an id, else by its name where there is no id."""
        if key.startswith("id:"):
            run = self.runs.get(key.removeprefix("id:"))
            return run if run is not None and (run.namespace, run.project) == (namespace, project) else None
        return next((run for run in self._runs_of(namespace, project) if run.name == name), None)

    def _offers(self, feature: str) -> bool:
        return self.batch and feature in self.features

    def _free_name(self, namespace: str, project: str, name: str, own: MemoryRun | None = None) -> str:
        """The name, with a suffix _1, _2, … if a run other than ``own`` has it."""
        taken = {run.name for run in self._runs_of(namespace, project) if run is not own}
        names = (f"{name}_{number}" if number else name for number in count())
        return next(free for free in names if not free or free not in taken)

    def _on_run(self, request: Request, run: MemoryRun, tail: list[str]) -> Answer:
        match request.method, tail:
            case "GET", []:
                run.heard += "Steplog-Maker" in request.headers
                return (
                    _json(200, _run_json(run) | self._batch_json(run)) if self.batch else _detail(405, "Not allowed.")
                )
            case "POST", ["generations"] if self._offers(wire.GENERATIONS_FEATURE):
                return self._begin(run, request)
            case "PATCH", []:
                return self._set_status(run, _json_fields(request.body))
            case "GET", ["metrics"]:
                return _json(200, [_row_json(row) for row in run.rows])
            case "POST", ["files"] if self._offers(wire.FILES_FEATURE):
                return self.files.announce(f"{run.namespace}/{run.project}", run.uuid, request)
            case "POST", ["metrics"]:
                return self._add_metric(run, request.body)
            case "POST", ["metrics", "batch"] if self.batch:
                return self._add_range(run, request)
        return _detail(404, "Not found.")

    def _batch_json(self, run: MemoryRun) -> dict[str, Any]:
        return {"batch": 1, "features": self.features, "report": run.report} | self._added(run) if self.batch else {}

    def _added(self, run: MemoryRun) -> dict[str, Any]:
        if not self._offers(wire.GENERATIONS_FEATURE):
            return {}
        return {"id": run.key, "made_by": run.made_by, "generation": run.generation, "ended": run.ended}

    def _begin(self, run: MemoryRun, request: Request) -> Answer:
        maker, began = request.headers.get("Steplog-Maker"), str(_json_fields(request.body).get("began"))
        asked = [number for number, (_, its_maker) in enumerate(run.begun, 1) if its_maker == maker]
        if asked:
            return _json(200, {"generation": asked[-1]})
        if began < run.begun[-1][0]:  # late: it belongs to the generation in whose time it began
            return _json(200, {"generation": max(1, sum(its_began <= began for its_began, _ in run.begun))})
        run.begun.append((began, maker))
        run.generation, run.status, run.ended = len(run.begun), "RUNNING", None
        return _json(201, {"generation": run.generation})

    def _set_status(self, run: MemoryRun, fields: dict[str, Any]) -> Answer:
        status = fields.get("status")
        if status is not None and status not in _STATUSES:
            return _detail(400, f"{status!r} is not a valid choice.")
        counts = not self._offers(wire.GENERATIONS_FEATURE) or fields.get("generation", 1) >= run.generation
        if status is not None and counts:
            run.status, run.ended = status, fields.get("ended")
            run.statuses.append(status)
        if "files_pending" in fields:
            self.files.of_run(run.uuid).pending = fields["files_pending"]
        if self.batch and "report" in fields:
            run.report = fields["report"]
        return _json(200, _run_json(run) | self._batch_json(run))

    def _add_metric(self, run: MemoryRun, body: bytes) -> Answer:
        try:
            metric = msgspec.json.decode(body, type=_Metric)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _detail(400, str(error))
        if (status := self.refuses(metric.name, metric.value)) is not None:
            return _detail(status, "This metric is refused.")
        return _json(201, _row_json(run.add(metric.name, metric.value, metric.step)))

    def _add_range(self, run: MemoryRun, request: Request) -> Answer:
        try:
            if request.headers.get("Content-Encoding") != "deflate":
                raise ranges.VersionError
            batch = ranges.decode(request.body)
        except ranges.VersionError:
            return _json(415, {"v": [ranges.VERSION]})
        except FormatError as error:
            return _detail(400, str(error))
        mark = run.marks.get(batch.writer, 0)
        if batch.first > mark:
            return _json(409, {"mark": mark})
        records = list(wire.records(batch))
        new = [record for record in records if record.position >= mark]
        values = [msgspec.json.decode(each.value) if isinstance(each.value, bytes) else each.value for each in new]
        for record, value in zip(new, values, strict=True):
            if (status := self.refuses(record.name, value)) is not None:
                return _detail(status, f"The record at position {record.position} is refused.")
        generation = run.generations.setdefault(batch.writer, int(request.headers.get("Steplog-Generation", "1")))
        told: dict[str, Any] = {}
        for record, value in zip(new, values, strict=True):
            if record.name not in RESERVED or not self._offers(wire.RUN_FEATURE):
                run.add(record.name, value, record.step, batch.writer, record.position, generation)
            elif record.name == RUN_NAME:
                self._edit(run, value)
                told = {"run": {"name": run.name, "slug": slugify(run.name)}}
        run.marks[batch.writer] = max(mark, batch.end)
        done = wire.Acknowledgement(batch.writer, batch.first, batch.end, len(new), len(records) - len(new))
        return _json(200, msgspec.to_builtins(done) | told)

    def _edit(self, run: MemoryRun, fields: Any) -> None:
        run.fields |= fields
        run.description = str(fields.get("description", run.description))
        if fields.get("name", run.name) != run.name:
            run.name = self._free_name(run.namespace, run.project, fields["name"], run)


def _json_fields(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _json(status: int, value: Any) -> Answer:
    return Answer(status, msgspec.json.encode(value), {"content-type": "application/json"})


def _detail(status: int, words: str) -> Answer:
    return _json(status, {"detail": words})


def _project_json(namespace: str, slug: str, name: str) -> dict[str, Any]:
    project = {"uuid": f"{namespace}/{slug}", "display_name": name, "slug": slug}
    return project | {"date_created": _DATE, "last_run_date": None, "visibility": "RESTRICTED"}


def _run_json(run: MemoryRun) -> dict[str, Any]:
    own = {"uuid": run.uuid, "name": run.name, "description": run.description, "status": run.status}
    project = {"uuid": run.project, "display_name": run.project, "slug": run.project}
    user = {"uuid": "1", "username": run.namespace, "slug": run.namespace}
    return own | {"date_created": _DATE, "date_updated": _DATE, "project": project, "user": user}


def _row_json(row: Row) -> dict[str, Any]:
    value = row.value
    if isinstance(value, float) and not math.isfinite(value):
        value = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return {"name": row.name, "value": value, "step": row.step}
