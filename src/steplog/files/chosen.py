"""Which files a path, a pattern or a directory means, and what they are called in a run or an artifact.

::

    given                      files                                        called
    a file                     it                                           its path below the base
    a pattern ("ckpt/*.pt")    the files that match; "**" reaches below,    the same
                               not through links
    a directory                all below it                                 the same; in an artifact, from it on
    a mapping {name: path}     its files, or all below its directories      as it says

The base is the directory that is given, else the current one; what is outside that is called by its last part.

A link that is given is followed. One below a directory is followed to a regular file inside that directory, else left
out (``Chosen.left_out``), as is what is no regular file there: a pipe, a socket, a device. So is what a pattern or a
directory has had, and is gone or cannot be opened when it is copied.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steplog.blobs.entries import checked_path
from steplog.printable import printable

__all__ = ["FILES_MAX", "Chosen", "chosen_for_artifact", "chosen_to_save"]

FILES_MAX = 100_000
_PatternOrPath = str | os.PathLike[str]


@dataclass
class Chosen:
    """Files by what they are called, and what was left out, by its path with why; ``named``: one by one."""

    files: dict[str, Path] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)

    def add(self, name: str, path: str, *, named: bool) -> None:
        """Raises ValueError for two files of one name, one too many, and a bad name that was ``named``.

        Another one with a bad name is left out.
        """
        try:
            name.encode()  # a UnicodeEncodeError is a ValueError
            checked_path(name)
        except ValueError as error:
            if named:
                raise ValueError(f"{printable(repr(path)[:200])} cannot be kept: {error}") from None
            self.left_out[printable(repr(path)[:200])] = "no server takes its name"
            return
        known = self.files.setdefault(name, Path(path))
        if str(known) != str(Path(path)):
            words = f"{known} and {path} would both be called {name!r}"
            raise ValueError(f"{words}; pass base_path, the directory from which on they are named")
        if len(self.files) > FILES_MAX:
            raise ValueError(f"more than {FILES_MAX:,} files; make an archive of them, and keep that")
        if named:
            self.named.add(name)

    def leave_out(self, name: str, error: OSError | ValueError) -> None:
        """A file cannot be copied. Raises the error if it was named: it is not missing by chance then."""
        if name in self.named:
            raise error
        words = getattr(error, "strerror", None) or "no regular file any more"
        self.left_out[str(self.files.pop(name))] = words


def chosen_to_save(given: Any, base_path: Any = None) -> Chosen:
    """For ``run.save``: paths and patterns, one or several.

    Raises TypeError; ValueError for a file outside ``base_path``, what is no regular file, and as ``Chosen.add``.
    """
    found, base = Chosen(), None if base_path is None else os.path.abspath(_path(base_path))
    for text in map(_path, given if isinstance(given, (list, tuple, set, frozenset)) else [given]):
        matches = [text] if os.path.lexists(text) else sorted(set(_matches(text)))
        before = len(found.left_out)
        kept = 0
        for match in matches:
            if match != text and (os.path.isdir(match) or not _is_there(match, found)):
                continue  # a pattern means files
            for path in _files_of(match, found):
                found.add(_name_of(path, base), path, named=path == text)
                kept += 1
        if not kept and len(found.left_out) == before:  # directories alone, or nothing at all
            found.unmatched.append(text)
    return found


def chosen_for_artifact(given: Any) -> Chosen:
    """For ``run.log_artifact``: a file, a directory, or a mapping of names to either.

    Raises TypeError, FileNotFoundError, ValueError as ``chosen_to_save``.
    """
    found = Chosen()
    pairs = list(given.items()) if isinstance(given, Mapping) else [(None, given)]
    for name, each in pairs:
        path = _path(each)
        if name is not None and not isinstance(name, str):
            raise TypeError(f"the name of a file in an artifact is a str, not {type(name).__name__}")
        if not os.path.isdir(path):
            for file in _files_of(path, found):
                found.add(os.path.basename(os.path.abspath(path)) if name is None else name, file, named=True)
            continue
        before = f"{name.rstrip('/')}/" if name else ""
        for file in _files_of(path, found):
            found.add(before + _slashes(os.path.relpath(file, path)), file, named=False)
    return found


def _path(given: Any) -> str:
    if not isinstance(given, (str, os.PathLike)) or isinstance(path := os.fspath(given), bytes):
        raise TypeError(f"a file is named by a str or a path, not {type(given).__name__}")
    if "://" in path:
        raise ValueError(f"{printable(path, 200)}: files of this machine are kept; copy it here first")
    if "\0" in path:
        raise ValueError("a path has no NUL in it")
    return path


def _name_of(path: str, base: str | None) -> str:
    whole = os.path.abspath(path)
    name = os.path.relpath(whole, os.getcwd() if base is None else base)
    if name == os.pardir or name.startswith(os.pardir + os.sep):
        if base is not None:
            raise ValueError(f"{printable(path, 500)} is not below base_path, {printable(base, 500)}")
        name = os.path.basename(whole)
    return _slashes(name)


def _slashes(path: str) -> str:
    return path.replace(os.sep, "/")


def _matches(pattern: str) -> Iterator[str]:
    """What matches. ``glob`` itself follows links for "**": almost without end, where some lead back."""
    parts = pattern.split("/")
    if "**" not in parts:
        yield from glob.iglob(pattern)
        return
    at = parts.index("**")
    top, after = "/".join(parts[:at]) or ("/" if at else ""), parts[at + 1 :]
    for above in glob.iglob(f"{top.rstrip('/')}/") if top else [""]:
        for place, directories, _ in os.walk(above or os.curdir):
            directories[:] = [name for name in directories if not name.startswith(".")]
            inside = os.path.join(above, os.path.relpath(place, above or os.curdir))
            yield from _matches("/".join([glob.escape(os.path.normpath(inside)), *(after or ["*"])]))


def _is_there(path: str, found: Chosen) -> bool:
    """Whether what a pattern matches leads to something; else it is left out."""
    try:
        os.stat(path)
    except OSError as error:
        found.left_out[path] = error.strerror or "it cannot be read"
        return False
    return True


def _files_of(path: str, found: Chosen) -> Iterator[str]:
    """The file, or those below the directory. Raises ValueError for what is neither, OSError if it is not there."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        yield from _below(path, found)
    elif stat.S_ISREG(mode):
        yield path
    else:
        raise ValueError(f"{printable(path, 500)} is no regular file; only files and directories are kept")


def _below(top: str, found: Chosen) -> Iterator[str]:
    real = os.path.realpath(top)

    def note(error: OSError) -> None:
        found.left_out[str(error.filename)] = error.strerror or "it cannot be read"

    for place, directories, names in os.walk(top, onerror=note):
        directories.sort()
        links = [name for name in directories if os.path.islink(os.path.join(place, name))]
        for path in _joined(place, (*links, *sorted(names))):
            why = _why_not(path, real)
            if why:
                found.left_out[path] = why
            else:
                yield path


def _joined(place: str, names: Iterable[str]) -> Iterator[str]:
    return (os.path.join(place, name) for name in names)


def _why_not(path: str, real_top: str) -> str:
    """Why a file below a directory is left out; "" if it is not."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.strerror or "it cannot be read"
    if os.path.islink(path):
        if not os.path.realpath(path).startswith(os.path.join(real_top, "")):
            return "a link that leads out of the directory"
        if stat.S_ISDIR(mode):
            return "a link to a directory, which is not followed"
    return "" if stat.S_ISREG(mode) else "no regular file"
