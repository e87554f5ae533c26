"""The series in ``results.jsonl`` as docs/guarantees.md publishes them: every one of them, and their sum.

Nothing is left out. A series of an unknown kind is an error, and so is one in which something was lost, missing, wrong,
twice or out of order and whose line does not say ``why``. Series of different formats are summed apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

__all__ = ["published"]

Run = dict[str, Any]
_MEMORY = re.compile(r", \d+ GiB$")  # of older series

KILLED_AT = {
    "kills": "random moments",
    "kills on macOS": "random moments, macOS simulated",
    "system calls": "system calls",
    "files": "random moments, with files",
    "figures": "a spooled backlog",
}
CUTS = "power cuts"
AMISS = ("lost", "twice", "wrong", "out_of_order", "missing", "other", "amiss")
KILL_COLUMNS = ("kills", "calls", "excluded", "lost", "twice", "wrong", "out_of_order", "other")
CUT_COLUMNS = ("cuts", "promised", "missing", "wrong")
WORDS = {"out_of_order": "out of order", "promised": "records below `durable`", "cuts": "power cuts"}


def published(results: str) -> str:
    """The sums and the tables of all series, from the text of ``results.jsonl``."""
    by_format: dict[str, list[Run]] = {}
    for run in map(json.loads, results.splitlines()):
        if run["kind"] == "figures":  # one kill of one run
            run = {"kills": 1, "calls": run["records"], **run}
        by_format.setdefault(", ".join(f"{name} {version}" for name, version in run["format"].items()), []).append(run)
    return "\n".join(_of_one_format(versions, runs) for versions, runs in by_format.items())


def _of_one_format(versions: str, runs: Sequence[Run]) -> str:
    kills, cuts = [], []
    whys: list[str] = []
    for run in runs:
        row = [run["time"][:10], f"`{run['commit'][:7]}{'+' * run['commit'].endswith('+')}`"]
        if run["kind"] == CUTS:
            cuts.append([*row, *_numbers(run, CUT_COLUMNS), _note(run, whys)])
        elif run["kind"] in KILLED_AT:
            kills.append([*row, KILLED_AT[run["kind"]], *_numbers(run, KILL_COLUMNS), _note(run, whys)])
        else:
            raise ValueError(f"no table has series of kind {run['kind']!r}")
    parts = [_sums(runs) + f"Formats: {versions}.\n"]
    parts += [_table(("day", "commit", "killed at", *KILL_COLUMNS, "note"), kills)] if kills else []
    parts += [_table(("day", "commit", *CUT_COLUMNS, "note"), cuts)] if cuts else []
    parts += ["".join(f"{number}. {why}.\n" for number, why in enumerate(whys, 1))] if whys else []
    return "\n".join([*parts, "".join(f"{machine}.\n" for machine in dict.fromkeys(map(_machine, runs)))])


def _sums(runs: Sequence[Run]) -> str:
    def total(name: str, *kinds: str) -> int:
        return sum(run.get(name, 0) for run in runs if run["kind"] in kinds)

    records = [kind for kind in KILLED_AT if kind != "files"]
    counts = {KILLED_AT[kind]: total("kills", kind) for kind in records}
    kills = ", ".join(f"{count:,} kills at {paths}" for paths, count in counts.items() if count)
    amiss = ", ".join(f"{WORDS.get(name, name)} {total(name, *records):,}" for name in KILL_COLUMNS[3:])
    of_files = ", ".join(f"{name} {total(name, 'files'):,}" for name in ("dropped", "lost", "twice", "wrong", "other"))
    files = f"{total('kills', 'files'):,} kills of programs that save files, {total('servers_killed', 'files'):,} of "
    files += f"their servers; {total('calls', 'files'):,} calls: {of_files}.\n"
    return (
        f"{kills}; {total('calls', *records):,} calls: {amiss}.\n{files * (total('kills', 'files') > 0)}"
        f"{total('cuts', CUTS):,} power cuts, {total('promised', CUTS):,} records below `durable`:"
        f" missing {total('missing', CUTS):,}, wrong {total('wrong', CUTS):,}.\n"
    )


def _numbers(run: Run, columns: Sequence[str]) -> list[str]:
    return [f"{run[name]:,}" if name in run else "–" for name in columns]


def _note(run: Run, whys: list[str]) -> str:
    """The number of what went wrong in a series, which goes to ``whys``."""
    if not any(run.get(name) for name in AMISS):
        return ""
    if not run.get("why"):
        raise ValueError(f"{run['kind']}, seed {run['seed']}: something was amiss, and its line does not say why")
    whys.append(run["why"])
    return str(len(whys))


def _machine(run: Run) -> str:
    return f"{_MEMORY.sub('', run['machine'])}, Linux {run['kernel']}, Python {run['python']}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[WORDS.get(cell, cell) for cell in head], ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)
