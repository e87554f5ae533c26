"""The history of a run's metrics; ``docs/api.md`` specifies it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from steplog.journal import slot
from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.negotiation import chosen_type
from steplog.server.records.history_formats import FORMATS, gathered
from steplog.server.store_types import HistoryQuery
from steplog.server.streaming import streamed
from steplog.server.validation import Fields

__all__ = ["History"]

_LAST_MAX = 2**53


class History(Endpoint):
    """``…/runs/{run}/history/``."""

    async def get(self, request: Request) -> Response:
        """Every point of some metrics, as of now."""
        fields = Fields(request.query_params)
        query = HistoryQuery(
            request.query_params.getlist("name") or None,
            fields.integer("from", slot.NO_STEP + 1, slot.STEP_MAX),
            fields.integer("to", slot.NO_STEP + 1, slot.STEP_MAX),
            fields.time_ns("from_time"),
            fields.time_ns("to_time"),
            fields.integer("last", 1, _LAST_MAX),
        )
        fields.check()
        media_type = chosen_type(", ".join(request.headers.getlist("accept")), list(FORMATS))
        if media_type is None:
            offered = ", ".join(FORMATS)
            return JsonResponse({"detail": f"Could not satisfy the request Accept header. Offered: {offered}."}, 406)
        run, tag = await self.run_and_tag(request, media_type)
        parts = await self.read(self.store.history, run, query)
        answer = await streamed(request, gathered(FORMATS[media_type](parts)), media_type)
        answer.headers.update(tag)
        return answer
