"""What is exported, imported elsewhere, and exported there is the same to the byte."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.conftest import named_run
from server.batches import range_of
from server.process import KEY, ServerProcess
from steplog.cli import main

VALUES: list[Any] = [0.1, -0.0, 1e-05, 5e-324, math.nan, -math.inf, 0, -(2**63), 2**53 + 1, True, b"null", b'"NaN"']
TEXTS: list[Any] = [b'"\xc3\xa9\\n,"', b'{"b":1, "a":[null,"NaN",0.50]}', b"1.5", b"123456789012345678901234567890"]
FIELDS = {"tags": ["b", "a"], "group": "g", "job_type": "train", "notes": "n\n2", "description": "d"}
STARTED, ENDED = "2026-01-02T03:04:05.678901Z", "2026-01-02T04:00:00.000000Z"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """One with two runs, and an empty one."""
    with (
        ServerProcess(tmp_path_factory.mktemp("one"), "--user", "me") as one,
        ServerProcess(tmp_path_factory.mktemp("other"), "--user", "you") as other,
    ):
        for name, status in (("a/b", "FAILED"), ("c", "COMPLETED")):
            path = named_run(one, "mnist", name)
            records = [("mixed", value, step) for step, value in enumerate([*VALUES, *TEXTS])]
            records += [(name, step * 0.1, step) for step in range(100) for name in ("loss", "système/é")]
            records += [("epoch", step, step) for step in (3, 1, 1, 2)]
            records += [
                ("steplog/config", b'{"z": {"lr": 0.1}, "a": [1, null]}'),
                ("steplog/exception", b'{"type": "E"}'),
            ]
            assert one.send(path, range_of(records)).status_code == 200
            fields = {**FIELDS, "status": status, "started": STARTED, "ended": ENDED}
            assert one.ask("PATCH", path, json=fields).status_code == 200
        yield one, other


def typed(server: ServerProcess, home: Path, *arguments: str) -> str:
    environment = {"STEPLOG_URL": server.url, "STEPLOG_API_KEY": KEY, "STEPLOG_DIR": str(home)}
    done = CliRunner().invoke(main, arguments, env=environment)
    assert done.exit_code == 0, done.output
    return done.output


def files(directory: Path) -> dict[str, bytes]:
    paths = [path for path in directory.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv", "tfevents"])
def test_export_import_export_gives_the_same_bytes(
    servers: tuple[ServerProcess, ServerProcess], tmp_path: Path, kind: str
):
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'steplog[parquet]'")
    one, other = servers
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    typed(one, tmp_path, "export", "--project", "mnist", "--format", kind, "--output", f"{first}/")
    assert len(files(first)) == 2
    before = first
    for namespace, after in ((f"{kind}-1", second), (f"{kind}-2", third)):
        typed(other, tmp_path, "import", str(before), "--project", f"{namespace}/mnist")
        typed(other, tmp_path, "export", "--project", f"{namespace}/mnist", "--format", kind, "--output", f"{after}/")
        assert files(after) == files(first)
        before = after
