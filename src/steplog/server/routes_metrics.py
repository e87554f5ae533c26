"""The routes of metrics: one at a time, in batches, and read back; ``docs/api.md`` specifies them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from steplog.delivery.wire import CONTENT_TYPE_RANGE, Acknowledgement
from steplog.journal import slot
from steplog.journal.range import VERSION, VersionError, decode
from steplog.server.batch import Batch, from_range, metric_batch
from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.request_body import read_body, read_json
from steplog.server.routes_catalog import page
from steplog.server.store_types import MetricPoint, RunRow, Store
from steplog.server.validation import Fields, point, shown

__all__ = ["BatchUpload", "MetricList", "SeriesList"]

_PIECE = 16_384  # metrics read at once; a longer list is sent in pieces
_POINTS_DEFAULT = 1000
_POINTS_MAX = 100_000


class MetricList(Endpoint):
    """``…/runs/{run}/metrics/``."""

    async def get(self, request: Request) -> Response:
        """The metrics of a run in the order of arrival; as many as there were when the request came."""
        after, limit = page(request)
        run = await self.run()
        store = self.service.store
        end = await self.read(store.count, run)
        if limit is not None:
            end = min(end, after + limit)
        return StreamingResponse(self._pieces(run, after, end), media_type="application/json")

    async def _pieces(self, run: RunRow, first: int, end: int) -> AsyncIterator[bytes]:
        opening = b"["
        for start in range(first, end, _PIECE):
            yield opening + await self.read(_piece, self.service.store, run, start, min(start + _PIECE, end))
            opening = b","
        yield b"]" if opening == b"," else b"[]"

    async def post(self, request: Request) -> Response:
        """Add one metric."""
        fields = Fields(await read_json(request))
        run = await self.run()
        name = fields.metric_name("name") or ""
        value = fields.json("value") or b""
        step = fields.integer("step", slot.NO_STEP + 1, slot.STEP_MAX)
        fields.check()
        part = metric_batch(name, point(value, step, time.time_ns()))
        given = await self.written(self.service.store.add_metric(run, part))
        return JsonResponse({"name": name, "value": msgspec.Raw(value), "step": given}, 201)


class BatchUpload(Endpoint):
    """``…/runs/{run}/metrics/batch/``."""

    async def post(self, request: Request) -> Response:
        """Store a range of one writer's journal, each record once however often it comes."""
        body = await read_body(request)
        run = await self.run()
        encoding = request.headers.get("content-encoding", "").strip().lower()
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if encoding != "deflate" or content_type != CONTENT_TYPE_RANGE:
            return _unknown()
        try:
            batch = await asyncio.get_running_loop().run_in_executor(self.service.decoders, _batch, body)
        except VersionError:
            return _unknown()
        stored = await self.written(self.service.store.add_batch(run, batch))
        source = batch.source
        return JsonResponse(
            Acknowledgement(source.writer, source.first, source.end, stored.accepted, stored.duplicates)
        )


class SeriesList(Endpoint):
    """``…/runs/{run}/series/``."""

    async def get(self, request: Request) -> Response:
        """A row a metric; or with ``?name=`` that metric's curve."""
        query = request.query_params
        fields = Fields(query)
        points = fields.integer("points", 1, _POINTS_MAX)
        low = fields.integer("from", slot.NO_STEP + 1, slot.STEP_MAX)
        high = fields.integer("to", slot.NO_STEP + 1, slot.STEP_MAX)
        fields.check()
        run = await self.run()
        if "name" not in query:
            return JsonResponse(await self.read(_series, self.service.store, run))
        buckets = await self.read(_curve, self.service.store, run, query["name"], points or _POINTS_DEFAULT, low, high)
        if buckets is None:
            raise HTTPException(404)
        return JsonResponse(buckets)


def _batch(body: bytes) -> Batch:
    return from_range(decode(body), body)


def _unknown() -> Response:
    return JsonResponse({"v": [VERSION]}, 415)


def _piece(store: Store, run: RunRow, first: int, end: int) -> bytes:
    """Metrics as JSON, without the brackets around them."""
    return msgspec.json.encode([_metric(metric) for metric in store.metrics(run, first, end)])[1:-1]


def _metric(metric: MetricPoint) -> dict[str, Any]:
    return {"name": metric.name, "value": shown(metric.value), "step": metric.step}


def _series(store: Store, run: RunRow) -> list[dict[str, Any]]:
    return [
        {
            "name": series.name,
            "count": series.count,
            "first_step": series.first_step,
            "last_step": series.last_step,
            "last": shown(series.last),
            "min": shown(series.low),
            "max": shown(series.high),
        }
        for series in store.series(run)
    ]


def _curve(
    store: Store, run: RunRow, name: str, points: int, low: int | None, high: int | None
) -> list[dict[str, Any]] | None:
    buckets = store.curve(run, name, points, low, high)
    if buckets is None:
        return None
    return [
        {
            "step": bucket.step,
            "min": shown(bucket.low),
            "max": shown(bucket.high),
            "last": shown(bucket.last),
            "count": bucket.count,
        }
        for bucket in buckets
    ]
