"""``steplog doctor``: what is set and where it came from, what works, and what keeps a run from being delivered.

Each check is good, a note (it works, with less), or bad, and says what to type. Exit code 1 if one is bad. Nothing is
changed, but that the spool directory is made where it is missing, and in it, for a moment, a file to lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import steplog
from steplog.cli import asking, printing
from steplog.errors import ConfigurationError
from steplog.settings import Settings, documented, resolve, sources

__all__ = ["command"]

_GOOD, _NOTE, _BAD = "good", "note", "bad"
_SIGNS = {_GOOD: ("✓", "green"), _NOTE: ("!", "yellow"), _BAD: ("✗", "red")}
_SHARED_BYTES_MIN = 8 * 1024 * 1024
_DISK_BYTES_MIN = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    state: str
    words: str


@click.command("doctor")
@click.option("--json", "in_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, in_json: bool) -> None:
    """Say what is set, what works, and what does not."""
    settings = resolve()
    checks = [_python(settings), _memory(settings), _spool(settings), _waiting(), *_server(settings)]
    table = _settings(settings)
    if in_json:
        told = [{"name": check.name, "state": check.state, "words": check.words} for check in checks]
        printing.print_json({"checks": told, "settings": table})
    else:
        _print(checks, table)
    context.exit(1 if any(check.state == _BAD for check in checks) else 0)


def _print(checks: list[_Check], table: dict[str, dict[str, Any]]) -> None:
    from rich.text import Text

    shown = printing.console()
    listed = printing.table("", "", "")
    listed.show_header = False
    for check in checks:
        printing.row(listed, Text(*_SIGNS[check.state]), check.name, Text(printing.plain(check.words, 400)))
    printing.show(shown, listed)
    printing.show(shown, Text())
    told = printing.table("setting", "value", "from")
    for name, entry in table.items():
        printing.row(told, name, printing.value(entry["value"]), entry["from"], style=_style(entry["from"]))
    printing.show(shown, told)


def _style(origin: str) -> str | None:
    return "dim" if origin == "default" else None


def _settings(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every setting: its value, and where it came from. The key is only said to be there."""
    origins = sources(settings)
    told: dict[str, dict[str, Any]] = {}
    for name, _, default, _ in documented():
        value = getattr(settings, name)
        if name == "api_key":
            value = "set" if value is not None else None
        elif value is None:
            value = default
        told[name] = {"value": str(value) if isinstance(value, Path) else value, "from": origins[name]}
    return told


# -- checks ---------------------------------------------------------------------------------------------------------


def _python(settings: Settings) -> _Check:
    compiled = not settings.pure and importlib.util.find_spec("steplog.journal._append") is not None
    words = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}, "
    words += f"log() {'compiled' if compiled else 'in pure Python'}"
    return _Check("python", _GOOD if platform.system() == "Linux" else _NOTE, words)


def _memory(settings: Settings) -> _Check:
    place = settings.memory_dir
    try:
        room = os.statvfs(place if place.exists() else place.parent)
        usable = os.access(place if place.exists() else place.parent, os.W_OK | os.X_OK)
    except OSError:
        usable = False
    if not usable:
        words = f"{place} cannot be used: records wait in the process and on disk, and a kill loses the last second"
        return _Check("shared memory", _NOTE, words)
    free = room.f_bavail * room.f_frsize
    words = f"{place}, {printing.size(_held(place))} in use, {printing.size(free)} free"
    return _Check("shared memory", _GOOD if free >= _SHARED_BYTES_MIN else _NOTE, words)


def _spool(settings: Settings) -> _Check:
    place = settings.dir
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(place).free
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as scratch:
            locks = _locks(Path(scratch) / "lock")
    except OSError as error:
        words = f"{place}: {error.strerror}. What is not delivered cannot be kept on disk. Set STEPLOG_DIR"
        return _Check("spool", _BAD, words)
    words = f"{place}, {printing.size(_held(place))} in use, {printing.size(free)} free, "
    words += "locks work" if locks else "its file system cannot lock. Set STEPLOG_DIR to one on a local disk"
    return _Check("spool", _BAD if not locks else _GOOD if free >= _DISK_BYTES_MIN else _NOTE, words)


def _waiting() -> _Check:
    runs = [run for run in steplog.journals() if run.pending]
    if not runs:
        return _Check("waiting", _GOOD, "no records")
    return _Check(
        "waiting",
        _NOTE,
        f"{sum(run.pending for run in runs):,} records of {printing.number(len(runs), 'run')}: steplog ls --here",
    )


def _locks(path: Path) -> bool:
    """Whether a lock that is taken here keeps out a second one."""
    with open(path, "wb") as first, open(path, "wb") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _server(settings: Settings) -> Iterator[_Check]:
    try:
        client = steplog.get_default_client(settings)
    except ConfigurationError as error:
        if sources(settings)["url"] == "default" and settings.api_key is None and "no server" in str(error):
            words = "none is configured, and none runs here: runs are kept. Type: steplog serve, or steplog login"
            yield _Check("server", _NOTE, words)
        else:
            yield _Check("server", _BAD, str(error))
        return
    server = asking.Server(client)
    origin = sources(settings)["api_key"]
    if client.settings is not settings and client.settings != settings:
        origin = "the server on this machine, which was found"
    elif origin == "default":
        origin = f"stored in {settings.dir} by steplog login"
    try:
        username = server.username()
    except (asking.AskingError, ConfigurationError) as error:
        yield _Check("server", _BAD, str(error))
        return
    kind = "takes batches" if server.takes_batches() else "a stock server: one request a metric"
    yield _Check("server", _GOOD, f"{server.base_url}, {kind}")
    yield _Check("key", _GOOD, f"belongs to {username}, from {origin}")


def _held(place: Path) -> int:
    """How many bytes the journals below a directory take; files that lie in itself are other things."""
    total = 0
    for folder, _, names in os.walk(place):
        if Path(folder) == place:
            continue
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
