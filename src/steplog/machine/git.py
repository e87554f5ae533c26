"""Which commit a directory is at, and whether the work tree differs from it: ``.git`` is read, and git is never run.

``git status`` would write the index, run what ``.git/config`` names (``core.fsmonitor``, filters), and be a child that
the program's own ``wait`` reaps.

::

    top/.git              a directory, or a file "gitdir: PATH" (work tree, submodule)
    gitdir/HEAD           "ref: refs/heads/BRANCH", or a hash
    gitdir/index          what the next commit has, with size and times of each file: versions 2 to 4
    common/refs, packed-refs, objects, config      common is gitdir, or what gitdir/commondir names

A work tree is *dirty* where the index is not HEAD's tree, or a file is not what the index says. Untracked files do not
count. A file counts as unchanged while its size and times are those in the index; one that was written since the index,
or in the same instant, is hashed. Dirty is None where that would take more than ``ENTRIES_MAX`` files or
``TIME_MAX_S``, where a filter may have changed the content, and where the repository is of a kind that is not known
here (a split index, a reftable). ``GIT_DIR`` is not honoured: it is of the commands that a hook runs, not of the code.

Only regular files are read, each up to a limit, and none is imported, run or written.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from hashlib import new as new_hash
from typing import NamedTuple

import msgspec

from steplog.machine.git_objects import (
    CHUNK_BYTES,
    UnknownError,
    chunks,
    number,
    opened,
    read,
    rest,
    text_of,
    tree_of_commit,
)

__all__ = ["ENTRIES_MAX", "TIME_MAX_S", "GitState", "git_state"]

ENTRIES_MAX = 20_000
TIME_MAX_S = 1.0
_INDEX_BYTES_MAX = 16 * 1024 * 1024
_REFS_BYTES_MAX = 16 * 1024 * 1024
_ATTRIBUTES = "~/.config/git/attributes"
_ATTRIBUTES_MAX = 100
_CONVERTING = (b"filter=", b"ident", b"working-tree-encoding=")
_DEPTH_MAX = 8  # of references to references, of submodules
_PARENTS_MAX = 100  # of a directory
_LINK, _TREE, _COMMIT = 0o120000, 0o040000, 0o160000  # modes of index entries that are no regular files
_ASSUME_VALID, _EXTENDED, _STAGE, _NAME_BYTES = 0x8000, 0x4000, 0x3000, 0x0FFF
_SKIP_WORKTREE, _INTENT_TO_ADD = 0x4000, 0x2000


class GitState(NamedTuple):
    """None is unknown; without a ``branch`` HEAD is detached, without a ``commit`` there is none yet."""

    commit: str | None
    branch: str | None
    dirty: bool | None


class _Repository(msgspec.Struct, frozen=True):
    top: str | None  # of the work tree; None: a bare one
    git: str
    common: str


class _Entry(msgspec.Struct, frozen=True):
    path: bytes
    mode: int
    digest: bytes
    size: int
    changed: tuple[int, int]  # ctime in seconds and nanoseconds
    modified: tuple[int, int]
    flags: int
    more_flags: int


class _Bounds:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = clock() + TIME_MAX_S
        self._entries = 0

    def check(self, entries: int = 0) -> None:
        self._entries += entries
        if self._entries > ENTRIES_MAX or self._clock() > self._until:
            raise UnknownError


def git_state(start: str, clock: Callable[[], float] = time.monotonic) -> GitState | None:
    """The state of the repository that the directory ``start`` is in; None: it is in none."""
    bounds = _Bounds(clock)
    try:
        found = _find(start)
    except (OSError, ValueError):
        return None
    return None if found is None else _state(found, bounds, 0)


def _state(repository: _Repository, bounds: _Bounds, depth: int) -> GitState:
    commit = branch = None
    try:
        commit, branch = _head(repository)
        if repository.top is None or depth > _DEPTH_MAX:
            return GitState(commit, branch, None)
        return GitState(commit, branch, _is_dirty(repository, repository.top, commit, bounds, depth))
    except (UnknownError, OSError, ValueError, IndexError, struct.error, zlib.error):
        return GitState(commit, branch, None)


def _find(start: str) -> _Repository | None:
    directory = os.path.abspath(start)
    for _ in range(_PARENTS_MAX):
        found = _at(directory)
        if found is not None:
            return found
        if _is_git_directory(directory):
            return _Repository(None, directory, _common(directory))
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent
    return None


def _at(top: str) -> _Repository | None:
    """The repository whose work tree has its top here."""
    git = os.path.join(top, ".git")
    if os.path.isdir(git):
        return _Repository(top, git, _common(git)) if _is_git_directory(git) else None
    text = text_of(git)
    if text is None or not text.startswith("gitdir: "):
        return None
    git = os.path.normpath(os.path.join(top, text[len("gitdir: ") :]))
    return _Repository(top, git, _common(git))


def _is_git_directory(path: str) -> bool:
    names = [os.path.join(path, name) for name in ("HEAD", "objects", "refs")]
    return os.path.lexists(names[0]) and os.path.isdir(names[1]) and os.path.isdir(names[2])


def _common(git: str) -> str:
    text = text_of(os.path.join(git, "commondir"))
    return git if text is None else os.path.normpath(os.path.join(git, text))


def _head(repository: _Repository) -> tuple[str | None, str | None]:
    """Commit and branch."""
    path = os.path.join(repository.git, "HEAD")
    try:
        text: str | None = f"ref: {os.readlink(path)}"
    except OSError:
        text = text_of(path)
    if text is None:
        raise UnknownError
    if not text.startswith("ref: "):
        return _hash(text), None
    name = text[len("ref: ") :].strip()
    if name == "refs/heads/.invalid":  # a reftable
        raise UnknownError
    branch = name[len("refs/heads/") :] if name.startswith("refs/heads/") else None
    return _commit_of(repository, name), branch


def _commit_of(repository: _Repository, name: str) -> str | None:
    for _ in range(_DEPTH_MAX):
        if not name.startswith("refs/") or ".." in name:
            raise UnknownError
        text = text_of(os.path.join(repository.git, name)) or text_of(os.path.join(repository.common, name))
        if text is None:
            return _packed_commit(repository, name)
        if not text.startswith("ref: "):
            return _hash(text)
        name = text[len("ref: ") :].strip()
    raise UnknownError


def _packed_commit(repository: _Repository, name: str) -> str | None:
    data = read(os.path.join(repository.common, "packed-refs"), _REFS_BYTES_MAX)
    for line in (data or b"").splitlines():
        digest, _, known = line.partition(b" ")
        if known == os.fsencode(name):
            return _hash(digest.decode("latin-1"))
    return None


def _hash(text: str) -> str:
    bytes.fromhex(text)
    if len(text) not in (40, 64):
        raise ValueError("no hash")
    return text


def _is_dirty(repository: _Repository, top: str, commit: str | None, bounds: _Bounds, depth: int) -> bool:
    data, written = _read_index(os.path.join(repository.git, "index"))
    algorithm = "sha256" if commit is not None and len(commit) == 64 else "sha1"
    entries = list(_entries(data, new_hash(algorithm).digest_size, bounds)) if data else []
    if any(entry.flags & _STAGE or entry.more_flags & _INTENT_TO_ADD for entry in entries):
        return True
    if commit is None:
        if entries:
            return True
    elif _tree_of(entries, algorithm) != tree_of_commit(repository.common, commit):
        return True
    return _WorkTree(repository, top, entries, written, algorithm, bounds, depth).differs()


class _WorkTree:
    """The files that an index lists; ``written`` is when it was."""

    def __init__(
        self,
        repository: _Repository,
        top: str,
        entries: list[_Entry],
        written: tuple[int, int],
        algorithm: str,
        bounds: _Bounds,
        depth: int,
    ) -> None:
        self._common = repository.common
        self._prefix = os.fsencode(top) + b"/"
        self._entries = entries
        self._written = written
        self._algorithm = algorithm
        self._bounds = bounds
        self._depth = depth
        self._config = _Config(repository.common)
        self._filtered: Callable[[bytes], object] | None = None

    def differs(self) -> bool:
        """Whether one does. Raises UnknownError."""
        unknown = False
        for entry in self._entries:
            self._bounds.check()
            if entry.flags & _ASSUME_VALID or entry.more_flags & _SKIP_WORKTREE or entry.mode == _TREE:
                continue
            try:
                found = os.lstat(self._prefix + entry.path)
                differs = self._submodule_differs(entry) if entry.mode == _COMMIT else self._file_differs(entry, found)
            except (FileNotFoundError, NotADirectoryError):
                return True
            if differs:
                return True
            unknown = unknown or differs is None
        if unknown:
            raise UnknownError
        return False

    def _submodule_differs(self, entry: _Entry) -> bool | None:
        path = os.fsdecode(self._prefix + entry.path)
        found = _at(path)
        if found is None:
            return not os.path.isdir(path)  # not initialized
        state = _state(found, self._bounds, self._depth + 1)
        if state.commit is None:
            return None
        return True if state.commit != entry.digest.hex() else state.dirty

    def _file_differs(self, entry: _Entry, found: os.stat_result) -> bool | None:
        """None: its content went through a filter, perhaps."""
        kind, size = stat.S_IFMT(found.st_mode), found.st_size & 0xFFFFFFFF
        if kind != stat.S_IFMT(entry.mode) and (self._config.symlinks or entry.mode != _LINK):
            return True
        if kind == stat.S_IFREG and self._config.filemode and bool(found.st_mode & 0o100) != bool(entry.mode & 0o100):
            return True
        if entry.size and entry.size != size:  # 0 also says that the size is not known
            return True
        same = _same(entry.changed, found.st_ctime_ns) and _same(entry.modified, found.st_mtime_ns)
        if same and entry.size == size and entry.modified < self._written:
            return False
        path = self._prefix + entry.path
        if kind == _LINK:
            return _digest_of(os.readlink(path), self._algorithm) != entry.digest
        plain, without_returns = self._digests(path, found.st_size)
        if plain == entry.digest:
            return False
        return None if without_returns == entry.digest or self._is_filtered(entry.path) else True

    def _digests(self, path: bytes, size: int) -> tuple[bytes, bytes]:
        """Of a file as it is, and of a small one with LF for CR LF."""
        plain = new_hash(self._algorithm, b"blob %d\0" % size, usedforsecurity=False)
        whole = b""
        for chunk in chunks(path):
            self._bounds.check()
            plain.update(chunk)
            whole = chunk
        return plain.digest(), _digest_of(whole.replace(b"\r\n", b"\n"), self._algorithm)

    def _is_filtered(self, path: bytes) -> bool:
        if self._filtered is None:
            places = [os.path.join(self._common, "info", "attributes"), _in_home(_ATTRIBUTES)]
            places += [] if self._config.attributes is None else [_in_home(self._config.attributes)]
            inside = [entry.path for entry in self._entries if os.path.basename(entry.path) == b".gitattributes"]
            places += [os.fsdecode(self._prefix + name) for name in inside[:_ATTRIBUTES_MAX]]
            patterns = [pattern for place in places for pattern in _filtered_patterns(place)]
            self._filtered = re.compile(b"|".join(patterns) or b"(?!)").fullmatch
        return bool(self._filtered(os.path.basename(path)))


def _filtered_patterns(path: str) -> Iterator[bytes]:
    """Of the names of files whose content in the repository is another one than in the work tree; ``*`` for a path."""
    data = read(path, CHUNK_BYTES) or b""
    for line in data.splitlines():
        pattern, *attributes = line.split() or [b"#"]
        if pattern.startswith(b"#") or not any(attribute.startswith(_CONVERTING) for attribute in attributes):
            continue
        if b"/" in pattern or pattern[:1] in b'["':
            pattern = b"*"
        yield (
            re.escape(pattern).replace(rb"\*", b".*").replace(rb"\?", b".").replace(rb"\[", b"[").replace(rb"\]", b"]")
        )


def _in_home(path: str) -> str:
    """As ``os.path.expanduser``, which may import ``pwd``."""
    return os.environ.get("HOME", "") + path[1:] if path.startswith("~/") else path


def _same(stored: tuple[int, int], nanoseconds: int) -> bool:
    """Whether it is the same time; some versions of git store no nanoseconds."""
    seconds, rest = _seconds(nanoseconds)
    return stored[0] == seconds and stored[1] in (0, rest)


def _seconds(nanoseconds: int) -> tuple[int, int]:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return seconds & 0xFFFFFFFF, rest


def _digest_of(content: bytes, algorithm: str, kind: bytes = b"blob") -> bytes:
    return new_hash(algorithm, b"%s %d\0" % (kind, len(content)) + content, usedforsecurity=False).digest()


def _entries(data: bytes, digest_bytes: int, bounds: _Bounds) -> Iterator[_Entry]:
    magic, version, count = struct.unpack_from(">4sII", data)
    if magic != b"DIRC" or version not in (2, 3, 4):
        raise UnknownError
    bounds.check(count)
    fixed = struct.Struct(f">10I{digest_bytes}sH")
    at, path = 12, b""
    for _ in range(count):
        begin = at
        *fields, digest, flags = fixed.unpack_from(data, at)
        at += fixed.size
        more = 0
        if flags & _EXTENDED:
            (more,) = struct.unpack_from(">H", data, at)
            at += 2
        if version == 4:
            cut, at = number(data, at)
            end = data.index(b"\0", at)
            path = path[: len(path) - cut] + data[at:end]
            at = end + 1
        else:
            end = data.index(b"\0", at)
            path = data[at:end]
            at = begin + ((end - begin) // 8 + 1) * 8
        changed, modified = (fields[0], fields[1]), (fields[2], fields[3])
        yield _Entry(path, fields[6], digest, fields[9], changed, modified, flags, more)
    while at + 8 <= len(data) - digest_bytes:  # extensions
        name, size = struct.unpack_from(">4sI", data, at)
        if name[:1].islower() and name != b"sdir":  # needed to read it: a split index
            raise UnknownError
        at += 8 + size


def _tree_of(entries: list[_Entry], algorithm: str) -> bytes:
    """The hash of the tree that the index would be committed as."""
    open_trees: list[tuple[bytes, list[bytes]]] = [(b"", [])]  # path with a slash at its end, and what is in it

    def close() -> None:
        path, parts = open_trees.pop()
        name = path[len(open_trees[-1][0]) : -1]
        open_trees[-1][1].append(b"40000 %s\0" % name + _digest_of(b"".join(parts), algorithm, b"tree"))

    for entry in entries:
        while not entry.path.startswith(open_trees[-1][0]):
            close()
        rest = entry.path[len(open_trees[-1][0]) :].rstrip(b"/")  # a sparse index has whole trees
        while b"/" in rest:
            name, _, rest = rest.partition(b"/")
            open_trees.append((open_trees[-1][0] + name + b"/", []))
        open_trees[-1][1].append(b"%o %s\0" % (entry.mode, rest) + entry.digest)
    while len(open_trees) > 1:
        close()
    return _digest_of(b"".join(open_trees[0][1]), algorithm, b"tree")


class _Config:
    """What of a repository's configuration decides how files compare."""

    def __init__(self, common: str) -> None:
        self.filemode = self.symlinks = True
        self.attributes: str | None = None
        section = ""
        for line in (read(os.path.join(common, "config"), CHUNK_BYTES) or b"").splitlines():
            text = os.fsdecode(line).strip()
            if text.startswith("["):
                section = text.strip("[]").partition(" ")[0].lower()
                continue
            name, _, value = (part.strip() for part in text.partition("="))
            if section == "core" and name.lower() == "attributesfile":
                self.attributes = value.strip('"')
            elif section == "core" and name.lower() in ("filemode", "symlinks"):
                setattr(self, name.lower(), value.lower() not in ("false", "no", "off", "0"))


def _read_index(path: str) -> tuple[bytes, tuple[int, int]]:
    """The index, none as empty, and when it was written."""
    try:
        fd = opened(path)
    except FileNotFoundError:
        return b"", (0, 0)
    try:
        status = os.fstat(fd)
        if status.st_size > _INDEX_BYTES_MAX:
            raise UnknownError
        return b"".join(rest(fd)), _seconds(status.st_mtime_ns)
    finally:
        os.close(fd)
