"""``wandb.termlog``, ``termwarn``, ``termerror``: lines printed as steplog prints its own."""

from __future__ import annotations

import logging

from steplog.lifecycle import messages
from steplog.settings import resolve

__all__ = ["termerror", "termlog", "termsetup", "termwarn"]

_said: set[tuple[int, str]] = set()


def termlog(string: str = "", newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print a line; without ``repeat`` once."""
    _say(logging.INFO, string, repeat)


def termwarn(string: str, newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print a warning."""
    _say(logging.WARNING, string, repeat)


def termerror(string: str, newline: bool = True, repeat: bool = True, prefix: bool = True) -> None:
    """Print an error."""
    _say(logging.ERROR, string, repeat)


def termsetup(settings: object = None, logger: object = None) -> None:
    """Nothing is to be set up."""


def _say(level: int, text: str, repeat: bool) -> None:
    if repeat or (level, text) not in _said:
        _said.add((level, text))
        messages.say(resolve().quiet, level, text)
