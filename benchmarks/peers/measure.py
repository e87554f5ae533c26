"""Installs the peers, has each measured in its own environment, and puts ours beside the best of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.peers.adapters import PEERS
from benchmarks.stage import ROOT, Server, Stage

__all__ = ["figures", "rows"]

GROUP = "peers"
INSTALL_TIMEOUT_S = 1200
CONTEST_TIMEOUT_S = 300
COLUMNS = {
    "p50_1": "1 key, µs",
    "p50_8": "8 keys, µs",
    "p50_64": "64 keys, µs",
    "paced_p50": "paced p50, µs",
    "paced_p999": "paced p99.9, µs",
    "tax": "200 µs step, %",
    "init_s": "import + init, s",
    "finish_s": "finish, s",
}


def rows(stage: Stage, directory: Path) -> dict[str, dict[str, Any]]:
    """What each peer's contest told, or ``{"failed": why}``."""
    found = {}
    with stage.server() as server:
        for name in PEERS:
            print(f"  {name} …", file=sys.stderr)
            try:
                found[name] = _contest(stage, server, name, _python(directory, name))
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                found[name] = {"failed": " ".join(str(error).split())[-160:]}
    return found


def _python(directory: Path, name: str) -> str:
    """The interpreter of a peer's environment, which is made if it is not there."""
    requirement = PEERS[name].requirement
    if requirement is None:
        return sys.executable
    home = directory / name
    python = home / "bin" / "python"
    done = home / "installed"
    if not done.exists():
        venv.create(home, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
        result = subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        if result.returncode:
            raise RuntimeError(f"does not install: {result.stderr.strip()[-120:]}")
        done.write_text(requirement, "utf-8")
    return str(python)


def _contest(stage: Stage, server: Server, name: str, python: str) -> dict[str, Any]:
    environment = stage.environment(server, pure=int(name == "steplog pure"), memory_bytes_max=1 << 28)
    place, answer = stage.new_directory(), stage.directory / f"{name}.json"
    if PEERS[name].requirement is not None:
        environment["PYTHONPATH"] = str(ROOT)  # its own libraries alone
    environment |= {"HOME": str(place), "CI": "1"}
    command = [python, "-m", "benchmarks.peers.contest", name, str(place), str(stage.pick(2000, 400)), str(answer)]
    done = subprocess.run(
        command, env=environment, cwd=place, capture_output=True, text=True, timeout=CONTEST_TIMEOUT_S, check=False
    )
    if not answer.exists():
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(f"ended with {done.returncode}: {said[-1] if said else ''}")
    told: dict[str, Any] = json.loads(answer.read_text("utf-8"))
    return told


def figures(found: dict[str, dict[str, Any]]) -> Iterator[Figure]:
    """Ours against the fastest, and against the fastest that keeps everything when it is killed."""
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
            costs = {name: told[field] for name, told in peers.items() if PEERS[name].keeps or not keeping}
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
    lines = ["| peer | " + " | ".join(COLUMNS.values()) + " | |", "|" + "---|" * (len(COLUMNS) + 2)]
    for name, told in found.items():
        how = PEERS[name].how if "failed" not in told else told["failed"].replace("|", "/")
        cells = [_cell(told.get(field), field, "failed" in told) for field in COLUMNS]
        lines.append(f"| {PEERS[name].requirement or name} | " + " | ".join(cells) + f" | {how} |")
    return "\n".join(lines)


def _cell(value: float | None, field: str, failed: bool) -> str:
    if value is None:
        return "does not end" if field == "finish_s" and not failed else "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def directory_of(chosen: str | None, out: Path) -> Path:
    """Where the environments are kept."""
    path = Path(chosen) if chosen else out / "peers"
    path.mkdir(parents=True, exist_ok=True)
    return Path(os.path.abspath(path))
