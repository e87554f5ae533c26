"""Runs that do nothing: of ``mode="disabled"``, and of ``attach(missing="ignore")``."""

from __future__ import annotations

from collections.abc import Mapping
from threading import get_ident
from typing import Any

from steplog.delivery.verdicts import Judgement
from steplog.lifecycle.exit_progress import ExitProgress
from steplog.lifecycle.open_run import Holder
from steplog.report import Stats
from steplog.settings import Settings, resolve

__all__ = ["DisabledRun", "MissingRun"]


class DisabledRun:
    """Stands in for ``OpenRun``."""

    leaves_status = False

    def __init__(self, settings: Settings) -> None:
        self.holder: Holder | None = None
        self.found_status = ""
        self.settings = settings

    def __reduce__(self) -> tuple[Any, ...]:
        """The same with the settings of the process that it is passed to: they may hold a key."""
        return _anew, (type(self),)

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


def _anew(kind: type[DisabledRun]) -> DisabledRun:
    return kind(resolve())


class MissingRun(DisabledRun):
    """Of a run that is not there: counts what it does not take."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._dropped: dict[int, int] = {}  # by thread, so that they need no lock, which a fork could leave held

    def log(self, name: Any, value: Any = None, step: Any = None, client: Any = None) -> None:
        """Count the values."""
        thread, values = get_ident(), len(name) if isinstance(name, Mapping) else 1
        self._dropped[thread] = self._dropped.get(thread, 0) + values

    def stats(self) -> Stats:
        """What was dropped."""
        dropped = sum(list(self._dropped.values()))
        return Stats(append="disabled", logged=dropped, dropped={"no run": dropped} if dropped else {})
