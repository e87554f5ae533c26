"""What is known of files of a run: as they wait on this machine, and as a server is told of them. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

__all__ = ["ArtifactEntry", "FileEntry", "checked_path", "known_suffix"]

_BAD_PART = r"[\x00-\x1f\x7f]"
_PATH_BYTES_MAX = 1024
_SUFFIX = r"(?:\.[A-Za-z0-9]{1,16}){0,2}"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of a run; ``POST …/runs/{uuid}/files/`` takes it as JSON.

    Attributes:
        id: 32 hexadecimal digits, random, by which a record names it.
        sha256: of the content, in hexadecimal; "" until it is known.
        size: of the content, in bytes.
        type: the media type, as the program has it.
        path: of a file that was saved, its name in the run ("checkpoints/a.pt"); "" of a logged value.
        suffix: of a name for it (".png").
        artifact: the id of the artifact that it belongs to, where it is called ``path``; "" if to none.
        time: when it was logged or saved, in ns since the epoch.
    """

    id: str
    sha256: str = ""
    size: int = 0
    type: str = ""
    path: str = ""
    suffix: str = ""
    artifact: str = ""
    time: int = 0


class ArtifactEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    r"""One version of an artifact, which the server numbers; its files come as ``FileEntry`` with its id.

    Attributes:
        id: 32 hexadecimal digits, random.
        name, type: as the program calls it, such as "mnist-cnn" and "model".
        digest: SHA-256 over its sorted lines ``<sha256> <path>\\n``; the same one is the same version. "" until known.
        count, size: of its files, and of all their bytes.
        aliases: besides "latest".
        description, metadata: free.
        time: when it was logged, in ns since the epoch.
    """

    id: str
    name: str
    type: str
    digest: str = ""
    count: int = 0
    size: int = 0
    aliases: tuple[str, ...] = ()
    description: str = ""
    metadata: dict[str, Any] = {}
    time: int = 0


def known_suffix(suffix: str) -> str:
    """A suffix, if servers take it; else none."""
    return suffix if re.fullmatch(_SUFFIX, suffix) else ""


def checked_path(path: str) -> str:
    """A path of a file in a run or an artifact, relative and with "/". Raises ValueError."""
    parts = path.split("/")
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise ValueError(f"not a path in UTF-8: {path!r:.80}") from None
    if not 0 < size <= _PATH_BYTES_MAX or re.search(_BAD_PART, path):
        raise ValueError(f"not a path of a file: {path!r:.80}")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"a path is relative, and stays inside: {path!r:.80}")
    return path
