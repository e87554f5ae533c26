"""``steplog export``: the records that are on this machine, as a file or on standard output.

A format is a line of ``_FORMATS``: a name, and what makes bytes of records. A file is written beside its place and
renamed when it is whole.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

import steplog
from steplog.cli import printing
from steplog.cli.completion import complete_journal

__all__ = ["command"]


def _as_lines(records: Iterable[steplog.JournalRecord]) -> Iterator[bytes]:
    """One JSON object a line, in ASCII."""
    for record in records:
        fields: dict[str, Any] = {
            "run": record.run,
            "id": record.id,
            "writer": record.writer,
            "position": record.position,
            "name": record.name,
            "step": record.step,
            "value": _finite(record.value),
            "time": _iso(record.time_ns),
            "state": record.state,
        }
        if record.refusal:
            fields["refusal"] = record.refusal
        yield json.dumps(fields, allow_nan=False).encode() + b"\n"


def _finite(value: Any) -> Any:
    """NaN and infinities as strings (the proto3 JSON mapping)."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _iso(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


_Format = Callable[[Iterable["steplog.JournalRecord"]], Iterator[bytes]]
_FORMATS: dict[str, _Format] = {"jsonl": _as_lines}


@click.command("export")
@click.argument("run", required=False, shell_complete=complete_journal)
@click.option(
    "--format", "kind", type=click.Choice(list(_FORMATS)), default="jsonl", show_default=True, help="The format."
)
@click.option("--output", metavar="FILE", default="-", help="Where to; replaced when it is whole.  [default: stdout]")
def command(run: str | None, kind: str, output: str) -> None:
    """Write the records that are on this machine to a file.

    With RUN, an id, a uuid, the beginning of one, or a name: only that run. Records that wait, that the server has
    confirmed and that are still here, and that it has refused. Changes nothing here, and works while a run goes on.
    """
    try:
        records = steplog.read_journal(run)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    seen: set[str] = set()
    pieces = _FORMATS[kind](_noting(records, seen))
    if output == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    count = _write(Path(output), pieces)
    what = f"{printing.plural(count, 'record')} of {printing.plural(len(seen), 'run')}"
    click.echo(f"{what} in {printing.printable(output)}", err=True)


def _noting(records: Iterable[steplog.JournalRecord], runs: set[str]) -> Iterator[steplog.JournalRecord]:
    for record in records:
        runs.add(record.id)
        yield record


def _write(path: Path, pieces: Iterable[bytes]) -> int:
    """Write a file as a whole, and return how many pieces it has. Raises click.ClickException if it cannot be."""
    if not path.name:
        raise click.ClickException(f"{path} is not a file")
    count, scratch = 0, path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with _failures_of(path):
            file = open(scratch, "xb")  # noqa: SIM115 - closed below
        try:
            for piece in pieces:
                with _failures_of(path):
                    file.write(piece)
                count += 1
            with _failures_of(path):
                file.flush()
                os.fsync(file.fileno())
        finally:
            with contextlib.suppress(OSError):  # of what could not be written before
                file.close()
        with _failures_of(path):
            scratch.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
    return count


@contextlib.contextmanager
def _failures_of(path: Path) -> Iterator[None]:
    """Name the file that was asked for, and not the one that is written in its stead."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
