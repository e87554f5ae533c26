"""The manifest of a run that is ours, in both of its places.

A change is decided under the agent's lock, and is in shared memory at once, which does not stall. The disk's copy is
owed: the keeper writes it, under no lock.

Where shared memory does not take it, the disk's copy is the only one. Until it is written the change is not ``safe``,
and what a later process would have to know of is not sent. A disk that refuses it holds up nothing: that is said, and
tried again at the next interval.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from pathlib import Path

from steplog.delivery.deferred_log import deferred_log
from steplog.errors import ConfigurationError
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths
from steplog.journal.files import Files
from steplog.journal.manifest import Manifest

__all__ = ["ManifestStore"]

_MEMORY = Files()


class ManifestStore:
    """``manifest`` is the last one; ``owed``: the disk does not have it yet."""

    def __init__(self, paths: RunPaths, manifest: Manifest, files: Files) -> None:
        self.manifest = manifest
        self.owed = paths.on_disk  # whoever delivered it before may have been killed between the two places
        self.safe = True
        self.removed = False  # nothing is written any more
        self._paths = paths
        self._files = files
        self._without: set[Path] = set()  # the places that do not have it, which is said
        self._on_disk: Manifest | None = None
        self._synced: Manifest | None = None

    def change(self, manifest: Manifest) -> None:
        """From now on it is this one."""
        self.manifest = manifest
        memory = self._paths.memory
        in_memory = memory is not None and self._put(memory, _MEMORY, manifest)
        self.owed = self._paths.on_disk
        self.safe = in_memory or not self.owed

    def lost(self) -> None:
        """Memory does not have it any more."""
        if self._paths.memory is not None:
            self._without.add(self._paths.memory)

    def retry(self) -> None:
        """An interval is over: what did not go into one of the two places goes again."""
        if self._paths.memory in self._without and self._paths.memory is not None:
            self._put(self._paths.memory, _MEMORY, self.manifest)
        self.owed |= self._paths.spool in self._without

    def write(self, lock: AbstractContextManager[object]) -> None:
        """Have on disk what is owed there."""
        with lock:
            manifest, due = self.manifest, self.owed and not self.removed
        if not due:
            return
        done = self._put(self._paths.spool, self._files, manifest)
        with lock:
            self._on_disk = manifest if done else None
            if self.manifest is manifest:
                self.owed, self.safe = False, True

    def sync(self) -> None:
        """Have what is on disk there after a power cut, too."""
        manifest = self._on_disk
        if manifest is not None and manifest is not self._synced:
            with suppress(OSError):  # at the next interval then
                self._files.sync_file(self._paths.spool / "manifest")
                self._files.sync_directory(self._paths.spool)
                self._synced = manifest

    def _put(self, directory: Path, files: Files, manifest: Manifest) -> bool:
        try:
            files.make_private(directory)  # memory's is gone after a restart of the machine
            manifests.store(directory, manifest, files)
        except (OSError, ConfigurationError) as error:
            if directory not in self._without:
                deferred_log.warning("steplog cannot write the manifest in %s: %s", directory, error)
            self._without.add(directory)
            return False
        self._without.discard(directory)
        return True
