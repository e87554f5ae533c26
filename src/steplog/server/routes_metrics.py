"""The endpoints of metrics: single points, batches, reads; ``docs/api.md`` specifies them."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from slugify import slugify
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from steplog.delivery.wire import CONTENT_TYPE_RANGE, Acknowledgement
from steplog.journal import slot
from steplog.journal.range import VERSION, VersionError, decode
from steplog.records.finite import finite
from steplog.records.run_fields import NOT_STORED, RESERVED, changes_of
from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.permissions import Right
from steplog.server.records.batch import VALUE_BYTES_MAX, SinglePoint, from_range
from steplog.server.request_body import media_type, read_body, read_json
from steplog.server.store_types import MetricPoint, SeriesBucket, SeriesSummary
from steplog.server.streaming import streamed
from steplog.server.validation import Fields, pagination

__all__ = ["BatchUpload", "MetricList", "SeriesList"]

_CURVE_POINTS_DEFAULT = 1000
_CURVE_POINTS_MAX = 100_000
_GENERATION = re.compile(r"[1-9][0-9]{0,8}")
_SMALL_BYTES_MAX = 8 * 1024  # 0.1 ms
_JSON_NAMES = {"low": "min", "high": "max"}


class MetricList(Endpoint, get=Right.READ, post=Right.WRITE):
    """``…/runs/{run}/metrics/``."""

    async def get(self, request: Request) -> Response:
        """The points of a run in order of arrival, as of now."""
        offset, limit = pagination(request.query_params)
        run, tag = await self.run_and_tag(request)
        end = await self.read(self.store.point_count, run)
        if limit is not None:
            end = min(end, offset + limit)
        pieces = _json_list(self.store.metric_slices(run, offset, end))
        answer = await streamed(request, pieces, "application/json")
        answer.headers.update(tag)
        return answer

    async def post(self, request: Request) -> Response:
        """Add one point."""
        fields = Fields(await read_json(request))
        run = await self.run()
        name = fields.metric_name("name") or ""
        value = fields.json("value") or b""
        step = fields.integer("step", slot.NO_STEP + 1, slot.STEP_MAX)
        fields.check()
        if len(value) > VALUE_BYTES_MAX:
            raise HTTPException(413, f"The value is longer than {VALUE_BYTES_MAX} bytes.")
        now, stock = time.time_ns(), self.state.stock
        changes = changes_of([(name, now, 0, value)]) if name in RESERVED and not stock else None
        point = None if name in NOT_STORED else SinglePoint(name, value, step, now)
        numbered = None
        if point is not None and (step is None or len(value) > _SMALL_BYTES_MAX):
            numbered = await self.read(self.store.number, run, point)
        assigned = await self.written(self.store.add_metric(run, point, numbered, changes))
        self.state.counts.note_points(1)
        given = {"name": name, "value": msgspec.Raw(value)}
        return JsonResponse(given | {"step": (step or 0) if assigned is None else assigned}, 201)


class BatchUpload(Endpoint, post=Right.WRITE):
    """``…/runs/{run}/metrics/batch/``."""

    async def post(self, request: Request) -> Response:
        """Store a range of a writer's journal, each record once however often it is sent."""
        generation = _generation(request)
        body = await read_body(request)
        run = await self.written_run()
        encoding = request.headers.get("content-encoding", "").strip().lower()
        loop = asyncio.get_running_loop()
        try:
            if encoding != "deflate" or media_type(request) != CONTENT_TYPE_RANGE:
                raise VersionError
            if _is_small(body):
                batch = from_range(decode(body), body)
            else:
                batch = await loop.run_in_executor(self.state.decoders, lambda: from_range(decode(body), body))
        except VersionError:
            return JsonResponse({"v": [VERSION]}, 415)
        result = await self.written(self.store.add_batch(run, batch, generation))
        self.state.counts.note_points(result.accepted, result.duplicates)
        sent = batch.source
        answer = Acknowledgement(sent.writer, sent.first, sent.end, result.accepted, result.duplicates)
        if result.name is None:
            return JsonResponse(answer)
        named = {"name": result.name, "slug": slugify(result.name)}
        return JsonResponse(msgspec.structs.asdict(answer) | {"run": named})


class SeriesList(Endpoint, get=Right.READ):
    """``…/runs/{run}/series/``."""

    async def get(self, request: Request) -> Response:
        """A summary of each metric; with ``?name=`` the curve of one."""
        query = request.query_params
        fields = Fields(query)
        points = fields.integer("points", 1, _CURVE_POINTS_MAX) or _CURVE_POINTS_DEFAULT
        low = fields.integer("from", slot.NO_STEP + 1, slot.STEP_MAX)
        high = fields.integer("to", slot.NO_STEP + 1, slot.STEP_MAX)
        fields.check()
        run, tag = await self.run_and_tag(request)
        if "name" not in query:
            return await self.json_list(await self.read(self.store.series, run), _document, tag)
        buckets = await self.read(self.store.curve, run, query["name"], points, low, high)
        if buckets is None:
            raise HTTPException(404)
        return await self.json_list(buckets, _bucket_document, tag)


def _is_small(body: bytes) -> bool:
    """Whether a deflated body takes no longer to check than a thread takes to be asked."""
    if len(body) > _SMALL_BYTES_MAX:
        return False
    stream = zlib.decompressobj()
    try:
        stream.decompress(body, _SMALL_BYTES_MAX)
    except zlib.error:
        return True
    return stream.eof


def _generation(request: Request) -> int:
    """Of ownership, to which the writer of a batch belongs."""
    header = request.headers.get("steplog-generation", "1").strip()
    if _GENERATION.fullmatch(header) is None:
        raise HTTPException(400, "Steplog-Generation must be an integer from 1 to 999999999.")
    return int(header)


def _json_list(slices: Iterable[Iterable[MetricPoint]]) -> Iterator[bytes]:
    opening = b"["
    for points in slices:
        entries = [{"name": p.name, "value": finite(p.value), "step": p.step} for p in points]
        if entries:
            yield opening + msgspec.json.encode(entries)[1:-1]
            opening = b","
    yield b"]" if opening == b"," else b"[]"


def _document(row: SeriesSummary | SeriesBucket) -> dict[str, Any]:
    return {_JSON_NAMES.get(name, name): finite(value) for name, value in msgspec.structs.asdict(row).items()}


def _bucket_document(bucket: SeriesBucket) -> dict[str, Any]:
    document = _document(bucket)
    if not bucket.approximate:
        del document["approximate"]
    return document
