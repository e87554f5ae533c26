"""``mlflow.exceptions``: what is raised where MLflow raises it."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ALREADY_EXISTS",
    "INVALID_PARAMETER_VALUE",
    "NOT_IMPLEMENTED",
    "RESOURCE_DOES_NOT_EXIST",
    "ExecutionException",
    "MissingConfigException",
    "MlflowException",
    "MlflowTracingException",
    "RestException",
    "missing",
]

INVALID_PARAMETER_VALUE = "INVALID_PARAMETER_VALUE"
RESOURCE_DOES_NOT_EXIST = "RESOURCE_DOES_NOT_EXIST"
ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"
NOT_IMPLEMENTED = "NOT_IMPLEMENTED"
_HTTP = {INVALID_PARAMETER_VALUE: 400, RESOURCE_DOES_NOT_EXIST: 404, ALREADY_EXISTS: 400, NOT_IMPLEMENTED: 501}


class MlflowException(Exception):  # noqa: N818 - its name
    """``error_code`` is MLflow's name of it, such as ``RESOURCE_DOES_NOT_EXIST``."""

    def __init__(
        self,
        message: str,
        error_code: object = "INTERNAL_ERROR",
        sqlstate: str | None = None,
        error_class: str | None = None,
        **json: Any,
    ) -> None:
        super().__init__(str(message))
        self.message = str(message)
        self.error_code = str(error_code)
        self.sqlstate = sqlstate
        self.error_class = error_class
        self.json_kwargs = json

    def get_http_status_code(self) -> int:
        """That of MLflow's server."""
        return _HTTP.get(self.error_code, 500)

    @classmethod
    def invalid_parameter_value(cls, message: str, **json: Any) -> MlflowException:
        """With the error code INVALID_PARAMETER_VALUE."""
        return cls(message, error_code=INVALID_PARAMETER_VALUE, **json)


class RestException(MlflowException):
    """Not raised here."""


class ExecutionException(MlflowException):
    """Not raised here."""


class MissingConfigException(MlflowException):
    """Not raised here."""


class MlflowTracingException(MlflowException):
    """Not raised here."""


def missing(message: str) -> MlflowException:
    """What was asked for is not there."""
    return MlflowException(message, error_code=RESOURCE_DOES_NOT_EXIST)
