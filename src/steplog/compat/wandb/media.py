"""wandb's values that are more than JSON: images, videos, audio and the like.

::

    a value of wandb.log                   is kept as
    Histogram, Table, the charts of plot   a JSON object (``histogram``, ``table``, ``plot``)
    Media, a figure, a picture             nothing, counted: ``Media.kept`` is where files begin
    a list of such values                  a list of what is kept of them; null is one that is not

1. Whatever wandb takes is taken; nothing is opened, encoded or copied.
2. ``logged`` never raises for what cannot be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from steplog.compat.unsupported import unsupported

__all__ = [
    "NOT_KEPT",
    "Audio",
    "BatchableMedia",
    "Bokeh",
    "BoundingBoxes2D",
    "Classes",
    "Graph",
    "Html",
    "Image",
    "ImageMask",
    "Media",
    "Molecule",
    "Object3D",
    "Plotly",
    "Video",
    "WBValue",
    "box3d",
    "logged",
]

NOT_KEPT: Any = object()  # what ``logged`` gives for a value of which nothing is kept

_FIGURES = ("matplotlib", "plotly", "bokeh", "PIL")  # whose objects wandb.log takes as they are
_ADVICE = "files are not kept; write it to a file of your own, and log what you need of it as numbers or text"


class WBValue:
    """A value that is not as JSON has it."""

    def kept(self) -> Any:
        """What is logged of it: a JSON value, or ``NOT_KEPT``, which is counted."""
        raise NotImplementedError

    def to_json(self, run_or_artifact: object = None) -> Any:
        """The same."""
        return self.kept()


class Media(WBValue):
    """What would be a file."""

    _log_type = "file"
    _caption: str | None = None

    def kept(self) -> Any:
        """Do nothing."""
        unsupported.note(f"wandb.log() of wandb.{type(self).__name__}", _ADVICE)
        return NOT_KEPT

    def to_json(self, run_or_artifact: object = None) -> Any:
        """Its kind."""
        return {"_type": self._log_type}

    def file_is_set(self) -> bool:
        """Whether it has been written to a file."""
        return False

    def is_bound(self) -> bool:
        """Whether it has been logged."""
        return False


class BatchableMedia(Media):
    """Media of which a list is logged as one."""


class Image(BatchableMedia):
    """An image, with boxes and masks over it."""

    _log_type = "image-file"

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Any = None,
        boxes: Mapping[str, Any] | None = None,
        masks: Mapping[str, Any] | None = None,
        file_type: str | None = None,
        normalize: bool = True,
    ) -> None:
        self.data_or_path: Any = data_or_path.data_or_path if isinstance(data_or_path, Image) else data_or_path
        self.mode, self.file_type, self.normalize = mode, file_type, normalize
        self._caption, self._grouping, self._classes = caption, grouping, classes
        self._boxes, self._masks = boxes, masks


class Video(BatchableMedia):
    """A video, of a file or of frames."""

    _log_type = "video-file"

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: int | None = None,
        format: str | None = None,  # noqa: A002 - wandb's name
    ) -> None:
        self.data_or_path, self._caption, self._fps, self._format = data_or_path, caption, fps, format


class Audio(BatchableMedia):
    """Sound, of a file or of samples."""

    _log_type = "audio-file"

    def __init__(self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None) -> None:
        self.data_or_path, self._sample_rate, self._caption = data_or_path, sample_rate, caption


class Html(BatchableMedia):
    """A page."""

    _log_type = "html-file"

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        self.data, self.inject, self.data_is_not_path = data, inject, data_is_not_path


class Object3D(BatchableMedia):
    """Points, or a file of a shape."""

    _log_type = "object3D-file"
    SUPPORTED_TYPES = frozenset(("obj", "gltf", "glb", "babylon", "stl", "pts.json"))
    SUPPORTED_POINT_CLOUD_TYPES = frozenset(("lidar/beta",))

    def __init__(self, data_or_path: Any, caption: str | None = None, **kwargs: Any) -> None:
        self.data_or_path, self._caption, self.options = data_or_path, caption, kwargs

    @classmethod
    def from_file(cls, data_or_path: Any, file_type: str | None = None) -> Object3D:
        """Of a file, or of the path of one."""
        return cls(data_or_path, file_type=file_type)

    @classmethod
    def from_numpy(cls, data: Any) -> Object3D:
        """Of an array with a row a point."""
        return cls(data)

    @classmethod
    def from_point_cloud(
        cls,
        points: Sequence[Any],
        boxes: Sequence[Any],
        vectors: Sequence[Any] | None = None,
        point_cloud_type: str = "lidar/beta",
    ) -> Object3D:
        """Of points with boxes among them."""
        return cls({"type": point_cloud_type, "points": points, "boxes": boxes, "vectors": vectors})


class Molecule(BatchableMedia):
    """A molecule, of a file or of its name."""

    _log_type = "molecule-file"

    def __init__(self, data_or_path: Any, caption: str | None = None, **kwargs: Any) -> None:
        self.data_or_path, self._caption, self.options = data_or_path, caption, kwargs

    @classmethod
    def from_rdkit(
        cls,
        data_or_path: Any,
        caption: str | None = None,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Molecule:
        """Of what rdkit reads."""
        return cls(data_or_path, caption)

    @classmethod
    def from_smiles(
        cls,
        data: str,
        caption: str | None = None,
        sanitize: bool = True,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Molecule:
        """Of a text of that notation."""
        return cls(data, caption)


class Plotly(Media):
    """A figure of Plotly's or Matplotlib's."""

    _log_type = "plotly-file"

    def __init__(self, val: Any) -> None:
        self.val = val

    @classmethod
    def make_plot_media(cls, val: Any) -> Plotly:
        """The same."""
        return cls(val)


class Bokeh(Media):
    """A figure of Bokeh's."""

    _log_type = "bokeh-file"

    def __init__(self, data_or_path: Any) -> None:
        self.data_or_path = data_or_path


