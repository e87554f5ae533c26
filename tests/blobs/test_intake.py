"""What was taken becomes files: of this writer, of dead ones, on a disk that fails."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from blobs.waiting import Host, Writing, a_content, contents_of
from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.blobs.file_place import Unit
from steplog.blobs.raw_media import RawMedia, head_of
from steplog.blobs.waiting_files import WaitingFiles
from steplog.media_value import Content
from steplog.testing.failing_files import FailingFiles

ARTIFACT = ArtifactEntry(id="a" * 32, name="mnist", type="model", time=5)

RAW = RawMedia(id="b" * 32, type="image/png", suffix=".png", size=len(b"private"), time=1)


def take_all(files: WaitingFiles) -> None:
    while files.take_in():
        pass


def test_a_value_becomes_a_file_under_its_hash_with_what_the_server_is_told(host, memory):
    writing = Writing(host)
    id_ = writing.files.keep(a_content(b"pixels"))
    assert writing.files.left() == 1
    assert writing.files.take_in()
    entry = writing.files.entries()[0]
    sha256 = hashlib.sha256(b"pixels").hexdigest()
    assert entry == FileEntry(id=id_, sha256=sha256, size=6, type="image/png", suffix=".png", time=entry.time)
    assert writing.files.has(sha256)
    assert host.names() == sorted([f"{id_}.json", sha256])
    assert list(memory.rglob("*.media")) == []
    assert not writing.files.take_in()


def test_what_cannot_be_encoded_is_counted_as_lost_and_holds_nothing_up(host, caplog):
    writing = Writing(host)
    writing.files.keep(Content("image", "image/png", ".png", [b"x"], {}, {"to": "nothing that is known"}))
    writing.files.keep(a_content(b"next"))
    take_all(writing.files)
    assert contents_of(writing.files) == [b"next"]
    assert (writing.files.lost(), writing.files.left()) == (1, 1)
    assert "cannot be made of what was logged" in caplog.text


def test_files_of_one_content_have_it_once_and_each_has_an_entry(host):
    writing = Writing(host)
    ids = {writing.files.keep(a_content(b"the same")) for _ in range(3)}
    take_all(writing.files)
    assert {entry.id for entry in writing.files.entries()} == ids
    assert len([name for name in host.names() if len(name) == 64]) == 1


def test_what_the_server_has_and_knows_is_removed_piece_by_piece(host):
    writing = Writing(host)
    ids = [writing.files.keep(a_content(data)) for data in (b"a", b"b")]
    take_all(writing.files)
    first, second = writing.files.entries()
    assert writing.files.ids() == set(ids)
    writing.files.delivered(first.sha256)
    assert not writing.files.has(first.sha256)
    assert (writing.files.left(), writing.files.bytes_left()) == (1, 1)
    writing.files.forget([first.id, "f" * 32])
    assert writing.files.entries() == [second]
    writing.files.forget([first.id, second.id])
    writing.files.delivered(second.sha256)
    writing.files.delivered(second.sha256)
    assert writing.files.ids() == set()
    assert (writing.files.left(), host.names()) == (0, [])


def test_an_artifact_has_its_digest_once_its_files_are_hashed(host, tmp_path):
    for name, data in (("b", b"two"), ("a", b"one")):
        (tmp_path / name).write_bytes(data)
    writing = Writing(host)
    taken = writing.files.save_artifact(ARTIFACT, [("b.txt", tmp_path / "b"), ("sub/a", tmp_path / "a")])
    assert (taken.count, taken.size, taken.digest) == (2, 6, "")
    assert writing.files.artifacts() == []
    assert writing.files.left() == 2
    take_all(writing.files)
    ((entry, files),) = writing.files.artifacts()
    one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()
    lines = "".join(sorted([f"{two} b.txt\n", f"{one} sub/a\n"]))
    assert entry.digest == hashlib.sha256(lines.encode()).hexdigest()
    assert [(file.path, file.sha256, file.artifact) for file in files] == [
        ("b.txt", two, ARTIFACT.id),
        ("sub/a", one, ARTIFACT.id),
    ]
    assert writing.files.entries() == []
    assert ARTIFACT.id in writing.files.ids()
    for file in files:
        writing.files.delivered(file.sha256)
        writing.files.forget([file.id])
    assert writing.files.left() == 1
    writing.files.forget([ARTIFACT.id])
    assert (writing.files.left(), host.names()) == (0, [])


def test_an_artifact_that_is_forgotten_stays_until_its_files_are(host, tmp_path):
    """Once, it went with those of its files that had not been sent."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    writing = Writing(host)
    writing.files.save_artifact(ARTIFACT, [(name, tmp_path / name) for name in ("a", "b")])
    take_all(writing.files)
    ((_, (first, second)),) = writing.files.artifacts()
    writing.files.delivered(first.sha256)

    writing.files.forget([ARTIFACT.id, first.id])

    ((_, files),) = writing.files.artifacts()
    assert second in files
    assert second.id in writing.files.ids()
    assert writing.files.has(second.sha256)
    writing.files.delivered(second.sha256)
    writing.files.forget([second.id])
    assert (writing.files.left(), host.names()) == (0, [])


