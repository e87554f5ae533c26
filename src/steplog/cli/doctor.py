"""``steplog doctor``: check what a run needs to be delivered, and list the settings with their sources.

A check is good, a note (works, with less) or bad, and says what to type. Creates the spool directory if missing, and
briefly a file in it to lock; changes nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.text import Text

import steplog
from steplog import ConfigurationError
from steplog.address import is_loopback, local_instance
from steplog.cli import printing
from steplog.cli.api import Api, ApiError
from steplog.client import LocalServers
from steplog.default_paths import memory_directories, memory_place
from steplog.identity import slug_of
from steplog.installation import UNCOMPILED_COST, compile_again
from steplog.journal import compiled
from steplog.machine.other_system import installed
from steplog.machine.system import is_known_here
from steplog.private_files import is_private, make_private
from steplog.settings import Settings, documented, resolve, sources
from steplog.time_limit import within

__all__ = ["command"]

_GOOD, _NOTE, _BAD = "good", "note", "bad"
_SIGNS = {_GOOD: ("✓", "green"), _NOTE: ("!", "yellow"), _BAD: ("✗", "red")}
_SHARED_BYTES_MIN = 8 * 1024 * 1024
_DISK_BYTES_MIN = 64 * 1024 * 1024
_ANSWER_S = 3.0  # of a server of this machine
_SYSTEMS = ("Linux", "Darwin")
_SENTENCES = re.compile(r"(?<=\.) (?=[A-Z])")
_OF_NO_RUN = ("servers", "kept-files")  # directories beside those of runs


class _Check(NamedTuple):
    name: str
    state: str
    words: str


class _ServerHere(NamedTuple):
    """A server on this machine. ``first``: a program that is configured for nothing takes it."""

    url: str
    instance: str
    since: str | None
    process: int | None
    database: str
    answers: bool
    words: str
    first: bool


@click.command("doctor")
@printing.json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check the settings, this machine, the server and the key.

    The exit code is 1 if something is wrong.
    """
    settings = resolve()
    machine = [_python(settings), _memory(settings), _spool(settings), *_system(settings)]
    checks = [*machine, _waiting(), *_server(settings)]
    values, servers = _settings(settings), list(_servers_here(settings))
    if as_json:
        shown = [check._asdict() for check in checks], [server._asdict() for server in servers]
        printing.print_json({"checks": shown[0], "servers": shown[1], "settings": values})
    else:
        _print(checks, servers, values)
    context.exit(1 if any(check.state == _BAD for check in checks) else 0)


def _print(checks: list[_Check], servers: list[_ServerHere], settings: dict[str, dict[str, Any]]) -> None:
    console = printing.console()
    table = printing.table("", "", "")
    for check in checks:
        printing.add_row(table, printing.text(*_SIGNS[check.state]), check.name, _lines(check.words))
    printing.write(console, table, "")
    if servers:
        table = printing.table("", "server on this machine")
        for server in servers:
            sign = _SIGNS[_GOOD if server.answers else _NOTE]
            printing.add_row(table, printing.text(*sign), _in_words(server))
        printing.write(console, table, "")
    given, others = printing.table("setting", "from", "value"), printing.table("setting", "default")
    for name, entry in settings.items():
        value = printing.value(entry["value"], None) or "–"
        if entry["from"] == "default":
            printing.add_row(others, name, value, style="dim")
        else:
            printing.add_row(given, name, entry["from"], value)
    if any(entry["from"] != "default" for entry in settings.values()):
        printing.write(console, given, "")
    printing.write(console, others)


def _lines(words: str) -> Text:
    """A line a sentence: what to type begins one."""
    return Text("\n").join(printing.text(each, characters_max=400) for each in _SENTENCES.split(words))


