"""``attach``: join a run that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steplog.identity import RunOrg, RunProject, RunStatus
from steplog.lifecycle.joining import find_manifest, join
from steplog.run import Run

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["attach"]


def attach(
    uuid: str,
    *,
    namespace_slug: str | None = None,
    project_slug: str | None = None,
    owner: bool = False,
    client: TellurioClient | None = None,
) -> Run:
    """Join a run from another process or host; with ``owner`` this process decides its status.

    Raises ValueError if a slug is missing and no manifest of the run is on this host.
    """
    found = find_manifest(uuid)
    namespace = namespace_slug or (found.namespace if found is not None else None)
    project = project_slug or (found.project if found is not None else None)
    if namespace is None or project is None:
        raise ValueError(f"nothing on this host knows the run {uuid}: namespace_slug and project_slug are needed")
    name = found.name if found is not None else None
    organization, described = RunOrg(namespace), RunProject("", project, project)
    run = Run(uuid, name, None, RunStatus.RUNNING, organization=organization, project=described)
    opened = join(uuid, namespace, project, name, client, found=found, owner=owner)
    run._opened_as(opened)
    if owner:
        opened.say_began()
        if opened.settings.provenance:
            opened.collect_provenance(attach.__code__)
    return run
