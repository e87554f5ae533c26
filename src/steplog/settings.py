"""Settings: argument > environment > file > default, resolved once.

environment   ``STEPLOG_`` and the name in capitals; for address and key also the original client's. Empty: not given.
file          ``steplog.toml``, else ``[tool.steplog]`` in ``pyproject.toml``, in the nearest directory upwards that
              has either. A file of another user is not read: it could send the key elsewhere.

Docs and ``steplog doctor`` are made from the fields of ``Settings``. Units: ``_s`` seconds, ``_bytes_max`` bytes. The
API key is in no ``repr``, pickle or message.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import math
import os
import re
import stat
import sys
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from steplog.address import canonical_url, with_port
from steplog.default_paths import state_directory, user_id
from steplog.errors import ConfigurationError, NotPrivateError
from steplog.private_files import is_private
from steplog.secret import Quiet, Secret

__all__ = ["Settings", "check_directories", "documented", "resolve", "sources"]

_Parse = Callable[[object, Path], Any]  # of a value, and the directory that a path in it starts from
_log = logging.getLogger("steplog")
_FILE_BYTES_MAX = 1024 * 1024
_INTERVAL_MIN_S = 0.1
_IS_KEY = rb"steplog[\"']?[ \t]*(?:[.\]]|=(?!=))"  # in TOML; a dependency goes on otherwise
_KEY_HINT = "set STEPLOG_API_KEY, or type: steplog login"
_URL_VARIABLES = ("TELLURIO_BACKEND_HTTP_BASE_URL", "TELLURIO_BACKEND_HTTP_PORT")


def _refuse(expected: str, value: object) -> NoReturn:
    raise ValueError(f"{expected} is expected, not {repr(value)[:80]}")


def _url(value: object, _: Path) -> str:
    return canonical_url(value) if isinstance(value, str) else _refuse("an address", value)


def _text(value: object, _: Path) -> str:
    return value if isinstance(value, str) and value.strip() else _refuse("a text", value)


def _flag(value: object, _: Path) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    found = words.get(value.strip().lower()) if isinstance(value, str) else value
    return found if isinstance(found, bool) else _refuse("true or false", value)


def _path(value: object, directory: Path) -> Path:
    if not isinstance(value, (str, Path)) or "\0" in str(value) or not str(value):
        _refuse("a path", value)
    return Path(os.path.abspath(directory / os.path.expanduser(value)))


def _one_of(*words: str) -> _Parse:
    return lambda value, _: value if isinstance(value, str) and value in words else _refuse(" or ".join(words), value)


def _count(minimum: int) -> _Parse:
    def parse(value: object, _: Path) -> int:
        try:
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        whole = isinstance(number, int) and not isinstance(number, bool) and number >= minimum
        return number if whole and isinstance(number, int) else _refuse(f"a whole number from {minimum}", value)

    return parse


def _amount(minimum: float, below: float = math.inf, of: str = "a number of seconds") -> _Parse:
    def parse(value: object, _: Path) -> float:
        try:
            number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        return number if minimum <= number < below else _refuse(f"{of} from {minimum:g}", value)

    return parse


def _interval(value: object, directory: Path) -> float:
    number: float = _amount(0)(value, directory)
    return (
        number
        if number == 0 or number >= _INTERVAL_MIN_S
        else _refuse(f"0, or seconds from {_INTERVAL_MIN_S:g}", value)
    )


def _key(value: object, _: Path) -> Secret:
    # Its characters are checked where it is sent, so that no traceback shows them.
    if not isinstance(value, (str, Secret)):
        raise ValueError("a text is expected")
    return Secret(value) if isinstance(value, str) else value


def _setting(parse: _Parse, doc: str, default: Any, *variables: str, shown: str = "") -> Any:
    metadata = {"parse": parse, "doc": doc, "variables": variables, "shown": shown}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata, repr=parse is not _key)


# ruff: noqa: RUF009 - _setting makes a dataclass field
@dataclasses.dataclass(frozen=True)
class Settings:
    """The resolved settings; made by ``resolve``."""

    url: str = _setting(_url, "The server.", "https://platform.tellurio.ai", *_URL_VARIABLES)
    api_key: Secret | None = _setting(_key, "The key; never in a file of a project.", None, "TELLURIO_API_KEY")
    project: str | None = _setting(_text, "The project of a run.", None)
    namespace: str | None = _setting(_text, "The namespace of a project.", None, shown="the key's own user")
    name: str | None = _setting(_text, "The name of a run.", None, shown="the server's choice")
    mode: str = _setting(_one_of("online", "offline", "disabled"), "online, offline or disabled.", "online")
    dir: Path = _setting(_path, "Spool, key and state files.", state_directory, shown="the user's state directory")
    memory_dir: Path | None = _setting(
        _path, "Shared memory.", None, shown="in /dev/shm; on macOS in the user's caches"
    )
    memory_bytes_max: int | None = _setting(
        _count(64 * 1024), "Shared memory in use, all runs.", None, shown="64 MiB, or an eighth of it if smaller"
    )
    spool_bytes_max: int | None = _setting(
        _count(1024 * 1024), "Disk in use, all runs.", None, shown="8 GiB, or a tenth of the free disk if smaller"
    )
    blob_memory_bytes_max: int | None = _setting(
        _count(64 * 1024), "Shared memory for media, all runs.", None, shown="64 MiB, or an eighth of it if smaller"
    )
    blob_bytes_max: int | None = _setting(
        _count(1024 * 1024), "Disk for files that wait, all runs.", None, shown="a quarter of the free disk"
    )
    on_full: str = _setting(
        _one_of("drop_newest", "drop_oldest"), "What is dropped when memory and disk are full.", "drop_newest"
    )
    value_bytes_max: int = _setting(_count(8), "One value, encoded.", 1024 * 1024)
    quiet: bool = _setting(_flag, "No lines at the start and the end of a run.", False)
    strict: bool = _setting(_flag, "TypeError or ValueError for a value that has only its repr.", False)
    exceptions: bool = _setting(_flag, "Record the exception that ends a run as steplog/exception.", True)
    provenance: bool = _setting(_flag, "Record host, user, command line and git commit; see the privacy page.", True)
    pure: bool = _setting(_flag, "The append in Python, not the compiled one.", False)
    system_interval_s: float = _setting(_interval, "Between two looks at load and memory, for system/…; 0: none.", 15.0)
    finish_timeout_s: float = _setting(_amount(0), "How long finish() and the exit wait.", 60.0)
    exchange_timeout_s: float = _setting(_amount(0.001), "One request and its whole answer.", 30.0)
    connect_timeout_s: float = _setting(_amount(0.001), "Resolving and connecting, within the exchange.", 10.0)
    batch_age_s: float = _setting(
        _amount(0), "How long a record waits for others.", 0.9, shown="0.9, or nine tenths of spool_interval_s if less"
    )
    spool_interval_s: float = _setting(_amount(0.001), "Undelivered for longer: copied to disk.", 1.0)
    signal_flush_s: float = _setting(_amount(0), "How long a flush after a signal takes.", 5.0)
    connections_max: int = _setting(_count(1), "Connections to a server that takes no batches.", 32)
    sender_cpu_share_max: float = _setting(_amount(0.001, 1.001, "a share"), "Of one processor, for sending.", 0.25)
    allow_http: bool = _setting(_flag, "http:// to another machine too: the key travels in clear.", False)


def resolve(environ: Mapping[str, str] | None = None, directory: Path | None = None, **arguments: Any) -> Settings:
    """Resolve the settings for these arguments, ``os.environ`` and the current directory.

    Raises ConfigurationError for a value or file that cannot be used, TypeError for an unknown argument.
    """
    environ = Quiet(os.environ if environ is None else environ)
    if isinstance(arguments.get("api_key"), str):
        arguments["api_key"] = Secret(arguments["api_key"])
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    if not arguments.keys() <= fields.keys():
        raise TypeError(f"no such setting: {', '.join(sorted(arguments.keys() - fields.keys()))}")
    current = Path(os.path.abspath(directory or "."))
    file, table = _file(current, fields.keys())
    values: dict[str, Any] = {}
    origins = dict.fromkeys(fields, "default")
    for name, field in fields.items():
        base = current
        if arguments.get(name) is not None:
            value, origins[name] = arguments[name], "argument"
        elif found := _variable(name, field.metadata["variables"], environ):
            value, origins[name] = found
        elif name in table:
            value, origins[name], base = table[name], f"file {file}", file.parent
        else:
            continue
        values[name] = _parsed(name, origins[name], field.metadata["parse"], value, base)
    if "batch_age_s" not in values and "spool_interval_s" in values:
        values["batch_age_s"] = min(Settings.batch_age_s, 0.9 * values["spool_interval_s"])
    settings = Settings(**values)
    if settings.batch_age_s >= settings.spool_interval_s:
        raise ConfigurationError("batch_age_s must be below spool_interval_s: what is sent in time needs no disk")
    # Not a field: it is no setting.
    object.__setattr__(settings, "_origins", origins)
    return settings


def sources(settings: Settings) -> Mapping[str, str]:
    """The origin of each setting: "argument", "environment NAME", "file PATH" or "default"."""
    everything = dict.fromkeys((field.name for field in dataclasses.fields(Settings)), "argument")
    return everything | getattr(settings, "_origins", {})


def check_directories(settings: Settings) -> None:
    """Raises ConfigurationError where ``dir`` or ``memory_dir`` is there and not this user's alone; OSError."""
    for variable, directory in (("STEPLOG_DIR", settings.dir), ("STEPLOG_MEMORY_DIR", settings.memory_dir)):
        try:
            if directory is not None:
                is_private(directory)
        except NotPrivateError as error:
            raise NotPrivateError(f"{variable}: {error}") from None


