"""``steplog key``: the keys of a server of this machine, and its page's token.

Works on the server's database, whether or not it runs; a running one reads each key there when it is shown.

1. A key is printed once, when it is made: alone on standard output, what is said about it on standard error.
2. The server's own key is in a file that this user alone reads, and is never printed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from steplog import instance
from steplog.cli import printing
from steplog.cli.database import database_option
from steplog.cli.team import WITHIN_S, opened, project_named, time_left
from steplog.private_files import write_private
from steplog.server import keys
from steplog.server.store import Store
from steplog.server.store_place import Place
from steplog.server.store_types import CONFIGURED, GENERATED, ISSUED, KeyRow, KeyTerms, MissingError

__all__ = ["command"]

_LABEL_CHARACTERS_MAX = 128
_FROM = {
    CONFIGURED: "the server's start",
    GENERATED: "the server's own file",
    ISSUED: "steplog key issue",
}


@click.group("key")
def command() -> None:
    """Issue, list, revoke and rotate the keys of a server of this machine.

    Works on the server's database, also while the server runs.
    """


@command.command("issue")
@click.option(
    "--user", "username", metavar="NAME", help="Whose key it is; created if new.  [default: the server's own]"
)
@click.option("--label", default="", metavar="TEXT", help="What it is for, as the list shows it.")
@click.option(
    "--expires", metavar="TIME", callback=time_left, help="When it ends: after 90d, 12h or 30m, or on a date."
)
@click.option("--project", "place", metavar="NAMESPACE/PROJECT", help="Opens this project alone, to read and write.")
@click.option("--requests-a-minute", metavar="N", type=click.IntRange(1), help="In place of the server's quota.")
@click.option("--bytes-a-minute", metavar="N", type=click.IntRange(1), help="In place of the server's quota.")
@database_option
@printing.json_option
def _issue(
    username: str | None,
    label: str,
    expires: str | None,
    place: str | None,
    requests_a_minute: int | None,
    bytes_a_minute: int | None,
    database: Place,
    as_json: bool,
) -> None:
    """Make a key and print it, once."""
    if len(label) > _LABEL_CHARACTERS_MAX:
        raise click.BadParameter(f"it has more than {_LABEL_CHARACTERS_MAX} characters.", param_hint="--label")
    key = keys.new_key()
    with opened(database) as store:
        project_id = None if place is None else project_named(store, place)[1].id
        terms = KeyTerms(expires, project_id, requests_a_minute, bytes_a_minute)
        try:
            made = store.issue_key(username, keys.hash_key(key), label, terms).result()
        except MissingError:
            raise click.ClickException("name the user: --user NAME") from None
    _print_key(made, key, as_json)


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were revoked, or have expired.")
@database_option
@printing.json_option
def _list(everything: bool, database: Place, as_json: bool) -> None:
    """List the keys, without the keys themselves."""
    with opened(database) as store:
        now = keys.now().isoformat()
        found = [key for key in store.all_keys() if everything or key.is_valid(now)]
        token = store.page_token()
    ends = None if token is None else keys.page_token_end(token)
    if as_json:
        page = None if token is None else {"created": token.made, "ends": ends}
        printing.print_json({"keys": [_json(key) for key in found], "page": page})
        return
    console = printing.console()
    shown = ["key", "user", "label", "from", "created", "last used"]
    shown += ["project"] if any(key.project for key in found) else []
    shown += ["expires"] if any(key.terms.expires for key in found) else []
    table = printing.table(*shown, *(["revoked"] if everything else []), right=("key",))
    for key in found:
        row = _row(key)
        printing.add_row(table, *(row[column] for column in shown), *([row["revoked"]] if everything else []))
    printing.write(console, table if found else "no keys")
    if ends is not None:
        printing.write(console, "", f"the page's token is valid until {printing.local_time(ends)[:16]}")


def _row(key: KeyRow) -> dict[str, object]:
    dates = {"created": key.created, "last used": key.last_used, "expires": key.terms.expires, "revoked": key.revoked}
    return {
        "key": key.id,
        "user": key.user.username,
        "label": key.label,
        "from": _FROM.get(key.origin, key.origin),
        "project": key.project or "",
    } | {name: "" if date is None else printing.local_time(date)[:16] for name, date in dates.items()}


@command.command("revoke")
@click.argument("key_ids", metavar="KEY...", type=int, nargs=-1, required=True)
@database_option
def _revoke(key_ids: tuple[int, ...], database: Place) -> None:
    """Revoke keys, by their numbers in the list."""
    with opened(database) as store:
        before = [store.key(key_id) for key_id in key_ids]
        for key in before:
            if key.origin == GENERATED and key.revoked is None:
                words = (
                    f"key {key.id} is the server's own, which programs on this machine use. Type: steplog key rotate"
                )
                raise click.ClickException(words)
        store.revoke_keys(key_ids).result()
    for key in before:
        name = f"key {key.id} of {printing.printable(key.user.username)}"
        if key.revoked is not None:
            click.echo(f"{name} was revoked before, at {printing.local_time(key.revoked)}")
            continue
        click.echo(f"{name} is revoked; a running server refuses it within {WITHIN_S} seconds")
        if key.origin == CONFIGURED:
            click.echo("it is the one that the server was started with: start it with another one", err=True)


@command.command("rotate")
@click.argument("key_id", metavar="[KEY]", type=int, required=False)
@click.option("--page", is_flag=True, help="Replace the page's token instead, and sign out who reads.")
@click.option(
    "--overlap", metavar="TIME", callback=time_left, help="Let the old one count for this long: 1h, 30m.  [default: 0]"
)
@database_option
@printing.json_option
def _rotate(key_id: int | None, page: bool, overlap: str | None, database: Place, as_json: bool) -> None:
    """Replace a key by a new one, by its number in the list.

    Without KEY: the server's own, for which programs on this machine look by themselves.
    """
    if page and (key_id is not None or overlap is not None):
        raise click.UsageError("KEY or --page, not both; the page's token ends at once.")
    if page:
        _rotate_page(database, as_json)
        return
    key = keys.new_key()
    with opened(database) as store:
        old = store.started_key() if key_id is None else store.key(key_id)
        if old is None:
            raise click.ClickException("the server has no key of its own; name one: steplog key rotate KEY")
        if not old.is_valid(keys.now().isoformat()):
            how = "has expired" if old.revoked is None else "is revoked"
            raise click.ClickException(f"key {old.id} {how}. Type: steplog key issue")
        if old.origin == CONFIGURED:
            words = f"key {old.id} is the one that the server is started with: start it with another one"
            raise click.ClickException(words)
        with _written(database, key, old):
            made = store.replace_key(old, keys.hash_key(key), overlap).result()
    if old.origin == ISSUED:
        _print_key(made, key, as_json)
    elif as_json:
        printing.print_json(_json(made))
    else:
        ends = f"within {WITHIN_S} seconds" if overlap is None else f"from {printing.local_time(overlap)[:16]} on"
        click.echo(f"the server's own key is replaced; a running server refuses the old one {ends}")


def _rotate_page(database: Place, as_json: bool) -> None:
    with opened(database) as store:
        token = keys.renew_page_token(store)
        address = _page_address(store, token.token)
    if as_json:
        printing.print_json({"created": token.made, "ends": keys.page_token_end(token)})
        return
    words = f"a running server refuses the old one, and who has signed in with it, within {WITHIN_S} seconds"
    click.echo(f"the page has a new token; {words}")
    if sys.stdout.isatty():
        click.echo(address)


@command.command("page")
@database_option
def _page(database: Place) -> None:
    """Print the address of the page, with its token.

    Whoever has the token can read every run.
    """
    with opened(database) as store:
        token = store.page_token()
        if token is None:
            raise click.ClickException("there is no token yet. Type: steplog serve")
        address = _page_address(store, token.token)
    if address.startswith("/"):
        click.echo("no server runs with this database now; append this to its address:", err=True)
    click.echo(address)


@contextlib.contextmanager
def _written(place: Place, key: str, old: KeyRow) -> Iterator[None]:
    """The server's own key in its file, during the block and from then on, unless that fails."""
    if old.origin != GENERATED or not isinstance(place, Path):
        yield
        return
    file = keys.key_file(place)
    # Before the commit: a start takes what is in the file, and drops the key that was there before.
    before = file.read_bytes() if file.exists() else None
    write_private(file, f"{key}\n".encode(), sync=True)
    try:
        yield
    except BaseException:
        if before is not None:
            write_private(file, before, sync=True)
        raise


def _page_address(store: Store, token: str) -> str:
    """The page of the server that runs with this database, or what to append to its address."""
    found = instance.find(instance.state_path().parent, store.instance)
    base_url = "" if found is None else found.base_url
    return f"{base_url}/#token={token}"


def _print_key(made: KeyRow, key: str, as_json: bool) -> None:
    if as_json:
        printing.print_json(_json(made) | {"key": key})
        return
    click.echo(f"key {made.id} of {printing.printable(made.user.username)}; it is not shown again:", err=True)
    click.echo(key)


def _json(key: KeyRow) -> dict[str, Any]:
    fields = ("id", "label", "origin", "created", "last_used", "revoked")
    told = {"user": key.user.username} | {field: getattr(key, field) for field in fields} | {"project": key.project}
    return told | {field: getattr(key.terms, field) for field in ("expires", "requests_a_minute", "bytes_a_minute")}
