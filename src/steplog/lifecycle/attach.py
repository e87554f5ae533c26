"""How runs are joined: ``attach``, and a run that was built by hand and used.

Both only need to know who the run is. A manifest on this host tells, or the caller; the server is asked by the agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steplog.identity import RunOrg, RunProject, RunStatus
from steplog.journal import manifest as manifests
from steplog.journal.directories import derived_local_id
from steplog.journal.manifest import Manifest
from steplog.lifecycle import messages
from steplog.lifecycle.open_run import OpenRun
from steplog.lifecycle.process import current
from steplog.run import Run

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["attach", "open_by_hand"]


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
    opened = _open(run, client, found, owner)
    run._opened_as(opened)
    if owner:
        messages.began(opened)
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
    roots = current().roots
    found = [manifests.load(paths.manifest()) for paths in roots.runs()]
    return [manifest for manifest in found if manifest is not None]
