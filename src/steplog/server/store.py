"""The interface of a store, which an engine fulfils; ``open_store`` opens one.

Reads return what they say, and block: call them from a thread that may. Each sees one state, with every write whose
future was done before. Writes are made in the order in which they are called, return at once, and their future is done
once they are durable. A write is made whole or not at all. Any thread may call either.

Both raise a ``StoreError``, a write in its future, where the store cannot do it now; a write that was refused raises
another ``RefusedError``. Rows are as they were when they were read: one whose project or run was deleted since raises
MissingError in a write, and where the points of a run are read.

A run in the trash is not there for anything but ``trash``, ``runs_by_slug``, ``discard_run`` and ``restore_run``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime

from steplog.records.points import Points
from steplog.records.run_fields import Changes
from steplog.server.file_catalogue import FileCatalogue
from steplog.server.permissions import Facts
from steplog.server.records.batch import Batch, NumberedPoint, SinglePoint
from steplog.server.records.curve_query import CurveAnswer, CurveQuery
from steplog.server.store_types import (
    UNBOUND,
    BatchResult,
    ColumnNames,
    Creation,
    HistoryQuery,
    KeyRow,
    KeyTerms,
    MemberRow,
    MetricPoint,
    NamespaceRow,
    PageToken,
    ProjectActivity,
    ProjectRow,
    RunConfig,
    RunId,
    RunRow,
    SeriesBucket,
    SeriesSummary,
    SessionRow,
    TablePage,
    TableQuery,
    UserRow,
    ViewRow,
)

__all__ = ["History", "Store"]


class History(Iterator[tuple[str, Points]]):
    """The points of metrics, with their names, in parts.

    Attributes:
        arrivals: it is of the first so many points that arrived in the run.
    """

    def __init__(self, arrivals: int, parts: Iterator[tuple[str, Points]]) -> None:
        self.arrivals = arrivals
        self._parts = parts

    def __next__(self) -> tuple[str, Points]:
        return next(self._parts)


class Store(FileCatalogue, ABC):
    """Users, projects, runs and their points.

    Attributes:
        instance: the id of the database.
    """

    instance: str

    # The store itself

    @abstractmethod
    def check(self) -> None:
        """Raise StoreError if the database is not where it was opened. Does not block."""

    def hurry(self) -> None:
        """The server is stopping: give up within seconds what a database that hangs has. Does not block."""

    @abstractmethod
    def probe(self) -> None:
        """Read something, and raise StoreError where that fails, or writes would find no room. A read."""

    @abstractmethod
    def figures(self) -> Mapping[str, float]:
        """What an operator watches: counts since the start, whose names end in ``_total``, and present values.

        ``docs/operations.md`` lists them. A read.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish pending writes and close the database; once. Later writes are refused."""

    # Users and keys

    @abstractmethod
    def users(self) -> list[UserRow]:
        """Every user, by name, also those removed."""

    @abstractmethod
    def add_user(self, username: str, email: str | None = None, is_admin: bool | None = None) -> Future[UserRow]:
        """Add a user, who owns a namespace, where missing or removed; set what is given.

        Raises RefusedError for a name without a slug, or with another user's.
        """

    @abstractmethod
    def remove_user(self, username: str) -> Future[UserRow]:
        """Revoke the keys of a user, end its sessions and take its roles; its runs stay.

        Raises MissingError, RefusedError for the user of the server's own key.
        """

    @abstractmethod
    def all_keys(self) -> list[KeyRow]:
        """Every key, also those revoked, oldest first."""

    @abstractmethod
    def key(self, key_id: int) -> KeyRow:
        """The key of this number. Raises MissingError."""

    @abstractmethod
    def keys_of_hashes(self, hashes: Sequence[bytes]) -> list[KeyRow]:
        """The keys with these hashes, also those revoked."""

    @abstractmethod
    def started_key(self) -> KeyRow | None:
        """The key that a server was last started with, unless it was issued or revoked."""

    @abstractmethod
    def put_started_key(self, user: UserRow, key_hash: bytes, origin: str) -> Future[KeyRow]:
        """Make this the key that the server is started with, in place of the one before. Raises RevokedKeyError."""

    @abstractmethod
    def issue_key(self, username: str | None, key_hash: bytes, label: str, terms: KeyTerms = UNBOUND) -> Future[KeyRow]:
        """Add a key of a user, who is added where missing. None: of the started key's user, or MissingError."""

    @abstractmethod
    def revoke_keys(self, key_ids: Sequence[int]) -> Future[None]:
        """Revoke all of these keys, or none; the date of an earlier revocation stays. Raises MissingError."""

    @abstractmethod
    def replace_key(self, old: KeyRow, key_hash: bytes, until: str | None = None) -> Future[KeyRow]:
        """Add a key as the old one, which is revoked, or expires at a time. Raises MissingError, RevokedKeyError."""

    @abstractmethod
    def note_use(self, used: Sequence[KeyRow], hour: str) -> Future[None]:
        """Note the hour in which keys were last used."""

    @abstractmethod
    def page_token(self) -> PageToken | None:
        """The page's token."""

    @abstractmethod
    def put_page_token(
        self, token: PageToken, present: PageToken | None, ends_sessions: bool = False
    ) -> Future[PageToken]:
        """Replace the page's token, if it still is ``present``; the one that is there then.

        ``ends_sessions``: end the sessions of all who have signed in with any.
        """

    @abstractmethod
    def sessions_of_hashes(self, hashes: Sequence[bytes]) -> list[SessionRow]:
        """The sessions with these hashes that have neither ended nor expired, nor has their key."""

    @abstractmethod
    def begin_session(
        self, session: SessionRow, token_hash: bytes | None = None, before: bytes | None = None
    ) -> Future[None]:
        """Add a session of a key, or of the page's token whose hash is given; the oldest of very many goes.

        ``before``: the hash of one that it replaces, which ends in five seconds, after what is on its way. Raises
        MissingError where the key was revoked, or the token replaced, meanwhile.
        """

    @abstractmethod
    def end_session(self, session_hash: bytes) -> Future[None]:
        """End a session, if there is such a one."""

    # Roles

    @abstractmethod
    def facts_of(self, user_id: int, namespace: str, project: str) -> Facts | None:
        """What decides over the project with these slugs, for a user; 0: for nobody in particular."""

    @abstractmethod
    def facts(self, user_id: int, namespace: NamespaceRow | None = None) -> list[Facts]:
        """What decides over each project, of a namespace or of all, for a user."""

    @abstractmethod
    def namespace_roles(self, user_id: int) -> dict[int, str]:
        """The roles of a user in whole namespaces, by ``NamespaceRow.id``."""

    @abstractmethod
    def members(self, namespace: NamespaceRow, project: ProjectRow | None = None) -> list[MemberRow]:
        """The members of a project, or of a whole namespace, by name."""

    @abstractmethod
    def roles(self, user: UserRow) -> list[MemberRow]:
        """The roles of a user, by place."""

    @abstractmethod
    def put_member(self, namespace: NamespaceRow, project: ProjectRow | None, user: UserRow, role: str) -> Future[None]:
        """Give a user a role in a project, or in a whole namespace. Raises MissingError without the project."""

    @abstractmethod
    def remove_member(self, namespace: NamespaceRow, project: ProjectRow | None, user: UserRow) -> Future[None]:
        """Take the role away. Raises MissingError."""

    # Namespaces and projects

    @abstractmethod
    def namespaces(self) -> list[NamespaceRow]:
        """Every namespace, oldest first."""

    @abstractmethod
    def namespace(self, slug: str) -> NamespaceRow | None:
        """The namespace with this slug."""

    @abstractmethod
    def put_namespace(self, slug: str, owner: UserRow | None = None) -> Future[NamespaceRow]:
        """The namespace with this slug, added where missing, for an owner."""

    @abstractmethod
    def projects(self, namespace: NamespaceRow) -> list[ProjectRow]:
        """The projects of a namespace, oldest first."""

    @abstractmethod
    def activity(self, namespace: NamespaceRow) -> dict[int, ProjectActivity]:
        """What goes on in each project of a namespace, by ``ProjectRow.id``."""

    @abstractmethod
    def project(self, namespace: str, slug: str) -> ProjectRow | None:
        """The project with these slugs."""

    @abstractmethod
    def add_project(
        self, namespace: NamespaceRow, slug: str, display_name: str, visibility: str, owner: UserRow | None = None
    ) -> Future[ProjectRow]:
        """Add a project, for an owner. Raises TakenError if the slug is in use, MissingError."""

    @abstractmethod
    def edit_project(
        self, namespace: str, project: ProjectRow, values: Mapping[str, str | int | None]
    ) -> Future[ProjectRow]:
        """Set the display name, the visibility and ``retention_days``, as far as given; the project as it is then.

        Raises MissingError.
        """

    @abstractmethod
    def delete_project(self, project: ProjectRow) -> Future[None]:
        """Delete a project, its runs and those in its trash for good; ``reap`` removes their points."""

    @abstractmethod
    def views(self, project: ProjectRow) -> list[ViewRow]:
        """The saved views of a project, oldest first."""

    @abstractmethod
    def add_view(self, project: ProjectRow, user: UserRow, name: str, address: str) -> Future[ViewRow]:
        """Save a view. Raises MissingError, TakenError if the project has the name, TooManyViewsError."""

    @abstractmethod
    def edit_view(self, project: ProjectRow, uuid: str, name: str | None, address: str | None) -> Future[ViewRow]:
        """Set what is given of a view. Raises MissingError, TakenError."""

    @abstractmethod
    def delete_view(self, project: ProjectRow, uuid: str) -> Future[None]:
        """Delete a view. Raises MissingError."""

    # Runs

    @abstractmethod
    def create_run(self, project: ProjectRow, user: UserRow, asked: Creation) -> Future[tuple[RunRow, bool]]:
        """The run, and whether it was made now; ``docs/api.md`` says which run is meant.

        Raises MissingError without the project, UnknownRunError, ExistsError, DeletedError.
        """

    @abstractmethod
    def run(self, namespace: str, project: str, uuid: str) -> RunRow | None:
        """The run with this uuid, in the project with these slugs."""

    @abstractmethod
    def known_run(self, namespace: str, project: str, uuid: str) -> RunId | None:
        """The number of the run that ``run`` gives, without reading; None if that was not called lately."""

    @abstractmethod
    def runs(self, project: ProjectRow, offset: int = 0, limit: int | None = None) -> list[RunRow]:
        """The runs of a project, oldest first."""

    @abstractmethod
    def runs_after(self, project: ProjectRow, uuid: str, limit: int | None = None) -> list[RunRow]:
        """The runs of a project that were made after this one, oldest first; it may be in the trash meanwhile.

        Raises MissingError.
        """

    @abstractmethod
    def runs_by_slug(self, project: ProjectRow, slug: str, in_trash: bool = False) -> list[RunRow]:
        """The runs whose name has this slug, in the trash or not, oldest first; unlike names, slugs are not unique."""

    @abstractmethod
    def hear(self, run: RunRow) -> Future[RunRow]:
        """Note that a client of the run was heard of; the run as it is then. Raises MissingError."""

    @abstractmethod
    def edit_run(
        self,
        run: RunRow,
        values: Mapping[str, str | None],
        status: str | None = None,
        generation: int | None = None,
    ) -> Future[RunRow]:
        """Set fields (``run_fields.field_value``) and the status; the run as it is then. Raises MissingError.

        A status or an ``ended`` of an earlier generation changes nothing, nor without a number once there is a second.
        """

    @abstractmethod
    def begin_generation(self, run: RunRow, maker: str, began: str) -> Future[tuple[int, bool]]:
        """Begin a generation of ownership, unless this maker has, or ``began`` is before the present one's.

        Its number, and whether it was begun now. Raises MissingError.
        """

    @abstractmethod
    def configs(self, of: Sequence[RunRow]) -> dict[int, RunConfig]:
        """The config of each run, by ``RunRow.id``; of all together a bounded size, the newest runs first."""

    @abstractmethod
    def table(self, project: ProjectRow, query: TableQuery) -> TablePage:
        """The runs of a project that meet conditions, in an order, with some of their fields, config and metrics."""

    @abstractmethod
    def table_version(self, project: ProjectRow, query: TableQuery) -> str | None:
        """What is another one once ``table`` answers otherwise; letters, digits and dashes. None: that is any time.

        Ask for it before the table, which may be newer then.
        """

    @abstractmethod
    def column_names(self, project: ProjectRow, part: str, limit: int) -> ColumnNames:
        """The metrics and config entries of a project's runs with ``part`` in their names, each up to ``limit``."""

    @abstractmethod
    def column_names_version(self, project: ProjectRow) -> str:
        """What is another one once ``column_names`` answers otherwise, as ``table_version``."""

    # Deleted runs

    @abstractmethod
    def trash(self, project: ProjectRow, offset: int = 0, limit: int | None = None) -> list[RunRow]:
        """The runs of a project that are in the trash, oldest first."""

    @abstractmethod
    def discard_run(self, project: ProjectRow, uuid: str, now: bool = False) -> Future[None]:
        """Move a run to the trash, or delete it for good, also from the trash. Raises MissingError."""

    @abstractmethod
    def expire_runs(self, now: datetime | None = None) -> int:
        """Move runs to the trash that ended longer ago than their project keeps them; how many, at most some hundred.

        Blocks until that is durable. Raises StoreError.
        """

    @abstractmethod
    def restore_run(self, project: ProjectRow, uuid: str) -> Future[RunRow]:
        """Take a run out of the trash, under another name or without its id where those are taken.

        One that is not in it stays as it is. Raises MissingError.
        """

    @abstractmethod
    def reap(self, now: datetime | None = None) -> Future[bool]:
        """Remove a slice of what is deleted for good, or in the trash for long enough; whether there was anything.

        Blocks meanwhile, as a read does. A power cut may undo it.
        """

    @abstractmethod
    def give_back(self) -> Future[bool]:
        """Give a slice of the room that is free back to the file system; whether more can be given.

        A power cut may undo it.
        """

    # Points

    @abstractmethod
    def add_batch(self, run: RunRow | RunId, batch: Batch, generation: int = 1) -> Future[BatchResult]:
        """Store a batch from its writer's mark on, and move the mark.

        ``generation`` is the one its writer belongs to; the first that is given for a writer stays. Raises
        MissingError, and GapError if the batch begins beyond the mark.
        """

    @abstractmethod
    def number(self, run: RunRow, point: SinglePoint) -> NumberedPoint:
        """A point with the step that ``add_metric`` would give it now, which then has nothing left to do."""

    @abstractmethod
    def add_metric(
        self,
        run: RunRow,
        point: SinglePoint | None,
        numbered: NumberedPoint | None = None,
        changes: Changes | None = None,
    ) -> Future[int | None]:
        """Store a point without a mark, and change the run in its present generation; the point's step.

        ``numbered`` is what ``number`` has made of it; if its step is no longer right, the point gets another.

        Raises MissingError.
        """

    @abstractmethod
    def pack_backlog(self) -> None:
        """Pack runs whose log has become so long that their packer does not keep up, or there is none."""

    @abstractmethod
    def point_count(self, run: RunRow) -> int:
        """How many points have arrived."""

    @abstractmethod
    def points_version(self, run: RunRow) -> str:
        """What is another one once points of the run have arrived; letters, digits and dashes."""

    def metrics(self, run: RunRow, first: int, end: int) -> list[MetricPoint]:
        """The points ``[first, end)`` of a run, in order of arrival."""
        return [point for part in self.metric_slices(run, first, end) for point in part]

    @abstractmethod
    def metric_slices(self, run: RunRow, first: int, end: int) -> Iterator[list[MetricPoint]]:
        """The points ``[first, end)`` of a run, in order of arrival, in slices of bounded size.

        Each is read when it is asked for, from a state of its own; what arrives meanwhile changes nothing.
        """

    @abstractmethod
    def history(self, run: RunRow, query: HistoryQuery) -> History:
        """The points of each metric that match, with its name, one metric after the other, in order of arrival.

        They come in any number of parts, of each metric at least one, which may be empty. Each is read when it is asked
        for, from a state of its own; what arrives meanwhile changes nothing. A metric may come again at the end, where
        very many points wait to be packed. Raises MissingError, also later, and UnknownMetricError.
        """

    @abstractmethod
    def series(self, run: RunRow) -> list[SeriesSummary]:
        """The metrics of a run, in order of first arrival."""

    @abstractmethod
    def curve(
        self, run: RunRow, name: str, points: int, low: int | None, high: int | None
    ) -> list[SeriesBucket] | None:
        """A metric's points with a step in [low, high], in at most ``points`` buckets; None if missing.

        If they are that few, each has a bucket, in order of arrival; else those of a grid.
        """

    @abstractmethod
    def curves(self, project: ProjectRow, query: CurveQuery) -> CurveAnswer:
        """Curves of many runs on one grid, or what of them has changed. Raises TooManyBucketsError."""
