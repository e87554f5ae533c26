"""What a worker of the demo trains: a network of one hidden layer that tells two interleaved half-moons apart.

Pure Python, from random weights, on points that are made here. A step is one minibatch of gradient descent and takes
some 0.2 ms, so that training and logging are in a proportion that real programs know.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

__all__ = ["BATCH", "Model", "Step"]

_POINTS = 400
_HIDDEN = 12
BATCH = 16
_NOISE = 0.15
_DECAY_STEPS = 3000

_Point = tuple[float, float, float]  # x, y, and which of the moons, 0 or 1


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of training came to."""

    loss: float
    accuracy: float
    grad_norm: float
    learning_rate: float


class Model:
    """A network and its data; the same ``seed`` gives the same training."""

    def __init__(self, seed: int, learning_rate: float) -> None:
        self._random = random.Random(seed)
        self._rate = learning_rate
        self._points = [self._point(index % 2) for index in range(_POINTS)]
        self._hidden = [[self._random.gauss(0, 1) for _ in range(3)] for _ in range(_HIDDEN)]  # x, y, bias
        self._out = [self._random.gauss(0, 0.5) for _ in range(_HIDDEN + 1)]  # the last is the bias
        self.steps = 0

    def _point(self, moon: int) -> _Point:
        angle = self._random.uniform(0, math.pi)
        x, y = math.cos(angle), math.sin(angle)
        if moon:
            x, y = 1 - x, 0.5 - y
        return x + self._random.gauss(0, _NOISE), y + self._random.gauss(0, _NOISE), float(moon)

    def probability(self, x: float, y: float) -> float:
        """How sure the network is that a point belongs to the second moon."""
        return self._forward(x, y)[1]

    def _forward(self, x: float, y: float) -> tuple[list[float], float]:
        active = [math.tanh(a * x + b * y + c) for a, b, c in self._hidden]
        score = sum(map(float.__mul__, active, self._out)) + self._out[-1]
        return active, 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))

    def step(self) -> Step:
        """Train on one minibatch."""
        batch = self._random.sample(self._points, BATCH)
        hidden = [[0.0, 0.0, 0.0] for _ in range(_HIDDEN)]
        out = [0.0] * (_HIDDEN + 1)
        loss = right = 0.0
        for x, y, moon in batch:
            active, guess = self._forward(x, y)
            loss -= math.log(max(guess if moon else 1 - guess, 1e-12))
            right += (guess > 0.5) == (moon > 0.5)
            error = (guess - moon) / BATCH
            out[-1] += error
            for unit, value in enumerate(active):
                out[unit] += error * value
                slope = error * self._out[unit] * (1 - value * value)
                row = hidden[unit]
                row[0] += slope * x
                row[1] += slope * y
                row[2] += slope
        rate = self._rate / (1 + self.steps / _DECAY_STEPS)
        self._descend(hidden, out, rate)
        self.steps += 1
        squares = sum(slope * slope for row in (out, *hidden) for slope in row)
        return Step(loss / BATCH, right / BATCH, math.sqrt(squares), rate)

    def _descend(self, hidden: list[list[float]], out: list[float], rate: float) -> None:
        for weights, slopes in zip((self._out, *self._hidden), (out, *hidden), strict=True):
            for index, slope in enumerate(slopes):
                weights[index] -= rate * slope

    def wrong(self) -> int:
        """How many of all points it takes for the other moon's."""
        return sum((self.probability(x, y) > 0.5) != (moon > 0.5) for x, y, moon in self._points)

    def probe(self) -> dict[str, object]:
        """A point and what the network makes of it."""
        x, y, moon = self._random.choice(self._points)
        return {"after": self.steps, "point": [x, y], "moon": int(moon), "probability": self.probability(x, y)}
