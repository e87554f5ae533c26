"""The part of ``Run`` that is about files and artifacts."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from steplog.errors import (
    ArtifactNotFoundError,
    RunFinishedError,
    RunNotFoundError,
    ServerUnavailableError,
    SteplogError,
)
from steplog.lifecycle.disabled import DisabledRun
from steplog.lifecycle.messages import say_once

if TYPE_CHECKING:
    from pathlib import Path

    from steplog.blobs.entries import ArtifactEntry
    from steplog.blobs.waiting_files import WaitingFiles
    from steplog.client import TellurioClient
    from steplog.files.artifact import Artifact
    from steplog.files.chosen import Chosen
    from steplog.files.of_run import FilesOfRun
    from steplog.files.run_file import RunFile
    from steplog.lifecycle.open_run import OpenRun

__all__ = ["RunFiles"]

_METADATA_BYTES_MAX = 64 * 1024
_DESCRIPTION_CHARACTERS_MAX = 65_536
_ALIASES_MAX = 16
_LISTED_MAX = 3
_CREATION_S = 5.0  # for the server to make the run


class RunFiles:
    """Of an open run; ``_open`` opens it."""

    def _open(self, client: TellurioClient | None) -> OpenRun | DisabledRun:
        raise NotImplementedError

    def save(
        self,
        path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        base_path: str | os.PathLike[str] | None = None,
        immutable: bool = False,
    ) -> list[str]:
        """Keep a copy of files, as they are now, with the run; the names that they have there.

        Takes as long as a copy; the upload is in the background. A file that is saved again has the same name: the
        last one counts. Nothing that matches, or no room (``blob_bytes_max``), is said once and no error.

        Args:
            path: a file, a pattern such as ``"ckpt/*.pt"`` (``**`` reaches below), a directory, or several of these.
            base_path: the directory from which on files are named; None: the current one, and what is outside that is
                called by its last part.
            immutable: the file is not written to any more: link it instead of a copy, where that can be.

        Raises:
            ValueError: a file is outside ``base_path``, or is none (a pipe, a device), or they are more than 100,000.
            TypeError: what is given is no path.
            OSError: a file cannot be read.
            RunFinishedError: the run is finished.
        """
        from steplog.files.chosen import chosen_to_save

        chosen = chosen_to_save(path, base_path)
        opened, waiting = self._waiting()
        for text in chosen.unmatched:
            say_once(opened.settings.quiet, f"save({text!r}): no file is found; nothing is kept")
        if waiting is None:
            _say_left_out(opened, chosen)
            return list(chosen.files)
        kept = []
        for name, file in list(chosen.files.items()):
            try:
                if _has_room(opened, partial(waiting.save, file, name, immutable=immutable)):
                    kept.append(name)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and str(error.filename) != str(file):
                    raise
                chosen.leave_out(name, error)
        _say_left_out(opened, chosen)
        return kept

    def log_artifact(
        self,
        path: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
        name: str | None = None,
        type: str = "artifact",  # noqa: A002 - as it is called everywhere
        aliases: str | Iterable[str] = (),
        *,
        description: str | None = "",
        metadata: Mapping[str, Any] | None = None,
        immutable: bool = False,
    ) -> Artifact:
        """Keep a copy of files, as they are now, as the next version of an artifact.

        Takes as long as a copy; the upload is in the background, and ``wait`` of what is returned waits for it. Files
        equal to those of the last version are that version. No room is said once and no error: nothing is kept then.

        Args:
            path: a file, a directory, or a mapping of names in the artifact to these.
            name: 1 to 128 letters, digits, ".", "_" and "-"; None: as the file or the directory is called.
            type: what it is, such as "model" or "dataset".
            aliases: names that are to mean this version from now on, such as "best"; "latest" always does.
            description: free text.
            metadata: of JSON values, 64 KiB at most.
            immutable: the files are not written to any more: link them instead of a copy, where that can be.

        Raises:
            ValueError, TypeError: a name, an alias or metadata is wrong; it is no file, or more than 100,000.
            FileNotFoundError, OSError: a file is not there, or cannot be read.
            RunFinishedError: the run is finished.
        """
        from steplog.files.artifact import Artifact
        from steplog.files.chosen import chosen_for_artifact

        chosen = chosen_for_artifact(path)
        entry = _entry(path, name, type, aliases, description, metadata, chosen)
        opened, waiting = self._waiting()
        if waiting is None or isinstance(opened, DisabledRun):
            _say_left_out(opened, chosen)
            return Artifact(entry)
        files = list(chosen.files.items())
        keep = partial(waiting.save_artifact, entry, files, immutable=immutable, on_gone=chosen.leave_out)
        has_room = _has_room(opened, keep)
        _say_left_out(opened, chosen)
        if not has_room:
            return Artifact(entry)
        from steplog.lifecycle.run_files import AwaitedArtifact

        return Artifact(entry, AwaitedArtifact(opened, entry.id, entry.name))

    def use_artifact(self, name: str) -> Artifact:
        """A version of an artifact, which the server then knows this run to use.

        Args:
            name: ``"NAME"`` (the latest), ``"NAME:v3"``, ``"NAME:ALIAS"``, with ``"PROJECT/"`` before it for another
                project. The latest that this run has logged and its server has yet to get is found, too.

        Raises:
            ArtifactNotFoundError, ProjectNotFoundError: there is none.
            ServerUnavailableError: there is no server to ask, or it does not answer.
            SteplogError: the server keeps no artifacts.
            InvalidAPIKeyError, ValueError: the key is wrong; it is no such name.
        """
        from steplog.files.artifact import LATEST, Artifact, parsed

        wanted, opened = parsed(name), self._open(None)
        if isinstance(opened, DisabledRun):
            raise ArtifactNotFoundError(
                f"this run is disabled, and has no artifact {name!r}: "
                "it asks no server, as steplog.artifact(project, name) does"
            )
        from steplog.lifecycle.run_files import AwaitedArtifact, project_of, waiting_artifact

        arrived = None
        if not wanted.project and (entry := waiting_artifact(opened, wanted)) is not None:
            awaited = AwaitedArtifact(opened, entry.id, entry.name)
            with contextlib.suppress(SteplogError):
                arrived = awaited.arrived(0)
            if arrived is None:
                return Artifact(entry, awaited)
        if not opened.manifest.run and opened.transport is not None:
            opened.flush(_CREATION_S)  # the run is made meanwhile, whose use is to be noted
        there = project_of(opened, wanted.namespace, wanted.project)
        if there is None:
            where = "is not on this machine, and this run has no server to ask (offline, or none is configured)"
            raise ServerUnavailableError(f"the artifact {name!r} {where}; open an online run")
        found = arrived or there.artifact(wanted.name, wanted.version or LATEST)
        uuid, is_here = opened.manifest.run, not wanted.project
        if uuid and is_here:
            try:
                there.note_use(uuid, wanted.name, found.facts.version)
            except (ServerUnavailableError, RunNotFoundError) as error:
                say_once(opened.settings.quiet, f"that this run uses {wanted.name} is not noted: {error}")
        return Artifact(found=found)

    def files(self, prefix: str = "", *, logged: bool = False) -> list[RunFile]:
        """The saved files of the run, by path: what its server has, and what waits on this machine.

        Args:
            prefix: those whose path begins so.
            logged: the files of values that were logged, too.

        Raises ServerUnavailableError, InvalidAPIKeyError, RunNotFoundError.
        """
        found = self._files()
        return [] if found is None else found.files(prefix, logged=logged)

    def file(self, which: str | Mapping[str, Any]) -> RunFile:
        """A file of the run: by its path, its id, or the value of the history that names it.

        Raises RunFileNotFoundError, and as ``files``.
        """
        from steplog.errors import RunFileNotFoundError

        found = self._files()
        if found is None:
            raise RunFileNotFoundError("this run is disabled, and has no files")
        return found.file(which)

    def _files(self) -> FilesOfRun | None:
        opened = self._open(None)
        if isinstance(opened, DisabledRun):
            return None
        from steplog.files.of_run import FilesOfRun
        from steplog.lifecycle.run_files import project_of, taken_in

        manifest = opened.manifest
        server = project_of(opened) if manifest.run else None
        tell = partial(say_once, opened.settings.quiet)
        return FilesOfRun([taken_in(opened)], server, manifest.run, opened.name(), tell)

    def _waiting(self) -> tuple[OpenRun | DisabledRun, WaitingFiles | None]:
        """What keeps files; None: nothing is kept. Raises RunFinishedError."""
        opened = self._open(None)
        if isinstance(opened, DisabledRun):
            return opened, None
        if opened.ends():
            raise RunFinishedError("the run is finished and takes no more files; attach(uuid, owner=True) resumes it")
        return opened, opened.files


def _entry(
    path: Any,
    name: str | None,
    kind: str,
    aliases: str | Iterable[str],
    description: str | None,
    metadata: Mapping[str, Any] | None,
    chosen: Chosen,
) -> ArtifactEntry:
    """Raises TypeError, ValueError."""
    from steplog.blobs.entries import ArtifactEntry
    from steplog.files import artifact

    if name is None and isinstance(path, Mapping):
        raise ValueError("an artifact of several files needs a name: name=…")
    if not chosen.files:
        raise ValueError("an artifact has at least one file; there is none")
    called = artifact.name_for(os.fspath(path)) if name is None else artifact.checked_name(name)
    wanted = (aliases,) if isinstance(aliases, str) else tuple(dict.fromkeys(aliases))
    if len(wanted) > _ALIASES_MAX:
        raise ValueError(f"a version has at most {_ALIASES_MAX} aliases, not {len(wanted)}")
    description = description or ""
    if len(description) > _DESCRIPTION_CHARACTERS_MAX:
        raise ValueError(f"a description is a text of at most {_DESCRIPTION_CHARACTERS_MAX:,} characters")
    return ArtifactEntry(
        id=secrets.token_hex(16),
        name=called,
        type=artifact.checked_type(kind),
        count=len(chosen.files),
        size=sum(_size(file) for file in chosen.files.values()),
        aliases=tuple(alias for alias in map(artifact.checked_alias, wanted) if alias != artifact.LATEST),
        description=description,
        metadata=_as_json(metadata),
        time=time.time_ns(),
    )


def _as_json(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """As it is kept; values as ``log`` keeps them. Raises TypeError, ValueError."""
    from steplog.journal.values import Values

    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata is a mapping, not {type(metadata).__name__}")
    kept = Values(_METADATA_BYTES_MAX, strict=True).plain(dict(metadata))
    return dict(json.loads(json.dumps(kept)))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # it is said where it is copied


def _has_room(opened: OpenRun | DisabledRun, keep: Callable[[], object]) -> bool:
    """Whether what ``keep`` copies was taken; that there is no room for it is said once."""
    from steplog.journal.jsonable import NoRoomError

    try:
        keep()
    except NoRoomError as error:
        words = str(error) or "there is no room for more files of runs (blob_bytes_max)"
        say_once(opened.settings.quiet, f"files are not kept, and counted as dropped: {words}; the training goes on")
        return False
    return True


def _say_left_out(opened: OpenRun | DisabledRun, chosen: Chosen) -> None:
    if chosen.left_out:
        some = "; ".join(f"{path}: {why}" for path, why in list(chosen.left_out.items())[:_LISTED_MAX])
        more = len(chosen.left_out) - _LISTED_MAX
        say_once(opened.settings.quiet, f"files are left out: {some}{f'; and {more:,} more' if more > 0 else ''}")
