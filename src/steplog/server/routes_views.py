"""The endpoints of saved views of a project's page; ``docs/api.md`` specifies them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.permissions import Right
from steplog.server.request_body import read_json
from steplog.server.store_types import TakenError, TooManyViewsError, ViewRow
from steplog.server.validation import Fields, ValidationError

__all__ = ["ViewDetail", "ViewList"]

_ADDRESS_BYTES_MAX = 64 * 1024


class ViewList(Endpoint, get=Right.READ, post=Right.WRITE):
    """``/{namespace}/projects/{project}/views/``."""

    async def get(self, _request: Request) -> Response:
        """The views of a project, oldest first."""
        project = await self.project()
        return await self.json_list(await self.read(self.store.views, project), _document)

    async def post(self, request: Request) -> Response:
        """Save a view."""
        fields = Fields(raw := await read_json(request))
        name, address = fields.text("name", required=True), _address(fields, raw, required=True)
        fields.check()
        project = await self.project()
        written = self.written(self.store.add_view(project, self.user, name or "", address or ""))
        return JsonResponse(_document(await _saved(written)), 201)


class ViewDetail(Endpoint, patch=Right.WRITE, delete=Right.WRITE):
    """``/{namespace}/projects/{project}/views/{view}/``."""

    async def patch(self, request: Request) -> Response:
        """Rename it, or save another address in its place."""
        fields = Fields(raw := await read_json(request))
        name, address = fields.text("name"), _address(fields, raw, required=False)
        fields.check()
        project = await self.project()
        written = self.written(self.store.edit_view(project, self.scope["path_params"]["view"], name, address))
        return JsonResponse(_document(await _saved(written)))

    async def delete(self, _request: Request) -> Response:
        """Delete it."""
        project = await self.project()
        await self.written(self.store.delete_view(project, self.scope["path_params"]["view"]))
        return Response(status_code=204)


async def _saved(written: Awaitable[ViewRow]) -> ViewRow:
    try:
        return await written
    except TakenError:
        raise ValidationError({"name": ["The project has a view of this name."]}) from None
    except TooManyViewsError as error:
        raise ValidationError({"name": [str(error)]}) from None


def _address(fields: Fields, raw: Mapping[str, msgspec.Raw], *, required: bool) -> str | None:
    """The query of an address of the page: what follows its path, "" or from "?" on."""
    if bytes(raw.get("address", b"")) == b'""':
        return ""
    address = fields.text("address", required=required, characters_max=_ADDRESS_BYTES_MAX)
    if address is not None and not address.startswith("?"):
        fields.add_error("address", 'Not the query of an address, which begins with "?".')
    elif address is not None and len(address.encode()) > _ADDRESS_BYTES_MAX:
        fields.add_error("address", f"Ensure this field has no more than {_ADDRESS_BYTES_MAX} bytes of UTF-8.")
    return address


def _document(view: ViewRow) -> dict[str, Any]:
    return {
        "uuid": view.uuid,
        "name": view.name,
        "address": view.address,
        "user": {"uuid": view.user_uuid, "username": view.username, "slug": view.user_slug},
        "date_created": view.date_created,
        "date_updated": view.date_updated,
    }
