"""Values of wandb whose files lie beside its log.

=============================  ===========================================================================
of wandb                       here
=============================  ===========================================================================
image-file, images/separated   an image, a list of them, with width, height and caption
audio-file, video-file         audio, a video, with their caption
html-file                      HTML
table-file                     a table, whose JSON has columns and data, as that of steplog's
another kind                   the kind "file", with the media type that its name says
files/media/…                  files of values
files/…                        those that were saved, and wandb's own, such as output.log
=============================  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from steplog.errors import FormatError
from steplog.formats.imported import ImportedFile
from steplog.formats.local_files import MediaFolder, file_id, local_file, names_within

__all__ = ["RunFolder"]

_KINDS = {
    "image-file": "image",
    "audio-file": "audio",
    "video-file": "video",
    "html-file": "html",
    "table-file": "table",
}
_SEPARATED = {"images/separated": "image-file"}
_LISTED = {"audio": "audio-file", "videos": "video-file"}  # {"_type": "audio", "audio": [value, …]}
_KEPT = ("width", "height", "caption")
_MEDIA = "media/"
_TABLE_BYTES_MAX = 16 * 1024 * 1024
_LIST_MAX = 10_000


class _Table(msgspec.Struct):
    columns: list[Any]
    data: list[Any]


class RunFolder:
    """The files of one folder of wandb's; ``key`` tells the folder from others of its run, wherever it lies."""

    def __init__(self, folder: Path, key: str) -> None:
        self._root, self._key = folder / "files", key
        self._media = MediaFolder(self._root, "wandb", key)
        self.others = 0  # links, pipes, …

    @property
    def missing(self) -> int:
        """How many files of values are not there."""
        return len(self._media.missing)

    def value(self, given: Mapping[str, Any], time_ns: int) -> Any:
        """What a value of wandb's is here; None where it names no file in the folder."""
        kind = str(given.get("_type"))
        if kind in _SEPARATED:
            return self._separated(given, _SEPARATED[kind], time_ns)
        if kind in _LISTED:
            listed = given.get(kind)
            parts = listed[:_LIST_MAX] if isinstance(listed, list) else []
            found = [self.value(each, time_ns) if isinstance(each, dict) else None for each in parts]
            return found if found and None not in found else None
        return self._single(given, kind, time_ns)

    def files(self) -> Iterator[ImportedFile]:
        """Those of the values that were converted, then those that were saved."""
        yield from self._media.files()
        names, self.others = names_within(self._root)
        for name in names:
            if not name.startswith(_MEDIA):
                yield local_file(self._root, name, file_id("wandb", self._key, "saved", name), saved_as=name)

    def _separated(self, given: Mapping[str, Any], kind: str, time_ns: int) -> Any:
        names, captions = given.get("filenames"), given.get("captions")
        if not isinstance(names, list) or not 0 < len(names) <= _LIST_MAX:
            return None
        labels = captions if isinstance(captions, list) and len(captions) == len(names) else [None] * len(names)
        size = {key: given[key] for key in ("width", "height") if key in given}
        found = [
            self._single({"path": name, "caption": label, **size}, kind, time_ns)
            for name, label in zip(names, labels, strict=True)
        ]
        return found if None not in found else None

    def _single(self, given: Mapping[str, Any], kind: str, time_ns: int) -> Any:
        own, path = _KINDS.get(kind, "file"), given.get("path")
        fields = {key: given[key] for key in _KEPT if given.get(key) not in (None, "", False)}
        if own == "table":
            return self._media.value(own, path, self._table(path), time_ns, "application/json")
        if own == "file":
            fields |= {"format": kind.removesuffix("-file")}
        return self._media.value(own, path, fields, time_ns)

    def _table(self, path: object) -> dict[str, Any]:
        """Columns and rows of a table, if its file is not too large to look into."""
        with suppress(FormatError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            table = msgspec.json.decode(self._media.read(str(path), _TABLE_BYTES_MAX), type=_Table)
            return {"columns": [str(name) for name in table.columns], "rows": len(table.data)}
        return {}
