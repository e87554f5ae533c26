"""The files of a run that steplog has exported, by the listing beside its table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.formats.file_listing import ListedFile, listing_of, open_content, read_listing
from steplog.formats.imported import ImportedArtifact, ImportedFile, ImportedRun

__all__ = ["with_listed_files"]


def with_listed_files(run: ImportedRun) -> ImportedRun:
    """The run with its files, if there is a listing."""
    if run.table is None:
        return run
    listing = listing_of(run.table)
    if not listing.is_file():
        return run
    return run._replace(files=partial(_files, listing, run))


def _files(listing: Path, run: ImportedRun) -> Iterator[ImportedFile | ImportedArtifact]:
    entry: ArtifactEntry | None = None
    files: list[ImportedFile] = []
    for row in read_listing(listing):
        if not _is_of(row, run):
            continue
        if row.about is not None or not row.artifact:
            if entry is not None:
                yield ImportedArtifact(entry, files)
            entry, files = None, []
        if row.about is not None:
            entry = _artifact(row, run)
        elif row.artifact and entry is not None:
            files.append(_file(listing, row, _id(entry.id, row.path)))
        elif not row.artifact:
            yield _file(listing, row, row.id)
    if entry is not None:
        yield ImportedArtifact(entry, files)


def _is_of(row: ListedFile, run: ImportedRun) -> bool:
    """Whether a row is of this run. A table without ids, as CSV is, knows the label alone, or has one run."""
    if not run.is_anonymous:
        return row.run == run.info.id
    return run.label is None or row.label == run.label


def _file(listing: Path, row: ListedFile, file_id: str) -> ImportedFile:
    entry = FileEntry(
        id=file_id,
        sha256=row.sha256,
        size=row.size,
        type=row.type,
        path=row.path,
        suffix=row.suffix,
        time=row.time,
    )
    return ImportedFile(entry, partial(open_content, listing, row))


def _artifact(row: ListedFile, run: ImportedRun) -> ArtifactEntry:
    about = msgspec.convert(row.about, _About)
    return ArtifactEntry(
        id=_id(run.info.id, row.artifact, row.sha256),
        name=row.artifact.partition(":")[0],
        type=row.type,
        aliases=about.aliases,
        description=about.description,
        metadata=about.metadata,
        time=row.time,
    )


class _About(msgspec.Struct):
    aliases: tuple[str, ...] = ()
    description: str = ""
    metadata: dict[str, object] = {}


def _id(*parts: str) -> str:
    """The same for the same parts."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()
