"""wandb's values that are files: videos, sounds, pages, shapes, molecules, and figures of Plotly and Bokeh.

::

    Video      of an array (frames, channels, height, width): an animated PNG; of a file: the file
    Audio      of samples: a WAV file; of a file: the file
    Html       the page as it is: no stylesheet of wandb's is put in, whatever ``inject`` says
    Object3D, Molecule, Plotly, Bokeh      a file of their format, which the record names: ``"format": "plotly"``
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import steplog
from steplog.compat.kept_media import KeptMedia, content_of_file, content_of_json, content_of_text, frozen
from steplog.compat.pixels import array_of, uint8_of, video_of
from steplog.compat.wandb.errors import Error
from steplog.compat.wandb.media import BatchableMedia, Media
from steplog.media_value import Content

__all__ = ["Audio", "Bokeh", "Graph", "Html", "Molecule", "Object3D", "Plotly", "Video", "box3d"]

_FPS = 4
_POINT_WIDTHS = (3, 4, 6)


class Video(BatchableMedia):
    """A video, of a file or of frames. Raises ValueError for what is none."""

    EXTS = ("gif", "mp4", "webm", "ogg")
    _log_type = "video-file"

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: int | None = None,
        format: str | None = None,  # noqa: A002 - wandb's name
    ) -> None:
        self._caption = caption
        if format is not None and format not in self.EXTS:
            raise ValueError(f"wandb.Video accepts {', '.join(self.EXTS)} formats")
        if isinstance(data_or_path, BytesIO):
            if format is None:
                raise ValueError("wandb.Video requires a `format` argument when initializing with raw bytes")
            data = data_or_path.read()
            self._take(lambda: KeptMedia(Content("video", _type_of(format), f".{format}", [data])))
        elif isinstance(data_or_path, (str, os.PathLike)):
            path = os.fspath(data_or_path)
            suffix = os.path.splitext(path)[1][1:].lower()
            if suffix not in self.EXTS:
                raise ValueError(f"wandb.Video accepts {', '.join(self.EXTS)} formats")
            self._refer(path, lambda: KeptMedia(content_of_file(path, "video")))
        elif hasattr(data_or_path, "ndim"):
            videos = _videos(data_or_path)
            rows = 2 ** ((len(videos).bit_length() - 1) // 2)
            self._take(lambda: video_of(videos, fps or _FPS, -(-len(videos) // rows)))
        else:
            raise ValueError("wandb.Video accepts a file path or numpy like data as input")


class Audio(BatchableMedia):
    """Sound, of a file or of samples. Raises ValueError without a sample rate."""

    _log_type = "audio-file"

    def __init__(self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None) -> None:
        self._caption, self._sample_rate = caption, sample_rate
        self._duration: float | None = None
        if isinstance(data_or_path, (str, os.PathLike)):
            path = os.fspath(data_or_path)
            if "://" in path:
                self._path = path  # of a reference nothing is kept
            else:
                self._refer(path, lambda: frozen(steplog.Audio(path)))
        elif sample_rate is None:
            raise ValueError('Argument "sample_rate" is required when instantiating wandb.Audio with raw data.')
        else:
            samples = array_of(data_or_path)
            self._take(lambda: steplog.Audio(samples, sample_rate))
            self._duration = len(samples) / float(sample_rate)


class Html(BatchableMedia):
    """A page, of its text, of an open file, or of the path of a file ``.html``."""

    _log_type = "html-file"

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        is_text = isinstance(data, (str, os.PathLike))
        if is_text and not data_is_not_path and os.path.splitext(data)[1] == ".html" and os.path.isfile(data):
            with open(data, encoding="utf-8") as file:
                self.html = file.read()
        elif isinstance(data, str):
            self.html = data
        elif hasattr(data, "read"):
            if hasattr(data, "seek"):
                data.seek(0)
            found = data.read()
            self.html = found.decode("utf-8", "replace") if isinstance(found, bytes) else found
        else:
            raise ValueError("data must be a string or an io object")
        self._take(lambda: KeptMedia(content_of_text(self.html, "html", ".html")))


class _Formatted(BatchableMedia):
    """A file of a format, which its record names."""

    _format = ""

    def _fields(self) -> dict[str, Any]:
        return {"format": self._format}

    def _take_file(self, data: Any, types: Sequence[str], file_type: str | None, refused: str) -> None:
        """A file, by its path, its name or itself. Raises ValueError for another type, OSError."""
        if hasattr(data, "name") and not isinstance(data, os.PathLike):
            data = data.name
        if hasattr(data, "read"):
            if file_type is None:
                raise ValueError("Must pass file type keyword argument when using io objects.")
            if file_type not in types:
                raise ValueError(refused + ", ".join(types))
            if hasattr(data, "seek"):
                data.seek(0)
            found = data.read()
            content = content_of_text(str(found), "file", f".{file_type}")
            self._take(lambda: KeptMedia(content))
            return
        path = os.fspath(data)
        suffix = next((each for each in types if path.endswith(each)), None)
        if suffix is None:
            raise ValueError(refused + ", ".join(types))
        self._refer(path, lambda: KeptMedia(content_of_file(path, "file", f".{suffix}")))


class Object3D(_Formatted):
    """Points, or a file of a shape. Raises ValueError for what is none."""

    SUPPORTED_TYPES = frozenset(("obj", "gltf", "glb", "babylon", "stl", "pts.json"))
    SUPPORTED_POINT_CLOUD_TYPES = frozenset(("lidar/beta",))
    _log_type = "object3D-file"
    _format = "object3D"

    def __init__(self, data_or_path: Any, caption: str | None = None, **kwargs: Any) -> None:
        self._caption = caption
        if isinstance(data_or_path, dict) and "type" in data_or_path:
            if data_or_path["type"] not in self.SUPPORTED_POINT_CLOUD_TYPES:
                raise ValueError("Type not supported, only 'lidar/beta' is currently supported")
            parts = {name: _list_of(data_or_path.get(name)) for name in ("vectors", "points", "boxes")}
            content = content_of_json({"type": data_or_path["type"], **parts}, ".pts.json")
            self._take(lambda: KeptMedia(content))
        elif hasattr(data_or_path, "shape"):
            _check_points(data_or_path)
            content = content_of_json(array_of(data_or_path), ".pts.json")
            self._take(lambda: KeptMedia(content))
        elif hasattr(data_or_path, "read") or isinstance(data_or_path, (str, os.PathLike)):
            types = sorted(self.SUPPORTED_TYPES)
            self._take_file(data_or_path, types, kwargs.get("file_type"), "Object3D supports files of the type: ")
        else:
            raise ValueError("data must be a numpy array, dict or a file object")

    @classmethod
    def from_file(cls, data_or_path: Any, file_type: str | None = None) -> Object3D:
        """Of a file, or of the path of one."""
        return cls(data_or_path, file_type=file_type)

    @classmethod
    def from_numpy(cls, data: Any) -> Object3D:
        """Of an array with a row a point."""
        if not hasattr(data, "shape"):
            raise ValueError("`data` must be a numpy array")
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
        if point_cloud_type not in cls.SUPPORTED_POINT_CLOUD_TYPES:
            raise ValueError("Point cloud type not supported")
        return cls({"type": point_cloud_type, "points": points, "boxes": boxes, "vectors": vectors})


class Molecule(_Formatted):
    """A molecule, of a file. Raises ValueError for what is none."""

    SUPPORTED_TYPES = frozenset(("pdb", "pqr", "mmcif", "mcif", "cif", "sdf", "sd", "gro", "mol2", "mmtf"))
    SUPPORTED_RDKIT_TYPES = frozenset(("mol", "sdf"))
    _log_type = "molecule-file"
    _format = "molecule"

    def __init__(self, data_or_path: Any, caption: str | None = None, **kwargs: Any) -> None:
        self._caption = caption
        if not hasattr(data_or_path, "read") and not isinstance(data_or_path, (str, os.PathLike)):
            raise ValueError("Data must be file name or a file object")
        types = sorted(self.SUPPORTED_TYPES, key=len, reverse=True)
        self._take_file(data_or_path, types, kwargs.get("file_type"), "Molecule supports files of the type: ")

    @classmethod
    def from_rdkit(
        cls,
        data_or_path: Any,
        caption: str | None = None,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Molecule:
        """Of a molecule of RDKit's, or of a file that it reads, as PDB. Raises wandb.Error without RDKit."""
        from io import StringIO

        chemistry = _rdkit()
        molecule = data_or_path
        if isinstance(data_or_path, (str, os.PathLike)):
            path = os.fspath(data_or_path)
            suffix = os.path.splitext(path)[1][1:]
            if suffix not in cls.SUPPORTED_RDKIT_TYPES:
                types = ", ".join(sorted(cls.SUPPORTED_RDKIT_TYPES))
                raise ValueError(f"Molecule.from_rdkit only supports files of the type: {types}")
            molecule = next(iter(chemistry.SDMolSupplier(path))) if suffix == "sdf" else chemistry.MolFromMolFile(path)
        if convert_to_3d_and_optimize:
            from rdkit.Chem import AllChem

            molecule = chemistry.AddHs(molecule)
            AllChem.EmbedMolecule(molecule)
            AllChem.MMFFOptimizeMolecule(molecule, maxIters=mmff_optimize_molecule_max_iterations)
        return cls(StringIO(chemistry.MolToPDBBlock(molecule)), caption, file_type="pdb")

    @classmethod
    def from_smiles(
        cls,
        data: str,
        caption: str | None = None,
        sanitize: bool = True,
        convert_to_3d_and_optimize: bool = True,
        mmff_optimize_molecule_max_iterations: int = 200,
    ) -> Molecule:
        """Of a text of that notation. Raises wandb.Error without RDKit."""
        molecule = _rdkit().MolFromSmiles(data, sanitize=sanitize)
        if molecule is None:
            raise ValueError("Unable to parse the SMILES string.")
        return cls.from_rdkit(molecule, caption, convert_to_3d_and_optimize, mmff_optimize_molecule_max_iterations)


