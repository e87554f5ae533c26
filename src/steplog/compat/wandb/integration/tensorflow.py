"""``wandb.integration.tensorflow``: summaries of TensorFlow 1, of which none is read."""

from __future__ import annotations

from typing import Any

from steplog.compat.unsupported import unsupported

__all__ = ["log"]


def log(tf_summary_str_or_pb: Any, history: Any = None, step: int = 0, namespace: str = "", **kwargs: Any) -> None:
    """Counted."""
    unsupported.note("wandb.tensorflow.log()", "log the values of the summary: wandb.log({…}, step=…)")
