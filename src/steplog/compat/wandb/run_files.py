"""What ``wandb.Run`` does with files, models and messages.

::

    save, run.dir                         files of the run (``saved_files``)
    log_artifact, log_model, log_code     versions of artifacts of its project
    use_artifact, use_model               read from steplog's server
    link_artifact, watch, alert           taken, and counted

A disabled run keeps and counts nothing. What is not to be had raises ``wandb.errors.CommError``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, TextIO, TypeVar

import steplog
from steplog.compat.notices import say, say_once
from steplog.compat.unsupported import unsupported
from steplog.compat.wandb.artifact import Artifact
from steplog.compat.wandb.artifact_names import found, safe_name
from steplog.compat.wandb.saved_files import POLICIES, SavedFiles

__all__ = ["AlertLevel", "RunFiles", "restore"]

_T = TypeVar("_T")
_NO_REGISTRY = "there is no registry; use the artifact by its project: use_artifact('project/name:alias')"
_CODE_LEFT_OUT = ("wandb", ".wandb", "steplog-runs")  # folders of runs


def restore(name: str, run_path: str | None = None, replace: bool = False, root: str | None = None) -> TextIO | None:
    """``wandb.restore``: a file of a run, open; None: the run has none of that name.

    Raises ValueError where no run is meant, CommError where it is not to be had.
    """
    from steplog.compat.wandb import open_runs
    from steplog.compat.wandb.public_api import Api

    run = open_runs.current()
    run = None if run is None or run.disabled else run
    if run_path is None:
        if run is None:
            raise ValueError("run_path required when calling wandb.restore before wandb.init")
        run_path = run.path
    folder = root or (os.getcwd() if run is None else run.dir)
    path = os.path.join(folder, name)
    if os.path.exists(path) and not replace:
        return open(path, encoding="utf-8")
    there = run.steplog_run if run is not None and run_path == run.path else None
    files = Api().run(run_path).files([name]) if there is None else _files_of(there, name)
    return files[0].download(root=folder, replace=True) if files else None


def _files_of(run: steplog.Run, name: str) -> list[Any]:
    from steplog.compat.wandb.api_files import File

    return [File(each) for each in run.files(name) if each.path == name]


class AlertLevel(Enum):
    """How much an alert matters."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class RunFiles:
    """The part of ``Run`` that is about files and messages."""

    id: Any
    entity: Any
    project: Any
    disabled: Any
    offline: Any
    _run: steplog.Run
    _saved: SavedFiles

    def _note(self, call: str, advice: str) -> None:
        if not self.disabled:
            unsupported.note(f"wandb.{call}()", advice)

    def save(
        self, glob_str: Any = None, base_path: Any = None, policy: str = "live", glob: bool = True
    ) -> bool | list[str]:
        """Keep the files that match; links to them in ``run.dir``. ``save()``, as after a new name, is of older wandb.

        Raises ValueError for a policy or a base path that is none.
        """
        if glob_str is None:
            return True
        pattern = os.fsdecode(glob_str)
        if pattern.startswith(("gs://", "s3://")):
            say_once(f"{pattern} is a cloud storage url, can't save file")
            return []
        if policy not in POLICIES:
            raise ValueError('Only "live", "end" and "now" policies are currently supported.')
        if self.disabled:
            return []
        none: list[str] = []
        call = f"save({pattern!r})"
        return self._kept(lambda: self._saved.save(pattern, base_path, policy, is_pattern=glob), call, none)

    def _kept(self, keep: Callable[[], _T], call: str, otherwise: _T) -> _T:
        """What ``keep`` returns. What a full disk or an ended run refuses is said, and raises nothing."""
        try:
            return keep()
        except steplog.RunFinishedError:
            say_once(f"run {self._run.name} is over: what {call} gives it is not kept")
        except OSError as error:
            say(f"{call}: not kept: {error}", always=True)
        return otherwise

    def save_code_of(self, path: str) -> None:
        """Internal: keep the program's own file, as ``init(save_code=True)`` asks."""
        if not self.disabled and os.path.isfile(path):
            name = os.path.relpath(path)
            name = f"code/{os.path.basename(path) if name.startswith('..') else Path(name).as_posix()}"
            self._kept(lambda: self._saved.keep_as(name, os.path.abspath(path)), "init(save_code=True)", None)

    def restore(
        self, name: str, run_path: str | None = None, replace: bool = False, root: str | None = None
    ) -> TextIO | None:
        """See ``wandb.restore``."""
        return restore(name, run_path, replace, root)

    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - wandb's name
        aliases: Any = None,
        tags: Any = None,
    ) -> Artifact:
        """Keep an artifact, or a file or folder as one. Raises TypeError, ValueError for what is neither."""
        return self._logged(artifact_or_path, name, type, aliases, tags)

    def upsert_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - wandb's name
        aliases: Any = None,
        distributed_id: str | None = None,
    ) -> Artifact:
        """``log_artifact``: what each process gives is a version."""
        return self._logged(artifact_or_path, name, type, aliases)

    def finish_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - wandb's name
        aliases: Any = None,
        distributed_id: str | None = None,
    ) -> Artifact:
        """``log_artifact``."""
        return self._logged(artifact_or_path, name, type, aliases)

    def use_artifact(
        self,
        artifact_or_name: Any,
        type: str | None = None,  # noqa: A002 - wandb's name
        aliases: Any = None,
        use_as: str | None = None,
    ) -> Artifact:
        """An artifact by its name, or one that is given, which is logged if it was not.

        Raises CommError where there is none, ValueError where it is of another type.
        """
        if isinstance(artifact_or_name, Artifact):
            if artifact_or_name.is_draft():
                return self._logged(artifact_or_name, None, type, aliases)
            return artifact_or_name
        if not isinstance(artifact_or_name, str):
            raise ValueError('You must pass an artifact name (e.g. "pedestrian-dataset:v1") or a wandb.Artifact')
        kept = found(artifact_or_name, self._run.use_artifact, type)
        return Artifact.of(kept, self.entity or None, self.project or None)

    def log_model(self, path: Any, name: str | None = None, aliases: Any = None) -> None:
        """Keep a file or folder as an artifact of the type "model". Raises ValueError where there is none."""
        self._logged(path, name, "model", aliases)

    def use_model(self, name: str) -> str:
        """Download a model: the path of its file, or of the folder of several. Raises CommError, AssertionError."""
        artifact = self.use_artifact(name)
        if "model" not in artifact.type.lower():
            raise AssertionError("You can only use this method for 'model' artifacts: its type has to contain 'model'.")
        folder = artifact.download()
        names = os.listdir(folder)
        return os.path.join(folder, names[0]) if len(names) == 1 else folder

    def link_model(
        self, path: Any, registered_model_name: str, name: str | None = None, aliases: Any = None
    ) -> Artifact | None:
        """``log_model``; that it is linked is counted."""
        if "/" in registered_model_name:
            raise AssertionError("Please provide only the name of the registered model, without entity or project.")
        return self.link_artifact(self._logged(path, name, "model", aliases), registered_model_name)

    def link_artifact(self, artifact: Artifact, target_path: str, aliases: Any = None) -> Artifact:
        """Log it, if it was not; that it is linked is counted."""
        if artifact.is_draft() and not artifact.is_handed_over:
            self._logged(artifact, None, None, None)
        self._note("link_artifact", _NO_REGISTRY)
        return artifact

    def log_code(
        self,
        root: str | None = ".",
        name: str | None = None,
        include_fn: Callable[..., bool] | None = None,
        exclude_fn: Callable[..., bool] | None = None,
    ) -> Artifact | None:
        """Keep the program's files as an artifact of the type "code"; None: there are none."""
        made = Artifact(safe_name(name or f"source-{self.project}-{os.path.relpath(sys.argv[0] or 'python')}"), "code")
        for path in _code(os.path.abspath(root or "."), include_fn or _is_code, exclude_fn):
            with suppress(OSError):  # one that has gone meanwhile
                made.add_file(path, os.path.relpath(path, root or "."))
        if not made.entries:
            say_once("log_code() found no files; no code is kept with the run")
            return None
        return self._logged(made, None, None, None)

    def watch(
        self,
        models: Any,
        criterion: Any = None,
        log: str | None = "gradients",
        log_freq: int = 1000,
        idx: int | None = None,
        log_graph: bool = False,
    ) -> None:
        """Nothing is read of the model."""
        if log not in ("gradients", "parameters", "all", None):
            raise ValueError(f"log is 'gradients', 'parameters', 'all' or None, not {log!r}")
        self._note("watch", 'gradients are not read; log what you need: run.log({"grad_norm": …})')

    def unwatch(self, models: Any = None) -> None:
        """Nothing was read."""

    def alert(self, title: str, text: str, level: Any = None, wait_duration: Any = None) -> None:
        """Nobody is told."""
        if level is not None and getattr(level, "value", level) not in AlertLevel.__members__:
            raise ValueError("level must be one of 'INFO', 'WARN', or 'ERROR'")
        self._note("alert", "no message is sent; print it, or send it from your program")

    def _logged(
        self,
        given: Any,
        name: str | None,
        type_: str | None,
        aliases: str | Sequence[str] | None,
        tags: str | Sequence[str] | None = None,
    ) -> Artifact:
        artifact = given if isinstance(given, Artifact) else self._made(given, name, type_)
        artifact.entity, artifact.project = self.entity or None, self.project or None
        artifact.is_sent_later = self.offline or self.disabled
        self._kept(
            lambda: artifact.hand_over(self._run, _texts(aliases), _texts(tags)),
            f"log_artifact({artifact.name!r})",
            None,
        )
        return artifact

    def _made(self, given: Any, name: str | None, type_: str | None) -> Artifact:
        if not isinstance(given, (str, os.PathLike)):
            raise TypeError("You must pass an instance of wandb.Artifact or a valid file path to log_artifact")
        path = os.fspath(given)
        made = Artifact(name or safe_name(f"run-{self.id}-{os.path.basename(path)}"), type_ or "unspecified")
        if os.path.isfile(path):
            made.add_file(path, policy="immutable")  # it is copied when it is logged, which is now
        elif os.path.isdir(path):
            made.add_dir(path, policy="immutable")
        elif "://" in str(path):
            made.add_reference(path)
        else:
            raise ValueError("path must be a file, directory or external reference like s3://bucket/path")
        made.is_copied_late = True
        return made


def _texts(given: str | Sequence[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def _is_code(path: str) -> bool:
    return path.endswith((".py", "requirements.txt")) or os.path.basename(path) == "Dockerfile"


def _code(root: str, include: Callable[..., bool], exclude: Callable[..., bool] | None) -> Iterator[str]:
    """The files below a folder that are meant."""
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if each not in _CODE_LEFT_OUT or folder != root]
        for name in sorted(names):
            path = os.path.join(folder, name)
            if _asked(include, path, root) and not (exclude is not None and _asked(exclude, path, root)):
                yield path


def _asked(function: Callable[..., bool], path: str, root: str) -> bool:
    """What a function says of a path; it may take the root as well."""
    import inspect

    return bool(function(path, root) if len(inspect.signature(function).parameters) == 2 else function(path))
