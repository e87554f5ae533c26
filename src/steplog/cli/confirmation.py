"""Asking before something is removed: on a terminal. Elsewhere ``--yes`` has to be typed."""

from __future__ import annotations

import sys

import click

__all__ = ["confirm"]


def confirm(question: str, yes: bool) -> None:
    """Return if the answer is yes, or was given by ``--yes``. Raises click.ClickException."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("standard input is no terminal, so nobody can be asked: type --yes to go on.")
    if not click.confirm(question, err=True):
        raise click.ClickException("nothing is changed")
