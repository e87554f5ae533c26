"""A run of an adapter's own that others stand beside: of a trial, of a task."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from steplog.integrations.adapter_run import AdapterRun, has_ended

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["SideRun"]

R = TypeVar("R")


class SideRun(AdapterRun):
    """Never the program's active run, nor takes the place of that. ``init`` are arguments of ``steplog.init``.

    The first one of a program raises as ``steplog.init`` does. A later one that cannot be begun is said once, and what
    is logged to it is lost: the search that it is part of goes on.
    """

    _is_one_begun = False

    def __init__(self, *, default_project: str | None = None, **init: Any) -> None:
        super().__init__(default_project=default_project, **init, activate=False)

    @property
    def has_ended(self) -> bool:
        """It has a status that lasts."""
        return self.begun is not None and has_ended(self.begun)

    def tag(self, tag: str) -> None:
        """Add a tag."""
        self._try("not tagged: %s", lambda run: setattr(run, "tags", (*run.tags, tag)), self.get())

    def inside(self, act: Callable[..., R], *arguments: Any) -> R:
        """What ``act`` returns, for which the run is the active one. It does not end with it, as a ``with`` would."""
        context = copy_context()
        context.run(self.get().__enter__)
        return context.run(act, *arguments)

    def active(self) -> Run | None:  # noqa: D102 - none is joined
        return None

    def _begin(self) -> Run:
        import steplog

        try:
            run = super()._begin()
        except Exception as error:
            if not SideRun._is_one_begun:
                raise
            self._say("not begun, and what is logged to it is lost: %s", error)
            return steplog.init(project="disabled", mode="disabled", activate=False)
        SideRun._is_one_begun = True
        return run
