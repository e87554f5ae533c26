"""Files: what ``log`` of numbers costs while media are made into files and sent, and what a copy costs.

Rounds alternate: numbers alone, and numbers with an image now and then. A number's call is timed, an image's is not.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import steplog
from benchmarks.controls import Noop
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import Stage

__all__ = ["beside_media", "copied", "figures"]

GROUP = "blobs"
PACE_S = 0.0005
EVERY = 200  # calls: an image each 0.1 s and more
SIDE = 512
DRAIN_S = 60.0
COPY_BYTES = 64 << 20


def figures(stage: Stage) -> Iterator[Figure]:
    """Numbers beside media, then copies on the disk of this machine."""
    with stage.server() as server:
        told = stage.child(
            beside_media, stage.environment(server), rounds=stage.pick(15, 4), calls=stage.pick(4000, 1500)
        )
    if not told["images"]:
        yield Figure(group=GROUP, name="log() beside media", unit="µs", value=None, note="needs NumPy")
    else:
        yield from _beside(told)
    with stage.server() as server:
        for name, took in stage.child(copied, stage.environment(server), rounds=stage.pick(7, 3)).items():
            yield over(took, group=GROUP, name=name, unit="GB/s", more_is_better=True)


def _beside(told: dict[str, Any]) -> Iterator[Figure]:
    for q, key in ((0.5, "p50"), (0.999, "p999")):
        above = [(media[key] - alone[key]) / 1000 for alone, media in zip(told["alone"], told["media"], strict=True)]
        both = {mode: quantile([each[key] for each in told[mode]], 0.5) / 1000 for mode in ("alone", "media", "noop")}
        yield over(
            above,
            group=GROUP,
            name=f"log() of a number, {f'p{100 * q:g}'}, above alone",
            unit="µs",
            must=50 if q > 0.9 else 1,
            note=f"{both['alone']:.1f} µs alone, {both['media']:.1f} µs beside {told['images']} images of 0.75 MiB; "
            f"an empty function {both['noop']:.1f} µs",
        )


def beside_media(rounds: int, calls: int) -> dict[str, Any]:
    """p50 and p99.9 in ns of a number's ``log``, alone and beside images, and of an empty function beside them."""
    try:
        import numpy
    except ModuleNotFoundError:
        return {"images": 0}
    pixels = numpy.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=numpy.uint8)
    run, noop = steplog.init("bench", "blobs"), Noop()
    found: dict[str, list[dict[str, float]]] = {"alone": [], "media": [], "noop": []}
    images = 0
    for _ in range(rounds):
        for mode in ("alone", "media"):
            took, empty = [], []
            for call in range(calls):
                if mode == "media" and call % EVERY == 0:
                    run.log("image", steplog.Image(pixels), images)
                    images += 1
                begun = perf_counter_ns()
                run.log("loss", 0.5, call)
                ended = perf_counter_ns()
                noop.log("loss", 0.5, call)
                took.append(ended - begun)
                empty.append(perf_counter_ns() - ended)
                time.sleep(PACE_S)
            found[mode].append(_tails(took))
            if mode == "media":
                found["noop"].append(_tails(empty))
            _drain(run)
    run.finish(timeout=DRAIN_S)
    return {"images": images, **found}


def _drain(run: Any) -> None:
    end = time.monotonic() + DRAIN_S
    while run.stats().files_pending and time.monotonic() < end:
        time.sleep(0.05)


def _tails(took: list[int]) -> dict[str, float]:
    return {"p50": quantile(took, 0.5), "p999": quantile(took, 0.999)}


def copied(rounds: int) -> dict[str, list[float]]:
    """GB/s of ``run.save``, of a copy by ``shutil``, and of SHA-256, of the same file."""
    found: dict[str, list[float]] = {}
    run = steplog.init("bench", "blobs", mode="offline")
    with tempfile.TemporaryDirectory(dir=os.environ["STEPLOG_DIR"]) as directory:
        path = Path(directory) / "checkpoint.pt"
        path.write_bytes(os.urandom(1 << 20) * (COPY_BYTES >> 20))
        for number in range(rounds):
            ways = {
                "run.save, 64 MiB": lambda: run.save(path, base_path=directory),
                "run.save, 64 MiB, immutable": lambda: run.save(path, base_path=directory, immutable=True),
                "shutil.copyfile, 64 MiB": lambda at=f"{path}{number}": shutil.copyfile(path, at),
                "SHA-256, 64 MiB": lambda: hashlib.sha256(path.read_bytes()),
            }
            for name, copy in ways.items():
                begun = time.perf_counter()
                copy()
                found.setdefault(name, []).append(COPY_BYTES / (time.perf_counter() - begun) / 1e9)
            Path(f"{path}{number}").unlink()
    run.finish(timeout=0)
    return found
