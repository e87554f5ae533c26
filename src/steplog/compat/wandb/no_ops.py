"""What frameworks name of wandb, and does nothing here: classes of disabled runs, telemetry, a printer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from steplog.compat.wandb.term import termerror, termlog, termwarn

__all__ = ["Printer", "RunDisabled", "SummaryDisabled", "context", "new_printer"]


class RunDisabled:
    """For ``isinstance``: a disabled run is a ``Run``."""


class SummaryDisabled:
    """For ``isinstance``: its summary is a ``Summary``."""


@contextmanager
def context(*, run: Any = None, obj: Any = None) -> Iterator[Any]:
    """``telemetry.context``: what is set in it is gone."""
    yield SimpleNamespace(feature=SimpleNamespace(), env=SimpleNamespace(), label=SimpleNamespace())


class Printer:
    """Prints lines, without colours."""

    def display(self, text: str | list[str] | tuple[str, ...], *, level: object = None) -> None:
        """Print a line, or several."""
        said = str(getattr(level, "name", level)).lower()
        say = termerror if said == "error" else termwarn if said in ("warn", "warning") else termlog
        for line in [text] if isinstance(text, str) else text:
            say(line)

    def link(self, link: str, text: str = "") -> str:
        """An address."""
        return link

    def _as_it_is(self, text: str) -> str:
        return text

    code = name = files = secondary_text = _as_it_is

    def emoji(self, name: str) -> str:
        """Return "": lines have none."""
        return ""


def new_printer(settings: object = None) -> Printer:
    """A printer; the settings change nothing."""
    return Printer()
