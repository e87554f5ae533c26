"""``steplog tag``: add tags to a run, or remove them."""

from __future__ import annotations

import click

from steplog.cli import printing
from steplog.cli.api import Api, as_text, check_run
from steplog.cli.completion import complete_run

__all__ = ["command"]


@click.command("tag")
@click.argument("run", callback=check_run, shell_complete=complete_run)
@click.argument("add", metavar="[TAG...]", nargs=-1)
@click.option("--remove", metavar="TAG", multiple=True, help="Remove this tag; once for each.")
@click.option("--clear", is_flag=True, help="Remove all tags that it has.")
def command(run: str, add: tuple[str, ...], remove: tuple[str, ...], clear: bool) -> None:
    """Add tags to a run, or remove them.

    Prints the tags that it has then; without TAG and options, those that it has. RUN as for steplog
    show, but a name or an id is whole.
    """
    add, remove = tuple(map(as_text, add)), tuple(map(as_text, remove))
    if both := sorted({*add} & {*remove}):
        raise click.UsageError(f"{both[0]!r} is to be added and removed.")
    api = Api()
    found = api.find(run, whole=True)
    had = list(map(str, api.require("run", found, "keep tags").get("tags") or []))
    absent = [tag for tag in remove if tag not in had]
    if absent:
        raise click.ClickException(f"{found.name!r} has no tag {absent[0]!r}")
    kept = [] if clear else [tag for tag in had if tag not in remove]
    wanted = list(dict.fromkeys([*kept, *add]))
    tags = api.patch(found, {"tags": wanted}).get("tags") if wanted != had else had
    shown = ", ".join(printing.printable(tag) for tag in tags or ())
    click.echo(f"{printing.printable(found.name)}: {shown or 'no tags'}")
