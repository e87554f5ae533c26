"""What a run whose server keeps up does to the disk, by its system calls."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from end_to_end.programs import Host, ended

CHANGES = "openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,truncate,ftruncate,fsync,fdatasync,link,symlink"
ID = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{16}(\.[0-9a-f]{8}\.new)?")
SCRATCH = re.compile(r"\.manifest\.[0-9a-f]{16}$")
OLD = re.compile(r"RUN\.[0-9a-f]{8}\.old$")


def paths_in(line: str, state: Path) -> list[str]:
    """The paths below ``state`` of a call, absolute ones and those from the descriptor of a directory."""
    named = re.findall(r'(?:\b\d+<([^>]*)>, )?"([^"]*)"', line)
    paths = [name if name.startswith("/") else f"{directory}/{name}" for directory, name in named]
    return [path.removeprefix(str(state)) for path in paths if path.startswith(str(state))]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
def test_a_healthy_run_writes_only_its_manifest_its_lock_and_their_directories(host: Host, tmp_path: Path):
    trace = tmp_path / "trace"
    program = """
        run = begin()
        for step in range(200_000):
            run.log("loss", step / 2, step)
        assert run.finish().delivered == 200_000
    """
    # Seconds of spare for a machine that is busy: what stays undelivered for longer than this goes to disk.
    settings = {"STEPLOG_SPOOL_INTERVAL_S": "60"}
    done = ended(
        host.start(program, under=["strace", "-f", "-y", "-o", str(trace), "-e", f"trace={CHANGES}"], **settings)
    )
    if "ptrace" in done.errors:
        pytest.skip("strace may not trace here")
    assert done.code == 0, done.errors
    touched = set()
    for line in trace.read_text().splitlines():
        assert "sync(" not in line, line
        if str(host.state) in line and (
            "O_CREAT" in line or "O_WRONLY" in line or "O_RDWR" in line or "open" not in line
        ):
            for path in paths_in(line, host.state):
                touched.add(OLD.sub("RUN.old", SCRATCH.sub("manifest", ID.sub("RUN", path))))
    assert touched == {"", "/RUN", "/RUN/lock", "/RUN/manifest", "/RUN.old"}  # renamed, and removed