class Plotly(_Formatted):
    """A figure of Plotly's, as its JSON. Raises ValueError for anything else."""

    _log_type = "plotly-file"
    _format = "plotly"

    def __init__(self, val: Any) -> None:
        if not hasattr(val, "to_plotly_json"):
            raise ValueError("Logged plots must be plotly figures; one of Matplotlib is logged by wandb.Image(figure)")
        content = content_of_json(val.to_plotly_json(), ".plotly.json")
        self._take(lambda: KeptMedia(content))

    @classmethod
    def make_plot_media(cls, val: Any) -> Any:
        """Of a figure of Plotly's; one of Matplotlib's is an image."""
        if hasattr(val, "to_plotly_json"):
            return cls(val)
        from steplog.compat.wandb.image import Image

        return Image(val)


class Bokeh(_Formatted):
    """A figure of Bokeh's, as its JSON, or a file of one. Raises TypeError for anything else."""

    _log_type = "bokeh-file"
    _format = "bokeh"

    def __init__(self, data_or_path: Any) -> None:
        if isinstance(data_or_path, (str, os.PathLike)):
            path = os.fspath(data_or_path)
            with open(path, encoding="utf-8") as file:
                json.load(file)
            self._refer(path, lambda: KeptMedia(content_of_file(path, "file", ".bokeh.json")))
            return
        if type(data_or_path).__module__.partition(".")[0] != "bokeh":
            raise TypeError("Bokeh constructor accepts Bokeh document/model or path to Bokeh json file")
        document = data_or_path
        if not hasattr(document, "to_json") or not hasattr(document, "add_root"):
            from bokeh.document import Document

            document = Document()
            document.add_root(data_or_path)
        content = content_of_json(document.to_json(), ".bokeh.json")
        self._take(lambda: KeptMedia(content))


