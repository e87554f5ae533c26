"""Lines about what differs from another logger, as steplog prints its own: by its logger or to standard error."""

from __future__ import annotations

import logging
from contextlib import suppress

from steplog.lifecycle import messages
from steplog.settings import resolve

__all__ = ["say", "say_once"]

_said: set[str] = set()


def say(text: str) -> None:
    """Print a warning. Never raises."""
    with suppress(Exception):
        messages.say(resolve().quiet, logging.WARNING, text)


def say_once(text: str) -> None:
    """``say``, unless this process has said the same."""
    if text not in _said:
        _said.add(text)
        say(text)
