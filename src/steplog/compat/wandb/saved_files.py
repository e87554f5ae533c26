"""``wandb.save`` and the folder of a run (``run.dir``): files that are kept with the run.

::

    save("ckpt/*.pt")                       kept now, as "ckpt/a.pt"
    … policy="live", as it is without       kept again when the run ends, if it has changed
    … policy="end"                          kept when the run ends alone
    a file that is written to run.dir       kept when the run ends, by its path there

1. As wandb does, ``save`` puts a link to each file into ``run.dir``, and returns its path.
2. Nothing is kept of what is outside the base path: ValueError, as wandb has it.
3. The folder is made when it is first needed, and stays.
"""

from __future__ import annotations

import glob as globbing
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

import steplog
from steplog.compat.notices import say, say_once

__all__ = ["POLICIES", "SavedFiles"]

POLICIES = ("live", "end", "now")
_Seen = tuple[int, int, int]  # inode, size, time of its last change


class SavedFiles:
    """The files of one run; ``folder`` makes ``run.dir`` and returns it."""

    def __init__(self, run: steplog.Run, folder: Callable[[], str]) -> None:
        self._run = run
        self._folder = folder
        self._made: Path | None = None
        self._kept: dict[str, _Seen | None] = {}  # by name; None: as it was is enough

    def folder(self) -> Path:
        """``run.dir``."""
        if self._made is None:
            self._made = Path(self._folder())
        return self._made

    def save(self, pattern: str, base_path: Any, policy: str, *, is_pattern: bool) -> list[str]:
        """Keep what matches; the paths of the links. Raises ValueError for what is outside the base, OSError."""
        path = PurePath(os.path.abspath(pattern))
        if base_path is not None:
            base = PurePath(os.path.abspath(base_path))
        elif PurePath(pattern).is_absolute():
            base = path.parent.parent
        else:
            base = PurePath(os.path.abspath("."))
        if not path.is_relative_to(base):
            raise ValueError("Glob may not walk above the base path")
        if path == base:
            raise ValueError("Glob cannot be the same as the base path")
        if path.relative_to(base).parts[0] == "*":
            raise ValueError("Glob may not start with '*' relative to the base path")
        found = sorted(globbing.glob(str(path))) if is_pattern else [str(path)] * os.path.lexists(path)
        files = [each for each in found if os.path.isfile(each)]
        if policy != "end" and files:
            self._run.save(files, base_path=str(base))
        links = []
        for file in files:
            name = PurePath(file).relative_to(base).as_posix()
            self._kept.pop(name, None)
            if policy == "now":
                self._kept[name] = None
            elif policy == "live" and (seen := _seen(file)) is not None:
                self._kept[name] = seen
            links.append(str(self._link(name, file)))
        return links

    def keep_as(self, name: str, path: str) -> None:
        """Keep a file now, under another name. Raises ValueError, OSError."""
        self._run.save(str(self._link(name, path)), base_path=str(self.folder()))
        self._kept[name] = None

    def _link(self, name: str, path: str) -> Path:
        link = self.folder() / name
        with suppress(OSError):  # a file system without links: it is kept anyway, or from where it is
            link.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(link) or (link.is_symlink() and os.readlink(link) != path):
                link.unlink(missing_ok=True)
                link.symlink_to(path)
        return link if os.path.lexists(link) else Path(path)

    def keep_rest(self) -> None:
        """Keep what is in ``run.dir`` and is not kept as it is now. Never raises: what is not kept is said."""
        if self._made is None:
            return
        try:
            names = {path.relative_to(self._made).as_posix(): path for path in self._files()}
            changed = {name: path for name, path in names.items() if self._has_changed(name, path)}
            if changed:
                self._run.save([str(path) for path in changed.values()], base_path=str(self._made))
                self._kept.update({name: _seen(path) for name, path in changed.items()})
        except steplog.RunFinishedError:
            say_once(f"run {self._run.name} was over before its folder {self._made} was kept")
        except (OSError, ValueError) as error:
            say(f"not all of {self._made} is kept with the run: {error}")

    def _files(self) -> list[Path]:
        assert self._made is not None  # noqa: S101 - its caller has looked
        return [Path(where, name) for where, _, names in os.walk(self._made) for name in sorted(names)]

    def _has_changed(self, name: str, path: Path) -> bool:
        if not path.is_file() or (name in self._kept and self._kept[name] is None):
            return False
        return self._kept.get(name) != _seen(path)


def _seen(path: str | Path) -> _Seen | None:
    with suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None
