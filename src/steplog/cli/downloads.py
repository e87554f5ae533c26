"""Files that a command downloads: a bar on a terminal, and what could not be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

import steplog
from steplog.cli import printing

__all__ = ["download", "file_json", "state_of"]

_Put = Callable[[steplog.RunFile, Callable[[int], None]], Path]


def download(files: Sequence[steplog.RunFile], put: _Put, where: str) -> bool:
    """Download each; whether all came. What did not is said on standard error, and the others come all the same."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn()
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    there = [file for file in files if file.present]
    failed, size = len(files) - len(there), sum(file.size for file in there)
    task = bar.add_task("", total=size)
    with bar:
        for file in there:
            bar.update(task, description=printing.printable(file.path, 40))
            try:
                put(file, lambda count: bar.advance(task, count))
            except (FileExistsError, steplog.RunFileNotFoundError, steplog.FormatError) as error:
                failed += 1
                size -= file.size
                printing.note(_words(file, error))
            except steplog.SteplogError:
                raise
            except OSError as error:  # of where they go to, not of where what is logged is kept
                words = f"{error.filename or where}: {error.strerror or error}; the same command goes on from there"
                raise click.ClickException(words) from error
    for file in files:
        if not file.present:
            printing.note(f"{file.path}: it has not arrived yet; the machine that logged it sends it: steplog sync")
    came = f"{printing.plural(len(files) - failed, 'file')} ({printing.size(size)}) in {where}"
    click.echo(printing.printable(came, None), err=True)
    return not failed


def _words(file: steplog.RunFile, error: Exception) -> str:
    if isinstance(error, FileExistsError):
        return f"{error.filename}: another file is there, which is left; to replace it: --replace"
    return f"{file.path}: {error}"


def file_json(file: steplog.RunFile) -> dict[str, object]:
    """A file, for ``--json``."""
    return {
        "path": file.path,
        "id": file.id,
        "size": file.size,
        "type": file.type,
        "sha256": file.sha256,
        "time": None if file.time is None else file.time.isoformat(),
        "state": state_of(file) or "there",
    }


def state_of(file: steplog.RunFile) -> str:
    """Where its content is, if not on the server."""
    return "waits on this machine" if file.waits else "" if file.present else "has not arrived yet"
