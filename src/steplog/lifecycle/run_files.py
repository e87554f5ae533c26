"""The files and artifacts of a run that is open here, and of its project on the server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from steplog.blobs.entries import ArtifactEntry
from steplog.blobs.waiting_files import WaitingFiles
from steplog.errors import ServerUnavailableError, SteplogError
from steplog.files.artifact import LATEST, ArtifactName
from steplog.files.of_run import waiting_file
from steplog.files.requests import ProjectRequests
from steplog.files.run_file import RunFile
from steplog.files.server_files import FoundArtifact, ServerFiles
from steplog.identity import slug_of
from steplog.lifecycle.open_run import OpenRun
from steplog.lifecycle.process import current

__all__ = ["AwaitedArtifact", "project_of", "taken_in", "waiting_artifact"]

_ASK_INTERVAL_S = 0.25
_ASK_INTERVAL_MAX_S = 4.0


def project_of(opened: OpenRun, namespace: str = "", project: str = "") -> ServerFiles | None:
    """Its project, or another one, on its server; None: there is no server to ask."""
    manifest, transport = opened.manifest, opened.transport
    if transport is None:
        with contextlib.suppress(SteplogError, OSError, ImportError):
            transport = current().adopter.configured_transport(manifest)
    namespace = slug_of(namespace) if namespace else manifest.namespace
    if transport is None or not namespace:
        return None
    return ServerFiles(ProjectRequests(transport, namespace, slug_of(project) if project else manifest.project))


def taken_in(opened: OpenRun) -> WaitingFiles:
    """Its files on this machine, with those that this process has just copied."""
    while opened.files.take_in():
        pass
    return opened.files


def waiting_artifact(opened: OpenRun, wanted: ArtifactName) -> ArtifactEntry | None:
    """The last of this name and alias that waits on this machine. A version has no number before the server has it."""
    found = None
    for entry, _ in taken_in(opened).artifacts():
        if entry.name == wanted.name and (wanted.version or LATEST) in (LATEST, *entry.aliases):
            found = entry
    return found


class AwaitedArtifact:
    """A version that ``opened`` has logged; see ``Awaited``."""

    def __init__(
        self,
        opened: OpenRun,
        entry_id: str,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._opened = opened
        self._id, self._name = entry_id, name
        self._clock, self._sleep = clock, sleep

    def files(self) -> list[RunFile]:
        """See ``Awaited``."""
        waiting = taken_in(self._opened)
        for entry, files in waiting.artifacts():
            if entry.id == self._id:
                folder = Path("artifacts", f"{self._name}-new")
                return [waiting_file(waiting, each, folder) for each in files if waiting.has(each.sha256)]
        return []

    def arrived(self, timeout_s: float | None) -> FoundArtifact | None:
        """See ``Awaited``."""
        timeout_s = self._opened.settings.finish_timeout_s if timeout_s is None else timeout_s
        deadline, interval_s = self._clock() + timeout_s, _ASK_INTERVAL_S
        while True:
            if timeout_s > 0:
                self._opened.flush(max(0.0, deadline - self._clock()))
            found = self._asked()
            left_s = deadline - self._clock()
            is_kept = self._opened.lease is not None and self._opened.transport is None  # nobody sends it now
            if found is not None or left_s <= 0 or is_kept:
                return found
            self._sleep(min(interval_s, left_s))
            interval_s = min(2 * interval_s, _ASK_INTERVAL_MAX_S)

    def _asked(self) -> FoundArtifact | None:
        there = project_of(self._opened)
        if there is None or not self._opened.manifest.run:
            return None
        with contextlib.suppress(ServerUnavailableError):
            for version in there.artifacts(id=self._id):
                if version.name == self._name and version.present >= version.count:
                    return there.artifact(version.name, f"v{version.version}")
        return None
