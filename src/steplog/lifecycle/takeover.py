"""A takeover: this process takes up a run whose owner is gone, and which another process delivers."""

from __future__ import annotations

import contextlib
import logging
import time

from msgspec import structs

from steplog.delivery.doorbell import RING_INTERVAL_S, Doorbell
from steplog.errors import FormatError
from steplog.journal import manifest as manifests
from steplog.journal.directories import RunPaths, new_id
from steplog.journal.manifest import Manifest, Takeover
from steplog.lifecycle.journal_view import is_living

__all__ = ["OwnTakeover", "has_living_owner", "stored_status"]

_LOOK_S = 0.02
_ANSWER_S = 2.0  # until then the holder of the lock has seen a takeover, if it is well
_log = logging.getLogger("steplog")


def has_living_owner(paths: RunPaths) -> bool:
    """Whether a living process of this host decides the status of a run."""
    manifest = _stored(paths)
    return manifest is not None and bool(manifest.owner) and is_living(paths, manifest.owner)


def stored_status(paths: RunPaths) -> str | None:
    """The status that a process of this host has decided; None: none has, or nothing is here any more."""
    manifest = _stored(paths)
    return None if manifest is None else manifest.status


def _stored(paths: RunPaths) -> Manifest | None:
    with contextlib.suppress(FormatError, ImportError):  # the interpreter may be at its end, and open nothing any more
        return manifests.load(paths.manifest())
    return None


class OwnTakeover:
    """Of one writer of this process; ``made`` says whether it could be left where the run is."""

    def __init__(self, paths: RunPaths, writer: str) -> None:
        self._paths = paths
        self._doorbell = Doorbell(paths.memory)
        self._takeover = Takeover(writer=writer, maker=new_id(), began=time.time_ns())
        self.made = self._put()
        self._doorbell.ring()

    def end(self, status: str) -> None:
        """Leave the status with it; whoever delivers the run sends it after the records."""
        self._takeover = structs.replace(self._takeover, status=status, ended=time.time_ns())
        self._put()

    def settled(self) -> bool:
        """Whether the status that was left is set on the server."""
        manifest = _stored(self._paths)
        return (
            manifest is not None
            and manifest.owner == self._takeover.writer
            and manifest.status_sent
            and manifest.status == self._takeover.status
        )

    def wait(self, deadline: float) -> bool:
        """Wait until ``settled``, or until ``deadline`` on the monotonic clock; whether it is."""
        ring_at, refused_at = 0.0, time.monotonic() + _ANSWER_S
        while not (settled := self.settled()) and (now := time.monotonic()) < deadline:
            if now >= refused_at and self._is_anothers():
                name = self._paths.local_id[:8]
                _log.warning("steplog: run %s has its owner in another process; its status is not changed.", name)
                break
            if now >= ring_at:
                ring_at = now + RING_INTERVAL_S
                self._doorbell.ring(self._takeover.ended)
            time.sleep(_LOOK_S)
        return settled

    def _is_anothers(self) -> bool:
        """Whether another process took the run over at the same time, and was first."""
        manifest = _stored(self._paths)
        is_own = manifest is None or manifest.owner == self._takeover.writer
        return not is_own and has_living_owner(self._paths)

    def _put(self) -> bool:
        try:
            manifests.put_takeover(self._paths.manifest(), self._takeover)
        except OSError as error:
            _log.warning("steplog cannot take up the run: %s; another process decides its status.", error)
            return False
        return True
