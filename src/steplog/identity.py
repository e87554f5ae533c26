"""Who a run is: its status, its organization, its project, its user; and what names look like in addresses."""

from __future__ import annotations

from enum import Enum

__all__ = ["RunOrg", "RunProject", "RunStatus", "RunUser", "slug_of"]


def slug_of(name: str) -> str:
    """What a server makes of a name for its addresses; empty where it has no letter and no digit."""
    if name.isascii() and name == name.lower() and all(part.isalnum() for part in name.split("-")):
        return name  # as it is: slugify takes as long to import as a request to the server does
    from slugify import slugify

    return slugify(name)


class RunStatus(Enum):
    """How a run is."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CRASHED = "CRASHED"
    FAILED = "FAILED"


class RunOrg:
    """The organization, or namespace, that a run belongs to."""

    def __init__(self, slug: str) -> None:
        self.slug = slug

    def __repr__(self) -> str:
        return f"RunOrg(slug={self.slug!r})"


class RunProject:
    """The project that a run belongs to."""

    def __init__(self, uuid: str, display_name: str, slug: str) -> None:
        self.uuid = uuid
        self.display_name = display_name
        self.slug = slug

    def __repr__(self) -> str:
        return f"RunProject(uuid={self.uuid!r}, display_name={self.display_name!r}, slug={self.slug!r})"


class RunUser:
    """The user who made a run."""

    def __init__(self, uuid: str, username: str, slug: str) -> None:
        self.uuid = uuid
        self.username = username
        self.slug = slug

    def __repr__(self) -> str:
        return f"RunUser(uuid={self.uuid!r}, username={self.username!r}, slug={self.slug!r})"
