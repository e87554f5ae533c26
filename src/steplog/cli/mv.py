"""``steplog mv``: give a run another name."""

from __future__ import annotations

import click

from steplog.cli import printing
from steplog.cli.api import Api, as_text, check_run
from steplog.cli.completion import complete_run

__all__ = ["command"]


@click.command("mv")
@click.argument("run", callback=check_run, shell_complete=complete_run)
@click.argument("new_name", callback=lambda _context, _parameter, name: as_text(name))
def command(run: str, new_name: str) -> None:
    """Give a run another name.

    A name that another run of the project has gets a suffix. RUN as for steplog show, but a name or an id is whole.
    """
    if not new_name.strip():
        raise click.BadParameter("it is empty.", param_hint="NEW_NAME")
    api = Api()
    found = api.find(run, whole=True)
    if found.name == new_name:
        click.echo(f"{printing.printable(new_name)} is called so already")
        return
    old, name = found.name, str(api.patch(found, {"name": new_name})["name"])
    if name == old and not name.startswith(f"{new_name}_"):
        raise click.ClickException(f"{api.base_url} does not rename runs: {printing.printable(old)} keeps its name")
    suffix = "" if name == new_name else f": another run is called {printing.printable(new_name)}"
    click.echo(f"{printing.printable(old)} is now {printing.printable(name)}{suffix}")
