"""``steplog serve``: the embedded server in the foreground.

1. The first line printed is ``steplog serve: <address>``, once connections are accepted. The key is never printed.
2. The page's token is printed on a terminal alone, since logs are kept and read by others.
3. Every ``ADOPT_INTERVAL_S`` it takes in what waits on this machine for it or for no server in particular, except runs
   that were started offline.
"""

from __future__ import annotations

import contextlib
import resource
import shlex
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import steplog
from steplog.address import is_loopback, local_instance, local_url
from steplog.cli.database import store_options
from steplog.server.store_place import default_database, shown_place

if TYPE_CHECKING:
    from steplog.server.launch import RunningServer

__all__ = ["ADOPT_INTERVAL_S", "command"]

ADOPT_INTERVAL_S = 5.0

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _networks(_context: click.Context, _option: click.Parameter, texts: Sequence[str]) -> Any:
    from steplog.server.proxies import networks

    try:
        return networks(texts)
    except ValueError as error:
        raise click.BadParameter(f"{error}; write a network, such as 10.0.0.0/8, or an address") from None


def _networks_option(name: str, words: str) -> Callable[[_Command], _Command]:
    """An option of networks, by default this machine's."""
    this = ["127.0.0.0/8", "::1/128"]
    return click.option(name, metavar="CIDR", multiple=True, default=this, callback=_networks, help=words)


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8787, show_default=True, type=click.IntRange(0, 65535), help="The port; 0: a free one.")
@store_options("The database; created if missing.  [default: yours]")
@click.option(
    "--blobs",
    metavar="PLACE",
    help="Where files are kept: a folder, or a URL that fsspec takes, such as s3://BUCKET/FOLDER."
    "  [default: FILE.blobs beside the database; with PostgreSQL they are not]",
)
@click.option(
    "--project-bytes-max",
    metavar="N",
    default=0,
    type=click.IntRange(0),
    help="How many bytes the files of each project may take.  [default: any number]",
)
@click.option("--api-key", help="The key that clients need. Visible in the process list; prefer the next option.")
@click.option("--api-key-file", type=click.Path(path_type=Path), help="A file with the key; or STEPLOG_SERVE_API_KEY.")
@click.option("--user", "username", metavar="NAME", help="The user whose key it is.  [default: you]")
@click.option("--email", metavar="ADDRESS", help="The user's address.")
@click.option(
    "--namespace",
    "namespaces",
    metavar="SLUG",
    multiple=True,
    help="A namespace to create. Without any, each is created on first use.",
)
@click.option("--allow-host", "hosts", multiple=True, help="A Host header to answer besides loopback names.")
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Serve https with this certificate (PEM), followed by those between it and its authority's.",
)
@click.option(
    "--tls-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The certificate's key (PEM, without a password).  [default: in the same file]",
)
@click.option("--insecure", is_flag=True, help="Let other machines reach it without TLS: something in front encrypts.")
@click.option(
    "--uds",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Listen on a Unix socket here, for a proxy, instead of on --host and --port.",
)
@click.option(
    "--uds-mode",
    metavar="OCTAL",
    default="600",
    show_default=True,
    callback=lambda _context, _option, value: _mode(value),
    help="The socket's mode: 660 lets its group connect.",
)
@click.option(
    "--proxy-headers",
    is_flag=False,
    flag_value="x-forwarded",
    metavar="[x-forwarded|forwarded]",
    type=click.Choice(["x-forwarded", "forwarded"]),
    help="Believe what a trusted proxy says of who asks: X-Forwarded-For, -Proto and -Host, or Forwarded.",
)
@_networks_option("--trusted-proxies", "Whose headers are believed; again for each.  [default: this machine's]")
@click.option(
    "--quota-requests",
    metavar="N",
    type=click.IntRange(1),
    help="How many requests each key may make a minute, unless it has a quota of its own.  [default: any number]",
)
@click.option(
    "--quota-bytes",
    metavar="N",
    type=click.IntRange(1),
    help="How many bytes each key may send a minute, likewise.  [default: any number]",
)
@_networks_option("--metrics-from", "Who may read /metrics without a key; again for each.  [default: this machine]")
@click.option(
    "--drain",
    "drain_s",
    metavar="SECONDS",
    default=0.0,
    type=click.FloatRange(0, 3600),
    help="After SIGTERM, say on /readyz that it is not ready, and serve on for so long.  [default: 0]",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How lines on standard error are written.",
)
@click.option("--access-log", is_flag=True, help="Write a line a request to standard error.")
@click.option("--stock", is_flag=True, hidden=True, help="Answer like a server without steplog's additions.")
def command(**options: Any) -> None:
    """Run a server on this machine.

    Runs until Ctrl-C. Programs on this machine that are not configured for another server find it by themselves.
    """
    from steplog.server.launch import ServerOptions, run_server

    run_server(ServerOptions(**options), _started)