def test_the_holder_of_the_run_takes_in_what_dead_writers_left(host, tmp_path):
    (tmp_path / "file").write_bytes(b"saved")
    dead, living = Writing(host), Writing(host)
    for writing, word in ((dead, b"dead"), (living, b"living")):
        writing.files.keep(a_content(word))
        writing.files.save(tmp_path / "file", word.decode())
    dead.die()
    holder = host.holder()
    take_all(holder)
    assert sorted(contents_of(holder)) == [b"dead", b"saved"]
    assert holder.left() == 4
    living.die()
    host.clock.now += 1.0
    take_all(holder)
    assert sorted(contents_of(holder)) == [b"dead", b"living", b"saved", b"saved"]
    assert holder.left() == 4


def test_a_writer_taken_for_dead_leaves_what_is_shared_to_the_other_process(host):
    """As where a program closes all descriptors: its locks are free while it lives."""
    writing = Writing(host)
    writing.files.keep(a_content(b"shared"))
    writing.files._media._keep_private("b" * 32, [head_of(RAW), b"private"])
    writing.files.hand_over()
    writing.die()
    holder = host.holder()
    take_all(holder)
    take_all(writing.files)
    host.clock.now += 1.0
    assert sorted(contents_of(holder)) == [b"private", b"shared"]
    assert (holder.lost(), writing.files.lost()) == (0, 0)


def test_of_a_run_that_is_removed_nothing_is_taken_in_or_said(host, memory, caplog):
    writing = Writing(host)
    writing.files.keep(a_content())
    writing.files._media._keep_private("b" * 32, [b"private"])
    writing.files.end()
    for directory in host.paths.directories():
        shutil.rmtree(directory)
    assert not writing.files.has_work()
    assert not writing.files.take_in()
    assert (writing.files.left(), writing.files.lost(), caplog.text) == (0, 0, "")
    assert not host.paths.spool.exists()


def test_who_does_not_hold_the_run_leaves_dead_writers_alone(host):
    dead, other = Writing(host), Writing(host)
    dead.files.keep(a_content())
    dead.die()
    assert not other.files.has_work()
    assert not other.files.take_in()
    assert other.files.left() == 1


