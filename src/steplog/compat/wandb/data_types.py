"""``wandb.data_types``: the classes of values that are more than JSON."""

from __future__ import annotations

from steplog.compat.wandb.media import (
    Audio,
    BatchableMedia,
    Bokeh,
    BoundingBoxes2D,
    Classes,
    Graph,
    Html,
    Image,
    ImageMask,
    Media,
    Molecule,
    Object3D,
    Plotly,
    Video,
    WBValue,
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
