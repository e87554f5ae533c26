"""``git_state`` beside git itself, over repositories that are made by chance and by hand."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from steplog.machine import git as git_module
from steplog.machine.git import GitState, git_state

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
_IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always", "-c", "gc.auto=0")


class Repository:
    """A work tree, and git in it."""

    def __init__(self, top: Path, *arguments: str) -> None:
        self.top = top
        top.mkdir(parents=True)
        self.git("init", "-q", "-b", "main", *arguments)

    def git(self, *arguments: str, at: Path | None = None) -> str:
        done = subprocess.run(
            ("git", *_IDENTITY, *arguments),
            cwd=at or self.top,
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def write(self, name: str, text: str) -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def commit(self, **files: str) -> None:
        for name, text in files.items():
            self.write(name.replace("__", "/"), text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")

    def is_dirty(self, at: Path | None = None) -> bool:
        """What git says; without writing the index."""
        told = self.git(
            "--no-optional-locks", "status", "--porcelain", "-uno", "--ignore-submodules=untracked", at=at or self.top
        )
        return told != ""

    def expected(self, at: Path | None = None) -> GitState:
        try:
            commit: str | None = self.git("rev-parse", "--verify", "-q", "HEAD", at=at)
        except subprocess.CalledProcessError:
            commit = None
        try:
            branch: str | None = self.git("symbolic-ref", "-q", "--short", "HEAD", at=at)
        except subprocess.CalledProcessError:
            branch = None
        return GitState(commit, branch, self.is_dirty(at))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def _edit(repository: Repository, chance: random.Random) -> None:
    """One thing that people do."""
    files = [name for name in repository.git("ls-files", "-s").splitlines() if not name.startswith("160000")]
    names = [line.split("\t")[1] for line in files]
    paths = [repository.top / name for name in names]
    there = [path for path in paths if path.is_file() and not path.is_symlink()]
    new = f"d{chance.randrange(3)}/{chance.choice('abc.-')}{chance.randrange(1000)}"
    choices: list[Callable[[], object]] = [
        lambda: repository.write(new, str(chance.random())),
        lambda: repository.git("add", "-A"),
        lambda: repository.git("commit", "-q", "--allow-empty", "-m", "x"),
        lambda: repository.git("commit", "-qam", "x", "--allow-empty"),
        lambda: repository.git("repack", "-qad"),
        lambda: repository.git("pack-refs", "--all"),
        lambda: repository.git("checkout", "-q", "--detach"),
        lambda: repository.git("checkout", "-qB", f"topic/{chance.randrange(3)}"),
        lambda: repository.git("update-index", "--index-version", chance.choice("234")),
        lambda: repository.git("status"),  # writes the index anew
        lambda: repository.git("reset", "-q", "--hard"),
        lambda: repository.git("reset", "-q"),
        lambda: repository.git("add", "-AN"),
    ]
    if there:
        path = chance.choice(there)
        text = path.read_text()
        choices += [
            lambda: path.write_text(text + "x"),
            lambda: path.write_text(text[::-1]),  # as long as before
            lambda: path.write_text(text),
            lambda: os.utime(path, ns=(0, chance.randrange(2**60))),
            lambda: path.chmod(chance.choice((0o644, 0o755))),
            path.unlink,
            lambda: repository.git("rm", "-q", "--cached", str(path)),
            lambda: repository.git("update-index", "--assume-unchanged", str(path)),
            lambda: repository.git("update-index", "--no-assume-unchanged", str(path)),
            lambda: (path.unlink(), path.symlink_to("elsewhere")),
        ]
    chance.choice(choices)()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_git_state_agrees_with_git_over_edits_by_chance(tmp_path, seed):
    chance = random.Random(seed)
    repository = Repository(tmp_path / "repository")
    repository.commit(a="1\n", d0__b="2\n", d0__sub__c="3\n", d0_b="4\n")
    for turn in range(30):
        try:
            _edit(repository, chance)
        except subprocess.CalledProcessError:
            continue  # git refuses: nothing has changed
        assert git_state(str(repository.top)) == repository.expected(), f"after edit {turn}"


def test_a_repository_without_a_commit_is_dirty_once_a_file_is_added(repository):
    assert git_state(str(repository.top)) == GitState(None, "main", False)
    repository.write("new", "untracked")
    assert git_state(str(repository.top)) == GitState(None, "main", False)
    repository.git("add", "new")
    assert git_state(str(repository.top)) == repository.expected() == GitState(None, "main", True)


def test_a_directory_outside_of_any_repository_has_no_state(tmp_path):
    (tmp_path / ".git").mkdir()  # empty
    assert git_state(str(tmp_path)) is None
    assert git_state(str(tmp_path / "missing")) is None


def test_a_file_changed_within_the_instant_of_the_index_is_seen(repository):
    """Its size and times are then those in the index, as a clock's tick is some milliseconds."""
    repository.commit(a="1111")
    path, index = repository.top / "a", repository.top / ".git" / "index"
    path.write_text("2222")
    found = path.stat()
    data = bytearray(index.read_bytes()[:-20])
    times = [part for time in (found.st_ctime_ns, found.st_mtime_ns) for part in divmod(time, 10**9)]
    struct.pack_into(">4I", data, 12, *times)
    index.write_bytes(data + hashlib.sha1(data).digest())
    os.utime(index, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert repository.expected().dirty is True
    assert git_state(str(repository.top)) == repository.expected()
    os.utime(index, ns=(found.st_atime_ns, found.st_mtime_ns + 2 * 10**9))  # now it was written later: as for git
    assert git_state(str(repository.top)) == repository.expected()
    assert repository.expected().dirty is False


def test_a_work_tree_a_bare_repository_and_a_subdirectory_are_found(repository, tmp_path):
    repository.commit(a="1", d__b="2")
    assert git_state(str(repository.top / "d")) == repository.expected()
    tree = tmp_path / "tree"
    repository.git("worktree", "add", "-q", "-b", "side", str(tree))
    assert git_state(str(tree)) == repository.expected(tree) == repository.expected()._replace(branch="side")
    (tree / "a").write_text("3")
    assert git_state(str(tree)).dirty is True
    repository.git("clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    assert git_state(str(tmp_path / "bare")) == repository.expected()._replace(dirty=None)


@pytest.mark.parametrize("reference", [(), ("--shared",), ("--depth", "1", "--no-local")])
def test_a_clone_is_read_wherever_its_objects_are(repository, tmp_path, reference):
    repository.commit(a="1")
    repository.commit(a="2")
    repository.git("repack", "-qad")
    repository.git("clone", "-q", *reference, str(repository.top), str(tmp_path / "clone"))
    assert git_state(str(tmp_path / "clone")) == repository.expected(tmp_path / "clone")


def test_a_commit_that_is_packed_as_a_delta_is_read(repository):
    for number in range(30):
        repository.write("a", f"{number}\n")
        repository.git("add", "-A")
        repository.git("commit", "-q", "-m", "\n\n".join(f"line {line} of the message" for line in range(200)))
    repository.git("repack", "-qadf", "--depth=50", "--window=50")
    pack = next((repository.top / ".git" / "objects" / "pack").glob("*.idx"))
    listing = repository.git("verify-pack", "-v", str(pack)).splitlines()
    deltas = [fields[0] for fields in map(str.split, listing) if len(fields) == 7 and fields[1] == "commit"]
    assert deltas, "git has packed no commit as a delta"
    for commit in deltas:
        repository.git("checkout", "-q", commit)
        assert git_state(str(repository.top)) == GitState(commit, None, False)


def test_a_submodule_makes_dirty_by_its_commit_and_its_files_alone(repository, tmp_path):
    library = Repository(tmp_path / "library")
    library.commit(x="1")
    repository.git("submodule", "--quiet", "add", str(library.top), "sub")
    repository.commit()
    sub, top = repository.top / "sub", str(repository.top)
    assert git_state(top) == repository.expected()
    assert git_state(str(sub)) == repository.expected(sub)
    (sub / "untracked").write_text("")
    assert git_state(top).dirty is repository.is_dirty() is False
    (sub / "x").write_text("22")
    assert git_state(top).dirty is repository.is_dirty() is True
    repository.git("commit", "-qam", "y", at=sub)
    assert git_state(top).dirty is repository.is_dirty() is True
    repository.git("submodule", "--quiet", "deinit", "-f", "sub")
    assert git_state(top).dirty is repository.is_dirty() is False


def test_a_conflict_makes_dirty(repository):
    repository.commit(a="1")
    repository.git("checkout", "-qb", "other")
    repository.commit(a="2")
    repository.git("checkout", "-q", "main")
    repository.commit(a="3")
    with pytest.raises(subprocess.CalledProcessError):
        repository.git("merge", "-q", "other")
    assert git_state(str(repository.top)) == repository.expected()


def test_hashes_of_sha256_are_read(tmp_path):
    repository = Repository(tmp_path / "repository", "--object-format=sha256")
    repository.commit(a="1", d__b="2")
    assert git_state(str(repository.top)) == repository.expected()
    repository.write("a", "2")
    assert git_state(str(repository.top)) == repository.expected()


def test_a_sparse_checkout_is_clean(repository):
    repository.commit(a="1", d__b="2", e__f__c="3")
    repository.git("sparse-checkout", "set", "--cone", "--sparse-index", "d")
    assert not (repository.top / "e").exists()
    assert git_state(str(repository.top)) == repository.expected()


def test_a_filter_is_not_run_and_what_it_may_have_changed_is_not_known(repository, tmp_path):
    ran = tmp_path / "ran"
    repository.git("config", "filter.z.clean", f"sh -c 'touch {ran}; tr a b'")
    repository.git("config", "core.fsmonitor", f"touch {ran}")
    repository.commit(**{".gitattributes": "*.z filter=z\n", "one.z": "aaa", "two": "aaa"})
    ran.unlink()
    index = repository.top / ".git" / "index"
    stored = index.read_bytes()
    os.utime(repository.top / "one.z", ns=(0, 0))
    assert git_state(str(repository.top)).dirty is None
    repository.write("one.z", "aaaa")  # of another size: no filter makes that the same
    assert git_state(str(repository.top)).dirty is True
    repository.write("one.z", "aaa")
    repository.write("two", "bbb")
    assert git_state(str(repository.top)).dirty is True
    assert not ran.exists()
    assert index.read_bytes() == stored


def test_line_ends_that_git_may_convert_are_not_called_a_change(repository):
    repository.git("config", "core.autocrlf", "true")
    repository.commit(a="1\r\n2\r\n")
    os.utime(repository.top / "a", ns=(0, 0))
    assert git_state(str(repository.top)).dirty is None
    repository.write("a", "1\r\n3\r\n")
    assert git_state(str(repository.top)).dirty is True


def test_what_takes_too_long_or_is_not_known_leaves_dirty_open(repository, monkeypatch):
    repository.commit(a="1", b="2")
    clean = repository.expected()
    monkeypatch.setattr(git_module, "ENTRIES_MAX", 1)
    assert git_state(str(repository.top)) == clean._replace(dirty=None)
    monkeypatch.undo()
    times = iter(range(1000))
    assert git_state(str(repository.top), clock=lambda: next(times)) == clean._replace(dirty=None)
    repository.git("update-index", "--split-index")
    assert git_state(str(repository.top)) == clean._replace(dirty=None)


def test_damaged_files_of_a_repository_raise_nothing(repository):
    repository.commit(a="1", d__b="2")
    chance = random.Random(0)
    git = repository.top / ".git"
    for _ in range(300):
        path = chance.choice([git / "index", git / "HEAD", git / "refs" / "heads" / "main", git / "config"])
        whole = path.read_bytes()
        damaged = bytearray(whole[: chance.randrange(len(whole) + 1)])
        for _ in range(chance.randrange(4)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        state = git_state(str(repository.top))
        assert state is None or state.dirty in (True, False, None)
        path.write_bytes(whole)
    (git / "index").unlink()
    os.mkfifo(git / "index")
    assert git_state(str(repository.top)).dirty is None


def test_reading_a_repository_starts_no_process_and_imports_nothing(repository):
    repository.commit(a="1", d__b="2")
    repository.git("repack", "-qad")
    repository.write("a", "2")
    program = (
        "import sys, steplog.machine.git as git\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, values: seen.append((event, values[:1]))"
        " if event in ('import', 'subprocess.Popen', 'os.fork', 'os.posix_spawn', 'os.exec') else None)\n"
        "state = git.git_state(sys.argv[1])\n"
        "print(state.dirty, seen)\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", program, str(repository.top)), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True []"
