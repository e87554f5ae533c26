"""Where a run is: its page, what is left of it on this machine, and its files that wait there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from steplog import instance
from steplog.address import local_instance
from steplog.blobs.waiting_files import WaitingFiles
from steplog.delivery.exchange import Transport
from steplog.delivery.lease import Lease
from steplog.delivery.wire import web_path
from steplog.identity import slug_of
from steplog.journal.at_exit import call_at_exit
from steplog.journal.directories import RunPaths
from steplog.journal.jsonable import NoRoomError
from steplog.journal.manifest import Manifest
from steplog.journal.open_writer import OpenWriter
from steplog.lifecycle.messages import say_once
from steplog.media_value import Content

if TYPE_CHECKING:
    from steplog.lifecycle.process import Process

__all__ = ["others_live", "places_of", "url_of", "waiting_files"]


def others_live(lease: Lease | None, own: OpenWriter) -> bool:
    """Whether a living process of this host, of those that log to the run, can deliver it."""
    journals = [] if lease is None else list(lease.outbox.journals.values())
    return any(journal is not own.journal and journal.alive for journal in journals)


def url_of(manifest: Manifest, directory: Path, transport: Transport | None) -> str | None:
    """The address of a run's page, on the server that it is sent to; ``directory`` is of the settings."""
    if not manifest.run or not manifest.base_url:
        return None
    try:
        slug = slug_of(manifest.name or "")
    except OSError:  # no descriptor is left to import slugify with; the uuid leads there, too
        slug = ""
    path = web_path(manifest.namespace, manifest.project, slug or manifest.run)
    local = instance.named(directory, manifest.base_url)
    if local is not None:
        return instance.page_url(local, path)
    server = manifest.base_url
    if local_instance(server) is not None and transport is not None:
        server = transport.base_url
    return None if local_instance(server) is not None else server + path


def places_of(paths: RunPaths, lease: Lease | None, own: OpenWriter) -> list[Path]:
    """The directories of a run's records that are left; without any its manifest's."""
    in_memory = on_disk = False
    for journal in [] if lease is None else list(lease.outbox.journals.values()):
        begin, durable = journal.begin, max(journal.begin, journal.cursor.durable)
        on_disk |= journal.census(begin, durable) > 0
        private = own.private() if journal is own.journal else 0
        in_memory |= journal.census(durable, max(durable, journal.written())) > private
    memory = [path for path in (paths.memory,) if path is not None and in_memory]
    return [*memory, *([paths.spool] if on_disk or not memory else [])]


def waiting_files(process: Process, paths: RunPaths, own: OpenWriter) -> WaitingFiles:
    """The files of a run, which ``own`` adds to."""
    writer = own.writer
    files = WaitingFiles(
        paths, writer.id.hex(), room=process.room, directory=lambda: own.directory, files=process.disk.files
    )
    files.on_kept = partial(process.agent.take_in, files)
    files.on_private = partial(call_at_exit, files.secure)
    files.on_drop, files.on_taken = writer.count_file, own.count_files
    writer.values.keep, writer.values.discard = _said_if_full(files.keep, process.settings.quiet), files.discard
    return files


def _said_if_full(keep: Callable[[Content], str], quiet: bool) -> Callable[[Content], str]:
    """``keep``, which says once, before it raises NoRoomError, that a value is dropped."""

    def kept(content: Content) -> str:
        try:
            return keep(content)
        except NoRoomError as error:
            say_once(quiet, f"images and the like are dropped, and counted: {error}; log fewer, or smaller ones")
            raise

    return kept
