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
from steplog.server.permissions import OWNER, VISIBILITIES, Facts, Right, gives, may_create, role_for
from steplog.server.request_body import read_json
from steplog.server.run_document import brief_document, run_document
from steplog.server.store_types import (
    ID_PREFIX,
    RESUMES,
    RETENTION_DAYS_MAX,
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

_ADDITIONS: dict[str, Any] = {
    "batch": 1,
    "features": ["report", "generations", "resume", "run", "trash", "table", "history", "curves", "views"],
}  # what a client may use; not a stock server's
_FILES = "files"  # a feature of a server that keeps contents
_STATUSES = ("RUNNING", "COMPLETED", "CRASHED", "FAILED")
_SLUG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IDEMPOTENCY_KEY = re.compile(r'"?([\x20\x21\x23-\x7e]{1,255})"?')
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_MAKER = re.compile(r"([A-Za-z0-9._-]{1,128})")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RESUME = re.compile(f"({'|'.join(RESUMES)})")
_GENERATION_MAX = 2**31 - 1
_FILES_MAX = 2**53 - 1
_NONCE_CHARACTERS_MAX = 256
_NOWHERE = NamespaceRow(0, "", "", "")


class KeyCheck(Endpoint, get=Right.KEY):
    """``/verify-api-key/``."""

    async def get(self, _request: Request) -> Response:
        """The owner of the key."""
        user = self.user
        return JsonResponse({"email": user.email, "username": user.username, "message": "API key is valid."})


class InstanceProof(Endpoint, get=Right.NONE):
    """``/instance/``, which needs no key."""

    async def get(self, request: Request) -> Response:
        """Proof that this server wrote the state file."""
        fields = Fields(request.query_params)
        nonce = fields.text("nonce", required=True, characters_max=_NONCE_CHARACTERS_MAX) or ""
        fields.check()
        return JsonResponse({"instance": self.store.instance, "proof": instance.proof(self.state.secret, nonce)})


class NamespaceList(Endpoint, get=Right.LIST):
    """``/namespaces/``."""

    async def get(self, _request: Request) -> Response:
        """The namespaces that the caller has a role in, or in a project of."""
        found = await self.read(self._readable)
        return JsonResponse([{"slug": namespace.slug, "display_name": namespace.display_name} for namespace in found])

    def _readable(self) -> list[NamespaceRow]:
        caller, found = self.caller, self.store.namespaces()
        if caller.reads_all:
            return found
        readable = {facts.namespace_id for facts in self.store.facts(caller.user_id or 0) if role_for(caller, facts)}
        if caller.project_id is None:
            readable |= self.store.namespace_roles(caller.user_id or 0).keys()
        return [namespace for namespace in found if namespace.id in readable]


class ProjectList(Endpoint, get=Right.LIST, post=Right.CREATE):
    """``/{namespace}/projects/``."""

    async def get(self, _request: Request) -> Response:
        """The projects of a namespace that the caller may read."""
        namespace, roles = await self.read(self._readable)
        if namespace is None:
            raise HTTPException(404)
        projects = [each for each in await self.read(self.store.projects, namespace) if each.id in roles]
        if self.state.stock:
            return JsonResponse([_project(project) for project in projects])
        activity = await self.read(self.store.activity, namespace)
        return JsonResponse([_project(each, roles[each.id]) | _activity(activity.get(each.id)) for each in projects])

    async def post(self, request: Request) -> Response:
        """Create a project."""
        namespace = await self._own_namespace()
        fields = Fields(await read_json(request))
        display_name = fields.text("display_name", required=True) or ""
        visibility = fields.choice("visibility", VISIBILITIES, required=True) or ""
        slug = slugify(display_name)
        if display_name and not slug:
            fields.add_error("display_name", "A name needs a letter or a digit.")
        fields.check()
        if namespace is None:
            namespace = await self.written(self.store.put_namespace(self._slug, self.user))
        try:
            added = self.store.add_project(namespace, slug, display_name, visibility, self.user)
            project = await self.written(added)
        except TakenError:
            raise ValidationError({"display_name": ["A project with this name already exists."]}) from None
        owner = {"role": OWNER, "org_uuid": namespace.uuid}
        names = {"org_display_name": namespace.display_name, "org_slug": namespace.slug}
        return JsonResponse(_project(project) | owner | names, 201)

    @property
    def _slug(self) -> str:
        return str(self.scope["path_params"]["namespace"])

    def _readable(self) -> tuple[NamespaceRow | None, dict[int, str]]:
        """The namespace of the path, where the caller may know of it, and its role in each project that it may read."""
        caller, namespace = self.caller, self.store.namespace(self._slug)
        if namespace is None:  # as many reads as of one that is hidden, or the time would tell
            self._facts_of(_NOWHERE)
            self._role_in(_NOWHERE)
            return None, {}
        of_each = ((facts.project_id, role_for(caller, facts)) for facts in self._facts_of(namespace))
        roles = {project_id: role for project_id, role in of_each if role is not None}
        is_known = caller.reads_all or roles or self._role_in(namespace) is not None
        return (namespace if is_known else None), roles

    async def _own_namespace(self) -> NamespaceRow | None:
        """The namespace of the path, for a project to be made in it; None: it is to be made, too. Else 404 or 403."""
        namespace = await self.read(self.store.namespace, self._slug)
        if namespace is None:
            makes = self.state.open_namespaces and self.caller.reads_all and _SLUG.fullmatch(self._slug)
            if not makes:
                raise HTTPException(404)
        elif not may_create(self.caller, await self.read(self._role_in, namespace)):
            known, _ = await self.read(self._readable)
            if known is None:
                raise HTTPException(404)
            raise HTTPException(403, "To make a project in this namespace takes the role MEMBER in it.")
        return namespace

    def _facts_of(self, namespace: NamespaceRow) -> list[Facts]:
        return self.store.facts(self.caller.user_id or 0, namespace)

    def _role_in(self, namespace: NamespaceRow) -> str | None:
        """The caller's role in a whole namespace."""
        if self.caller.project_id is not None:
            return None
        return self.store.namespace_roles(self.caller.user_id or 0).get(namespace.id)


class ProjectDetail(Endpoint, get=Right.READ, patch=Right.OWN, delete=Right.OWN):
    """``/{namespace}/projects/{project}/``."""

    async def get(self, _request: Request) -> Response:
        """One project."""
        project = await self.project()
        return JsonResponse(_project(project) if self.state.stock else _project(project, self.role))

    async def patch(self, request: Request) -> Response:
        """Set its display name, its visibility, and for how many days runs that have ended are kept."""
        if self.state.stock:
            raise HTTPException(405, headers={"Allow": "GET, DELETE"})
        fields = Fields(raw := await read_json(request))
        values: dict[str, str | int | None] = {}
        if "display_name" in raw:
            values["display_name"] = fields.text("display_name", required=True)
        if "visibility" in raw:
            values["visibility"] = fields.choice("visibility", VISIBILITIES, required=True)
        if "retention_days" in raw:
            values["retention_days"] = fields.integer("retention_days", 1, RETENTION_DAYS_MAX)
        fields.check()
        project = await self.project()
        changed = await self.written(self.store.edit_project(self.scope["path_params"]["namespace"], project, values))
        self.state.admissions.forget()
        return JsonResponse(_project(changed, self.role))

    async def delete(self, _request: Request) -> Response:
        """Delete it, its runs and their metrics."""
        project = await self.project()
        await self.written(self.store.delete_project(project))
        self.state.admissions.forget()
        return Response(status_code=204)


class RunList(Endpoint, get=Right.READ, post=Right.WRITE):
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
        return JsonResponse(document | ({} if self.state.stock else _additions(self)), 201 if made else 200)


class RunDetail(Endpoint, get=Right.READ, patch=Right.WRITE, delete=Right.WRITE):
    """``/{namespace}/projects/{project}/runs/{run}/``."""

    async def get(self, request: Request) -> Response:
        """One run; to one of its clients, which is then heard of; with ``?brief=1`` as ``RunList`` has it."""
        if self.state.stock:
            raise HTTPException(405, headers={"Allow": "PATCH"})
        run = await self.run()
        if _maker(request) is not None and gives(self.role, Right.WRITE):
            with suppress(StoreError):  # a full disk, say, does not keep a run from being read
                run = await self.written(self.store.hear(run))
        document = (await _described(self, [run], brief=_flag(request.query_params, "brief")))(run)
        return JsonResponse(document | _additions(self))

    async def patch(self, request: Request) -> Response:
        """Set its fields and its status."""
        fields = Fields(await read_json(request))
        run, stock = await self.run(), self.state.stock
        status = fields.choice("status", _STATUSES)
        values = {} if stock else fields.run_fields()
        generation = None if stock else fields.integer("generation", 1, _GENERATION_MAX)
        pending = None if stock else fields.integer("files_pending", 0, _FILES_MAX)
        fields.check()
        if pending is not None:
            await self.written(self.store.announce_files(run, (), (), pending))
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


class RunRestored(Endpoint, post=Right.WRITE):
    """``/{namespace}/projects/{project}/runs/{run}/restore/``."""

    async def post(self, request: Request) -> Response:
        """Take it out of the trash."""
        await read_json(request)
        project = await self.project()
        run = await self.written(self.store.restore_run(project, self.scope["path_params"]["run"]))
        document = (await _described(self, [run]))(run)
        return JsonResponse(document)


class GenerationList(Endpoint, post=Right.WRITE):
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


def _additions(endpoint: Endpoint) -> dict[str, Any]:
    """What a client may use of this server."""
    if endpoint.state.uploads is None:
        return _ADDITIONS
    return _ADDITIONS | {"features": [*_ADDITIONS["features"], _FILES]}


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


def _project(project: ProjectRow, role: str | None = None) -> dict[str, Any]:
    """Its document; a stock server's without a role."""
    fields = ("uuid", "display_name", "slug", "date_created", "last_run_date", "visibility")
    document = {field: getattr(project, field) for field in fields}
    return document if role is None else document | {"retention_days": project.retention_days, "role": role}
