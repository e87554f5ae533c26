"""Where runs are: private whatever the umask, and refused where somebody else could have a hand in it."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from steplog.errors import ConfigurationError
from steplog.file_lock import FileLock
from steplog.host import host_id
from steplog.journal import manifest as manifests
from steplog.journal.directories import JournalRoots, Unchanged, derived_local_id, new_id
from steplog.journal.open_writer import open_writer
from steplog.journal.spooling import Disk
from steplog.private_files import make_private, remove_tree, write_private

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_every_directory_and_file_of_a_run_is_private_whatever_the_umask(roots, umask):
    local_id = new_id()
    paths, lock = roots.claim(local_id)
    assert lock is not None
    opened = open_writer(paths, roots.memory, Disk(1 << 30), memory_bytes_max=1 << 24, value_bytes_max=1000)
    opened.writer.append.log("loss", 1.0)
    agent = paths.show_agent(None)
    for directory in paths.directories():
        manifests.store(directory, MANIFEST)
    found = [roots.memory, roots.spool]
    for root in (roots.memory, roots.spool):
        found += root.rglob("*")
    assert len(found) > 8
    for path in found:
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path
    for one in (lock, *agent):
        one.release()


MANIFEST = manifests.Manifest(
    local_id="0" * 32, base_url="http://127.0.0.1:1", account="me", namespace="n", project="p", run="r"
)


def test_the_directories_above_are_private_too(tmp_path, umask):
    make_private(tmp_path / "state" / "of this" / "steplog")
    assert {mode(tmp_path / part) for part in ("state", "state/of this", "state/of this/steplog")} == {0o700}


def link_to_elsewhere(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere, target_is_directory=True)


def link_to_nothing(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere / "not there")


def a_file(path: Path, elsewhere: Path) -> None:
    path.write_text("mine")


def a_fifo(path: Path, elsewhere: Path) -> None:
    os.mkfifo(path)


def world_writable(path: Path, elsewhere: Path) -> None:
    path.mkdir()
    (path / "theirs").touch()  # an empty one would be replaced by one of ours
    path.chmod(0o707)


def group_writable(path: Path, elsewhere: Path) -> None:
    path.mkdir()
    (path / "theirs").touch()
    path.chmod(0o770)


def somebody_elses(path: Path, elsewhere: Path) -> None:
    path.mkdir()
    (path / "theirs").touch()
    os.chown(path, 65534, 65534)


HOSTILE = [
    link_to_elsewhere,
    link_to_nothing,
    a_file,
    a_fifo,
    world_writable,
    group_writable,
    pytest.param(somebody_elses, marks=needs_root),
]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere"
    path.mkdir(mode=0o700)
    return path


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_is_not_a_directory_of_ours_alone_is_refused(hostile, tmp_path, elsewhere):
    hostile(tmp_path / "place", elsewhere)
    with pytest.raises((ConfigurationError, OSError)):
        make_private(tmp_path / "place")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("where", ["root", "run"])
@pytest.mark.parametrize("room", ["memory", "spool"])
def test_a_run_does_without_a_place_that_is_not_ours_alone_and_says_so(
    hostile, where, room, tmp_path, elsewhere, memory, caplog
):
    """Also a directory of the run, or a link there, that somebody put into a root which was open for a while."""
    roots = JournalRoots(memory, tmp_path / "spool", "0" * 16)
    local_id = new_id()
    root = getattr(roots, room)
    if where == "root":
        if room == "memory":
            root.rmdir()
        hostile(root, elsewhere)
    else:
        make_private(root)
        hostile(root / f"{local_id}.{roots.host}", elsewhere)
    with caplog.at_level(logging.WARNING, "steplog"):
        paths, lock = roots.claim(local_id)
    assert lock is not None
    lock.release()
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "steplog goes without shared memory" if room == "memory" else "steplog goes without a disk"
    ]
    assert (paths.memory is None, paths.on_disk) == (room == "memory", room == "memory")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_writers_directory_is_always_a_new_one(hostile, roots, elsewhere, monkeypatch):
    name = "a" * 32
    monkeypatch.setattr("steplog.journal.open_writer.new_id", lambda: name)
    paths, lock = roots.claim(new_id())
    hostile(paths.memory / f"{name}.new", elsewhere)
    opened = open_writer(paths, roots.memory, Disk(1 << 30), memory_bytes_max=1 << 24, value_bytes_max=1000)
    opened.writer.append.log("loss", 1.0)
    assert opened.directory is None  # anonymous memory
    assert list(elsewhere.iterdir()) == []
    lock.release()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../" * 8 + "etc",
        "a" * 31,
        "a" * 33,
        "A" * 32,
        "g" * 32,
        "a" * 32 + "\n",
        "a/" * 16,
        "é" * 32,
        "\0" * 32,
    ],
)
def test_only_a_local_id_names_a_runs_directory(roots, name):
    with pytest.raises(ConfigurationError):
        roots.run(name)


@given(st.text(max_size=40))
def test_whatever_a_run_is_called_it_stays_below_the_root(name):
    roots = JournalRoots(Path("/memory"), Path("/spool"), "0" * 16)
    try:
        paths = roots.run(name)
    except ConfigurationError:
        return
    assert paths.spool.parent == Path("/spool")


def test_ids_have_128_bits_and_those_of_joined_runs_depend_on_all_that_names_them():
    assert len({new_id() for _ in range(100)}) == 100
    parts = ["http://127.0.0.1:1", "team", "project", "run"]
    others = [derived_local_id(*parts[:index], parts[index] + "x", *parts[index + 1 :]) for index in range(4)]
    ids = {derived_local_id(*parts), *others, derived_local_id("http://127.0.0.1:1", "team", "projec", "trun")}
    assert len(ids) == 6
    assert derived_local_id(*parts) == derived_local_id(*parts)
    for one in (*ids, new_id()):
        JournalRoots(None, Path("/spool"), host_id()).run(one)


def test_runs_and_writers_are_those_whose_names_are_ours(roots):
    mine = [new_id() for _ in range(3)]
    for local_id in mine:
        paths, lock = roots.claim(local_id)
        lock.release()
        (paths.spool / ("b" * 32)).mkdir()
        (paths.memory / ("c" * 32)).mkdir()
        for other in ("d" * 31, "d" * 33, "D" * 32, "d" * 32 + ".new", "..d"):
            (paths.spool / other).mkdir()
    for other in ("junk", "e" * 32, f"{new_id()}.{'1' * 16}", f"{new_id()}.{'0' * 16}.12345678.new"):
        make_private(roots.spool / other)
    found = list(roots.runs())
    assert sorted(paths.local_id for paths in found) == sorted(mine)
    assert all(paths.writers() == ["b" * 32, "c" * 32] for paths in found)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("room", ["memory", "spool"])
def test_what_was_put_into_a_root_while_it_was_open_to_others_is_no_run(hostile, room, roots, elsewhere):
    """It was listed and adopted; what was in it could be a pipe, or say where to send."""
    paths, lock = roots.claim(new_id())
    planted = roots.run(new_id())
    hostile(getattr(planted, room), elsewhere)
    (elsewhere / "lock").touch()
    assert [found.local_id for found in roots.runs()] == [paths.local_id]
    other_host = roots.spool / f"{new_id()}.{'1' * 16}"
    hostile(other_host, elsewhere)
    assert list(roots.of_other_hosts()) == []
    assert lock is not None
    lock.release()


def test_another_hosts_runs_on_the_same_disk_are_its_own_and_seen_without_memory(roots):
    there = replace(roots, host="1" * 16)
    taken = [one.claim(new_id()) for one in (roots, there)]
    assert [paths.local_id for paths in roots.runs()] == [taken[0][0].local_id]
    (other,) = roots.of_other_hosts()
    assert (other.local_id, other.other_host) == (taken[1][0].local_id, "1" * 16)
    assert (other.memory, other.spool) == (None, taken[1][0].spool)
    assert FileLock.take(other.lock) is None
    (mine,) = there.of_other_hosts()
    assert (mine.local_id, mine.other_host) == (taken[0][0].local_id, "0" * 16)


def test_a_file_is_replaced_as_a_whole_and_a_link_in_its_place_is_not_followed(tmp_path, umask):
    target, path = tmp_path / "target", tmp_path / "file"
    target.write_bytes(b"theirs")
    path.symlink_to(target)
    write_private(path, b"ours")
    assert (path.read_bytes(), target.read_bytes()) == (b"ours", b"theirs")
    assert mode(path) == 0o600
    assert not path.is_symlink()
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError):  # noqa: PT011
        write_private(tmp_path / "directory", b"ours")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["directory", "file", "target"]


def test_removing_a_tree_follows_no_link(tmp_path, elsewhere):
    (elsewhere / "kept").write_text("kept")
    make_private(tmp_path / "run")
    link_to_elsewhere(tmp_path / "run" / "link", elsewhere)
    remove_tree(tmp_path / "run")
    remove_tree(tmp_path / "run")
    remove_tree(None)
    assert (elsewhere / "kept").exists()
    assert not (tmp_path / "run").exists()


def test_a_directory_counts_as_unchanged_only_when_its_last_change_is_long_over(tmp_path):
    now = [time.time_ns()]
    unchanged = Unchanged([tmp_path], lambda: now[0])
    assert not unchanged()
    assert not unchanged()  # within the same tick more may have come
    now[0] += 10**10
    assert unchanged()
    (tmp_path / "writer").mkdir()
    assert not unchanged()
    now[0] += 10**10
    assert unchanged()
    unchanged.invalidate()
    assert not unchanged()
    (tmp_path / "writer").rmdir()
    tmp_path.rmdir()
    now[0] += 10**10
    assert not unchanged()


def test_memory_shows_whether_a_run_has_an_agent_be_it_a_writer_or_not(roots):
    paths, lock = roots.claim(new_id())
    assert not paths.has_agent()
    opened = open_writer(paths, roots.memory, Disk(1 << 30), memory_bytes_max=1 << 24, value_bytes_max=1000)
    assert paths.show_agent(opened.journal.writer) == []
    assert paths.has_agent()
    opened.release()
    assert not paths.has_agent()
    (agent,) = paths.show_agent(None)
    assert paths.has_agent()
    agent.release()
    assert not paths.has_agent()
    assert lock is not None
    lock.release()
