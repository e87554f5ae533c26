"""``mlflow.types``: what the signature of a model is made of."""

from __future__ import annotations

from steplog.compat.mlflow.types.schema import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

__all__ = ["ColSpec", "DataType", "ParamSchema", "ParamSpec", "Schema", "TensorSpec"]
