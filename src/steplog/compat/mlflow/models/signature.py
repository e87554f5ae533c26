"""``mlflow.models.signature``: what a model takes and gives, of which nothing is kept."""

from __future__ import annotations

from typing import Any

from steplog.compat.mlflow.counted import FILES, counted

__all__ = ["ModelSignature", "infer_signature", "set_signature"]


class ModelSignature:
    """What a model takes and gives, as it was told."""

    def __init__(self, inputs: Any = None, outputs: Any = None, params: Any = None) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.params = params


def infer_signature(model_input: Any = None, model_output: Any = None, params: Any = None) -> ModelSignature:
    """An empty one: models are not kept."""
    return ModelSignature()


def set_signature(model_uri: str, signature: ModelSignature) -> None:
    """Counted."""
    counted("models.set_signature", FILES)()
