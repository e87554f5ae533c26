"""A sweep to look at: twelve trainings of a small network on two spirals, for the README's pictures.

Optimizer, learning rate and width differ. One training diverges and raises. The values are those of the trainings; how
long a step takes is not: they are too quick to look at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import numpy as np

from page.looking import Live
from page.looking import project as new_project
from page.media_files import deliver, png
from server.process import ServerProcess

PROJECT = "two-spirals"
STEP_S, APART_S = 1.1, 2900  # how long a step takes, and how far the starts are from each other
RUNNING_STEPS = 1370  # of the last run, which has not ended
STEPS, BATCH, EVAL_EVERY, SAMPLES_EVERY = 2000, 32, 20, 200
POINTS = 600
SIDE = 96  # pixels of a picture of what a network has learnt
COLOURS = np.array([[46, 84, 200], [240, 240, 244], [214, 96, 40]])  # the first spiral, neither, the second
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
            told["weights"] = histogram(network)
            told["boundary"] = picture(network, unseen, unseen_labels), f"step {step}, {accuracy:.1%}"
            told["verdict"] = f"{accuracy:.1%} of unseen points are on the right spiral; the hardest is ({x}, {y})"
        yield step, told
        if loss > DIVERGED:
            raise FloatingPointError(f"the loss is {loss:.3g} at step {step}")
        network.step(slopes, rate)


def picture(network: Network, points: Any, labels: Any) -> Any:
    """Which spiral the network sees where, and some of the points."""
    at = np.linspace(-1.2, 1.2, SIDE)
    places = np.stack(np.meshgrid(at, -at), -1).reshape(-1, 2)
    chance = network.guess(places)[1].reshape(SIDE, SIDE, 1)
    towards = np.where(chance > 0.5, COLOURS[2], COLOURS[0])
    pixels = COLOURS[1] + (towards - COLOURS[1]) * np.abs(2 * chance - 1) * 0.6
    for (x, y), label in zip(points[:150], labels[:150], strict=True):
        column, row = (round((each + 1.2) / 2.4 * (SIDE - 1)) for each in (x, -y))
        if 0 <= row < SIDE and 0 <= column < SIDE:
            pixels[row, column] = COLOURS[2 if label else 0] * 0.8
    return pixels.astype(np.uint8)


def histogram(network: Network) -> dict[str, Any]:
    """All weights, as ``steplog.Histogram`` logs them."""
    counts, edges = np.histogram(np.concatenate([held.ravel() for held in network.weights.values()]), 48)
    return {"_type": "histogram", "values": counts.tolist(), "bins": [float(f"{edge:.6g}") for edge in edges]}


def name_of(config: dict[str, Any]) -> str:
    """Such as ``adam-0.01-w24``."""
    return f"{config['optimizer']}-{config['lr']:g}-w{config['model']['width']}"


def fill(server: ServerProcess, now_s: float) -> tuple[str, list[Live]]:
    """Deliver the sweep as of a time: the path of its project, and its runs, the newest last."""
    place, runs = new_project(server, PROJECT), []
    for number, config in enumerate(SWEEP):
        last = number == len(SWEEP) - 1
        steps = RUNNING_STEPS if last else STEPS
        began_s = now_s - RUNNING_STEPS * STEP_S - (len(SWEEP) - 1 - number) * APART_S
        fault, told = None, []
        try:
            for step, values in training(config):
                told.append((step, values))
                if len(told) == steps:
                    break
        except FloatingPointError as error:
            fault = str(error)
        run = Live(server, place, name=name_of(config), config=config, **_words(config, began_s))
        _deliver(server, run, told, round(began_s * 1e9))
        if fault is not None:
            where = 'Traceback (most recent call last):\n  File "train.py", line 118, in train'
            trace = f"{where}\nFloatingPointError: {fault}"
            raised = {"type": "FloatingPointError", "message": fault, "traceback": trace}
            run.log([("steplog/exception", json.dumps(raised).encode(), 0)])
        if not last:
            run.end("CRASHED" if fault else "COMPLETED", ended=_date(began_s + len(told) * STEP_S))
        runs.append(run)
    return place, runs


def _words(config: dict[str, Any], began_s: float) -> dict[str, Any]:
    return {
        "started": _date(began_s),
        "group": config["optimizer"],
        "tags": ["sweep", "baseline"] if config["optimizer"] == "sgd" else ["sweep"],
        "description": f"Two layers of {config['model']['width']}, {config['optimizer']} at {config['lr']:g}",
        "provenance": {
            "host": "node-17",
            "user": "ada",
            "python": "3.12.7",
            "command": ["train.py", f"--optimizer={config['optimizer']}", f"--lr={config['lr']:g}"],
            "git": {"commit": "3f9c2d1e07b84a55c6a9d0f1b2e3c4d5a6b7c8d9", "branch": "spirals", "dirty": False},
        },
    }


def _deliver(server: ServerProcess, run: Live, told: list[tuple[int, dict[str, Any]]], began_ns: int) -> None:
    """Curves by how often they have a value, then texts and samples."""
    step_ns = round(STEP_S * 1e9)
    for names, every in ((_numbers(told[1][1]), 1), (_numbers(told[0][1]) - _numbers(told[1][1]), EVAL_EVERY)):
        kept = [values for step, values in told if step % every == 0]
        curves = {name: np.array([values[name] for values in kept]) for name in sorted(names)}
        run.log_curves(curves, every=every, began_ns=began_ns, step_ns=step_ns)
    for name in ("boundary", "hardest", "verdict", "weights"):
        samples = [(step, values[name]) for step, values in told if name in values]
        for step, found in samples:
            value = _image(server, run, *found) if name == "boundary" else found
            run.log([(name, json.dumps(value).encode(), step)], began_ns=began_ns + step * step_ns)


def _image(server: ServerProcess, run: Live, pixels: Any, caption: str) -> dict[str, Any]:
    """The record of an image, whose file is delivered."""
    told = {"_type": "image", "file": deliver(server, run, png(pixels), "image/png"), "type": "image/png"}
    return told | {"width": SIDE, "height": SIDE, "caption": caption}


def _numbers(values: dict[str, Any]) -> set[str]:
    return {name for name, value in values.items() if isinstance(value, float)}


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")
