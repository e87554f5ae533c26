"""``steplog clean``: remove delivered runs from this machine, or one run by name."""

from __future__ import annotations

import click

import steplog
from steplog.cli import printing
from steplog.cli.completion import complete_journal
from steplog.cli.confirmation import confirm
from steplog.naming import choose_kept, short_id

__all__ = ["command"]


@click.command("clean")
@click.argument("run", required=False, shell_complete=complete_journal)
@click.option("--yes", is_flag=True, help="Remove undelivered records without asking.")
def command(run: str | None, yes: bool) -> None:
    """Remove delivered runs from this machine.

    With RUN, an id, a uuid, the beginning of one, or a name: remove that run, delivered or not. A run that a process
    delivers stays, and the exit code is 1.
    """
    here = [waiting for waiting in steplog.journals() if waiting.other_host is None]
    if run is not None and not yes:
        called = _called(here, run)
        pending, files = sum(waiting.pending for waiting in called), sum(waiting.files for waiting in called)
        if pending or files:
            what = f"{_what(pending, files)} of {printing.printable(run)}"
            are, them = ("is", "it") if pending + files == 1 else ("are", "them")
            confirm(f"{what} {are} not delivered. Remove {them}?", yes)
    try:
        removed = steplog.clean(run)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for waiting in here:
        if waiting.id in removed:
            click.echo(_line(waiting))
    click.echo(f"{printing.plural(len(removed), 'run')} removed")
    if run is not None and (kept := _kept(here, run, removed)):
        name = printing.printable(run)
        raise click.ClickException(
            f"{_id(kept[0])} of {name} stays: a process delivers it"
            if removed
            else f"{name} stays: a process delivers it"
        )


def _kept(here: list[steplog.WaitingRun], run: str, removed: list[str]) -> list[steplog.WaitingRun]:
    """Those called ``run`` that are still here, though they were to be removed."""
    still = {waiting.id for waiting in steplog.journals()} - set(removed)
    return [waiting for waiting in _called(here, run) if waiting.id in still]


def _called(here: list[steplog.WaitingRun], run: str) -> list[steplog.WaitingRun]:
    try:
        return choose_kept(run, here, lambda waiting: (waiting.id, waiting.run, waiting.name, waiting.key))
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _line(run: steplog.WaitingRun) -> str:
    """What was removed."""
    left = f"{_what(run.pending, run.files)} not delivered" if run.pending or run.files else "delivered"
    parts = (left, printing.size(run.size_bytes), printing.losses(run, run.logged))
    return f"{printing.printable(run.name or _id(run))} ({_id(run)}): {'; '.join(filter(None, parts))}"


def _id(run: steplog.WaitingRun) -> str:
    return short_id(run.run or run.id)


def _what(records: int, files: int) -> str:
    counts = (printing.plural(records, "record") if records else "", printing.plural(files, "file") if files else "")
    return " and ".join(filter(None, counts))
