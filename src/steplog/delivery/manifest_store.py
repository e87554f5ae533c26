"""The manifest of a run on lease, in shared memory and on disk.

A change is in shared memory at once. The disk's copy is owed: maintenance writes it, under no lock. Where there is no
shared memory, the change is not ``safe`` until the disk has it, and nothing is sent that a later process must know of.
A disk that refuses it holds up nothing: that is logged, and tried again at the next interval.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from pathlib import Path

from steplog.delivery.deferred_log import deferred_log
from steplog.descriptors import OUT_OF
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
        """Store this one."""
        self.manifest = manifest
        memory = self._paths.memory
        in_memory = memory is not None and self._put(memory, _MEMORY, manifest)
        self.owed = self._paths.on_disk
        self.safe = in_memory or not self.owed

    def lost(self) -> None:
        """Shared memory has lost it."""
        if self._paths.memory is not None:
            self._without.add(self._paths.memory)

    def retry(self) -> None:
        """Store again what one of the two places refused."""
        if self._paths.memory in self._without and self._paths.memory is not None:
            self._put(self._paths.memory, _MEMORY, self.manifest)
        self.owed |= self._paths.spool in self._without

    def write(self, lock: AbstractContextManager[object]) -> None:
        """Write to disk what is owed."""
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
        """Make the disk's copy survive a power cut."""
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
            out_of = isinstance(error, OSError) and error.errno in OUT_OF  # which is said once for all
            if directory not in self._without and not out_of:
                deferred_log.warning("steplog cannot write the manifest in %s: %s", directory, error)
            self._without.add(directory)
            return False
        self._without.discard(directory)
        return True
