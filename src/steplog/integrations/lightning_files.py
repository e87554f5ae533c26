"""What Lightning's loggers take besides numbers: checkpoints, images, sounds, videos and tables.

``log_model=True`` logs the checkpoints that are kept when a ``fit`` has ended, "all" each as it is saved. Each is a
version of the artifact ``model-ID``, with the alias "best" for the best one. Arguments are those of ``WandbLogger``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

try:
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        raise ModuleNotFoundError
    from lightning.pytorch.utilities.rank_zero import rank_zero_only
except ModuleNotFoundError:
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

import steplog
from steplog.integrations.adapter_run import AdapterRun

__all__ = ["LightningFiles"]


class LightningFiles:
    """The part of ``SteplogLogger`` that is about files; rank zero logs."""

    _run: AdapterRun
    _log_model: bool | str
    _prefix: str
    _last: Any = None  # the callback whose checkpoints are logged at the end
    _logged: Mapping[str, int] = {}  # when a checkpoint that is logged was written, by its path

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """By Lightning, when it has saved one."""
        if self._log_model == "all" or (self._log_model and getattr(checkpoint_callback, "save_top_k", 0) == -1):
            self._log_checkpoints(checkpoint_callback)
        elif self._log_model:
            self._last = checkpoint_callback

    def _log_left_checkpoints(self) -> None:
        if self._last is not None:
            self._log_checkpoints(self._last)

    def _log_checkpoints(self, callback: Any) -> None:
        best = str(callback.best_model_path)
        scores = {str(path): float(score) for path, score in (getattr(callback, "best_k_models", None) or {}).items()}
        for path in dict.fromkeys([*scores, best, str(callback.last_model_path)]):
            written = os.stat(path).st_mtime_ns if path and os.path.exists(path) else None
            if written is None or self._logged.get(path) == written:
                continue
            self._logged = {**self._logged, path: written}
            metadata = {"original_filename": os.path.basename(path), "score": scores.get(path)}
            aliases = ("best",) if path == best else ()
            self._run.keep(
                lambda run, path=path, aliases=aliases, metadata=metadata: run.log_artifact(  # type: ignore[misc]
                    {"model.ckpt": path}, f"model-{run.key or run.uuid}", "model", aliases, metadata=metadata
                )
            )

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Any], step: int | None = None, **of_each: Any) -> None:
        """Log images; ``caption`` has one for each."""
        self._log_list(steplog.Image, key, images, step, of_each)

    @rank_zero_only
    def log_audio(self, key: str, audios: Sequence[Any], step: int | None = None, **of_each: Any) -> None:
        """Log sounds; ``sample_rate`` and ``caption`` have one for each."""
        self._log_list(steplog.Audio, key, audios, step, of_each)

    @rank_zero_only
    def log_video(self, key: str, videos: Sequence[Any], step: int | None = None, **of_each: Any) -> None:
        """Log videos; ``fps``, ``caption`` and ``format`` have one for each."""
        self._log_list(steplog.Video, key, videos, step, of_each)

    def _log_list(self, kind: Any, key: str, given: Any, step: int | None, of_each: Mapping[str, Any]) -> None:
        if not isinstance(given, list):
            raise TypeError(f"Expected a list, found {type(given)}.")
        for name, values in of_each.items():
            if len(values) != len(given):
                raise ValueError(f"Expected {len(given)} items but only found {len(values)} for {name}")
        made = [kind(each, **{name: values[at] for name, values in of_each.items()}) for at, each in enumerate(given)]
        self._run.log({f"{self._prefix}{key}": made}, step)

    @rank_zero_only
    def log_table(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Log a table."""
        table = steplog.Table(columns, data) if dataframe is None else steplog.Table(dataframe=dataframe)
        self._run.log({f"{self._prefix}{key}": table}, step)

    log_text = log_table
