"""``steplog ls``: the runs on the server, and those that wait on this machine.

If the server does not answer, what waits here is printed anyway; the exit code is 1.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any, NamedTuple

import click

import steplog
from steplog.cli import printing, run_times
from steplog.cli.api import Api, ApiError, RemoteRun
from steplog.cli.table import Table

__all__ = ["command"]

_STATUSES = tuple(status.value for status in steplog.RunStatus)
_DROP = ("group", "tags", "duration", "last point", "project", "started", "deleted")
_DROP_WAITING = ("size", "id", "project", "started")


class _Wanted(NamedTuple):
    """Which of the runs."""

    limit: int
    tags: tuple[str, ...]
    statuses: tuple[str, ...]
    group: str | None
    trash: bool

    def has(self, run: RemoteRun) -> bool:
        """Whether it is one of them; the latest so many of these are listed."""
        tags, status, group = (run.data.get(name) for name in ("tags", "status", "group"))
        return (
            set(self.tags) <= set(map(str, tags if isinstance(tags, list) else ()))
            and (not self.statuses or status in self.statuses)
            and self.group in (None, group)
        )


class _Found(NamedTuple):
    """The runs, in words where they are, and the time there."""

    runs: list[RemoteRun]
    where: str
    now: datetime


def _parse_place(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, str]:
    """Split ``NAMESPACE``, ``NAMESPACE/PROJECT`` or ``/PROJECT``. Raises click.BadParameter."""
    namespace, _, project = text.rstrip("/").partition("/")
    if "/" in project:
        raise click.BadParameter(f"{text!r} is no place: give NAMESPACE, NAMESPACE/PROJECT or /PROJECT.")
    return namespace, project


@click.command("ls")
@click.argument("place", metavar="[NAMESPACE][/PROJECT]", required=False, default="", callback=_parse_place)
@click.option(
    "-n", "--limit", default=20, show_default=True, type=click.IntRange(1), metavar="N", help="List the latest N runs."
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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    place: tuple[str, str],
    limit: int,
    tags: tuple[str, ...],
    statuses: tuple[str, ...],
    group: str | None,
    trash: bool,
    here: bool,
    as_json: bool,
) -> None:
    """List the runs on the server and those that wait on this machine.

    The latest come last. NAMESPACE defaults to the setting, or to the key's user.
    """
    if here and trash:
        raise click.UsageError("--here or --trash, not both.")
    waiting = [] if trash else steplog.journals()
    found: _Found | None = None
    failed: Exception | None = None
    try:
        if not here:
            found = _runs(*place, _Wanted(limit, tags, statuses, group, trash))
    except Exception as error:  # noqa: BLE001 - raised again; Ctrl-C prints nothing
        failed = error
    if as_json:
        remote = None if found is None else [{"namespace": run.namespace} | run.data for run in found.runs]
        printing.print_json({"runs": remote, "waiting": [_json(run) for run in waiting]})
    else:
        _print(found, waiting, trash)
        if here and not waiting:
            click.echo("nothing waits on this machine")
    if failed is not None:
        raise failed


def _runs(namespace: str, project: str, wanted: _Wanted) -> _Found:
    api = Api()
    namespace = namespace or api.default_namespace()
    try:
        found = api.runs(namespace, project, trash=wanted.trash)
    except ApiError:
        if not project and namespace in api.projects(api.default_namespace()):
            message = f"{api.base_url} has no namespace {namespace}, but a project. Type: steplog ls /{namespace}"
            raise ApiError(message) from None
        raise
    runs = [run for run in found if wanted.has(run)]
    where = printing.printable(f"{namespace}/{project}" if project else namespace)
    latest = sorted(runs, key=lambda run: run_times.sort_key(run.data))[-wanted.limit :]
    return _Found(latest, f"{'the trash of ' if wanted.trash else ''}{where} on {api.base_url}", api.now())


def _json(run: steplog.WaitingRun) -> dict[str, Any]:
    return dataclasses.asdict(run) | {"since": run.since.isoformat(), "path": str(run.path)}


def _print(found: _Found | None, waiting: list[steplog.WaitingRun], trash: bool) -> None:
    console = printing.console()
    if found is not None:
        shown = _table(found, trash) if found.runs else printing.text(f"no runs in {found.where}", characters_max=None)
        printing.write(console, shown, *([""] if waiting else []))
    if not waiting:
        return
    columns = ("waiting here", "project", "to send", "size", "started", "id", "why")
    table = printing.table(*columns, right=("to send", "size"), drop=_DROP_WAITING, cut="waiting here")
    for run in waiting:
        name, started = run.name or run.id[:8], printing.local_time(run.since.isoformat())
        why = "; ".join(filter(None, (run.why, _losses(run))))
        numbers = (f"{run.pending:,}", printing.size(run.size_bytes))
        printing.add_row(table, name, run.project, *numbers, started, run.id[:8], why)
    printing.write(console, table)


def _table(found: _Found, trash: bool) -> Table:
    """A row a run. A column is there if one of the runs has something for it."""
    rows = [_row(run, found.now, trash) for run in found.runs]
    always = ("run", "project", "status", "started", "id")
    columns = [name for name in rows[0] if name in always or any(str(row[name]) for row in rows)]
    table = printing.table(*columns, drop=_DROP, cut="run")
    for row in rows:
        printing.add_row(table, *(row[name] for name in columns))
    return table


def _row(run: RemoteRun, now: datetime, trash: bool) -> dict[str, object]:
    data = run.data
    tags, group = data.get("tags"), data.get("group")
    return {
        "run": run.name,
        "project": run.project,
        "status": printing.status(data["status"] if trash else run_times.status(data, now)),
        "started": printing.local_time(run_times.began(data)),
        "duration": "" if trash else run_times.duration(data, now),
        "last point": "" if trash else run_times.last_point(data, now),
        "deleted": printing.local_time(data["deleted"]) if data.get("deleted") else "",
        "group": group or "",
        "tags": ", ".join(map(str, tags)) if isinstance(tags, list) else "",
        "id": data.get("id") or run.uuid[:8],
        "lost": printing.losses(data.get("report")),
    }


def _losses(run: steplog.WaitingRun) -> str:
    lost, at_risk = printing.losses(run, run.logged), run.at_risk
    kill = (
        ""
        if at_risk == 0
        else f"a kill would lose {'what is not on disk' if at_risk is None else f'up to {at_risk:,}'}"
    )
    return "; ".join(filter(None, (lost, kill)))
