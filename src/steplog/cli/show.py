"""``steplog show RUN``: status, config, and a row with a curve for each metric.

Summaries and curves come from the server's ``series/``; for a stock server they are computed here.
"""

from __future__ import annotations

import math
from typing import Any

import click
from rich.text import Text

from steplog.cli import printing
from steplog.cli.api import Api, RemoteRun, parse_run
from steplog.settings import check_directories, resolve

__all__ = ["command", "sparkline"]

_POINTS_MAX = 32
_BARS = "▁▂▃▄▅▆▇█"


@click.command("show")
@click.argument("run", callback=parse_run)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: list[str], as_json: bool) -> None:
    """Show the status, config, metrics and exception of a run.

    RUN is a name, a uuid or its first characters, [NAMESPACE/]PROJECT/RUN, or the run's web address.
    """
    check_directories(resolve())
    api = Api()
    found = api.find(run)
    path = (found.namespace, "projects", found.project, "runs", str(found.data["uuid"]))
    series = api.get(*path, "series")
    metrics = _summaries(api.get(*path, "metrics") or []) if series is None else list(series)
    stored = sum(metric["count"] for metric in metrics)
    own = {metric["name"]: metric["last"] for metric in metrics if metric["name"].startswith("steplog/")}
    config, exception = own.get("steplog/config"), own.get("steplog/exception")
    metrics = [metric for metric in metrics if metric["name"] not in own]
    for metric in metrics:
        if metric["min"] is not None and not metric.get("curve"):
            metric["curve"] = api.get(*path, "series", name=metric["name"], points=_POINTS_MAX)
        metric["curve"] = metric.get("curve") or []
    if as_json:
        shown = {"config": config, "exception": exception, "metrics": metrics}
        printing.print_json({"namespace": found.namespace} | found.data | shown)
    else:
        lost = printing.losses(found.data.get("report"), _logged(found.data.get("report"), stored))
        _print(api.base_url, found, lost, config, metrics, exception)


def _print(
    base_url: str, run: RemoteRun, lost: str, config: Any, metrics: list[dict[str, Any]], exception: Any
) -> None:
    console, data = printing.console(), run.data
    title = Text.assemble(printing.text(data["name"], "bold"), "  ", printing.status(data["status"]))
    place = printing.text(f"{run.namespace}/{run.project}  {data['uuid']}  at {base_url}", "dim", 400)
    printing.write(console, title, place, printing.text(f"started {printing.local_time(data['date_created'])}", "dim"))
    if lost:
        printing.write(console, printing.text(lost, "red", 400))
    if config:
        table = printing.table("config", "")
        for name, value in config.items() if isinstance(config, dict) else [("config", config)]:
            printing.add_row(table, name, printing.value(value))
        printing.write(console, "", table)
    table = printing.table("metric", "count", "last", "min", "max", "curve", right=("count",))
    for metric in metrics:
        numbers = (printing.value(metric[key], 28) for key in ("last", "min", "max"))
        bars = sparkline([bucket["last"] for bucket in metric["curve"]])
        printing.add_row(table, metric["name"], f"{metric['count']:,}", *numbers, bars)
    printing.write(console, "", table if metrics else "no metrics yet")
    if isinstance(exception, dict):
        lines = str(exception.get("traceback") or "").splitlines()
        summary = ": ".join(str(exception[part]) for part in ("type", "message") if exception.get(part))
        lines += [] if lines and lines[-1] == summary else [summary]
        printing.write(console, "", *(printing.text(line, characters_max=400) for line in lines))


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


def _summaries(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compute what ``series/`` would answer."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        by_name.setdefault(point["name"], []).append(point)
    summaries = []
    for name, points in by_name.items():
        numbers = [point["value"] for point in points if isinstance(point["value"], (int, float))]
        width = math.ceil(len(points) / _POINTS_MAX)
        steps = {"first_step": points[0]["step"], "last_step": points[-1]["step"]}
        steps["max_step"] = max(point["step"] for point in points)
        values = {"last": points[-1]["value"], "min": min(numbers, default=None), "max": max(numbers, default=None)}
        curve = [{"step": p["step"], "last": p["value"]} for p in points[width - 1 :: width]] if numbers else []
        summaries.append({"name": name, "count": len(points)} | steps | values | {"curve": curve})
    return summaries
