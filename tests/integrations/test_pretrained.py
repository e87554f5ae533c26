"""transformers' checkpoints and models as artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import steplog
from apart import apart
from integrations.kept_runs import keep_offline
from polling import wait_until

pytest.importorskip("transformers", reason="needs transformers: pip install 'steplog[frameworks]'")
pytest.importorskip("accelerate", reason="needs accelerate: pip install 'steplog[frameworks]'")

from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from steplog.integrations.transformers import SteplogCallback

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    keep_offline(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)


def trained(log_model: str | None) -> steplog.Run:
    config = BertConfig(vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    rows: Any = [{"input_ids": [row, row], "labels": row % 2} for row in range(32)]
    options: dict[str, Any] = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "logging_steps": 1}
    with steplog.init(project="hf", name="a", id="abc") as run:
        Trainer(
            model=BertForSequenceClassification(config),
            args=TrainingArguments("out", max_steps=4, save_steps=2, save_strategy="steps", **options),
            train_dataset=rows,
            callbacks=[SteplogCallback(log_model=log_model)],
        ).train()
        names = {"checkpoint": ["checkpoint-abc"] * 2, "end": ["model-abc"], None: []}
        files = run._opened.files  # type: ignore[union-attr]
        wait_until(lambda: [entry.name for entry, _ in files.artifacts()] == names[log_model])
        if log_model == "checkpoint":
            first = run.use_artifact("checkpoint-abc:step-2")
            assert {file.path for file in first.files} == {path.name for path in Path("out/checkpoint-2").iterdir()}
        if log_model == "end":
            assert {"config.json"} <= {file.path for file in run.use_artifact("model-abc").files}
    return run


@apart
@pytest.mark.parametrize("log_model", ["checkpoint", "end", None])
def test_models_are_kept_where_that_is_asked_for(log_model):
    trained(log_model)
