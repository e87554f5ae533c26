"""``mlflow.types.schema``: takes what it is told, for a signature that is not kept."""

from __future__ import annotations

from enum import Enum
from typing import Any

__all__ = ["ColSpec", "DataType", "ParamSchema", "ParamSpec", "Schema", "TensorSpec"]


class DataType(Enum):
    """The type of a column."""

    boolean, integer, long, float, double, string, binary, datetime = range(1, 9)


class _Told:
    def __init__(self, *given: Any, **named: Any) -> None:
        self.given = given
        self.named = named


class Schema(_Told):
    """Of columns or tensors."""


class ColSpec(_Told):
    """A column."""


class TensorSpec(_Told):
    """A tensor."""


class ParamSchema(_Told):
    """Of params."""


class ParamSpec(_Told):
    """A param."""
