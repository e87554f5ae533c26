"""Metrics of OpenTelemetry's own SDK arrive in a run, series by series, the last export before the end included."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import steplog

pytest.importorskip("opentelemetry.sdk", reason="needs OpenTelemetry: pip install 'steplog[frameworks]'")

from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from steplog.integrations.opentelemetry import SteplogMetricExporter

PYPROJECT = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "QUIET": "1"}.items():
        monkeypatch.setenv(f"STEPLOG_{name}", value)


class Metrics:
    """An SDK whose metrics are exported when the test says so."""

    def __init__(self, exporter: SteplogMetricExporter, *views: View, **resource: str) -> None:
        self._reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        made = Resource.create({"service.name": "shop", **resource})
        self.provider = MeterProvider([self._reader], resource=made, views=views, shutdown_on_exit=False)
        self.meter = self.provider.get_meter("tests")

    def export(self) -> None:
        self._reader.collect()


def values(run: steplog.Run) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for row in steplog.open(str(run.uuid)).history(form="long"):
        found.setdefault(row["name"], []).append(row["value"] if row["json"] is None else row["json"])
    return found


def test_sums_gauges_and_histograms_are_series_named_by_their_attributes():
    with steplog.init(project="shop") as run:
        metrics = Metrics(SteplogMetricExporter())
        requests = metrics.meter.create_counter("requests")
        latency = metrics.meter.create_histogram("latency", explicit_bucket_boundaries_advisory=[1.0, 2.0])
        metrics.meter.create_observable_gauge("depth", [lambda options: [Observation(7)]])
        requests.add(2, {"status": 200, "method": "GET"})
        for taken in (0.5, 1.5, 1.75, 9.0):
            latency.record(taken)
        metrics.export()
        requests.add(3, {"method": "GET", "status": 200})
        metrics.export()
        metrics.provider.shutdown()
    assert run.config == {}
    found = values(run)
    assert found["requests{method=GET,status=200}"] == [2, 5]
    assert found["depth"] == [7, 7]
    assert [found[f"latency/{part}"][0] for part in ("count", "sum", "min", "max")] == [4, 12.75, 0.5, 9.0]
    assert found["latency/buckets"][0] == {"_type": "histogram", "values": [1, 2, 1], "bins": [0.5, 1.0, 2.0, 9.0]}


def test_a_histogram_of_exponential_buckets_has_its_four_numbers():
    with steplog.init(project="shop") as run:
        aggregation = ExponentialBucketHistogramAggregation()
        metrics = Metrics(SteplogMetricExporter(), View(instrument_name="latency", aggregation=aggregation))
        metrics.meter.create_histogram("latency").record(3.0)
        metrics.export()
    names = {name for name in values(run) if not name.startswith("steplog/")}
    assert names == {"latency/count", "latency/sum", "latency/min", "latency/max"}


def test_an_exporter_of_no_run_begins_one_and_ends_it(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    exporter = SteplogMetricExporter(name="pod 1")
    run = steplog.get_active_run()
    metrics = Metrics(exporter, region="eu")
    metrics.meter.create_counter("requests").add(1)
    metrics.export()
    assert exporter.force_flush(0) is False, "offline: nothing is delivered"
    metrics.provider.shutdown()
    assert (run.project.display_name, run.name, run.status.value) == ("shop", "pod 1", "COMPLETED")
    kept = steplog.open(str(run.uuid))
    assert (kept.config["service.name"], kept.config["region"]) == ("shop", "eu")
    assert values(run)["requests"] == [1]


def test_the_project_of_steplogs_variable_comes_before_the_service(monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("STEPLOG_PROJECT", "mine")
    exporter = SteplogMetricExporter()
    assert steplog.get_active_run().project.display_name == "mine"
    exporter.shutdown()


def test_a_run_that_is_over_is_a_failed_export_and_no_exception():
    with steplog.init(project="shop") as run:
        metrics = Metrics(exporter := SteplogMetricExporter(run))
        metrics.meter.create_counter("requests").add(1)
    metrics.export()
    assert exporter.export(MetricsData([])) is MetricExportResult.SUCCESS
    assert "requests" not in values(run)


def test_a_name_that_is_too_long_stays_one_of_its_own():
    with steplog.init(project="shop") as run:
        metrics = Metrics(SteplogMetricExporter())
        counter = metrics.meter.create_counter("requests")
        for path in ("a", "b"):
            counter.add(1, {"path": "é" * 300 + path})
        metrics.export()
    names = [name for name in values(run) if name.startswith("requests")]
    assert len(set(names)) == 2
    assert all(len(name.encode()) <= 256 for name in names)


def entry_point() -> str:
    group = re.search(r'^\[project.entry-points.opentelemetry_metrics_exporter\]\nsteplog = "(.+)"$', PYPROJECT, re.M)
    assert group is not None
    return group[1]


@pytest.mark.slow  # the SDK is imported anew
def test_the_last_export_is_in_the_run_where_a_program_just_ends(tmp_path):
    program = """
import sys
import steplog
from importlib.metadata import EntryPoint
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
exporter = EntryPoint("steplog", sys.argv[1], "opentelemetry_metrics_exporter").load()()
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(exporter)]))
metrics.get_meter("app").create_counter("requests").add(5)
print(steplog.get_active_run().uuid)
"""
    assert run_program(program, entry_point(), tmp_path) == "opentelemetry COMPLETED 5.0"


def run_program(program: str, argument: str, directory: Path) -> str:
    """What a second program reads of the run whose uuid the first one prints: another process has its own journals."""
    reads = """
import sys
import steplog
run = steplog.open(sys.argv[1])
(row,) = run.history("requests", form="long")
print(run.project, run.status.value, row["value"])
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for text in (program, reads):
        command = [sys.executable, "-c", text, argument]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=directory)
        assert (done.returncode, done.stderr) == (0, "")
        argument = done.stdout.strip()
    return argument
