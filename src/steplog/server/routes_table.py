"""The endpoints of tables of runs; ``docs/api.md`` specifies them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from steplog.errors import FilterError
from steplog.filters import (
    DEFAULT_FIELDS,
    MISSING,
    RUN_FIELDS,
    Condition,
    Field,
    parse_field,
    parse_fields,
    parse_filter,
)
from steplog.records.dates import utc_text
from steplog.server.endpoint import Endpoint, JsonResponse, VersionTag
from steplog.server.negotiation import chosen_type
from steplog.server.permissions import Right
from steplog.server.records.table_formats import FORMATS
from steplog.server.store_types import TableCursor, TableQuery
from steplog.server.validation import Fields, ValidationError, next_page

__all__ = ["ColumnList", "RunTable", "conditions_of"]

_ROWS_DEFAULT = 100
_ROWS_MAX = 10_000
_COLUMNS_MAX = 200
_AMONG_MAX = 1000
_CELLS_MAX = 200_000  # of a page, which has fewer rows where it has many columns
_NAMES_DEFAULT = 1000
_NAMES_MAX = 10_000
_NAME_CHARACTERS_MAX = 256
_TAG = Field("run", ("tag",))
_DURATION = Field("run", ("duration",))
_ANY_TIME = "1970-01-01T00:00:00.000000Z"
_KINDS = {int: 0, float: 0, str: 1, bytes: 2, type(None): 3}  # of values, as ``TableCursor`` has them
_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | float


class _Token(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Where a page ends, in which order, and when the first page was asked for."""

    sort: str
    kind: Annotated[int, msgspec.Meta(ge=0, le=3)]
    value: Any  # see ``TableCursor``
    run: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    now: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]


class RunTable(Endpoint, get=Right.READ):
    """``/{namespace}/projects/{project}/table/``."""

    async def get(self, request: Request) -> Response:
        """Runs, and what is asked for of them."""
        parameters = request.query_params
        query, token = _query(parameters)
        media_type = chosen_type(", ".join(request.headers.getlist("accept")), list(FORMATS))
        if media_type is None:
            offered = ", ".join(FORMATS)
            return JsonResponse({"detail": f"Could not satisfy the request Accept header. Offered: {offered}."}, 406)
        body, headers = await self.read(self._answer, request, query, token, media_type)
        return Response(body, media_type=media_type, headers=headers)

    def _answer(
        self, request: Request, query: TableQuery, token: _Token, media_type: str
    ) -> tuple[bytes, dict[str, str]]:
        """The page, and its headers."""
        project = self.read_project()
        version = self.store.table_version(project, query)
        tag = VersionTag(version and f"{version}-{media_type}", request, {"Vary": "Accept"})
        page = self.store.table(project, query)
        after = None if page.end is None else _encoded(msgspec.structs.replace(token, **page.end._asdict()))
        about: dict[str, Any] = {"next": after}
        if page.count is not None:
            about["count"] = page.count
        rows = [(row.uuid, [row.cells.get(column, MISSING) for column in query.columns]) for row in page.rows]
        body = FORMATS[media_type]([str(column) for column in query.columns], rows, about)
        headers = tag.headers_of(body)
        if after is not None:
            headers |= next_page(request.query_params, after)
        return body, headers


class ColumnList(Endpoint, get=Right.READ):
    """``/{namespace}/projects/{project}/table/columns/``."""

    async def get(self, request: Request) -> Response:
        """The columns that a table of these runs may have."""
        fields = Fields(request.query_params)
        limit = fields.integer("limit", 1, _NAMES_MAX) or _NAMES_DEFAULT
        part = request.query_params.get("q", "")
        if len(part) > _NAME_CHARACTERS_MAX:
            fields.add_error("q", f"Ensure this field has no more than {_NAME_CHARACTERS_MAX} characters.")
        fields.check()
        body, headers = await self.read(self._answer, request, part, limit)
        return Response(body, media_type=JsonResponse.media_type, headers=headers)

    def _answer(self, request: Request, part: str, limit: int) -> tuple[bytes, dict[str, str]]:
        project = self.read_project()
        tag = VersionTag(self.store.column_names_version(project), request, {})
        found = self.store.column_names(project, part, limit)
        body = msgspec.json.encode(
            {
                "fields": [name for name in RUN_FIELDS if part.lower() in name],
                "config": [f"config.{name}" for name in found.config],
                "metrics": found.metrics,
                "kinds": found.kinds,
                "more": found.more,
            }
        )
        return body, tag.headers_of(body)


def conditions_of(where: str) -> tuple[Condition, ...]:
    """The conditions of a parameter ``where``. Raises ValidationError."""
    with _reported("where"):
        return parse_filter(where)


def _query(parameters: Mapping[str, str]) -> tuple[TableQuery, _Token]:
    """What is asked for, and a token of its order. Raises ValidationError."""
    fields = Fields(parameters)
    limit = fields.integer("limit", 1, _ROWS_MAX) or _ROWS_DEFAULT
    counted = fields.choice("count", ("0", "1")) == "1"
    among = parameters["runs"].split(",") if "runs" in parameters else None
    if len(among or ()) > _AMONG_MAX:
        fields.add_error("runs", f"Ensure this field has no more than {_AMONG_MAX} runs.")
    fields.check()
    conditions = conditions_of(parameters.get("where", ""))
    with _reported("columns"):
        columns = parse_fields(parameters.get("columns") or ",".join(DEFAULT_FIELDS), _COLUMNS_MAX)
    with _reported("sort"):
        sort, descending = _order(parameters.get("sort", ""))
    order = f"{'-' if descending else ''}{sort or ''}"
    used = [*columns, *(each.field for each in conditions), sort]
    # The same answer at any time, unless it depends on it.
    token, after = _Token(order, 0, None, 0, _now_text() if _DURATION in used else _ANY_TIME), None
    if "after" in parameters:
        token = _decoded(parameters["after"])
        if token.sort != order:
            raise ValidationError({"after": ["This is where a page in another order ends."]})
        after = TableCursor(token.kind, token.value, token.run)
    limit = min(limit, max(1, _CELLS_MAX // len(columns)))
    return TableQuery(conditions, columns, limit, token.now, sort, descending, after, counted, among), token


@contextmanager
def _reported(parameter: str) -> Iterator[None]:
    """Make what is wrong with a parameter the answer."""
    try:
        yield
    except FilterError as error:
        raise ValidationError({parameter: [f"{str(error)[0].upper()}{str(error)[1:]}."]}) from None


def _order(text: str) -> tuple[Field | None, bool]:
    """A field, with "-" before it the greatest first; none of a blank text. Raises FilterError."""
    if not text.strip():
        return None, False
    descending = text.startswith("-")
    field = parse_field(f" {text[1:]}" if descending else text)
    if field == _TAG:
        raise FilterError("a run may have several tags, and runs cannot be sorted by them", 1 + descending)
    return field, descending


def _now_text() -> str:
    return utc_text(datetime.now(timezone.utc))


def _encoded(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(token)).decode().rstrip("=")


def _decoded(text: str) -> _Token:
    try:
        padded = f"{text}{'=' * (-len(text) % 4)}".encode("ascii")
        token = msgspec.msgpack.decode(base64.b64decode(padded, b"-_", validate=True), type=_Token)
        if not isinstance(token.value, (str, bytes)):
            msgspec.convert(token.value, _Number | None)
        datetime.fromisoformat(token.now[:-1])
        if _KINDS[type(token.value)] != token.kind:
            raise ValueError
        return token
    except (ValueError, KeyError, msgspec.MsgspecError):
        raise ValidationError({"after": ["Not where a page of this table ends."]}) from None
