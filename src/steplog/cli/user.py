"""``steplog user``: the users of a server, in its database."""

from __future__ import annotations

import click

from steplog.cli import printing
from steplog.cli.database import database_option
from steplog.cli.team import WITHIN_S, opened
from steplog.server.store_place import Place

__all__ = ["command"]


@click.group("user")
def command() -> None:
    """Add, list and remove the users of a server.

    Works on the server's database, also while the server runs.
    """


@command.command("add")
@click.argument("name")
@click.option("--email", metavar="ADDRESS", help="The user's address.")
@click.option("--admin/--no-admin", "is_admin", default=None, help="Whether the user may do everything.")
@database_option
def _add(name: str, email: str | None, is_admin: bool | None, database: Place) -> None:
    """Add a user with a namespace of its own, or change one that is there."""
    with opened(database) as store:
        user = store.add_user(name, email, is_admin).result()
    kind = "admin" if user.is_admin else "user"
    click.echo(f"{kind} {printing.printable(user.username)}, owner of the namespace {user.slug}")
    click.echo(f"for a key, type: steplog key issue --user {printing.printable(name)}", err=True)


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were removed.")
@database_option
@printing.json_option
def _list(everything: bool, database: Place, as_json: bool) -> None:
    """List the users, with their roles."""
    with opened(database) as store:
        found = [user for user in store.users() if everything or user.removed is None]
        roles = {user.id: store.roles(user) for user in found}
        valid = [key for key in store.all_keys() if key.revoked is None]
    counts = {user.id: sum(key.user.id == user.id for key in valid) for user in found}
    if as_json:
        fields = ("username", "email", "slug", "is_admin", "removed")
        printing.print_json(
            [
                {field: getattr(user, field) for field in fields}
                | {"keys": counts[user.id]}
                | {"roles": [{"namespace": r.namespace, "project": r.project, "role": r.role} for r in roles[user.id]]}
                for user in found
            ]
        )
        return
    table = printing.table("user", "email", "keys", "roles", *(["removed"] if everything else []), right=("keys",))
    for user in found:
        named = [f"{role.namespace}{f'/{role.project}' if role.project else ''} {role.role}" for role in roles[user.id]]
        removed = [printing.local_time(user.removed)[:16] if user.removed else ""] if everything else []
        cells = user.username, user.email, counts[user.id], ", ".join(["admin"] * user.is_admin + named)
        printing.add_row(table, *cells, *removed)
    printing.write(printing.console(), table if found else "no users. Type: steplog user add NAME --admin")


@command.command("remove")
@click.argument("name")
@database_option
def _remove(name: str, database: Place) -> None:
    """Revoke a user's keys, end its sessions, and take its roles. Its runs stay."""
    with opened(database) as store:
        store.remove_user(name).result()
    click.echo(f"user {printing.printable(name)} is removed; running servers refuse its keys within {WITHIN_S} seconds")
