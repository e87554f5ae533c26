"""``steplog export``: the metrics of runs as files, and with ``--here`` the records that are on this machine.

A file is written beside its place and renamed when it is whole. What is told of an export is on standard error.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import steplog
from steplog import SteplogError
from steplog.cli import printing
from steplog.cli.api import as_text, check_run
from steplog.cli.completion import complete_journal, complete_readable
from steplog.cli.fields import complete_filter, filter_of
from steplog.formats.run_writer import ByteSink
from steplog.reading.runs import Place, place_of
from steplog.records.dates import exact_date_of
from steplog.records.finite import finite
from steplog.transfer.exporter import DIRECTORIES, ENDINGS, WIDE, Exported, Exporter, Options, Target
from steplog.transfer.file_export import FilesDone
from steplog.transfer.whole_file import NamedFile, whole_file

__all__ = ["command"]

_STDOUT = "-"
_EXCEL_ROWS_MAX = 1024 * 1024
_NAMES = {ending: kind for kind, ending in ENDINGS.items() if ending} | {".ndjson": "jsonl", ".tfevents": "tfevents"}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return (complete_journal if context.params.get("here") else complete_readable)(context, parameter, incomplete)


def _check_runs(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(check_run(context, parameter, text) for text in texts)


@click.command("export")
@click.argument("runs", metavar="[RUN]...", nargs=-1, callback=_check_runs, shell_complete=_complete)
@click.option("--project", metavar="PROJECT", help="The runs of this project, also NAMESPACE/PROJECT.")
@click.option(
    "--where",
    metavar="FILTER",
    callback=filter_of,
    shell_complete=complete_filter,
    help="Those of them that a filter means.  [default: all]",
)
@click.option(
    "--format", "kind", type=click.Choice(list(ENDINGS)), help="The format.  [default: as FILE ends, else csv]"
)
@click.option("--output", metavar="FILE|DIR/", default=_STDOUT, help="Where to; a file for each run in a directory.")
@click.option("--name", "names", metavar="METRIC", multiple=True, help="Only this metric; may be repeated.")
@click.option("--wide", is_flag=True, help="A row a step and a column a metric: csv, parquet.")
@click.option("--excel", is_flag=True, help="For Excel to read: csv.")
@click.option("--no-files", is_flag=True, help="Without the files of the runs, which are put beside FILE or in DIR.")
@click.option("--here", is_flag=True, help="The records on this machine, with their state, as JSON lines.")
@click.pass_context
def command(
    context: click.Context,
    runs: tuple[str, ...],
    project: str | None,
    where: str | None,
    kind: str | None,
    output: str,
    names: tuple[str, ...],
    wide: bool,
    excel: bool,
    no_files: bool,
    here: bool,
) -> None:
    """Write runs to a file, or to a directory with a file for each, and their files.

    RUN is what show takes. A run that goes on is exported as it is at the start. A file is replaced when the new one is
    whole. Into a directory, an export that was stopped goes on with the runs that are missing or have changed.
    To standard output go no files.

    The exit code is 1 if something could not be exported; a line says what.
    """
    output = as_text(output)
    if here:
        if project or where or names or wide or excel or no_files or kind not in (None, "jsonl"):
            raise click.UsageError("--here takes RUN and --output alone, and writes JSON lines.")
        _export_here(runs, output)
        return
    options = _options(kind, output, names, wide, excel)._replace(files=not no_files)
    into_directory = output != _STDOUT and (
        output.endswith("/") or Path(output).is_dir() or options.kind in DIRECTORIES
    )
    _check_destination(options, output)
    targets = _targets(runs, project, where)
    with _Bar(output) as bar, _plain_errors():
        exporter = Exporter(targets, options, bar)
        several = len(targets) > 1 or not runs
        if into_directory:
            _into_directory(exporter, Path(output), output)
        elif output == _STDOUT:
            stdout = NamedFile(sys.stdout.buffer, "standard output")
            exporter.to_file(_Screen(stdout) if sys.stdout.isatty() else stdout, several=several)
            sys.stdout.buffer.flush()
        else:
            with whole_file(Path(output)) as file:
                exporter.to_file(file, several=several)
            if options.files and Path(output).is_file():
                exporter.files_beside(Path(output))
    _tell(exporter.done, options, output)
    if exporter.done.failed or exporter.done.files.damaged:
        context.exit(1)


def _options(kind: str | None, output: str, names: tuple[str, ...], wide: bool, excel: bool) -> Options:
    ending = Path(output).suffix.lower()
    if ending in _COMPRESSED:
        raise click.UsageError(f"nothing is compressed, as {ending} says; leave that out, or write to a pipe.")
    kind = kind or _NAMES.get(ending, "csv")
    if wide and kind not in WIDE:
        raise click.UsageError(f"--wide is for {' and '.join(WIDE)}, not {kind}.")
    if excel and kind != "csv":
        raise click.UsageError(f"--excel is for csv, not {kind}.")
    return Options(kind, tuple(dict.fromkeys(map(as_text, names))) or None, wide, excel)


def _check_destination(options: Options, output: str) -> None:
    if output == _STDOUT and options.kind in DIRECTORIES:
        raise click.UsageError(f"{options.kind} is a directory for each run; give --output DIR/.")
    if output == _STDOUT and options.kind == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is nothing for a terminal; give --output FILE.")


def _targets(runs: tuple[str, ...], project: str | None, where: str | None) -> list[Target]:
    """The runs that are asked for, each once: in the order in which they are typed, else as they started."""
    if runs and (project is not None or where is not None):
        raise click.UsageError("give runs, or --project and --where, not both.")
    if runs:
        return list({target.id: target for target in map(_opened, runs)}.values())
    if project is None and where is None:
        raise click.UsageError("which runs? give RUN, or --project, or --here for what waits on this machine.")
    place = place_of(project and as_text(project))
    table = steplog.runs(str(place), where, ["id", "name", "started"], client=place.client)
    rows = [dict(row, id=row["id"] or row["uuid"]) for row in table]
    rows.sort(key=lambda row: (row["started"] is None, row["started"], row["id"]))
    if not rows:
        meant = f" of {where}" if where else ""
        raise click.ClickException(f"{place} has no run{meant}. Type: steplog ls {place}")
    return [_Row(place, row["uuid"]).target(row["id"], row["name"] or "") for row in rows]


class _Row:
    """A run of a project, opened when it is its turn."""

    def __init__(self, place: Place, uuid: str) -> None:
        self._place, self._uuid = place, uuid
        self._run: steplog.ReadOnlyRun | None = None

    def target(self, run_id: str, name: str) -> Target:
        """As a target."""
        return Target(run_id, name, lambda: self._opened().source, lambda: self._opened().file_source)

    def _opened(self) -> steplog.ReadOnlyRun:
        if self._run is None:
            try:
                self._run = steplog.open(f"{self._place}/{self._uuid}", client=self._place.client)
            except steplog.RunNotFoundError:  # one that only this machine has is in no namespace yet
                self._run = steplog.open(self._uuid, client=self._place.client)
        return self._run


def _opened(text: str) -> Target:
    try:
        run = steplog.open(text)
    except SteplogError:
        raise
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    return Target(run.key or run.uuid, run.name, lambda: run.source, lambda: run.file_source)


def _into_directory(exporter: Exporter, path: Path, shown: str) -> None:
    try:
        exporter.to_directory(path)
    except BaseException:
        whole = exporter.done.runs + exporter.done.unchanged
        if whole:
            words = (
                f"{printing.plural(whole, 'run')} in {printing.printable(shown)}; the same command goes on from there"
            )
            click.echo(words, err=True)
        raise


def _tell(done: Exported, options: Options, output: str) -> None:
    """What was done, on standard error; of what was to go to standard output only what is not there."""
    for name, count in done.omitted:
        words = f"{printing.plural(count, 'key')} of the config of {name} are beyond what the server tells"
        click.echo(f"steplog: {printing.printable(words)}", err=True)
    for name, error in done.failed:
        click.echo(f"steplog: {printing.printable(name)}: {printing.printable(_words(error), 2000)}", err=True)
    for words in done.files.damaged:
        click.echo(f"steplog: {printing.printable(words, 2000)}", err=True)
    if output == _STDOUT:
        return
    what = f"{printing.plural(done.points, 'point')} of {printing.plural(done.runs, 'run')}"
    unchanged = f", {done.unchanged:,} unchanged" if done.unchanged else ""
    files = _files(done.files) if options.files else ""
    click.echo(f"{what} in {printing.printable(output)}{unchanged}{files}", err=True)
    if options.excel and not options.wide and done.points >= _EXCEL_ROWS_MAX:
        click.echo(f"steplog: Excel shows {_EXCEL_ROWS_MAX:,} rows of a file at most", err=True)


def _files(done: FilesDone) -> str:
    words = ""
    if done.files:
        words += f"; {printing.plural(done.files, 'file')} ({printing.size(done.bytes)})"
    if done.missing:
        are = "has" if done.missing == 1 else "have"
        words += f"; {done.missing:,} {are} not arrived yet: steplog sync where the run is logged, then the same again"
    if done.kept_nowhere and not done.files:
        words += f"; no files, {printing.printable(done.kept_nowhere)} keeps none"
    return words


def _words(error: Exception) -> str:
    if isinstance(error, FileExistsError):
        return (
            f"{error.filename} is not of an earlier export into this directory; remove it, or choose another directory"
        )
    return str(error)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Failures of files, which have nothing to do with where what is logged is kept."""
    try:
        yield
    except (SteplogError, BrokenPipeError):
        raise
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'files'}: {error.strerror or error}") from error