def documented() -> list[tuple[str, str, str, str]]:
    """``(name, environment variables, default, meaning)`` of each, for the docs."""
    rows = []
    for field in dataclasses.fields(Settings):
        variables = ", ".join((f"STEPLOG_{field.name.upper()}", *field.metadata["variables"]))
        default = field.metadata["shown"] or ("–" if field.default is None else str(field.default))
        rows.append((field.name, variables, default, field.metadata["doc"]))
    return rows


def _parsed(name: str, origin: str, parse: _Parse, value: object, base: Path) -> Any:
    try:
        return parse(value, base)
    except ValueError as error:
        fault = str(error)
    # Outside the except block: the parser's frames hold the value.
    raise ConfigurationError(f"{name} ({origin}): {fault}")


def _variable(name: str, variables: tuple[str, ...], environ: Mapping[str, str]) -> tuple[object, str] | None:
    if name == "url" and not environ.get("STEPLOG_URL"):
        return _original_url(environ)
    for variable in (f"STEPLOG_{name.upper()}", *variables):
        if environ.get(variable):
            wrap = Secret if name == "api_key" else str
            return wrap(environ[variable]), f"environment {variable}"
    return None


def _original_url(environ: Mapping[str, str]) -> tuple[object, str] | None:
    base, port = (environ.get(variable, "") for variable in _URL_VARIABLES)
    if not base and not port:
        return None
    try:
        return with_port(base or Settings.url, port), f"environment {_URL_VARIABLES[0] if base else _URL_VARIABLES[1]}"
    except ValueError as error:
        raise ConfigurationError(f"url (environment {_URL_VARIABLES[1]}): {error}") from None


