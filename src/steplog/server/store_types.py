"""The rows of the store and its exceptions. Pure.

::

    RefusedError
    ├── MissingError
    │   ├── UnknownRunError
    │   └── UnknownMetricError
    ├── ExistsError
    ├── DeletedError
    ├── TakenError
    ├── GapError
    ├── RevokedKeyError
    ├── TooManyViewsError
    ├── TooManyBucketsError
    └── StoreError
        ├── StoreFullError
        └── StoreBusyError
            ├── StoreGoneError
            └── StoreReplacedError

The *mark* of a (run, writer) is its high-water mark: the first journal position that is not stored. Dates are ISO 8601.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from steplog.errors import SteplogError
from steplog.filters import Condition, Field

__all__ = [
    "CONFIGURED",
    "GENERATED",
    "ID_PREFIX",
    "ISSUED",
    "RESUMES",
    "RETENTION_DAYS_MAX",
    "UNBOUND",
    "BatchResult",
    "ColumnNames",
    "Creation",
    "DatabaseCopy",
    "DeletedError",
    "ExistsError",
    "GapError",
    "HistoryQuery",
    "KeyRow",
    "KeyTerms",
    "MemberRow",
    "MetricKind",
    "MetricPoint",
    "MissingError",
    "NamespaceRow",
    "PageToken",
    "ProjectActivity",
    "ProjectRow",
    "RefusedError",
    "RevokedKeyError",
    "RunConfig",
    "RunId",
    "RunRow",
    "SeriesBucket",
    "SeriesSummary",
    "SessionRow",
    "StoreBusyError",
    "StoreError",
    "StoreFullError",
    "StoreGoneError",
    "StoreReplacedError",
    "TableCursor",
    "TablePage",
    "TableQuery",
    "TableRow",
    "TakenError",
    "TooManyBucketsError",
    "TooManyViewsError",
    "UnknownMetricError",
    "UnknownRunError",
    "UserRow",
    "ViewRow",
]

ID_PREFIX = "id:"  # of an idempotency key that the caller chose
MetricKind = Literal["numbers", "others", "both"]
RESUMES = ("allow", "must", "never")
RETENTION_DAYS_MAX = 36_500

# Where a key is from.
CONFIGURED = "configured"
GENERATED = "generated"
ISSUED = "issued"


class RefusedError(SteplogError):
    """The write was refused; nothing changed."""


class MissingError(RefusedError):
    """The namespace, project or run does not exist."""


class UnknownRunError(MissingError):
    """The project has no such run; says which."""


class UnknownMetricError(MissingError):
    """The run has no such metric; says which."""


class ExistsError(RefusedError):
    """The project has a run of this id or name."""

    def __init__(self, what: str, run: RunRow) -> None:
        super().__init__(what)
        self.run = run


class DeletedError(RefusedError):
    """The run was deleted, and is not to be made again."""


class TakenError(RefusedError):
    """The namespace has a project with this slug, or the project a view of this name."""


class TooManyViewsError(RefusedError):
    """The project has as many views as it may."""


class GapError(RefusedError):
    """A range begins beyond the mark."""

    def __init__(self, mark: int) -> None:
        super().__init__(f"the range begins beyond the mark {mark}")
        self.mark = mark


class TooManyBucketsError(RefusedError):
    """The curves that were asked for have more buckets than an answer may."""

    def __init__(self, curves: int, buckets_max: int) -> None:
        super().__init__(
            f"There are {curves} such curves, and no more than {buckets_max} buckets in an answer: "
            f"ask for at most {buckets_max // curves} buckets, or for fewer runs or names."
        )


class RevokedKeyError(RefusedError):
    """The key was revoked."""


class StoreError(RefusedError):
    """The database failed."""


class StoreFullError(StoreError):
    """The disk is full."""


class StoreBusyError(StoreError):
    """The database cannot do it now."""


class StoreGoneError(StoreBusyError):
    """The database is not at its path; it may come back."""


class StoreReplacedError(StoreBusyError):
    """Something else is in the database's place, for good; ``overwritten``: in its own file."""

    def __init__(self, what: str, overwritten: bool = False) -> None:
        super().__init__(what)
        self.overwritten = overwritten


