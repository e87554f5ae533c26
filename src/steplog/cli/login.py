"""``steplog login``: store an API key that the server accepts.

The key is never an argument, which the process list and the shell's history would show.
"""

from __future__ import annotations

import os
import sys

import click

import steplog
from steplog.cli.printing import printable
from steplog.settings import check_directories, resolve

__all__ = ["command"]

_STRONGER = ("STEPLOG_API_KEY", "TELLURIO_API_KEY")  # used before a stored key


@click.command("login")
@click.option("--url", help="The server.  [default: the configured one]")
def command(url: str | None) -> None:
    """Store an API key.

    Asks for the key and stores it if the server accepts it. If standard input is not a terminal, its first line is
    the key.
    """
    check_directories(resolve())  # before a key is asked for that could not be stored
    client = steplog.TellurioClient(url)
    if sys.stdin.isatty():
        prompt = f"API key for {client.base_url}"
        key = click.prompt(prompt, hide_input=True, default="", show_default=False, err=True).strip()
    else:
        key = sys.stdin.readline().strip()
    if not key:
        raise click.ClickException("no key was given; nothing is changed")
    try:
        account = client.login(key)
    except steplog.InvalidAPIKeyError:
        raise click.ClickException(f"{client.base_url} rejects this key; nothing is changed") from None
    except steplog.ServerUnavailableError as error:
        raise click.ClickException(f"{error}; nothing is changed") from None
    click.echo(f"logged in as {printable(account.username)} at {client.base_url}")
    for name in _STRONGER:
        if os.environ.get(name):
            click.echo(f"{name} is set and used instead of the stored key", err=True)
    if url is not None and client.base_url != steplog.TellurioClient().base_url:
        click.echo(f"to log to it: export STEPLOG_URL={client.base_url}")
