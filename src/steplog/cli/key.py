"""``steplog key``: the keys of a server of this machine, and its page's token.

Works on the server's database, whether or not it runs; a running one reads each key there when it is shown.

1. A key is printed once, when it is made: alone on standard output, what is said about it on standard error.
2. The server's own key is in a file that this user alone reads, and is never printed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from steplog import instance
from steplog.cli import printing
from steplog.cli.database import database_option, own_database
from steplog.private_files import write_private
from steplog.server import keys
from steplog.server.open_store import open_store
from steplog.server.store import Store
from steplog.server.store_place import Place
from steplog.server.store_types import CONFIGURED, GENERATED, ISSUED, KeyRow, MissingError

__all__ = ["command"]

_WITHIN_S = 5  # what is promised of a running server: its interval, and its work
_LABEL_CHARACTERS_MAX = 128
_FROM = {
    CONFIGURED: "the server's start",
    GENERATED: "the server's own file",
    ISSUED: "steplog key issue",
}
_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group("key")
def command() -> None:
    """Issue, list, revoke and rotate the keys of a server of this machine.

    Works on the server's database, also while the server runs.
    """


def _json_option(function: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


@command.command("issue")
@click.option(
    "--user", "username", metavar="NAME", help="Whose key it is; created if new.  [default: the server's own]"
)
@click.option("--label", default="", metavar="TEXT", help="What it is for, as the list shows it.")
@database_option
@_json_option
def _issue(username: str | None, label: str, database: Place, as_json: bool) -> None:
    """Make a key and print it, once."""
    if len(label) > _LABEL_CHARACTERS_MAX:
        raise click.BadParameter(f"it has more than {_LABEL_CHARACTERS_MAX} characters.", param_hint="--label")
    key = keys.new_key()
    with _opened(database) as store:
        try:
            made = store.issue_key(username, keys.hash_key(key), label).result()
        except MissingError:
            raise click.ClickException("name the user: --user NAME") from None
    _print_key(made, key, as_json)


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were revoked.")
@database_option
@_json_option
def _list(everything: bool, database: Place, as_json: bool) -> None:
    """List the keys, without the keys themselves."""
    with _opened(database) as store:
        found = [key for key in store.all_keys() if everything or key.revoked is None]
        token = store.page_token()
    ends = None if token is None else keys.page_token_end(token)
    if as_json:
        page = None if token is None else {"created": token.made, "ends": ends}
        printing.print_json({"keys": [_json(key) for key in found], "page": page})
        return
    console = printing.console()
    columns = ("key", "user", "label", "from", "created", "last used")
    table = printing.table(*columns, *(["revoked"] if everything else []), right=("key",))
    for key in found:
        dates = (key.created, key.last_used, *([key.revoked] if everything else []))
        times = ("" if date is None else printing.local_time(date)[:16] for date in dates)
        printing.add_row(table, key.id, key.user.username, key.label, _FROM.get(key.origin, key.origin), *times)
    printing.write(console, table if found else "no keys")
    if ends is not None:
        printing.write(console, "", f"the page's token is valid until {printing.local_time(ends)[:16]}")


@command.command("revoke")
@click.argument("key_ids", metavar="KEY...", type=int, nargs=-1, required=True)
@database_option
def _revoke(key_ids: tuple[int, ...], database: Place) -> None:
    """Revoke keys, by their numbers in the list."""
    with _opened(database) as store:
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
        click.echo(f"{name} is revoked; a running server refuses it within {_WITHIN_S} seconds")
        if key.origin == CONFIGURED:
            click.echo("it is the one that the server was started with: start it with another one", err=True)


@command.command("rotate")
@click.argument("key_id", metavar="[KEY]", type=int, required=False)
@click.option("--page", is_flag=True, help="Replace the page's token instead, and sign out who reads.")
@database_option
@_json_option
def _rotate(key_id: int | None, page: bool, database: Place, as_json: bool) -> None:
    """Replace a key by a new one, by its number in the list.

    Without KEY: the server's own, for which programs on this machine look by themselves.
    """
    if page and key_id is not None:
        raise click.UsageError("KEY or --page, not both.")
    if page:
        _rotate_page(database, as_json)
        return
    key = keys.new_key()
    with _opened(database) as store:
        old = store.started_key() if key_id is None else store.key(key_id)
        if old is None:
            raise click.ClickException("the server has no key of its own; name one: steplog key rotate KEY")
        if old.revoked is not None:
            raise click.ClickException(f"key {old.id} is revoked. Type: steplog key issue")
        if old.origin == CONFIGURED:
            words = f"key {old.id} is the one that the server is started with: start it with another one"
            raise click.ClickException(words)
        with _written(database, key, old):
            made = store.replace_key(old, keys.hash_key(key)).result()
    if old.origin == ISSUED:
        _print_key(made, key, as_json)
    elif as_json:
        printing.print_json(_json(made))
    else:
        click.echo(f"the server's own key is replaced; a running server refuses the old one within {_WITHIN_S} seconds")


def _rotate_page(database: Place, as_json: bool) -> None:
    with _opened(database) as store:
        token = keys.renew_page_token(store)
        address = _page_address(store, token.token)
    if as_json:
        printing.print_json({"created": token.made, "ends": keys.page_token_end(token)})
        return
    words = f"a running server refuses the old one, and who has signed in with it, within {_WITHIN_S} seconds"
    click.echo(f"the page has a new token; {words}")
    if sys.stdout.isatty():
        click.echo(address)


@command.command("page")
@database_option
def _page(database: Place) -> None:
    """Print the address of the page, with its token.

    Whoever has the token can read every run.
    """
    with _opened(database) as store:
        token = store.page_token()
        if token is None:
            raise click.ClickException("there is no token yet. Type: steplog serve")
        address = _page_address(store, token.token)
    if address.startswith("/"):
        click.echo("no server runs with this database now; append this to its address:", err=True)
    click.echo(address)


@contextlib.contextmanager
def _opened(database: Place) -> Iterator[Store]:
    """The database, whether or not its server runs. Raises SteplogError, OSError."""
    with contextlib.closing(open_store(own_database(database), beside=True)) as store:
        yield store


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
    return {"user": key.user.username} | {field: getattr(key, field) for field in fields}