class DatabaseCopy(msgspec.Struct, frozen=True):
    """A database that was copied; ``runs`` are all that it has, also those in the trash."""

    path: str
    bytes: int
    runs: int


class UserRow(msgspec.Struct, frozen=True):
    """The owner of keys and runs."""

    id: int
    uuid: str
    username: str
    slug: str
    email: str
    is_admin: bool = False
    removed: str | None = None  # the date


class MemberRow(msgspec.Struct, frozen=True):
    """A user's role in a project, or in a whole namespace."""

    namespace: str
    project: str | None
    username: str
    role: str


class KeyTerms(msgspec.Struct, frozen=True):
    """What a key is bound to; None: not at all, and the server's own quotas."""

    expires: str | None = None
    project_id: int | None = None  # of a service key, which opens this project alone, to write
    requests_a_minute: int | None = None
    bytes_a_minute: int | None = None


UNBOUND = KeyTerms()


class KeyRow(msgspec.Struct, frozen=True):
    """A key of a user."""

    user: UserRow
    id: int
    hash: bytes  # SHA-256
    label: str
    origin: str  # CONFIGURED, GENERATED or ISSUED
    created: str
    last_used: str | None  # to the hour
    revoked: str | None
    terms: KeyTerms = UNBOUND
    project: str | None = None  # of a service key: "namespace/project"

    def is_valid(self, now: str) -> bool:
        """Whether it opens the server at a time."""
        return self.revoked is None and (self.terms.expires is None or self.terms.expires > now)


class SessionRow(msgspec.Struct, frozen=True):
    """A browser that is signed in, until ``expires``; see ``sessions``."""

    hash: bytes
    key: KeyRow | None  # None: with the page's token, to read
    expires: str


class PageToken(msgspec.Struct, frozen=True):
    """What the page reads with, and when it was made; "" if nobody knows."""

    token: str
    made: str

    def __repr__(self) -> str:
        return f"PageToken(made={self.made!r})"


class NamespaceRow(msgspec.Struct, frozen=True):
    """An organization, or a user's own namespace."""

    id: int
    uuid: str
    slug: str
    display_name: str


class ProjectRow(msgspec.Struct, frozen=True):
    """A project."""

    id: int
    uuid: str
    slug: str
    display_name: str
    visibility: str
    date_created: str
    last_run_date: str | None
    retention_days: int | None  # after which a run that has ended goes to the trash
    namespace_id: int


class ProjectActivity(msgspec.Struct, frozen=True):
    """What goes on in a project, as far as it is not in the trash."""

    runs: int
    running: int
    seen: str | None  # when a client of its newest run, or of one that goes on, was last heard of


class RunId(msgspec.Struct, frozen=True):
    """A run's number, and its project's, which it keeps; it may have been deleted."""

    id: int
    project_id: int


class RunRow(msgspec.Struct, frozen=True):
    """A run, with its project and user; ``runs`` describes the columns."""

    id: int
    uuid: str
    name: str
    description: str | None
    status: str
    date_created: str
    date_updated: str
    project_id: int
    idempotency_key: str | None
    made_by: str | None
    generation: int
    generation_began: str | None  # None: the first one, of a client that did not say
    tags: str | None  # JSON
    group: str | None
    job_type: str | None
    notes: str | None
    started: str | None
    ended: str | None
    provenance: str | None  # JSON
    report: str | None  # JSON
    deleted: str | None
    project_uuid: str
    project_display_name: str
    project_slug: str
    user_uuid: str
    username: str
    user_slug: str
    files_pending: int | None  # as its client has told last
    seen: str
    last_point: str | None
    unreadable: int  # records that arrived and cannot be read

    @property
    def key(self) -> str | None:
        """The id that its caller chose."""
        chosen = self.idempotency_key is not None and self.idempotency_key.startswith(ID_PREFIX)
        return (self.idempotency_key or "")[len(ID_PREFIX) :] if chosen else None


class ViewRow(msgspec.Struct, frozen=True):
    """A saved view of a project's page; ``address``: the query of the page's address."""

    uuid: str
    name: str
    address: str
    user_uuid: str
    username: str
    user_slug: str
    date_created: str
    date_updated: str


