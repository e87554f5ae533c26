"""Lines about what differs from another logger, as steplog prints its own: by its logger or to standard error."""

from __future__ import annotations

import logging
from contextlib import suppress

from steplog.lifecycle import messages
from steplog.settings import resolve

__all__ = ["SAID_MAX", "say", "say_once"]

SAID_MAX = 100  # texts, some of which name a value

_said: set[str] = set()


def say(text: str, *, always: bool = False) -> None:
    """Print a warning; ``always``: also where the setting ``quiet`` is on, as of values that are lost. Never raises."""
    with suppress(Exception):
        messages.say(not always and resolve().quiet, logging.WARNING, text)


def say_once(text: str, *, always: bool = False) -> None:
    """``say``, unless this process has said the same, or ``SAID_MAX`` other texts."""
    if text not in _said and len(_said) < SAID_MAX:
        _said.add(text)
        say(text, always=always)