class Graph(Media):
    """The layers of a model, which are counted."""

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


def box3d(
    *,
    center: Any,
    size: Any,
    orientation: Any,
    color: Any,
    label: str | None = None,
    score: float | None = None,
) -> dict[str, Any]:
    """A box among points: its corners. ``orientation`` is a quaternion (w, x, y, z)."""
    import numpy

    middle, sizes, turn = (numpy.asarray(each, dtype=float) for each in (center, size, orientation))
    if middle.shape != (3,) or sizes.shape != (3,) or turn.shape != (4,):
        raise AssertionError("center and size have three numbers, orientation four")
    corners = numpy.array(list(itertools.product((-1, 1), repeat=3)), dtype=float)
    placed = middle + (0.5 * sizes * corners) @ _rotation(turn)
    return {"corners": tuple(map(tuple, placed.tolist())), "color": color, "label": label, "score": score}


def _rotation(quaternion: Any) -> Any:
    """The matrix by which rows are turned."""
    import numpy

    w, x, y, z = quaternion / numpy.linalg.norm(quaternion)
    return numpy.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)],
            [2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)],
            [2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _videos(given: Any) -> Any:
    """A batch: n, frames, height, width, channels. Raises ValueError for another shape."""
    array = array_of(given)
    if array.ndim < 4:
        raise ValueError("Video must be at least 4 dimensions: time, channels, height, width")
    if array.ndim > 5:
        raise ValueError(f"Video must have 4 or 5 dimensions, not {array.ndim}")
    return uint8_of(array if array.ndim == 5 else array[None]).transpose(0, 1, 3, 4, 2)


def _check_points(data: Any) -> None:
    if len(data.shape) != 2 or data.shape[1] not in _POINT_WIDTHS:
        raise ValueError("The shape of the numpy array must be nx3 [x y z], nx4 [x y z category] or nx6 [x y z r g b]")


def _list_of(given: Any) -> list[Any]:
    if given is None:
        return []
    return given.tolist() if hasattr(given, "tolist") else list(given)


def _type_of(format: str) -> str:  # noqa: A002 - wandb's name
    return "image/gif" if format == "gif" else f"video/{format}"


def _rdkit() -> Any:
    try:
        from rdkit import Chem
    except ImportError:
        raise Error('wandb.Molecule needs the rdkit package. To get it, run "pip install rdkit".') from None
    return Chem