def test_a_copy_that_a_killed_writer_had_not_finished_is_swept(host, tmp_path):
    (tmp_path / "file").write_bytes(b"saved")
    dead, living = Writing(host), Writing(host)
    (host.paths.spool / "files").mkdir(mode=0o700)
    for name in (f"{'1' * 32}.{dead.id}.copy", f"{'2' * 32}.{dead.id}.part", f"{'3' * 32}.{living.id}.copy"):
        (host.paths.spool / "files" / name).write_bytes(b"half")
    dead.files.save(tmp_path / "file", "file")
    dead.die()
    holder = host.holder()
    assert holder.has_work()
    take_all(holder)
    assert [name for name in host.names() if name.endswith((".copy", ".part"))] == [f"{'3' * 32}.{living.id}.copy"]
    assert contents_of(holder) == [b"saved"]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_while_the_disk_takes_nothing_media_wait_in_memory(memory, disk, error):
    files = FailingFiles()
    host = Host(memory, disk, files)
    writing = Writing(host)
    writing.files.keep(a_content(b"kept"))
    files.fail(error=error, forever=True, only={"write"})
    assert not writing.files.take_in()
    assert os.strerror(error) in str(writing.files.trouble)
    tried = len(files.operations)
    assert not writing.files.take_in()
    assert len(files.operations) == tried
    assert list(memory.rglob("*.media"))
    assert [name for name in host.names() if name.endswith(".part")] == []
    files.heal()
    assert writing.files.retry_at is not None
    host.clock.now = writing.files.retry_at
    assert writing.files.take_in()
    assert (contents_of(writing.files), writing.files.trouble) == ([b"kept"], None)


def test_media_wait_in_memory_while_files_take_all_of_their_disk(memory, disk):
    host = Host(memory, disk, bytes_max=1 << 20)
    writing = Writing(host)
    for _ in range(3):
        writing.files.keep(a_content(os.urandom(400 * 1024)))
    take_all(writing.files)
    assert len(writing.files.entries()) == 2
    assert "STEPLOG_BLOB_BYTES_MAX" in str(writing.files.trouble)
    writing.files.delivered(writing.files.entries()[0].sha256)
    host.clock.now += 60.0
    take_all(writing.files)
    assert (len(writing.files.entries()), writing.files.trouble) == (3, None)


def test_media_damaged_in_memory_are_counted_as_lost(host, memory):
    writing = Writing(host)
    id_ = writing.files.keep(a_content(b"damaged"))
    path = next(memory.rglob(f"{id_}.media"))
    path.write_bytes(path.read_bytes()[:-1])
    take_all(writing.files)
    assert (writing.files.lost(), writing.files.left(), writing.files.entries()) == (1, 0, [])


def test_what_is_lost_stays_counted_for_whoever_delivers_the_run_later(host):
    writing = Writing(host)
    writing.files.keep(a_content())
    assert writing.directory is not None
    shutil.rmtree(writing.directory)
    take_all(writing.files)
    assert host.holder().lost() == 1


def test_a_content_damaged_on_disk_is_set_aside_with_its_files_and_counted(host, tmp_path):
    (tmp_path / "file").write_bytes(b"damaged")
    writing = Writing(host)
    writing.files.keep(a_content(b"damaged"))
    writing.files.keep(a_content(b"well"))
    writing.files.save_artifact(ARTIFACT, [("a", tmp_path / "file")])
    take_all(writing.files)
    sha256 = hashlib.sha256(b"damaged").hexdigest()
    assert writing.files.rehash(sha256)
    (host.paths.spool / "files" / sha256).write_bytes(b"changed")
    assert not writing.files.rehash(sha256)
    path = writing.files.set_aside(sha256)
    assert path.read_bytes() == b"changed"
    assert contents_of(writing.files) == [b"well"]
    assert writing.files.artifacts() == []
    assert (writing.files.lost(), writing.files.left()) == (2, 1)
    assert host.holder().lost() == 2


def test_an_entry_that_cannot_be_read_is_kept_aside_and_said_once(host, caplog):
    writing = Writing(host)
    id_ = writing.files.keep(a_content())
    take_all(writing.files)
    (host.paths.spool / "files" / f"{id_}.json").write_bytes(b"{")
    holder = host.holder()
    for _ in range(3):
        assert holder.entries() == []
        host.clock.now += 1.0
    assert caplog.text.count("cannot read what it knows") == 1
    assert f"{id_}.json.damaged" in host.names()


@pytest.mark.parametrize("name", ["sha256", "id"])
def test_an_entry_that_names_a_file_elsewhere_is_kept_aside(host, name):
    writing = Writing(host)
    id_ = writing.files.keep(a_content())
    take_all(writing.files)
    path = host.paths.spool / "files" / f"{id_}.json"
    known = json.loads(path.read_bytes())
    known["files"][0][name] = "../../elsewhere"
    path.write_text(json.dumps(known))
    assert host.holder().entries() == []
    assert f"{id_}.json.damaged" in host.names()


