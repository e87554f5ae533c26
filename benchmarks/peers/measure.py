"""Measure each peer in its environment, in interleaved rounds.

A round measures every peer once; each round begins with another one. A part that fails is said, and leaves the others.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.adapters import PEERS
from benchmarks.peers.contest import BUDGET_S, PACE_S, values_to_keep
from benchmarks.peers.environments import python_of
from benchmarks.peers.remains import bytes_below, end_all, found_below
from benchmarks.stage import ROOT, Server, Stage

__all__ = ["ROUNDS", "order_of", "rounds"]

ROUNDS = 3
PARTS = ("cost", "end", "kill")
PART_TIMEOUT_S = 200
SETTLE_S = 3.0  # what a peer's other processes get after the kill
KILL_CALLS_MIN = 200


def rounds(stage: Stage, directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each peer's results, once a round. ``failed`` of a result says why, by part."""
    with stage.server() as server:
        pass
    empty = bytes_below([server.database.parent])
    absent: dict[str, str] = {}
    of = stage.pick(ROUNDS, 1)
    for number in range(of):
        for name in order_of(list(PEERS), number, of):
            begun = time.monotonic()
            told: dict[str, Any] = {"failed": {}}
            try:
                python = python_of(directory, name, install=name not in absent)
            except Exception as error:  # noqa: BLE001 - one peer leaves the others their row
                absent.setdefault(name, _words(error))
                told["failed"]["install"] = absent[name]
            else:
                _measure(stage, name, python, empty, told)
            took_s = time.monotonic() - begun
            print(f"  round {number + 1} of {of}, {name}: {took_s:.0f} s {told['failed'] or ''}", file=sys.stderr)
            yield name, told


def order_of(names: list[str], number: int, of: int) -> list[str]:
    """In which order a round of so many takes the peers."""
    begin = number * len(names) // of
    return names[begin:] + names[:begin]


def _measure(stage: Stage, name: str, python: str, empty: int, told: dict[str, Any]) -> None:
    calls = stage.pick(2000, 400)
    for part in PARTS:
        paths = stage.new_directory()
        if part == "kill":
            calls = told["calls"] = _calls_to_kill(calls, told.get("p50_1", 0.0))
        try:
            with stage.server() as server:  # one that nothing of the part before is in
                told |= _part(stage, server, part, name, python, paths, calls)
        except Exception as error:  # noqa: BLE001 - one part leaves the others their cells
            told["failed"][part] = _words(error)
            continue
        if part == "end" and told["logged"]:  # once the server has tidied up its own
            stored = bytes_below([server.database.parent if PEERS[name].delivers else paths / "home"])
            told["bytes"] = (stored - (empty if PEERS[name].delivers else 0)) / told["logged"]


def _calls_to_kill(calls: int, cost_us: float) -> int:
    """As many as fit twice the budget, for a peer whose call takes so long."""
    return min(calls, max(KILL_CALLS_MIN, int(2 * BUDGET_S / (PACE_S + cost_us / 1e6))))


def _words(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"did not end in {error.timeout:.0f} s"
    return " ".join(str(error).split())[-160:] or type(error).__name__


def _part(stage: Stage, server: Server, part: str, name: str, python: str, paths: Path, calls: int) -> dict[str, Any]:
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
            raise RuntimeError(f"ended with {done.returncode}: {lines[-1] if lines else ''}")
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
