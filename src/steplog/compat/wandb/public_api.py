"""``wandb.Api``: runs are read back by steplog's reading API, with wandb's names.

::

    Api().runs("team/project", filters, order)     Runs, read at the first use: a row a run
    Api().run("team/project/id")                   Run
    Run.config, .summary, .history, …              asked for at the first use, a run at a time

1. It reads what steplog has: on its server, and on this machine what no server has yet. wandb's server is never asked.
2. An entity is a namespace; ``STEPLOG_NAMESPACE`` is before it, and where the project is not there, the key's own.
3. What is not there raises ``wandb.errors.CommError``; a filter that cannot be read, too.
4. ``summary`` is the last value of each metric, with what was set (``summary/NAME``) in its place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import steplog
from steplog.compat.wandb import api_artifacts
from steplog.compat.wandb.api_artifacts import ArtifactCollection, ArtifactType
from steplog.compat.wandb.api_filters import Filter, Order, filter_of, order_of
from steplog.compat.wandb.api_run import Run, frame, normalized
from steplog.compat.wandb.artifact import Artifact
from steplog.compat.wandb.artifact_names import safe_name
from steplog.compat.wandb.errors import CommError
from steplog.reading.arrow_table import ArrowTable
from steplog.reading.rows import table_of
from steplog.reading.runs import Place, place_of, rows_at
from steplog.reading.table_query import TableQuery, query_of
from steplog.settings import resolve

__all__ = ["Api", "Project", "Projects", "Runs", "User"]

_COLUMNS = ("status", "name", "id", "tag", "group", "job_type", "user", "started", "seen", "duration", "notes")


class User:
    """Who has the key."""

    def __init__(self, username: str, email: str | None = None) -> None:
        self.username, self.email = username, email
        self.name = self.entity = username
        self.teams: list[str] = []
        self.admin = False

    def __repr__(self) -> str:
        return f"<User {self.username}>"


class Runs:
    """The runs of a project, in order; asked for at the first use."""

    def __init__(
        self,
        api: Api,
        entity: str | None,
        project: str | None,
        filters: Mapping[str, Any] | None = None,
        order: str | None = None,
        per_page: int = 50,
    ) -> None:
        self.entity, self.project, self.per_page = entity, project, per_page
        self.filters, self.order = dict(filters or {}), order or "+created_at"
        self._api = api
        self._filter: Filter = filter_of(filters)
        self._order: Order = order_of(order)
        self._rows: list[dict[str, Any]] | None = None
        self._place: Place | None = None
        self._made: dict[int, Run] = {}
        self._at = 0

    def __repr__(self) -> str:
        return f"<Runs {self.entity}/{self.project}>"

    def __len__(self) -> int:
        return len(self._found())

    def __bool__(self) -> bool:
        return bool(self._found())

    def __iter__(self) -> Iterator[Run]:
        return (self._run(at) for at in range(len(self._found())))

    def __getitem__(self, at: int | slice) -> Any:
        places = range(len(self._found()))[at]
        return [self._run(each) for each in places] if isinstance(places, range) else self._run(places)

    def __next__(self) -> Run:
        if self._at >= len(self._found()):
            raise StopIteration
        self._at += 1
        return self._run(self._at - 1)

    next = __next__

    @property
    def length(self) -> int:
        """How many there are."""
        return len(self)

    def histories(
        self,
        samples: int = 500,
        keys: list[str] | None = None,
        x_axis: str = "_step",
        format: str = "default",  # noqa: A002 - wandb's name
        stream: str = "default",
    ) -> Any:
        """The rows of all histories, each with its ``run_id``."""
        if format not in ("default", "pandas", "polars"):
            raise ValueError(f"Invalid format: {format}. Must be one of 'default', 'pandas', 'polars'")
        rows = [
            {**row, "run_id": run.id}
            for run in self
            for row in run.history(samples, keys, x_axis, pandas=False, stream=stream)
        ]
        if format == "default":
            return rows
        if format == "pandas":
            import pandas

            return pandas.DataFrame.from_records(rows)
        import polars

        return polars.from_dicts(rows)

    def upgrade_to_full(self) -> None:
        """Nothing is done: a run asks for the rest of it by itself."""

    def _run(self, at: int) -> Run:
        if at not in self._made:
            row = self._found()[at]
            self._made[at] = Run(self.entity or "", self.project or "", row, client=self._place and self._place.client)
        return self._made[at]

    def _found(self) -> list[dict[str, Any]]:
        if self._rows is None:
            columns = dict.fromkeys((*_COLUMNS, *self._filter.columns, *self._order.columns))
            query = query_of(self._filter.where or None, columns)
            self._place, table = self._api.found(self.entity, self.project, query)
            self.entity, self.project = self._place.namespace or self.entity, self._place.project
            rows = [row for row in table if self._filter.matches(row)]
            self._rows = self._order.sorted(rows)
        return self._rows


class Project:
    """A project of a namespace."""

    def __init__(self, api: Api, entity: str, name: str) -> None:
        self.entity, self.name, self._api = entity, name, api

    def __repr__(self) -> str:
        return f"<Project {self.entity}/{self.name}>"

    @property
    def path(self) -> list[str]:
        """Entity and name."""
        return [self.entity, self.name]

    @property
    def id(self) -> str:
        """The same in one."""
        return f"{self.entity}/{self.name}"

    @property
    def url(self) -> str:
        """The address of its page."""
        return f"{self._api.client.base_url}/{self.entity}/projects/{self.name}/"

    def to_html(self, height: int = 420, hidden: bool = False) -> str:
        """The page in a frame."""
        return frame(self.url, height)

    def runs(self, filters: Mapping[str, Any] | None = None, order: str | None = None, per_page: int = 50) -> Runs:
        """Its runs."""
        return Runs(self._api, self.entity, self.name, filters, order, per_page)

    def sweeps(self, filters: Any = None, order: str | None = None, per_page: int = 50) -> list[Any]:
        """There are none."""
        return []

    def artifacts_types(self, per_page: int = 50) -> list[ArtifactType]:
        """The types of its artifacts. Raises CommError."""
        return self._api.artifact_types(f"{self.entity}/{self.name}" if self.entity else self.name)


class Projects:
    """The projects of a namespace."""

    def __init__(self, api: Api, entity: str) -> None:
        self.entity = entity
        self._projects = [Project(api, entity, slug) for slug in _slugs(entity)]

    def __len__(self) -> int:
        return len(self._projects)

    def __iter__(self) -> Iterator[Project]:
        return iter(self._projects)

    def __getitem__(self, at: Any) -> Any:
        return self._projects[at]


class Api:
    """Reads runs."""

    def __init__(
        self, overrides: Mapping[str, Any] | None = None, timeout: int | None = None, api_key: str | None = None
    ) -> None:
        self.settings: dict[str, Any] = {"entity": None, "project": None, "run": None, **(overrides or {})}
        self.user_agent = f"steplog {steplog.__name__}"
        self.api_key = None

    @property
    def client(self) -> Any:
        """The client of steplog's server."""
        with normalized():
            return steplog.get_default_client()

    @property
    def default_entity(self) -> str | None:
        """The namespace that is meant where none is said."""
        return resolve().namespace or self.settings["entity"] or self.viewer.username

    @property
    def viewer(self) -> User:
        """Who has the key."""
        with normalized():
            account = self.client.login()
        return User(account.username, account.email)

    def flush(self) -> None:
        """Nothing is kept that could be old."""

    def runs(
        self,
        path: str | None = None,
        filters: Mapping[str, Any] | None = None,
        order: str | None = "+created_at",
        per_page: int = 50,
        include_sweeps: bool = True,
        lazy: bool = True,
    ) -> Runs:
        """The runs of a project that a filter means; without a path, of the one that ``init`` would take."""
        entity, project, _ = self._parts(path, ends_in_run=False)
        project = project or os.environ.get("WANDB_PROJECT") or "uncategorized"
        with normalized():
            return Runs(self, entity, project, filters, order, per_page)

    def run(self, path: str = "") -> Run:
        """A run by its id."""
        entity, project, run = self._parts(path, ends_in_run=True)
        if not run:
            raise ValueError("Api().run() needs the path of a run: 'entity/project/run_id'")
        errors = []
        for namespace in self._namespaces(entity):
            try:
                where = "/".join(filter(None, (namespace, project))) if project else ""
                return Run.opened(where, run)
            except CommError as error:
                errors.append(error)
        raise errors[0]

    def project(self, name: str, entity: str | None = None) -> Project:
        """A project."""
        return Project(self, entity or self.default_entity or "", name)

    def projects(self, entity: str | None = None, per_page: int = 200) -> Projects:
        """The projects of a namespace."""
        with normalized():
            return Projects(self, entity or self.default_entity or "")

    def create_project(self, name: str, entity: str) -> None:
        """Make a project."""
        with normalized():
            steplog.create_project(resolve().namespace or entity, name, "RESTRICTED")

    def from_path(self, path: str) -> Any:
        """A run, or a project."""
        return self.run(path) if len(path.strip("/").split("/")) > 2 else self.project(*reversed(path.split("/")))

    def user(self, username_or_email: str) -> User | None:
        """Who has the key, if it is that one."""
        viewer = self.viewer
        return viewer if username_or_email in (viewer.username, viewer.email) else None

    def users(self, username_or_email: str) -> list[User]:
        """The same, as a list."""
        found = self.user(username_or_email)
        return [] if found is None else [found]

    def artifact(self, name: str, type: str | None = None) -> Artifact:  # noqa: A002 - wandb's name
        """A version of an artifact: "entity/project/name:alias". Raises CommError, ValueError."""
        entity, project, called = self._artifact_parts(name)
        return api_artifacts.one(entity, project, called, type)

    def artifact_exists(self, name: str, type: str | None = None) -> bool:  # noqa: A002 - wandb's name
        """Whether there is such a version."""
        try:
            self.artifact(name, type)
        except (CommError, ValueError):
            return False
        return True

    def artifact_collection_exists(self, name: str, type: str) -> bool:  # noqa: A002 - wandb's name
        """Whether there is an artifact of this name and type."""
        entity, project, called = self._artifact_parts(name)
        try:
            return any(each.type == safe_name(type) for each in api_artifacts.versions(entity, project, called))
        except CommError:
            return False

    def artifacts(self, type_name: str, name: str, **_: Any) -> list[Artifact]:
        """The versions of an artifact, the newest first. Raises CommError."""
        entity, project, called = self._artifact_parts(name)
        return [each for each in api_artifacts.versions(entity, project, called) if each.type == safe_name(type_name)]

    artifact_versions = artifacts

    def artifact_collections(self, project_name: str, type_name: str, **_: Any) -> list[ArtifactCollection]:
        """The artifacts of a type in a project. Raises CommError."""
        return self.artifact_type(type_name, project_name).collections()

    def artifact_collection(self, type_name: str, name: str) -> ArtifactCollection:
        """An artifact, with all its versions. Raises CommError."""
        entity, project, called = self._artifact_parts(name)
        return ArtifactType(entity, project, type_name).collection(called)

    def artifact_type(self, type_name: str, project: str | None = None) -> ArtifactType:
        """All artifacts of a type."""
        entity, _, called = (project or "").rpartition("/")
        return ArtifactType(entity or None, called or self._default_project(), type_name)

    def artifact_types(self, project: str | None = None, start: str | None = None) -> list[ArtifactType]:
        """The types of a project's artifacts. Raises CommError."""
        entity, _, called = (project or "").rpartition("/")
        return list(api_artifacts.parted(entity or None, called or self._default_project()).values())

    def _default_project(self) -> str:
        found = self.settings["project"] or resolve().project or os.environ.get("WANDB_PROJECT") or "uncategorized"
        return str(found)

    def _artifact_parts(self, name: str) -> tuple[str | None, str, str]:
        """Entity, project and name; those of the settings where it has none. Raises ValueError."""
        parts = name.split("/")
        if not 1 <= len(parts) <= 3 or not all(parts):
            raise ValueError(f"Invalid artifact path: {name!r}; it is 'entity/project/name:alias', or its end")
        project = parts[-2] if len(parts) > 1 else self._default_project()
        return parts[0] if len(parts) > 2 else self.settings["entity"], project, parts[-1]

    def sweep(self, path: str = "") -> NoReturn:
        """Raises CommError."""
        raise CommError(f"steplog has no sweeps, so {path!r} is not here; read its runs: Api().runs(…, filters=…)")

    def reports(self, path: str = "", name: str | None = None, per_page: int = 50) -> list[Any]:
        """There are none."""
        return []

    def found(self, entity: str | None, project: str | None, query: TableQuery) -> tuple[Place, ArrowTable]:
        """Internal: where the project is, and a row a run. Raises CommError."""
        if not project:
            raise CommError("Api().runs() needs the path of a project: 'entity/project'")
        errors = []
        for namespace in self._namespaces(entity):
            try:
                with normalized():
                    place = place_of(f"{namespace}/{project}" if namespace else project)
                    return place, table_of(query.columns, rows_at(place, query))
            except CommError as error:
                errors.append(error)
        raise errors[0]

    def _namespaces(self, entity: str | None) -> list[str | None]:
        """Where to look, one after the other; None: the key's own, or any on this machine."""
        said = resolve().namespace or entity
        return [said] if said is None or said == resolve().namespace else [said, None]

    def _parts(self, path: str | None, *, ends_in_run: bool) -> tuple[str | None, str | None, str | None]:
        """Of "entity/project/run", "project/run", "run"; of an address; ``runs/`` may be before the run."""
        text = (path or "").partition("://")[2].partition("/")[2] if "://" in (path or "") else (path or "")
        parts = [each for each in text.replace(":", "/").split("/") if each and each != "runs"]
        run = parts.pop() if ends_in_run and parts else None
        settings = resolve()
        project = parts.pop() if parts else self.settings["project"] or settings.project
        entity = "/".join(parts) or self.settings["entity"]
        return entity or None, project, run


def _slugs(entity: str) -> list[str]:
    place = Place(steplog.get_default_client(), entity, "")
    found = None if place.server is None else place.server.projects()
    if found is None:
        raise CommError(f"there is no namespace {entity!r}, or its server does not list projects; type: steplog ls")
    return found
