"""The history of a run's metrics; ``docs/api.md`` specifies it."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from steplog.journal import slot
from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.negotiation import chosen_type
from steplog.server.permissions import Right
from steplog.server.records.history_formats import CUT_FORMATS, FORMATS, Parts, gathered
from steplog.server.store_types import HistoryQuery
from steplog.server.streaming import streamed
from steplog.server.validation import Fields

__all__ = ["ARRIVALS", "History"]

ARRIVALS = "Steplog-Arrivals"
_COUNT_MAX = 2**53
_CUT_MAX = 2**20
_TEXT_CHARACTERS_MAX = 1024
_NAMED = dict(zip(("json", "columns", "csv", "ndjson"), FORMATS, strict=True))


class History(Endpoint, get=Right.READ):
    """``…/runs/{run}/history/``."""

    async def get(self, request: Request) -> Response:
        """Every point of some metrics, as of now."""
        fields = Fields(request.query_params)
        names = request.query_params.getlist("name")
        skip, skips = _skips(fields, names, request.query_params.getlist("skip"))
        query = HistoryQuery(
            names or None,
            fields.integer("from", slot.NO_STEP + 1, slot.STEP_MAX),
            fields.integer("to", slot.NO_STEP + 1, slot.STEP_MAX),
            fields.time_ns("from_time"),
            fields.time_ns("to_time"),
            fields.integer("last", 1, _COUNT_MAX),
            skip,
            skips,
            fields.integer("limit", 1, _COUNT_MAX),
            fields.integer("arrivals", 0, _COUNT_MAX),
            _contained(fields, request.query_params.get("contains")),
        )
        cut = fields.integer("cut", 1, _CUT_MAX)
        named = fields.choice("format", list(_NAMED))
        fields.check()
        accept = ", ".join(request.headers.getlist("accept"))
        media_type = chosen_type(accept, list(FORMATS)) if named is None else _NAMED[named]
        if media_type is None:
            offered = ", ".join(FORMATS)
            return JsonResponse({"detail": f"Could not satisfy the request Accept header. Offered: {offered}."}, 406)
        run, tag = await self.run_and_tag(request, media_type)
        parts = await self.read(self.store.history, run, query)
        answer = await streamed(request, gathered(_pieces(parts, media_type, cut)), media_type)
        answer.headers.update(tag | {ARRIVALS: str(parts.arrivals)})
        return answer


def _pieces(parts: Parts, media_type: str, cut: int | None) -> Iterator[bytes]:
    """The answer; values are cut in the formats where they can be."""
    if cut is None or media_type not in CUT_FORMATS:
        return FORMATS[media_type](parts)
    return CUT_FORMATS[media_type](parts, cut)


def _contained(fields: Fields, given: str | None) -> str | None:
    """The text to look for; nothing where it is empty."""
    return fields.text("contains", characters_max=_TEXT_CHARACTERS_MAX) if given else None


def _skips(fields: Fields, names: list[str], told: list[str]) -> tuple[int, dict[str, int]]:
    """How many to skip of each metric, or of each of ``names``."""
    each = [Fields({"skip": text}) for text in told]
    counts = [one.integer("skip", 0, _COUNT_MAX) or 0 for one in each]
    for one in each:
        one.check()
    if len(counts) > 1 and len(counts) != len(names):
        fields.add_error("skip", f"Give one, or one for each name; there are {len(names)} names and {len(counts)}.")
    elif len(counts) > 1:
        return 0, dict(zip(names, counts, strict=True))
    return (counts[0] if counts else 0), {}
