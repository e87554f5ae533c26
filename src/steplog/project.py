"""Projects: get, create, delete (``docs/api.md``)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from steplog.client import TellurioClient, get_default_client
from steplog.delivery.wire import api_path
from steplog.errors import ServerUnavailableError
from steplog.network.response import Response

__all__ = ["Project", "create_project", "delete_project", "get_project"]


@dataclass(frozen=True)
class Project:
    """A project as the server described it.

    Dates are ISO 8601 texts in UTC. ``visibility`` is RESTRICTED, TEAM, PUBLIC or OPEN. ``role`` is yours: READER,
    MEMBER or OWNER; a stock server tells it, and the last three fields are set, only by ``create_project``.
    """

    uuid: str
    display_name: str
    slug: str
    visibility: str | None = None
    date_created: str | None = None
    last_run_date: str | None = None
    role: str | None = None
    org_uuid: str | None = None
    org_display_name: str | None = None
    org_slug: str | None = None

    def __repr__(self) -> str:
        return f"Project({self.slug!r}, {self.display_name!r}, visibility={self.visibility!r}, uuid={self.uuid!r})"


def get_project(namespace_slug: str, project_slug: str, client: TellurioClient | None = None) -> Project | None:
    """The project, or None if the server knows no such project or namespace.

    Raises ``requests.HTTPError`` with the server's words for a refusal, ServerUnavailableError without an answer that
    describes a project.
    """
    response = (client or get_default_client()).send("GET", api_path(namespace_slug, "projects", project_slug))
    return None if response.status == 404 else _described(response)


def create_project(
    namespace_slug: str, display_name: str, visibility: str = "TEAM", client: TellurioClient | None = None
) -> Project:
    """Create a project, whose slug the server derives from the name. Raises as ``get_project`` does."""
    body = {"display_name": display_name, "visibility": visibility}
    return _described((client or get_default_client()).send("POST", api_path(namespace_slug, "projects"), body))


def delete_project(namespace_slug: str, project_slug: str, client: TellurioClient | None = None) -> None:
    """Delete a project and its runs. Raises as ``get_project`` does, also for 404."""
    _check((client or get_default_client()).send("DELETE", api_path(namespace_slug, "projects", project_slug)))


def _check(response: Response) -> None:
    # A redirect is no success, whatever requests thinks: nothing was done.
    if not 200 <= response.status < 300:
        raise response.http_error()


def _described(response: Response) -> Project:
    _check(response)
    try:
        told: dict[str, Any] = response.json()
        return Project(**{field.name: told[field.name] for field in fields(Project) if field.name in told})
    except (ValueError, TypeError, RecursionError):
        raise ServerUnavailableError(f"{response.url}: the answer describes no project") from None
