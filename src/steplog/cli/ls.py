"""``steplog ls``: the runs on the server, and those that wait on this machine.

If the server does not answer, what waits here is printed anyway; the exit code is 1. With ``--where``, ``--columns``,
``--sort`` or ``--csv`` the answer is what ``steplog.runs`` gives of each project: the runs that only this machine has
are among the rows, and nothing else is printed.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.console import Console
from rich.text import Text

import steplog
from steplog.cli import printing, run_times
from steplog.cli.api import Api, ApiError, as_text
from steplog.cli.fields import columns_of, complete_columns, complete_filter, conditions_of, order_of, unknown
from steplog.cli.run_rows import Listed, csv_lines, is_number, json_row, rows_table, shown
from steplog.cli.table import Table
from steplog.filters import DEFAULT_FIELDS, Condition, Field
from steplog.naming import short_id
from steplog.reading.table_query import UUID, Row, TableQuery

if TYPE_CHECKING:
    from steplog.reading.runs import Place

__all__ = ["command"]

_STATUSES = tuple(status.value for status in steplog.RunStatus)
_DROP = ("group", "tags", "duration", "last point", "started", "project", "deleted")
_DROP_WAITING = ("size", "id", "project", "started")
_STARTED = Field("run", ("started",))
_NAME = Field("run", ("name",))
_LIMIT = 20
_ID_MAX = 24  # characters on a terminal, where a run is to be one line; of a longer one the uuid's are shown
_QUIET_S = 1.0  # before progress is shown


class _Wanted(NamedTuple):
    """Which of the runs, and what of them.

    Attributes:
        query: its ``limit`` is one more than are listed, so that it shows whether there are more.
        columns: as they were asked for; none: what ``ls`` shows by itself.
        asked: the answer is that of ``steplog.runs``.
        whole: config and provenance are printed.
    """

    query: TableQuery
    columns: tuple[Field, ...]
    asked: bool
    is_ordered: bool
    trash: bool
    whole: bool


class _Found(NamedTuple):
    """The runs, in words where they are, and the time there.

    Attributes:
        more: there are more of them.
        places: the projects that were looked through.
    """

    runs: list[Listed]
    where: str
    now: datetime
    more: bool = False
    places: tuple[Place, ...] = ()


def _parse_place(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, str]:
    """Split ``NAMESPACE``, ``NAMESPACE/PROJECT`` or ``/PROJECT``. Raises click.BadParameter."""
    namespace, _, project = text.rstrip("/").partition("/")
    if "/" in project:
        raise click.BadParameter(f"{text!r} is no place: give NAMESPACE, NAMESPACE/PROJECT or /PROJECT.")
    return namespace, project


@click.command("ls")
@click.argument(
    "place", metavar="[NAMESPACE][/PROJECT]", required=False, default="", callback=_parse_place, is_eager=True
)
@click.option("-n", "--limit", type=click.IntRange(0), metavar="N", help=f"List N runs; 0: all. [default: {_LIMIT}]")
@click.option(
    "--where",
    metavar="FILTER",
    multiple=True,
    callback=conditions_of,
    shell_complete=complete_filter,
    help='List only runs of which this is true: "config.lr>0.01 and loss.last<0.3".',
)
@click.option(
    "--columns",
    metavar="FIELD,…",
    multiple=True,
    callback=columns_of,
    shell_complete=complete_columns,
    help="Print these of each run: status,config.lr,loss.min.",
)
@click.option(
    "--sort",
    metavar="[-]FIELD",
    callback=order_of,
    shell_complete=complete_columns,
    help='Begin with the least; with "-" before it, the greatest.',
)
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="List only runs with this tag, or these.")
@click.option(
    "--status",
    "statuses",
    type=click.Choice(_STATUSES, case_sensitive=False),
    multiple=True,
    help="List only runs of this status, or these.",
)
@click.option("--group", metavar="GROUP", help="List only runs of this group.")
@click.option("--trash", is_flag=True, help="List the runs in the trash.")
@click.option("--here", is_flag=True, help="List only what waits on this machine; ask no server.")
@printing.json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a line a run.")
def command(
    place: tuple[str, str],
    limit: int | None,
    where: tuple[Condition, ...],
    columns: tuple[Field, ...],
    sort: TableQuery,
    tags: tuple[str, ...],
    statuses: tuple[str, ...],
    group: str | None,
    trash: bool,
    here: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """List the runs on the server and those that wait on this machine.

    The latest come last. NAMESPACE defaults to the setting, or to the key's user.
    """
    if (here and trash) or (as_json and as_csv):
        raise click.UsageError(f"{'--here or --trash' if trash else '--json or --csv'}, not both.")
    conditions = (*where, *_conditions(tags, statuses, group))
    compared = [*(each.field for each in conditions), *([] if sort.sort is None else [sort.sort])]
    beside = tuple(dict.fromkeys(field for field in compared if field.kind != "run"))
    asked = bool(where or columns or sort.sort is not None or as_csv)
    if trash and any(field.kind == "metric" for field in (*compared, *columns)):
        raise click.UsageError("--trash has no metrics; take a run out of it first: steplog restore RUN.")
    if as_csv and not columns:
        columns = (*(Field("run", (name,)) for name in DEFAULT_FIELDS), *beside)
    read = beside if not columns else columns if _NAME in columns else (_NAME, *columns)
    query = TableQuery(conditions, read, sort.sort or _STARTED, sort.descending or sort.sort is None)
    if limit != 0:
        query = query._replace(limit=(limit or _LIMIT) + 1)
    wanted = _Wanted(query, columns, asked, sort.sort is not None, trash, as_json)
    if not asked:
        _list(place, wanted, here, as_json)
        return
    found, failed = _asked_for(place, wanted, here)
    if as_json:
        printing.print_json({"runs": [_as_json(each, columns) for each in found.runs]})
    elif as_csv:
        _write_csv(csv_lines(columns, found.runs, with_project=not place[1]))
    else:
        _write_table(found, wanted, with_project=not place[1])
    if found.more and limit is None:
        printing.note(f"these are {len(found.runs)} of more runs; -n 0 lists all")
    _note_unknown(found, query)
    if failed is not None:
        raise failed


def _asked_for(place: tuple[str, str], wanted: _Wanted, here: bool) -> tuple[_Found, Exception | None]:
    """The rows; where no server is configured and none runs, those that are here, and what is to be raised."""
    if here:
        return _here(*place, wanted), None
    try:
        return _runs(*place, wanted), None
    except steplog.ConfigurationError as error:
        if wanted.trash:
            raise
        return _here(*place, wanted), error


def _write_csv(lines: Iterator[str]) -> None:
    """In UTF-8 in any locale."""
    stdout = sys.stdout.buffer
    for line in lines:
        stdout.write(f"{line}\r\n".encode())
    stdout.flush()


def _write_table(found: _Found, wanted: _Wanted, *, with_project: bool) -> None:
    console = printing.console()
    if not found.runs:
        printing.write(console, _nothing(found))
        return
    table = _table(found, wanted, with_project=with_project)
    printing.write(console, table)
    asked = {printing.printable(field, None) for field in wanted.columns or wanted.query.columns}
    left_out = [name for name in table.left_out(console.width) if name in asked] if console.is_terminal else []
    if left_out:
        printing.note(f"no room for {', '.join(left_out)}; a wider terminal or --csv has them")


def _note_unknown(found: _Found, query: TableQuery) -> None:
    """Say which of the fields that nothing is listed of are no run's."""
    seen = {name for each in found.runs for name in each.row}
    fields = [field for field in query.fields if str(field) not in seen]
    fields += [] if found.runs else [each.field for each in query.conditions]
    servers = [place.server for place in found.places if place.server is not None]
    for line in unknown(fields, servers, found.where):
        printing.note(line)


