"""Install and measure each peer in its environment; compare ours with the best."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.peers.adapters import PEERS
from benchmarks.peers.contest import values_to_keep
from benchmarks.peers.remains import bytes_below, end_all, found_below
from benchmarks.stage import ROOT, Server, Stage

__all__ = ["as_table", "directory_of", "figures", "installed", "python_of", "rows"]

GROUP = "peers"
INSTALL_TIMEOUT_S = 1200
PART_TIMEOUT_S = 300
SETTLE_S = 3.0  # what a peer's other processes get after the kill
COLUMNS = {
    "1, 8, 64 keys a step: p50, µs": ("p50_1", "p50_8", "p50_64"),
    "paced 2,000/s: p50 / p99 / p99.9 / max, µs": ("paced_p50", "paced_p99", "paced_p999", "paced_max"),
    "beside a busy thread: p50 / p99.9, µs": ("busy_p50", "busy_p999"),
    "adds to a 200 µs step, %": ("tax",),
    "import + init, s": ("init_s",),
    "finish() after so many, s": ("logged", "finish_s"),
    "kept of so many, then SIGKILL": ("calls", "kept"),
    "bytes a metric on disk": ("bytes",),
}


def rows(stage: Stage, directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each peer's results, or ``{"failed": why}``."""
    with stage.server() as server:
        pass
    empty = bytes_below([server.database.parent])
    for name in PEERS:
        print(f"  {name} …", file=sys.stderr)
        begun = time.monotonic()
        try:
            python = python_of(directory, name, install=True)
            told = {"calls": stage.pick(2000, 400)}
            for part in ("cost", "end", "kill"):
                paths = stage.new_directory()
                with stage.server() as server:  # one that nothing of the part before is in
                    told |= _part(stage, server, part, name, python, paths)
                if part == "end" and told["logged"]:  # once the server has tidied up its own
                    stored = bytes_below([server.database.parent if PEERS[name].delivers else paths / "home"])
                    told["bytes"] = (stored - (empty if PEERS[name].delivers else 0)) / told["logged"]
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            told = {"failed": " ".join(str(error).split())[-160:]}
        print(f"  {name} took {time.monotonic() - begun:.0f} s", file=sys.stderr)
        yield name, told


def python_of(directory: Path, name: str, *, install: bool) -> str:
    """The interpreter of a peer's environment, created if missing. Raises RuntimeError."""
    requirement = PEERS[name].requirement
    return sys.executable if requirement is None else installed(directory, name, requirement, install=install)


def installed(directory: Path, name: str, requirement: str, *, install: bool) -> str:
    """The interpreter of an environment that has a package. Raises RuntimeError."""
    home = directory / name
    python = home / "bin" / "python"
    done = home / "installed"
    if not done.exists():
        if not install:
            raise RuntimeError(f"{requirement} is not installed; --peers installs it")
        venv.create(home, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
        result = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        if result.returncode:
            raise RuntimeError(f"does not install: {result.stderr.strip()[-120:]}")
        done.write_text(requirement, "utf-8")
    return str(python)


def _part(stage: Stage, server: Server, part: str, name: str, python: str, paths: Path) -> dict[str, Any]:
    calls = stage.pick(2000, 400)
    answer, errors = paths / "answer.json", paths / "errors"
    environment = stage.environment(server, pure=int(name == "steplog pure"), memory_bytes_max=1 << 28)
    if PEERS[name].requirement is not None:
        environment["PYTHONPATH"] = str(ROOT)  # its own libraries alone
    mark = f"BENCHMARKS_PLACE={paths}"
    home = paths / "home"
    home.mkdir()
    environment |= {"HOME": str(home), "CI": "1", "BENCHMARKS_PLACE": str(paths)}
    command = [python, "-m", "benchmarks.peers.contest", part, name, str(home), str(calls), str(answer)]
    try:
        with errors.open("wb") as said:  # not a pipe: what a peer leaves running holds it open
            done = subprocess.run(
                command,
                env=environment,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=PART_TIMEOUT_S,
                check=False,
            )
        if part == "kill" and done.returncode == -9:
            time.sleep(SETTLE_S)
            return {"kept": _kept(server, name, environment, home, values_to_keep(calls))}
        if not answer.exists():
            lines = [line for line in errors.read_text("utf-8", "replace").splitlines() if line.strip()]
            raise RuntimeError(f"{part}: ended with {done.returncode}: {lines[-1] if lines else ''}")
        told: dict[str, Any] = json.loads(answer.read_text("utf-8"))
        if part == "end":
            del told["init_s"]
        return told
    finally:
        end_all(mark)


def _kept(server: Server, name: str, environment: dict[str, str], home: Path, values: list[float]) -> int:
    if not PEERS[name].delivers:
        return found_below([home], values)
    if name.startswith("steplog"):  # the next program on this machine would do the same
        command = [sys.executable, "-m", "steplog", "sync"]
        subprocess.run(command, env=environment, cwd=home, capture_output=True, timeout=60, check=False)
    return min(len(values), server.points("loss"))


def figures(found: dict[str, dict[str, Any]]) -> Iterator[Figure]:
    """Ours against the fastest, and the fastest that keeps everything when killed."""
    ours = found.get("steplog c", {})
    ours = found["steplog pure"] if "failed" in ours or not ours else ours
    peers = {name: told for name, told in found.items() if PEERS[name].requirement and "failed" not in told}
    if "failed" in ours or not peers:
        yield Figure(group=GROUP, name="against the peers", unit="×", value=None, note="nothing to compare")
        return
    for keys in (1, 8, 64):
        for words, keeping, must, reach in (
            ("fastest", False, 20, 100),
            ("fastest that survives SIGKILL", True, 50, 300),
        ):
            field = f"p50_{keys}"
            costs = {name: told[field] for name, told in peers.items() if told["kept"] == told["calls"] or not keeping}
            if not costs:
                continue
            best = min(costs, key=costs.__getitem__)
            yield Figure(
                group=GROUP,
                name=f"log() of {keys}, p50 of the peer that is {words}",
                unit="× ours",
                value=costs[best] / ours[field],
                must=must,
                reach=reach,
                more_is_better=True,
                note=f"{best} {costs[best]:,.1f} µs, ours {ours[field]:,.2f} µs",
            )


def as_table(found: dict[str, dict[str, Any]]) -> str:
    """A row a peer."""
    lines = ["| peer | " + " | ".join(COLUMNS) + " | |", "|" + "---|" * (len(COLUMNS) + 2)]
    for name, told in found.items():
        how = PEERS[name].how if "failed" not in told else told["failed"].replace("|", "/")
        cells = [" / ".join(_cell(told, field) for field in fields) for fields in COLUMNS.values()]
        lines.append(f"| {(PEERS[name].requirement or name).replace('==', ' ')} | " + " | ".join(cells) + f" | {how} |")
    return "\n".join(lines)


def _cell(told: dict[str, Any], field: str) -> str:
    value = told.get(field)
    if value is None:
        return "does not end in 90" if field == "finish_s" and field in told else "–"
    return f"{value:,.0f}" if value >= 100 or isinstance(value, int) else f"{value:.3g}"


def directory_of(chosen: Path | None, out: Path) -> Path:
    """The directory of the environments."""
    path = chosen or out / "peers"
    path.mkdir(parents=True, exist_ok=True)
    return Path(os.path.abspath(path))
