"""Curves of many runs; ``docs/api.md`` specifies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from steplog.filters import CHARACTERS_MAX, Condition
from steplog.journal import slot
from steplog.records.dates import utc_text
from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.negotiation import chosen_type
from steplog.server.permissions import Right
from steplog.server.records.curve_formats import MEDIA_TYPES, as_columns, as_json
from steplog.server.records.curve_query import (
    BUCKETS_MAX,
    CURVES_MAX,
    NAMES_MAX,
    RUNS_MAX,
    TOKENS_MAX,
    CurveAnswer,
    CurveQuery,
    Signer,
)
from steplog.server.request_body import read_json
from steplog.server.routes_table import conditions_of
from steplog.server.store_types import ProjectRow, TableQuery
from steplog.server.validation import Fields, ValidationError

__all__ = ["Curves"]

_Encode = Callable[[CurveAnswer, str, str], bytes]

_AXES = ("step", "time", "relative")
_BUCKETS_DEFAULT = 1000
_TOKEN_CHARACTERS_MAX = 1 << 20


class Curves(Endpoint, post=Right.READ):
    """``…/projects/{project}/curves/``: a question too long for an address; nothing is written."""

    async def post(self, request: Request) -> Response:
        """Curves of some metrics of some runs, on one grid."""
        raw = await read_json(request)
        fields = Fields(raw)
        is_all = raw.get("where") == msgspec.Raw(b'""')
        where = "" if is_all else fields.text("where", characters_max=CHARACTERS_MAX)
        if ("where" in raw) == ("runs" in raw):
            fields.add_error("runs", "Give runs or where, one of them.")
        runs = fields.texts("runs", RUNS_MAX) if "runs" in raw else []
        names = fields.texts("names", NAMES_MAX)
        x = fields.choice("x", _AXES) or "step"
        low = fields.integer("from", slot.NO_STEP + 1, slot.STEP_MAX)
        high = fields.integer("to", slot.NO_STEP + 1, slot.STEP_MAX)
        buckets = fields.integer("buckets", 1, BUCKETS_MAX) or _BUCKETS_DEFAULT
        since = self._tokens(raw, fields)
        in_planes = fields.flag("planes")
        fields.check()
        conditions = None if where is None else conditions_of(where)
        media_type = chosen_type(", ".join(request.headers.getlist("accept")), MEDIA_TYPES)
        if media_type is None:
            offered = ", ".join(MEDIA_TYPES)
            return JsonResponse({"detail": f"Could not satisfy the request Accept header. Offered: {offered}."}, 406)
        project = await self.project()
        query = CurveQuery(tuple(dict.fromkeys(runs)), tuple(dict.fromkeys(names)), x, low, high, buckets)
        if media_type == MEDIA_TYPES[0]:
            encode: _Encode = as_json
        else:
            encode = partial(as_columns, in_planes=in_planes)
        body = await self.read(self._answer, project, query, where, conditions, since, encode)
        return Response(body, media_type=media_type, headers={"Vary": "Accept"})

    @staticmethod
    def _tokens(raw: Mapping[str, msgspec.Raw], fields: Fields) -> list[str]:
        """The ``since`` of a request: a text or a list of texts."""
        if bytes(raw.get("since", b"")).startswith(b"["):
            return fields.texts("since", TOKENS_MAX)
        since = fields.text("since", characters_max=_TOKEN_CHARACTERS_MAX)
        return [] if since is None else [since]

    def _answer(
        self,
        project: ProjectRow,
        query: CurveQuery,
        where: str | None,
        conditions: Sequence[Condition] | None,
        since: Sequence[str],
        encode: _Encode,
    ) -> bytes:
        signer = Signer(self.store.instance, self.state.secret)
        question = [project.uuid, where, query.x, query.low, query.high, query.buckets]
        if conditions is not None:
            query = msgspec.structs.replace(query, runs=self._matching(project, conditions), is_all=True)
        if len(query.runs) * len(query.names) > CURVES_MAX:
            asked = f"{len(query.runs)} runs and {len(query.names)} names"
            raise ValidationError({"names": [f"These are {asked}; ask for at most {CURVES_MAX} curves."]})
        answered = [found for token in since if (found := signer.read(question, token)) is not None]
        if len(answered) == len(since):
            query = msgspec.structs.replace(query, since=answered)
        answer = self.store.curves(project, query)
        return encode(answer, query.x, signer.token(question, answer.answered))

    def _matching(self, project: ProjectRow, conditions: Sequence[Condition]) -> list[str]:
        """The runs that meet the conditions."""
        now = utc_text(datetime.now(timezone.utc))
        page = self.store.table(project, TableQuery(conditions, (), RUNS_MAX, now))
        if page.end is not None:
            raise ValidationError({"where": [f"More than {RUNS_MAX} runs match; add a condition."]})
        return [row.uuid for row in page.rows]
