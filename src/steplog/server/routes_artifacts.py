"""The endpoints of artifacts; ``docs/api.md`` specifies them."""

from __future__ import annotations

import re

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from steplog.server.content_answer import CHANGING, LASTING, ContentEndpoint
from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.file_documents import artifact_document, artifact_file_document
from steplog.server.file_types import ArtifactRow, ArtifactVersionError
from steplog.server.permissions import Right
from steplog.server.store_types import ProjectRow
from steplog.server.validation import Fields

__all__ = ["ArtifactDetail", "ArtifactFile", "ArtifactList"]

_NAME_CHARACTERS_MAX = 128
_VERSION = re.compile(r"v[0-9]+", re.ASCII)


class ArtifactList(Endpoint, get=Right.READ):
    """``/{namespace}/projects/{project}/artifacts/``."""

    async def get(self, request: Request) -> Response:
        """The versions of artifacts, the newest first; those of a name, a type, a run, or what became of an id."""
        fields = Fields(query := request.query_params)
        given = {
            name: fields.text(name, characters_max=_NAME_CHARACTERS_MAX)
            for name in ("name", "type", "run", "id")
            if query.get(name)
        }
        fields.check()
        project, run, path = await self.project(), None, self.scope["path_params"]
        if "run" in given:
            run = self._admitted(
                await self.read(self.store.run, path["namespace"], path["project"], given["run"] or "")
            )
        wanted = given.get("name") or "", given.get("type") or "", run
        return await self.json_list(await self.read(self.store.artifacts, project, *wanted), artifact_document)


class _OfVersion(ContentEndpoint):
    """A path below a version of an artifact."""

    async def version(self) -> tuple[ProjectRow, ArtifactRow]:
        """The version of the path, or 404."""
        path, project = self.scope["path_params"], await self.project()
        try:
            return project, await self.read(self.store.artifact, project, path["name"], path["version"])
        except ArtifactVersionError:
            raise HTTPException(404) from None


class ArtifactDetail(_OfVersion, get=Right.READ):
    """``/{namespace}/projects/{project}/artifacts/{name}/{version}/``."""

    async def get(self, _request: Request) -> Response:
        """A version, and all its files."""
        project, artifact = await self.version()
        files = await self.read(self.store.artifact_files, project, artifact)
        listed = await self.json_list(files, artifact_file_document)
        return JsonResponse(artifact_document(artifact) | {"files": msgspec.Raw(listed.body)})


class ArtifactFile(_OfVersion, get=Right.READ):
    """``/{namespace}/projects/{project}/artifacts/{name}/{version}/files/{path}``."""

    async def get(self, request: Request) -> Response:
        """The content of a file of a version."""
        path = self.scope["path_params"]
        project, artifact = await self.version()
        files = await self.read(self.store.artifact_files, project, artifact)
        file = next((each for each in files if each.path == path["path"]), None)
        if file is None or not file.present:
            raise HTTPException(404)
        caching = LASTING if _VERSION.fullmatch(path["version"]) else CHANGING
        return await self.content(request, file.sha256, file.path.rpartition("/")[2], caching)