class Creation(msgspec.Struct, frozen=True):
    """What a request to create a run says; ``began``: when the process did, ISO 8601."""

    name: str | None = None
    description: str | None = None
    status: str = "RUNNING"
    key: str | None = None  # the idempotency key
    maker: str | None = None
    resume: str | None = None  # of RESUMES
    began: str | None = None


class RunConfig(msgspec.Struct):
    """A run's config by key, sorted; ``omitted``: how many keys are beyond its bounds."""

    values: dict[str, msgspec.Raw]
    omitted: int = 0


class MetricPoint(msgspec.Struct, frozen=True):
    """One point; ``value`` is ``msgspec.Raw`` where it is JSON text."""

    name: str
    value: Any
    step: int


class HistoryQuery(msgspec.Struct, frozen=True):
    """Which points of a run: of these metrics (None: all), with a step and a time within the bounds, which included.

    Attributes:
        last: of each metric the last so many that match; None: all.
        skip: of each metric leave out the first so many of these; ``skips``: of the metrics with these names.
        limit: of each metric no more than so many of what is left; None: all.
        arrivals: only of the first so many points that arrived in the run; None: of all.
        contains: only points with this text in their value (``text_search``); None: all.
    """

    names: Sequence[str] | None = None
    low: int | None = None
    high: int | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    last: int | None = None
    skip: int = 0
    skips: Mapping[str, int] = {}
    limit: int | None = None
    arrivals: int | None = None
    contains: str | None = None


class SeriesSummary(msgspec.Struct, frozen=True):
    """One metric of a run; ``last`` as ``MetricPoint.value``, ``low`` and ``high`` as in ``chunk``."""

    name: str
    count: int
    first_step: int
    last_step: int
    max_step: int
    last: Any
    low: int | float | None
    high: int | float | None
    last_time: str | None  # of the last point; None where an older version has stored it


class SeriesBucket(msgspec.Struct, frozen=True):
    """Points of a metric: the range of their numbers, infinities too, the last value, its step, the latest time.

    If ``approximate``, some of the points may be in another bucket.
    """

    step: int
    low: int | float | None
    high: int | float | None
    last: Any
    count: int
    time: str
    approximate: bool = False


class BatchResult(msgspec.Struct, frozen=True):
    """How many records were stored, and how many already had been; the run's name if one of them is ``steplog/run``."""

    accepted: int
    duplicates: int
    name: str | None = None


class TableCursor(NamedTuple):
    """Where a page of a table ends: the kind of the value that the table is sorted by, the value, the run's number."""

    kind: int
    value: int | float | str | bytes | None
    run: int


class TableQuery(msgspec.Struct, frozen=True):
    """A page of a table of runs; without ``sort``, the newest come first.

    Attributes:
        now: when RUNNING runs are looked at, ISO 8601.
        after: where the page before ended.
        counted: whether to count the runs that meet the conditions.
        among: uuids of the runs that are meant; None: all.
    """

    conditions: Sequence[Condition]
    columns: Sequence[Field]
    limit: int
    now: str
    sort: Field | None = None
    descending: bool = False
    after: TableCursor | None = None
    counted: bool = False
    among: Sequence[str] | None = None

    @property
    def compared(self) -> list[Field]:
        """What decides which runs come, and in which order."""
        return [*(each.field for each in self.conditions), *([] if self.sort is None else [self.sort])]

    @property
    def fields(self) -> list[Field]:
        """All that the answer is made of."""
        return [*self.columns, *self.compared]


class TableRow(msgspec.Struct):
    """A run in a table; ``cells`` has no entry where a value is missing, and ``msgspec.Raw`` where it is JSON text."""

    uuid: str
    cells: dict[Field, Any]


class TablePage(msgspec.Struct, frozen=True):
    """Some rows of a table; ``end`` is None of the last page."""

    rows: Sequence[TableRow]
    end: TableCursor | None
    count: int | None = None


class ColumnNames(msgspec.Struct, frozen=True):
    """What a table may show beside the fields of runs; ``kinds``: what each metric has; ``more``: there are others."""

    config: Sequence[str]
    metrics: Sequence[str]
    kinds: Sequence[MetricKind]
    more: bool
