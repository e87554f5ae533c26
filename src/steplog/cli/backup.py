"""``steplog backup``: copy a server's database into a file, while it runs or not."""

from __future__ import annotations

from pathlib import Path

import click

from steplog.cli import printing
from steplog.cli.database import database_option, own_database
from steplog.server.open_store import back_up
from steplog.server.store_place import Place

__all__ = ["command"]


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@database_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: Path, database: Place, as_json: bool) -> None:
    """Copy a server's database into a new file, also while the server runs.

    FILE is complete, or it is not there.
    """
    made = back_up(own_database(database), file)
    if as_json:
        printing.print_json({"file": made.path, "bytes": made.bytes, "runs": made.runs})
    else:
        click.echo(f"{made.path}: {printing.plural(made.runs, 'run')}, {printing.size(made.bytes)}")
