"""``mlflow.entities.model_registry.model_version_status``."""

from __future__ import annotations

from steplog.compat.mlflow.exceptions import MlflowException

__all__ = ["ModelVersionStatus"]


class ModelVersionStatus:
    """Whether a version of a model is there, a number or a text."""

    PENDING_REGISTRATION, FAILED_REGISTRATION, READY = 1, 2, 3
    _NAMES = ("PENDING_REGISTRATION", "FAILED_REGISTRATION", "READY")

    @classmethod
    def from_string(cls, status_str: str) -> int:
        """The number. Raises MlflowException."""
        if status_str not in cls._NAMES:
            raise MlflowException.invalid_parameter_value(f"a status is {', '.join(cls._NAMES)}, not {status_str!r}")
        return cls._NAMES.index(status_str) + 1

    @classmethod
    def to_string(cls, status: int) -> str:
        """The text. Raises MlflowException."""
        if status not in (1, 2, 3):
            raise MlflowException.invalid_parameter_value(f"a status is 1 to 3, not {status!r}")
        return cls._NAMES[status - 1]
