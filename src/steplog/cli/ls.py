"""``steplog ls``: the runs on the server, and those that have a journal on this machine.

What waits here is shown even where the server is away; then the exit code is that of its error.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

import steplog
from steplog.cli import printing
from steplog.cli.asking import Found, Server
from steplog.errors import SteplogError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["command"]

_RUNS = 20


@click.command("ls")
@click.argument("place", metavar="[NAMESPACE][/PROJECT]", required=False, default="")
@click.option("-n", "--limit", default=_RUNS, show_default=True, type=click.IntRange(1), help="The latest so many.")
@click.option("--here", is_flag=True, help="Only what waits on this machine; no server is asked.")
@click.option("--json", "in_json", is_flag=True, help="Print JSON.")
def command(place: str, limit: int, here: bool, in_json: bool) -> None:
    """List the runs on the server, the latest last, and those that wait on this machine.

    Without a namespace, those of the key's own user.
    """
    waiting = steplog.journals()
    runs: list[Found] = []
    where = ""
    error: SteplogError | None = None
    if not here:
        try:
            where, runs = _runs(place, limit)
        except SteplogError as raised:
            error = raised
    if in_json:
        told = None if here or error is not None else [{"namespace": found.namespace} | found.run for found in runs]
        printing.print_json({"runs": told, "waiting": [_told(run) for run in waiting]})
    else:
        _print(None if here or error is not None else runs, where, waiting)
        if here and not waiting:
            click.echo("nothing waits on this machine")
    if error is not None:
        raise error


def _runs(place: str, limit: int) -> tuple[str, list[Found]]:
    """Where they are, in words, and the latest runs there."""
    server = Server()
    namespace, _, project = place.strip("/").partition("/")
    namespace = namespace or server.namespace()
    projects = [project] if project else server.projects(namespace)
    runs = [run for each in projects for run in server.runs(namespace, each)]
    where = f"{namespace}/{project}" if project else namespace
    return f"{where} on {server.base_url}", sorted(runs, key=lambda found: str(found.run["date_created"]))[-limit:]


def _told(run: steplog.WaitingRun) -> dict[str, Any]:
    return dataclasses.asdict(run) | {"since": run.since.isoformat(), "path": str(run.path)}


def _print(runs: list[Found] | None, where: str, waiting: list[steplog.WaitingRun]) -> None:
    from rich.text import Text

    shown = printing.console()
    if runs is not None:
        printing.show(shown, _on_server(runs) if runs else Text(f"no runs in {printing.plain(where)}"))
        if waiting:
            printing.show(shown, Text())
    if waiting:
        printing.show(shown, _on_this_machine(waiting))


def _on_server(runs: list[Found]) -> Table:
    listed = printing.table("run", "project", "status", "started", "id")
    for found in runs:
        run = found.run
        started, short = printing.when(run["date_created"]), str(run["uuid"])[:8]
        printing.row(listed, run["name"], found.project, printing.status(run["status"]), started, short)
    return listed


def _on_this_machine(waiting: list[steplog.WaitingRun]) -> Table:
    columns = ("waiting here", "project", "to send", "size", "started", "id", "why")
    listed = printing.table(*columns, right=("to send", "size"))
    for run in waiting:
        counts = f"{run.pending:,}", printing.size(run.size_bytes)
        started = printing.when(run.since.isoformat())
        why = printing.plain(run.why, 400)
        printing.row(listed, run.name or run.id[:8], run.project, *counts, started, run.id[:8], why)
    return listed