def _conditions(tags: tuple[str, ...], statuses: tuple[str, ...], group: str | None) -> Iterator[Condition]:
    yield from (Condition(Field("run", ("tag",)), "=", tag) for tag in map(as_text, tags))
    if statuses:  # there is no "or" in a filter
        yield from (Condition(Field("run", ("status",)), "!=", each) for each in _STATUSES if each not in statuses)
    if group is not None:
        yield Condition(Field("run", ("group",)), "=", as_text(group))


def _list(place: tuple[str, str], wanted: _Wanted, here: bool, as_json: bool) -> None:
    """Print the runs on the server, unless ``here``, and below them what waits on this machine."""
    waiting = [] if wanted.trash else steplog.journals()
    found: _Found | None = None
    failed: Exception | None = None
    try:
        if not here:
            found = _runs(*place, wanted)
    except Exception as error:  # noqa: BLE001 - raised again; Ctrl-C prints nothing
        failed = error
    if as_json:
        remote = None if found is None else [_as_json(each, ()) for each in found.runs]
        printing.print_json({"runs": remote, "waiting": [_waiting_json(run) for run in waiting]})
    else:
        _print(found, wanted, waiting)
        if here and not waiting:
            click.echo("nothing waits on this machine")
    if failed is not None:
        raise failed