def test_files_of_another_user_are_left_alone(host):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    writing = Writing(host)
    id_ = writing.files.keep(a_content())
    take_all(writing.files)
    os.chown(host.paths.spool / "files" / f"{id_}.json", 12345, 12345)
    assert host.holder().entries() == []
    assert f"{id_}.json" in host.names()


def test_another_process_sees_within_a_second_what_was_added(host):
    writing, holder = Writing(host), host.holder()
    assert holder.left() == 0
    writing.files.keep(a_content(b"a"))
    take_all(writing.files)
    assert holder.left() == 1
    writing.files.keep(a_content(b"b"))
    take_all(writing.files)
    host.clock.now += 1.0
    assert contents_of(holder) == [b"a", b"b"]


def test_a_copy_that_cannot_be_read_does_not_hold_up_the_others(memory, disk, tmp_path):
    files = FailingFiles()
    host = Host(memory, disk, files)
    writing = Writing(host)
    for n in range(3):
        (tmp_path / f"{n}").write_bytes(b"%d" % n)
        writing.files.save(tmp_path / f"{n}", f"{n}")
    broken = next(name for name, _, _, what in writing.files._place.of_writers() if what == "saved")
    sync_file = files.sync_file

    def fails(path: Path) -> None:
        if path.name[:32] == broken[:32]:
            raise OSError(errno.EIO, "broken")
        sync_file(path)

    files.sync_file = fails  # type: ignore[method-assign]
    for _ in range(6):
        take_all(writing.files)
        host.clock.now += 60.0
    assert (len(writing.files.entries()), writing.files.left(), writing.files.lost()) == (2, 3, 0)
    files.sync_file = sync_file  # type: ignore[method-assign]
    take_all(writing.files)
    assert (len(writing.files.entries()), writing.files.trouble) == (3, None)
    files.close_all()


def test_media_find_room_in_memory_while_a_large_file_is_hashed(memory, disk, tmp_path):
    files = FailingFiles()
    writing = Writing(Host(memory, disk, files, memory_bytes_max=64 * 1024))
    (tmp_path / "large").write_bytes(bytes(8 * 1024 * 1024))
    writing.files.save(tmp_path / "large", "large")
    read, kept = files.read, []

    def read_while_media_come(path: Path, *place: int) -> bytes:
        if path.name.endswith(".copy"):  # NoRoomError at the third, if they wait
            kept.append(writing.files.keep(a_content(os.urandom(20_000))))
        return read(path, *place)

    files.read = read_while_media_come  # type: ignore[method-assign]
    take_all(writing.files)
    assert len(kept) == 9
    assert {entry.id for entry in writing.files.entries()} > set(kept)
    files.close_all()


def test_a_disk_that_cannot_be_read_for_a_moment_loses_nothing(memory, disk, tmp_path):
    files = FailingFiles()
    host = Host(memory, disk, files)
    writing = Writing(host)
    (tmp_path / "file").write_bytes(b"saved")
    writing.files.save(tmp_path / "file", "file")
    for at in range(1, 12):
        files.fail(at, errno.EIO)
        take_all(writing.files)
        files.heal()
        host.clock.now += 60.0
    take_all(writing.files)
    assert contents_of(writing.files) == [b"saved"]
    assert (writing.files.lost(), writing.files.left()) == (0, 1)
    files.close_all()


def test_a_copy_that_was_removed_is_counted_as_lost_and_the_rest_goes_on(host, tmp_path):
    (tmp_path / "file").write_bytes(b"saved")
    writing = Writing(host)
    gone, here = (writing.files.save(tmp_path / "file", name) for name in ("gone", "here"))
    (host.paths.spool / "files" / f"{gone.id}.{writing.id}.copy").unlink()
    take_all(writing.files)
    assert [entry.id for entry in writing.files.entries()] == [here.id]
    assert (writing.files.lost(), writing.files.left()) == (1, 1)


