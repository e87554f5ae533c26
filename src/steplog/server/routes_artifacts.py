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
from steplog.server.store_types import ProjectRow, RunRow
from steplog.server.validation import Fields, ValidationError, next_page

__all__ = ["ArtifactDetail", "ArtifactFile", "ArtifactList"]

_NAME_CHARACTERS_MAX = 128
_LIMIT, _LIMIT_MAX = 1000, 10_000
_FILES_READ = 5000  # of a version, at a time
_VERSION = re.compile(r"v[0-9]+", re.ASCII)


class ArtifactList(Endpoint, get=Right.READ):
    """``/{namespace}/projects/{project}/artifacts/``."""

    async def get(self, request: Request) -> Response:
        """The versions of artifacts, the newest first.

        Those of a ``name`` or a ``type``, that a ``run`` logged, that a run uses (``used_by``), or the one that the
        entry with an ``id`` became.
        """
        fields = Fields(query := request.query_params)
        given = {
            name: fields.text(name, characters_max=_NAME_CHARACTERS_MAX) or ""
            for name in ("name", "type", "run", "used_by", "id", "after")
            if query.get(name)
        }
        limit = fields.integer("limit", 1, _LIMIT_MAX) or _LIMIT
        fields.check()
        project = await self.project()
        if "used_by" in given:
            used = await self.read(self.store.used_artifacts, await self._run("used_by", given))
            return await self.json_list(used, artifact_document)
        run = await self._run("run", given) if "run" in given else None
        name, kind, entry, after = (given.get(each, "") for each in ("name", "type", "id", "after"))
        found = await self.read(self.store.artifacts, project, name, kind, run, entry, limit, after)
        more = next_page(query, found[-1].uuid) if len(found) == limit else {}
        return await self.json_list(found, artifact_document, more)

    async def _run(self, field: str, given: dict[str, str]) -> RunRow:
        """The run that a parameter names, or 400."""
        path = self.scope["path_params"]
        run = await self.read(self.store.run, path["namespace"], path["project"], given[field])
        try:
            return self._admitted(run)
        except HTTPException:
            raise ValidationError({field: ["The project has no such run."]}) from None


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
        parts, last = [], ""
        while files := await self.read(self.store.artifact_files, project, artifact, last, _FILES_READ):
            parts.append(bytes((await self.json_list(files, artifact_file_document)).body)[1:-1])
            last = files[-1].path
        return JsonResponse(artifact_document(artifact) | {"files": msgspec.Raw(b"[%b]" % b",".join(parts))})


class ArtifactFile(_OfVersion, get=Right.READ):
    """``/{namespace}/projects/{project}/artifacts/{name}/{version}/files/{path}``."""

    async def get(self, request: Request) -> Response:
        """The content of a file of a version."""
        path = self.scope["path_params"]
        project, artifact = await self.version()
        file = await self.read(self.store.artifact_file, project, artifact, path["path"])
        if file is None or not file.present:
            raise HTTPException(404)
        caching = LASTING if _VERSION.fullmatch(path["version"]) else CHANGING
        return await self.content(request, file.sha256, file.path.rpartition("/")[2], caching)
