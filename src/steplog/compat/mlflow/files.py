"""MLflow's artifacts of a run: files that are kept with it, and the images, texts and tables among them as values.

::

    log_artifact("a/model.pt", "weights")     the file weights/model.pt of the run
    log_artifacts("out")                      the files below it
    log_figure(figure, "loss.png")            the file, and an image of the metric loss.png
    log_image(image, "sample.png")            the same
    log_image(image, key="sample", step=3)    an image of the metric sample, at step 3
    log_stream(file, "a.bin")                 the file

What a server has, or what waits for it on this machine, is listed and downloaded by its path.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import steplog
from steplog.compat.field_limits import fitting_name
from steplog.compat.kept_media import frozen, kept_or_counted
from steplog.compat.mlflow.entities import FileInfo
from steplog.compat.mlflow.exceptions import MlflowException, missing
from steplog.compat.mlflow.tracked_run import TrackedRun, tracked
from steplog.compat.named_files import NamedFiles, named_files
from steplog.media_value import MediaValue

__all__ = [
    "download",
    "image_of",
    "keep_artifact",
    "keep_artifacts",
    "keep_figure",
    "keep_image",
    "keep_stream",
    "keep_written",
    "listed",
    "path_of",
    "read",
]

_KEY = re.compile(r"[a-zA-Z0-9_\-./ ]+")
_DRAWN = (".png", ".jpeg", ".webp", ".svg", ".pdf")
_RUNS = re.compile(r"runs:/+([^/]+)/?(.*)|steplog:/([^/]+)/artifacts/?(.*)")


def _checked(path: str) -> str:
    """A path in a run. Raises MlflowException for one that leads elsewhere."""
    text = posixpath.normpath(str(path))
    if text.startswith(("/", "../")) or text in (".", ".."):
        raise MlflowException.invalid_parameter_value(f"Invalid artifact path: {path!r}")
    return text


def _keep(run: TrackedRun, write: Callable[[NamedFiles], None]) -> None:
    with named_files() as files:
        write(files)
        run.save(files)


def keep_artifact(run: TrackedRun, local_path: Any, artifact_path: str | None) -> None:
    """A file, or a folder with its name. Raises as MLflow does: OSError where there is none."""
    path = Path(os.fspath(local_path))
    if path.is_dir():
        keep_artifacts(run, path, posixpath.join(artifact_path or "", path.resolve().name))
        return
    with path.open("rb"):
        name = _checked(posixpath.join(artifact_path or "", path.name))
    _keep(run, lambda files: files.link(name, path))


def keep_artifacts(run: TrackedRun, local_dir: Any, artifact_path: str | None) -> None:
    """What is in a folder. Raises MlflowException where there is none."""
    root = Path(os.fspath(local_dir))
    if not root.is_dir():
        raise MlflowException.invalid_parameter_value(f"No such directory: {str(local_dir)!r}")

    def link(files: NamedFiles) -> None:
        for folder, _, names in os.walk(root):
            for each in sorted(names):
                path = Path(folder, each)
                if path.is_file():
                    files.link(_checked(posixpath.join(artifact_path or "", path.relative_to(root).as_posix())), path)

    _keep(run, link)


def keep_stream(run: TrackedRun, stream: Any, artifact_file: str) -> None:
    """What an open file has."""
    name = _checked(artifact_file)

    def write(files: NamedFiles) -> None:
        with files.place(name).open("wb") as file:
            shutil.copyfileobj(stream, file)

    _keep(run, write)


def keep_written(run: TrackedRun, artifact_file: str, write: Callable[[Path], None]) -> None:
    """A file that ``write`` writes."""
    name = _checked(artifact_file)
    _keep(run, lambda files: write(files.place(name)))


def keep_figure(run: TrackedRun, figure: Any, artifact_file: str, options: dict[str, Any] | None) -> None:
    """A figure as the file of its name, and as an image. Raises TypeError for what is none."""
    name, given = _checked(artifact_file), options or {}
    suffix = os.path.splitext(name)[1]
    if "matplotlib" in sys.modules and hasattr(figure, "savefig"):
        keep_written(run, name, lambda place: figure.savefig(place, **given))
        _log(run, name, lambda: steplog.Image(figure), "mlflow.log_figure()")
    elif hasattr(figure, "to_plotly_json"):
        if suffix == ".html":
            options = {"include_plotlyjs": "cdn", "auto_open": False, **given}
            keep_written(run, name, lambda place: figure.write_html(str(place), **options))
        elif suffix in _DRAWN:
            keep_written(run, name, lambda place: figure.write_image(str(place), **given))
        else:
            raise TypeError(f"Unsupported file extension for plotly figure: '{suffix}'")
    else:
        raise TypeError(f"Unsupported figure object type: '{type(figure)}'")


def keep_image(
    run: TrackedRun, image: Any, artifact_file: str | None = None, key: str | None = None, step: int | None = None
) -> None:
    """An image as a value, and with ``artifact_file`` as a file, too. Raises TypeError, ValueError as MLflow does."""
    if artifact_file is not None and (key is not None or step is not None):
        raise TypeError(
            "The `artifact_file` parameter cannot be used in conjunction with `key`, `step`, or `timestamp`."
        )
    if artifact_file is None and key is None:
        raise TypeError("Invalid arguments: Please specify exactly one of `artifact_file` or `key`.")
    if key is not None and not _KEY.fullmatch(key):
        raise ValueError(f"The `key` parameter may only contain alphanumerics, _ - . / and spaces; not {key!r}")
    value = image_of(image)
    name = key if artifact_file is None else _checked(artifact_file)
    _log(run, str(name), lambda: value, "mlflow.log_image()", None if key is None else step or 0)
    if artifact_file is not None:
        from steplog.compat.kept_media import encoded

        picture = frozen(value)
        if os.path.splitext(artifact_file)[1].lower() in ("", ".png"):
            keep_written(run, artifact_file, lambda place: _write(place, encoded(picture.content())))
        else:
            keep_written(run, artifact_file, lambda place: _pillow_of(encoded(picture.content())).save(place))


def _write(place: Path, data: bytes) -> None:
    place.write_bytes(data)


def _pillow_of(data: bytes) -> Any:
    import io

    from PIL import Image

    picture = Image.open(io.BytesIO(data))
    return picture.convert("RGB") if picture.mode in ("RGBA", "LA") else picture


def image_of(image: Any) -> MediaValue:
    """Of an array, of Pillow's, or of ``mlflow.Image``. Raises TypeError, ValueError for anything else."""
    from steplog.compat.mlflow.data import Image
    from steplog.compat.pixels import array_of, uint8_of

    if isinstance(image, Image):
        image = image.image
        if isinstance(image, (str, os.PathLike)):
            return steplog.Image(image)
        if not hasattr(image, "save"):
            image = array_of(image)
    if type(image).__module__.partition(".")[0] == "PIL":
        return steplog.Image(image)
    if not hasattr(image, "dtype"):
        raise TypeError(f"Unsupported image object type: {type(image)}; it is an array, Pillow's or mlflow.Image.")
    array = array_of(image)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"Invalid array data type: '{array.dtype}'. Must be one of bool, integer, floating")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(f"The image is expected to have 2 or 3 dimensions, and 1, 3 or 4 channels, not {array.shape}")
    if array.dtype.kind in "iu" and array.size and (array.min() < 0 or array.max() > 255):
        raise ValueError("Integer pixel values out of acceptable range [0, 255]")
    if array.dtype.kind == "f" and array.size and (array.min() < 0 or array.max() > 1):  # scaled, as MLflow does
        array = (array - array.min()) / ((array.max() - array.min()) or 1)
    return steplog.Image(uint8_of(array))


