"""A small GPT, trained on characters of a text that it makes up. It logs with wandb's calls, and knows of nothing else.

    python examples/nanogpt.py                                              prints alone
    python examples/nanogpt.py --wandb_log=True                             logs with wandb
    python -m steplog.compat wandb examples/nanogpt.py --wandb_log=True     logs with steplog
    … --init_from=resume                                                    goes on from its checkpoint, with its run

Every name that is set below is an option. It needs torch.
"""

from __future__ import annotations

import ast
import math
import os
import random
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

out_dir = "out"
eval_interval = 50
eval_iters = 20
log_interval = 10
init_from = "scratch"  # or "resume"
wandb_log = False
wandb_project = "nanogpt"
wandb_run_name = "characters"
batch_size = 16
block_size = 64
n_layer = 2
n_head = 2
n_embd = 64
dropout = 0.0
learning_rate = 3e-3
min_lr = 3e-4
warmup_iters = 20
max_iters = 200
weight_decay = 0.1
grad_clip = 1.0
seed = 1337
device = "cuda" if torch.cuda.is_available() else "cpu"

config_keys = [key for key, value in globals().items() if key[0] != "_" and isinstance(value, (int, float, str, bool))]
for argument in sys.argv[1:]:
    key, _, text = argument.removeprefix("--").partition("=")
    if key not in config_keys:
        sys.exit(f"{argument}: the options are {', '.join(f'--{each}=' for each in config_keys)}")
    globals()[key] = text if isinstance(globals()[key], str) else ast.literal_eval(text)
config = {key: globals()[key] for key in config_keys}


@dataclass
class GPTConfig:
    block_size: int
    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    dropout: float


class Block(nn.Module):
    """Attention to what came before, then a layer of each position by itself; both add to what they are given."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head, self.dropout = config.n_head, config.dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(config.n_embd), nn.LayerNorm(config.n_embd)
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.out = nn.Linear(config.n_embd, config.n_embd)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd),
            nn.GELU(),
            nn.Linear(4 * config.n_embd, config.n_embd),
            nn.Dropout(config.dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm_1(x)).view(batch, length, 3, self.n_head, width // self.n_head)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, dropout_p=self.dropout if self.training else 0.0
        )
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norm_2(x))


class GPT(nn.Module):
    """Logits of the next character, and the loss where the targets are given."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.n_embd)
        self.positions = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.norm = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.head.weight = self.tokens.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                deep = name.endswith(("out.weight", "mlp.2.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layer) if deep else 0.02)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        x = self.tokens(idx) + self.positions(torch.arange(idx.shape[1], device=idx.device))
        logits = self.head(self.norm(self.blocks(x)))
        if targets is None:
            return logits, None
        return logits, functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def make_text(sentences: int = 3000) -> str:
    """Sentences of a grammar that a small model can learn."""
    chance = random.Random(seed)
    nouns = ["the optimizer", "a gradient", "the loss", "every layer", "the schedule", "one batch"]
    verbs = ["follows", "warms", "shrinks", "repeats", "reaches", "outruns"]
    ends = ["again", "at last", "by a little", "too soon", "without noise"]
    made = (
        f"{chance.choice(nouns)} {chance.choice(verbs)} {chance.choice(nouns)} {chance.choice(ends)}.\n".capitalize()
        for _ in range(sentences)
    )
    return "".join(made)


torch.manual_seed(seed)
text = make_text()
characters = sorted(set(text))
encode = {character: number for number, character in enumerate(characters)}
data = torch.tensor([encode[character] for character in text])
split = int(0.9 * len(data))
splits = {"train": data[:split], "val": data[split:]}


def get_batch(split: str) -> tuple[Tensor, Tensor]:
    source = splits[split]
    starts = torch.randint(len(source) - block_size, (batch_size,))
    x = torch.stack([source[start : start + block_size] for start in starts])
    y = torch.stack([source[start + 1 : start + 1 + block_size] for start in starts])
    return x.to(device), y.to(device)


iter_num, best_val_loss, run_id = 0, math.inf, None
checkpoint_file = os.path.join(out_dir, "ckpt.pt")
if init_from == "resume":
    checkpoint = torch.load(checkpoint_file, map_location=device)
    model_config = GPTConfig(**checkpoint["model_config"])
    iter_num, best_val_loss, run_id = checkpoint["iter_num"], checkpoint["best_val_loss"], checkpoint["run_id"]
else:
    checkpoint = None
    model_config = GPTConfig(block_size, len(characters), n_layer, n_head, n_embd, dropout)
model = GPT(model_config).to(device)
matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99))
if checkpoint is not None:
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
autocast = torch.autocast("cuda", torch.bfloat16) if device == "cuda" else nullcontext()
print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters, {len(text):,} characters of text")


@torch.no_grad()
def estimate_loss() -> dict[str, float]:
    """The mean of some batches of each split."""
    model.eval()
    means = {}
    for split in splits:
        losses = torch.zeros(eval_iters)
        for number in range(eval_iters):
            with autocast:
                losses[number] = model(*get_batch(split))[1].item()
        means[split] = losses.mean().item()
    model.train()
    return means


def get_lr(step: int) -> float:
    """Up in a line, down in half a cosine."""
    if step < warmup_iters:
        return learning_rate * (step + 1) / (warmup_iters + 1)
    ratio = min(1.0, (step - warmup_iters) / max(1, max_iters - warmup_iters))
    return min_lr + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (learning_rate - min_lr)


if wandb_log:
    import wandb

    run = wandb.init(project=wandb_project, name=wandb_run_name, config=config, id=run_id, resume="allow")
    run_id = run.id

began = time.perf_counter()
while True:
    lr = get_lr(iter_num)
    for group in optimizer.param_groups:
        group["lr"] = lr
    if iter_num % eval_interval == 0 or iter_num == max_iters:
        losses = estimate_loss()
        print(f"step {iter_num}: train loss {losses['train']:.6f}, val loss {losses['val']:.6f}")
        if wandb_log:
            wandb.log(
                {"iter": iter_num, "train/loss": losses["train"], "val/loss": losses["val"], "lr": lr}, step=iter_num
            )
        if losses["val"] < best_val_loss:
            best_val_loss = losses["val"]
            os.makedirs(out_dir, exist_ok=True)
            kept = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "run_id": run_id}
            about = {"model_config": asdict(model_config), "iter_num": iter_num, "best_val_loss": best_val_loss}
            torch.save({**kept, **about, "config": config}, checkpoint_file)
    if iter_num >= max_iters:
        break
    with autocast:
        loss = model(*get_batch("train"))[1]
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if iter_num % log_interval == 0:
        took_ms = 1000 * (time.perf_counter() - began) / log_interval
        print(f"iter {iter_num}: loss {loss.item():.6f}, {took_ms:.1f} ms an iteration")
        if wandb_log:
            wandb.log({"loss": loss.item(), "grad_norm": norm, "ms": took_ms}, step=iter_num)
        began = time.perf_counter()
    iter_num += 1

if wandb_log:
    wandb.run.summary["best_val_loss"] = best_val_loss
    wandb.finish()
print(f"best val loss {best_val_loss:.6f}")
