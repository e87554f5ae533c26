"""Where on the server a new run goes: the account of the key, and the project, made where it is missing.

What the server refuses is raised with what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steplog.errors import InvalidAPIKeyError
from steplog.journal.manifest import Plan

if TYPE_CHECKING:
    from steplog.client import Account, TellurioClient

__all__ = ["account_of", "make_project"]


def account_of(client: TellurioClient) -> Account:
    """Whose key it is. Raises as ``login`` does."""
    try:
        return client.login()
    except InvalidAPIKeyError as error:
        words = f"{error} {client.base_url} does not know it; type: steplog login"
    raise InvalidAPIKeyError(words)


def make_project(plan: Plan, client: TellurioClient) -> None:
    """Get the project, or make it; another process may be making it, too. Raises ``requests.HTTPError``."""
    from steplog.network.response import http_error_types
    from steplog.project import create_project, get_project

    if get_project(plan.namespace, plan.project, client) is not None:
        return
    try:
        create_project(plan.namespace, plan.project_name, "RESTRICTED", client)
    except http_error_types() as error:
        if get_project(plan.namespace, plan.project, client) is None:
            where = f"{plan.namespace!r} at {client.base_url}"
            words = f"the project {plan.project!r} is not in {where}, and cannot be made: {error}"
            raise type(error)(words, response=error.response) from None
