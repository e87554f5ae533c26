"""A run's page: where it is seen in a browser."""

from __future__ import annotations

from steplog import instance
from steplog.delivery.wire import web_path
from steplog.identity import slug_of
from steplog.journal.manifest import Manifest
from steplog.settings import Settings

__all__ = ["page_of", "page_path"]


def page_path(namespace: str, project: str, run: str, name: str | None) -> str:
    """The path of a run's page: by the slug of its name, or by its uuid where the name has none."""
    return web_path(namespace, project, slug_of(name or "") or run)


def page_of(manifest: Manifest, settings: Settings) -> str | None:
    """The address of a run's page; that of the embedded server on this machine carries what a browser needs to read."""
    if not manifest.run or not manifest.base_url:
        return None
    path = page_path(manifest.namespace, manifest.project, manifest.run, manifest.name)
    local = instance.read(instance.state_path(settings.dir))
    if local is not None and local.base_url == manifest.base_url:
        return instance.page_url(local, path)
    return manifest.base_url + path
