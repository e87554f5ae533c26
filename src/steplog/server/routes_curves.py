"""Curves of many runs; ``docs/api.md`` specifies them."""

from __future__ import annotations

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from steplog.journal import slot
from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.negotiation import chosen_type
from steplog.server.records.curve_formats import MEDIA_TYPES, as_columns, as_json
from steplog.server.records.curve_query import BUCKETS_MAX, NAMES_MAX, RUNS_MAX, CurveQuery, Signer
from steplog.server.request_body import read_json
from steplog.server.store_types import ProjectRow
from steplog.server.validation import Fields

__all__ = ["Curves"]

_AXES = ("step", "time", "relative")
_BUCKETS_DEFAULT = 1000
_TOKEN_CHARACTERS_MAX = 1 << 20


class Curves(Endpoint):
    """``…/projects/{project}/curves/``: a question too long for an address; nothing is written."""

    async def post(self, request: Request) -> Response:
        """Curves of some metrics of some runs, on one grid."""
        raw = await read_json(request)
        fields = Fields(raw)
        runs = fields.texts("runs", RUNS_MAX)
        names = fields.texts("names", NAMES_MAX)
        x = fields.choice("x", _AXES) or "step"
        low = fields.integer("from", slot.NO_STEP + 1, slot.STEP_MAX)
        high = fields.integer("to", slot.NO_STEP + 1, slot.STEP_MAX)
        buckets = fields.integer("buckets", 1, BUCKETS_MAX) or _BUCKETS_DEFAULT
        since = fields.text("since", characters_max=_TOKEN_CHARACTERS_MAX) if "since" in raw else None
        fields.check()
        media_type = chosen_type(", ".join(request.headers.getlist("accept")), MEDIA_TYPES)
        if media_type is None:
            offered = ", ".join(MEDIA_TYPES)
            return JsonResponse({"detail": f"Could not satisfy the request Accept header. Offered: {offered}."}, 406)
        project = await self.project()
        query = CurveQuery(tuple(dict.fromkeys(runs)), tuple(dict.fromkeys(names)), x, low, high, buckets)
        body = await run_in_threadpool(self._answer, project, query, since, media_type)
        return Response(body, media_type=media_type, headers={"Vary": "Accept"})

    def _answer(self, project: ProjectRow, query: CurveQuery, since: str | None, media_type: str) -> bytes:
        signer = Signer(self.store.instance, self.state.secret)
        question = [project.uuid, msgspec.to_builtins(query)]
        answered = signer.read(question, since) if since is not None else None
        answer = self.store.curves(project, msgspec.structs.replace(query, since=answered))
        encode = as_json if media_type == MEDIA_TYPES[0] else as_columns
        return encode(answer, query.x, signer.token(question, answer.answered))
