"""``steplog.runs``: a table of the runs of a project.

    table = steplog.runs("mnist", where="config.lr>0.01", columns=["name", "loss.last"], sort="loss.last", limit=10)
    pandas.DataFrame.from_arrow(table)

1. A server with ``table/`` answers the whole query, a page at a time. Of another one the list of runs is read, and
   of each run what is compared or shown; the answer is made here (``rows``), and is the same.
2. Runs that no server has yet, of which only this machine has a journal, are among the rows as if the server had just
   made them. A run that is made there meanwhile comes once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from steplog.errors import (
    ConfigurationError,
    FormatError,
    ProjectNotFoundError,
    RunNotFoundError,
    ServerUnavailableError,
)
from steplog.identity import slug_of
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths
from steplog.lifecycle.process import current
from steplog.naming import LISTED_MAX, close, did_you_mean
from steplog.printable import printable
from steplog.reading.arrow_table import ArrowTable
from steplog.reading.journal_source import JournalSource
from steplog.reading.rows import Candidate, chosen, in_order, table_of
from steplog.reading.server_project import ServerProject
from steplog.reading.table_query import Row, TableQuery, query_of
from steplog.settings import resolve

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["Place", "documents_at", "not_found", "place_of", "rows_at", "runs"]

_Metrics = dict[str, dict[str, Any]]
_LOOKS_MAX = 3  # while runs of this machine are made on the server


@dataclass(frozen=True)
class Place:
    """A project.

    Attributes:
        client: of its server; None: none is configured, and none runs on this machine.
        namespace: "": any, on this machine.
    """

    client: TellurioClient | None
    namespace: str
    project: str

    def __str__(self) -> str:
        return "/".join(filter(None, (self.namespace, self.project)))

    @cached_property
    def server(self) -> ServerProject | None:
        """The project there."""
        return None if self.client is None else ServerProject(self.client, self.namespace, self.project)


def runs(
    project: str | None = None,
    where: str | Sequence[Any] | None = None,
    columns: str | Iterable[str] | None = None,
    sort: str | None = None,
    limit: int | None = None,
    *,
    client: TellurioClient | None = None,
) -> ArrowTable:
    """The runs of a project, a row each; the newest first. Those that wait on this machine for a server are among them.

    Args:
        project: ``"PROJECT"`` or ``"NAMESPACE/PROJECT"``; None: the setting.
        where: a filter, ``"config.lr>0.01 and loss.last<0.3"``, or triples ``[("config.lr", ">", 0.01)]``; None: all.
        columns: fields, ``["name", "config.lr", "loss.last"]``; None: the fields of runs. ``uuid`` comes first: of a
            run that no server has yet, its id on this machine.
        sort: a field; with "-" before it the greatest first. Runs without a value come last.
        limit: at most so many rows; None: all.
        client: of the server to ask; None: the default one.

    Raises:
        FilterError: a filter, a column or ``sort`` cannot be read.
        ProjectNotFoundError: neither the server nor this machine has the project.
        ServerUnavailableError: there is no answer.
        ConfigurationError: no project is given, and none is set.
    """
    query = query_of(where, columns, sort, limit)
    return table_of(query.columns, rows_at(place_of(project, client), query))


def place_of(project: str | None, client: TellurioClient | None = None) -> Place:
    """The project that a text means. Raises as ``runs`` does."""
    from steplog.client import LocalServers, is_configured
    from steplog.given_client import as_client

    if client is None:
        settings = resolve()
        local = LocalServers(settings)
        if is_configured(settings) or local.clients():
            client = local.default()
    else:
        client = as_client(client)
        settings = client.settings
    if project is not None and not isinstance(project, str):
        raise TypeError(f'project is "PROJECT" or "NAMESPACE/PROJECT", not {type(project).__name__}')
    said = settings.project if project is None else project
    if not said or not said.strip("/"):
        raise ConfigurationError("no project is given; say which, or set STEPLOG_PROJECT")
    namespace, slash, name = said.partition("/")
    if not slash:
        namespace, name = settings.namespace or "", said
    if not namespace and client is not None:
        namespace = client.login().username
    return Place(client, slug_of(namespace), slug_of(name))


def documents_at(place: Place, uuids: Sequence[str], *, brief: bool) -> dict[str, dict[str, Any]]:
    """The JSON of runs among the rows, by uuid; without those that are gone. Raises as ``runs`` does."""
    server = place.server
    found = {} if server is None else server.documents(uuids, brief=brief)
    for uuid in uuids:
        if uuid not in found:
            with suppress(RunNotFoundError, ServerUnavailableError):
                found[uuid] = JournalSource(uuid).document()
    return found


def rows_at(place: Place, query: TableQuery, read: Callable[[], None] = lambda: None) -> list[Row]:
    """The answer; ``read`` is called for each run that had to be read by itself. Raises as ``runs`` does."""
    server = place.server
    for look in range(_LOOKS_MAX):
        now = datetime.now(timezone.utc)
        here = _journals(place)
        try:
            found = None if server is None else server.rows(query, now, read)
        except ServerUnavailableError as error:
            raise _with_hint(error, place, len(here)) from None
        if found is None and not here:
            raise not_found(place)
        waiting = _rows_here(here, query, now)
        if all(map(_is_here, here)) or look == _LOOKS_MAX - 1:
            break
    return in_order([*waiting, *(found or ())], query) if waiting else found or []


def _with_hint(error: ServerUnavailableError, place: Place, here: int) -> ServerUnavailableError:
    """The same, and which runs could be listed all the same."""
    if not here:
        return error
    runs = f"{here:,} runs of {place} are" if here > 1 else f"one run of {place} is"
    return ServerUnavailableError(f"{error}; {runs} on this machine alone; type: steplog ls --here")


def _journals(place: Place) -> list[RunPaths]:
    """The runs of the project that no server has, the latest first."""
    process = current()
    process.find_memory()
    url = None if place.client is None else place.client.settings.url
    found = []
    for paths in (*process.roots.runs(), *process.roots.of_other_hosts()):
        with suppress(FormatError):
            manifest = manifests.load(paths.manifest())
            if manifest is not None and not manifest.run and manifest.project == place.project:
                is_there = url is None or manifest.base_url in ("", url)
                if is_there and (not place.namespace or manifest.namespace in ("", place.namespace)):
                    began = manifest.generations[0].began if manifest.generations else 0
                    found.append((began, paths.local_id, paths))
    return [paths for *_, paths in sorted(found, reverse=True)]


def _rows_here(here: Iterable[RunPaths], query: TableQuery, now: datetime) -> list[Row]:
    candidates = []
    for paths in here:
        with suppress(RunNotFoundError, ServerUnavailableError):  # delivered meanwhile
            source = JournalSource(paths.local_id)
            run = source.document()
            candidates.append(Candidate(run, partial(_whole, source, run)))
    return chosen(candidates, query, now)


def _whole(source: JournalSource, run: dict[str, Any], kinds: set[str]) -> tuple[dict[str, Any], _Metrics] | None:
    try:
        return run, {row["name"]: row for row in source.series()} if "metric" in kinds else {}
    except (RunNotFoundError, ServerUnavailableError):  # delivered meanwhile
        return None


def _is_here(paths: RunPaths) -> bool:
    """Whether no server has the run yet."""
    with suppress(FormatError):
        manifest = manifests.load(paths.manifest())
        return manifest is not None and not manifest.run
    return False


def not_found(place: Place) -> ProjectNotFoundError:
    """What there is instead. Raises InvalidAPIKeyError."""
    server = place.server
    if server is None:
        words = f"no run on this machine is of the project {place}, and no server is configured"
        return ProjectNotFoundError(printable(f"{words}; type: steplog serve, or: steplog login"))
    told, kind, name, before = server.projects(), "project", place.project, f"{place.namespace}/"
    if told is None:
        told, kind, name, before = server.namespaces(), "namespace", place.namespace, ""
    if told is None:
        server.check_key()
        return ProjectNotFoundError(printable(f"{server.base_url} has no project {place}, or not for this key"))
    words = f"{server.base_url} has no {kind} {before}{name}{_instead(name, told, before)}"
    return ProjectNotFoundError(printable(words))


def _instead(name: str, names: Sequence[str], before: str) -> str:
    """The close names, else the last ones."""
    if meant := did_you_mean(f"{before}{each}" for each in close(name, names)):
        return meant
    if not names:
        return f"; it has no {'projects there' if before else 'namespaces'}"
    more = f" and {len(names) - LISTED_MAX} more" if len(names) > LISTED_MAX else ""
    return f"; it has {', '.join(f'{before}{each}' for each in names[-LISTED_MAX:])}{more}"
