"""Servers that do not take files: what a program, its end and ``sync`` make of them."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import pytest

import steplog
from apart import apart
from end_to_end.fake import FakeServer
from polling import wait_until
from steplog.delivery import wire
from steplog.delivery.exchange import Request
from steplog.lifecycle.process import current
from steplog.media_value import LOGGED_BYTES_MAX, Content, MediaValue
from steplog.testing.memory_files import RunFiles
from steplog.testing.memory_server import Fault, MemoryRun

DEADLINE_S = 30.0
MIB = 1024 * 1024


class Blob(MediaValue):
    """Bytes as they are."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def content(self, bytes_max: int = LOGGED_BYTES_MAX) -> Content:
        return Content("file", "application/octet-stream", ".bin", [self.data])


def serving(monkeypatch: pytest.MonkeyPatch, *, files: bool = True) -> FakeServer:
    server = FakeServer(threaded=True)
    if files:
        server.memory.features.append(wire.FILES_FEATURE)
    server.configure(monkeypatch)
    return server


def run_of(server: FakeServer) -> MemoryRun:
    (run,) = server.memory.runs.values()
    return run


def told(server: FakeServer) -> RunFiles:
    return server.memory.files.of_run(run_of(server).uuid)


def hang_on_contents(server: FakeServer) -> threading.Event:
    """No content gets an answer until the event is set."""
    freed = threading.Event()

    def script(request: Request) -> None:
        if request.method == "PUT":
            freed.wait(DEADLINE_S)

    server.memory.script = script
    return freed


@apart
def test_a_server_that_hangs_on_files_gets_the_records_all_the_same(monkeypatch: pytest.MonkeyPatch):
    server = serving(monkeypatch)
    freed = hang_on_contents(server)
    run = steplog.init("me", "demo")
    run.log("image", Blob(b"x" * 1000), 0)
    wait_until(lambda: any(request.path.endswith("/files/") for request, _ in server.memory.requests))
    begun = time.monotonic()
    for step in range(500):
        run.log("loss", float(step), step)
    wait_until(lambda: len(run_of(server).rows) >= 501, 5.0)
    assert time.monotonic() - begun < 5.0
    freed.set()
    run.finish(timeout=DEADLINE_S)


@pytest.mark.slow
@apart
def test_finish_ends_at_its_deadline_with_a_status_that_says_what_is_to_come(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "steplog")
    server = serving(monkeypatch)
    freed = hang_on_contents(server)
    run = steplog.init("me", "demo", "slow")
    run.log("image", Blob(b"x" * 1000), 0)
    begun = time.monotonic()
    report = run.finish(timeout=4.0)
    assert 2.5 < time.monotonic() - begun < 6.0
    assert (report.files, report.files_pending, report.pending) == (1, 1, 0)
    assert (run_of(server).status, told(server).pending) == ("COMPLETED", 1)
    assert "1 file is kept in" in caplog.messages[-1]
    assert "steplog sync" in caplog.messages[-1]
    freed.set()
    wait_until(lambda: told(server).pending == 0, DEADLINE_S)
    assert len(server.memory.files.contents["me/demo"]) == 1


@apart
def test_a_flush_waits_for_files(monkeypatch: pytest.MonkeyPatch):
    server = serving(monkeypatch)
    freed = hang_on_contents(server)
    run = steplog.init("me", "demo")
    run.log("image", Blob(b"x" * 1000), 0)
    assert not run.flush(1.0)
    freed.set()
    assert run.flush(DEADLINE_S)
    assert len(server.memory.files.contents["me/demo"]) == 1
    run.finish()