class _Screen:
    """Lines on a terminal, without what it would obey."""

    def __init__(self, sink: ByteSink) -> None:
        self._write = sink.write

    def write(self, data: bytes) -> None:
        """Lines, each whole."""
        *lines, rest = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
        shown = [f"{printing.printable(line, None)}\n" for line in lines]
        self._write("".join([*shown, printing.printable(rest, None)]).encode())


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


class _Bar:
    """A bar on standard error, if that is a terminal, and the points go to a file.

    What reads a pipe may print on the same terminal: ``| head``.
    """

    def __init__(self, output: str) -> None:
        console = Console(stderr=True)
        is_shown = console.is_terminal and (output != _STDOUT or _is_file(sys.stdout.fileno()))
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, console=console, transient=True, disable=not is_shown)
        self._task = self._bar.add_task("", visible=False)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, name: str, points: int) -> None:
        self._bar.reset(self._task, description=printing.printable(name, 40), total=points, visible=True)

    def advance(self, points: int) -> None:
        self._bar.advance(self._task, points)


def _export_here(runs: tuple[str, ...], output: str) -> None:
    try:
        found = [steplog.read_journal(run) for run in runs] or [steplog.read_journal()]
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    seen: set[str] = set()
    lines = (line for records in found for line in _as_lines(records, seen))
    if output == _STDOUT:
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        return
    count = 0
    with _plain_errors(), whole_file(Path(output)) as file:
        for line in lines:
            file.write(line)
            count += 1
    what = f"{printing.plural(count, 'record')} of {printing.plural(len(seen), 'run')}"
    click.echo(f"{what} in {printing.printable(output)}", err=True)


def _as_lines(records: Iterable[steplog.JournalRecord], seen: set[str]) -> Iterator[bytes]:
    """One JSON object a line, in ASCII; the ids of the runs are ``seen``."""
    for record in records:
        seen.add(record.id)
        fields: dict[str, Any] = {
            "run": record.run,
            "id": record.id,
            "writer": record.writer,
            "position": record.position,
            "name": record.name,
            "step": record.step,
            "value": finite(record.value),
            "time": exact_date_of(record.time_ns),
            "state": record.state,
        }
        if record.refusal:
            fields["refusal"] = record.refusal
        yield json.dumps(fields, allow_nan=False).encode() + b"\n"