def _runs(namespace: str, project: str, wanted: _Wanted) -> _Found:
    """The runs on the server; where something was asked, also those that only this machine has."""
    from steplog.reading.runs import Place

    api = Api()
    namespace = namespace or api.default_namespace()
    where = printing.printable(f"{namespace}/{project}" if project else namespace)
    where = f"in {'the trash of ' if wanted.trash else ''}{where} on {api.base_url}"
    if wanted.trash:
        return _in_trash(api, namespace, project, wanted, where)
    try:
        slugs = [project] if project else api.projects(namespace)
    except ApiError:
        if namespace in api.projects(api.default_namespace()):
            message = f"{api.base_url} has no namespace {namespace}, but a project. Type: steplog ls /{namespace}"
            raise ApiError(message) from None
        raise
    if wanted.asked and not project:
        slugs += [slug for slug in _projects_here(namespace, api.client.settings.url) if slug not in slugs]
    places = tuple(Place(api.client, namespace, slug) for slug in slugs)
    found: list[tuple[Place, Row]] = []
    with api.translated(), _progress() as read:
        for place in places:
            try:
                found += ((place, row) for row in _rows(place, wanted, read))
            except steplog.ProjectNotFoundError:
                if project:
                    raise
        runs, more = _chosen(found, wanted)
    for place in places:
        api.note_date(None if place.server is None else place.server.date)
    return _Found(runs, where, api.now(), more, places)


def _here(namespace: str, project: str, wanted: _Wanted) -> _Found:
    """Those that only this machine has."""
    from steplog.reading.runs import Place, rows_at

    places = [Place(None, namespace, slug) for slug in ([project] if project else _projects_here(namespace, None))]
    runs, more = _chosen([(place, row) for place in places for row in rows_at(place, wanted.query)], wanted)
    return _Found(runs, "on this machine that no server has yet", datetime.now(timezone.utc), more)


def _projects_here(namespace: str, url: str | None) -> list[str]:
    """The projects of runs that no server has."""
    waiting = [run for run in steplog.journals() if not run.run and url in (None, run.url or url)]
    return list(dict.fromkeys(run.project for run in waiting if run.namespace in ("", namespace or run.namespace)))


def _rows(place: Place, wanted: _Wanted, read: Callable[[], None]) -> list[Row]:
    from steplog.reading.runs import not_found, rows_at

    if wanted.asked:
        return rows_at(place, wanted.query, read)
    found = None if place.server is None else place.server.rows(wanted.query, datetime.now(timezone.utc), read)
    if found is None:
        raise not_found(place)
    return found


def _chosen(found: list[tuple[Place, Row]], wanted: _Wanted) -> tuple[list[Listed], bool]:
    """The rows of all projects in one order, as many as are listed, and whether there are more."""
    from steplog.reading.rows import in_order
    from steplog.reading.runs import documents_at

    limit = wanted.query.limit
    rows = in_order((row for _, row in found), wanted.query)
    chosen, more = (rows, False) if limit is None else (rows[: limit - 1], len(rows) == limit)
    places = {row[UUID]: place for place, row in found}
    documents: dict[str, dict[str, Any]] = {}
    if not wanted.columns:
        for place in dict.fromkeys(places.values()):
            uuids = [row[UUID] for row in chosen if places[row[UUID]] == place]
            documents |= documents_at(place, uuids, brief=not wanted.whole)
    runs = []
    for row in chosen if wanted.is_ordered else reversed(chosen):
        data = documents.get(row[UUID])
        if wanted.columns or data is not None:  # else it is gone meanwhile
            runs.append(Listed(places[row[UUID]].namespace, places[row[UUID]].project, row, data))
    return runs, more


def _in_trash(api: Api, namespace: str, project: str, wanted: _Wanted, where: str) -> _Found:
    """By their JSON, which is all that there is of them."""
    from steplog.reading.rows import Candidate, chosen

    runs = {run.uuid: run for run in api.runs(namespace, project, trash=True)}
    latest = sorted(runs.values(), key=lambda run: run_times.sort_key(run.data), reverse=True)
    candidates = [Candidate(run.data, partial(_as_it_is, run.data)) for run in latest]
    rows = chosen(candidates, wanted.query, api.now())
    limit = wanted.query.limit
    more, rows = (False, rows) if limit is None else (len(rows) == limit, rows[: limit - 1])
    found = [Listed(namespace, runs[row[UUID]].project, row, runs[row[UUID]].data) for row in rows]
    return _Found(found if wanted.is_ordered else found[::-1], where, api.now(), more)


