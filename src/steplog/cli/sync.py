"""``steplog sync``: deliver what waits on this machine, a line a run, and on a terminal how far it is."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import click

import steplog
from steplog.cli import printing

__all__ = ["command"]

_INTERRUPTED = 130


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
        with _shown() as progress:
            for synced in steplog.sync(run, follow=follow, progress=progress):
                done.append(synced)
                if not in_json:
                    click.echo(_line(synced))
    except KeyboardInterrupt:
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


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[steplog.Synced], None]]:
    """What draws a bar for the run that is being delivered; nothing where standard error is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    where = Console(stderr=True, highlight=False)
    if not where.is_terminal:
        yield lambda so_far: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[told]}", markup=False),
    )
    with Progress(*columns, console=where, transient=True) as bars:
        task = bars.add_task("", told="")

        def draw(so_far: steplog.Synced) -> None:
            total = so_far.delivered + so_far.pending
            told = f"{so_far.delivered:,} of {total:,}" + (f"  {printing.plain(so_far.why, 80)}" if so_far.why else "")
            name = printing.plain(so_far.name or so_far.id[:8])
            bars.update(task, description=name, total=total, completed=so_far.delivered, told=told)

        yield draw


def _line(synced: steplog.Synced) -> str:
    name = printing.plain(synced.name or synced.id[:8])
    if synced.pending:
        return f"{name}: {synced.delivered:,} delivered, {synced.pending:,} kept here: {printing.plain(synced.why)}"
    return f"{name}: {synced.delivered:,} delivered"
