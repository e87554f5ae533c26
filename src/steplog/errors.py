"""Everything that steplog raises on its own account.

    SteplogError
    ├── InvalidAPIKeyError        the server does not know the key
    ├── RunFinishedError          log() after an explicit finish()      (also a RuntimeError)
    ├── ServerUnavailableError    no usable answer before the deadline  (also a ConnectionError)
    ├── ConfigurationError        a setting or an address is unusable   (also a ValueError)
    └── FormatError               bytes that are not what they should be (also a ValueError)

Two others are promised to users of the original client: ``requests.HTTPError`` for an answer that
is not a success, and the built-in ``TypeError`` and ``ValueError`` for a wrong argument.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "FormatError",
    "InvalidAPIKeyError",
    "RunFinishedError",
    "ServerUnavailableError",
    "SteplogError",
]


class SteplogError(Exception):
    """The root of the tree."""


class InvalidAPIKeyError(SteplogError):
    """The server answered that the API key is missing or wrong."""


class RunFinishedError(SteplogError, RuntimeError):
    """``log()`` was called on a run after its ``finish()``."""


class ServerUnavailableError(SteplogError, ConnectionError):
    """No usable answer came: nobody there, cut short, too late, or not the server's words."""


class ConfigurationError(SteplogError, ValueError):
    """A setting, an address or a key cannot be used as it is."""


class FormatError(SteplogError, ValueError):
    """A segment, a frame or a range is damaged, foreign, or of another version."""
