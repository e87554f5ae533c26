"""What a client says of the files of a run: ``POST …/files/``. Pure.

At most 1,000 files and artifacts a request, 100,000 files and 16 aliases an artifact, 64 KiB of metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import msgspec

from steplog.blobs.entries import ArtifactEntry, FileEntry, checked_path
from steplog.errors import FormatError
from steplog.records.run_fields import DESCRIPTION_CHARACTERS_MAX
from steplog.server.byte_ranges import SIZE_MAX
from steplog.server.records.batch import check_json
from steplog.server.validation import Fields

__all__ = ["ARTIFACT_NAME", "ENTRIES_MAX", "SHA256", "Announcement", "announcement"]

ENTRIES_MAX = 1000
_FILES_MAX = 100_000
_ALIASES_MAX = 16
_METADATA_BYTES_MAX = 64 * 1024
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
ARTIFACT_NAME = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,128}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_VERSION = re.compile(r"v[0-9]+", re.ASCII)
_WORD = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,62}"
_MEDIA_TYPE = re.compile(rf"(?:{_WORD}/{_WORD}(?:; ?[\x20-\x7e]{{1,64}})?)?", re.ASCII)
_SUFFIX = re.compile(r"(?:\.[A-Za-z0-9]{1,16}){0,2}", re.ASCII)
_KIND = re.compile(r"[^\x00-\x1f\x7f]{1,64}")
_TIME_MAX = 2**63 - 1
_T = TypeVar("_T", FileEntry, ArtifactEntry, str)


class Announcement(NamedTuple):
    """Files and artifacts of a run.

    Attributes:
        pending: how many files are to come; None: it does not say.
        used: artifacts that the run uses, by name and version.
    """

    files: list[FileEntry]
    artifacts: list[ArtifactEntry]
    pending: int | None
    used: list[tuple[str, str]]


def announcement(raw: dict[str, msgspec.Raw]) -> Announcement:
    """The fields of a body. Raises ValidationError."""
    fields = Fields(raw)
    files = _entries(raw, fields, "files", FileEntry)
    artifacts = _entries(raw, fields, "artifacts", ArtifactEntry)
    used = _entries(raw, fields, "used", str)
    pending = fields.integer("pending", 0, SIZE_MAX)
    if len(files) + len(artifacts) > ENTRIES_MAX:
        fields.add_error("files", f"A request takes {ENTRIES_MAX} files and artifacts; send others in another one.")
    for name, found in (("files", map(_wrong_file, files)), ("artifacts", map(_wrong_artifact, artifacts))):
        for number, reason in enumerate(found):
            if reason:
                fields.add_error(name, f"Entry {number}: {reason}")
                break  # the first says enough
    pairs = [(name, version) for name, _, version in (each.rpartition(":") for each in used)]
    if not all(ARTIFACT_NAME.fullmatch(part) for pair in pairs for part in pair):
        fields.add_error("used", 'An artifact is named "<name>:<version or alias>".')
    fields.check()
    latest = [msgspec.structs.replace(each, aliases=_aliases(each)) for each in artifacts]
    return Announcement(files, latest, pending, pairs)


def _entries(raw: dict[str, msgspec.Raw], fields: Fields, name: str, kind: type[_T]) -> list[_T]:
    if name not in raw:
        return []
    try:
        found = msgspec.json.decode(raw[name], type=list[kind])  # type: ignore[valid-type]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        fields.add_error(name, f"Not a list of such entries. {error}")
        return []
    if len(found) > ENTRIES_MAX:
        fields.add_error(name, f"Ensure this field has no more than {ENTRIES_MAX} elements; there are {len(found)}.")
        return []
    return found


def _wrong_file(entry: FileEntry) -> str:
    """What is wrong with it; "": nothing."""
    problems = _of_file(entry)
    return next(problems, "")


def _of_file(entry: FileEntry) -> Iterator[str]:
    yield from _of_both(entry.id, entry.sha256, "sha256", entry.size, entry.time)
    if not _MEDIA_TYPE.fullmatch(entry.type):
        yield f"not a media type: {entry.type!r:.80}"
    if not _SUFFIX.fullmatch(entry.suffix):
        yield f'a suffix is as ".png" or ".tar.gz": {entry.suffix!r:.80}'
    if entry.artifact and not _ID.fullmatch(entry.artifact):
        yield "artifact must be the id of one, 32 hexadecimal digits"
    if entry.artifact and not entry.path:
        yield "a file of an artifact has a path"
    if entry.path:
        try:
            checked_path(entry.path)
        except ValueError as error:
            yield str(error)


def _wrong_artifact(entry: ArtifactEntry) -> str:
    return next(_of_artifact(entry), "")


def _of_artifact(entry: ArtifactEntry) -> Iterator[str]:
    yield from _of_both(entry.id, entry.digest, "digest", entry.size, entry.time)
    if not ARTIFACT_NAME.fullmatch(entry.name):
        yield f"a name has 1 to 128 letters, digits, dots, dashes and underscores: {entry.name!r:.80}"
    if not _KIND.fullmatch(entry.type):
        yield f"a type has 1 to 64 characters, none of them a control character: {entry.type!r:.80}"
    if not 0 <= entry.count <= _FILES_MAX:
        yield f"an artifact has at most {_FILES_MAX} files"
    if len(entry.aliases) > _ALIASES_MAX:
        yield f"an artifact has at most {_ALIASES_MAX} aliases"
    for alias in entry.aliases:
        if not ARTIFACT_NAME.fullmatch(alias) or _VERSION.fullmatch(alias):
            yield f'an alias is a name as that of an artifact, and not of the form "v3": {alias!r:.80}'
    if len(entry.description) > DESCRIPTION_CHARACTERS_MAX:
        yield f"a description has at most {DESCRIPTION_CHARACTERS_MAX} characters"
    metadata = msgspec.json.encode(entry.metadata)
    if len(metadata) > _METADATA_BYTES_MAX:
        yield f"metadata has at most {_METADATA_BYTES_MAX} bytes of JSON"
    try:
        check_json(metadata)
    except FormatError as error:
        yield str(error)


def _of_both(entry_id: str, sha256: str, field: str, size: int, time: int) -> Iterator[str]:
    if not _ID.fullmatch(entry_id):
        yield "id must be 32 hexadecimal digits"
    if not SHA256.fullmatch(sha256):
        yield f"{field} must be 64 hexadecimal digits in lower case"
    if not 0 <= size <= SIZE_MAX:
        yield f"size must be 0 to {SIZE_MAX}"
    if not 0 <= time <= _TIME_MAX:
        yield "time is in ns since the epoch"


def _aliases(entry: ArtifactEntry) -> tuple[str, ...]:
    """Those besides "latest", which the newest version has by itself."""
    return tuple(dict.fromkeys(alias for alias in entry.aliases if alias != "latest"))
