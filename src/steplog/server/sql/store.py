"""The store in SQL, but for what an engine does its own way. The other modules of this folder have the statements."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from steplog.server.permissions import OWNER, Facts
from steplog.server.records.batch import NumberedPoint, SinglePoint
from steplog.server.records.curve_query import CurveAnswer, CurveQuery
from steplog.server.sql import (
    catalog,
    creation,
    curves,
    edits,
    generations,
    history,
    keys,
    log,
    members,
    reading,
    retention,
    run_changes,
    runs,
    sessions,
    slices,
    table_columns,
    trash,
    users,
    views,
)
from steplog.server.sql.connection import Connection
from steplog.server.sql.database import Database
from steplog.server.sql.file_store import SqlFiles
from steplog.server.sql.table_counts import TableCounts
from steplog.server.sql.versions import Versions
from steplog.server.store import History, Store
from steplog.server.store_types import (
    UNBOUND,
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

__all__ = ["SqlStore"]

_KNOWN_RUNS_MAX = 50_000
_P = ParamSpec("_P")
_T = TypeVar("_T")


class SqlStore(SqlFiles, Store):
    """Users, projects, runs and their points in a database."""

    def __init__(self, database: Database, versions: Versions) -> None:
        super().__init__(database, versions)
        self._database = database
        self._versions = versions
        self._counts = TableCounts(versions)
        self._known_runs: dict[tuple[str, str, str], RunId] = {}

    def probe(self) -> None:
        self._database.read(catalog.namespace, "")

    def figures(self) -> Mapping[str, float]:
        unpacked = self._database.read(log.waiting_bytes)
        return {**self._database.figures(), "unpacked_bytes": unpacked, **self.file_figures()}

    def close(self) -> None:
        self.close_files()
        self._database.close()

    def _change(
        self, project_id: int, job: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[_T]:
        """Run a write that changes the project's runs; the future is done once it is durable."""
        written = self._database.write_project(project_id, self._versions.counted(project_id, job), *args, **kwargs)
        return self._versions.changes_runs(project_id, written)

    # Users and keys

    def users(self) -> list[UserRow]:
        return self._database.read(users.every)

    def add_user(self, username: str, email: str | None = None, is_admin: bool | None = None) -> Future[UserRow]:
        return self._database.write(users.add, username, email, is_admin)

    def remove_user(self, username: str) -> Future[UserRow]:
        return self._database.write(keys.remove_user, username)

    def all_keys(self) -> list[KeyRow]:
        return self._database.read(keys.every)

    def key(self, key_id: int) -> KeyRow:
        return self._database.read(keys.by_id, key_id)

    def keys_of_hashes(self, hashes: Sequence[bytes]) -> list[KeyRow]:
        return self._database.read(keys.by_hashes, hashes)

    def started_key(self) -> KeyRow | None:
        return self._database.read(keys.started)

    def put_started_key(self, user: UserRow, key_hash: bytes, origin: str) -> Future[KeyRow]:
        return self._database.write(keys.put_started, user.id, key_hash, origin)

    def issue_key(self, username: str | None, key_hash: bytes, label: str, terms: KeyTerms = UNBOUND) -> Future[KeyRow]:
        return self._database.write(keys.issue, username, key_hash, label, terms)

    def revoke_keys(self, key_ids: Sequence[int]) -> Future[None]:
        return self._database.write(keys.revoke, key_ids)

    def replace_key(self, old: KeyRow, key_hash: bytes, until: str | None = None) -> Future[KeyRow]:
        return self._database.write(keys.replace, old.id, key_hash, until)

    def note_use(self, used: Sequence[KeyRow], hour: str) -> Future[None]:
        return self._database.write(keys.note_use, [key.id for key in used], hour)

    def page_token(self) -> PageToken | None:
        return self._database.read(keys.page_token)

    def put_page_token(
        self, token: PageToken, present: PageToken | None, ends_sessions: bool = False
    ) -> Future[PageToken]:
        def put(connection: Connection) -> PageToken:
            if ends_sessions:
                sessions.end_readers(connection)
            return keys.put_page_token(connection, token, present)

        return self._database.write(put)

    def sessions_of_hashes(self, hashes: Sequence[bytes]) -> list[SessionRow]:
        return self._database.read(sessions.by_hashes, hashes)

    def begin_session(
        self, session: SessionRow, token_hash: bytes | None = None, before: bytes | None = None
    ) -> Future[None]:
        return self._database.write(sessions.begin, session, token_hash, before)

    def end_session(self, session_hash: bytes) -> Future[None]:
        return self._database.write(sessions.end, session_hash)

    # Roles

    def facts_of(self, user_id: int, namespace: str, project: str) -> Facts | None:
        return self._database.read(members.facts_of, user_id, namespace, project)

    def facts(self, user_id: int, namespace: NamespaceRow | None = None) -> list[Facts]:
        return self._database.read(members.facts, user_id, None if namespace is None else namespace.id)

    def namespace_roles(self, user_id: int) -> dict[int, str]:
        return self._database.read(members.by_namespace, user_id)

    def members(self, namespace: NamespaceRow, project: ProjectRow | None = None) -> list[MemberRow]:
        return self._database.read(members.of, namespace.id, _place(project))

    def roles(self, user: UserRow) -> list[MemberRow]:
        return self._database.read(members.every, user.id)

    def put_member(self, namespace: NamespaceRow, project: ProjectRow | None, user: UserRow, role: str) -> Future[None]:
        return self._database.write(members.put, namespace.id, _place(project), user.id, role)

    def remove_member(self, namespace: NamespaceRow, project: ProjectRow | None, user: UserRow) -> Future[None]:
        return self._database.write(members.remove, namespace.id, _place(project), user.id)

    # Namespaces and projects

    def namespaces(self) -> list[NamespaceRow]:
        return self._database.read(catalog.namespaces)

    def namespace(self, slug: str) -> NamespaceRow | None:
        return self._database.read(catalog.namespace, slug)

    def put_namespace(self, slug: str, owner: UserRow | None = None) -> Future[NamespaceRow]:
        def put(connection: Connection) -> NamespaceRow:
            is_new = catalog.namespace(connection, slug) is None
            namespace = catalog.put_namespace(connection, slug)
            if owner is not None and is_new:
                members.put(connection, namespace.id, members.WHOLE_NAMESPACE, owner.id, OWNER)
            return namespace

        return self._database.write(put)

    def projects(self, namespace: NamespaceRow) -> list[ProjectRow]:
        return self._database.read(catalog.projects, namespace.id)

    def activity(self, namespace: NamespaceRow) -> dict[int, ProjectActivity]:
        return self._database.read(catalog.activity, namespace.id)

    def project(self, namespace: str, slug: str) -> ProjectRow | None:
        return self._database.read(catalog.project, namespace, slug)

    def add_project(
        self, namespace: NamespaceRow, slug: str, display_name: str, visibility: str, owner: UserRow | None = None
    ) -> Future[ProjectRow]:
        def add(connection: Connection) -> ProjectRow:
            project = catalog.add_project(connection, namespace, slug, display_name, visibility)
            if owner is not None:
                members.put(connection, namespace.id, project.id, owner.id, OWNER)
            return project

        return self._database.write(add)

    def edit_project(
        self, namespace: str, project: ProjectRow, values: Mapping[str, str | int | None]
    ) -> Future[ProjectRow]:
        return self._database.write(retention.edit, namespace, project, values)

    def views(self, project: ProjectRow) -> list[ViewRow]:
        return self._database.read(views.in_project, project.id)

    def add_view(self, project: ProjectRow, user: UserRow, name: str, address: str) -> Future[ViewRow]:
        return self._database.write(views.add, project.id, user.id, name, address)

    def edit_view(self, project: ProjectRow, uuid: str, name: str | None, address: str | None) -> Future[ViewRow]:
        return self._database.write(views.edit, project.id, uuid, name, address)

    def delete_view(self, project: ProjectRow, uuid: str) -> Future[None]:
        return self._database.write(views.delete, project.id, uuid)

    # Runs

    def create_run(self, project: ProjectRow, user: UserRow, asked: Creation) -> Future[tuple[RunRow, bool]]:
        return self._change(project.id, creation.create, project.id, user.id, asked)

    def run(self, namespace: str, project: str, uuid: str) -> RunRow | None:
        run = self._database.read(runs.by_uuid, namespace, project, uuid)
        if run is not None:
            self._known_runs[namespace, project, uuid] = RunId(run.id, run.project_id)
            if len(self._known_runs) > _KNOWN_RUNS_MAX:
                self._known_runs.clear()
        return run

    def known_run(self, namespace: str, project: str, uuid: str) -> RunId | None:
        return self._known_runs.get((namespace, project, uuid))

    def runs(self, project: ProjectRow, offset: int = 0, limit: int | None = None) -> list[RunRow]:
        return self._database.read(runs.in_project, project.id, offset, limit)

    def runs_after(self, project: ProjectRow, uuid: str, limit: int | None = None) -> list[RunRow]:
        return self._database.read(runs.made_after, project.id, uuid, limit)

    def runs_by_slug(self, project: ProjectRow, slug: str, in_trash: bool = False) -> list[RunRow]:
        return self._database.read(runs.by_slug, project.id, slug, in_trash)

    def hear(self, run: RunRow) -> Future[RunRow]:
        return self._versions.changes_points(run.project_id, self._database.write(runs.hear, run.id))

    def edit_run(
        self,
        run: RunRow,
        values: Mapping[str, str | None],
        status: str | None = None,
        generation: int | None = None,
    ) -> Future[RunRow]:
        return self._change(run.project_id, edits.edit, run.id, values, status, generation)

    def begin_generation(self, run: RunRow, maker: str, began: str) -> Future[tuple[int, bool]]:
        return self._change(run.project_id, generations.begin, run.id, maker, began)

    def configs(self, of: Sequence[RunRow]) -> dict[int, RunConfig]:
        return self._database.read(run_changes.configs, [run.id for run in of])

    def table(self, project: ProjectRow, query: TableQuery) -> TablePage:
        return self._database.read(self._counts.page, project.id, query)

    def table_version(self, project: ProjectRow, query: TableQuery) -> str | None:
        return self._database.read(self._versions.of_table, project.id, query.fields)

    def column_names(self, project: ProjectRow, part: str, limit: int) -> ColumnNames:
        return self._database.read(table_columns.column_names, project.id, part, limit)

    def column_names_version(self, project: ProjectRow) -> str:
        return self._database.read(self._versions.of_column_names, project.id)

    # Deleted runs

    def trash(self, project: ProjectRow, offset: int = 0, limit: int | None = None) -> list[RunRow]:
        return self._database.read(trash.in_trash, project.id, offset, limit)

    def expire_runs(self, now: datetime | None = None) -> int:
        found = self._database.read(retention.due, now)
        return sum(self._expired(*each).result() for each in found)

    def _expired(self, project_id: int, uuid: str, before: str) -> Future[bool]:
        def expire(connection: Connection) -> bool:
            run_id = retention.expire(connection, project_id, uuid, before)
            if run_id is not None:
                self._forget_run(run_id)
            return run_id is not None

        return self._change(project_id, expire)

    def discard_run(self, project: ProjectRow, uuid: str, now: bool = False) -> Future[None]:
        def discard(connection: Connection) -> None:
            self._forget_run(trash.discard(connection, project.id, uuid, now))

        return self._change(project.id, discard)

    @abstractmethod
    def _forget_run(self, run_id: int) -> None:
        """Drop what is cached of a run, which is being deleted in this transaction."""

    def restore_run(self, project: ProjectRow, uuid: str) -> Future[RunRow]:
        return self._change(project.id, trash.restore, project.id, uuid)

    # Points

    @property
    @abstractmethod
    def _next_steps(self) -> log.NextSteps:
        """What is known of the steps of runs."""

    def number(self, run: RunRow, point: SinglePoint) -> NumberedPoint:
        step = point.step
        if step is None:
            step = self._database.read(self._next_steps.likely_step, run.id, point.name)
        return point.numbered(step)

    def point_count(self, run: RunRow) -> int:
        return self._database.read(reading.arrivals, run.id)

    def points_version(self, run: RunRow) -> str:
        return self._database.read(self._versions.of_points, run.id)

    def metric_slices(self, run: RunRow, first: int, end: int) -> Iterator[list[MetricPoint]]:
        return slices.metrics(self._database.snapshot, run.id, first, end)

    def history(self, run: RunRow, query: HistoryQuery) -> History:
        return history.history(self._database.snapshot, run.id, query)

    def series(self, run: RunRow) -> list[SeriesSummary]:
        return self._database.read(reading.series, run.id)

    def curve(
        self, run: RunRow, name: str, points: int, low: int | None, high: int | None
    ) -> list[SeriesBucket] | None:
        return self._database.read(curves.curve, run.id, name, points, low, high)

    def curves(self, project: ProjectRow, query: CurveQuery) -> CurveAnswer:
        return curves.curves(self._database.snapshot, project.id, query)


def _place(project: ProjectRow | None) -> int:
    """Where a role is one, in ``members.project``."""
    return members.WHOLE_NAMESPACE if project is None else project.id
