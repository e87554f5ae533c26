"""``Folder``: a directory of the user's that files are put into.

::

    <root>/<path>                                  a file; whoever finds it finds it whole
    <root>/<folder of path>/.steplog-<hash>.part   what has come of it; the next download goes on from there

1. Paths come from a server: they are relative, and checked here. Below the root no link is followed: a directory that
   is a link is an error, and a file that is one is replaced, not what it leads to. The root may be below a link.
2. A file is there under its name once its SHA-256 is right. One that is there with that hash is not fetched.
3. Two downloads of one content at a time: the second makes a part of its own, which it removes.
4. Where a file system takes ``A`` and ``a`` for one name, as macOS's does, the second is refused, and the first stays.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import stat
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from steplog.blobs.entries import checked_path
from steplog.errors import FormatError
from steplog.files.content import Content, WrongContentError
from steplog.printable import printable

__all__ = ["Folder"]

_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | _NO_LINK
_PIECE_BYTES = 1024 * 1024
_LINKS = (errno.ELOOP, errno.ENOTDIR)


class Folder:
    """The directory ``root``, which is made when the first file is put."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(
        self, path: str, content: Content, *, replace: bool, arrived: Callable[[int], None] = lambda count: None
    ) -> Path:
        """Have a file with this content at ``path``; where it is. ``arrived`` is told of bytes that are here.

        Raises FormatError for a path that leads elsewhere, FileExistsError for a file that is there and is not to be
        replaced, OSError, WrongContentError, and as ``Content.pieces``.
        """
        try:
            parts = checked_path(path).split("/")
        except ValueError as error:
            raise FormatError(printable(f"the server names {error}")) from None
        directory = self._directory(parts[:-1])
        try:
            content.ask()
            found = _same(directory, parts[-1], content)
            if found:
                arrived(content.size or 0)
            elif found is False and not _is_called(directory, parts[-1]):
                words = "a file is there whose name differs by the case of letters alone; choose another root for one"
                raise FileExistsError(errno.EEXIST, words, str(self._root / path))
            elif found is False and not replace:
                words = "there is another file of this name; pass replace=True, or another root"
                raise FileExistsError(errno.EEXIST, words, str(self._root / path))
            else:
                self._fetch(directory, parts[-1], content, arrived)
        except OSError as error:
            if error.filename is None or isinstance(error.filename, int):
                error.filename = str(self._root / path)
            raise
        finally:
            os.close(directory)
        return self._root / path

    def _directory(self, names: list[str]) -> int:
        """The descriptor of a directory below the root, which is made."""
        self._root.mkdir(parents=True, exist_ok=True)
        directory, place = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), self._root
        try:
            for name in names:
                place = place / name
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=directory)
                above, directory = directory, os.open(name, _DIRECTORY, dir_fd=directory)
                os.close(above)
        except OSError as error:
            os.close(directory)
            error.filename = str(place)
            if error.errno in _LINKS:
                words = "not a directory, or a link, which is not followed; choose another root"
                raise NotADirectoryError(errno.ENOTDIR, words, str(place)) from None
            raise
        return directory

    def _fetch(self, directory: int, name: str, content: Content, arrived: Callable[[int], None]) -> None:
        part, part_name = _open_part(directory, content.sha256)
        try:
            with open(part, "r+b", buffering=0) as file:
                try:
                    _fill(file.fileno(), content, arrived)
                except WrongContentError:
                    os.unlink(part_name, dir_fd=directory)
                    raise
                os.rename(part_name, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            if part_name.endswith(".own"):  # nobody would go on with it
                with suppress(OSError):
                    os.unlink(part_name, dir_fd=directory)
            raise


def _same(directory: int, name: str, content: Content) -> bool | None:
    """Whether the file that is there has the content; None: there is none. A link is another file."""
    try:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a directory is in the place of the file; choose another root", name)
    if not stat.S_ISREG(there.st_mode) or there.st_size != content.size:
        return False
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK, dir_fd=directory)
    try:
        return _digest(descriptor).hexdigest() == content.sha256
    finally:
        os.close(descriptor)


def _is_called(directory: int, name: str) -> bool:
    """Whether the entry that is found under this name is called so; its normal form is the file system's."""
    return any(_composed(each) == _composed(name) for each in os.listdir(directory))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _open_part(directory: int, sha256: str) -> tuple[int, str]:
    """The part of this content, locked, and its name; one of its own where another process has that."""
    name = f".steplog-{sha256[:32]}.part"
    flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | _NO_LINK
    with suppress(OSError):
        descriptor = os.open(name, flags, 0o666, dir_fd=directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened, there = os.fstat(descriptor), os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISREG(opened.st_mode) and opened.st_nlink == 1 and os.path.samestat(opened, there):
                return descriptor, name
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    name = f".steplog-{secrets.token_hex(16)}.own"
    return os.open(name, flags | os.O_EXCL, 0o666, dir_fd=directory), name


def _fill(descriptor: int, content: Content, arrived: Callable[[int], None]) -> None:
    """Complete a part; one that begins wrong, as after a power cut, from its beginning. Raises WrongContentError."""
    size = content.size or 0
    if os.fstat(descriptor).st_size > size:
        os.ftruncate(descriptor, 0)
    begun = _completed(descriptor, content, size, arrived)
    if begun:
        arrived(-size)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        begun = _completed(descriptor, content, size, arrived)
    if begun is not None:
        raise WrongContentError(f"the content is not what it should be (SHA-256 {content.sha256}); try again")


def _completed(descriptor: int, content: Content, size: int, arrived: Callable[[int], None]) -> int | None:
    """None: it is right now; else how many bytes of the wrong whole were there before."""
    digest = _digest(descriptor)
    begun = at = os.lseek(descriptor, 0, os.SEEK_CUR)
    arrived(at)
    for piece in content.pieces(at) if at < size else ():
        digest.update(piece)
        _write(descriptor, piece)
        at += len(piece)
        arrived(len(piece))
    return None if at == size and digest.hexdigest() == content.sha256 else begun


def _write(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def _digest(descriptor: int) -> hashlib._Hash:
    """Of what is in a file, which is read to its end."""
    digest = hashlib.sha256()
    while piece := os.read(descriptor, _PIECE_BYTES):
        digest.update(piece)
    return digest
