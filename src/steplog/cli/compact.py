"""``steplog compact``: rewrite a database without the room that is free in it, while no server has it open."""

from __future__ import annotations

from pathlib import Path

import click

from steplog.cli import printing
from steplog.cli.database import database_option, own_database
from steplog.server.open_store import compact
from steplog.server.store_place import Place

__all__ = ["command"]


@click.command("compact")
@database_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(database: Place, as_json: bool) -> None:
    """Give back the room that is free in a database, while its server is stopped.

    It needs room for a second copy. Databases that this version has made give room back by themselves.
    """
    path = own_database(database)
    before = path.stat().st_size if isinstance(path, Path) and path.exists() else 0
    made = compact(path)
    if as_json:
        printing.print_json({"file": made.path, "bytes": made.bytes, "bytes_before": before})
    else:
        click.echo(f"{made.path}: {printing.size(made.bytes)}, {printing.size(before)} before")
