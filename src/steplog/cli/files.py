"""``steplog files``: the files of a run, to list and to download."""

from __future__ import annotations

from pathlib import Path

import click

import steplog
from steplog import SteplogError
from steplog.cli import printing
from steplog.cli.api import as_text, check_run
from steplog.cli.completion import complete_file, complete_readable
from steplog.cli.downloads import download, file_json, state_of

__all__ = ["command"]


@click.command("files")
@click.argument("run", callback=check_run, shell_complete=complete_readable)
@click.argument("prefix", default="", shell_complete=complete_file)
@click.option("--logged", is_flag=True, help="The files of logged values, too.")
@click.option("--download", "folder", metavar="DIR", help="Write them below this directory.")
@click.option("--replace", is_flag=True, help="With --download: replace other files of the same names.")
@printing.json_option
@click.pass_context
def command(
    context: click.Context, run: str, prefix: str, logged: bool, folder: str | None, replace: bool, as_json: bool
) -> None:
    """List the files of a run, or download them.

    RUN is what show takes; PREFIX is how their paths begin. A download that was stopped goes on from where it was, and
    a file that is there already is not fetched. The exit code is 1 if one could not be downloaded, or if none begins
    with PREFIX; a line says why.
    """
    if replace and folder is None:
        raise click.UsageError("--replace is for --download.")
    opened = _opened(run)
    files = opened.files(as_text(prefix), logged=logged)
    none = printing.printable(f"no files{f' below {prefix}' if prefix else ''} of the run {opened.name}")
    if folder is not None and not files:
        if as_json:
            printing.print_json([])
        printing.note(none)
        context.exit(1 if prefix else 0)
    if folder is not None:
        root = Path(as_text(folder))
        whole = download(files, lambda file, arrived: file.put(root, replace=replace, arrived=arrived), str(root))
        if as_json:
            printing.print_json([file_json(file) for file in files])
        context.exit(0 if whole else 1)
    if as_json:
        printing.print_json([file_json(file) for file in files])
    elif files:
        _print(files)
    else:
        click.echo(none)


def _opened(text: str) -> steplog.ReadOnlyRun:
    try:
        return steplog.open(text)
    except SteplogError:
        raise
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _print(files: list[steplog.RunFile]) -> None:
    states = [state_of(file) for file in files]
    columns = ("path", "size", "time", *(["state"] if any(states) else []))
    table = printing.table(*columns, right=("size",), drop=("time",), cut="path")
    for file, state in zip(files, states, strict=True):
        time = "" if file.time is None else printing.local_time(file.time.isoformat())
        cells = (file.path, printing.size(file.size), time, state)
        printing.add_row(table, *cells[: len(columns)])
    printing.write(printing.console(), table)
