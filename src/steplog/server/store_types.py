"""The store: what the routes ask of a database, and the plain values that they exchange with it.

Reads block and may be called from any thread. Writes return a future at once; it is done after the commit
that made the write durable, and many writes share one commit. What a write refuses it raises from the future:

    RefusedError
    ├── MissingError          the namespace, project or run is not there (any more)
    ├── TakenError            a project of that name exists in the namespace
    ├── GapError              a range begins beyond the mark, which the exception holds
    └── StoreError            nothing was stored
        ├── StoreFullError    the disk is full; goes on when there is room
        └── StoreBusyError    the database failed in another way

SQLite is what there is (``sqlite``). A store for PostgreSQL has the same tables and keeps the same chunks.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from steplog.errors import SteplogError
from steplog.server.batch import Batch, MetricBatch
from steplog.server.curve import Bucket

__all__ = [
    "BatchResult",
    "GapError",
    "MetricPoint",
    "MissingError",
    "NamespaceRow",
    "ProjectRow",
    "RefusedError",
    "RunRow",
    "SeriesSummary",
    "Store",
    "StoreBusyError",
    "StoreError",
    "StoreFullError",
    "TakenError",
    "UserRow",
]


class RefusedError(SteplogError):
    """The store does not do what it was asked, and has changed nothing."""


class MissingError(RefusedError):
    """The namespace, project or run does not exist."""


class TakenError(RefusedError):
    """A project with this slug exists in the namespace."""


class GapError(RefusedError):
    """A range that begins beyond what the writer has delivered."""

    def __init__(self, mark: int) -> None:
        super().__init__(f"the range begins beyond the mark {mark}")
        self.mark = mark


class StoreError(RefusedError):
    """The database failed."""


class StoreFullError(StoreError):
    """There is no room on the disk."""


class StoreBusyError(StoreError):
    """The database cannot do it now."""


@dataclass(frozen=True, slots=True)
class UserRow:
    """Who a key belongs to; of the key only its SHA-256 is kept."""

    id: int
    uuid: str
    username: str
    slug: str
    email: str
    key_hash: bytes


@dataclass(frozen=True, slots=True)
class NamespaceRow:
    """An organization, or a user's own place."""

    id: int
    uuid: str
    slug: str
    display_name: str


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project; dates are ISO 8601 in UTC with a Z, here and below."""

    id: int
    uuid: str
    slug: str
    display_name: str
    visibility: str
    date_created: str
    last_run_date: str | None
    namespace: NamespaceRow


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run with what its JSON shows of its project and its user."""

    id: int
    uuid: str
    name: str
    description: str | None
    status: str
    date_created: str
    date_updated: str
    project_uuid: str
    project_display_name: str
    project_slug: str
    user_uuid: str
    username: str
    user_slug: str


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One point as the reading routes give it; ``value`` may be ``msgspec.Raw`` with JSON text."""

    name: str
    value: Any
    step: int


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """One metric of a run in a row: ``last`` as ``Metric.value``, ``low`` and ``high`` as in ``chunk``."""

    name: str
    count: int
    first_step: int
    last_step: int
    last: Any
    low: int | float | None
    high: int | float | None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch."""

    accepted: int
    duplicates: int


class Store(Protocol):
    """A database of runs and their metrics."""

    @property
    def instance(self) -> str:
        """The id of the database, made with it."""

    @property
    def page_token(self) -> str:
        """What the page reads with, made with the database."""

    def users(self) -> list[UserRow]:
        """Every user."""

    def namespace(self, slug: str) -> NamespaceRow | None:
        """The namespace of that slug."""

    def namespaces(self) -> list[NamespaceRow]:
        """Every namespace, oldest first."""

    def projects(self, namespace: NamespaceRow) -> list[ProjectRow]:
        """The projects of a namespace, oldest first."""

    def project(self, namespace: str, slug: str) -> ProjectRow | None:
        """One project, by the slugs of its namespace and its own."""

    def runs(self, project: ProjectRow, after: int, limit: int | None) -> list[RunRow]:
        """Runs of a project, oldest first, without the first ``after``."""

    def runs_of_slug(self, project: ProjectRow, slug: str) -> list[RunRow]:
        """Runs of a project whose name makes that slug, oldest first."""

    def run(self, namespace: str, project: str, uuid: str) -> RunRow | None:
        """One run."""

    def count(self, run: RunRow) -> int:
        """How many points a run has."""

    def metrics(self, run: RunRow, first: int, end: int) -> list[MetricPoint]:
        """The points ``[first, end)`` of a run in the order of arrival; fewer where it has fewer."""

    def series(self, run: RunRow) -> list[SeriesSummary]:
        """Each metric of a run, in the order in which the names first came."""

    def curve(self, run: RunRow, name: str, points: int, low: int | None, high: int | None) -> list[Bucket] | None:
        """One metric, those of its points with a step in [low, high], in at most ``points`` buckets.

        None where the run has no such metric.
        """

    def put_user(self, username: str, slug: str, email: str, key_hash: bytes) -> Future[UserRow]:
        """The user of that name with that email and key, made where missing."""

    def put_namespace(self, slug: str) -> Future[NamespaceRow]:
        """The namespace of that slug, made where missing."""

    def add_project(self, namespace: NamespaceRow, slug: str, display_name: str, visibility: str) -> Future[ProjectRow]:
        """Make a project; TakenError where there is one of that slug."""

    def delete_project(self, project: ProjectRow) -> Future[None]:
        """Remove a project, its runs and their metrics."""

    def add_run(
        self,
        project: ProjectRow,
        user: UserRow,
        name: str | None,
        description: str | None,
        status: str,
        idempotency_key: str | None,
    ) -> Future[RunRow]:
        """Make a run, or find the one that the same key made.

        A name that is taken gets ``_1``, ``_2``, …; without one a random name is given.
        """

    def set_status(self, run: RunRow, status: str | None) -> Future[RunRow]:
        """Set a run's status, if one is given, and its date of change."""

    def add_batch(self, run: RunRow, batch: Batch) -> Future[BatchResult]:
        """Store what of a batch is not below its writer's mark, and move the mark to the batch's end."""

    def add_metric(self, run: RunRow, part: MetricBatch) -> Future[int]:
        """Store points that no mark guards; the step of the last of them."""

    def close(self) -> None:
        """Finish what was asked and close the database."""