def test_another_host_takes_in_what_was_saved_and_sweeps_nothing(host, tmp_path):
    (tmp_path / "file").write_bytes(b"saved")
    writing = Writing(host)
    writing.files.save(tmp_path / "file", "file")
    (host.paths.spool / "files" / f"{'1' * 32}.{writing.id}.copy").write_bytes(b"half")
    paths = replace(host.paths, memory=None, other_host="f" * 16)
    other = WaitingFiles(paths, clock=host.clock)
    other._intake._boot = lambda: "another"
    other.hold()
    take_all(other)
    assert contents_of(other) == [b"saved"]
    assert f"{'1' * 32}.{writing.id}.copy" in host.names()
    take_all(writing.files)  # it finds that another has done so
    assert (writing.files.lost(), other.lost(), other.left()) == (0, 0, 1)


def test_a_signal_handler_may_come_in_anywhere(memory, disk, tmp_path):
    """It asks what is left, saves, and takes in, in the thread that does so already."""
    (tmp_path / "file").write_bytes(b"from a handler")
    files = FailingFiles()
    writing = Writing(Host(memory, disk, files))
    came: list[int] = []

    def handler(*_: object) -> None:
        came.append(len(files.operations))
        writing.files.save(tmp_path / "file", f"{len(came)}")
        writing.files.keep(a_content(b"kept %d" % len(came)))
        writing.files.take_in()
        writing.files.left(), writing.files.ids(), writing.files.entries(), writing.files.bytes_left()

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for delay in range(40):
            signal.setitimer(signal.ITIMER_REAL, 0.0001 + 0.0001 * delay)
            writing.files.keep(a_content(b"%d" % delay))
            take_all(writing.files)
            writing.files.left()
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
        files.close_all()
    take_all(writing.files)
    assert came
    assert len(writing.files.entries()) == 40 + 2 * len(came)
    assert writing.files.lost() == 0


def test_a_value_that_becomes_a_file_meanwhile_counts_once(host, monkeypatch):
    writing = Writing(host)
    writing.files.keep(a_content(b"a"))
    look = writing.files._place.look

    def meanwhile(**given: bool) -> None:
        monkeypatch.undo()
        take_all(writing.files)
        look(**given)

    monkeypatch.setattr(writing.files._place, "look", meanwhile)
    assert writing.files.left() == 1


def test_a_copy_that_becomes_a_file_meanwhile_counts_once(memory, disk, tmp_path):
    (tmp_path / "file").write_bytes(b"a")
    files, counts = FailingFiles(), set[int]()
    writing = Writing(Host(memory, disk, files))
    writing.files.save(tmp_path / "file", "file")
    files.stall = lambda name: None if name == "names" else counts.add(looked())

    def looked() -> int:
        files.stall, stall = lambda name: None, files.stall
        try:
            return writing.files.left()
        finally:
            files.stall = stall

    take_all(writing.files)
    files.close_all()
    assert counts == {1}


def test_a_unit_is_json_that_later_versions_may_add_to(host):
    writing = Writing(host)
    id_ = writing.files.keep(a_content())
    take_all(writing.files)
    path = host.paths.spool / "files" / f"{id_}.json"
    known = json.loads(path.read_bytes())
    known["later"] = known["files"][0]["later"] = [1]
    path.write_text(json.dumps(known))
    assert [entry.id for entry in host.holder().entries()] == [id_]


def test_many_files_of_an_artifact_are_one_entry(host):
    count = 20_000
    files = tuple(FileEntry(id=f"{n:032x}", sha256=f"{n:064x}", size=1, path=f"{n}") for n in range(count))
    writing = Writing(host)
    (host.paths.spool / "files").mkdir(mode=0o700)
    place = writing.files._place
    place.store(Unit(id=ARTIFACT.id, files=files, artifact=ARTIFACT))
    assert len(host.names()) == 1
    assert len(writing.files.artifacts()[0][1]) == count
    assert len(writing.files.ids()) == count + 1
    begun = time.process_time()
    for file in files:  # the last one removes it
        writing.files.forget([file.id])
    assert time.process_time() - begun < 2.0
    writing.files.forget([ARTIFACT.id])
    assert host.names() == []
