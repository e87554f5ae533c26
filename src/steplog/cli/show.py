"""``steplog show RUN``: what a run is, its config, and a row with a curve for each metric; with names, charts.

Summaries and curves come from the server's ``series/``; for a stock server they are computed here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.text import Text
from slugify import slugify

from steplog.cli import printing, run_times
from steplog.cli.api import Api, RemoteRun, as_texts, check_run
from steplog.cli.chart import BUCKETS_PER_COLUMN, chart
from steplog.cli.completion import complete_metric, complete_run
from steplog.cli.metric_names import check_names
from steplog.cli.table import Table

__all__ = ["command", "sparkline"]

_POINTS_MAX = 32  # of a curve in the table
_WIDTH, _ROWS = 80, 9  # of a chart, if not on a terminal
_VALUE_CHARACTERS_MAX = 200
_BARS = "▁▂▃▄▅▆▇█"


class _Shown(NamedTuple):
    """What is shown of a run."""

    run: RemoteRun
    metrics: list[dict[str, Any]]
    config: Any
    exception: Any  # what ended it, or None
    lost: str
    address: str
    now: datetime


@click.command("show")
@click.argument("run", callback=check_run, shell_complete=complete_run)
@click.argument("names", metavar="[NAME]...", nargs=-1, callback=as_texts, shell_complete=complete_metric)
@click.option("--log", is_flag=True, help="Draw charts with a logarithmic axis of values.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: str, names: tuple[str, ...], log: bool, as_json: bool) -> None:
    """Show the status, config, metrics and exception of a run.

    RUN is a uuid, an id or a name, or the beginning of one, [NAMESPACE/]PROJECT/RUN, or the run's web address. With
    NAME, a metric, it draws that metric over its steps instead; with several, a chart for each.
    """
    if log and not names:
        raise click.UsageError("--log is for charts: give a metric, or several, after RUN.")
    api = Api()
    found = api.find(run)
    console = printing.console()
    width = console.width if console.is_terminal else _WIDTH
    metrics, own, config = _metrics(api, found, names, width * BUCKETS_PER_COLUMN if names else _POINTS_MAX)
    exception = own.get("steplog/exception", {})
    if as_json:
        told = {"config": config, "exception": exception.get("last"), "metrics": metrics}
        printing.print_json({"namespace": found.namespace} | found.data | told)
        return
    stored = sum(metric["count"] for metric in (*metrics, *own.values()))
    cause = exception.get("last") if run_times.is_cause(found.data, exception.get("last_time")) else None
    lost = printing.losses(found.data.get("report"), _logged(found.data.get("report"), stored))
    address = f"{api.base_url}/{found.namespace}/projects/{found.project}/runs/{slugify(found.name)}/"
    shown = _Shown(found, metrics, config, cause, lost, address, api.now())
    if names:
        _draw(console, shown, width, log)
    else:
        _print(console, shown)


def _metrics(
    api: Api, found: RemoteRun, names: tuple[str, ...], points_max: int
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]], Any]:
    """The metrics that are shown, with their curves; those under ``steplog/`` by name; and the config."""
    series = api.get(*found.path, "series")
    points = (api.get(*found.path, "metrics") or []) if series is None else []
    every = _summaries(points, points_max) if series is None else list(series)
    own = {metric["name"]: metric for metric in every if metric["name"].startswith("steplog/")}
    if "config" in found.data:
        config = found.data["config"]
    elif series is None:  # a stock server shows each
        config = _merged(points)
    else:  # a server of 0.1 the last value alone
        config = own["steplog/config"]["last"] if "steplog/config" in own else None
    if names:
        by_name = {metric["name"]: metric for metric in every}
        check_names(found.name, names, by_name)
        metrics = [by_name[name] for name in dict.fromkeys(names)]
    else:
        metrics = [metric for metric in every if metric["name"] not in own]
    for metric in metrics:
        if metric["min"] is not None and not metric.get("curve"):
            metric["curve"] = api.get(*found.path, "series", name=metric["name"], points=points_max)
        metric["curve"] = metric.get("curve") or []
    return metrics, own, config


def _title(shown: _Shown) -> tuple[Text, Text]:
    data = shown.run.data
    status = printing.status(run_times.status(data, shown.now))
    return Text.assemble(printing.text(data["name"], "bold"), "  ", status), printing.text(shown.address, "dim", 1000)


def _draw(console: Console, shown: _Shown, width: int, log: bool) -> None:
    """A chart for each metric."""
    printing.write(console, *_title(shown))
    for metric in shown.metrics:
        drawn = chart(metric["curve"], width, _ROWS, log=log, ascii_only=not printing.is_unicode(console))
        numbers = (
            f"{key} {printing.value(metric[key], 28)}" for key in ("last", "min", "max") if metric[key] is not None
        )
        facts = ", ".join((printing.plural(metric["count"], "point"), *numbers))
        heading = Text.assemble(printing.text(metric["name"], "bold"), "  ", printing.text(facts, "dim"))
        printing.write(console, "", heading)
        if drawn.lines:
            printing.write(console, *(Text.assemble((left, "dim"), (line, "cyan")) for left, line in drawn.lines))
        nothing = "" if drawn.lines else f"no number {'above 0 ' if log and metric['curve'] else ''}to draw"
        if nothing or drawn.omitted:
            printing.write(console, Text(nothing or f"not drawn: {drawn.omitted}", "dim"))


def _print(console: Console, shown: _Shown) -> None:
    data = shown.run.data
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
        bars = sparkline([bucket["last"] for bucket in metric["curve"]])
        printing.add_row(table, metric["name"], f"{metric['count']:,}", *numbers, bars)
    printing.write(console, "", table if shown.metrics else "no metrics yet")
    if isinstance(shown.exception, dict):
        told = shown.exception
        lines = str(told.get("traceback") or "").splitlines()
        summary = ": ".join(str(told[part]) for part in ("type", "message") if told.get(part))
        lines += [] if lines and lines[-1] == summary else [summary]
        printing.write(console, "", *(printing.text(line, characters_max=400) for line in lines))


def _about(shown: _Shown) -> Table:
    """What is known of the run, a row each."""
    run, data = shown.run, shown.run.data
    generation, tags = data.get("generation"), data.get("tags")
    resumed = generation - 1 if isinstance(generation, int) else 0
    began, ended = run_times.began(data), run_times.ended(data)
    rows = {
        "project": f"{run.namespace}/{run.project}",
        "uuid": run.uuid,
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


def _merged(points: list[dict[str, Any]]) -> dict[str, Any]:
    """The config that all metrics come to, in the order of their arrival."""
    config = dict[str, Any]()
    for point in points:
        match point:
            case {"name": "steplog/config", "value": dict(changed)}:
                config |= changed
            case {"name": "steplog/config/removed", "value": list(removed)}:
                config = {key: value for key, value in config.items() if key not in removed}
    return config


def _logged(report: Any, stored: int) -> int:
    """How many values there were: those on the server and those in the report; 0: not known."""
    if not isinstance(report, dict) or not isinstance(dropped := report.get("dropped"), dict):
        return 0
    others = [*dropped.values(), *(report.get(name) for name in ("abandoned", "lost", "rejected"))]
    return stored + sum(number for number in others if isinstance(number, int))


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


def _summaries(points: list[dict[str, Any]], points_max: int) -> list[dict[str, Any]]:
    """Compute what ``series/`` would answer."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        by_name.setdefault(point["name"], []).append(point)
    summaries = []
    for name, points in by_name.items():
        width = math.ceil(len(points) / points_max)
        steps = {"first_step": points[0]["step"], "last_step": points[-1]["step"]}
        steps["max_step"] = max(point["step"] for point in points)
        buckets = [_bucket(points[at : at + width]) for at in range(0, len(points), width)]
        whole = _bucket(points)
        values = {"last": points[-1]["value"], "min": whole["min"], "max": whole["max"]}
        curve = buckets if whole["min"] is not None else []
        summaries.append({"name": name, "count": len(points)} | steps | values | {"curve": curve})
    return summaries


def _bucket(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Points in one, as ``series/`` has it."""
    numbers = [point["value"] for point in points if isinstance(point["value"], (int, float))]
    lowest, highest = min(numbers, default=None), max(numbers, default=None)
    last = {"step": points[-1]["step"], "last": points[-1]["value"]}
    return last | {"min": lowest, "max": highest, "count": len(points)}
