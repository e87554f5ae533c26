"""A program that logs and saves files until it is killed: ``python file_victim.py LEDGER NAME SEED``.

The ledger has a line ``begun SHA256`` before each call and ``done SHA256`` after it has returned.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from pathlib import Path

import steplog
from steplog.media_value import Content, MediaValue

SIZES = [64 * 1024, 200_000, 1024 * 1024, 3 * 1024 * 1024, 8 * 1024 * 1024]
WEIGHTS = [8, 4, 3, 1, 1]


class Raw(MediaValue):
    """Bytes as they are."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def content(self, bytes_max: int = 0) -> Content:
        return Content("file", "application/octet-stream", ".bin", [self.data])


def main(ledger: Path, name: str, seed: int) -> None:
    source, number = random.Random(seed), 0
    folder = ledger.with_suffix(".files")
    folder.mkdir()
    run = steplog.init("team", os.environ["PROJECT"], name)
    with ledger.open("a", buffering=1) as written:
        written.write("ready\n")
        while True:
            number += 1
            data = source.randbytes(source.choices(SIZES, WEIGHTS)[0])
            sha256 = hashlib.sha256(data).hexdigest()
            written.write(f"begun {sha256}\n")
            path, way = folder / f"{number}.bin", source.choice(["log", "log", "save", "save", "artifact"])
            if way == "log":
                run.log("media", Raw(data), number)
            else:
                path.write_bytes(data)
                run.save(path, base_path=folder) if way == "save" else run.log_artifact(path, f"{name}-{number}")
                path.unlink()
            run.log("number", float(number), number)
            written.write(f"done {sha256}\n")


main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
