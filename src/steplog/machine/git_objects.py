"""Reading a git repository's files: regular ones, each up to a limit; loose and packed objects.

A packed commit is found by its pack's index, and may be a delta of another one.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator

__all__ = ["CHUNK_BYTES", "UnknownError", "chunks", "number", "opened", "read", "rest", "text_of", "tree_of_commit"]

CHUNK_BYTES = 1024 * 1024
_TEXT_BYTES_MAX = 4096
_COMMIT_BYTES_MAX = 1024 * 1024
_PACKS_MAX = 1000
_DEPTH_MAX = 8  # of alternates
_DELTAS_MAX = 50  # git's own limit of a chain
_COMMIT, _OFFSET_DELTA, _HASH_DELTA = 1, 6, 7


class UnknownError(Exception):
    """It cannot be told, or not within the bounds."""


def tree_of_commit(common: str, commit: str) -> bytes:
    """The hash of a commit's tree. Raises UnknownError."""
    for objects in _object_directories(os.path.join(common, "objects"), 0):
        content = _loose(objects, commit)
        if content is None:
            content = _packed(objects, bytes.fromhex(commit), 0)
        if content is not None:
            kind, _, digest = content[: 5 + len(commit)].partition(b" ")
            if kind != b"tree":
                raise UnknownError
            return bytes.fromhex(digest.decode("latin-1"))
    raise UnknownError


def _object_directories(objects: str, depth: int) -> Iterator[str]:
    yield objects
    text = read(os.path.join(objects, "info", "alternates"), _TEXT_BYTES_MAX)
    for line in (text or b"").splitlines() if depth < _DEPTH_MAX else ():
        if line and not line.startswith(b"#"):
            yield from _object_directories(os.path.normpath(os.path.join(objects, os.fsdecode(line))), depth + 1)


def _loose(objects: str, commit: str) -> bytes | None:
    data = read(os.path.join(objects, commit[:2], commit[2:]), _COMMIT_BYTES_MAX)
    if data is None:
        return None
    kind, _, content = zlib.decompressobj().decompress(data, _COMMIT_BYTES_MAX).partition(b"\0")
    if not kind.startswith(b"commit "):
        raise UnknownError
    return content


def _packed(objects: str, digest: bytes, depth: int) -> bytes | None:
    """The content of a commit in one of the packs."""
    try:
        names = [name for name in os.listdir(os.path.join(objects, "pack")) if name.endswith(".idx")]
    except FileNotFoundError:
        return None
    for name in names[:_PACKS_MAX]:
        path = os.path.join(objects, "pack", name)
        with _Opened(path) as index:
            offset = _offset_in_pack(index, digest)
        if offset is not None:
            with _Opened(f"{path[: -len('.idx')]}.pack") as pack:
                return _unpacked(pack, offset, len(digest), objects, depth)
    return None


class _Opened:
    """A regular file, from which parts are read."""

    def __init__(self, path: str) -> None:
        self._fd = opened(path)

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def at(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)


def _offset_in_pack(index: _Opened, digest: bytes) -> int | None:
    """By an index of version 2: a table of 256 counts, the hashes in order, checksums, offsets."""
    head = index.at(0, 8 + 1024)
    magic, version, *counts = struct.unpack(">4sI256I", head)
    if magic != b"\377tOc" or version != 2:
        raise UnknownError
    size, total = len(digest), counts[255]
    low, high = counts[digest[0] - 1] if digest[0] else 0, counts[digest[0]]
    hashes = 8 + 1024
    while low < high:
        middle = (low + high) // 2
        found = index.at(hashes + middle * size, size)
        if found == digest:
            offsets = hashes + total * (size + 4)
            (offset,) = struct.unpack(">I", index.at(offsets + 4 * middle, 4))
            if offset & 0x80000000:
                (offset,) = struct.unpack(">Q", index.at(offsets + 4 * total + 8 * (offset & 0x7FFFFFFF), 8))
            return int(offset)
        low, high = (middle + 1, high) if found < digest else (low, middle)
    return None


def _unpacked(pack: _Opened, offset: int, digest_bytes: int, objects: str, depth: int) -> bytes:
    if depth > _DELTAS_MAX:
        raise UnknownError
    head = pack.at(offset, 64)
    kind, at = head[0] >> 4 & 7, 1
    while head[at - 1] & 0x80:
        at += 1
    base: bytes | None
    if kind == _COMMIT:
        base = None
    elif kind == _OFFSET_DELTA:
        back, at = number(head, at)
        base = _unpacked(pack, offset - back, digest_bytes, objects, depth + 1)
    elif kind == _HASH_DELTA:
        base = _packed(objects, head[at : at + digest_bytes], depth + 1)
        at += digest_bytes
        if base is None:
            raise UnknownError
    else:
        raise UnknownError
    content = zlib.decompressobj().decompress(pack.at(offset + at, _COMMIT_BYTES_MAX), _COMMIT_BYTES_MAX)
    return content if base is None else _patched(base, content)


def _patched(base: bytes, delta: bytes) -> bytes:
    at = 0
    for _ in range(2):  # the sizes before and after
        while delta[at] & 0x80:
            at += 1
        at += 1
    parts: list[bytes] = []
    while at < len(delta):
        code = delta[at]
        at += 1
        if not code & 0x80:
            parts.append(delta[at : at + code])
            at += code
            continue
        fields = []
        for bit in range(7):
            fields.append(delta[at] if code >> bit & 1 else 0)
            at += code >> bit & 1
        start = int.from_bytes(bytes(fields[:4]), "little")
        size = int.from_bytes(bytes(fields[4:]), "little") or 0x10000
        parts.append(base[start : start + size])
    return b"".join(parts)


def number(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable width, as of an offset in a pack; and where it ends."""
    byte = data[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = data[at]
        value = (value + 1) << 7 | byte & 0x7F
    return value, at + 1


def text_of(path: str) -> str | None:
    """The first line of a short file; None: there is no such file."""
    data = read(path, _TEXT_BYTES_MAX)
    return None if data is None else os.fsdecode(data.partition(b"\n")[0].rstrip())


def read(path: str, bytes_max: int) -> bytes | None:
    """A file's content, None without such a file. Raises UnknownError for a longer one."""
    try:
        fd = opened(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    try:
        data = b""
        while len(data) <= bytes_max and (chunk := os.read(fd, bytes_max + 1 - len(data))):
            data += chunk
    finally:
        os.close(fd)
    if len(data) > bytes_max:
        raise UnknownError
    return data


def opened(path: str | bytes) -> int:
    """Open a regular file. Raises OSError, and IsADirectoryError for what is none."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            kept, fd = fd, -1
            return kept
        raise IsADirectoryError(f"{path!r} is no regular file")
    finally:
        if fd >= 0:
            os.close(fd)


def chunks(path: bytes) -> Iterator[bytes]:
    """A file's content."""
    fd = opened(path)
    try:
        yield from rest(fd)
    finally:
        os.close(fd)


def rest(fd: int) -> Iterator[bytes]:
    """What is left of an open file."""
    while chunk := os.read(fd, CHUNK_BYTES):
        yield chunk
