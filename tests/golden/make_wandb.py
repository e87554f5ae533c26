"""Writes ``wandb-0.31.tar.gz``: offline folders of wandb 0.31, with what tells of this machine taken out of them.

Run once, in an environment that has wandb 0.31: ``python tests/golden/make_wandb.py``.
"""

from __future__ import annotations

import math
import os
import struct
import tarfile
import tempfile
import zlib
from pathlib import Path

HERE = Path(__file__).parent
ARCHIVE = HERE / "wandb-0.31.tar.gz"
BLOCK = 32 * 1024
DROPPED = {"artifact", "files", "telemetry", "output_raw", "output"}


def log(folder: str) -> None:
    """A run with all that there is, one that failed, one that was resumed, and one that never ended."""
    import wandb

    config = {"lr": 0.1, "optim": {"name": "adam", "betas": [0.9, 0.99]}, "none": None, "flag": True}
    about = {"group": "g", "job_type": "train", "tags": ["a", "b"], "notes": "some notes"}

    def settings() -> wandb.Settings:
        return wandb.Settings(host="host", disable_git=True, save_code=False)

    with wandb.init(
        project="mnist", name="first run", id="first001", dir=folder, config=config, settings=settings(), **about
    ) as run:
        run.config.update({"late": 5})
        run.config.update({"lr": 0.2}, allow_val_change=True)
        for step in range(5):
            nested = {"a": step, "b": {"c": "text"}}
            run.log({"loss": 1 / (step + 1), "acc/train": step / 8, "nested": nested, "even": step % 2 == 0})
        odd = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "big": 2**60, "list": [1, 2], "none": None}
        run.log(odd, step=10)
        run.log({"hist": wandb.Histogram([1, 2, 3], num_bins=2), "html": wandb.Html("<b>x</b>")})
        run.log({"table": wandb.Table(columns=["a"], data=[[1]])})
        run.log({"part 1": 1}, commit=False)
        run.log({"part 2": 2})
    wandb.init(project="mnist", id="failed01", dir=folder, settings=settings()).log({"x": 1})
    wandb.finish(exit_code=3)
    for part in range(2):
        with wandb.init(project="mnist", id="twice001", dir=folder, resume="allow", settings=settings()) as run:
            run.log({"part": part})
    run = wandb.init(project="mnist", id="killed01", dir=folder, settings=settings())
    for step in range(3):
        run.log({"x": step})
    run.finish()


def anonymous(data: bytes, *, ends: bool) -> bytes:
    """The log without the machine's paths, programs and disks; ``ends``: with the exit record."""
    from wandb.proto.wandb_internal_pb2 import Record

    written = bytearray(data[:7])
    position, parts = 7, b""
    while position + 7 <= len(data):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
        _, length, kind = struct.unpack_from("<IHB", data, position)
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind not in (1, 4):
            continue
        record, parts = Record.FromString(parts), b""
        which = record.WhichOneof("record_type")
        if which in DROPPED or (which == "exit" and not ends):
            continue
        if which == "environment":
            if not record.environment.python:
                continue
            kept = record.environment.python
            record.environment.Clear()
            record.environment.python, record.environment.host = kept, "host"
        if which == "run":
            record.run.host = "host"
            record.run.ClearField("telemetry")
        write(written, record.SerializeToString())
    return bytes(written)


def write(log: bytearray, record: bytes) -> None:
    """Append a record as LevelDB does."""
    kind = first = True
    while kind:
        room = BLOCK - len(log) % BLOCK
        if room < 7:
            log += bytes(room)
            room = BLOCK
        part, record = record[: room - 7], record[room - 7 :]
        code = {(True, False): 1, (True, True): 2, (False, True): 3, (False, False): 4}[(first, bool(record))]
        checksum = zlib.crc32(bytes((code,)) + part)
        log += struct.pack("<IHB", checksum, len(part), code) + part
        first, kind = False, bool(record)


def main() -> None:
    """Write the archive."""
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ENTITY": "ada"}
    with tempfile.TemporaryDirectory() as scratch:
        log(scratch)
        with tarfile.open(ARCHIVE, "w:gz") as archive:
            for file in sorted(Path(scratch).glob("wandb/offline-run-*/run-*.wandb")):
                file.write_bytes(anonymous(file.read_bytes(), ends="killed01" not in file.name))
                member = tarfile.TarInfo(str(file.relative_to(scratch)))
                member.size = file.stat().st_size
                with open(file, "rb") as content:
                    archive.addfile(member, content)
            link = tarfile.TarInfo("wandb/latest-run")
            link.type, link.linkname = tarfile.SYMTYPE, file.parent.name
            archive.addfile(link)


if __name__ == "__main__":
    main()
