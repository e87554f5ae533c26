"""Writes MLflow's golden files; run with the Python of an environment that has MLflow 3.17 (``mlflow==3.17.2``).

    USER=ada LOGNAME=ada python tests/golden/make_mlflow.py DIRECTORY

Makes ``mlflow-3.17.db.gz`` in DIRECTORY, the database without the tables that have nothing of a run, and
``mlruns-3.17.tar.gz``, the folder of files.
"""

from __future__ import annotations

import gzip
import os
import sqlite3
import sys
import tarfile
import tempfile
from pathlib import Path

KEPT = {"alembic_version", "experiments", "runs", "params", "tags", "metrics", "latest_metrics"}


def log(uri: str) -> None:
    """Some runs: one with all that there is, its child, one that failed, a deleted one, and one that goes on."""
    import mlflow
    from mlflow.entities import Metric

    mlflow.set_tracking_uri(uri)
    experiment = mlflow.set_experiment("mnist: demo").experiment_id
    description = "A good one.\nTwo lines."
    tags = {"team": "blue", "reviewed": "", "long": "x" * 200, "mlflow.source.git.commit": "0123abc"}
    with mlflow.start_run(run_name="first: a 'quoted' name", tags=tags, description=description):
        mlflow.log_params({"lr": 0.1, "layers": [64, 10], "optim/name": "adam", "amp": True, "seed": 7, "warmup": None})
        for step, value in enumerate((1, 0.5, float("nan"), float("inf"), float("-inf"))):
            mlflow.log_metric("train/loss", value, step=step)
        mlflow.log_metric("acc", 0.5)
        mlflow.log_metric("acc", 0.75)
        with mlflow.start_run(nested=True, run_name="child"):
            mlflow.log_metric("loss", 2.0, step=-5)
    try:
        with mlflow.start_run(run_name="broken"):
            raise ValueError
    except ValueError:
        pass
    with mlflow.start_run(run_name="deleted") as deleted:
        mlflow.log_metric("loss", 1)
    mlflow.delete_run(deleted.info.run_id)
    client = mlflow.MlflowClient()
    going = client.create_run(experiment, run_name="going").info.run_id
    client.log_batch(going, metrics=[Metric("loss", step, 1_700_000_000_000 + step, step) for step in range(5)])


def main() -> None:
    """Make the files that DIRECTORY does not have."""
    out = Path(sys.argv[1]).absolute()
    sys.argv[0] = "train.py"  # what MLflow keeps as the source
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    with tempfile.TemporaryDirectory() as made:
        os.chdir(made)
        log("sqlite:///mlflow.db")
        log("file:mlruns")
        with sqlite3.connect("mlflow.db") as database:
            database.execute("PRAGMA foreign_keys = off")
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if table not in KEPT and not table.startswith("sqlite_"):
                    database.execute(f'DROP TABLE "{table}"')
        database.execute("VACUUM")
        database.close()
        (out / "mlflow-3.17.db.gz").write_bytes(gzip.compress(Path("mlflow.db").read_bytes(), mtime=0))
        with tarfile.open(out / "mlruns-3.17.tar.gz", "w:gz") as archive:
            archive.add("mlruns", filter=lambda member: None if "artifacts" in member.name else member)


if __name__ == "__main__":
    main()
