"""A run that does nothing at almost no cost: ``mode="disabled"``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steplog.delivery.verdicts import Judgement
from steplog.lifecycle.exit_progress import ExitProgress
from steplog.report import Report, Stats
from steplog.settings import Settings

if TYPE_CHECKING:
    from steplog.run import Run

__all__ = ["DisabledRun"]


class DisabledRun:
    """What ``OpenRun`` is for a run that goes somewhere."""

    def __init__(self, settings: Settings) -> None:
        self.run: Run | None = None
        self.settings = settings

    def log(self, name: Any, value: Any = None, step: Any = None, client: Any = None) -> None:
        """Nothing."""

    def use(self, client: Any) -> None:
        """Nothing."""

    def flush(self, timeout_s: float) -> bool:
        """Nothing is left to deliver."""
        return True

    def finish(self, status: str, timeout_s: float, exit_progress: ExitProgress | None = None) -> Judgement | None:
        """Nothing."""
        return None

    def finish_in_background(self, status: str) -> None:
        """Nothing."""

    def stats(self) -> Stats:
        """Nothing was counted."""
        return Stats(append="disabled")

    def report(self) -> Report:
        """Nothing was counted."""
        return Report()

    def url(self) -> str | None:
        """It has none."""
        return None
