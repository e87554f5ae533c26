"""A callback of transformers' ``Trainer``, and of those that are built on it.

::

    from steplog.integrations.transformers import SteplogCallback

    trainer = Trainer(..., callbacks=[SteplogCallback(project="mnist")])

1. Metrics have the names that they have with ``report_to="wandb"``: ``train/…``, ``eval/…``, ``test/…``, at the
   trainer's ``global_step``; what is said once, at the end, is ``summary/train_runtime`` and the like.
2. The config is the training's arguments, without tokens, the model's config, and ``model/num_parameters``.
3. The world's first process logs. ``train``, ``evaluate`` and ``predict`` are one run, which ends with the program, or
   when the next trainer begins its own. It is CRASHED if an exception of a training ends the program.
4. Each trial of a hyperparameter search is a run of its own.
5. ``log_model="checkpoint"`` keeps each checkpoint, "end" the model at the end, as an artifact (``pretrained``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from steplog.integrations.adapter_run import AdapterRun
from steplog.integrations.pretrained import ModelFiles

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["SteplogCallback"]

_PROJECT = "huggingface"  # what transformers calls it by default
_ONCE = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos")


def _named(logs: Mapping[str, Any]) -> dict[str, Any]:
    named = {}
    for name, value in logs.items():
        part, _, rest = name.partition("_")
        if name in _ONCE:
            named[f"summary/{name}"] = value
        elif rest and part in ("eval", "test"):
            named[f"{part}/{rest}"] = value
        else:
            named[f"train/{name}"] = value
    return named


class SteplogCallback(ModelFiles):
    """Logs to ``run``, else to the active run, else to one of its own, begun by ``steplog.init(**init)``."""

    def __init__(self, run: Run | None = None, log_model: str | None = None, **init: Any) -> None:
        self._given, self._init, self._log_model = run, init, log_model
        self._run: AdapterRun | None = None

    def _begin(self, args: Any, state: Any, model: Any) -> AdapterRun:
        given, project = {}, getattr(args, "project", _PROJECT)
        if project != _PROJECT:
            given["project"] = project
        if state.trial_name is not None:
            given |= {"name": state.trial_name, "group": args.run_name or args.output_dir}
        elif args.run_name and args.run_name != args.output_dir:  # which it is by default, in transformers 4
            given["name"] = args.run_name
        self._run = run = AdapterRun(self._given, default_project=_PROJECT, **{**given, **self._init})
        for known in (getattr(model, "config", None), args):
            if known is not None:
                run.configure(known if isinstance(known, Mapping) else known.to_dict())
        if (count := getattr(model, "num_parameters", None)) is not None:
            run.configure({"model/num_parameters": count()})
        return run

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Begin the run, or go on with it."""
        if not state.is_world_process_zero:
            return
        if state.is_hyper_param_search and self._run is not None:
            self._run.finish()
            self._run = None
        if self._run is None:
            self._begin(args, state, model)
        else:
            self._run.get()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **_: Any) -> None:
        """Log what the trainer logs."""
        if state.is_world_process_zero and logs:
            (self._run or self._begin(args, state, model)).log(_named(logs), state.global_step)

    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, model: Any = None, **_: Any) -> None:
        """Log the metrics of ``predict``, which the trainer logs nowhere."""
        self.on_log(args, state, control, metrics, model)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        """What comes now is logged to the same run."""
        if self._run is not None:
            self.log_model(self._run, model, more.get("processing_class"))
            self._run.rest()
