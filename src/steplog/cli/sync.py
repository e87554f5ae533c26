"""``steplog sync``: deliver what waits on this machine, a line a run, and on a terminal how far it is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

import steplog
from steplog.cli import printing

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["command"]

_INTERRUPTED = 130


@click.command("sync")
@click.argument("run", required=False)
@click.option("--all", "everything", is_flag=True, help="All that wait here; so it is without RUN, too.")
@click.option("--follow", is_flag=True, help="Wait for a server that is away.")
@click.option("--json", "in_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, run: str | None, everything: bool, follow: bool, in_json: bool) -> None:
    """Deliver the runs that wait on this machine, or the one with this id, uuid or name.

    A run that another process delivers is left to it. What another host has left on the same disk is taken only where
    RUN names it.
    """
    if everything and run is not None:
        raise click.UsageError("RUN or --all, not both")
    done, bar = [], _Bar()
    try:
        for synced in steplog.sync(run, follow=follow, progress=bar.draw):
            done.append(synced)
            bar.clear()
            if not in_json:
                click.echo(_line(synced))
    except KeyboardInterrupt:
        bar.clear()
        click.echo("steplog: interrupted; what is not delivered is kept. Type: steplog sync", err=True)
        ctx.exit(_INTERRUPTED)
    except ValueError as error:
        raise steplog.ConfigurationError(str(error)) from error
    if in_json:
        printing.print_json([dataclasses.asdict(synced) for synced in done])
    elif not done:
        click.echo("nothing waits on this machine")
    if any(synced.pending for synced in done):
        ctx.exit(1)


class _Bar:
    """How far a run is, on a terminal; ``clear`` before a line is printed. Nothing where standard error is none."""

    def __init__(self, where: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        where = where or Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20))
        told = TextColumn("{task.fields[told]}", markup=False)
        self._bars = Progress(*columns, told, console=where, transient=True, disable=not where.is_terminal)
        self._task = self._bars.add_task("", told="")

    def draw(self, so_far: steplog.Synced) -> None:
        """Show how far this run is."""
        self._bars.start()  # nothing, where it is there
        total = so_far.delivered + so_far.pending
        told = f"{so_far.delivered:,} of {total:,}" + (f"  {printing.plain(so_far.why, 80)}" if so_far.why else "")
        name = printing.plain(so_far.name or so_far.id[:8])
        self._bars.update(
            self._task, description=name, total=total, completed=so_far.delivered, told=told, refresh=True
        )

    def clear(self) -> None:
        """Take it off the terminal."""
        self._bars.stop()


def _line(synced: steplog.Synced) -> str:
    name = printing.plain(synced.name or synced.id[:8])
    if synced.pending:
        return f"{name}: {synced.delivered:,} delivered, {synced.pending:,} kept here: {printing.plain(synced.why)}"
    return f"{name}: {synced.delivered:,} delivered"
