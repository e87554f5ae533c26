"""The files of exported runs: a listing beside a table, and a folder of contents.

::

    backup/run.jsonl                       a table, or a directory of event files
    backup/run.files.jsonl                 its listing: a row a file, and a row an artifact
    backup/files/<aa>/<sha256><suffix>     a content, once, whatever runs have it; aa: how its hash begins

========  ==============================================================================================
run       the id of the run
label     what its table calls it
id        by which a value names the file, 32 hexadecimal digits; "" of a file of an artifact
path      of a saved file, or of one in its artifact; "" of a logged value's, and of an artifact itself
sha256    of the content; of an artifact the digest
size      in bytes
type      the media type; of an artifact what it is
suffix    of a name for it
time      when it was logged or saved, in ns since the epoch, 0: not known
artifact  "name:v3"; "name" of one that no server has numbered yet; "" of other files
content   where it is, from the listing's folder on; "" if it was not there to be exported
about     of an artifact itself, JSON: aliases, description, metadata, count
========  ==============================================================================================

The rows of an artifact's files follow its own. What is read is checked: a path, an id or a hash that is none is a
FormatError, and a content is opened only under the name that its hash gives it, without following a link.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from steplog.blobs.entries import checked_path, known_suffix
from steplog.errors import FormatError
from steplog.formats.local_files import open_within
from steplog.formats.parquet_file import require_pyarrow
from steplog.formats.run_writer import ByteSink

__all__ = [
    "CONTENTS",
    "LISTINGS",
    "ListedFile",
    "content_path",
    "is_content",
    "is_listing",
    "listing_of",
    "open_content",
    "read_listing",
    "write_listing",
]

CONTENTS = "files"
LISTINGS = {"csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet", "tfevents": ".jsonl"}  # by a table's format
_MARK = ".files"
_TABLES = (".csv", ".jsonl", ".ndjson", ".parquet", ".pq", ".tsv")
_HASH, _ID, _ARTIFACT = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{32}"), re.compile(r"[^:/]+(:v[0-9]{1,18})?")
_CONTENT = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}(?:\.[A-Za-z0-9]{1,16}){0,2}")
_CELL_BYTES_MAX = 4 * 1024 * 1024
_NUMBER_MAX = 2**63 - 1


class ListedFile(msgspec.Struct, kw_only=True, frozen=True):
    """A row of a listing."""

    run: str
    label: str = ""
    id: str = ""
    path: str = ""
    sha256: str
    size: int
    type: str = ""
    suffix: str = ""
    time: int = 0
    artifact: str = ""
    content: str = ""
    about: dict[str, Any] | None = None


_FIELDS = ListedFile.__struct_fields__


def listing_of(table: Path, kind: str = "") -> Path:
    """Where the listing of a table is; ``kind``: of its format, by default that of the table's name."""
    is_folder = kind == "tfevents" or table.is_dir()
    own = "" if is_folder else table.suffix.lower()
    ending = LISTINGS.get(kind) or (own if own in LISTINGS.values() else ".jsonl")
    stem = table.stem if own in _TABLES else table.name
    return table.with_name(f"{stem}{_MARK}{ending}")


def is_listing(path: Path) -> bool:
    """Whether a file is the listing of a table that is beside it."""
    if not path.stem.endswith(_MARK) or path.suffix not in LISTINGS.values():
        return False
    table = path.stem.removesuffix(_MARK)
    return path.with_name(table).exists() or any(path.with_name(f"{table}{own}").is_file() for own in _TABLES)


def is_content(path: Path) -> bool:
    """Whether a file is a content in an export's folder, by its name."""
    parts = path.parts[-3:]
    return len(parts) == 3 and parts[0] == CONTENTS and _CONTENT.fullmatch("/".join(parts[1:])) is not None


def content_path(sha256: str, suffix: str) -> str:
    """Where a content of this hash belongs."""
    return f"{CONTENTS}/{sha256[:2]}/{sha256}{known_suffix(suffix)}"


