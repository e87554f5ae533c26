"""``mode="disabled"``: a run that does nothing."""

from __future__ import annotations

from typing import Any

from steplog.delivery.verdicts import Judgement
from steplog.lifecycle.exit_progress import ExitProgress
from steplog.lifecycle.open_run import Holder
from steplog.report import Stats
from steplog.settings import Settings

__all__ = ["DisabledRun"]


class DisabledRun:
    """Stands in for ``OpenRun``."""

    def __init__(self, settings: Settings) -> None:
        self.holder: Holder | None = None
        self.settings = settings

    def log(self, name: Any, value: Any = None, step: Any = None, client: Any = None) -> None:
        """Nothing."""

    def use(self, client: Any) -> None:
        """Nothing."""

    def flush(self, timeout_s: float) -> bool:
        """True."""
        return True

    def finish(self, status: str, timeout_s: float, progress: ExitProgress | None = None) -> Judgement | None:
        """Nothing."""
        return None

    def finish_in_background(self, status: str | None) -> None:
        """Nothing."""

    def stats(self) -> Stats:
        """Zeros."""
        return Stats(append="disabled")

    def url(self) -> str | None:
        """None."""
        return None
