"""``steplog login``: ask for the API key, have the server say whose it is, and keep it for the next time.

The key is asked for without echo, or read as the first line of standard input where that is no terminal. It is never an
argument, which the process list and the shell's history would show.
"""

from __future__ import annotations

import os
import sys

import click

__all__ = ["command"]

_BEFORE_IT = ("STEPLOG_API_KEY", "TELLURIO_API_KEY")


@click.command("login")
@click.option("--url", help="The server.  [default: the configured one]")
def command(url: str | None) -> None:
    """Store an API key, after the server has said whose it is.

    Asks for the key. Where standard input is no terminal, its first line is the key.
    """
    import steplog
    from steplog.cli import printing
    from steplog.cli.asking import AskingError
    from steplog.errors import ConfigurationError, InvalidAPIKeyError, ServerUnavailableError

    client = steplog.TellurioClient(url)
    given = _key(client.base_url)
    if not given:
        raise ConfigurationError("no key was given; nothing is changed")
    try:
        account = client.login(given)
    except InvalidAPIKeyError:
        raise AskingError(f"{client.base_url} does not know this key; nothing is changed") from None
    except ServerUnavailableError as error:
        raise AskingError(f"{error}; nothing is changed") from None
    click.echo(f"logged in as {printing.plain(account.username)} at {client.base_url}")
    for name in _BEFORE_IT:
        if os.environ.get(name):
            click.echo(f"{name} is set, and goes before the key that was stored now", err=True)
    if url is not None and client.base_url != steplog.TellurioClient().base_url:
        click.echo(f"to log to it: export STEPLOG_URL={client.base_url}")


def _key(base_url: str) -> str:
    if sys.stdin.isatty():
        answer: str = click.prompt(f"API key for {base_url}", hide_input=True, default="", show_default=False, err=True)
        return answer.strip()
    return sys.stdin.readline().strip()
