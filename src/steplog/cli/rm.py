"""``steplog rm``: move runs on the server to its trash, or remove them for good.

All runs are found before the first is removed. What waits on this machine is not touched: that is ``steplog clean``.
"""

from __future__ import annotations

import contextlib
import shlex

import click

import steplog
from steplog.cli import printing
from steplog.cli.api import Api, ApiError, RemoteRun, check_run
from steplog.cli.completion import complete_run
from steplog.cli.confirmation import confirm

__all__ = ["command"]

_RUNNING = "RUNNING"


def _check_runs(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(check_run(context, parameter, text) for text in texts)


@click.command("rm")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, callback=_check_runs, shell_complete=complete_run)
@click.option("--now", is_flag=True, help="Remove for good, without the trash; also what is in the trash.")
@click.option("--yes", is_flag=True, help="Remove without asking.")
def command(runs: tuple[str, ...], now: bool, yes: bool) -> None:
    """Move runs to the server's trash.

    For 24 hours, steplog restore takes them out again. RUN as for steplog show, but a name or an id is whole.
    """
    try:
        api = Api()
        found = {run.uuid: run for run in (_find(api, text, now) for text in runs)}
    except steplog.SteplogError as error:
        if here := [text for text in runs if _waits_here(text)]:
            text = here[0]
            raise ApiError(
                f"the run {text!r} is on no server: it waits on this machine. Type: steplog clean {shlex.quote(text)}"
            ) from error
        raise
    for run in found.values():
        if not run.data.get("deleted"):
            api.require("trash", run, "delete runs")
    confirm(_question(list(found.values()), now), yes)
    journals = steplog.journals()
    for run in found.values():
        api.delete(run, now)
        shown, number = _shown(run), run.uuid[:8]
        done = (
            "is removed for good" if now else f"is in the trash for 24 hours. To undo, type: steplog restore {number}"
        )
        click.echo(f"{shown} {done}")
        for waiting in journals:
            if waiting.run == run.uuid and (waiting.pending or waiting.files):
                files = f" and {printing.plural(waiting.files, 'file')}" if waiting.files else ""
                records = f"{printing.plural(waiting.pending, 'record')}{files} of it"
                click.echo(f"{records} are on this machine. To remove them, type: steplog clean {waiting.id}", err=True)


def _find(api: Api, text: str, now: bool) -> RemoteRun:
    try:
        return api.find(text, whole=True)
    except ApiError:
        if now:
            with contextlib.suppress(ApiError):
                return api.find(text, trash=True, whole=True)
        raise


def _waits_here(text: str) -> bool:
    """Whether a run of this name is on this machine alone."""
    return any(not waiting.run and text in (waiting.id, waiting.name) for waiting in steplog.journals())


def _question(runs: list[RemoteRun], now: bool) -> str:
    lines = [_shown(run) + (" is RUNNING" if run.data["status"] == _RUNNING else "") for run in runs]
    them = "it" if len(runs) == 1 else f"these {len(runs)} runs"
    asked = f"Remove {them} for good, with all that was logged?" if now else f"Move {them} to the trash?"
    return "\n".join([*lines, asked])


def _shown(run: RemoteRun) -> str:
    return f"{printing.printable(run.name)} ({printing.printable(run.project)}, {printing.printable(run.uuid[:8])})"
