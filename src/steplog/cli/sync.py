"""``steplog sync``: deliver what waits on this machine, with one line per run and a progress bar on terminals."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

import steplog
from steplog.cli import printing
from steplog.cli.completion import complete_journal

__all__ = ["command"]

_INTERRUPTED = 130


@click.command("sync")
@click.argument("run", required=False, shell_complete=complete_journal)
@click.option("--all", "everything", is_flag=True, help="All runs; the default without RUN.")
@click.option("--follow", is_flag=True, help="Wait, however long it takes, instead of giving a run up.")
@click.option("--recreate", is_flag=True, help="Make RUN on the server anew, which has lost it.")
@printing.json_option
@click.pass_context
def command(
    context: click.Context, run: str | None, everything: bool, follow: bool, recreate: bool, as_json: bool
) -> None:
    """Deliver the runs that wait on this machine.

    With RUN, an id, a uuid, the beginning of one, or a name: only that run. The oldest comes first. For a run that
    another process delivers, waits until what was written by then has arrived. Runs of other hosts on the same disk are
    skipped, unless RUN names one.

    Its files are delivered, too; one that was broken off goes on where it was. The exit code is 1 if something is left,
    or was lost before it came here; the last line says what.
    """
    if everything and run is not None:
        raise click.UsageError("RUN or --all, not both.")
    if recreate and run is None:
        raise click.UsageError("--recreate needs RUN.")
    done, bar = [], _ProgressBar()
    try:
        for synced in steplog.sync(run, follow=follow, recreate=recreate, progress=bar.show):
            done.append(synced)
            bar.clear()
            if not as_json:
                click.echo(_line(synced))
    except KeyboardInterrupt:
        bar.clear()
        click.echo("steplog: interrupted; what is not delivered is kept. Type: steplog sync", err=True)
        context.exit(_INTERRUPTED)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        printing.print_json([dataclasses.asdict(synced) for synced in done])
    elif not done:
        click.echo("nothing waits on this machine")
    lossy = [synced for synced in done if printing.losses(synced) or synced.files_lost]
    if len(done) > 1 and lossy and not as_json:
        click.echo(f"values or files of {printing.plural(len(lossy), 'run')} were lost: {', '.join(map(_name, lossy))}")
    if lossy or any(synced.pending or synced.files or synced.files_kept or synced.why for synced in done):
        context.exit(1)


class _ProgressBar:
    """Progress of one run; draws nothing if stderr is not a terminal. ``clear`` before printing a line."""

    def __init__(self, console: Console | None = None) -> None:
        if console is None:  # FORCE_COLOR makes no terminal of a file
            console = Console(stderr=True, highlight=False, force_terminal=None if sys.stderr.isatty() else False)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20))
        state = TextColumn("{task.fields[state]}", markup=False)
        self._progress = Progress(*columns, state, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", state="")

    def show(self, synced: steplog.Synced) -> None:
        """Draw the bar."""
        self._progress.start()
        total, files = synced.delivered + synced.pending, synced.files_delivered + synced.files
        state = f"{synced.delivered:,} of {total:,}"
        state += f", {synced.files_delivered:,} of {printing.plural(files, 'file')}" if files else ""
        state = f"{state}  {printing.printable(synced.why, 80)}".rstrip()
        done, of = (synced.delivered, total) if synced.pending or not files else (synced.files_delivered, files)
        shown: dict[str, Any] = {"description": _name(synced), "total": of, "completed": done}
        self._progress.update(self._task, **shown, state=state, refresh=True)

    def clear(self) -> None:
        """Remove the bar."""
        self._progress.stop()


def _name(synced: steplog.Synced) -> str:
    return printing.printable(synced.name or synced.id[:8])


def _line(synced: steplog.Synced) -> str:
    left = _counts(synced.pending, synced.files)
    why = printing.printable(synced.why)
    kept = f", {left} kept here: {why}" if synced.pending or synced.files else ""
    end = f"its end is kept here: {why}" if why and not kept else ""
    gone = "1 value that the server had confirmed is" if synced.gone == 1 else ""
    gone = gone or f"{synced.gone:,} values that the server had confirmed are"
    moved = f"its server keeps no files: they are in {printing.printable(synced.files_kept, None)}"
    parts = (
        f"{gone} not here any more" if synced.gone else "",
        moved if synced.files_kept else "",
        end,
        printing.losses(synced, synced.logged),
        f"{printing.plural(synced.files_lost, 'file')} lost" if synced.files_lost else "",
    )
    arrived = _counts(synced.delivered, synced.files_delivered)
    return "; ".join((f"{_name(synced)}: {arrived} delivered{kept}", *filter(None, parts)))


def _counts(records: int, files: int) -> str:
    """How many records, and files; of files alone just these."""
    if not files:
        return f"{records:,}"
    shown = printing.plural(files, "file")
    return f"{printing.plural(records, 'record')} and {shown}" if records else shown
