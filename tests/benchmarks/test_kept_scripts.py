"""The share of scripts that are kept whole is that of the last line all of whose calls are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.kept_scripts import WANDB, WRITER, wandb_lines, writer_lines

from apart import apart
from benchmarks import kept_scripts
from end_to_end.programs import Host
from server.process import ServerProcess

pytest.importorskip("matplotlib", reason="needs matplotlib: pip install matplotlib")


def shares(wrong: str) -> list[tuple[str, float | None]]:
    told = {line: "counted" if line == wrong else "" for line in WANDB}
    return [(figure.name.partition(" with ")[0], figure.value) for figure in kept_scripts._shares("wandb", WANDB, told)]


@pytest.mark.parametrize(
    ("wrong", "files", "repositories"),
    [("", 99.3, 97.8), ("Api", 96.5, 88.9), ("Table", 60.6, 31.1), ("init, log, config, finish", 0, 0)],
)
def test_a_line_that_is_not_kept_ends_the_count(wrong, files, repositories):
    assert shares(wrong)[:2] == [("files", files), ("repositories", repositories)]


def test_a_call_that_is_counted_or_raises_is_not_kept():
    from steplog.compat.unsupported import unsupported

    def fail() -> None:
        raise ValueError("no")

    told = kept_scripts._tried({"a": lambda: unsupported.note("x", "y"), "b": fail, "c": lambda: None})
    assert told == {"a": "x", "b": "ValueError: no", "c": ""}


@pytest.mark.slow
@apart
def test_all_calls_of_public_scripts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with ServerProcess(tmp_path / "server", "--user", "team") as server:
        Host(tmp_path, server).configure(monkeypatch)
        for name, lines, known in (("wandb", wandb_lines, WANDB), ("writer", writer_lines, WRITER)):
            (tmp_path / name).mkdir()
            assert lines(str(tmp_path / name)) == dict.fromkeys(known, "")
