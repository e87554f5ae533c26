"""Artifacts in a log of wandb's, whose files are where it staged them on this machine.

     8  artifact  4 type, 5 name, 7 description, 8 metadata (JSON), 11 aliases, 12 manifest: 4 contents:
                  1 path, 2 digest (MD5 in base64), 3 ref, 6 local_path

A log may name any file of this machine, so one is read only where its MD5 is the one in the log: who wrote that had its
content. What wandb makes by itself of tables and jobs is left out. An artifact whose files are not all there is left
out as a whole, by whoever imports it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO

import msgspec

from steplog.blobs.entries import ArtifactEntry, FileEntry, checked_path, known_suffix
from steplog.errors import FormatError
from steplog.formats.imported import ImportedArtifact, ImportedFile
from steplog.formats.local_files import file_id
from steplog.formats.protobuf import fields, text_of

__all__ = ["ARTIFACT", "artifact_of"]

ARTIFACT = 8  # the number of the record
_OWN_TYPES = ("run_table", "job", "wandb-history")
_BAD = re.compile(r"[^A-Za-z0-9._-]+")
_PIECE_BYTES = 1024 * 1024
_DEFAULT_ALIASES = ("latest",)


def artifact_of(content: bytes, key: str) -> ImportedArtifact | None:
    """The artifact of a record; ``key`` tells the log and its place there. None: one of wandb's own.

    Raises FormatError for a damaged record.
    """
    texts: dict[int, str] = {}
    aliases: list[str] = []
    manifest = b""
    for number, _, data in fields(content):
        if number in (4, 5, 7, 8):
            texts[number] = text_of(data)
        elif number == 11:
            aliases.append(text_of(data))
        elif number == 12:
            manifest = data
    name = _BAD.sub("-", texts.get(5, "")).strip(".-")[:128]
    if not name or texts.get(4, "") in _OWN_TYPES:
        return None
    entry = ArtifactEntry(
        id=file_id("wandb", key, "artifact", name),
        name=name,
        type=texts.get(4, "")[:64].strip() or "artifact",
        aliases=tuple(alias for alias in map(_alias, aliases) if alias and alias not in _DEFAULT_ALIASES)[:16],
        description=texts.get(7, ""),
        metadata=_metadata(texts.get(8, "")),
    )
    return ImportedArtifact(entry, list(_files(manifest, entry.id)))


def _alias(text: str) -> str:
    alias = _BAD.sub("-", text).strip(".-")[:128]
    return "" if re.fullmatch("v[0-9]+", alias) else alias


def _metadata(text: str) -> dict[str, Any]:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = msgspec.json.decode(text)
        return found if isinstance(found, dict) else {}
    return {}


def _files(manifest: bytes, artifact_id: str) -> Iterator[ImportedFile]:
    for number, _, data in fields(manifest):
        if number == 4:
            parts = {each.number: text_of(each.data) for each in fields(data) if each.number in (1, 2, 6)}
            path = parts.get(1, "")
            try:
                checked_path(path)
            except ValueError as error:
                raise FormatError(f"an artifact: {error}") from None
            entry = FileEntry(id=file_id(artifact_id, path), path=path, suffix=known_suffix(os.path.splitext(path)[1]))
            yield ImportedFile(entry, partial(_open, parts.get(6, ""), parts.get(2, "")))


def _open(path: str, digest: str) -> BinaryIO | None:
    """The file of this MD5; None: there is none there. Raises OSError."""
    if not path or not digest:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    file = open(descriptor, "rb")  # noqa: SIM115 - the caller closes it
    try:
        if _md5(file) == digest:
            file.seek(0)
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _md5(file: BinaryIO) -> str:
    found = hashlib.md5(usedforsecurity=False)
    while piece := file.read(_PIECE_BYTES):
        found.update(piece)
    return base64.b64encode(found.digest()).decode()
