"""Writes the golden file of a machine on which steplog 0.1.0 was used; run once, from a tree with its history.

    python tests/upgrade/make.py tests/golden/machine-0.1.0.tar.gz

``state`` is its ``STEPLOG_DIR``: the database of a server that was killed, with its key, its state file, and what had
not reached the database's file, a key that ``steplog login`` stored, and the runs that wait. ``state/memory`` is its
``STEPLOG_MEMORY_DIR``, and ``steplog.toml`` has every setting that 0.1.0 takes from a file. Every program had 40 steps
acknowledged when the server was killed, and went on without it.

What was logged is in ``PROGRAM``, which the tests read as well.
"""

from __future__ import annotations

import gzip
import io
import signal
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from server.process import ServerProcess  # noqa: E402
from upgrade.former import Side, read_line, unpack  # noqa: E402

__all__ = ["ACKNOWLEDGED", "ENDS", "KEPT", "PROGRAM", "SETTINGS", "losses"]

ACKNOWLEDGED, KEPT = 40, 25  # steps before the server is killed, and after
ENDS = {  # of a run of this name: the status that it has to be sent
    "completed": "COMPLETED",
    "failed": "FAILED",
    "raised": "CRASHED",
    "interrupted": "CRASHED",
    "offline": "COMPLETED",
    "killed": "CRASHED",
    "killed-beside-a-worker": "CRASHED",
    "exited": "COMPLETED",
}
SETTINGS = """\
project = "mnist"
namespace = "team"
name = "a-name"
mode = "online"
memory_bytes_max = 33554432
spool_bytes_max = 1073741824
on_full = "drop_oldest"
value_bytes_max = 500000
quiet = true
strict = false
exceptions = true
pure = false
finish_timeout_s = 1.0
exchange_timeout_s = 5.0
connect_timeout_s = 2.5
batch_age_s = 0.25
spool_interval_s = 0.5
signal_flush_s = 3.0
connections_max = 8
sender_cpu_share_max = 0.5
allow_http = false
"""
PROGRAM = f"""
import os, signal, sys
import steplog

name = sys.argv[1]
offline = {{"mode": "offline"}} if name == "offline" else {{}}
run = steplog.init("team", "mnist", name, config={{"lr": 0.1, "layers": [64, 10], "é": None}}, **offline)


def log(first, end, metric="loss"):
    for step in range(first, end):
        run.log(metric, 1 / (step + 1), step=step)


log(0, {ACKNOWLEDGED})
run.log({{"flag": True, "count": 2**40, "nothing": None, "note": {{"text": "\\u00e9", "of": [1, 2.5]}}}})
run.config["later"] = "yes"
assert offline or run.flush(20)
print("ready", flush=True)
sys.stdin.readline()
log({ACKNOWLEDGED}, {ACKNOWLEDGED} + {KEPT})
run.log("odd", float("nan"))
run.log("odd", float("-inf"))
if name == "killed-beside-a-worker":
    pid = os.fork()
    if pid == 0:
        log(0, {KEPT}, "of the worker")
        os._exit(0)
    os.waitpid(pid, 0)
if name.startswith("killed"):
    print("logged", flush=True)
    signal.pause()
if name == "raised":
    raise ValueError("of then")
if name == "interrupted":
    raise KeyboardInterrupt
if name in ("completed", "failed"):
    run.finish(status=name.upper())
"""


def losses() -> list[float]:
    """The losses of a run of ``PROGRAM``."""
    return [1 / (step + 1) for step in range(ACKNOWLEDGED + KEPT)]


def use(side: Side, server: ServerProcess) -> None:
    """Log all runs, with a server that is killed meanwhile."""
    key = (side.state / "server.db.key").read_text()
    said = side.start("-m", "steplog", "login", "--url", server.url.replace("127.0.0.1", "localhost")).communicate(
        key, timeout=60
    )
    assert "logged in as team" in said[0], said
    started = {name: side.program(PROGRAM, name) for name in ENDS}
    for program in started.values():
        assert read_line(program).endswith("ready")
    server.end(signal.SIGKILL)
    killed = {name: started.pop(name) for name in ENDS if name.startswith("killed")}
    for name, program in started.items():
        program.communicate("\n", timeout=60)
        assert bool(program.returncode) == (name in ("raised", "interrupted"))
    for program in killed.values():  # at the end: a run that begins, or goes on, takes over those that were killed
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
        assert read_line(program) == "logged"
    for program in killed.values():
        program.send_signal(signal.SIGSTOP)
    for program in killed.values():
        program.kill()
        program.communicate()


def packed(directory: Path) -> bytes:
    """An archive of a directory, which does not say who made it."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(directory.rglob("*")):
            archive.add(path, path.relative_to(directory), recursive=False, filter=plain)
    return gzip.compress(content.getvalue(), 9, mtime=0)


def main() -> None:
    """Make the file."""
    with tempfile.TemporaryDirectory() as made:
        sources = unpack(Path(made))
        machine = Path(made) / "machine"
        (machine / "state" / "memory").mkdir(mode=0o700, parents=True)
        (machine / "state").chmod(0o700)
        (machine / "steplog.toml").write_text(SETTINGS)
        side = Side(sources, machine / "state")
        with ServerProcess(side.state, "--user", "team", key=None, sources=sources) as server:
            use(side, server)
        for path in side.state.glob("server.db*"):
            if path.suffix == ".lock" or path.name.endswith("-shm"):
                path.unlink()
        Path(sys.argv[1]).write_bytes(packed(machine))


if __name__ == "__main__":
    main()
