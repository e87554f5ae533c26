"""A folder and a spool for each test, and nothing of wandb's in the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import steplog
import steplog.compat.wandb as wandb
import steplog.network.local_server
import steplog.network.transport

# Imported once, and not in the process of each test.
_ = wandb.init, wandb.Table, steplog.init, steplog.open, steplog.TellurioClient


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("STEPLOG_MODE", "offline")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
