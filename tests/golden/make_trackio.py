"""Writes trackio's golden files; run with the Python of an environment that has trackio, once with 0.43 and 0.20 each.

    USER=ada LOGNAME=ada python tests/golden/make_trackio.py FILE

Makes FILE, such as ``trackio-0.43.db.gz``: the database of the project ``mnist demo``.
"""

from __future__ import annotations

import gzip
import inspect
import os
import sqlite3
import sys
import tempfile
from pathlib import Path


def log() -> None:
    """Two runs."""
    import trackio

    plain = {"embed": False, "auto_log_gpu": False}
    plain = {name: value for name, value in plain.items() if name in inspect.signature(trackio.init).parameters}
    config = {"lr": 0.1, "layers": [64, 10], "optim": {"name": "adam"}}
    trackio.init(project="mnist demo", name="first", config=config, group="sweep", **plain)
    for step in range(3):
        trackio.log({"loss": 1 / (step + 1), "train/acc": step})
    trackio.log({"loss": float("nan"), "note": "odd", "flag": True, "nested": {"a": 1}}, step=7)
    trackio.log({"loss": float("inf")})
    trackio.log_system({"cpu": 12.5})
    trackio.alert("a title", "a text")
    trackio.finish()
    trackio.init(project="mnist demo", name="second", **plain)
    trackio.log({"loss": 5})
    trackio.finish()


def main() -> None:
    """Make the file."""
    with tempfile.TemporaryDirectory() as made:
        os.environ["TRACKIO_DIR"] = made
        log()
        (path,) = Path(made).glob("*.db")
        database = sqlite3.connect(path)
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        Path(sys.argv[1]).write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    main()
