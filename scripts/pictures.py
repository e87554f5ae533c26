#!/usr/bin/env python3
"""The README's pictures: docs/page.png, a run's page, and docs/terminal.svg, its ten lines and ``steplog ls``.

Both show real runs on a server of their own, whose directories are temporary. Run it with the Python that has
``steplog[test]`` and Pillow, on a machine with Chromium. Runs print into a pipe, so no address carries a token.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from cli.terminal import on_terminal  # noqa: E402 - where to find it is known only now
from docs.examples import programs  # noqa: E402
from page.browser import Browser  # noqa: E402
from page.looking import DRAWN  # noqa: E402
from server.process import ServerProcess  # noqa: E402

PAGE, TERMINAL = ROOT / "docs" / "page.png", ROOT / "docs" / "terminal.svg"
PAGE_SIZE = 1100, 772
PAGE_COLOURS = 64
PAGE_BYTES_MAX = 150_000
COLUMNS = 120
TRAINING = """
import math, random
from collections import deque
import steplog

HIDDEN, BATCH, RATE = 12, 16, 0.4
draw = random.Random(7)

def moon(label):
    turn = math.pi * draw.random()
    x, y = (1 - math.cos(turn), 0.5 - math.sin(turn)) if label else (math.cos(turn), math.sin(turn))
    return (x + draw.gauss(0, 0.12), y + draw.gauss(0, 0.12), 1.0), label

points = [moon(number % 2) for number in range(400)]
inner = [[draw.gauss(0, 1) for _ in range(3)] for _ in range(HIDDEN)]
outer = [draw.gauss(0, 0.5) for _ in range(HIDDEN)]

def guess(point):
    hidden = [math.tanh(sum(w * x for w, x in zip(row, point))) for row in inner]
    return hidden, 1 / (1 + math.exp(-sum(w * h for w, h in zip(outer, hidden))))

config = {"learning rate": RATE, "batch": BATCH, "model": {"hidden": HIDDEN, "activation": "tanh"}, "data": "two moons"}
with steplog.init(
    project="two-moons", name="tanh-12", config=config, tags=["baseline"], group="activations", provenance=False
) as run:
    print(run.url)
    last = deque(maxlen=100)
    for step in range(4000):
        rate, loss, d_inner, d_outer = RATE * (1 - step / 4500), 0.0, [[0.0] * 3 for _ in inner], [0.0] * HIDDEN
        for point, label in draw.sample(points, BATCH):
            hidden, chance = guess(point)
            loss -= math.log(max(chance if label else 1 - chance, 1e-12)) / BATCH
            for unit, value in enumerate(hidden):
                d_outer[unit] += (chance - label) * value / BATCH
                slope = (chance - label) * outer[unit] * (1 - value * value) / BATCH
                d_inner[unit] = [d + slope * x for d, x in zip(d_inner[unit], point)]
        norm = math.sqrt(sum(d * d for row in [d_outer, *d_inner] for d in row))
        outer = [w - rate * d for w, d in zip(outer, d_outer)]
        inner = [[w - rate * d for w, d in zip(row, ds)] for row, ds in zip(inner, d_inner)]
        last.append((loss, norm))
        means = [sum(values) / len(last) for values in zip(*last)]
        run.log({"loss": means[0], "grad_norm": means[1], "learning_rate": rate}, step=step)
        if step % 20 == 0:
            run.log("accuracy", sum((guess(point)[1] > 0.5) == label for point, label in points) / 400, step=step)
"""
CRASH = """
import steplog
with steplog.init(project="two-moons", name="tanh-512", group="activations") as run:
    run.log("loss", 0.7, step=0)
    raise MemoryError
"""
OFFLINE = """
import steplog
with steplog.init(project="two-moons", name="relu-12", mode="offline") as run:
    for step in range(5000):
        run.log("loss", 0.7, step=step)
"""


def main() -> int:
    """Make both."""
    with (
        tempfile.TemporaryDirectory() as directory,
        ServerProcess(Path(directory), "--user", "me", "--port", "8787") as server,
    ):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("STEPLOG_", "TELLURIO_"))} | {
            "STEPLOG_DIR": str(server.directory),
            "STEPLOG_MEMORY_DIR": str(server.directory / "memory"),
            "PYTHONPATH": str(ROOT / "src"),
            "COLUMNS": str(COLUMNS),
            "TZ": "UTC",
            "STEPLOG_SYSTEM_INTERVAL_S": "0",
        }

        def run(*arguments: str) -> str:
            done = subprocess.run(
                [sys.executable, *arguments],
                env=environment,
                cwd=directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            return done.stdout

        url = re.findall(r"^http://\S+#\S+$", run("-c", TRAINING), re.MULTILINE)[0]
        run("-c", CRASH)
        run("-c", OFFLINE)
        (train,) = programs((ROOT / "README.md").read_text("utf-8"))
        (server.directory / "train.py").write_text(train.source, "utf-8")
        listed = on_terminal(["ls"], environment, columns=COLUMNS).text
        picture_of_terminal([("python train.py", run("train.py")), ("steplog ls", listed)])
        picture_of_page(url, server.directory)
    return 0


def picture_of_terminal(shown: list[tuple[str, str]]) -> None:
    """What was typed and what came, as an SVG that loads no font."""
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere)
        for command, output in shown:
            console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
            for line in output.rstrip().splitlines():
                console.print(Text.from_ansi(line), no_wrap=True, overflow="ellipsis")
    picture = console.export_svg(title="steplog", unique_id="steplog")
    TERMINAL.write_text(re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL), "utf-8")


def picture_of_page(url: str, directory: Path) -> None:
    """The top of a run's page, with few colours."""
    from PIL import Image

    with Browser(directory / "profile") as browser:
        browser.size(*PAGE_SIZE)
        browser.open(url)
        browser.wait(f"{DRAWN} === 4")
        browser.run("document.fonts.ready.then(() => new Promise((done) => setTimeout(done, 500)))")
        browser.picture(PAGE)
    Image.open(PAGE).convert("RGB").quantize(PAGE_COLOURS).save(PAGE, optimize=True)
    if (size := PAGE.stat().st_size) > PAGE_BYTES_MAX:
        raise SystemExit(f"{PAGE.name} has {size} bytes")


if __name__ == "__main__":
    sys.exit(main())
