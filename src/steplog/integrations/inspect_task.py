"""A task of Inspect AI, as a run has it; ``inspect`` says what that is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from inspect_ai.scorer import value_to_float

from steplog.integrations.adapter_run import AdapterRun

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample, EvalSpec
    from inspect_ai.model import ModelUsage

__all__ = ["InspectTask"]

_CONFIG: Any = dict.fromkeys(("task", "task_version", "task_args", "solver", "solver_args", "model", "config"), True)
_CONFIG |= dict.fromkeys(("model_generate_config", "sandbox", "metadata"), True)
_CONFIG |= {"dataset": {"name", "location", "samples", "shuffled"}}
_SECRET: Any = {"model_generate_config": {"extra_headers", "extra_body"}}  # they may hold keys, as model_args may
_GRADES = {"c", "i", "p", "n", "yes", "no", "true", "false"}
_to_float = value_to_float()


class InspectTask:
    """Logs to ``target``, each name with ``prefix``."""

    def __init__(self, target: AdapterRun, prefix: str, spec: EvalSpec) -> None:
        self.run_id, self._target, self._prefix = spec.run_id, target, prefix
        self._counts: Counter[str] = Counter()
        self._sums: defaultdict[str, float] = defaultdict(int)
        told = spec.model_dump(mode="json", exclude_none=True, include=_CONFIG, exclude=_SECRET, warnings=False)
        target.configure({prefix.rstrip("/"): told} if prefix else told)

    def _log(self, values: dict[str, Any], counted: str = "") -> None:
        step, self._counts[counted] = self._counts[counted], self._counts[counted] + 1
        self._target.log({self._prefix + name: value for name, value in values.items()}, step=step)

    def sample(self, sample: EvalSample) -> None:
        """A sample has ended."""
        scores = {name: score.value for name, score in (sample.scores or {}).items()}
        row = {"id": sample.id, "epoch": sample.epoch, "scores": scores, "seconds": sample.total_time}
        row["tokens"] = sum(usage.total_tokens for usage in sample.model_usage.values())
        row["error"] = sample.error.message[:1000] if sample.error else None
        means = {}
        for name, value in _numbers(scores):
            self._counts[f"/{name}"] += 1
            self._sums[name] += value
            means[f"mean/{name}"] = self._sums[name] / self._counts[f"/{name}"]
        self._log({"sample": row, **means}, "samples")

    def called(self, model: str, usage: ModelUsage) -> None:
        """A model has answered."""
        found = {"input": usage.input_tokens, "output": usage.output_tokens, "total": usage.total_tokens}
        sums = {f"tokens/{model}/{name}": count for name, count in found.items()}
        sums |= {f"tokens/{model}/cost": usage.total_cost} if usage.total_cost is not None else {}
        for name, count in sums.items():
            self._sums[name] += count
        self._log({name: self._sums[name] for name in sums}, "calls")

    def end(self, log: EvalLog | None, error: BaseException | None = None) -> None:
        """Log the results, and end a run of its own."""
        results = log.results.scores if log is not None and log.results is not None else []
        for score in results:
            several = score.reducer and sum(each.name == score.name for each in results) > 1
            name = f"{score.name}/{score.reducer}" if several else score.name
            self._log({f"{name}/{metric}": each.value for metric, each in score.metrics.items()}, f"results of {name}")
        if log is not None and log.error is not None:
            error = RuntimeError(log.error.message)
            self._log({"error": {"message": log.error.message, "traceback": log.error.traceback[-16_000:]}})
        elif error is None and (log is None or log.status == "cancelled"):
            error = KeyboardInterrupt("cancelled")
        failed = error is None and log is not None and log.status == "error"
        self._target.finish(status="FAILED" if failed else None, error=error)


def _numbers(scores: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in scores.items():
        if isinstance(value, dict):
            yield from _numbers({f"{name}/{part}": each for part, each in value.items()})
        elif isinstance(value, (bool, int, float)) or str(value).lower() in _GRADES:
            yield name, _to_float(value)
