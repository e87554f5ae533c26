"""The files of a run that is read: on its server, and on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from steplog.blobs.waiting_files import WaitingFiles
from steplog.errors import FormatError
from steplog.files.of_run import FilesOfRun
from steplog.files.requests import ProjectRequests
from steplog.files.server_files import ServerFiles
from steplog.journal import manifest as manifests
from steplog.lifecycle.messages import say_once
from steplog.lifecycle.process import current
from steplog.naming import Named

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["files_of", "server_files"]


def server_files(client: TellurioClient, namespace: str, project: str) -> ServerFiles:
    """The files and artifacts of a project."""
    return ServerFiles(ProjectRequests(client.transport, namespace, project))


def files_of(names: Named, client: TellurioClient | None) -> FilesOfRun:
    """Of the run of these names; ``client`` of its server, None: it is on none."""
    server = None if client is None else server_files(client, names.namespace, names.project)
    uuid = "" if client is None else names.uuid
    return FilesOfRun(
        list(_waiting(names.uuid)), server, uuid, names.name or names.uuid, partial(say_once, current().settings.quiet)
    )


def _waiting(uuid: str) -> Iterator[WaitingFiles]:
    """Where files of a run, of this uuid or local id, wait on this machine."""
    process = current()
    process.find_memory()
    for paths in (*process.roots.runs(), *process.roots.of_other_hosts()):
        with suppress(FormatError, OSError):
            manifest = manifests.load(paths.manifest())
            if manifest is not None and uuid in (manifest.run, manifest.local_id):
                yield WaitingFiles(paths)