def _file(directory: Path, known: Collection[str]) -> tuple[Path, Mapping[str, Any]]:
    for folder in (directory, *directory.parents):
        for path in (folder / "steplog.toml", folder / "pyproject.toml"):
            table = _table(path)
            if table is None:
                continue
            if table.pop("api_key", None) is not None:
                raise ConfigurationError(f"{path}: an api_key does not belong in a file that is shared; {_KEY_HINT}")
            for name in table.keys() - known:
                raise ConfigurationError(f"{path}: no such setting: {name!r:.80}")
            return path, table
    return directory, {}


def _table(path: Path) -> dict[str, Any] | None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _FILE_BYTES_MAX:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    if path.name == "pyproject.toml" and re.search(_IS_KEY, content) is None:
        return None
    if user_id() not in (0, status.st_uid) and status.st_uid != 0:
        _log.warning("%s is not read: it belongs to another user", path)
        return None
    try:
        whole: Any = _toml(content)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: {str(error)[:200]}") from None
    if path.name == "pyproject.toml":
        whole = whole.get("tool", {}).get("steplog")
    if whole is not None and not isinstance(whole, dict):
        raise ConfigurationError(f"{path}: tool.steplog is not a table")
    return None if whole is None else dict(whole)


@lru_cache(maxsize=2)  # one init() resolves the settings three times
def _toml(content: bytes) -> dict[str, Any]:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return toml.loads(content.decode())  # type: ignore[no-any-return]
