"""The endpoints of keys, namespaces, projects and runs; ``docs/api.md`` specifies them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from slugify import slugify
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from steplog import instance
from steplog.records.run_fields import DESCRIPTION_CHARACTERS_MAX
from steplog.server.endpoint import Endpoint, JsonResponse
from steplog.server.request_body import read_json
from steplog.server.run_document import brief_document, run_document
from steplog.server.store_types import (
    ID_PREFIX,
    RESUMES,
    Creation,
    MissingError,
    NamespaceRow,
    ProjectActivity,
    ProjectRow,
    RunRow,
    StoreError,
    TakenError,
)
from steplog.server.validation import Fields, ValidationError, pagination

__all__ = [
    "GenerationList",
    "InstanceProof",
    "KeyCheck",
    "NamespaceList",
    "ProjectDetail",
    "ProjectList",
    "RunDetail",
    "RunList",
    "RunRestored",
]

_ADDITIONS = {
    "batch": 1,
    "features": ["report", "generations", "resume", "run", "trash", "table", "history", "curves", "views"],
}  # what a client may use; not a stock server's
_VISIBILITIES = ("RESTRICTED", "TEAM", "PUBLIC", "OPEN")
_STATUSES = ("RUNNING", "COMPLETED", "CRASHED", "FAILED")
_SLUG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IDEMPOTENCY_KEY = re.compile(r'"?([\x20\x21\x23-\x7e]{1,255})"?')
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MAKER = re.compile(r"([A-Za-z0-9._-]{1,128})")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RESUME = re.compile(f"({'|'.join(RESUMES)})")
_GENERATION_MAX = 2**31 - 1
_NONCE_CHARACTERS_MAX = 256


class KeyCheck(Endpoint):
    """``/verify-api-key/``."""

    async def get(self, _request: Request) -> Response:
        """The owner of the key."""
        user = self.user
        return JsonResponse({"email": user.email, "username": user.username, "message": "API key is valid."})


class InstanceProof(Endpoint):
    """``/instance/``, which needs no key."""

    async def get(self, request: Request) -> Response:
        """Proof that this server wrote the state file."""
        fields = Fields(request.query_params)
        nonce = fields.text("nonce", required=True, characters_max=_NONCE_CHARACTERS_MAX) or ""
        fields.check()
        return JsonResponse({"instance": self.store.instance, "proof": instance.proof(self.state.secret, nonce)})


class NamespaceList(Endpoint):
    """``/namespaces/``."""

    async def get(self, _request: Request) -> Response:
        """Every namespace."""
        found = await self.read(self.store.namespaces)
        return JsonResponse([{"slug": namespace.slug, "display_name": namespace.display_name} for namespace in found])


class ProjectList(Endpoint):
    """``/{namespace}/projects/``."""

    async def get(self, _request: Request) -> Response:
        """The projects of a namespace."""
        namespace = await self._namespace(create=False)
        projects = await self.read(self.store.projects, namespace)
        if self.state.stock:
            return JsonResponse([_project(project) for project in projects])
        activity = await self.read(self.store.activity, namespace)
        return JsonResponse([_project(each) | _activity(activity.get(each.id)) for each in projects])

    async def post(self, request: Request) -> Response:
        """Create a project."""
        fields = Fields(await read_json(request))
        namespace = await self._namespace(create=self.state.open_namespaces)
        display_name = fields.text("display_name", required=True) or ""
        visibility = fields.choice("visibility", _VISIBILITIES, required=True) or ""
        slug = slugify(display_name)
        if display_name and not slug:
            fields.add_error("display_name", "A name needs a letter or a digit.")
        fields.check()
        try:
            project = await self.written(self.store.add_project(namespace, slug, display_name, visibility))
        except TakenError:
            raise ValidationError({"display_name": ["A project with this name already exists."]}) from None
        owner = {"role": "OWNER", "org_uuid": namespace.uuid}
        names = {"org_display_name": namespace.display_name, "org_slug": namespace.slug}
        return JsonResponse(_project(project) | owner | names, 201)

    async def _namespace(self, create: bool) -> NamespaceRow:
        slug: str = self.scope["path_params"]["namespace"]
        namespace = await self.read(self.store.namespace, slug)
        if namespace is None and create and _SLUG.fullmatch(slug):
            namespace = await self.written(self.store.put_namespace(slug))
        if namespace is None:
            raise HTTPException(404)
        return namespace


class ProjectDetail(Endpoint):
    """``/{namespace}/projects/{project}/``."""

    async def get(self, _request: Request) -> Response:
        """One project."""
        return JsonResponse(_project(await self.project()))

    async def delete(self, _request: Request) -> Response:
        """Delete it, its runs and their metrics."""
        project = await self.project()
        await self.written(self.store.delete_project(project))
        return Response(status_code=204)


class RunList(Endpoint):
    """``/{namespace}/projects/{project}/runs/``."""

    async def get(self, request: Request) -> Response:
        """The runs of a project, oldest first; with ``?slug=`` those with this slug, with ``?trash=1`` those in it.

        With ``?brief=1`` without their project, maker, config and provenance. ``?after=`` is how many to skip, or the
        uuid of the last one before.
        """
        query = {} if self.state.stock else request.query_params
        last = query.get("after", "")
        by_uuid = _UUID.fullmatch(last) is not None and "slug" not in query and "trash" not in query
        paged = {name: each for name, each in request.query_params.items() if not (by_uuid and name == "after")}
        offset, limit = pagination(paged)
        project = await self.project()
        slug = query.get("slug")
        if by_uuid:
            try:
                found = await self.read(self.store.runs_after, project, last, limit)
            except MissingError:
                raise ValidationError({"after": ["The project has no such run."]}) from None
        elif slug is not None:
            found = (await self.read(self.store.runs_by_slug, project, slug, _flag(query, "trash")))[offset:][:limit]
        elif _flag(query, "trash"):
            found = await self.read(self.store.trash, project, offset, limit)
        else:
            found = await self.read(self.store.runs, project, offset, limit)
        return await self.json_list(found, await _described(self, found, brief=_flag(query, "brief")))

    async def post(self, request: Request) -> Response:
        """Create a run, or find the one that is meant."""
        fields = Fields(await read_json(request))
        project = await self.project()
        name = fields.text("name")
        description = fields.text("description", characters_max=DESCRIPTION_CHARACTERS_MAX)
        status = fields.choice("status", _STATUSES) or "RUNNING"
        began = None if self.state.stock else fields.date("began")
        fields.check()
        if self.state.stock:
            asked = Creation(name, description, status)
        else:
            asked = Creation(name, description, status, *_identity(request), began)
        run, made = await self.written(self.store.create_run(project, self.user, asked))
        document = (await _described(self, [run]))(run)
        return JsonResponse(document | ({} if self.state.stock else _ADDITIONS), 201 if made else 200)


class RunDetail(Endpoint):
    """``/{namespace}/projects/{project}/runs/{run}/``."""

    async def get(self, request: Request) -> Response:
        """One run; to one of its clients, which is then heard of; with ``?brief=1`` as ``RunList`` has it."""
        if self.state.stock:
            raise HTTPException(405, headers={"Allow": "PATCH"})
        run = await self.run()
        if _maker(request) is not None and not self.is_page:
            with suppress(StoreError):  # a full disk, say, does not keep a run from being read
                run = await self.written(self.store.hear(run))
        document = (await _described(self, [run], brief=_flag(request.query_params, "brief")))(run)
        return JsonResponse(document | _ADDITIONS)

    async def patch(self, request: Request) -> Response:
        """Set its fields and its status."""
        fields = Fields(await read_json(request))
        run, stock = await self.run(), self.state.stock
        status = fields.choice("status", _STATUSES)
        values = {} if stock else fields.run_fields()
        generation = None if stock else fields.integer("generation", 1, _GENERATION_MAX)
        fields.check()
        run = await self.written(self.store.edit_run(run, values, status, generation))
        document = (await _described(self, [run]))(run)
        return JsonResponse(document)

    async def delete(self, request: Request) -> Response:
        """Move it to the trash; with ``?now=1`` delete it for good."""
        if self.state.stock:
            raise HTTPException(405, headers={"Allow": "PATCH"})
        project = await self.project()
        now = _flag(request.query_params, "now")
        await self.written(self.store.discard_run(project, self.scope["path_params"]["run"], now))
        return Response(status_code=204)


class RunRestored(Endpoint):
    """``/{namespace}/projects/{project}/runs/{run}/restore/``."""

    async def post(self, request: Request) -> Response:
        """Take it out of the trash."""
        await read_json(request)
        project = await self.project()
        run = await self.written(self.store.restore_run(project, self.scope["path_params"]["run"]))
        document = (await _described(self, [run]))(run)
        return JsonResponse(document)


class GenerationList(Endpoint):
    """``/{namespace}/projects/{project}/runs/{run}/generations/``."""

    async def post(self, request: Request) -> Response:
        """Begin a generation of ownership."""
        fields = Fields(await read_json(request))
        maker = _maker(request)
        if maker is None:
            raise HTTPException(400, "Steplog-Maker is required.")
        began = fields.date("began", required=True) or ""
        fields.check()
        run = await self.run()
        number, begun = await self.written(self.store.begin_generation(run, maker, began))
        return JsonResponse({"generation": number}, 201 if begun else 200)


async def _described(endpoint: Endpoint, found: Sequence[RunRow], brief: bool = False) -> Callable[[RunRow], Any]:
    """What makes the document of each of these runs."""
    if endpoint.state.stock:
        return lambda run: run_document(run, None)
    if brief:
        return brief_document
    configs = await endpoint.read(endpoint.store.configs, found)
    return lambda run: run_document(run, configs[run.id])


def _flag(query: Mapping[str, str], name: str) -> bool:
    fields = Fields(query)
    chosen = fields.choice(name, ("0", "1"))
    fields.check()
    return chosen == "1"


def _identity(request: Request) -> tuple[str | None, str | None, str | None]:
    """The idempotency key, the maker, and what to do if the run exists."""
    key = _header(request, "Idempotency-Key", _IDEMPOTENCY_KEY, "a quoted string of at most 255 characters")
    if key is not None and key.startswith(ID_PREFIX) and not _ID.fullmatch(key, len(ID_PREFIX)):
        raise HTTPException(400, "An id has 1 to 128 characters: letters, digits, dot, dash and underscore.")
    return key, _maker(request), _header(request, "Steplog-Resume", _RESUME, "allow, must or never")


def _maker(request: Request) -> str | None:
    return _header(request, "Steplog-Maker", _MAKER, "1 to 128 letters, digits, dots, dashes and underscores")


def _header(request: Request, name: str, form: re.Pattern[str], words: str) -> str | None:
    text = request.headers.get(name)
    if text is None:
        return None
    match = form.fullmatch(text.strip())
    if match is None:
        raise HTTPException(400, f"{name} must be {words}.")
    return match[1]


def _activity(activity: ProjectActivity | None) -> dict[str, Any]:
    """That of a project; it may have been made or deleted meanwhile."""
    activity = activity or ProjectActivity(0, 0, None)
    return {"runs": activity.runs, "running": activity.running, "seen": activity.seen}


def _project(project: ProjectRow) -> dict[str, Any]:
    fields = ("uuid", "display_name", "slug", "date_created", "last_run_date", "visibility")
    return {field: getattr(project, field) for field in fields}
