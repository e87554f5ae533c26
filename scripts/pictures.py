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
from server.browser import Browser  # noqa: E402
from server.looking import DRAWN  # noqa: E402
from server.process import ServerProcess  # noqa: E402

PAGE, TERMINAL = ROOT / "docs" / "page.png", ROOT / "docs" / "terminal.svg"
PAGE_SIZE = 1100, 772
PAGE_COLOURS = 64
PAGE_BYTES_MAX = 150_000
COLUMNS = 120
TRAINING = """
from collections import deque
import steplog
from steplog.cli.demo.model import BATCH, Model

config = {"learning rate": 0.4, "batch": BATCH, "hidden": 12, "data": "two moons"}
with steplog.init(project="two-moons", name="tanh-12", config=config) as run:
    print(run.url)
    model, last = Model(seed=7, learning_rate=0.4), deque(maxlen=100)
    for step in range(4000):
        last.append(model.step())
        means = {name: sum(getattr(each, name) for each in last) / len(last) for name in ("loss", "grad_norm")}
        run.log({**means, "learning_rate": last[-1].learning_rate}, step=step)
        if step % 20 == 0:
            run.log("accuracy", 1 - model.wrong() / 400, step=step)
"""
CRASH = """
import steplog
with steplog.init(project="two-moons", name="tanh-512") as run:
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
