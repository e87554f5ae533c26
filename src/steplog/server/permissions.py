"""Who may do what: rights, roles, and what a project's visibility adds. ``docs/team.md`` has the table. Pure.

::

    right    takes at least      what it is for
    READ     READER              everything that a GET shows, and curves
    WRITE    MEMBER              runs, their points, saved views
    OWN      OWNER               change the project, delete it
    CREATE   MEMBER              of the namespace: make a project in it
    LIST     a key, the page     shows what may be read, and nothing else
    KEY      a key               tells of the key
    NONE     nothing             shows nothing of what is stored

A role in a project is the highest of these:

1. the one that the user has in the project itself;
2. the one in its namespace, unless the project is RESTRICTED and that one is not OWNER;
3. READER of a PUBLIC project, MEMBER of an OPEN one, for whoever has a key of this server.

An admin is OWNER everywhere. A service key is MEMBER of its project and nothing else. The page's token is READER
everywhere.
"""

from __future__ import annotations

import functools
from enum import Enum
from typing import NamedTuple

import msgspec

__all__ = [
    "MEMBER",
    "OWNER",
    "PAGE",
    "READER",
    "ROLES",
    "VISIBILITIES",
    "Caller",
    "Facts",
    "Right",
    "allowed",
    "gives",
    "may_create",
    "role_for",
    "role_in",
]

READER = "READER"
MEMBER = "MEMBER"
OWNER = "OWNER"
ROLES = (READER, MEMBER, OWNER)  # each may do what those before may
VISIBILITIES = ("RESTRICTED", "TEAM", "PUBLIC", "OPEN")
_RANKS = {None: -1} | {role: rank for rank, role in enumerate(ROLES)}
_FOR_EVERY_KEY = {"PUBLIC": READER, "OPEN": MEMBER}


class Right(Enum):
    """What a route needs.

    Attributes:
        takes: the lowest role that gives it; None: it is not asked of a role.
    """

    NONE = ("none", None)
    KEY = ("key", None)
    LIST = ("list", None)
    READ = ("read", READER)
    WRITE = ("write", MEMBER)
    CREATE = ("create", MEMBER)
    OWN = ("own", OWNER)

    def __init__(self, _name: str, takes: str | None) -> None:
        self.takes = takes
        self.rank = _RANKS[takes]


class Caller(msgspec.Struct, frozen=True):
    """Who asks; without a user it is the page's token."""

    user_id: int | None
    is_admin: bool = False
    project_id: int | None = None  # of a service key

    @property
    def is_page(self) -> bool:
        """Whether it is the page's token."""
        return self.user_id is None

    @property
    def reads_all(self) -> bool:
        """Whether nothing is hidden from it."""
        return self.is_page or (self.is_admin and self.project_id is None)


PAGE = Caller(None)


class Facts(NamedTuple):
    """What decides over a project: beside its visibility, the roles that a user has been given."""

    namespace_id: int
    project_id: int
    visibility: str
    in_namespace: str | None
    in_project: str | None


def allowed(visibility: str, in_namespace: str | None, in_project: str | None, right: Right) -> bool:
    """Whether a user with these roles may do this in a project."""
    return gives(role_in(visibility, in_namespace, in_project), right)


@functools.cache
def role_in(visibility: str, in_namespace: str | None, in_project: str | None) -> str | None:
    """The role in a project of a user with these roles; None: it is not there for them."""
    inherited = in_namespace if visibility != "RESTRICTED" or in_namespace == OWNER else None
    return max(in_project, inherited, _FOR_EVERY_KEY.get(visibility), key=_RANKS.__getitem__)


def role_for(caller: Caller, facts: Facts) -> str | None:
    """The role of a caller in a project; None: it is not there for them."""
    if caller.project_id is not None:
        return MEMBER if caller.project_id == facts.project_id else None
    if caller.is_page:
        return READER
    return OWNER if caller.is_admin else role_in(facts.visibility, facts.in_namespace, facts.in_project)


def may_create(caller: Caller, in_namespace: str | None) -> bool:
    """Whether a caller with this role in a namespace may make a project in it."""
    if caller.project_id is not None or caller.is_page:
        return False
    return caller.is_admin or gives(in_namespace, Right.CREATE)


def gives(role: str | None, right: Right) -> bool:
    """Whether a role gives a right."""
    return _RANKS[role] >= right.rank
