"""``steplog db``: what is done with a server's database as a whole."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from steplog.cli import printing
from steplog.cli.database import database_option, own_database
from steplog.server.blobs.open_contents import contents_beside
from steplog.server.keys import key_file
from steplog.server.open_store import back_up, compact, migrate, move, schema_versions
from steplog.server.store_place import STORE_VARIABLE, Place, default_database, place_of, shown_place

__all__ = ["command"]


@click.group("db")
def command() -> None:
    """Copy, upgrade, shrink or move the database of a server."""


@command.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@database_option
@printing.json_option
def _back_up(file: Path, database: Place, as_json: bool) -> None:
    """Copy a server's database into a new file, also while the server runs.

    FILE is complete, or it is not there. Of a PostgreSQL database it is an archive of pg_dump, for pg_restore.
    """
    made = back_up(own_database(database), file)
    contents = contents_beside(database)
    if as_json:
        kept = None if contents is None else str(contents)
        printing.print_json({"file": made.path, "bytes": made.bytes, "runs": made.runs, "contents": kept})
        return
    click.echo(f"{made.path}: {printing.plural(made.runs, 'run')}, {printing.size(made.bytes)}")
    if contents is not None:
        click.echo(f"  files     their contents are in {contents}: copy it, too, now or later")


@command.command("compact")
@database_option
@printing.json_option
def _compact(database: Place, as_json: bool) -> None:
    """Give back the room that is free in a database, while its server is stopped.

    It needs room for a second copy. Databases that this version has made give room back by themselves.
    """
    place = own_database(database)
    before = place.stat().st_size if isinstance(place, Path) and place.exists() else 0
    made = compact(place)
    if as_json:
        printing.print_json({"file": made.path, "bytes": made.bytes, "bytes_before": before})
    else:
        click.echo(f"{made.path}: {printing.size(made.bytes)}, {printing.size(before)} before")


@command.command("migrate")
@database_option
@click.option("--check", is_flag=True, help="Only say whether it is due; exit code 1 if it is.")
def _migrate(database: Place, check: bool) -> None:
    """Upgrade a database to this version of steplog, while no server of an older one has it open.

    A server does it by itself when it starts.
    """
    place = own_database(database)
    found, present = schema_versions(place)
    shown = shown_place(place)
    if found == present:
        click.echo(f"{shown}: schema version {present}, nothing to do")
    elif check and found < present:
        due = (
            f"schema version {found}, to be upgraded to {present}"
            if found
            else f"no tables yet, to be made in version {present}"
        )
        click.echo(f"{shown}: {due}. Type the same without --check")
        raise SystemExit(1)
    else:  # one of a newer steplog is refused
        migrate(place)
        click.echo(f"{shown}: schema version {present}, {f'upgraded from {found}' if found else 'made'}")


@command.command("move")
@click.option("--db", "database", type=click.Path(path_type=Path), metavar="FILE", help="From here.  [default: yours]")
@click.option(
    "--store",
    metavar="URL",
    envvar=STORE_VARIABLE,
    show_envvar=True,
    required=True,
    help="Into this PostgreSQL database, which is empty: postgresql://USER@HOST/DATABASE.",
)
def _move(database: Path | None, store: str) -> None:
    """Move a database of SQLite into PostgreSQL, while its server runs until the last seconds.

    Stop the server when it says so. Typed again after Ctrl-C or a kill, it goes on where it was.
    """
    path = database or default_database()
    own_database(path)
    place_of(None, store)
    try:
        moved = move(path, store, lambda words: click.echo(f"steplog db move: {words}"))
    except KeyboardInterrupt:
        click.echo("steplog db move: type the same again, to go on; until it is said to be moved, nothing is", err=True)
        raise
    click.echo(
        f"steplog db move: moved {printing.plural(moved.runs, 'run')} with {moved.points:,} points to {moved.place}"
    )
    click.echo(f"  kept      {path}, as it was; no server opens it any more")
    kept = key_file(path)
    key = f" --api-key-file {shlex.quote(str(kept))}" if kept.exists() else ""
    contents = contents_beside(path)
    blobs = "" if contents is None else f" --blobs {shlex.quote(str(contents))}"
    click.echo(f"  start     steplog serve --store {shlex.quote(moved.place)}{key}{blobs}")
