"""Files of 1 GiB from a program to the server: how fast they arrive beside a plain copy, what ``log`` of numbers costs
meanwhile, and whether all are there, once, after an outage of the server and a kill of the program.

Each file of the outage is saved twice, under two names. The server is stopped with SIGSTOP in the middle for
``OUTAGE_S`` and then killed; the program is killed while the server is away; ``steplog sync`` delivers what is left.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import steplog
from benchmarks.controls import Noop
from benchmarks.figure import Figure, over, quantile
from benchmarks.stage import Stage, end_process

__all__ = ["beside_upload", "delivered", "figures", "saved"]

GROUP = "file_delivery"
MIB = 1 << 20
OUTAGE_S = 5.0
DEADLINE_S = 300.0
PACE_S = 0.0005


def figures(stage: Stage) -> Iterator[Figure]:
    """The speed and the tail of ``log``, then the outage."""
    size, rounds = stage.pick(1024, 128), stage.pick(5, 3)
    with stage.server() as server:
        told = stage.child(delivered, stage.environment(server), size_mib=size, rounds=rounds)
    ratios = [arrived / copied for arrived, copied in zip(told["arrived"], told["copied"], strict=True)]
    rates = [quantile(told[way], 0.5) for way in ("saved", "arrived", "copied")]
    yield over(
        ratios,
        group=GROUP,
        name=f"{size} MiB, saved and at the server",
        unit="× as fast as a copy",
        reach=0.8,
        more_is_better=True,
        note="save {:.0f}, at the server {:.0f}, copied {:.0f} MiB/s".format(*rates),
    )
    with stage.server() as server:
        told = stage.child(beside_upload, stage.environment(server), size_mib=size, rounds=rounds)
    above = [(busy - alone) / 1000 for busy, alone in zip(told["busy"], told["alone"], strict=True)]
    medians = [quantile(told[mode], 0.5) / 1000 for mode in ("alone", "busy", "noop")]
    yield over(
        above,
        group=GROUP,
        name="log() of a number, p99.9, above alone",
        unit="µs",
        must=50,
        note="{:.1f} µs alone, {:.1f} µs meanwhile; an empty function {:.1f} µs".format(*medians),
    )
    yield _outage(stage, files=stage.pick(16, 4), size_mib=64)


def delivered(size_mib: int, rounds: int) -> dict[str, list[float]]:
    """MiB/s of ``run.save``, of save and flush, and of a copy with fsync, in turns."""
    found: dict[str, list[float]] = {"saved": [], "arrived": [], "copied": []}
    run = steplog.init("bench", "files")
    with tempfile.TemporaryDirectory(dir=os.environ["STEPLOG_DIR"]) as directory:
        for number in range(rounds):
            path = _file(Path(directory) / f"{number}.pt", size_mib)
            begun = time.perf_counter()
            run.save(path, base_path=directory)
            found["saved"].append(size_mib / (time.perf_counter() - begun))
            if not run.flush(DEADLINE_S):
                raise RuntimeError("the file has not arrived in time")
            found["arrived"].append(size_mib / (time.perf_counter() - begun))
            begun = time.perf_counter()
            shutil.copyfile(path, f"{path}.copy")
            with open(f"{path}.copy", "rb") as copy:
                os.fsync(copy.fileno())
            found["copied"].append(size_mib / (time.perf_counter() - begun))
            path.unlink()
            Path(f"{path}.copy").unlink()
    run.finish()
    return found


def beside_upload(size_mib: int, rounds: int) -> dict[str, Any]:
    """The p99.9 of a number's ``log`` in ns, alone and while a file is hashed and sent, and of an empty function."""
    found: dict[str, list[float]] = {"alone": [], "busy": [], "noop": []}
    run, noop = steplog.init("bench", "files"), Noop()
    with tempfile.TemporaryDirectory(dir=os.environ["STEPLOG_DIR"]) as directory:
        for number in range(rounds):
            path = _file(Path(directory) / f"{number}.pt", size_mib)
            for mode in ("alone", "busy"):
                if mode == "busy":
                    run.save(path, base_path=directory)
                took, empty = [], []
                for call in range(4000):
                    begun = perf_counter_ns()
                    run.log("loss", 0.5, call)
                    ended = perf_counter_ns()
                    noop.log("loss", 0.5, call)
                    took.append(ended - begun)
                    empty.append(perf_counter_ns() - ended)
                    time.sleep(PACE_S)
                    if mode == "busy" and call % 200 == 199 and not run.stats().files_pending:
                        break
                found[mode].append(quantile(took, 0.999))
                if mode == "busy":
                    found["noop"].append(quantile(empty, 0.999))
            run.flush(DEADLINE_S)
            path.unlink()
    run.finish()
    return found


def saved(size_mib: int, files: int) -> None:
    """Save files, each under two names, and wait to be killed; prints the hash of each whose call has returned."""
    run = steplog.init("bench", "files")
    directory = Path(tempfile.mkdtemp(dir=os.environ["STEPLOG_DIR"]))
    for number in range(files):
        path = _file(directory / f"{number}.pt", size_mib)
        run.save(path, base_path=directory)
        path = path.rename(directory / f"{number}-again.pt")
        run.save(path, base_path=directory)
        sys.stdout.write(hashlib.sha256(path.read_bytes()).hexdigest() + "\n")
        sys.stdout.flush()
        path.unlink()
    time.sleep(DEADLINE_S)


def _outage(stage: Stage, files: int, size_mib: int) -> Figure:
    """How many of the files are not at the server, or more than once, after an outage and a kill."""
    database = stage.new_directory() / "server.db"
    arguments = "--db", str(database)
    with stage.serving(*arguments) as (server, url):
        environment = stage.environment(url=url, quiet=0)
        call = f"from benchmarks.file_delivery import saved; saved({size_mib}, {files})"
        began = time.monotonic()
        program = subprocess.Popen([sys.executable, "-c", call], env=environment, stdout=subprocess.PIPE, text=True)
        assert program.stdout is not None
        hashes = [program.stdout.readline().strip() for _ in range(files // 2)]
        server.send_signal(signal.SIGSTOP)
        hashes += [program.stdout.readline().strip() for _ in range(files - files // 2)]
        time.sleep(OUTAGE_S)
        server.kill()
        server.wait()
        program.kill()
        program.wait()
    port = url.rpartition(":")[2]
    with stage.serving(*arguments, "--port", port) as (server, _):
        sync = subprocess.run(
            [sys.executable, "-m", "steplog", "sync"], env=environment, capture_output=True, text=True, check=False
        )
        took_s = time.monotonic() - began
        end_process(server)
    contents = [path for path in database.with_name("server.db.blobs").glob("??/*") if path.is_file()]
    whole = [path for path in contents if hashlib.sha256(path.read_bytes()).hexdigest() == path.name]
    missing = set(hashes) - {path.name for path in whole}
    wrong = len(missing) + len(contents) - len(set(hashes) & {path.name for path in contents})
    return Figure(
        group=GROUP,
        name=f"of {files} files of {size_mib} MiB, wrong after outage and kill",
        unit="files",
        value=wrong,
        must=0,
        note=f"{len(contents)} contents at the server; sync exited {sync.returncode}; {took_s:.0f} s in all",
    )


def _file(path: Path, size_mib: int) -> Path:
    """A file that no other has the content of."""
    with open(path, "wb") as file:
        for _ in range(size_mib):
            file.write(os.urandom(MIB))
    return path
