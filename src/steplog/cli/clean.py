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
    if run is not None and not yes:
        here = [waiting for waiting in steplog.journals() if waiting.other_host is None]
        pending = sum(waiting.pending for waiting in here if run in (waiting.id, waiting.run, waiting.name))
        if pending:
            question = f"{pending:,} records of {printing.printable(run)} are not delivered. Remove them?"
            click.confirm(question, abort=True)
    try:
        removed = steplog.clean(run)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{printing.plural(len(removed), 'run')} removed")