def _settings(settings: Settings) -> dict[str, dict[str, Any]]:
    """Value and source of each setting; of the key only whether it is set."""
    origins = sources(settings)
    entries: dict[str, dict[str, Any]] = {}
    for name, _, default, _ in documented():
        value = getattr(settings, name)
        if name == "api_key":
            value = "set" if value is not None else None
        elif value is None:
            value = default
        entries[name] = {"value": str(value) if isinstance(value, Path) else value, "from": origins[name]}
    return entries


def _python(settings: Settings) -> _Check:
    why = compiled.why_pure()
    if settings.pure and why != "free-threaded":
        why = "asked for"
    words = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}, "
    if why is None:
        words += "log() compiled"
    elif why == "free-threaded":
        words += "log() in Python, under a lock: free-threaded"
    elif why == "asked for":
        words += f"log() in Python, not compiled: pure is set by {sources(settings)['pure']}"
    else:
        cost = UNCOMPILED_COST[0].upper() + UNCOMPILED_COST[1:]
        words += f"log() in Python, not compiled. {cost}. To have it compiled, {compile_again()}"
    return _Check("python", _GOOD if platform.system() in _SYSTEMS and why != "not compiled" else _NOTE, words)


def _memory(settings: Settings) -> _Check:
    place = memory_place()
    directory = settings.memory_dir or next(iter(memory_directories()), place)
    existing = directory if directory.exists() else directory.parent
    if directory == place:  # which a run makes, where it is in a home
        existing = next((path for path in (place, *place.parents) if path.exists()), place)
    usable, free = False, 0
    try:
        if settings.memory_dir is not None:
            is_private(directory)
    except ConfigurationError as error:
        return _Check("shared memory", _BAD, f"{error}. Set STEPLOG_MEMORY_DIR")
    except OSError:
        pass
    with contextlib.suppress(OSError):
        usable, free = os.access(existing, os.W_OK | os.X_OK), shutil.disk_usage(existing).free
    if not usable:
        words = f"{directory} cannot be used. Records wait in the process and on disk; a kill loses the last second"
        return _Check("shared memory", _NOTE, words)
    used = 0 if directory == place else _used_bytes(directory)
    words = f"{directory}, {printing.size(used)} in use, {printing.size(free)} free"
    return _Check("shared memory", _GOOD if free >= _SHARED_BYTES_MIN else _NOTE, words)


def _spool(settings: Settings) -> _Check:
    directory = settings.dir
    try:
        make_private(directory)
        free = shutil.disk_usage(directory).free
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=directory) as scratch:
            locks = _can_lock(Path(scratch) / "lock")
    except ConfigurationError as error:
        return _Check("spool", _BAD, f"{error}. Undelivered records cannot be kept on disk. Set STEPLOG_DIR")
    except OSError as error:
        words = f"{directory}: {error.strerror}. Undelivered records cannot be kept on disk. Set STEPLOG_DIR"
        return _Check("spool", _BAD, words)
    words = f"{directory}, {printing.size(_used_bytes(directory))} in use, {printing.size(free)} free, "
    words += "locks work" if locks else "its file system cannot lock. Set STEPLOG_DIR to a local disk"
    return _Check("spool", _BAD if not locks else _GOOD if free >= _DISK_BYTES_MIN else _NOTE, words)


def _system(settings: Settings) -> Iterator[_Check]:
    """Of a system other than Linux, where the process reads nothing by itself."""
    if settings.system_interval_s and not is_known_here():
        if installed() is None:
            yield _Check("system metrics", _NOTE, "none: pip install 'steplog[system]', which is psutil")
        else:
            yield _Check("system metrics", _GOOD, "by psutil")


def _waiting() -> _Check:
    try:
        runs = [run for run in steplog.journals() if run.pending or run.files]
    except ConfigurationError:
        return _Check("waiting", _NOTE, "cannot be looked for, see above")
    if not runs:
        return _Check("waiting", _GOOD, "no records")
    records = printing.plural(sum(run.pending for run in runs), "record")
    if files := sum(run.files for run in runs):
        records += f" and {printing.plural(files, 'file')}"
    return _Check("waiting", _NOTE, f"{records} of {printing.plural(len(runs), 'run')}: steplog ls --here")


