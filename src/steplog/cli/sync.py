"""``steplog sync``: deliver what waits on this machine, a line a run."""

from __future__ import annotations

import dataclasses

import click

import steplog
from steplog.cli import printing

__all__ = ["command"]


@click.command("sync")
@click.argument("run", required=False)
@click.option("--follow", is_flag=True, help="Wait for a server that is away.")
@click.option("--json", "in_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, run: str | None, follow: bool, in_json: bool) -> None:
    """Deliver the runs that wait on this machine, or the one with this id, uuid or name.

    A run that another process delivers is left to it.
    """
    done = []
    try:
        for synced in steplog.sync(run, follow=follow):
            done.append(synced)
            if not in_json:
                click.echo(_line(synced))
    except ValueError as error:
        raise steplog.ConfigurationError(str(error)) from error
    if in_json:
        printing.print_json([dataclasses.asdict(synced) for synced in done])
    elif not done:
        click.echo("nothing waits on this machine")
    if any(synced.pending for synced in done):
        ctx.exit(1)


def _line(synced: steplog.Synced) -> str:
    name = printing.plain(synced.name or synced.id[:8])
    if synced.pending:
        return f"{name}: {synced.delivered:,} delivered, {synced.pending:,} kept here: {printing.plain(synced.why)}"
    return f"{name}: {synced.delivered:,} delivered"
