"""``unsupported.note`` and ``tell`` for modules that are imported before a run is: they import it when they count."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["note", "tell"]


def note(what: str, advice: str) -> None:
    """Count one call; see ``Unsupported.note``."""
    from steplog.compat.unsupported import unsupported

    unsupported.note(what, advice)


def tell(run: Run) -> None:
    """Say what was counted; see ``Unsupported.tell``."""
    from steplog.compat.unsupported import unsupported

    unsupported.tell(run)
