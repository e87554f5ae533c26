#!/usr/bin/env python3
"""The pictures of the documentation: workspace.png, run.png and samples.png of a sweep, terminal.svg of ten lines.

    python scripts/pictures.py                  write the four
    python scripts/pictures.py --review DIR     write each view there, light and dark, wide and as on a phone

All show runs on servers of their own, whose directories are temporary. Run it with the Python that has
``steplog[test]`` and Pillow, on a machine with Chromium. Runs print into a pipe, so no address carries a token.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src"), str(ROOT / "scripts")]

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402
from sweep import fill  # noqa: E402

from cli.terminal import on_terminal  # noqa: E402 - where to find it is known only now
from docs.examples import programs  # noqa: E402
from page.browser import Browser  # noqa: E402
from page.looking import address  # noqa: E402
from server.process import ServerProcess  # noqa: E402

DOCS = ROOT / "docs"
TERMINAL = DOCS / "terminal.svg"
SIZE, PHONE = (1360, 860), (390, 844)
COLOURS = 250
PICTURE_BYTES_MAX = 150_000
COLUMNS_SHOWN = "name,status,config.optimizer,config.lr,eval/accuracy.last"
DRAWN = "document.querySelectorAll('.chart-canvas[aria-busy=false]').length >= 3"
LISTED = "document.querySelector('main h1') && document.querySelector('main').innerText.length > 40"
SEEN = "[...document.querySelectorAll('.sample .media img')].filter((each) => each.naturalWidth).length >= {}"
COLUMNS = 120
TRAINING = """
import steplog
with steplog.init(project="two-moons", name="tanh-12", tags=["baseline"], group="activations") as run:
    for step in range(4000):
        run.log({"loss": 0.7, "accuracy": 0.5}, step=step)
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
    """Make all of the README's, or those to review."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--review", type=Path, metavar="DIR", help="write pictures of all views there instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, ServerProcess(Path(directory), "--user", "me") as server:
        pictures_of_page(server, options.review)
    return 0 if options.review else made_in_terminal()


def made_in_terminal() -> int:
    """The terminal's picture."""
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

        run("-c", TRAINING)
        run("-c", CRASH)
        run("-c", OFFLINE)
        (train,) = programs((ROOT / "README.md").read_text("utf-8"))
        (server.directory / "train.py").write_text(train.source, "utf-8")
        listed = on_terminal(["ls"], environment, columns=COLUMNS).text
        picture_of_terminal([("python train.py", run("train.py")), ("steplog ls", listed)])
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


def pictures_of_page(server: ServerProcess, review: Path | None) -> None:
    """The README's two, or all views to review."""
    place, runs = fill(server, time.time())
    run = runs[-2].path
    workspace = f"{place}?first=12&smoothing=0.5&columns={COLUMNS_SHOWN}"
    views = {
        "home": ("/", LISTED),
        "workspace": (workspace, DRAWN),
        "groups": (f"{place}?group=group&smoothing=0.5&pins=eval%2Floss&logy=1", DRAWN),
        "run": (run, DRAWN),
        "samples": (f"{place}?tab=samples&samples=boundary&first=6&step=1200", SEEN.format(6)),
        "samples of a run": (f"{run}?tab=samples&samples=boundary,weights", SEEN.format(1)),
        "files": (f"{run}?tab=files", LISTED),
        "trash": (f"{place}?trash=1", LISTED),
    }
    with Browser(server.directory / "profile") as browser:
        if review is None:
            for name in ("workspace", "run", "samples"):
                take(browser, server, *views[name], DOCS / f"{name}.png", SIZE)
                reduce(DOCS / f"{name}.png")
            return
        review.mkdir(parents=True, exist_ok=True)
        for name, view in views.items():
            for dark in (False, True):
                for size, kind in ((SIZE, "wide"), (PHONE, "phone")):
                    file = review / f"{name}-{kind}-{'dark' if dark else 'light'}.png"
                    take(browser, server, *view, file, size, dark=dark)


def take(
    browser: Browser,
    server: ServerProcess,
    path: str,
    condition: str,
    file: Path,
    size: tuple[int, int],
    *,
    dark: bool = False,
) -> None:
    """A picture of a view, once all of it is there."""
    browser.size(*size, dark=dark)
    browser.open(address(server, path))
    browser.wait(condition)
    browser.settle()
    browser.run("document.fonts.ready.then(() => new Promise((done) => setTimeout(done, 500)))")
    browser.picture(file)


def reduce(file: Path) -> None:
    """Write a picture with few colours. Raises SystemExit if it is large all the same."""
    from PIL import Image

    Image.open(file).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    if (size := file.stat().st_size) > PICTURE_BYTES_MAX:
        raise SystemExit(f"{file.name} has {size} bytes")


if __name__ == "__main__":
    sys.exit(main())