def _as_it_is(data: dict[str, Any], _kinds: set[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    return data, {}


def _as_json(each: Listed, columns: Sequence[Field]) -> dict[str, Any]:
    return json_row(each, columns) if each.data is None else {"namespace": each.namespace} | each.data


def _waiting_json(run: steplog.WaitingRun) -> dict[str, Any]:
    return dataclasses.asdict(run) | {"since": run.since.isoformat(), "path": str(run.path)}


def _print(found: _Found | None, wanted: _Wanted, waiting: list[steplog.WaitingRun]) -> None:
    console = printing.console()
    if found is not None:
        shown = _table(found, wanted, with_project=True) if found.runs else _nothing(found)
        printing.write(console, shown, *([""] if waiting else []))
    if not waiting:
        return
    columns = ("waiting here", "project", "to send", "size", "started", "id", "why")
    table, id_max = printing.table(*columns, right=columns[2:4], drop=_DROP_WAITING, cut="waiting here"), _id_max()
    for run in waiting:
        uuid = run.run or run.id
        name, started = run.name or short_id(uuid), printing.local_time(run.since.isoformat())
        why = "; ".join(filter(None, (run.why, _losses(run))))
        files = f" and {printing.plural(run.files, 'file')}" if run.files else ""
        numbers = (f"{run.pending:,}{files}", printing.size(run.size_bytes))
        printing.add_row(table, name, run.project, *numbers, started, short_id(uuid, run.key, id_max), why)
    printing.write(console, table)


def _nothing(found: _Found) -> Text:
    return printing.text(f"no runs {found.where}", characters_max=None)


def _table(found: _Found, wanted: _Wanted, *, with_project: bool) -> Table:
    """A row a run. Of the columns that nobody has asked for, one is there if a run has something for it."""
    if wanted.columns:
        return rows_table(wanted.columns, found.runs, with_project=with_project)
    rows = [_row(each, found.now, wanted, _id_max()) for each in found.runs]
    fields = [str(field) for field in wanted.query.columns]
    always = ("run", "project", "status", "started", "id", *fields)
    columns = [name for name in rows[0] if name in always or any(str(row[name]) for row in rows)]
    right = [name for name in fields if all(is_number(each.row.get(name, 0)) for each in found.runs)]
    table = printing.table(*columns, right=right, drop=(*_DROP, *fields[::-1]), cut="run", wrap=fields)
    for row in rows:
        printing.add_row(table, *(row[name] for name in columns))
    return table


def _row(each: Listed, now: datetime, wanted: _Wanted, id_max: int) -> dict[str, object]:
    data = each.data or {}
    tags, group, trash = data.get("tags"), data.get("group"), wanted.trash
    return {
        "run": data["name"],
        "project": each.project,
        "status": printing.status(data["status"] if trash else run_times.status(data, now)),
        **{str(field): shown(field, each.row.get(str(field))) for field in wanted.query.columns},
        "started": printing.local_time(run_times.began(data)),
        "duration": "" if trash else run_times.duration(data, now),
        "last point": "" if trash else run_times.last_point(data, now),
        "deleted": printing.local_time(data["deleted"]) if data.get("deleted") else "",
        "group": group or "",
        "tags": ", ".join(map(str, tags)) if isinstance(tags, list) else "",
        "id": short_id(str(data["uuid"]), str(data.get("id") or ""), id_max),
        "lost": printing.losses(data.get("report")),
    }


def _id_max() -> int:
    return _ID_MAX if printing.console().is_terminal else sys.maxsize


@contextmanager
def _progress() -> Iterator[Callable[[], None]]:
    """Count the runs that are read one by one, on a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    from rich.progress import Progress, TextColumn

    progress = Progress(TextColumn("{task.completed} runs read"), console=console, transient=True)
    task = progress.add_task("", total=None)

    begun = time.monotonic()

    def read() -> None:
        if time.monotonic() > begun + _QUIET_S:
            progress.start()
        progress.advance(task)

    try:
        yield read
    finally:
        progress.stop()


def _losses(run: steplog.WaitingRun) -> str:
    lost, at_risk = printing.losses(run, run.logged), run.at_risk
    kill = (
        ""
        if at_risk == 0
        else f"a kill would lose {'what is not on disk' if at_risk is None else f'up to {at_risk:,}'}"
    )
    return "; ".join(filter(None, (lost, kill)))
