"""Every exception that steplog defines.

    SteplogError
    ├── ArtifactNotFoundError     (also a LookupError)
    ├── InvalidAPIKeyError
    ├── MetricNotFoundError       (also a LookupError)
    ├── ProjectNotFoundError      (also a LookupError)
    ├── RunExistsError            (also a ValueError)
    ├── RunFileNotFoundError      (also a LookupError)
    ├── RunFinishedError          (also a RuntimeError)
    ├── RunNotFoundError          (also a LookupError)
    ├── ServerUnavailableError    (also a ConnectionError)
    ├── ConfigurationError        (also a ValueError)
    │   └── NotPrivateError       (also a PermissionError)
    ├── FormatError               (also a ValueError)
    └── FilterError               (also a ValueError)

A refusal by the server is a ``requests.HTTPError``, as in the original client.
"""

from __future__ import annotations

__all__ = [
    "ArtifactNotFoundError",
    "ConfigurationError",
    "FilterError",
    "FormatError",
    "InvalidAPIKeyError",
    "MetricNotFoundError",
    "NotPrivateError",
    "ProjectNotFoundError",
    "RunExistsError",
    "RunFileNotFoundError",
    "RunFinishedError",
    "RunNotFoundError",
    "ServerUnavailableError",
    "SteplogError",
]


class SteplogError(Exception):
    """The base class."""


class ArtifactNotFoundError(SteplogError, LookupError):
    """A project has no artifact of a name, or not the version."""


class InvalidAPIKeyError(SteplogError):
    """The server rejects the API key."""


class MetricNotFoundError(SteplogError, LookupError):
    """A run was asked for a metric that it does not have."""


class ProjectNotFoundError(SteplogError, LookupError):
    """Neither the server nor this machine has the project."""


class RunExistsError(SteplogError, ValueError):
    """``init`` was to make a run, and the project has one of that id or name."""


class RunNotFoundError(SteplogError, LookupError):
    """A run was to be resumed, joined or read, and there is none of that id or name."""


class RunFileNotFoundError(SteplogError, LookupError):
    """A run or an artifact has no such file, or its content has not arrived at the server."""


class RunFinishedError(SteplogError, RuntimeError):
    """``log()``, ``save()`` or ``log_artifact()`` was called on a run that is finished."""


class ServerUnavailableError(SteplogError, ConnectionError):
    """No usable answer: no server, cut short, too late, or in no known format."""


class ConfigurationError(SteplogError, ValueError):
    """A setting, an address or a key cannot be used."""


class NotPrivateError(ConfigurationError, PermissionError):
    """A directory or a file that is not this user's alone, or not what it should be."""


class FormatError(SteplogError, ValueError):
    """A segment, a frame, a range or a content is damaged, foreign, or of another version."""


class FilterError(SteplogError, ValueError):
    """A filter, a column or an order of runs cannot be read; ``column`` is where, from 1, if it is known."""

    def __init__(self, reason: str, column: int | None = None) -> None:
        super().__init__(reason if column is None else f"column {column}: {reason}")
        self.reason = reason
        self.column = column
