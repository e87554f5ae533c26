"""Logistic regression in plain Python, which logs with wandb's calls: config, steps, a summary and a table.

    python examples/logistic.py                             logs with wandb
    python -m steplog.compat wandb examples/logistic.py     logs with steplog

It needs nothing else, and takes a moment.
"""

from __future__ import annotations

import argparse
import math
import random

import wandb

Point = tuple[list[float], int]


def make_points(number: int, chance: random.Random) -> list[Point]:
    """Two clouds in a plane, of which one is labelled 1."""
    points = []
    for _ in range(number):
        label = chance.randrange(2)
        points.append(([chance.gauss(2.0 * label - 1.0, 1.0), chance.gauss(1.0 - 2.0 * label, 1.0)], label))
    return points


def predict(weights: list[float], point: list[float]) -> float:
    score = weights[0] + sum(weight * part for weight, part in zip(weights[1:], point, strict=True))
    return 1 / (1 + math.exp(-score))


def evaluate(weights: list[float], points: list[Point]) -> tuple[float, float]:
    """The mean loss, and the share that is labelled right."""
    chances = [(predict(weights, point), label) for point, label in points]
    loss = -sum(math.log(max(1e-12, chance if label else 1 - chance)) for chance, label in chances) / len(points)
    return loss, sum((chance > 0.5) == label for chance, label in chances) / len(points)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    run = wandb.init(project="logistic", name=f"lr {args.lr}", config=args, tags=["plain"], group="examples")
    wandb.define_metric("val/*", step_metric="epoch", summary="min")
    chance = random.Random(args.seed)
    train, validation = make_points(400, chance), make_points(200, chance)
    weights = [0.0, 0.0, 0.0]
    for epoch in range(wandb.config.epochs):
        chance.shuffle(train)
        for point, label in train:
            slope = predict(weights, point) - label
            weights = [w - wandb.config.lr * slope * part for w, part in zip(weights, [1.0, *point], strict=True)]
        train_loss, _ = evaluate(weights, train)
        loss, accuracy = evaluate(weights, validation)
        wandb.log({"epoch": epoch, "train": {"loss": train_loss}, "val/loss": loss, "val/accuracy": accuracy})
        print(f"epoch {epoch}: train {train_loss:.6f}, val {loss:.6f}, accuracy {accuracy:.4f}")
    table = wandb.Table(columns=["x", "y", "label", "predicted"])
    for point, label in validation[:10]:
        table.add_data(*point, label, predict(weights, point))
    run.log({"predictions": table})
    run.summary["weights"] = weights
    run.finish()


if __name__ == "__main__":
    main()
