"""Joining a run that exists: its manifest on this host, and how it is opened by that or by its names."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from steplog.errors import ConfigurationError, FormatError
from steplog.journal import manifest as manifests
from steplog.journal.directories import derived_local_id
from steplog.journal.manifest import Generation, Manifest
from steplog.lifecycle.open_run import OpenRun
from steplog.lifecycle.process import current

if TYPE_CHECKING:
    from steplog.client import TellurioClient

__all__ = ["find_manifest", "join"]


def find_manifest(uuid: str) -> Manifest | None:
    """The manifest of a run that has a journal on this host; that of another run may be damaged.

    Until a server has made a run, its local id is its uuid.
    """
    process = current()
    process.find_memory()
    for paths in process.roots.runs():
        with contextlib.suppress(FormatError):
            manifest = manifests.load(paths.manifest())
            if manifest is not None and uuid in (manifest.run, manifest.local_id):
                return manifest
    return None


def join(
    uuid: str,
    namespace: str,
    project: str,
    name: str | None,
    client: TellurioClient | None,
    *,
    found: Manifest | None,
    owner: bool,
    key: str = "",
    begins: bool = True,
) -> OpenRun:
    """Open a run that is on the server, by its manifest on this host, ``found``, or by these names.

    ``owner``, ``begins``: as ``OpenRun``.
    """
    from steplog.client import get_default_client
    from steplog.given_client import as_client

    client = None if client is None else as_client(client)
    if not uuid:
        raise ValueError("Run object is missing required identifiers.")
    if found is not None:
        client = client or _client_of(found)
        return OpenRun(found, None if client is None else client.transport, owner=owner, begins=begins)
    client = client or get_default_client()
    manifest = Manifest(
        local_id=derived_local_id(client.settings.url, namespace, project, uuid),
        base_url=client.settings.url,
        account=client.account.username if client.account is not None else "",
        namespace=namespace,
        project=project,
        run=uuid,
        name=name or "",
        key=key,
        generations=(Generation(maker="", began=time.time_ns()),),
    )
    return OpenRun(manifest, client.transport, owner=owner, begins=begins)


def _client_of(manifest: Manifest) -> TellurioClient | None:
    """The way to the server of a run that is here; None: it stays here, as one that was begun offline does."""
    from steplog.client import client_for, get_default_client, later_client

    settings = current().settings
    if manifest.mode == "offline":
        return None
    if manifest.base_url:
        return client_for(settings, manifest.base_url) or later_client(settings, manifest.base_url)
    with contextlib.suppress(ConfigurationError):
        return get_default_client()
    return None