def open_content(listing: Path, row: ListedFile) -> BinaryIO | None:
    """The content of a row, if it is there. Raises FormatError for what is no regular file of its hash's name."""
    if not row.content:
        return None
    name = row.content.removeprefix(f"{CONTENTS}/")
    if not row.content.startswith(f"{CONTENTS}/") or not _CONTENT.fullmatch(name):
        raise FormatError(f"{listing}: not the place of a content: {row.content!r:.200}")
    if name[:2] != row.sha256[:2] or name[3:67] != row.sha256:
        raise FormatError(f"{listing}: the content {row.content} is of another hash than {row.sha256}")
    return open_within(listing.parent, row.content)


def write_listing(sink: ByteSink, kind: str, rows: Sequence[ListedFile]) -> None:
    """Write a listing in the format that goes with a table's. Raises ConfigurationError without pyarrow."""
    ending = LISTINGS[kind]
    if ending == ".jsonl":
        for row in rows:
            sink.write(msgspec.json.encode(_without_empty(row)) + b"\n")
    elif ending == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(_FIELDS)
        for row in rows:
            writer.writerow([_cell(getattr(row, name)) for name in _FIELDS])
            sink.write(text.getvalue().encode("utf-8", "replace"))
            text.seek(0)
            text.truncate()
        sink.write(text.getvalue().encode())
    else:
        _write_parquet(sink, rows)


def read_listing(path: Path) -> Iterator[ListedFile]:
    """Its rows, checked. Raises FormatError, OSError, ConfigurationError without pyarrow."""
    read = {".csv": _read_csv, ".parquet": _read_parquet}.get(path.suffix, _read_lines)
    number = 0
    try:
        for fields in read(path):
            row = msgspec.convert(fields, ListedFile, strict=False)
            _check(row)
            number += 1
            yield row
    except (msgspec.MsgspecError, ValueError, RecursionError, csv.Error) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: after row {number}: {error}") from None


def _without_empty(row: ListedFile) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    return {name: value for name, value in fields.items() if value not in ("", None) or name in ("run", "sha256")}


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    return "" if value is None else str(value)


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, "rb") as file:
        for line in file:
            yield msgspec.json.decode(line, type=dict[str, Any])


def _read_csv(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(max(csv.field_size_limit(), _CELL_BYTES_MAX))
    with open(path, encoding="utf-8-sig", newline="") as file:
        for fields in csv.DictReader(file):
            about = fields.pop("about", None)
            yield fields | ({"about": msgspec.json.decode(about)} if about else {})


def _read_parquet(path: Path) -> Iterable[dict[str, Any]]:
    require_pyarrow()
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(1000):
                for fields in batch.to_pylist():
                    about = fields.pop("about", None)
                    yield fields | ({"about": msgspec.json.decode(about)} if about else {})
    except pa.ArrowException as error:
        raise FormatError(f"{path}: {error}") from None


def _write_parquet(sink: ByteSink, rows: Sequence[ListedFile]) -> None:
    require_pyarrow()
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        name: pa.array([getattr(row, name) for row in rows], pa.int64())
        if name in ("size", "time")
        else pa.array([_cell(getattr(row, name)) for row in rows], pa.string())
        for name in _FIELDS
    }
    made = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), made, compression="zstd")
    sink.write(made.getvalue().to_pybytes())


def _check(row: ListedFile) -> None:
    """Raise ValueError for what no export has written."""
    is_artifact = row.about is not None
    if not _HASH.fullmatch(row.sha256) and not (is_artifact and not row.sha256):
        raise ValueError(f"no SHA-256: {row.sha256!r:.80}")
    if row.id and not _ID.fullmatch(row.id):
        raise ValueError(f"no id of a file: {row.id!r:.80}")
    if not 0 <= row.size <= _NUMBER_MAX or not 0 <= row.time <= _NUMBER_MAX:
        raise ValueError(f"size and time of a file: {row.size}, {row.time}")
    if row.artifact and not _ARTIFACT.fullmatch(row.artifact):
        raise ValueError(f"no version of an artifact: {row.artifact!r:.80}")
    if row.suffix != known_suffix(row.suffix):
        raise ValueError(f"no suffix: {row.suffix!r:.80}")
    if row.path:
        checked_path(row.path)
    if is_artifact and not row.artifact:
        raise ValueError("an artifact without a name")
    if not is_artifact and not (row.id or (row.artifact and row.path)):
        raise ValueError("a file without an id")
