"""``steplog show RUN``: a run's status, its config, and a row a metric with its curve in one line.

Summaries and curves come from the server's ``series/``; from a server without it they are made here, of all of the
run's metrics.
"""

from __future__ import annotations

import math
from typing import Any

import click

from steplog.cli.asking import Found, Server, parse_run

__all__ = ["command", "sparkline"]

_POINTS = 32
_BARS = "▁▂▃▄▅▆▇█"
_OURS = "steplog/"
_CONFIG = "steplog/config"
_EXCEPTION = "steplog/exception"
_VALUE_CHARACTERS = 28


@click.command("show")
@click.argument("run", callback=lambda _context, _parameter, text: text if parse_run(text) else "")
@click.option("--json", "in_json", is_flag=True, help="Print JSON.")
def command(run: str, in_json: bool) -> None:
    """Show a run: its status, its config, its metrics, and what it went down on.

    RUN is a name, a uuid or its beginning, [NAMESPACE/]PROJECT/RUN, or the run's web address.
    """
    from steplog.cli import printing

    server = Server()
    found = server.find(run)
    metrics = _series(server, found)
    config, exception = (_last(metrics, name) for name in (_CONFIG, _EXCEPTION))
    metrics = [metric for metric in metrics if not metric["name"].startswith(_OURS)]
    for metric in metrics:
        metric["curve"] = metric.get("curve") or _curve(server, found, metric)
    if in_json:
        told = {"config": config, "exception": exception, "metrics": metrics}
        printing.print_json({"namespace": found.namespace} | found.run | told)
        return
    _print(server, found, config, metrics)
    _print_exception(exception)


def _print(server: Server, found: Found, config: Any, metrics: list[dict[str, Any]]) -> None:
    from rich.text import Text

    from steplog.cli import printing

    shown, run = printing.console(), found.run
    printing.show(shown, Text.assemble((printing.plain(run["name"]), "bold"), "  ", printing.status(run["status"])))
    printing.show(shown, Text(f"{found.namespace}/{found.project}  {run['uuid']}  at {server.base_url}", "dim"))
    printing.show(shown, Text(f"started {printing.when(run['date_created'])}", "dim"))
    if config:
        pairs = config.items() if isinstance(config, dict) else [("config", config)]
        told = printing.table("config", "")
        for name, value in pairs:
            printing.row(told, name, printing.value(value))
        printing.show(shown, Text())
        printing.show(shown, told)
    listed = printing.table("metric", "count", "last", "min", "max", "curve", right=("count",))
    for metric in metrics:
        numbers = (printing.value(metric[key], _VALUE_CHARACTERS) for key in ("last", "min", "max"))
        bars = sparkline([bucket["last"] for bucket in metric["curve"]])
        printing.row(listed, metric["name"], f"{metric['count']:,}", *numbers, bars)
    printing.show(shown, Text())
    printing.show(shown, listed if metrics else Text("no metrics yet"))


def _print_exception(exception: Any) -> None:
    from rich.text import Text

    from steplog.cli import printing

    if isinstance(exception, dict):
        shown = printing.console()
        printing.show(shown, Text())
        lines = str(exception.get("traceback") or "").splitlines()
        ended = ": ".join(str(exception[part]) for part in ("type", "message") if exception.get(part))
        for line in (*lines, *([] if lines and lines[-1] == ended else [ended])):
            printing.show(shown, Text(printing.plain(line, 400)))


def sparkline(values: list[Any]) -> str:
    """Values as bars between their least and their greatest; what is no finite number is a blank."""
    numbers = [v if isinstance(v, (int, float)) and math.isfinite(v) else None for v in values]
    real = [number for number in numbers if number is not None]
    if not real:
        return ""
    low, high = min(real), max(real)
    # Halved, so that the range of two huge numbers is still finite.
    size = high / 2 - low / 2
    steps = len(_BARS) - 1
    return "".join(
        " " if number is None else _BARS[round((number / 2 - low / 2) / size * steps) if size > 0 else 0]
        for number in numbers
    )


def _at(found: Found, last: str) -> tuple[str, ...]:
    return (found.namespace, "projects", found.project, "runs", str(found.run["uuid"]), last)


def _series(server: Server, found: Found) -> list[dict[str, Any]]:
    series = server.ask(*_at(found, "series"))
    if series is None:
        return _summed_up(server.ask(*_at(found, "metrics")) or [])
    return list(series)


def _last(metrics: list[dict[str, Any]], name: str) -> Any:
    """The value of this name that was sent last."""
    return next((metric["last"] for metric in metrics if metric["name"] == name), None)


def _curve(server: Server, found: Found, metric: dict[str, Any]) -> list[dict[str, Any]]:
    if metric["min"] is None:
        return []
    return list(server.ask(*_at(found, "series"), name=metric["name"], points=_POINTS) or [])


def _summed_up(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What ``series/`` would say of these metrics."""
    names: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        names.setdefault(point["name"], []).append(point)
    return [_row(name, mine) for name, mine in names.items()]


def _row(name: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = [point["value"] for point in points if isinstance(point["value"], (int, float))]
    width = math.ceil(len(points) / _POINTS)
    ends = points[width - 1 :: width]
    return {
        "name": name,
        "count": len(points),
        "first_step": points[0]["step"],
        "last_step": points[-1]["step"],
        "last": points[-1]["value"],
        "min": min(numbers, default=None),
        "max": max(numbers, default=None),
        "curve": [{"step": point["step"], "last": point["value"]} for point in ends] if numbers else [],
    }
