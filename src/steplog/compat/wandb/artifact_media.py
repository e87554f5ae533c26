"""Tables and media as files of an artifact, in wandb's form, so that ``Artifact.get`` gives them back.

::

    add(Image, "a")      a.image-file.json      {"_type": "image-file", "path": "media/images/<hash>.png", …}
    add(Table, "t")      t.table.json           {"_type": "table", "columns": […], "data": [[…], …]}
    a cell that is one   its JSON, with the path of its file
    add(Classes, "c")    c.classes.json         {"_type": "classes", "class_set": […]}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steplog.compat.kept_media import KeptMedia, encoded
from steplog.compat.wandb.image import Image
from steplog.compat.wandb.media import NOT_KEPT, Classes, Media, WBValue
from steplog.compat.wandb.media_files import Audio, Bokeh, Graph, Html, Molecule, Object3D, Plotly, Video
from steplog.compat.wandb.table import EvalTable, JoinedTable, PartitionedTable, Table

__all__ = ["KINDS", "ArtifactMedia", "name_of", "read"]

KINDS: dict[str, type[Media]] = {
    kind._log_type: kind
    for kind in (Audio, Bokeh, Classes, Html, Image, JoinedTable, Molecule, Object3D, PartitionedTable, Table, Video)
}
_NOT_ADDED = (Graph, Plotly)  # as wandb
_FOLDERS = {"image-file": "images", "video-file": "videos", "audio-file": "audio", "html-file": "html"}
_HASH_DIGITS = 20


def name_of(value: Any, name: str) -> str:
    """The name of its JSON file."""
    suffix = f".{value._log_type}.json"
    return name if name.endswith(suffix) else name + suffix


class ArtifactMedia:
    """Writes values to files: ``write`` takes a path in the artifact and the content of a file."""

    def __init__(self, write: Callable[[str, bytes], None]) -> None:
        self._write = write

    def add(self, value: Any, name: str) -> str:
        """Write a value; the name of its JSON file. Raises TypeError for what is none of wandb's."""
        if not isinstance(value, tuple(KINDS.values())) or isinstance(value, _NOT_ADDED):
            raise TypeError(f"Found object of type {type(value)}, expected one of: {tuple(KINDS.values())}")
        path = name_of(value, name)
        self._write(path, json.dumps(self._json(value, name), default=_text).encode("utf-8", "replace"))
        return path

    def _json(self, value: Any, name: str) -> Any:
        if isinstance(value, Table):
            rows = [[self._json(cell, name) for cell in row] for row in value.data]
            shape = {"ncols": len(value.columns), "nrows": len(rows)}
            return {"_type": "table", "columns": value.columns, "data": rows, **shape}
        if isinstance(value, JoinedTable):
            tables = [each if isinstance(each, str) else self.add(each, f"{name}.{at}") for at, each in value.tables()]
            return {**value.to_json(), "table1": tables[0], "table2": tables[1]}
        if isinstance(value, (Classes, PartitionedTable)):
            return value.to_json()
        if isinstance(value, Media):
            return self._file_json(value)
        if isinstance(value, WBValue):
            kept = value.kept()
            return None if kept is NOT_KEPT else kept
        return value

    def _file_json(self, value: Media) -> Any:
        kept = value.value()
        if kept is None:
            return None
        content = kept.content()
        found: dict[str, Any] = {"_type": value._log_type, **self._file(kept, _FOLDERS.get(value._log_type, "files"))}
        for name, each in content.fields.items():
            found[name] = self._masks(each) if name == "masks" else each
        return found

    def _masks(self, masks: dict[str, Any]) -> dict[str, Any]:
        """The masks of an image, with the path of each one's file."""
        return {
            key: {"_type": "mask", **self._file(mask["mask"], "images/mask"), "class_labels": mask["class_labels"]}
            for key, mask in masks.items()
        }

    def _file(self, kept: KeptMedia, folder: str) -> dict[str, str]:
        content = kept.content()
        data = encoded(content)
        sha256 = hashlib.sha256(data).hexdigest()
        path = f"media/{folder}/{sha256[:_HASH_DIGITS]}{content.suffix}"
        self._write(path, data)
        return {"path": path, "sha256": sha256}


def read(found: Any, file_of: Callable[[str], str]) -> Any:
    """The value of a JSON file; ``file_of`` downloads a file of the artifact. Raises ValueError for none of wandb's."""
    if not isinstance(found, dict) or found.get("_type") not in KINDS:
        raise ValueError("it is no value of wandb's")
    kind = found["_type"]
    if kind in ("table", EvalTable._log_type):
        rows = [[_cell(cell, file_of) for cell in row] for row in found["data"]]
        return Table(found["columns"], rows)
    if kind == "classes":
        return Classes(found["class_set"])
    if kind == "partitioned-table":
        return PartitionedTable(found["parts_path"])
    if kind == "joined-table":
        one, other = (
            read(json.loads(Path(file_of(found[each])).read_text("utf-8")), file_of) for each in ("table1", "table2")
        )
        return JoinedTable(one, other, found["join_key"])
    path = file_of(found["path"])
    caption = found.get("caption")
    if kind == "image-file":
        masks = {
            key: {"path": file_of(mask["path"]), "class_labels": _numbered(mask.get("class_labels", {}))}
            for key, mask in (found.get("masks") or {}).items()
        }
        boxes = {
            key: {**each, "class_labels": _numbered(each.get("class_labels", {}))}
            for key, each in (found.get("boxes") or {}).items()
        }
        return Image(
            path,
            caption=caption,
            grouping=found.get("grouping"),
            classes=found.get("classes"),
            boxes=boxes,
            masks=masks,
        )
    if kind == "html-file":
        return Html(Path(path).read_text("utf-8"))
    if kind == "bokeh-file":
        return Bokeh(path)
    made: Any = KINDS[kind]
    return made(path, caption=caption)


def _cell(cell: Any, file_of: Callable[[str], str]) -> Any:
    return read(cell, file_of) if isinstance(cell, dict) and cell.get("_type") in KINDS else cell


def _numbered(labels: dict[str, str]) -> dict[Any, str]:
    """The keys of a JSON object as the numbers that they were."""
    return {int(key) if key.lstrip("-").isdigit() else key: name for key, name in labels.items()}


def _text(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
