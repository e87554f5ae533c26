"""Models and checkpoints of transformers as versions of artifacts."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from transformers import TrainerCallback

from steplog.integrations.adapter_run import AdapterRun

__all__ = ["ModelFiles"]


class ModelFiles(TrainerCallback):
    """The part of ``SteplogCallback`` that is about files; what is wanted is "checkpoint", "end" or None."""

    _run: AdapterRun | None
    _log_model: str | None

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the folder ``checkpoint-STEP`` as a version of ``checkpoint-ID``."""
        folder = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
        if self._run is not None and self._log_model == "checkpoint" and os.path.isdir(folder):
            alias = f"step-{state.global_step}"
            self._run.keep(lambda run: run.log_artifact(folder, _name("checkpoint", run), "model", alias))

    def log_model(self, run: AdapterRun, model: Any, processor: Any) -> None:
        """Keep a model and its tokenizer, as ``save_pretrained`` writes them, as a version of ``model-ID``."""
        if self._log_model == "end":
            with tempfile.TemporaryDirectory(prefix="steplog-model-") as folder:
                run.keep(lambda kept: _save(kept, model, processor, folder))


def _save(kept: Any, model: Any, processor: Any, folder: str) -> None:
    for each in (model, processor):
        if hasattr(each, "save_pretrained"):
            each.save_pretrained(folder)
    kept.log_artifact(folder, _name("model", kept), "model", immutable=True)


def _name(kind: str, kept: Any) -> str:
    return f"{kind}-{kept.key or kept.uuid}"
