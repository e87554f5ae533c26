"""Where the API key comes from, and where ``login`` stores it.

    argument > STEPLOG_API_KEY > TELLURIO_API_KEY > stored key of this server

``keys.json`` in the state directory (``STEPLOG_DIR``, else the user's)::

    {"<base URL>": "<key>", ...}

1. Mode 0600, in a directory that nobody else may write in, replaced as a whole.
2. A link, another user's file, or one that others may read or write is refused: the keys may be known.
3. Of two logins in the same instant, one may not be stored.
4. A key is 1 to 4,096 visible ASCII characters, checked before a library could quote it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from steplog.errors import ConfigurationError, NotPrivateError
from steplog.private_files import is_private, make_private, open_private, write_private
from steplog.secret import Quiet, Secret
from steplog.settings import Settings, sources

__all__ = ["check_key", "find_key", "key_path", "other_key", "store_key", "stored_key"]

_KEY_VARIABLES = ("STEPLOG_API_KEY", "TELLURIO_API_KEY")
_KEY_CHARACTERS_MAX = 4096
_FILE_BYTES_MAX = 1024 * 1024


def check_key(key: Secret, source: str) -> Secret:
    """``key``. Raises ConfigurationError, without quoting it, if it cannot be sent."""
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
    """The key for ``settings.url``, and its source. Raises ConfigurationError for a bad key or key file."""
    if settings.api_key is not None:
        source = sources(settings)["api_key"]
        return check_key(settings.api_key, source), source
    path = key_path(settings.dir)
    key = stored_key(path, settings.url)
    return None if key is None else (check_key(key, f"file {path}"), f"file {path}")


def other_key(settings: Settings, refused: Secret | None) -> Secret | None:
    """Another key than the refused one, if there is one now. Raises as ``find_key`` does."""
    environ = Quiet(os.environ)
    for variable in _KEY_VARIABLES:
        key = Secret(environ.get(variable, ""))
        if key not in (Secret(""), refused):
            return check_key(key, f"environment {variable}")
    path = key_path(settings.dir)
    stored = stored_key(path, settings.url)
    return None if stored is None or stored == refused else check_key(stored, f"file {path}")


def key_path(directory: Path) -> Path:
    """The key file in the state directory."""
    return directory / "keys.json"


def stored_key(path: Path, base_url: str) -> Secret | None:
    """The stored key. Raises ConfigurationError if the file is refused or damaged."""
    return _read(path).get(base_url)


def store_key(path: Path, base_url: str, key: Secret | None) -> None:
    """Store the server's key, or remove it (None). Raises as ``stored_key`` does, and OSError."""
    keys = _read(path)
    if keys.get(base_url) == key:
        return
    keys.pop(base_url, None)
    if key is not None:
        keys[base_url] = key
    make_private(path.parent)
    encoded = msgspec.json.encode({url: known.reveal() for url, known in keys.items()})
    write_private(path, msgspec.json.format(encoded), sync=True)


def _read(path: Path) -> dict[str, Secret]:
    try:
        if not is_private(path.parent):
            return {}
    except NotPrivateError:  # nothing is stored there
        return {}
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return {}
    except NotPrivateError as error:
        raise ConfigurationError(f"key file {error}; remove it and log in again") from None
    except OSError as error:
        raise ConfigurationError(f"key file {path}: {error.strerror}") from None
    try:
        if os.fstat(descriptor).st_mode & 0o077:
            raise ConfigurationError(f"key file {path}: others may read it; remove it and log in again")
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
