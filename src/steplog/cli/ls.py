"""``steplog ls``: the runs on the server, and those that wait on this machine.

If the server does not answer, what waits here is printed anyway; the exit code is 1.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import click

import steplog
from steplog.cli import printing
from steplog.cli.api import Api, RemoteRun

__all__ = ["command"]


@click.command("ls")
@click.argument("place", metavar="[NAMESPACE][/PROJECT]", required=False, default="")
@click.option(
    "-n", "--limit", default=20, show_default=True, type=click.IntRange(1), metavar="N", help="List the latest N runs."
)
@click.option("--here", is_flag=True, help="List only what waits on this machine; ask no server.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(place: str, limit: int, here: bool, as_json: bool) -> None:
    """List the runs on the server and those that wait on this machine.

    The latest come last. NAMESPACE defaults to the setting, or to the key's user.
    """
    waiting = steplog.journals()
    runs: list[RemoteRun] | None = None
    where = ""
    failed: Exception | None = None
    try:
        if not here:
            where, runs = _runs(place, limit)
    except Exception as error:  # noqa: BLE001 - raised again; Ctrl-C prints nothing
        failed = error
    if as_json:
        remote = None if runs is None else [{"namespace": run.namespace} | run.data for run in runs]
        printing.print_json({"runs": remote, "waiting": [_json(run) for run in waiting]})
    else:
        _print(runs, where, waiting)
        if here and not waiting:
            click.echo("nothing waits on this machine")
    if failed is not None:
        raise failed


def _runs(place: str, limit: int) -> tuple[str, list[RemoteRun]]:
    """Return where the runs are, in words, and the latest of them."""
    api = Api()
    namespace, _, project = place.strip("/").partition("/")
    namespace = namespace or api.default_namespace()
    runs = api.runs(namespace, project)
    where = f"{namespace}/{project}" if project else namespace
    return f"{where} on {api.base_url}", sorted(runs, key=lambda run: str(run.data["date_created"]))[-limit:]


def _json(run: steplog.WaitingRun) -> dict[str, Any]:
    return dataclasses.asdict(run) | {"since": run.since.isoformat(), "path": str(run.path)}


def _print(runs: list[RemoteRun] | None, where: str, waiting: list[steplog.WaitingRun]) -> None:
    console = printing.console()
    if runs is not None:
        some_lost = any(printing.losses(remote.data.get("report")) for remote in runs)
        table = printing.table("run", "project", "status", "started", "id", *(["lost"] if some_lost else []))
        for remote in runs:
            data = remote.data
            status, started = printing.status(data["status"]), printing.local_time(data["date_created"])
            lost = [printing.losses(data.get("report"))] if some_lost else []
            printing.add_row(table, data["name"], remote.project, status, started, str(data["uuid"])[:8], *lost)
        printing.write(console, table if runs else printing.text(f"no runs in {where}"), *([""] if waiting else []))
    if not waiting:
        return
    columns = ("waiting here", "project", "to send", "size", "started", "id", "why")
    table = printing.table(*columns, right=("to send", "size"))
    for run in waiting:
        name, started = run.name or run.id[:8], printing.local_time(run.since.isoformat())
        words = "; ".join(filter(None, (run.why, _losses(run))))
        numbers, why = (f"{run.pending:,}", printing.size(run.size_bytes)), printing.text(words, characters_max=400)
        printing.add_row(table, name, run.project, *numbers, started, run.id[:8], why)
    printing.write(console, table)


def _losses(run: steplog.WaitingRun) -> str:
    lost, at_risk = printing.losses(run, run.logged), run.at_risk
    kill = (
        ""
        if at_risk == 0
        else f"a kill would lose {'what is not on disk' if at_risk is None else f'up to {at_risk:,}'}"
    )
    return "; ".join(filter(None, (lost, kill)))
