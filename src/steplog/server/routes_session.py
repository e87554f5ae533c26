"""The endpoint of sessions: who is signed in, signing in and out; ``docs/api.md`` specifies it.

It needs no credential, and its body is small, since nobody has shown a key before it is read.
"""

from __future__ import annotations

from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.permissions import MEMBER, OWNER, READER, Right
from steplog.server.request_body import read_json
from steplog.server.store_types import SessionRow
from steplog.server.validation import Fields

__all__ = ["SessionDetail"]

_BODY_BYTES_MAX = 4096


class SessionDetail(Endpoint, get=Right.NONE, post=Right.NONE, delete=Right.NONE):
    """``/session/``."""

    async def get(self, _request: Request) -> Response:
        """Who is signed in."""
        return JsonResponse(_document(self._session))

    async def post(self, request: Request) -> Response:
        """Sign in, with a key or the page's token. A token ends no session that is there."""
        fields = Fields(await read_json(request, _BODY_BYTES_MAX))
        key, token = fields.text("key"), fields.text("token")
        if (key is None) == (token is None):
            fields.add_error("key", "Give a key, or a token.")
        fields.check()
        if token is not None and self._session is not None:
            return JsonResponse(_document(self._session))
        new = await self.state.sessions.begin(key, token, self._session)
        if new is None:
            words = f"Invalid {'page token' if key is None else 'API key'}."
            raise HTTPException(401, words, {"WWW-Authenticate": "Api-Key"})
        response = JsonResponse(_document(new.row) | {"binding": new.binding})
        self.state.sessions.set_cookie(response, request, new)
        return response

    async def delete(self, request: Request) -> Response:
        """Sign out."""
        if self._session is not None:
            await self.state.sessions.end(self._session)
        response = Response(status_code=204)
        self.state.sessions.set_cookie(response, request, None)
        return response

    @property
    def _session(self) -> SessionRow | None:
        return cast("SessionRow | None", self.scope["state"].get("session"))


def _document(session: SessionRow | None) -> dict[str, Any]:
    """Its document; the role is OWNER of an admin. What others may, each project says: at most that."""
    if session is None:
        return {"user": None, "role": None, "expires": None}
    key, role = session.key, READER
    if key is not None:
        role = OWNER if key.user.is_admin and key.terms.project_id is None else MEMBER
    return {
        "user": None if key is None else {"username": key.user.username},
        "role": role,
        "expires": session.expires.replace("+00:00", "Z"),
    }
