"""``steplog clean``: remove delivered runs from this machine, or one run by name."""

from __future__ import annotations

import click

import steplog
from steplog.cli import printing

__all__ = ["command"]


@click.command("clean")
@click.argument("run", required=False)
@click.option("--yes", is_flag=True, help="Remove undelivered records without asking.")
def command(run: str | None, yes: bool) -> None:
    """Remove delivered runs from this machine.

    With RUN, an id, a uuid or a name: remove that run, delivered or not, unless a process still delivers it.
    """
    here = [waiting for waiting in steplog.journals() if waiting.other_host is None]
    if run is not None and not yes:
        pending = sum(waiting.pending for waiting in here if run in (waiting.id, waiting.run, waiting.name))
        if pending:
            records = f"{printing.plural(pending, 'record')} of {printing.printable(run)}"
            are, them = ("is", "it") if pending == 1 else ("are", "them")
            click.confirm(f"{records} {are} not delivered. Remove {them}?", abort=True)
    try:
        removed = steplog.clean(run)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for waiting in here:
        if waiting.id in removed:
            click.echo(_line(waiting))
    click.echo(f"{printing.plural(len(removed), 'run')} removed")


def _line(run: steplog.WaitingRun) -> str:
    """What was removed."""
    left = f"{printing.plural(run.pending, 'record')} not delivered" if run.pending else "delivered"
    parts = (left, printing.size(run.size_bytes), printing.losses(run, run.logged))
    return f"{printing.printable(run.name or run.id[:8])} ({run.id[:8]}): {'; '.join(filter(None, parts))}"
