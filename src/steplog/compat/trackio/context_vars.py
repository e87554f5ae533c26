"""``trackio.context_vars``: the run and the project of this context."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steplog.compat.trackio.run import Run

__all__ = ["current_project", "current_run", "current_server", "current_server_write_token", "current_space_id"]

current_run: ContextVar[Run | None] = ContextVar("current_run", default=None)
current_project: ContextVar[str | None] = ContextVar("current_project", default=None)
current_server: ContextVar[str | None] = ContextVar("current_server", default=None)  # the rest is never set
current_space_id: ContextVar[str | None] = ContextVar("current_space_id", default=None)
current_server_write_token: ContextVar[str | None] = ContextVar("current_server_write_token", default=None)
