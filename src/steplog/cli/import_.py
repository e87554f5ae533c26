"""``steplog import``: runs from the files of other loggers, and from those that ``export`` has written.

A line a run on standard output. What goes wrong with one path is a line on standard error, and the next one follows;
what goes wrong with the server ends it. A second call goes on where the first was stopped.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import steplog
from steplog.cli import printing
from steplog.cli.api import as_text
from steplog.formats.file_listing import is_listing
from steplog.formats.imported import ImportedArtifact, ImportedRun
from steplog.settings import check_directories, resolve
from steplog.transfer.importer import MAKER, Importer, Outcome
from steplog.transfer.sources import FORMATS, format_of, runs_in

__all__ = ["command"]

_INTERRUPTED = 130
_STDIN = "-"
_SHOWN_MAX = 5  # reasons, names


class _Wanted(NamedTuple):
    """What is to be made of each path."""

    kind: str | None
    name: str | None
    step_columns: tuple[str, ...]


@click.command("import")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), help="The format.  [default: by the path]")
@click.option("--project", metavar="PROJECT", help="Where to, also NAMESPACE/PROJECT.  [default: as the file says]")
@click.option("--name", metavar="NAME", help="The name of the run, if it is one.  [default: as the file says]")
@click.option(
    "--step-column", "step_columns", metavar="COLUMN", multiple=True, help="A column of a table that has the steps."
)
@click.option("--dry-run", is_flag=True, help="Read all, send nothing, and print what would be imported.")
@click.pass_context
def command(
    context: click.Context,
    paths: tuple[str, ...],
    kind: str | None,
    project: str | None,
    name: str | None,
    step_columns: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Import runs from files: of other loggers, and those that export has written.

    PATH is a file or a directory; - is JSON lines on standard input. Names, steps, times, config, tags and status are
    kept. What is on the server already is not sent again, so that a second import takes what is new.

    The exit code is 1 if something could not be imported; a line says what.
    """
    try:
        failed = _import_all(paths, kind, project, name, step_columns, dry_run)
    except KeyboardInterrupt:
        click.echo("steplog: interrupted. Type the same again: it goes on where it was", err=True)
        context.exit(_INTERRUPTED)
    if failed:
        context.exit(1)


def _import_all(
    paths: tuple[str, ...],
    kind: str | None,
    project: str | None,
    name: str | None,
    step_columns: tuple[str, ...],
    dry_run: bool,
) -> bool:
    """Import what is at each path; whether something could not be."""
    wanted = _Wanted(kind, None if name is None else as_text(name), tuple(map(as_text, step_columns)))
    failed = False
    with _spooled(paths) as given, _Bar() as bar:
        if not dry_run:
            check_directories(resolve())
        client = None if dry_run else steplog.get_default_client()
        importer = None
        if client is not None:
            importer = Importer(client, project and as_text(project), progress=bar.advance, waiting=bar.wait)
        if importer is not None:
            try:
                importer.check()
            except steplog.ServerUnavailableError as error:
                raise steplog.ServerUnavailableError(f"{error}. Type: steplog doctor") from None
        for path, shown in given:
            try:
                failed = _import(path, shown, wanted, importer, bar) or failed
            except steplog.ServerUnavailableError as error:
                words = f"{error}. Type the same again when it is back: it goes on where it was"
                raise steplog.ServerUnavailableError(words) from None
            except (steplog.InvalidAPIKeyError, BrokenPipeError):
                raise
            except (steplog.SteplogError, OSError) as error:
                failed = True
                bar.say(f"steplog: {_named_error(error, shown)}", err=True)
    return failed


@contextmanager
def _spooled(paths: Sequence[str]) -> Iterator[list[tuple[Path, str]]]:
    """The paths, with how they are called; standard input as a file, since it may be read twice."""
    if _STDIN not in paths:
        yield [(Path(path), path) for path in paths]
        return
    with tempfile.NamedTemporaryFile(prefix="steplog-", suffix=".jsonl") as file:
        while piece := sys.stdin.buffer.read(1 << 20):
            file.write(piece)
        file.flush()
        yield [(Path(file.name if path == _STDIN else path), path) for path in paths]


def _import(path: Path, shown: str, wanted: _Wanted, importer: Importer | None, bar: _Bar) -> bool:
    """Import what is at a path; whether something of it could not be."""
    options = {"step_columns": wanted.step_columns, "name": "stdin" if shown == _STDIN else ""}
    path.stat()  # OSError where there is nothing
    if is_listing(path):
        bar.say(f"{printing.printable(shown)}: goes with the table beside it", err=True)
        return False
    kind = wanted.kind or ("jsonl" if shown == _STDIN else format_of(path))
    failed, there_are = False, False
    for run in _named(runs_in(path, kind, **options), wanted.name):
        there_are = True
        bar.begin(run.info.name or run.info.id)
        if importer is None:
            bar.say(_would(run, wanted.name))
            continue
        try:
            outcome = importer.add(run, wanted.name)
        except steplog.FormatError as error:
            bar.say(f"steplog: {_words(error)}", err=True)
            failed = True
            continue
        bar.say(_line(outcome))
        for line in (*_left_out(outcome), *run.remarks()):
            bar.say(f"steplog: {printing.printable(outcome.name)}: {printing.printable(line, 500)}", err=True)
        failed = failed or bool(outcome.left_out or outcome.cut or outcome.files is None or outcome.files.left_out)
    if not there_are:
        bar.say(f"{printing.printable(shown)}: no runs", err=True)
    return failed


