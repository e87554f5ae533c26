"""The bell: a worker that waits has the agent look at once."""

from __future__ import annotations

import stat
from pathlib import Path

from steplog.delivery.doorbell import Doorbell


def test_a_ring_is_heard_once(tmp_path: Path):
    agent, worker = Doorbell(tmp_path), Doorbell(tmp_path)
    assert not agent.rung()
    worker.ring()
    assert agent.rung()
    assert not agent.rung()
    worker.ring()
    Doorbell(tmp_path).ring()
    assert agent.rung()
    assert not agent.rung()


def test_a_finish_is_told_from_a_flush_and_counts_once_however_often_it_rings(tmp_path: Path):
    agent, worker = Doorbell(tmp_path), Doorbell(tmp_path)
    heard = []
    for ended_ns in (0, 5, 5, 0, 5, 0, 9, 9):
        worker.ring(ended_ns)
        heard.append((agent.rung(), agent.ends))
    assert heard == [(True, ends) for ends in (False, True, False, False, False, False, True, False)]


def test_it_is_heard_after_it_was_removed_and_rung_again(tmp_path: Path):
    agent, worker = Doorbell(tmp_path), Doorbell(tmp_path)
    worker.ring()
    assert agent.rung()
    (tmp_path / "bell").unlink()
    assert not agent.rung()
    worker.ring()
    assert agent.rung()


def test_it_is_private_and_follows_no_link(tmp_path: Path):
    Doorbell(tmp_path).ring()
    assert stat.S_IMODE((tmp_path / "bell").stat().st_mode) == 0o600
    other = tmp_path / "other"
    other.mkdir()
    (other / "bell").symlink_to(tmp_path / "elsewhere")
    Doorbell(other).ring()
    assert not (tmp_path / "elsewhere").exists()


def test_without_a_directory_it_stays_silent(tmp_path: Path):
    for doorbell in (Doorbell(None), Doorbell(tmp_path / "not there")):
        doorbell.ring()
        assert not doorbell.rung()
