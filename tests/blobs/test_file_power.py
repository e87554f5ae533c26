"""A power cut, or a kill, at any operation: an entry never names a content that is not whole.

The model of the disk is that of journal/test_spool_power: what was synced is there, under synced names, nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blobs.waiting import Host, Writing, a_content
from steplog.blobs.entries import ArtifactEntry
from steplog.blobs.waiting_files import WaitingFiles
from steplog.private_files import make_private
from steplog.testing.failing_files import FailingFiles

ARTIFACT = ArtifactEntry(id="a" * 32, name="mnist", type="model", time=5)


class PowerCutError(BaseException):
    """Nothing more happens on this machine."""


def cut_at(files: FailingFiles, operation: int) -> None:
    def stall(name: str) -> None:
        if len(files.operations) >= operation:
            raise PowerCutError

    files.stall = stall


def life(writing: Writing, tmp_path: Path, delivered: set[str]) -> None:
    files = writing.files
    for word in (b"one", b"two", b"one"):
        files.keep(a_content(word))
    files.save(tmp_path / "file", "file")
    files.save_artifact(ARTIFACT, [("a", tmp_path / "file"), ("b", tmp_path / "other")])
    while files.take_in():
        pass
    assert files.left() == 6
    for entry in files.entries()[:2]:
        delivered.add(entry.sha256)
        files.delivered(entry.sha256)
        files.forget([entry.id])


def check_whole(found: WaitingFiles, delivered: set[str]) -> int:
    """Every content that an entry names is what its name says, or was delivered; how many there are."""
    entries = [*found.entries(), *(file for _, files in found.artifacts() for file in files)]
    for entry in entries:
        if found.has(entry.sha256) or entry.sha256 not in delivered:
            data = found.read(entry.sha256, 0, entry.size + 1)
            assert hashlib.sha256(data).hexdigest() == entry.sha256
            assert len(data) == entry.size
    for entry, files in found.artifacts():
        assert entry.count == len(files)
    return len(entries)


def operations(make: Callable[[], Host], tmp_path: Path) -> int:
    host = make()
    life(Writing(host), tmp_path, set())
    assert isinstance(host.files, FailingFiles)
    host.files.close_all()
    return len(host.files.operations)


@pytest.fixture
def make(memory: Path, tmp_path: Path) -> Iterator[Callable[[], Host]]:
    (tmp_path / "file").write_bytes(b"a file")
    (tmp_path / "other").write_bytes(os.urandom(100_000))
    made: list[Host] = []

    def new() -> Host:
        disk = tmp_path / f"spool-{len(made)}"
        make_private(disk)
        made.append(Host(memory, disk, FailingFiles()))
        made[-1].files.sync_directory(disk)
        return made[-1]

    yield new
    for host in made:
        assert isinstance(host.files, FailingFiles)
        host.files.close_all()


def cut_power(host: Host, keeps: Callable[[Path], bool]) -> None:
    """Leave what was synced, and what else the disk ``keeps``: a name, with contents that were synced."""
    files, disk = host.files, host.disk
    assert isinstance(files, FailingFiles)
    files.stall = lambda name: None
    more = files.contents(disk)
    files.power_cut(disk)
    files.close_all()
    for path, data in more.items():
        if keeps(path) and not path.exists():
            make_private(path.parent)
            path.write_bytes(data)
            path.chmod(0o600)
    make_private(host.paths.spool)


@pytest.mark.parametrize("seed", range(4))
def test_after_a_power_cut_anywhere_no_entry_names_what_is_not_whole(make, tmp_path, seed):
    source, most = random.Random(seed), 0
    for operation in range(1, operations(make, tmp_path) + 1):
        host, delivered = make(), set[str]()
        writing = Writing(host)
        assert isinstance(host.files, FailingFiles)
        cut_at(host.files, operation)
        with contextlib.suppress(PowerCutError):
            life(writing, tmp_path, delivered)
        writing.die()
        cut_power(host, lambda path: bool(seed) and source.random() < 0.5)
        found = WaitingFiles(type(host.paths)(host.paths.local_id, None, host.paths.spool), clock=host.clock)
        found._intake._boot = lambda: "the next"
        found.hold()
        check_whole(found, delivered)
        while found.take_in():
            pass
        most = max(most, check_whole(found, delivered))
        assert not [name for name in host.names() if name.endswith((".saved", ".copy", ".part"))], operation
    assert most == 6


def test_after_a_kill_at_every_operation_nothing_that_was_taken_is_lost(make, tmp_path):
    for operation in range(1, operations(make, tmp_path) + 1):
        host = make()
        assert isinstance(host.files, FailingFiles)
        writing = Writing(host)
        cut_at(host.files, operation)
        taken: list[str] = []
        with contextlib.suppress(PowerCutError):
            files = writing.files
            for word in (b"one", b"two", b"one"):
                taken.append(files.keep(a_content(word)))
            taken.append(files.save(tmp_path / "file", "file").id)
            files.save_artifact(ARTIFACT, [("a", tmp_path / "file"), ("b", tmp_path / "other")])
            taken.append(ARTIFACT.id)
            while files.take_in():
                pass
        host.files.stall = lambda name: None
        host.files.close_all()
        writing.die()
        holder = host.holder()
        while holder.take_in():
            pass
        check_whole(holder, set())
        assert holder.ids() >= set(taken), operation
        assert all(holder.has(entry.sha256) for entry in holder.entries()), operation
        assert holder.lost() == 0
        host.files.close_all()


def test_copies_not_durable_when_the_machine_stopped_are_counted_as_lost(host, tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"a file")
    writing = Writing(host)
    writing.files.save(tmp_path / "file", "file")
    writing.die()
    holder = host.holder()
    holder._intake._boot = lambda: "another"
    while holder.take_in():
        pass
    assert (holder.lost(), holder.left(), holder.entries()) == (1, 0, [])
    assert "when the machine stopped" in caplog.text


def test_copies_that_were_durable_survive_the_machine(make, tmp_path):
    host = make()
    assert isinstance(host.files, FailingFiles)
    writing = Writing(host)
    writing.files.save(tmp_path / "file", "file")
    host.files.fail(only={"read"}, at=2)  # the hashing, after the copy was synced
    writing.files.take_in()
    host.files.heal()
    writing.die()
    host.files.close_all()
    holder = host.holder()
    holder._intake._boot = lambda: "another"
    while holder.take_in():
        pass
    assert (holder.lost(), len(holder.entries())) == (0, 1)


def test_where_no_boot_id_is_known_a_copy_is_durable_at_once(memory, disk, tmp_path):
    (tmp_path / "file").write_bytes(b"a file")
    files = FailingFiles()
    host = Host(memory, disk, files)
    writing = Writing(host)
    writing.files._saving._boot = str
    writing.files.save(tmp_path / "file", "file")
    assert "sync_file" in files.operations
    files.close_all()
