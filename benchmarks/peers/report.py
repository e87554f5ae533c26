"""What the rounds of the peers come to: medians with quartiles, ours against the best, and tables for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figure import Figure, over, quantile, short
from benchmarks.peers.adapters import PEERS
from benchmarks.peers.contest import FINISH_S

__all__ = ["AGAINST", "GROUP", "TABLES", "as_tables", "failures", "figures", "rows"]

GROUP = "peers"
NEVER = float("inf")  # of a finish() that was not waited for any longer
Rounds = Mapping[str, Sequence[Mapping[str, Any]]]
Row = dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Table:
    """``columns``: fields of a result by their headings."""

    heading: str
    about: str
    columns: Mapping[str, str]


AGAINST: Mapping[str, tuple[float, float | None, float | None]] = {  # what it keeps in every round; must and reach
    "the fastest": (0.0, 20.0, 100.0),
    "the fastest that keeps 98 % at SIGKILL": (0.98, None, None),
    "the fastest that keeps all at SIGKILL": (1.0, 50.0, 300.0),
}
TABLES = (
    Table(
        "Back to back",
        "The median call with 1, 8 and 64 values, in µs.",
        {"1 value": "p50_1", "8 values": "p50_8", "64 values": "p50_64"},
    ),
    Table(
        "At 2,000 calls a second",
        "A call with one value, in µs.",
        {"p50": "paced_p50", "p99": "paced_p99", "p99.9": "paced_p999", "longest": "paced_max"},
    ),
    Table(
        "Beside a busy Python thread",
        "The same, with a second thread that computes in Python, in µs.",
        {"p50": "busy_p50", "p99.9": "busy_p999"},
    ),
    Table(
        "In a training",
        "What one value a step adds to steps of 200 µs; how long it takes to start; and to finish with 20,000 values.",
        {"added, %": "tax", "import and init, s": "init_s", "finish, s": "finish_s"},
    ),
    Table(
        "What is left",
        "Values found again of those logged at 2,000 a second until SIGKILL; and what 20,000 values take on disk.",
        {"kept": "kept", "bytes a value": "bytes"},
    ),
)


def rows(found: Rounds) -> dict[str, Row]:
    """Median and quartiles of each field of each peer, over the rounds that have it."""
    return {name: _row(results) for name, results in found.items()}


def _row(results: Sequence[Mapping[str, Any]]) -> Row:
    fields = dict.fromkeys(field for told in results for field in told if field != "failed")
    row: Row = {}
    for field in fields:
        values = [NEVER if told[field] is None else told[field] for told in results if field in told]
        found = {word: quantile(values, q) for word, q in (("median", 0.5), ("low", 0.25), ("high", 0.75))}
        row[field] = {word: None if value == NEVER else value for word, value in found.items()}
    return row


def figures(found: Rounds) -> Iterator[Figure]:
    """Ours against the fastest peer, and the fastest of those that keep 98 % and all when they are killed."""
    ours = next((found[name] for name in ("steplog c", "steplog pure") if _median(found.get(name, ()), "p50_1")), None)
    peers = {name: results for name, results in found.items() if PEERS[name].requirement}
    if ours is None or not peers:
        yield Figure(group=GROUP, name="against the peers", unit="×", value=None, note="nothing to compare")
        return
    for values in (1, 8, 64):
        field = f"p50_{values}"
        for words, (share, must, reach) in AGAINST.items():
            costs = {
                name: cost
                for name, results in peers.items()
                if (cost := _median(results, field)) and (not share or _keeps(results, share))
            }
            if not costs:
                continue
            best = min(costs, key=costs.__getitem__)
            yield over(
                _ratios(peers[best], ours, field),
                group=GROUP,
                name=f"log() of {values}, {words}",
                unit="× ours",
                must=must,
                reach=reach,
                more_is_better=True,
                note=f"{best} {short(costs[best])} µs, ours {short(_median(ours, field))} µs",
            )


def _median(results: Sequence[Mapping[str, Any]], field: str) -> float | None:
    values = [told[field] for told in results if field in told]
    return quantile(values, 0.5) if values else None


def _keeps(results: Sequence[Mapping[str, Any]], share: float) -> bool:
    """In each of the rounds; one that failed says nothing."""
    kept = [told["kept"] / told["calls"] for told in results if "kept" in told]
    return bool(kept) and min(kept) >= share


def _ratios(theirs: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]], field: str) -> list[float]:
    """Round by round; of the medians where no round has both."""
    pairs = [(a[field], b[field]) for a, b in zip(theirs, ours, strict=False) if field in a and field in b]
    return [a / b for a, b in pairs or [(_median(theirs, field), _median(ours, field))] if a and b]


def as_tables(found: Rounds) -> str:
    """A table for each question, with a row for each peer, and what has failed."""
    told = rows(found)
    parts = [_count(found)]
    for table in TABLES:
        first = table is TABLES[0]
        heads = ["peer", *table.columns, *(["used"] if first else [])]
        lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        for name, row in told.items():
            cells = [_label(name), *(_cell(row, field) for field in table.columns.values())]
            lines.append("| " + " | ".join([*cells, *([_used(name, row)] if first else [])]) + " |")
        parts += [f"### {table.heading}", table.about, "\n".join(lines)]
    failed = failures(found)
    if failed:
        parts += ["### What failed", "\n".join(f"- {line}" for line in failed)]
    return "\n\n".join(parts)


def failures(found: Rounds) -> list[str]:
    """Peer, round, part and why."""
    return [
        f"{_label(name)}, round {number}, {part}: {why.replace('|', '/')}"
        for name, results in found.items()
        for number, told in enumerate(results, 1)
        for part, why in told["failed"].items()
    ]


def _count(found: Rounds) -> str:
    count = max(map(len, found.values()))
    if count == 1:
        return "One round."
    return f"{count} interleaved rounds. A cell is their median and, in brackets, the quartiles."


def _label(name: str) -> str:
    return (PEERS[name].requirement or name).replace("==", " ")


def _used(name: str, row: Row) -> str:
    if "stand_in_ms" not in row:
        return PEERS[name].how
    ms, percent = row["stand_in_ms"]["median"], row["stand_in_percent"]["median"]
    return f"{PEERS[name].how}, which took {short(ms)} ms a request, {short(percent)} % of the time"


def _cell(row: Row, field: str) -> str:
    told = row.get(field)
    if told is None:
        return "–"
    median, low, high = (_number(told[word], field) for word in ("median", "low", "high"))
    text = median if low == high else f"{median} ({low} … {high})"
    if field == "kept":
        text += f" of {_number(row['calls']['median'], field)}"
    if field == "finish_s" and (logged := row["logged"]["median"]) and logged < 20_000:
        text += f", {_number(logged, 'logged')} values"
    return text


def _number(value: float | None, field: str) -> str:
    if value is None:
        return f"> {FINISH_S:.0f}" if field == "finish_s" else "–"
    return f"{value:,.0f}" if value >= 100 or isinstance(value, int) else f"{value:.3g}"
