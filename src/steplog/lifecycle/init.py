"""``init``: a new run, created on the server if that answers, in the journal in any case.

::

    mode        the run is                                                sent
    online      on the server; in the journal until it answers            by itself
    offline     in the journal; no socket is opened                       by ``steplog sync``
    disabled    nowhere                                                   never

With no address and no key, the embedded server of this machine is used; without one the run is kept offline until a
later ``init``, ``steplog sync`` or ``steplog serve`` finds one.

The manifest is written before the POST, which has an ``Idempotency-Key``: a process that dies in between leaves a run
that is found, and CRASHED.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from steplog import safeguard
from steplog.active import set_active_run
from steplog.config import as_config
from steplog.delivery.creation import Made, creation_headers
from steplog.delivery.generations import date
from steplog.delivery.verdicts import is_proxys_404, may_pass
from steplog.delivery.wire import api_path
from steplog.descriptors import lent
from steplog.errors import (
    ConfigurationError,
    InvalidAPIKeyError,
    RunExistsError,
    RunNotFoundError,
    ServerUnavailableError,
)
from steplog.identity import RunOrg, RunProject, RunStatus, slug_of
from steplog.journal.directories import new_id
from steplog.journal.manifest import Generation, Manifest, Plan
from steplog.lifecycle.continuing import planned_here
from steplog.lifecycle.described import described
from steplog.lifecycle.disabled import DisabledRun
from steplog.lifecycle.joining import find_manifest, join
from steplog.lifecycle.open_run import OpenRun
from steplog.lifecycle.process import current
from steplog.lifecycle.provenance import Returning
from steplog.lifecycle.resuming import exists, find_here, find_on_stock, missing, what
from steplog.lifecycle.run_fields import check_size, checked
from steplog.run import Run
from steplog.settings import Settings, resolve
from steplog.time_limit import within

if TYPE_CHECKING:
    from steplog.client import Account, TellurioClient
    from steplog.network.response import Response

__all__ = ["init"]

_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")
_RESUME = ("never", "allow", "must")
_NOT_FOUND, _CONFLICT = 404, 409
_LOCAL_ANSWER_S = 3.0  # a server of this machine that has not answered by then hangs
_GOES_ON = ("allow", "must")
_SENT_LATER = ", and sent once the server answers"


def init(
    namespace_slug: str | None = None,
    project_display_name: str | None = None,
    name: str | None = None,
    description: str | None = None,
    status: RunStatus | str | None = RunStatus.RUNNING,
    client: TellurioClient | None = None,
    *,
    project: str | None = None,
    namespace: str | None = None,
    config: object = None,
    tags: Iterable[str] | None = None,
    group: str | None = None,
    job_type: str | None = None,
    notes: str | None = None,
    id: str | None = None,  # noqa: A002 - the field's word
    resume: str | None = None,
    mode: str | None = None,
    on_failure: str = "warn",
    activate: bool = True,
    provenance: bool | None = None,
) -> Run:
    """Create a run and open it.

    Args:
        namespace_slug: whose project it is. None: the key's own user.
        project_display_name: the project, found by its slug, or created RESTRICTED.
        name: of the run; None: the server chooses one.
        description: free text.
        status: the first status.
        client: None: the default client.
        project: as ``project_display_name``; without either, the setting ``project``.
        namespace: as ``namespace_slug``; without either, the setting ``namespace``.
        config: a mapping, or an object such as an ``argparse.Namespace``; see ``Run.config``.
        tags: these, and the next three, may be set later, too; see ``Run``.
        group: what the run belongs to.
        job_type: what the run does.
        notes: free text.
        id: the caller's name for the run, unique in its project; or the uuid of a run that exists.
        resume: "allow" goes on with the run of this id, else of this name, or makes it; "must" wants it to be there,
            "never" (and an id without ``resume``) wants it not to be. One that is open in this process is returned.
        mode: "online", "offline" or "disabled".
        on_failure: without an answer from the server, "warn" keeps the run in the journal, "raise" raises.
        activate: make it the active run; the last one of this thread is FAILED, unless it was finished or entered.
        provenance: False: record neither host, user, command line nor git commit; None: the setting.

    Raises:
        TypeError, ValueError: the project is missing, an argument is given twice, or cannot be an id or a ``resume``.
        RunNotFoundError, RunExistsError: the server has no such run (``resume="must"``), or has it (``"never"``).
        requests.HTTPError: the server refuses.
        InvalidAPIKeyError, ServerUnavailableError: the key is wrong; no usable answer (``on_failure="raise"``).
    """
    space, project = _one("namespace", namespace_slug, namespace), _one("project", project_display_name, project)
    settings = resolve(namespace=space, project=project, name=name, mode=mode, provenance=provenance)
    plan = _plan(settings, namespace_slug, description, status, id, resume)
    returning = Returning()
    run = _run(settings, plan, client, on_failure, (tags, group, job_type, notes), config, returning.returned)
    return _activated(run) if activate else run


def _run(
    settings: Settings,
    plan: Plan,
    client: TellurioClient | None,
    on_failure: str,
    given: tuple[object, ...],
    config: object,
    returned: threading.Event,
) -> Run:
    """The run of a plan: the one that is open in this process, or one that is begun."""
    if on_failure not in ("warn", "raise"):
        raise ValueError(f'on_failure is "warn" or "raise", not {on_failure!r}')
    fields = _fields(settings, plan, dict(zip(("tags", "group", "job_type", "notes"), given, strict=True)))
    begins_with, began = {} if config is None else as_config(config), {"started": date(time.time_ns())}
    run = None if settings.mode == "disabled" else planned_here(plan)
    if isinstance(run, Run):
        run.begin(fields, begins_with, is_new=run._is_new)
        return run
    run = _start(settings, plan, client, on_failure)  # what may raise for an argument comes before
    is_new = run._is_new or plan.resume not in _GOES_ON
    run.begin({**began, **fields} if is_new else fields, begins_with, is_new=is_new)
    if settings.provenance and isinstance(run._opened, OpenRun):
        run._opened.collect_provenance(returned)
    return run


def _activated(run: Run) -> Run:
    safeguard.supersede(run)
    set_active_run(run)
    return run


def _one(what: str, positional: str | None, keyword: str | None) -> str | None:
    if positional is not None and keyword is not None:
        raise TypeError(f"init() got the {what} twice: {positional!r} and {what}={keyword!r}")
    return keyword if positional is None else positional


def _fields(settings: Settings, plan: Plan, given: dict[str, Any]) -> dict[str, Any]:
    """What was given of the run; what its creation says is said again where it may be there already."""
    if plan.resume in _GOES_ON:
        given["description"] = plan.description
    fields = checked({name: value for name, value in given.items() if value is not None})
    check_size(fields, settings.value_bytes_max)
    return fields


def _check(key: object, resume: str | None, name: str | None) -> None:
    if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise ValueError(f"the id {key!r} is not of 1 to 128 letters, digits, '.', '_' and '-'")
    if resume is not None and resume not in _RESUME:
        raise ValueError(f'resume is "never", "allow" or "must", not {resume!r}')
    if resume in ("allow", "must") and key is None and name is None:
        raise ValueError(f'resume="{resume}" needs the id of a run, or its name: init(..., id="...")')


def _plan(
    settings: Settings,
    namespace_slug: str | None,
    description: str | None,
    status: RunStatus | str | None,
    key: str | None,
    resume: str | None,
) -> Plan:
    _check(key, resume, settings.name)
    if settings.project is None and settings.mode != "disabled":
        meant = f"; did you mean init(project={namespace_slug!r})?" if namespace_slug is not None else ""
        raise ValueError(f"init() needs a project{meant or ': init(project=...), or STEPLOG_PROJECT'}")
    project_name = settings.project or "disabled"
    slug = slug_of(project_name)
    if not slug:
        raise ValueError(f"the project {project_name!r} has no letter or digit to make its address of")
    return Plan(
        local_id=new_id(),
        namespace=settings.namespace or "",
        project=slug,
        project_name=project_name,
        name=settings.name or key,
        description=description,
        status=None if status is None else RunStatus(status).value,
        key=key or "",
        resume=resume if key is None or resume is not None else "never",
    )


def _start(settings: Settings, plan: Plan, client: TellurioClient | None, on_failure: str) -> Run:
    if settings.mode == "disabled":
        run = _local_run(_manifest(plan, None, "disabled"))
        run._opened_as(DisabledRun(settings))
        return run
    if settings.mode == "offline":
        return _keep(plan, None, "offline", "; to send it, type: steplog sync")
    client = _default_client(settings) if client is None else _given_client(client)
    if client is None:
        hint = ": no server is configured; type: steplog serve, or: steplog login"
        return _keep(plan, None, "unconfigured", hint)
    try:
        with _patience(client, on_failure):
            return _make(plan, client, on_failure)
    except ServerUnavailableError as error:
        if on_failure == "raise":
            raise
        return _keep(plan, client, "online", f"{_SENT_LATER}: {error}")


def _patience(client: TellurioClient, on_failure: str) -> AbstractContextManager[None]:
    """How long the server may take; a run that can be kept does not wait for one of this machine that hangs."""
    hangs_after_s = _LOCAL_ANSWER_S if client.local is not None and on_failure == "warn" else None
    return within(hangs_after_s, first_answer=True)


def _given_client(client: Any) -> TellurioClient:
    from steplog.given_client import as_client

    return as_client(client)


def _default_client(settings: Settings) -> TellurioClient | None:
    from steplog.client import get_default_client, is_configured

    try:
        return get_default_client()
    except ConfigurationError:
        if is_configured(settings):
            raise
        return None


def _make(plan: Plan, client: TellurioClient, on_failure: str) -> Run:
    with lent():  # before a descriptor is held: all that the rest imports
        from steplog.given_client import as_client  # noqa: F401
        from steplog.network.response import http_error_types  # noqa: F401
        from steplog.project import create_project, get_project  # noqa: F401

    try:
        with _asking(client):
            account = _login(client)
            plan = msgspec.structs.replace(plan, namespace=plan.namespace or slug_of(account.username))
            _make_project(plan, client)
    except (ServerUnavailableError, ConfigurationError):
        if client.replaced("POST") is None or client.replaced("GET") is not None or not plan.namespace:
            raise  # else there need be no server to ask: the user's own method makes the run
    if plan.resume is None:
        return _create(plan, OpenRun(_manifest(plan, client, "online"), None), client, on_failure)
    return _resume(plan, client, on_failure)


def _resume(plan: Plan, client: TellurioClient, on_failure: str) -> Run:
    """Make a run that may be there, or go on with it."""
    here = find_here(plan, client.settings.url)
    with current().keeping_free("" if here is None else here.local_id):
        return _resume_from(here, plan, client, on_failure)


def _resume_from(here: Manifest | None, plan: Plan, client: TellurioClient, on_failure: str) -> Run:
    if here is not None and here.plan is not None and not here.run:  # begun here, and not on the server yet
        if plan.resume == "never":
            raise exists(plan)
        opened = OpenRun(here, None)
        _go_online(opened, client)
        if opened.lease is not None and opened.lease.outbox.creation is not None:
            here_plan = msgspec.structs.replace(here.plan, namespace=plan.namespace)
            return _create(here_plan, opened, client, on_failure, anew=False)
        opened.use(client)
        return _kept(opened, _SENT_LATER, resumed=True)  # another process makes it
    with _asking(client):
        told = find_on_stock(plan, client)
    if told is None:
        return _create(plan, OpenRun(_manifest(plan, client, "online"), None), client, on_failure)
    if plan.resume == "never":
        raise exists(plan)
    return _joined(told, plan, client)


def _go_online(opened: OpenRun, client: TellurioClient) -> None:
    """A run that was begun offline goes on with this server, which has yet to make it."""
    if opened.lease is not None and opened.process is not None and client.account is not None:
        where = {"base_url": client.settings.url, "account": client.account.username}
        opened.process.agent.change(opened.lease, mode="online", **where)
        opened.manifest = opened.lease.manifest


def _create(plan: Plan, opened: OpenRun, client: TellurioClient, on_failure: str, *, anew: bool = True) -> Run:
    """Have the server make the run, or find it; ``anew``: it has nothing else on this host."""
    from steplog.network.response import http_error_types

    try:
        told, run = _post(plan, opened, client)
    except BaseException as error:
        refused = isinstance(error, (*http_error_types(), InvalidAPIKeyError, RunExistsError, RunNotFoundError))
        if refused and anew:
            opened.discard()
            raise
        opened.use(client)  # it may be on the server: the agent finds out
        if refused or (on_failure == "warn" and isinstance(error, ServerUnavailableError)):
            return _kept(opened, f"{_SENT_LATER}: {error}", resumed=not anew)
        opened.finish_in_background("CRASHED")
        raise
    made = _made(told)
    if anew and not made.is_of(plan.local_id) and find_manifest(made.uuid) is not None:
        opened.discard()
        return _joined(told, plan, client)
    run._is_new, run._told = anew and made.is_of(plan.local_id), told
    takes_ranges = told.get("batch", 0) >= 1 and client.replaced("POST") is None
    opened.made(client, made, plan.namespace, takes_ranges)
    return _opened(run, opened)


def _post(plan: Plan, opened: OpenRun, client: TellurioClient) -> tuple[dict[str, Any], Run]:
    replaced = client.replaced("POST") is not None
    given = {"name": plan.name, "description": plan.description, "status": plan.status}
    if opened.manifest.generations and not replaced:
        given["began"] = date(opened.manifest.generations[0].began)
    with _asking(client):
        response = client.send(
            "POST",
            api_path(plan.namespace, "projects", plan.project, "runs"),
            {key: value for key, value in given.items() if value is not None},
            headers=creation_headers(plan),
        )
        if plan.resume == "never" and response.status == _CONFLICT:
            raise exists(plan)
        if plan.resume == "must" and response.status == _NOT_FOUND and not is_proxys_404(_NOT_FOUND, response.body):
            raise missing(plan)
        if response.status not in (200, 201):
            raise response.http_error()
    return _told(response, plan.namespace)


def _joined(told: dict[str, Any], plan: Plan, client: TellurioClient) -> Run:
    """Go on with a run that the server has."""
    run = described(told, plan.namespace)
    run._told, uuid = told, str(run.uuid)
    names = plan.namespace, plan.project, run.name
    opened = join(uuid, *names, client, found=find_manifest(uuid), owner=True, key=_made(told).key(plan.key))
    if "generation" not in told and opened.decides:  # nothing else tells the server that it goes on
        with suppress(ServerUnavailableError):
            client.send("PATCH", api_path(*names[:1], "projects", plan.project, "runs", uuid), {"status": "RUNNING"})
    return _opened(run, opened)


def _made(told: dict[str, Any]) -> Made:
    given: dict[str, Any] = {name: told.get(name) for name in ("features", "made_by", "generation", "id")}
    return Made(str(told["uuid"]), str(told.get("name") or ""), **given)


def _opened(run: Run, opened: OpenRun) -> Run:
    run._opened_as(opened)
    if opened.decides:
        run.status = RunStatus.RUNNING
    opened.say_began(run._told, resumed=not run._is_new)
    return run


def _login(client: TellurioClient) -> Account:
    """As ``TellurioClient.login``."""
    try:
        return client.login()
    except InvalidAPIKeyError as error:
        words = f"{error} {client.base_url} does not know it; type: steplog login"
    raise InvalidAPIKeyError(words)


def _make_project(plan: Plan, client: TellurioClient) -> None:
    """Create the project if it is missing; another process may do so, too."""
    from steplog.network.response import http_error_types
    from steplog.project import create_project, get_project

    if get_project(plan.namespace, plan.project, client) is not None:
        return
    if plan.resume == "must":
        raise missing(plan)
    try:
        create_project(plan.namespace, plan.project_name, "RESTRICTED", client)
    except http_error_types() as error:
        if get_project(plan.namespace, plan.project, client) is None:
            where = f"{plan.namespace!r} at {client.base_url}"
            words = f"the project {plan.project!r} is not in {where}, and cannot be made: {error}"
            if error.response is not None and "already exists" in error.response.text:
                words = f"the project {plan.project!r} of {where} is not for the user of this key: {error}"
                words += " Ask an OWNER of it for: steplog member add"
                words += f" {plan.namespace}/{plan.project} {client.account.username if client.account else 'USER'}"
            raise type(error)(words, response=error.response) from None


@contextmanager
def _asking(client: TellurioClient) -> Iterator[None]:
    """Raise ServerUnavailableError for what refuses nothing: a 408, 425, 429, 5xx, and a 404 of a proxy's."""
    from steplog.network.response import http_error_types

    try:
        yield
    except http_error_types() as error:
        answer = error.response
        if answer is None or not (may_pass(answer.status_code) or is_proxys_404(answer.status_code, answer.content)):
            raise
        raise ServerUnavailableError(f"{client.base_url}: {error}") from None


