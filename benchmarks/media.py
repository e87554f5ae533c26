"""What ``log`` of an image costs, and how fast its file is made, beside Pillow's PNG."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import steplog
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import Stage
from steplog.media.encoding import encode

__all__ = ["figures", "logged", "pictures"]

GROUP = "media"
SIDES = (28, 224, 512, 1024)
PAUSE_S = 0.1  # a training step, in which files are made


def figures(stage: Stage) -> Iterator[Figure]:
    """``log`` in a run that nobody takes from, then encoding in this process."""
    try:
        import numpy
    except ModuleNotFoundError:
        yield Figure(group=GROUP, name="log(Image)", unit="µs", value=None, note="needs NumPy")
        return
    with stage.server() as server:
        told = stage.child(logged, stage.environment(server), rounds=stage.pick(40, 10))
    for name, took in told.items():
        yield over(took, group=GROUP, name=name, unit="µs", note=f"p99 {quantile(took, 0.99):,.0f} µs")
    for name, pixels in pictures(numpy).items():
        yield from _encoded(name, pixels, stage.pick(9, 3))


def logged(rounds: int) -> dict[str, list[float]]:
    """Microseconds of each call, by what was logged."""
    import numpy

    run = steplog.init("bench", "media", name="media")
    took: dict[str, list[float]] = {}
    for side in SIDES:
        pixels = numpy.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=numpy.uint8)
        floats = pixels / numpy.float32(255)
        for kind, array in (("uint8", pixels), ("float32", floats)):
            calls = took.setdefault(f"log(Image), {side} x {side} x 3, {kind}", [])
            for step in range(rounds):
                begun = time.perf_counter_ns()
                run.log("image", steplog.Image(array), step)
                calls.append((time.perf_counter_ns() - begun) / 1000)
                time.sleep(PAUSE_S)
    run.finish(timeout=60)
    return took


def pictures(numpy: Any) -> dict[str, Any]:
    """One as smooth as a photograph, one with signs on a ground, noise, and a mask."""
    random = numpy.random.default_rng(1)
    at = numpy.linspace(0, 1, 1024)
    waves = sum(
        numpy.sin(random.uniform(2, 40) * at[:, None, None] + random.uniform(2, 40) * at[:, None] + random.random(3))
        for _ in range(8)
    )
    photograph = (waves * 14 + 128 + random.normal(0, 1.5, waves.shape)).clip(0, 255)
    plot = numpy.full((512, 512, 4), 255)
    signs = random.integers(0, 2, (64, 9, 7)) * 255
    for row in range(20, 480, 16):
        for column, sign in enumerate(random.integers(0, 64, 60)):
            plot[row : row + 9, 8 * column + 16 : 8 * column + 23, :3] = signs[sign][:, :, None]
    disc = (at[:, None] - 0.5) ** 2 + (at - 0.4) ** 2 < 0.1
    made = {
        "photograph": photograph,
        "plot": plot,
        "noise": random.integers(0, 256, (512, 512, 3)),
        "mask": (disc * 255)[:, :, None],
    }
    return {name: numpy.ascontiguousarray(pixels, dtype=numpy.uint8) for name, pixels in made.items()}


def _encoded(name: str, pixels: Any, rounds: int) -> Iterator[Figure]:
    height, width, channels = pixels.shape
    encoding = {"format": "png", "width": width, "height": height, "channels": channels, "depth": 8}
    data = pixels.tobytes()
    ours, size = _speeds(lambda made: encode(encoding, data, made.write), len(data), rounds)
    note = f"{size:,} bytes of {len(data):,}"
    for level, (theirs, other) in _pillow(pixels, len(data), rounds).items():
        note += f"; Pillow's level {level} {quantile(theirs, 0.5):,.0f} MB/s, {other:,} bytes"
    yield over(ours, group=GROUP, name=f"PNG of a {name}", unit="MB/s", more_is_better=True, note=note)


def _pillow(pixels: Any, size: int, rounds: int) -> dict[int, tuple[list[float], int]]:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        return {}
    image = Image.fromarray(pixels.squeeze())
    return {
        level: _speeds(lambda made, level=level: image.save(made, "png", compress_level=level), size, rounds)
        for level in (1, 6)
    }


def _speeds(write: Callable[[Any], object], size: int, rounds: int) -> tuple[list[float], int]:
    """MB/s of pixels round by round, and the bytes of the file."""
    speeds, made = [], io.BytesIO()
    for _ in range(rounds):
        made = io.BytesIO()
        begun = time.perf_counter()
        write(made)
        speeds.append(size / (time.perf_counter() - begun) / 1e6)
    return speeds, len(made.getvalue())
