"""How runs come to be open: made on the server (``init``), joined (``attach``), or built by hand and used.

``init`` talks to the server as any client does: it gets the project or makes it, and makes the run, with an
``Idempotency-Key`` so that a lost answer does not make a second one. The other two only need to know who the run
is; its server is asked by the agent.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from steplog import context, safeguard
from steplog.delivery.wire import runs_path, web_path
from steplog.journal import manifest as manifests
from steplog.journal.directories import derived_local_id, new_id
from steplog.journal.manifest import Manifest
from steplog.opened import OpenRun
from steplog.process import current
from steplog.run import Run, RunOrg, RunProject, RunStatus, RunUser

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["attach", "init", "open_by_hand"]

_log = logging.getLogger("steplog")


def init(
    namespace_slug: str,
    project_display_name: str,
    name: str | None = None,
    description: str | None = None,
    status: RunStatus | str | None = RunStatus.RUNNING,
    client: TellurioClient | None = None,
    *,
    activate: bool = True,
) -> Run:
    """Make a run on the server and open it here.

    Args:
        namespace_slug: whose project it is.
        project_display_name: its slug names the project, which is made, with visibility RESTRICTED, if it is not there.
        name: what the run is called; None: the server finds a name.
        description: free text.
        status: what the run begins with.
        client: the client to use; None: the default one.
        activate: whether it becomes the active run. It then takes the place of the last run that this thread made
            so and neither finished nor entered; that one is FAILED.

    Raises:
        requests.HTTPError: the server refuses something.
        InvalidAPIKeyError, ServerUnavailableError: the key is wrong; no usable answer came in time.
    """
    from slugify import slugify

    from steplog import reasons
    from steplog.client import get_default_client
    from steplog.project import create_project, get_project

    client = client or get_default_client()
    account = client.login()
    slug = slugify(project_display_name)
    project = get_project(namespace_slug, slug, client) or create_project(
        namespace_slug, project_display_name, "RESTRICTED", client
    )
    local_id = new_id()
    given = {"name": name, "description": description, "status": None if status is None else RunStatus(status).value}
    path = runs_path(namespace_slug, project.slug)
    response = client.post(
        path,
        {key: value for key, value in given.items() if value is not None},
        headers={"Idempotency-Key": f'"{local_id}"'},
    )
    if response.status_code != 201:
        raise reasons.refusal(response)
    told = response.json()
    run = _described(told, namespace_slug)
    opened = OpenRun(
        Manifest(
            local_id=local_id,
            base_url=client.base_url,
            account=account.username,
            namespace=namespace_slug,
            project=project.slug,
            run=str(run.uuid),
            name=run.name or "",
        ),
        client.transport,
        takes_ranges=told.get("batch", 0) >= 1,
    )
    run._opened_as(opened)
    run_slug = slugify(run.name or str(run.uuid))
    _log.info("steplog: run %s at %s%s", run.name, client.base_url, web_path(namespace_slug, project.slug, run_slug))
    if activate:
        safeguard.supersede(run)
        context.set_active_run(run)
    return run


def attach(
    uuid: str,
    *,
    namespace_slug: str | None = None,
    project_slug: str | None = None,
    owner: bool = False,
    client: TellurioClient | None = None,
) -> Run:
    """Join a run that exists, from another process or host; with ``owner`` this process decides its status.

    Both slugs are needed where no manifest of the run is on this host. Raises ValueError where they are missing.
    """
    found = next((item for item in _manifests() if item.run == uuid), None)
    namespace = namespace_slug or (found.namespace if found is not None else None)
    project = project_slug or (found.project if found is not None else None)
    if namespace is None or project is None:
        raise ValueError(f"nothing on this host knows the run {uuid}: namespace_slug and project_slug are needed")
    run = Run(
        uuid,
        found.name if found is not None else None,
        None,
        RunStatus.RUNNING,
        organization=RunOrg(namespace),
        project=RunProject("", project, project),
    )
    run._opened_as(_open(run, client, found, owner))
    return run


def open_by_hand(run: Run, client: TellurioClient | None) -> OpenRun:
    """Open a run that was built by hand, or that came from another process.

    Raises ValueError where uuid, project or organization is missing.
    """
    found = next((item for item in _manifests() if item.run == run.uuid), None)
    return _open(run, client, found, owner=found is None or not found.owner)


def _open(run: Run, client: TellurioClient | None, found: Manifest | None, owner: bool) -> OpenRun:
    from steplog.client import get_default_client

    if not run.uuid or run.project is None or run.organization is None:
        raise ValueError("Run object is missing required identifiers.")
    client = client or get_default_client()
    namespace, project, uuid = run.organization.slug, run.project.slug, run.uuid
    manifest = found or Manifest(
        local_id=derived_local_id(client.base_url, namespace, project, uuid),
        base_url=client.base_url,
        account=client.account.username if client.account is not None else "",
        namespace=namespace,
        project=project,
        run=uuid,
        name=run.name or "",
    )
    return OpenRun(manifest, client.transport, owner=owner)


def _manifests() -> list[Manifest]:
    places = current().places
    found = [manifests.load(place.memory) for place in places.runs() if place.memory is not None]
    return [manifest for manifest in found if manifest is not None]


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