def _can_lock(path: Path) -> bool:
    """Whether a lock keeps out a second one."""
    locked = []
    with open(path, "wb") as first, open(path, "wb") as second:
        for file in (first, second):
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked.append(file)
    return locked == [first]


def _server(settings: Settings) -> Iterator[_Check]:
    try:
        client = steplog.get_default_client(settings)
    except ConfigurationError as error:
        if sources(settings)["url"] == "default" and settings.api_key is None and "no server" in str(error):
            words = "none is configured and none runs here; runs are kept. Type: steplog serve, or steplog login"
            yield _Check("server", _NOTE, words)
        else:
            yield _Check("server", _BAD, str(error))
        return
    api = Api(client)
    origin = sources(settings)["api_key"]
    if client.settings is not settings and client.settings != settings:
        origin = "the server found on this machine"
    elif origin == "default":
        origin = f"{settings.dir}, where steplog login stored it"
    try:
        with within(_ANSWER_S if client.local is not None else None):
            username = api.username()
            # Reads the store, which the key does not.
            api.get(client.settings.namespace or slug_of(username), "projects")
    except ApiError as error:
        yield _Check("server", _BAD, error.reason)
        return
    except ConfigurationError as error:
        yield _Check("server", _BAD, str(error))
        return
    likely = api.get("instance", nonce="doctor") is not None  # a run would tell for sure
    kind = "takes batches" if likely else "a stock server: one request a metric"
    yield _Check("server", _GOOD, f"{api.base_url}, {kind}")
    if local_instance(client.settings.url) is None and api.base_url.startswith("http:") and is_loopback(api.base_url):
        words = "While the server is down, any user of this machine can take its port, and gets the key. "
        words += "For a steplog serve of yours, unset STEPLOG_URL: it is found, and spoken to over a socket of yours"
        yield _Check("address", _NOTE, words)
    yield _Check("key", _GOOD, f"belongs to {username}, from {origin}")


def _servers_here(settings: Settings) -> Iterator[_ServerHere]:
    """The servers that run on this machine with this state directory, in the order in which clients take them."""
    for position, client in enumerate(LocalServers(settings).clients()):
        api, local = Api(client), client.local
        try:
            with within(_ANSWER_S):
                user = (api.get("verify-api-key") or {}).get("username")
            answers, words = True, f"answers as {user}"
        except ApiError as error:
            answers, words = False, error.reason.removeprefix(f"{api.base_url}: ")
        found = None if local is None else local.found
        if local is None or found is None:  # it has ended meanwhile
            continue
        started_s = found.started_ns // 10**9
        since = datetime.fromtimestamp(started_s, timezone.utc).isoformat() if started_s else None
        place = api.base_url, local.instance, since, local.pid or None, found.database
        yield _ServerHere(*place, answers, words, first=position == 0)


def _in_words(server: _ServerHere) -> Text:
    """A line of where it is, one of its database, and one of what it says."""
    lines = (
        (
            server.url,
            f"since {printing.local_time(server.since)}" if server.since is not None else "of version 0.1",
            f"process {server.process}" if server.process is not None else "",
        ),
        (f"database {server.database}" if server.database else "",),
        (server.words, "used where none is configured" if server.first else ""),
    )
    words = (", ".join(filter(None, parts)) for parts in lines)
    return Text("\n").join(printing.text(line, characters_max=400) for line in words if line)


def _used_bytes(directory: Path) -> int:
    """The size of the runs below a directory; files directly in it are of none, nor is what a server keeps."""
    total = 0
    for folder, folders, names in os.walk(directory):
        if Path(folder) == directory:
            folders[:] = [name for name in folders if name not in _OF_NO_RUN and not name.endswith(".blobs")]
        for name in names if Path(folder) != directory else ():
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
