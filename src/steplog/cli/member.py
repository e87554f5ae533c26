"""``steplog member``: who has which role in a namespace or a project."""

from __future__ import annotations

import click

from steplog.cli import printing
from steplog.cli.database import database_option
from steplog.cli.team import WITHIN_S, opened, place_named, user_named
from steplog.server.permissions import MEMBER, ROLES
from steplog.server.store_place import Place
from steplog.server.store_types import MissingError

__all__ = ["command"]


@click.group("member")
def command() -> None:
    """Give users a role in a namespace or a project, list and take them away.

    A READER reads, a MEMBER also writes, an OWNER also changes and deletes the project. A role in a namespace counts in
    its projects, but in those that are RESTRICTED only that of an OWNER.
    """


@command.command("add")
@click.argument("place", metavar="NAMESPACE[/PROJECT]")
@click.argument("user")
@click.argument("role", type=click.Choice(ROLES, case_sensitive=False), default=MEMBER)
@database_option
def _add(place: str, user: str, role: str, database: Place) -> None:
    """Give a user a role, in place of the one before."""
    with opened(database) as store:
        store.put_member(*place_named(store, place), user_named(store, user), role).result()
    click.echo(f"{printing.printable(user)} is {role} of {place}; running servers know within {WITHIN_S} seconds")


@command.command("list")
@click.argument("place", metavar="NAMESPACE[/PROJECT]")
@database_option
@printing.json_option
def _list(place: str, database: Place, as_json: bool) -> None:
    """List who has a role in a namespace or a project."""
    with opened(database) as store:
        namespace, project = place_named(store, place)
        found = store.members(namespace)
        if project is not None:
            found = [*store.members(namespace, project), *found]
    if as_json:
        fields = ("username", "role", "namespace", "project")
        printing.print_json([{field: getattr(member, field) for field in fields} for member in found])
        return
    table = printing.table("user", "role", "in")
    for member in found:
        where = f"{member.namespace}/{member.project}" if member.project else member.namespace
        printing.add_row(table, member.username, member.role, where)
    printing.write(printing.console(), table if found else "no members")


@command.command("remove")
@click.argument("place", metavar="NAMESPACE[/PROJECT]")
@click.argument("user")
@database_option
def _remove(place: str, user: str, database: Place) -> None:
    """Take a user's role away."""
    with opened(database) as store:
        try:
            store.remove_member(*place_named(store, place), user_named(store, user)).result()
        except MissingError:
            raise click.ClickException(f"{user} has no role of its own in {place}") from None
    shown = printing.printable(user)
    click.echo(f"{shown} has no role of its own in {place} any more; running servers know within {WITHIN_S} seconds")
