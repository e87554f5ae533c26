"""Classes of older releases, which programs name in ``isinstance``: nothing is one."""

from __future__ import annotations

__all__ = ["RunDisabled", "SummaryDisabled"]


class RunDisabled:
    """A disabled run is a ``Run`` here."""


class SummaryDisabled:
    """Its summary is a ``Summary``."""
