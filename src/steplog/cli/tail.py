"""``steplog tail RUN``: the last points of a run's metrics, and with ``--follow`` those that come.

It ends when the run has ended, on Ctrl-C, and when nobody reads any more, also while it waits.
"""

from __future__ import annotations

import errno
import io
import json
import select
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console

import steplog
from steplog.cli import printing
from steplog.cli.api import as_texts, check_run
from steplog.cli.completion import complete_metric, complete_readable
from steplog.cli.following import NewPoints, Point, follow
from steplog.cli.metric_names import check_names
from steplog.reading.points import Selection, SeriesPoints
from steplog.records.dates import exact_date_of
from steplog.records.finite import finite

__all__ = ["command"]

_INTERRUPTED = 130
_NAME_MAX = 40  # columns of a name, on a terminal


@click.command("tail")
@click.argument("run", callback=check_run, shell_complete=complete_readable)
@click.argument("names", metavar="[NAME]...", nargs=-1, callback=as_texts, shell_complete=complete_metric)
@click.option(
    "-n",
    "--last",
    default=10,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Begin with the last N points of each metric.",
)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with new points until the run ends.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
@click.pass_context
def command(
    context: click.Context, run: str, names: tuple[str, ...], last: int, following: bool, as_json: bool
) -> None:
    """Print the last points of a run, and with -f those that come.

    A line has the time, the step, the metric and its value. NAME is a metric, or several; without it, all but those
    under system/ and steplog/.
    """
    try:
        _tail(_opened(run), names, last, following, as_json)
    except KeyboardInterrupt:
        context.exit(_INTERRUPTED)


def _opened(run: str) -> steplog.ReadOnlyRun:
    try:
        return steplog.open(run)
    except ValueError as error:  # several runs
        raise click.ClickException(str(error)) from error


class _Wherever:
    """A run where it is now: one that was on this machine alone may be on its server since. See ``RunSource``."""

    def __init__(self, run: steplog.ReadOnlyRun) -> None:
        self._run = run

    def document(self) -> dict[str, Any]:
        return self._run.source.document()

    def config(self) -> dict[str, Any]:
        return self._run.source.config()

    def series(self) -> list[dict[str, Any]]:
        self._run = self._now()
        return self._run.source.series()

    def points(self, selection: Selection) -> Iterator[SeriesPoints]:
        yield from self._run.source.points(selection)
        if self._now().url != self._run.url:  # its journal may have become shorter meanwhile
            raise steplog.ServerUnavailableError(f"the run {self._run.name!r} is on its way to its server")

    def _now(self) -> steplog.ReadOnlyRun:
        return steplog.open(self._run.uuid) if self._run.url is None else self._run


def _tail(run: steplog.ReadOnlyRun, names: tuple[str, ...], last: int, following: bool, as_json: bool) -> None:
    source, lines = _Wherever(run), _Lines(printing.console(), as_json)
    new = NewPoints(source, names, last)
    if following:
        status = follow(new, source, names, lines.print, _wait, _tell, lambda: datetime.now(timezone.utc))
        _tell(f"run {status}")
        return
    new.look()
    check_names(run.name, names, new.counts)
    for points in new.read():
        lines.print(points)
    if not lines.printed and last:
        click.echo("no points yet", err=True)


def _tell(words: str) -> None:
    click.echo(words, err=True)


def _wait(seconds: float) -> None:
    """Raises BrokenPipeError as soon as nobody reads standard output any more."""
    try:
        descriptor = sys.stdout.fileno()
    except (io.UnsupportedOperation, AttributeError):
        time.sleep(seconds)
        return
    poller = select.poll()
    poller.register(descriptor, 0)  # what went wrong is always told
    if poller.poll(seconds * 1000):
        raise BrokenPipeError(errno.EPIPE, "nobody reads")


class _Lines:
    """Points as lines: whole for a program, as wide as a terminal there."""

    def __init__(self, console: Console, as_json: bool) -> None:
        self._console = console
        self._as_json = as_json
        self._width = console.width if console.is_terminal else None
        self._styled = console.is_terminal and console.color_system is not None
        self._step_width = self._name_width = 1
        self.printed = 0

    def print(self, points: list[Point]) -> None:
        """Print them, and flush."""
        self.printed += len(points)
        if self._as_json:
            lines = [_json(point) for point in points]
        else:
            names = {point.name: _name(point.name, self._width) for point in points}
            self._name_width = max(self._name_width, *map(cell_len, names.values()))
            self._step_width = max(self._step_width, *(len(str(point.step)) for point in points))
            lines = [self._line(point, names[point.name]) for point in points]
        click.echo("\n".join(lines))

    def _line(self, point: Point, name: str) -> str:
        moment = "" if point.time_ns is None else f"{_local(point.time_ns)}  "
        padded = name + " " * (self._name_width - cell_len(name))
        step = f"{point.step:>{self._step_width}}  "
        value = printing.value(finite(point.value), None)
        if self._width is not None:
            room = max(1, self._width - cell_len(moment + step + padded) - 2)
            value = value if cell_len(value) <= room else f"{set_cell_size(value, room - 1)}…"
        if not self._styled:
            return f"{moment}{step}{padded}  {value}"
        return f"{click.style(moment, dim=True)}{step}{click.style(padded, fg='cyan')}  {value}"


def _name(name: str, width: int | None) -> str:
    return printing.printable(name, None if width is None else max(8, min(_NAME_MAX, width // 3)))


def _json(point: Point) -> str:
    """In ASCII, which needs no ``printable``."""
    moment = None if point.time_ns is None else exact_date_of(point.time_ns)
    return json.dumps({"name": point.name, "step": point.step, "time": moment, "value": finite(point.value)})


def _local(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    local = datetime.fromtimestamp(seconds, timezone.utc).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S}.{rest // 10**6:03}"
