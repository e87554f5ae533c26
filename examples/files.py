"""Checkpoints, pictures and a model, kept with a run; and a second run that goes on with the model of the first.

    python examples/files.py

A curve is fitted by gradient descent, in plain Python: it needs nothing else, and takes a moment.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
import tempfile
import zlib
from pathlib import Path

import steplog

WIDTH, HEIGHT = 120, 60
XS = [i / (WIDTH - 1) for i in range(WIDTH)]
WANTED = [0.5 + 0.4 * math.sin(2 * math.pi * x) for x in XS]


def fitted(weights: list[float], x: float) -> float:
    return sum(weight * x**power for power, weight in enumerate(weights))


def loss_of(weights: list[float]) -> float:
    return sum((fitted(weights, x) - y) ** 2 for x, y in zip(XS, WANTED, strict=True)) / len(XS)


def descend(weights: list[float], lr: float) -> list[float]:
    errors = [fitted(weights, x) - y for x, y in zip(XS, WANTED, strict=True)]
    slopes = [2 * sum(e * x**power for e, x in zip(errors, XS, strict=True)) / len(XS) for power in range(len(weights))]
    return [weight - lr * slope for weight, slope in zip(weights, slopes, strict=True)]


def picture(weights: list[float]) -> bytes:
    """The curve and what it is to be, as a PNG file."""
    rows = [bytearray(b"\xff" * WIDTH) for _ in range(HEIGHT)]
    for shade, ys in ((170, WANTED), (0, [fitted(weights, x) for x in XS])):
        for column, y in enumerate(ys):
            rows[min(HEIGHT - 1, max(0, round((1 - y) * (HEIGHT - 1))))][column] = shade
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def train(run: steplog.Run, weights: list[float], steps: int, folder: Path) -> list[float]:
    """Log the loss of each step, and keep a checkpoint and a picture every tenth of them."""
    for step in range(steps):
        weights = descend(weights, lr=0.5)
        run.log("loss", loss_of(weights), step=step)
        if step % (steps // 10) == 0:
            run.log("curve", steplog.Image(picture(weights), caption=f"step {step}"), step=step)
            checkpoint = folder / "ckpt" / f"{step}.json"
            checkpoint.write_text(json.dumps(weights))
            run.save(checkpoint, base_path=folder)
    return weights


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=500)
    steps = parser.parse_args().steps

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "ckpt").mkdir()
        with steplog.init(project="curves", name="first", config={"steps": steps}) as run:
            weights = train(run, [0.0] * 6, steps, folder)
            (folder / "weights.json").write_text(json.dumps(weights))
            loss = loss_of(weights)
            model = run.log_artifact(folder / "weights.json", "curve", type="model", metadata={"loss": loss})
            print(f"first: loss {loss:.5f}, model {model.name}:{model.wait()}")

        with steplog.init(project="curves", name="second", config={"steps": steps}) as run:
            model = run.use_artifact("curve:latest")
            weights = json.loads((model.download(folder / "model") / "weights.json").read_text())
            weights = train(run, weights, steps, folder)
            print(f"second: begins with {model.name}:{model.version}, loss {loss_of(weights):.5f}")

    files = [file.path for file in steplog.open("curves/first").files("ckpt/")]
    print(f"kept with the first: {len(files)} checkpoints, from {files[0]}")


if __name__ == "__main__":
    main()
