"""wandb's exceptions, in wandb's tree, so that ``except wandb.errors.CommError`` catches what it always caught.

::

    wandb.Error
    ├── CommError
    │   └── AuthenticationError
    ├── ConfigError              a config value is changed, or a file cannot be read
    └── UsageError
        └── UnsupportedError
"""

from __future__ import annotations

from typing import Any

__all__ = ["AuthenticationError", "CommError", "ConfigError", "Error", "UnsupportedError", "UsageError"]


class Error(Exception):
    """The base of all that this module raises by its own decision."""

    def __init__(self, message: str = "", context: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.context = context or {}


class CommError(Error):
    """What was asked for cannot be had from the server."""

    def __init__(self, msg: str = "", exc: Exception | None = None) -> None:
        super().__init__(msg)
        self.exc = exc


class AuthenticationError(CommError):
    """The server does not know the key."""


class UsageError(Error):
    """A call cannot be answered as it is made."""


class UnsupportedError(UsageError):
    """There is no such thing here."""


class ConfigError(Error):
    """A value of the config would change, or a file of it cannot be read."""
