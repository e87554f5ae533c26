"""Who a run is: status, organization, project, user."""

from __future__ import annotations

from enum import Enum

__all__ = ["RunOrg", "RunProject", "RunStatus", "RunUser", "slug_of"]


def slug_of(name: str) -> str:
    """What a server makes of a name for its addresses; "" without a letter or digit."""
    words = name.lower().replace("_", "-").replace(" ", "-")
    if name.isascii() and all(word.isalnum() for word in words.split("-")):
        return words  # importing slugify takes as long as a request
    from slugify import slugify

    return slugify(name)


class RunStatus(Enum):
    """The status of a run."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CRASHED = "CRASHED"
    FAILED = "FAILED"

    @classmethod
    def _missing_(cls, value: object) -> RunStatus:
        raise ValueError(f"the status of a run is {', '.join(cls.__members__)}, not {value!r}")


class RunOrg:
    """The organization, or namespace, of a run."""

    def __init__(self, slug: str) -> None:
        self.slug = slug

    def __repr__(self) -> str:
        return f"RunOrg(slug={self.slug!r})"


class RunProject:
    """The project of a run."""

    def __init__(self, uuid: str, display_name: str, slug: str) -> None:
        self.uuid = uuid
        self.display_name = display_name
        self.slug = slug

    def __repr__(self) -> str:
        return f"RunProject(uuid={self.uuid!r}, display_name={self.display_name!r}, slug={self.slug!r})"


class RunUser:
    """The user who created a run."""

    def __init__(self, uuid: str, username: str, slug: str) -> None:
        self.uuid = uuid
        self.username = username
        self.slug = slug

    def __repr__(self) -> str:
        return f"RunUser(uuid={self.uuid!r}, username={self.username!r}, slug={self.slug!r})"
