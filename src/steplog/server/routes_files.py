"""The endpoints of the files of a run; ``docs/api.md`` specifies them."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from steplog.server.content_answer import ContentEndpoint
from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.file_announcement import announcement
from steplog.server.file_documents import file_document
from steplog.server.file_types import ArtifactVersionError
from steplog.server.permissions import Right
from steplog.server.request_body import read_json
from steplog.server.store_types import RunRow
from steplog.server.validation import Fields, ValidationError, next_page

__all__ = ["RunFile", "RunFileList"]

_LIMIT, _LIMIT_MAX = 1000, 10_000
_PATH_CHARACTERS_MAX = 1024


class RunFileList(Endpoint, get=Right.READ, post=Right.WRITE):
    """``…/runs/{run}/files/``."""

    async def get(self, request: Request) -> Response:
        """The files of a run, those of artifacts left out; with ``?path=`` those whose path begins so.

        With ``?saved=1`` those that have a path.
        """
        query = request.query_params
        fields = Fields(query)
        limit = fields.integer("limit", 1, _LIMIT_MAX) or _LIMIT
        path = fields.text("path", characters_max=_PATH_CHARACTERS_MAX) if query.get("path") else None
        after, saved = query.get("after", ""), fields.choice("saved", ("0", "1")) == "1"
        fields.check()
        run = await self.run()
        if after and await self.read(self.store.file, run, after) is None:
            raise ValidationError({"after": ["The run has no such file."]})
        found = await self.read(self.store.files, run, after, limit, path or "", saved)
        more = next_page(query, found[-1].id) if len(found) == limit else {}
        return await self.json_list(found, file_document, more)

    async def post(self, request: Request) -> Response:
        """Note files, artifacts, and which artifacts the run uses."""
        told = announcement(await read_json(request))
        run = await self.run()
        noted = await self.written(self.store.announce_files(run, told.files, told.artifacts, told.pending))
        unknown = [f"{name}:{version}" for name, version in told.used if not await self._used(run, name, version)]
        answer = {"missing": noted.missing, "versions": noted.versions}
        return JsonResponse(answer | ({"unknown": unknown} if unknown else {}))

    async def _used(self, run: RunRow, name: str, version: str) -> bool:
        """Note that a run uses an artifact; False: there is none such."""
        project = await self.project()
        try:
            artifact = await self.read(self.store.artifact, project, name, version)
        except ArtifactVersionError:
            return False
        await self.written(self.store.use_artifact(run, artifact))
        return True


class RunFile(ContentEndpoint, get=Right.READ):
    """``…/runs/{run}/files/{file}``."""

    async def get(self, request: Request) -> Response:
        """The content of a file."""
        run = await self.run()
        file = await self.read(self.store.file, run, str(self.scope["path_params"]["file"]))
        if file is None or not file.present:
            raise HTTPException(404)
        name = file.path.rpartition("/")[2] or f"{file.id}{file.suffix}"
        return await self.content(request, file.sha256, name)