@apart
def test_files_for_a_server_without_them_are_moved_to_where_finish_says(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    caplog.set_level(logging.INFO, "steplog")
    server = serving(monkeypatch, files=False)
    run = steplog.init("me", "demo", "keeps")
    run.log("image", Blob(b"logged"), 0)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin").write_bytes(b"saved")
    run.save(tmp_path / "sub" / "a.bin", base_path=tmp_path)
    run.log_artifact({"w": tmp_path / "sub" / "a.bin"}, "model", "model")
    begun = time.monotonic()
    report = run.finish(timeout=DEADLINE_S)
    assert time.monotonic() - begun < DEADLINE_S / 2
    assert (report.pending, report.files_pending) == (0, 0)
    assert run_of(server).status == "COMPLETED"
    (kept,) = current().settings.dir.glob("kept-files/demo/*")
    found = {path.relative_to(kept).as_posix(): path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    assert sorted(found.values()) == [b"logged", b"saved", b"saved"]
    assert found["sub/a.bin"] == b"saved"
    assert any(name.startswith("media/") and name.endswith(".bin") for name in found)
    assert any(name.startswith("artifacts/model-") and name.endswith("/w") for name in found)
    assert f"its server keeps no files: 3 files are in {kept}" in caplog.text
    assert steplog.journals() == []


@pytest.mark.slow
@apart
def test_a_full_project_keeps_the_files_here_and_sync_says_so_and_sends_them_later(monkeypatch: pytest.MonkeyPatch):
    server = serving(monkeypatch)
    server.memory.files.bytes_max = 0
    run = steplog.init("me", "demo")
    run.log("image", Blob(b"x" * 1000), 0)
    begun = time.monotonic()
    report = run.finish(timeout=DEADLINE_S)
    assert time.monotonic() - begun < DEADLINE_S / 2
    assert (report.files_pending, run_of(server).status) == (1, "COMPLETED")
    assert "uses 0 of 0 bytes" in str(run.stats().last_error)
    server.memory.files.bytes_max = None
    (synced,) = steplog.sync()
    assert (synced.files, synced.why) == (0, "")
    assert told(server).pending == 0
    wait_until(lambda: steplog.journals() == [])


@apart
def test_sync_goes_on_in_the_middle_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    server = serving(monkeypatch)
    data = os.urandom(24 * MIB)
    (tmp_path / "large.bin").write_bytes(data)
    pid = os.fork()
    if pid == 0:
        run = steplog.init("me", "demo")
        run.save(tmp_path / "large.bin", base_path=tmp_path)
        threading.Event().wait()
    put = []

    def script(request: Request) -> Fault | None:
        put.append(len(request.body) if request.method == "PUT" else 0)
        if sum(put) > 6 * MIB and put[-1]:
            os.kill(pid, 9)
            return Fault.refused()
        return None

    server.memory.script = script
    os.waitpid(pid, 0)
    so_far = server.memory.files.received
    assert 0 < so_far < len(data)
    server.memory.script = lambda request: None
    (synced,) = steplog.sync()
    assert (synced.files, synced.files_delivered) == (0, 1)
    assert server.memory.files.received == len(data)
    (stored,) = server.memory.files.contents["me/demo"].values()
    assert stored == data


@apart
def test_an_interrupted_finish_leaves_the_files_to_sync(monkeypatch: pytest.MonkeyPatch):
    server = serving(monkeypatch)
    freed = hang_on_contents(server)
    run = steplog.init("me", "demo")
    run.log("image", Blob(b"x" * 1000), 0)
    threading.Timer(1.0, os.kill, (os.getpid(), 2)).start()
    begun = time.monotonic()
    run.finish(timeout=DEADLINE_S)
    assert time.monotonic() - begun < DEADLINE_S / 2
    freed.set()
    wait_until(lambda: bool(server.memory.files.contents.get("me/demo")), DEADLINE_S)


@apart
def test_a_file_that_the_server_refuses_keeps_neither_flush_nor_finish_waiting(monkeypatch: pytest.MonkeyPatch):
    """One with a name that the server did not take had them wait to their deadlines."""
    server = serving(monkeypatch)
    refused = Fault(400, b'{"files": ["Entry 0: no."]}')
    server.memory.script = lambda request: refused if request.path.endswith("/files/") else None
    run = steplog.init("me", "demo")
    run.log("image", Blob(b"x" * 1000), 0)
    begun = time.monotonic()
    assert not run.flush(DEADLINE_S)
    assert time.monotonic() - begun < DEADLINE_S / 3
    report = run.finish(timeout=DEADLINE_S)
    assert time.monotonic() - begun < DEADLINE_S * 2 / 3
    assert (report.files_pending, run_of(server).status) == (1, "COMPLETED")
