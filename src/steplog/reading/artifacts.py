"""``steplog.artifact`` and ``steplog.artifacts``: the artifacts of a project on its server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steplog.errors import ConfigurationError
from steplog.files.artifact import LATEST, Artifact, parsed
from steplog.files.server_files import ServerFiles
from steplog.reading.run_files import server_files
from steplog.reading.runs import place_of

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["artifact", "artifacts"]


def artifact(project: str | None, name: str, *, client: TellurioClient | None = None) -> Artifact:
    """A version of an artifact of a project.

    Args:
        project: ``"PROJECT"`` or ``"NAMESPACE/PROJECT"``; None: the setting.
        name: ``"NAME"`` (the latest), ``"NAME:v3"`` or ``"NAME:ALIAS"``.
        client: of the server to ask; None: the default one.

    Raises:
        ArtifactNotFoundError, ProjectNotFoundError: there is none.
        SteplogError: the server keeps no artifacts.
        ServerUnavailableError, InvalidAPIKeyError: there is no answer, or the key is wrong.
        ConfigurationError: no project is given, and none is set; or no server is.
        ValueError: it is no such name.
    """
    wanted = parsed(name)
    if wanted.project:
        raise ValueError(f'the project comes first: artifact("{name.rpartition("/")[0]}", "{name.rpartition("/")[2]}")')
    return Artifact(found=_server_of(project, client).artifact(wanted.name, wanted.version or LATEST))


def artifacts(
    project: str | None = None,
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - as it is called everywhere
    run: str | None = None,
    *,
    client: TellurioClient | None = None,
) -> list[Artifact]:
    """The versions of a project's artifacts, the newest first; ``name``, ``type`` and ``run`` (a uuid) narrow them.

    Raises as ``artifact``, but a name that there is not gives no versions.
    """
    server = _server_of(project, client)
    found = server.artifacts(name=name or "", type=type or "", run=run or "")
    return [Artifact(found=server.found(each)) for each in found]


def _server_of(project: str | None, client: TellurioClient | None) -> ServerFiles:
    place = place_of(project, client)
    if place.client is None:
        raise ConfigurationError("no server is configured, and none runs here; type: steplog serve, or: steplog login")
    return server_files(place.client, place.namespace, place.project)