class Graph(Media):
    """The layers of a model."""

    _log_type = "graph-file"

    def __init__(self, format: str = "keras") -> None:  # noqa: A002 - wandb's name
        self.format = format
        self.nodes: list[Any] = []
        self.edges: list[Any] = []

    @classmethod
    def from_keras(cls, model: Any) -> Graph:
        """Of a model of Keras."""
        return cls()

    def add_node(self, node: Any = None, **node_kwargs: Any) -> Any:
        """Add a node."""
        self.nodes.append(node_kwargs if node is None else node)
        return self.nodes[-1]

    def add_edge(self, from_node: Any, to_node: Any) -> Any:
        """Add an edge."""
        self.edges.append((from_node, to_node))
        return self.edges[-1]


class Classes(Media):
    """The names of classes, as the masks of images have them."""

    _log_type = "classes"

    def __init__(self, class_set: Sequence[Mapping[str, Any]]) -> None:
        for each in class_set:
            if "id" not in each or "name" not in each:
                raise AssertionError("a class has an id and a name")
        self._class_set = class_set


class BoundingBoxes2D(Media):
    """Boxes over an image."""

    _log_type = "bounding-boxes"

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        self._val, self._key = val, key


class ImageMask(Media):
    """A mask over an image."""

    _log_type = "mask"

    def __init__(self, val: Mapping[str, Any], key: str) -> None:
        self._val, self._key = val, key


def box3d(
    *,
    center: Any,
    size: Any,
    orientation: Any,
    color: Any,
    label: str | None = None,
    score: float | None = None,
) -> dict[str, Any]:
    """A box among points."""
    box = {"center": center, "size": size, "orientation": orientation, "color": color, "label": label, "score": score}
    return {name: value for name, value in box.items() if value is not None}


def logged(value: Any) -> Any:
    """What is kept of a value that is logged; ``NOT_KEPT``: nothing, which is counted."""
    if isinstance(value, WBValue):
        return value.kept()
    if isinstance(value, (list, tuple)) and any(isinstance(each, WBValue) for each in value):
        kept = [logged(each) for each in value]
        return (
            NOT_KEPT
            if all(each is NOT_KEPT for each in kept)
            else [None if each is NOT_KEPT else each for each in kept]
        )
    library = value.__name__ if isinstance(value, ModuleType) else type(value).__module__
    if library.partition(".")[0] in _FIGURES:
        unsupported.note(f"wandb.log() of a {type(value).__name__} of {library.partition('.')[0]}", _ADVICE)
        return NOT_KEPT
    return value
