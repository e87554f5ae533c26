"""Where the API key comes from, and where ``login`` keeps it.

    argument > STEPLOG_API_KEY > TELLURIO_API_KEY > stored key of this server

The key file is ``keys.json`` in the state directory (``STEPLOG_DIR``, else the user's)::

    {"<base URL>": "<key>", ...}

0600, in a directory that nobody else may write in, replaced as a whole. A link, a file of another user or one
that others may read or write is refused, not repaired: whoever made it so may have read it. Two logins to two
servers in the same instant may keep one of the two; the other logs in again.

A key is 1 to 4,096 visible ASCII characters: anything else cannot stand in a header, and the libraries below
would say so in a message that holds the key. So it is looked at here first.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from steplog.errors import ConfigurationError
from steplog.network.secret import Quiet, Secret
from steplog.private_files import make_private, write_private
from steplog.settings import Settings, sources

__all__ = ["check_key", "find_key", "key_path", "other_key", "store_key", "stored_key"]

_KEY_VARIABLES = ("STEPLOG_API_KEY", "TELLURIO_API_KEY")
_KEY_CHARACTERS_MAX = 4096
_FILE_BYTES_MAX = 1024 * 1024


def check_key(key: Secret, source: str) -> Secret:
    """The key itself. Raises ConfigurationError, with the source and without the key, if it cannot be sent."""
    fault = _fault(key)
    if fault:
        raise ConfigurationError(f"the API key ({source}) {fault}; was it copied whole?")
    return key


def _fault(key: Secret) -> str:
    text = key.reveal()
    if not text:
        return "is empty"
    if len(text) > _KEY_CHARACTERS_MAX:
        return f"is longer than {_KEY_CHARACTERS_MAX} characters"
    for position, character in enumerate(text, 1):
        if character.isspace() or not character.isprintable():
            return f"has a space, a line break or a control character as character {position} of {len(text)}"
        if not character.isascii():
            return f"has something that is not ASCII, such as a typographic quote, as character {position}"
    return ""


def find_key(settings: Settings) -> tuple[Secret, str] | None:
    """The key for ``settings.url`` and where it was found, or None where there is none.

    Raises ConfigurationError for a key that cannot be sent and a key file that cannot be trusted.
    """
    if settings.api_key is not None:
        source = sources(settings)["api_key"]
        return check_key(settings.api_key, source), source
    path = key_path(settings.dir)
    key = stored_key(path, settings.url)
    return None if key is None else (check_key(key, f"file {path}"), f"file {path}")


def other_key(settings: Settings, refused: Secret | None, environ: Mapping[str, str] | None = None) -> Secret | None:
    """A key that is not the refused one, where the environment or the key file has one by now.

    ``environ`` is ``os.environ`` if not given. Raises ConfigurationError as ``find_key`` does.
    """
    environ = Quiet(os.environ if environ is None else environ)
    for variable in _KEY_VARIABLES:
        key = Secret(environ.get(variable, ""))
        if key not in (Secret(""), refused):
            return check_key(key, f"environment {variable}")
    path = key_path(settings.dir)
    stored = stored_key(path, settings.url)
    return None if stored is None or stored == refused else check_key(stored, f"file {path}")


def key_path(directory: Path) -> Path:
    """The key file in a state directory."""
    return directory / "keys.json"


def stored_key(path: Path, base_url: str) -> Secret | None:
    """The key that ``store_key`` kept for this server, or None.

    Raises ConfigurationError if the file is a link, another user's, readable by others, or damaged.
    """
    return _read(path).get(base_url)


def store_key(path: Path, base_url: str, key: Secret | None) -> None:
    """Keep the key for this server, or forget it (None); the keys of other servers stay.

    Raises ConfigurationError as ``stored_key`` does, OSError where the file cannot be written.
    """
    keys = _read(path)
    if keys.get(base_url) == key:
        return
    keys.pop(base_url, None)
    if key is not None:
        keys[base_url] = key
    make_private(path.parent)
    write_private(path, _encoded(keys), sync=True)


def _encoded(keys: dict[str, Secret]) -> bytes:
    return msgspec.json.format(msgspec.json.encode({url: key.reveal() for url, key in keys.items()}))


def _read(path: Path) -> dict[str, Secret]:
    # A pipe under this name must not block us, a link must not lead us elsewhere.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigurationError(f"key file {path}: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise ConfigurationError(
                f"key file {path}: it belongs to another user, or others may read it; remove it and log in again"
            )
        keys = _decoded(os.read(descriptor, _FILE_BYTES_MAX))
    finally:
        os.close(descriptor)
    if keys is None:
        raise ConfigurationError(f"key file {path}: not what steplog wrote; remove it and log in again")
    return keys


def _decoded(content: bytes) -> dict[str, Secret] | None:
    try:
        return {url: Secret(key) for url, key in msgspec.json.decode(content, type=dict[str, str]).items()}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
