"""Hugging Face's own callback (``report_to="wandb"``) on this module."""

from __future__ import annotations

from compat.wandb.beside import at_steps_of, frameworks, left_by_ours, left_by_wandb

pytestmark = frameworks("transformers", "accelerate", "torch")

PROGRAM = """
import os, warnings
warnings.simplefilter("ignore")
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

torch.manual_seed(0)
data = [{"input_ids": (tokens := torch.randint(0, 16, (8,))), "labels": tokens} for _ in range(8)]
model = GPT2LMHeadModel(GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=1))
arguments = TrainingArguments(
    output_dir="out", run_name="a", report_to="wandb", logging_steps=1, max_steps=4, eval_strategy="steps",
    eval_steps=2, per_device_train_batch_size=2, save_steps=2, disable_tqdm=True, seed=0, use_cpu=True,
)
os.environ["WANDB_PROJECT"] = "hf"
trainer = Trainer(model=model, args=arguments, train_dataset=data, eval_dataset=data)
trainer.train()
trainer.log({"extra/score": 0.5})
import wandb
assert wandb.run is not None
assert wandb.run.summary["total_flos"] > 0
wandb.finish()
"""
CHECKPOINTS = """
import os
os.environ["WANDB_LOG_MODEL"] = "checkpoint"
os.environ["WANDB_WATCH"] = "all"
"""
COUNTED = """
from steplog.compat.unsupported import unsupported
assert wandb.run is None
"""
TIMES = ("runtime", "per_second")


def test_its_callback_leaves_the_run_that_it_leaves_with_wandb(tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ours = left_by_ours(CHECKPOINTS + PROGRAM + COUNTED, tmp_path / "ours")
    theirs = left_by_wandb(PROGRAM, tmp_path / "theirs")
    assert ours.keys() == theirs.keys() == {"a"}
    expected = at_steps_of("train/global_step", theirs["a"])
    for told in (ours["a"], expected):
        for name in [name for name in told["values"] if name.endswith(TIMES)]:
            told["values"][name] = [step for step, _ in told["values"][name]]
    assert ours["a"] == expected
    assert len(ours["a"]["values"]["train/loss"]) == 4
    assert ours["a"]["config"]["max_steps"] == 4
