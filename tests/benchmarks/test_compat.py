"""The benchmark of the wandb module measures what it names."""

from __future__ import annotations

from apart import apart
from benchmarks import compat


@apart
def test_every_way_of_ours_is_measured_beside_plain_log(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("STEPLOG_MODE", "offline")
    monkeypatch.setattr(compat, "_peers", lambda folder: {})
    told = compat.compare(rounds=2, calls=10, folder=str(tmp_path))
    assert list(told) == [compat.PLAIN, *compat.OURS]
    assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in told.values())
