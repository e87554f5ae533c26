"""``steplog restore``: take a run out of the server's trash."""

from __future__ import annotations

import click

from steplog.cli import printing
from steplog.cli.api import Api, check_run
from steplog.cli.completion import complete_trashed

__all__ = ["command"]


@click.command("restore")
@click.argument("run", callback=check_run, shell_complete=complete_trashed)
def command(run: str) -> None:
    """Take a run out of the server's trash.

    RUN as for steplog show, but a name or an id is whole; steplog ls --trash lists what is there.
    """
    api = Api()
    found = api.find(run, trash=True, whole=True)
    restored = api.restore(found)
    name, place = str(restored["name"]), f"{printing.printable(found.namespace)}/{printing.printable(found.project)}"
    words = f"{printing.printable(found.name)} is back in {place}"
    if name != found.name:
        words += f" as {printing.printable(name)}: its name is taken"
    click.echo(words)
    if (key := found.data.get("id")) and restored.get("id") != key:
        click.echo(f"without its id {printing.printable(key)}, which another run has now", err=True)
