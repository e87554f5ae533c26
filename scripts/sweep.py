#!/usr/bin/env python3
"""A sweep to look at: twelve trainings of a small network on two spirals, logged as a training script would.

    python scripts/sweep.py          into the server that steplog would use here

Optimizer, learning rate and width differ; runs are grouped by their optimizer. One training diverges and raises, one is
still running at the end (the program ends, and leaves it so only with ``--leave``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import steplog

PROJECT = "two-spirals"
STEPS, BATCH, EVAL_EVERY, SAMPLES_EVERY = 2000, 32, 20, 200
POINTS = 600
SWEEP: list[dict[str, Any]] = [
    {"optimizer": optimizer, "lr": lr, "model": {"width": width, "activation": "tanh"}, "seed": seed}
    for seed, (optimizer, lr, width) in enumerate(
        [
            ("sgd", 0.1, 24),
            ("sgd", 0.3, 24),
            ("sgd", 1.0, 24),
            ("sgd", 1.0, 48),
            ("momentum", 0.03, 24),
            ("momentum", 0.1, 24),
            ("momentum", 0.3, 48),
            ("momentum", 4.0, 24),
            ("adam", 0.003, 24),
            ("adam", 0.01, 24),
            ("adam", 0.01, 48),
            ("adam", 0.03, 24),
        ]
    )
]
DIVERGED = 6.0  # a loss


def spirals(draw: np.random.Generator) -> tuple[Any, Any]:
    """Points of two spirals, and which one each belongs to."""
    labels = np.arange(POINTS) % 2
    turn = np.sqrt(draw.uniform(0.05, 1, POINTS)) * 2.8 * np.pi
    angle = turn + np.pi * labels
    points = np.stack([turn * np.cos(angle), turn * np.sin(angle)], 1) / 8.8
    return points + draw.normal(0, 0.07, points.shape), labels.astype(float)


class Network:
    """Two hidden layers, and what its optimizer remembers."""

    def __init__(self, width: int, optimizer: str, draw: np.random.Generator) -> None:
        shapes = {"inner": (3, width), "middle": (width + 1, width), "outer": (width + 1, 1)}
        self.weights = {name: draw.normal(0, 1 / np.sqrt(shape[0]), shape) for name, shape in shapes.items()}
        self.weights["inner"] *= 3
        self.optimizer = optimizer
        self.first = {name: np.zeros(shape) for name, shape in shapes.items()}
        self.second = {name: np.zeros(shape) for name, shape in shapes.items()}
        self.steps = 0

    def guess(self, points: Any) -> tuple[list[Any], Any]:
        """What the layers are given, and the chance of the second spiral."""
        one = np.ones((len(points), 1))
        given = [np.hstack([points, one])]
        for name in ("inner", "middle"):
            given.append(np.hstack([np.tanh(given[-1] @ self.weights[name]), one]))
        return given, 1 / (1 + np.exp(-np.clip(given[-1] @ self.weights["outer"], -50, 50)[:, 0]))

    def gradients(self, points: Any, labels: Any) -> tuple[float, float, dict[str, Any]]:
        """Loss, accuracy, and the loss's slope by each weight."""
        given, chance = self.guess(points)
        loss = -np.log(np.clip(np.where(labels == 1, chance, 1 - chance), 1e-12, 1)).mean()
        slope = ((chance - labels) / len(labels))[:, None]
        slopes = {}
        for name, held in (("outer", given[2]), ("middle", given[1]), ("inner", given[0])):
            slopes[name] = held.T @ slope
            slope = (slope @ self.weights[name].T)[:, :-1] * (1 - held[:, :-1] ** 2)
        return float(loss), float(((chance > 0.5) == labels).mean()), slopes

    def step(self, slopes: dict[str, Any], rate: float) -> None:
        """Go down."""
        self.steps += 1
        for name, slope in slopes.items():
            if self.optimizer == "sgd":
                change = slope
            elif self.optimizer == "momentum":
                change = self.first[name] = 0.9 * self.first[name] + slope
            else:
                self.first[name] = 0.9 * self.first[name] + 0.1 * slope
                self.second[name] = 0.999 * self.second[name] + 0.001 * slope**2
                mean = self.first[name] / (1 - 0.9**self.steps)
                change = mean / (np.sqrt(self.second[name] / (1 - 0.999**self.steps)) + 1e-8)
            self.weights[name] = self.weights[name] - rate * change


def training(config: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The steps of a training, each with what to log. Raises FloatingPointError where it diverges."""
    draw = np.random.default_rng(config["seed"])
    points, labels = spirals(draw)
    unseen, unseen_labels = spirals(draw)
    network = Network(config["model"]["width"], config["optimizer"], draw)
    for step in range(STEPS):
        rate = config["lr"] * min(1, (step + 1) / 100) * (0.5 + 0.5 * np.cos(np.pi * step / STEPS))
        chosen = draw.choice(POINTS, BATCH, replace=False)
        loss, accuracy, slopes = network.gradients(points[chosen], labels[chosen])
        norm = float(np.sqrt(sum((slope**2).sum() for slope in slopes.values())))
        told: dict[str, Any] = {"train/loss": loss, "train/accuracy": accuracy, "train/grad_norm": norm}
        told["train/learning_rate"] = float(rate)
        if step % EVAL_EVERY == 0:
            loss, accuracy, _ = network.gradients(unseen, unseen_labels)
            told |= {"eval/loss": loss, "eval/accuracy": accuracy}
            told |= {f"weights/{name}": float(np.linalg.norm(held)) for name, held in network.weights.items()}
        if step % SAMPLES_EVERY == 0:
            chances = network.guess(unseen)[1]
            worst = int(np.abs(chances - unseen_labels).argmax())
            x, y = (round(float(each), 3) for each in unseen[worst])
            told["hardest"] = {"x": x, "y": y, "spiral": int(unseen_labels[worst]), "chance": float(chances[worst])}
            told["verdict"] = f"{accuracy:.1%} of unseen points are on the right spiral; the hardest is ({x}, {y})"
        yield step, told
        if loss > DIVERGED:
            raise FloatingPointError(f"the loss is {loss:.3g} at step {step}")
        network.step(slopes, rate)


def name_of(config: dict[str, Any]) -> str:
    """Such as ``adam-0.01-w24``."""
    return f"{config['optimizer']}-{config['lr']:g}-w{config['model']['width']}"


def main() -> int:
    """Train all; those of one group side by side in time is not needed."""
    for config in SWEEP:
        try:
            with steplog.init(
                project=PROJECT,
                name=name_of(config),
                config=config,
                group=config["optimizer"],
                tags=["sweep", "baseline"] if config["optimizer"] == "sgd" else ["sweep"],
                description=f"{config['optimizer']} at {config['lr']:g}, two layers of {config['model']['width']}",
            ) as run:
                print(run.url)
                for step, told in training(config):
                    run.log(told, step=step)
        except FloatingPointError as error:
            print(f"{name_of(config)}: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
