"""``steplog clean``: remove from this machine what is delivered, or a run by name."""

from __future__ import annotations

import click

import steplog
from steplog.cli import printing

__all__ = ["command"]


@click.command("clean")
@click.argument("run", required=False)
@click.option("--yes", is_flag=True, help="Do not ask before records that are not delivered are removed.")
def command(run: str | None, yes: bool) -> None:
    """Remove from this machine what is delivered; or the run with this id, uuid or name, whatever is in it."""
    if run is not None and not yes:
        here = [known for known in steplog.journals() if known.other_host is None]
        waiting = sum(known.pending for known in here if run in (known.id, known.run, known.name))
        if waiting:
            click.confirm(f"{waiting:,} records of {run} are not delivered. Remove them for good?", abort=True)
    try:
        removed = steplog.clean(run)
    except ValueError as error:
        raise steplog.ConfigurationError(str(error)) from error
    click.echo(f"{printing.number(len(removed), 'run')} removed")