def _named(runs: Iterator[ImportedRun], name: str | None) -> Iterator[ImportedRun]:
    """Raises click.UsageError for a second run that is to have the name."""
    first = next(runs, None)
    if first is None:
        return
    second = next(runs, None) if name is not None else None
    if second is not None:
        raise click.UsageError(f"--name is for one run; there are more, such as {second.info.name!r}.")
    yield first
    yield from runs


def _would(run: ImportedRun, name: str | None) -> str:
    counts: Counter[str] = Counter()
    for stream in run.streams:
        for batch in stream.read():
            counts.update(batch.names)
    names = ", ".join(printing.printable(name, 40) for name in list(counts)[:_SHOWN_MAX])
    more = f" and {len(counts) - _SHOWN_MAX} more" if len(counts) > _SHOWN_MAX else ""
    info = run.info
    where = f" of {printing.printable(info.project)}" if info.project else ""
    records = f"{printing.plural(counts.total(), 'record')} of {names}{more}" if counts else "no records"
    files = sum(len(each.files) if isinstance(each, ImportedArtifact) else 1 for each in run.files())
    records += f", {printing.plural(files, 'file')}" if files else ""
    return f"{printing.printable(name or info.name or info.id)}{where}, {info.status}: {records}; id {info.id}"


def _line(outcome: Outcome) -> str:
    name = printing.printable(f"{outcome.place.project}/{outcome.name}", None)
    if outcome.is_other:
        whence = "from another source" if outcome.made_by.startswith(MAKER) else "logged by its own program"
        return f"{name}: is on this server already, {whence}; nothing is sent"
    words = f"{printing.plural(outcome.sent, 'record')} sent"
    if outcome.there:
        words += f", {outcome.there:,} already there"
    if outcome.files is not None and outcome.files.sent:
        words += f", {printing.plural(outcome.files.sent, 'file')} ({printing.size(outcome.files.bytes)})"
    wanted = outcome.info.name
    if outcome.name.startswith(f"{wanted}_") and outcome.name[len(wanted) + 1 :].isdecimal():  # else it was renamed
        words += f"; the name {printing.printable(wanted)} is another run's"
    return f"{name}: {words}"


def _left_out(outcome: Outcome) -> Iterator[str]:
    for reason, count in outcome.left_out.most_common(_SHOWN_MAX):
        yield f"left out: {printing.plural(count, 'record')} {reason}"
    if (more := len(outcome.left_out) - _SHOWN_MAX) > 0:
        yield f"left out: more records, for {more} other reasons"
    for what in outcome.cut:
        yield f"left out: {what}"
    if outcome.files is None:
        yield "left out: its files: the server keeps none"
    else:
        for reason, count in outcome.files.left_out.most_common(_SHOWN_MAX):
            yield f"left out: {printing.plural(count, 'file')} {reason}"
        if outcome.files.missing:
            yield f"{printing.plural(outcome.files.missing, 'file')} without a content, which the source does not have"


def _named_error(error: Exception, shown: str) -> str:
    """With the path that was given, where the error does not have it."""
    words, path = _words(error), printing.printable(shown)
    return words if path in words else f"{path}: {words}"


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, steplog.SteplogError) and error.filename is not None:
        return printing.printable(f"{error.filename}: {error.strerror}", 500)
    return printing.printable(str(error), 500)


class _Bar:
    """How far the present run has come; draws nothing if stderr is not a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        if console is None:  # FORCE_COLOR makes no terminal of a file
            console = Console(stderr=True, highlight=False, force_terminal=None if sys.stderr.isatty() else False)
        words = TextColumn("{task.description}", markup=False)
        count = TextColumn("{task.completed:,} records", markup=False)
        columns = (SpinnerColumn(), words, count, TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", total=None)
        self._reason = ""

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, name: str) -> None:
        """Another run."""
        self._progress.reset(self._task, description=printing.printable(name, 60), total=None)
        self._progress.start()

    def advance(self, records: int) -> None:
        """The run has come further."""
        self._progress.advance(self._task, records)

    def wait(self, reason: str) -> None:
        """Say once that the server is waited for."""
        if reason != self._reason:
            self._reason = reason
            line = f"steplog: {_words(Exception(reason))}; waiting"
            console = self._progress.console
            console.print(line, markup=False) if console.is_terminal else click.echo(line, err=True)

    def say(self, line: str, *, err: bool = False) -> None:
        """Print a line, without the bar."""
        self._progress.stop()
        click.echo(line, err=err)
