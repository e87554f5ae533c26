"""``init``: a new run, on the server at once where that answers, in the journal in any case.

::

    mode        what happens                                                             goes to the server
    online      the run is made on the server; where that does not answer in time,       by itself
                in the journal, and on the server as soon as it does
    offline     in the journal; no socket is opened                                      by ``steplog sync``
    disabled    nothing at all                                                           never

With nothing configured at all (no address, no key), an embedded server that runs on this machine is used; without one
the run is kept offline, and goes with whatever is configured later: the next ``init``, ``steplog sync`` or ``steplog
serve``.

A refusal by the server (4xx) always raises. The POST that makes the run carries an ``Idempotency-Key``, so that a lost
answer does not make a second run; and the manifest holds what the run is to be before it is sent, so that a process
which dies of anything before it has the answer leaves a run that is found, and CRASHED.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from steplog import context, safeguard
from steplog.config import as_config
from steplog.delivery.creation import Made
from steplog.delivery.verdicts import may_pass
from steplog.delivery.wire import runs_path
from steplog.errors import ConfigurationError, InvalidAPIKeyError, ServerUnavailableError
from steplog.identity import RunOrg, RunProject, RunStatus, RunUser, slug_of
from steplog.journal.directories import new_id
from steplog.journal.manifest import Manifest, Plan
from steplog.lifecycle import messages
from steplog.lifecycle.disabled import DisabledRun
from steplog.lifecycle.open_run import OpenRun
from steplog.lifecycle.placing import account_of, make_project
from steplog.run import Run
from steplog.settings import Settings, resolve

if TYPE_CHECKING:
    from steplog.client import TellurioClient
    from steplog.network.response import Response

__all__ = ["init"]

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
    mode: str | None = None,
    on_failure: str = "warn",
    activate: bool = True,
) -> Run:
    """Make a run, and open it here.

    Args:
        namespace_slug: whose project it is. None: the key's own user.
        project_display_name: its slug names the project, which is made, RESTRICTED, if it is not there.
        name: what the run is called; None: the server finds a name.
        description: free text.
        status: what the run begins with.
        client: the client to use; None: the default one.
        project: the same as ``project_display_name``; without either, the setting of this name.
        namespace: the same as ``namespace_slug``; without either, the setting of this name.
        config: what the run is made with: a mapping, or an object as an ``argparse.Namespace``; see ``Run.config``.
        mode: "online", "offline" or "disabled"; see above.
        on_failure: "raise" has no answer from the server raise, as a refusal always does; "warn" keeps the run in the
            journal, and says so.
        activate: whether it becomes the active run. It then takes the place of the last run that this thread made
            so and neither finished nor entered; that one is FAILED.

    Raises:
        TypeError, ValueError: the project is missing, or something is given twice.
        requests.HTTPError: the server refuses something.
        InvalidAPIKeyError, ServerUnavailableError: the key is wrong; no usable answer came (``on_failure="raise"``).
    """
    if on_failure not in ("warn", "raise"):
        raise ValueError(f'on_failure is "warn" or "raise", not {on_failure!r}')
    settings = resolve(
        namespace=_one("namespace", namespace_slug, namespace),
        project=_one("project", project_display_name, project),
        name=name,
        mode=mode,
    )
    plan = _plan(settings, namespace_slug, description, None if status is None else RunStatus(status).value)
    begins_with = None if config is None else as_config(config)  # now: a mistake in it makes no run
    run = _start(settings, plan, client, on_failure)
    if begins_with is not None:
        run.config.update(begins_with)
    if activate:
        safeguard.supersede(run)
        context.set_active_run(run)
    return run


def _one(what: str, positional: str | None, keyword: str | None) -> str | None:
    if positional is not None and keyword is not None:
        raise TypeError(f"init() got the {what} twice: {positional!r} and {what}={keyword!r}")
    return keyword if positional is None else positional


def _plan(settings: Settings, namespace_slug: str | None, description: str | None, status: str | None) -> Plan:
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
        name=settings.name,
        description=description,
        status=status,
    )


def _start(settings: Settings, plan: Plan, client: TellurioClient | None, on_failure: str) -> Run:
    if settings.mode == "disabled":
        run = _unmade(plan)
        run._opened_as(DisabledRun(settings))
        return run
    if settings.mode == "offline":
        return _begin(plan, None, "offline", "; to send it, type: steplog sync")
    client = client or _default_client(settings)
    if client is None:
        said = ": no server is configured; type: steplog serve, or: steplog login"
        return _begin(plan, None, "unconfigured", said)
    try:
        return _make(plan, client, on_failure)
    except ServerUnavailableError as error:
        if on_failure == "raise":
            raise
        return _begin(plan, client, "online", f"{_SENT_LATER}: {error}")


def _default_client(settings: Settings) -> TellurioClient | None:
    from steplog.client import get_default_client, is_configured

    try:
        return get_default_client()
    except ConfigurationError:
        if is_configured(settings):
            raise
        return None


def _make(plan: Plan, client: TellurioClient, on_failure: str) -> Run:
    """Make the run on the server now. What it is to be is written down first: a death in between loses no run."""
    from steplog.network.response import http_error_types

    with _asking(client):
        account = account_of(client)
        plan = msgspec.structs.replace(plan, namespace=plan.namespace or slug_of(account.username))
        make_project(plan, client)
    opened = OpenRun(_planned(plan, client, "online"), None)
    given = {"name": plan.name, "description": plan.description, "status": plan.status}
    try:
        with _asking(client):
            response = client.send(
                "POST",
                runs_path(plan.namespace, plan.project),
                {key: value for key, value in given.items() if value is not None},
                headers={"Idempotency-Key": f'"{plan.local_id}"'},
            )
            if response.status != 201:
                raise response.http_error()
        told, run = _told(response, plan.namespace)
    except BaseException as error:
        if isinstance(error, (*http_error_types(), InvalidAPIKeyError)):
            opened.discard()
            raise
        opened.use(client)  # it may be on the server all the same: the agent finds out
        if on_failure == "warn" and isinstance(error, ServerUnavailableError):
            return _begun(plan, opened, f"{_SENT_LATER}: {error}")
        opened.finish_in_background("CRASHED")
        raise
    opened.made(client, Made(str(run.uuid), run.name or ""), plan.namespace, takes_ranges=told.get("batch", 0) >= 1)
    run._opened_as(opened)
    messages.began(opened)
    return run


@contextmanager
def _asking(client: TellurioClient) -> Iterator[None]:
    """A server that is busy or in trouble (408, 425, 429, 5xx) has refused nothing: it is one that is away."""
    from steplog.network.response import http_error_types

    try:
        yield
    except http_error_types() as error:
        if error.response is None or not may_pass(error.response.status_code):
            raise
        raise ServerUnavailableError(f"{client.base_url}: {error}") from None


def _told(response: Response, namespace: str) -> tuple[dict[str, Any], Run]:
    """What the server says of the run that it has made; ServerUnavailableError where it says something else."""
    try:
        told = response.json()
        return told, _described(told, namespace)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ServerUnavailableError(f"{response.url}: the answer describes no run") from None


def _begin(plan: Plan, client: TellurioClient | None, mode: str, said: str) -> Run:
    """Begin the run in the journal; the server gets it later."""
    return _begun(plan, OpenRun(_planned(plan, client, mode), None if client is None else client.transport), said)


def _begun(plan: Plan, opened: OpenRun, said: str) -> Run:
    run = _unmade(plan)
    run._opened_as(opened)
    level = logging.INFO if opened.manifest.mode == "offline" else logging.WARNING
    messages.kept_from_the_start(opened, level, said)
    return run


def _planned(plan: Plan, client: TellurioClient | None, mode: str) -> Manifest:
    """The manifest of a run that no server has made yet."""
    return Manifest(
        local_id=plan.local_id,
        base_url="" if client is None else client.base_url,
        account="" if client is None or client.account is None else client.account.username,
        namespace=plan.namespace,
        project=plan.project,
        run="",
        name=plan.name or "",
        mode=mode,
        plan=plan,
    )


def _unmade(plan: Plan) -> Run:
    """The run as it is before a server has made it: its uuid is the local id."""
    return Run(
        plan.local_id,
        plan.name,
        plan.description,
        plan.status or RunStatus.RUNNING,
        organization=RunOrg(plan.namespace),
        project=RunProject("", plan.project_name, plan.project),
    )


def _described(told: dict[str, Any], namespace: str) -> Run:
    """The run that the server describes."""
    project, user = told.get("project") or {}, told.get("user") or {}
    return Run(
        told["uuid"],
        told.get("name"),
        told.get("description"),
        told.get("status", "RUNNING"),
        told.get("date_created"),
        told.get("date_updated"),
        RunOrg(namespace),
        RunProject(project.get("uuid", ""), project.get("display_name", ""), project.get("slug", "")),
        RunUser(user.get("uuid", ""), user.get("username", ""), user.get("slug", "")),
    )