def _told(response: Response, namespace: str) -> tuple[dict[str, Any], Run]:
    try:
        told = response.json()
        return told, described(told, namespace)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ServerUnavailableError(f"{response.url}: the answer describes no run") from None


def _keep(plan: Plan, client: TellurioClient | None, mode: str, hint: str) -> Run:
    """Keep a run here; one that is meant to go on, and is here, goes on."""
    here = None if plan.resume is None else find_here(plan, "" if client is None else client.settings.url)
    if here is not None and plan.resume == "never":
        hint = f"{hint}; there is one {what(plan)} already, this is another"
        plan, here = msgspec.structs.replace(plan, key="", resume=None), None
    manifest = here or _manifest(plan, client, mode)
    opened = OpenRun(manifest, None if client is None else client.transport)
    return _kept(opened, hint, resumed=here is not None)


def _kept(opened: OpenRun, hint: str, *, resumed: bool) -> Run:
    run = _local_run(opened.manifest)
    run._opened_as(opened)
    opened.say_kept(hint, resumed=resumed)
    return run


def _manifest(plan: Plan, client: TellurioClient | None, mode: str) -> Manifest:
    """For a run that no server has created."""
    return Manifest(
        local_id=plan.local_id,
        base_url="" if client is None else client.settings.url,
        account="" if client is None or client.account is None else client.account.username,
        namespace=plan.namespace,
        project=plan.project,
        run="",
        name=plan.name or "",
        mode=mode,
        plan=plan,
        key=plan.key,
        generations=(Generation(maker=plan.local_id, began=time.time_ns()),),
    )


def _local_run(manifest: Manifest) -> Run:
    """The run before the server is heard of; until that has made it, its uuid is the local id."""
    plan, uuid, name = manifest.plan, manifest.run or manifest.local_id, manifest.name or None
    description, status = (None, None) if plan is None or manifest.run else (plan.description, plan.status)
    project = RunProject("", manifest.project if plan is None else plan.project_name, manifest.project)
    return Run(uuid, name, description, status or "RUNNING", organization=RunOrg(manifest.namespace), project=project)
