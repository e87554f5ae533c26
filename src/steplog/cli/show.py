"""``steplog show RUN``: what a run is, its config, and a row with a curve for each metric; with names, charts.

``shown_run`` says where all that comes from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from steplog.cli import printing, run_times
from steplog.cli.api import as_texts, check_run
from steplog.cli.chart import BUCKETS_PER_COLUMN, chart
from steplog.cli.completion import complete_metric, complete_readable
from steplog.cli.shown_run import ShownRun, read
from steplog.cli.table import Table

__all__ = ["command", "sparkline"]

_POINTS_MAX = 32  # of a curve, if no chart is drawn
_BARS_MAX = 24  # of a curve in the table, so that it stays in one line on a terminal
_WIDTH, _ROWS = 80, 9  # of a chart, if not on a terminal
_VALUE_CHARACTERS_MAX = 200
_TEXT_CHARACTERS_MAX = 4000  # of a last value
_TABLE_ROWS_MAX = 50
_BARS = "▁▂▃▄▅▆▇█"


@click.command("show")
@click.argument("run", callback=check_run, shell_complete=complete_readable)
@click.argument("names", metavar="[NAME]...", nargs=-1, callback=as_texts, shell_complete=complete_metric)
@click.option("--log", is_flag=True, help="Draw charts with a logarithmic axis of values.")
@printing.json_option
def command(run: str, names: tuple[str, ...], log: bool, as_json: bool) -> None:
    """Show the status, config, metrics and exception of a run.

    RUN is a uuid, an id or a name, or the beginning of one, [NAMESPACE/]PROJECT/RUN, or the run's web address. With
    NAME, a metric, it draws that metric over its steps instead; with several, a chart for each. Of a metric that has no
    numbers it prints the last value.
    """
    if log and not names:
        raise click.UsageError("--log is for charts: give a metric, or several, after RUN.")
    console = printing.console()
    width = console.width if console.is_terminal else _WIDTH
    shown = read(run, names, width * BUCKETS_PER_COLUMN if names else _POINTS_MAX)
    if as_json:
        told = {"config": shown.config, "exception": shown.exception, "metrics": shown.metrics}
        printing.print_json({"namespace": shown.namespace} | shown.data | told)
    elif names:
        _draw(console, shown, width, log)
    else:
        _print(console, shown)


def _title(shown: ShownRun) -> tuple[Text, Text]:
    data = shown.data
    status = printing.status(run_times.status(data, shown.now))
    return Text.assemble(printing.text(data["name"], "bold"), "  ", status), printing.text(shown.address, "dim", 1000)


def _draw(console: Console, shown: ShownRun, width: int, log: bool) -> None:
    """A chart for each metric."""
    printing.write(console, *_title(shown))
    for metric in shown.metrics:
        begins, ascii_only = metric["first_step"], not printing.is_unicode(console)
        drawn = chart(metric["curve"], width, _ROWS, begins=begins, log=log, ascii_only=ascii_only)
        is_below = not drawn.lines and not isinstance(metric["last"], (int, float, type(None)))
        keys = () if is_below else ("last", "min", "max")
        numbers = (f"{key} {printing.value(metric[key], 28)}" for key in keys if metric[key] is not None)
        facts = ", ".join((printing.plural(metric["count"], "point"), *numbers)) + (", the last:" if is_below else "")
        heading = Text.assemble(printing.text(metric["name"], "bold"), "  ", printing.text(facts, "dim"))
        printing.write(console, "", heading)
        if drawn.lines:
            printing.write(console, *(Text.assemble((left, "dim"), (line, "cyan")) for left, line in drawn.lines))
        elif is_below:
            _print_last(console, metric["last"])
            continue
        nothing = "" if drawn.lines else f"no number {'above 0 ' if log and metric['curve'] else ''}to draw"
        if nothing or drawn.omitted:
            printing.write(console, Text(nothing or f"not drawn: {drawn.omitted}", "dim"))


def _print_last(console: Console, last: Any) -> None:
    """The last value, in place of a chart: a table's first rows, an entry a row, or a text."""
    columns, rows = (last.get("columns"), last.get("data")) if isinstance(last, Mapping) else (None, None)
    if isinstance(columns, list) and isinstance(rows, list) and all(isinstance(row, list) for row in rows):
        table = printing.table(*map(printing.printable, columns))
        for row in rows[:_TABLE_ROWS_MAX]:
            cells = (row + [None] * len(columns))[: len(columns)]
            printing.add_row(table, *(printing.value(cell, _VALUE_CHARACTERS_MAX) for cell in cells))
        printing.write(console, table)
        if len(rows) > _TABLE_ROWS_MAX:
            printing.write(console, Text(f"{len(rows) - _TABLE_ROWS_MAX:,} rows more: --json", "dim"))
    elif isinstance(last, Mapping):
        table = printing.table("", "")
        for name, value in last.items():
            printing.add_row(table, name, printing.value(value, _VALUE_CHARACTERS_MAX))
        printing.write(console, table)
    else:
        lines = last if isinstance(last, str) else printing.value(last, None)
        printing.write(console, *_lines(lines[:_TEXT_CHARACTERS_MAX]))