def _mode(octal: str) -> int:
    try:
        mode = int(octal, 8)
    except ValueError:
        mode = -1
    if not 0o600 <= mode <= 0o777:
        raise click.BadParameter(f"{octal} is no mode of a socket, such as 660")
    return mode


def _started(address: RunningServer) -> None:
    click.echo(f"steplog serve: {address.base_url}")
    click.echo(f"  database  {shown_place(address.database)}")
    if address.contents is not None:
        click.echo(f"  files     {address.contents}")
    if address.key_source is not None:
        click.echo(f"  key       in {address.key_source}")
    else:
        click.echo(f"  key       {_keys_of_users(address)}")
    if address.page_url is not None:
        click.echo(f"  page      {_page(address, address.page_url)}")
    if address.state:
        click.echo(f"  here      {_settings_here(address)}")
    if address.elsewhere is not None:
        click.echo(f"  elsewhere {_settings_elsewhere(address, address.elsewhere)}")
    if (few := _few_connections(address.connections)) is not None:
        click.echo(f"  limit     {few}")
    click.echo("  stop      Ctrl-C")
    if address.state:
        for name in ("SteplogError", "get_default_client", "journals", "sync"):
            getattr(steplog, name)  # imported now, while there are descriptors
        threading.Thread(target=_adopt, args=(address,), name="steplog-adopt", daemon=True).start()


def _keys_of_users(address: RunningServer) -> str:
    """How to get a key where the server has none of its own."""
    where = _database_option(address)
    issue = f"steplog key issue --user NAME{where}"
    if address.has_users:
        return f"of its users. Type: {issue}"
    return f"of its users. Type: steplog user add NAME --admin{where}, then {issue}"


def _few_connections(connections: int) -> str | None:
    """What to say where the limit on open files allows fewer connections than are promised."""
    from steplog.server.listening import CONNECTIONS_MAX

    if connections >= CONNECTIONS_MAX:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS has no hard limit, and takes no more than ``kern.maxfilesperproc`` as the soft one.
    files, where = (soft, "sysctl kern.maxfilesperproc") if hard == resource.RLIM_INFINITY else (hard, "ulimit -Hn")
    return f"{connections:,} connections instead of {CONNECTIONS_MAX:,}: {files:,} files may be open; see {where}"


def _settings_here(address: RunningServer) -> str:
    """What to set on this machine."""
    if address.found_first is None:
        return "nothing to set: a run that is configured for no server finds this one"
    words = f"a run that is configured for no server finds {address.found_first}, which has run longer"
    return f"{words}; for this one, set {_settings(address, address.base_url)}"


def _settings_elsewhere(address: RunningServer, url: str) -> str:
    """What to set on another machine."""
    return f"set {_settings(address, url)}" if url else "no name of this machine is known: add --allow-host NAME"


def _settings(address: RunningServer, url: str) -> str:
    clear = "" if url.startswith("https:") or is_loopback(url) else " STEPLOG_ALLOW_HTTP=1"
    return f"STEPLOG_URL={url}{clear} and a key of: steplog key issue{_database_option(address)}"


def _database_option(address: RunningServer) -> str:
    """What the other commands need to find the database."""
    place = address.database
    if place == default_database():
        return ""
    return f" {'--db' if isinstance(place, Path) else '--store'} {shlex.quote(shown_place(place))}"


def _page(address: RunningServer, url_with_token: str) -> str:
    """The page's address, or how to get it where this is not for a terminal."""
    if sys.stdout.isatty():
        return url_with_token
    return f"type: steplog key page{_database_option(address)}"


def _adopt(address: RunningServer) -> None:
    """Deliver what waits here for this server, and what has no server if it is the default."""
    while True:
        with contextlib.suppress(steplog.SteplogError, OSError, ValueError):
            for run in steplog.journals():
                if run.other_host is None and _is_for(run.url, address):
                    deque(steplog.sync(run.id, offline=False, wait=False), maxlen=0)
        time.sleep(ADOPT_INTERVAL_S)


def _is_for(url: str, address: RunningServer) -> bool:
    """Whether a run with this server is this one's, or may be: one of 0.1 has the address that it had then."""
    this = local_url(address.instance)
    if not url:
        return steplog.get_default_client().settings.url == this
    return url == this or (local_instance(url) is None and is_loopback(url))
