"""Metrics of OpenTelemetry: each export is logged to a run, a value a series.

::

    requests{method=GET,status=200}     a sum or a gauge; attributes in the order of their names
    latency/count  /sum  /min  /max     a histogram
    latency/buckets                     {"_type": "histogram", "values": counts, "bins": edges}, of explicit bounds

1. Where no run is given and none is active, one is begun at once and not at the first export: a program that ends ends
   its runs in the reverse order of their beginning, and the last export must find it open. ``shutdown`` ends it.
2. Its project is the one given, else ``STEPLOG_PROJECT``, else ``OTEL_SERVICE_NAME``, else "opentelemetry"; its config
   the attributes of the resource.
3. Sums are totals since the start (cumulative) unless ``preferred_temporality`` says otherwise.
4. A name of more than 256 bytes ends in a digest of the whole. The SDK bounds how many series there are.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from steplog import Run
from steplog.integrations.adapter_run import AdapterRun

__all__ = ["SteplogMetricExporter"]

_NAME_BYTES_MAX = 256
_log = logging.getLogger("steplog")


class SteplogMetricExporter(MetricExporter):
    """``init`` are arguments of ``steplog.init``, for a run of its own, and those of ``MetricExporter``."""

    def __init__(self, run: Run | None = None, **init: Any) -> None:
        super().__init__(init.pop("preferred_temporality", None), init.pop("preferred_aggregation", None))
        project = os.environ.get("OTEL_SERVICE_NAME") or "opentelemetry"
        self._target = AdapterRun(run, default_project=project, **init, activate=False)
        self._run = self._target.get()
        self._needs_config = self._target.is_own

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        """Log them. FAILURE where that is refused, such as by a run that is over."""
        try:
            for resource in metrics_data.resource_metrics:
                if self._needs_config:
                    self._run.config.update(dict(resource.resource.attributes))
                    self._needs_config = False
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    for point in metric.data.data_points:
                        self._run.log(dict(_values(metric.name, point)))
        except (TypeError, ValueError, RuntimeError) as error:
            _log.warning("steplog: metrics of OpenTelemetry were not logged: %s", error)
            return MetricExportResult.FAILURE
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Wait until all is delivered."""
        return self._run.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000, **given: Any) -> None:
        """End a run of its own. The SDK calls the argument ``timeout``."""
        if self._target.is_own:
            self._run.finish(timeout=max(0.0, given.get("timeout", timeout_millis) / 1000))


def _values(name: str, point: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(point, "value"):
        yield _series(name, point.attributes), point.value
        return
    for part in ("count", "sum", "min", "max"):
        yield _series(f"{name}/{part}", point.attributes), getattr(point, part)
    if bounds := getattr(point, "explicit_bounds", None):
        bins = [min(point.min, bounds[0]), *bounds, max(point.max, bounds[-1])]
        buckets = {"_type": "histogram", "values": list(point.bucket_counts), "bins": bins}
        yield _series(f"{name}/buckets", point.attributes), buckets


def _series(name: str, attributes: Mapping[str, Any] | None) -> str:
    inner = ",".join(f"{key}={value}" for key, value in sorted((attributes or {}).items()))
    whole = (f"{name}{{{inner}}}" if inner else name).encode("utf-8", "replace")
    if len(whole) <= _NAME_BYTES_MAX:
        return whole.decode()
    return f"{whole[:230].decode('utf-8', 'ignore')}…{hashlib.blake2b(whole, digest_size=8).hexdigest()}"
