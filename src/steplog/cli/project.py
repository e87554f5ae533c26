"""``steplog project``: the projects of a server, and what their owners set."""

from __future__ import annotations

import click

from steplog.cli import printing
from steplog.cli.database import database_option
from steplog.cli.team import WITHIN_S, opened, place_named, project_named
from steplog.server.permissions import VISIBILITIES
from steplog.server.store_place import Place
from steplog.server.store_types import RETENTION_DAYS_MAX

__all__ = ["command"]

_FOR_EVER = "forever"


@click.group("project")
def command() -> None:
    """List the projects of a server, and set who sees one and how long it keeps its runs.

    Works on the server's database, also while the server runs.
    """


@command.command("list")
@click.argument("namespace", required=False)
@database_option
@printing.json_option
def _list(namespace: str | None, database: Place, as_json: bool) -> None:
    """List the projects, of a namespace or of all."""
    with opened(database) as store:
        namespaces = store.namespaces() if namespace is None else [place_named(store, namespace)[0]]
        found = [(each, project) for each in namespaces for project in store.projects(each)]
        runs = {project_id: of.runs for each in namespaces for project_id, of in store.activity(each).items()}
    if as_json:
        fields = ("slug", "display_name", "visibility", "retention_days", "date_created", "last_run_date")
        printing.print_json(
            [{"namespace": each.slug} | {field: getattr(project, field) for field in fields} for each, project in found]
        )
        return
    table = printing.table("project", "name", "visibility", "runs", "kept", "last run", right=("runs",))
    for each, project in found:
        kept = _FOR_EVER if project.retention_days is None else printing.plural(project.retention_days, "day")
        last = "" if project.last_run_date is None else printing.local_time(project.last_run_date)[:16]
        place = f"{each.slug}/{project.slug}"
        printing.add_row(table, place, project.display_name, project.visibility, runs.get(project.id, 0), kept, last)
    printing.write(printing.console(), table if found else "no projects")


@command.command("set")
@click.argument("place", metavar="NAMESPACE/PROJECT")
@click.option("--name", metavar="TEXT", help="What it is called; its address stays.")
@click.option("--visibility", type=click.Choice(VISIBILITIES, case_sensitive=False), help="Who sees it.")
@click.option(
    "--retention-days", metavar="N", help=f"For how many days a run is kept once it has ended; or {_FOR_EVER}."
)
@database_option
def _set(place: str, name: str | None, visibility: str | None, retention_days: str | None, database: Place) -> None:
    """Change a project."""
    values: dict[str, str | int | None] = {}
    if name:
        values["display_name"] = name
    if visibility is not None:
        values["visibility"] = visibility
    if retention_days is not None:
        values["retention_days"] = _days(retention_days)
    if not values:
        raise click.UsageError("Nothing to set: give --name, --visibility or --retention-days.")
    with opened(database) as store:
        namespace, project = project_named(store, place)
        changed = store.edit_project(namespace.slug, project, values).result()
    kept = "" if changed.retention_days is None else f" for {printing.plural(changed.retention_days, 'day')}"
    words = f"{place} is {changed.visibility}, and keeps its runs{kept or f' {_FOR_EVER}'}"
    click.echo(f"{words}; running servers know within {WITHIN_S} seconds")


def _days(text: str) -> int | None:
    if text == _FOR_EVER:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= RETENTION_DAYS_MAX:
        words = f"a number of days, at most {RETENTION_DAYS_MAX}, or {_FOR_EVER} is needed."
        raise click.BadParameter(words, param_hint="--retention-days")
    return int(text)