def _print(console: Console, shown: ShownRun) -> None:
    data = shown.data
    printing.write(console, *_title(shown), "", _about(shown))
    if shown.lost:
        printing.write(console, "", printing.text(shown.lost, "red", 400))
    if unreadable := data.get("unreadable"):
        printing.write(console, "", printing.text(f"the server cannot read {unreadable:,} of its records", "red"))
    if notes := str(data.get("notes") or ""):
        printing.write(console, "", Text("notes", "dim"), *_lines(notes))
    _print_values(console, "config", shown.config)
    if omitted := data.get("config_omitted"):
        printing.write(console, printing.text(f"at least {omitted} more, in the metrics steplog/config", "dim"))
    _print_values(console, "provenance", data.get("provenance"))
    columns = ("metric", "count", "last", "min", "max", "curve")
    table = printing.table(*columns, right=("count",), drop=("curve", "min", "max", "count"), cut="metric")
    for metric in sorted(shown.metrics, key=lambda metric: metric["name"].startswith("system/")):
        numbers = (printing.value(metric[key], 28) for key in ("last", "min", "max"))
        bars = sparkline(_thinned([bucket["last"] for bucket in metric["curve"]]))
        printing.add_row(table, metric["name"], f"{metric['count']:,}", *numbers, bars)
    printing.write(console, "", table if shown.metrics else "no metrics yet")
    if isinstance(shown.cause, dict):
        told = shown.cause
        lines = str(told.get("traceback") or "").splitlines()
        summary = ": ".join(str(told[part]) for part in ("type", "message") if told.get(part))
        lines += [] if lines and lines[-1] == summary else [summary]
        printing.write(console, "", *(printing.text(line, characters_max=400) for line in lines))


def _about(shown: ShownRun) -> Table:
    """What is known of the run, a row each."""
    data = shown.data
    generation, tags = data.get("generation"), data.get("tags")
    resumed = generation - 1 if isinstance(generation, int) else 0
    began, ended = run_times.began(data), run_times.ended(data)
    rows = {
        "project": "/".join(filter(None, (shown.namespace, shown.project))),
        "uuid": data["uuid"],
        "id": data.get("id"),
        "started": printing.local_time(began) if began else "",
        "ended": printing.local_time(ended) if ended else "",
        "duration": run_times.duration(data, shown.now),
        "last point": run_times.last_point(data, shown.now) or printing.local_time(data.get("last_point") or ""),
        "resumed": {0: "", 1: "once", 2: "twice"}.get(resumed, f"{resumed} times"),
        "group": data.get("group"),
        "job type": data.get("job_type"),
        "tags": ", ".join(map(str, tags)) if isinstance(tags, list) else "",
        "description": data.get("description"),
    }
    table = printing.table("", "")
    for name, words in rows.items():
        if words:
            printing.add_row(table, Text(name, "dim"), words)
    return table


def _lines(text: str) -> Iterator[Text]:
    for line in text.splitlines():
        yield Text(f"  {printing.printable(line, None)}")


def _print_values(console: Console, title: str, values: Any) -> None:
    """A table of names and values, if there are any."""
    if not values:
        return
    table = printing.table(title, "")
    for name, value in values.items() if isinstance(values, Mapping) else [(title, values)]:
        printing.add_row(table, name, printing.value(value, _VALUE_CHARACTERS_MAX if console.is_terminal else None))
    printing.write(console, "", table)


def _thinned(values: list[Any]) -> list[Any]:
    """The last of each of ``_BARS_MAX`` parts, which differ in length by one at most."""
    count = len(values)
    if count <= _BARS_MAX:
        return values
    return [values[(part + 1) * count // _BARS_MAX - 1] for part in range(_BARS_MAX)]


def sparkline(values: list[Any]) -> str:
    """Draw values as bars between their minimum and maximum; blank: not a finite number."""
    numbers = [value if isinstance(value, (int, float)) and math.isfinite(value) else None for value in values]
    finite = [number for number in numbers if number is not None]
    if not finite:
        return ""
    low, height = min(finite) / 2, max(finite) / 2 - min(finite) / 2  # halved, or the range of huge numbers overflows
    steps = len(_BARS) - 1
    return "".join(
        " " if number is None else _BARS[round((number / 2 - low) / height * steps) if height > 0 else 0]
        for number in numbers
    )