def _log(run: TrackedRun, name: str, make: Callable[[], MediaValue], call: str, step: int | None = None) -> None:
    value = kept_or_counted(make, call)
    if value is not None:
        run.keep({fitting_name(name, call) or "artifact": value}, step)


def _files(run_id: str) -> list[Any]:
    """The files of a run. Raises MlflowException where it, or its server, is not to be had."""
    try:
        return list(tracked(run_id).run.files())
    except steplog.SteplogError as error:
        raise MlflowException(f"the artifacts of run {run_id} are not to be had: {error}") from error


def path_of(uri: str) -> tuple[str, str]:
    """Run id and path of ``runs:/<run_id>/<path>``. Raises MlflowException for another address."""
    found = _RUNS.fullmatch(str(uri))
    if found is None:
        raise missing(f"steplog has no artifact {uri!r}; one of a run is runs:/<run_id>/<path>")
    return found[1] or found[3], found[2] or found[4] or ""


def listed(run_id: str, path: str | None) -> list[FileInfo]:
    """What is directly below a path: files with their size, and folders."""
    prefix = f"{path.strip('/')}/" if path and path.strip("/") else ""
    found: dict[str, FileInfo] = {}
    for file in _files(run_id):
        if file.path.startswith(prefix):
            first, slash, _ = file.path[len(prefix) :].partition("/")
            found[prefix + first] = FileInfo(prefix + first, bool(slash), None if slash else file.size)
    return [found[name] for name in sorted(found)]


def download(run_id: str, path: str, dst_path: Any = None) -> str:
    """Write a file, or those of a folder, below ``dst_path`` or a new folder, and return where.

    Raises MlflowException where there is none.
    """
    wanted = path.strip("/")
    chosen = [
        file for file in _files(run_id) if not wanted or file.path == wanted or file.path.startswith(f"{wanted}/")
    ]
    if not chosen:
        raise missing(f"No such artifact: '{path}' of run {run_id}")
    root = Path(tempfile.mkdtemp(prefix="steplog-mlflow-") if dst_path is None else os.fspath(dst_path))
    root.mkdir(parents=True, exist_ok=True)
    _download_all(chosen, root)
    return str(root / wanted) if wanted else str(root)


def _download_all(files: Iterable[Any], root: Path) -> None:
    for file in files:
        try:
            file.download(root, replace=True)
        except (steplog.SteplogError, OSError) as error:
            raise MlflowException(f"the artifact {file.path!r} is not to be had: {error}") from error


def read(run_id: str, path: str) -> bytes:
    """The content of a file. Raises MlflowException where there is none."""
    for file in _files(run_id):
        if file.path == path.strip("/"):
            try:
                data: bytes = file.read()
            except (steplog.SteplogError, OSError) as error:
                raise MlflowException(f"the artifact {path!r} is not to be had: {error}") from error
            return data
    raise missing(f"No such artifact: '{path}' of run {run_id}")
