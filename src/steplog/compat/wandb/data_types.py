"""``wandb.data_types``: the classes of values that are more than JSON."""

from __future__ import annotations

from steplog.compat.wandb.image import BoundingBoxes2D, Image, ImageMask
from steplog.compat.wandb.media import BatchableMedia, Classes, Media, WBValue
from steplog.compat.wandb.media_files import (
    Audio,
    Bokeh,
    Graph,
    Html,
    Molecule,
    Object3D,
    Plotly,
    Video,
    box3d,
)
from steplog.compat.wandb.table import EvalTable, Histogram, JoinedTable, PartitionedTable, Table

__all__ = [
    "Audio",
    "BatchableMedia",
    "Bokeh",
    "BoundingBoxes2D",
    "Classes",
    "EvalTable",
    "Graph",
    "Histogram",
    "Html",
    "Image",
    "ImageMask",
    "JoinedTable",
    "Media",
    "Molecule",
    "Object3D",
    "PartitionedTable",
    "Plotly",
    "Table",
    "Video",
    "WBValue",
    "box3d",
]
