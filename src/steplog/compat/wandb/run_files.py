"""What ``wandb.Run`` does with files, models and messages, of which steplog has none: taken, and counted.

What would read such a file raises ``wandb.errors.CommError``. In a disabled run nothing is counted.
"""

from __future__ import annotations

import glob as globbing
import os
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

from steplog.compat.unsupported import unsupported
from steplog.compat.wandb.artifact import Artifact, not_here

__all__ = ["AlertLevel", "RunFiles", "restore"]

_POLICIES = ("live", "end", "now")
_KEEP = "files are not kept; they stay where they are, so copy what you need"


def restore(name: str, run_path: str | None = None, replace: bool = False, root: str | None = None) -> NoReturn:
    """``wandb.restore``. Raises CommError."""
    raise not_here(f"the file {name!r}")


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

    def _note(self, call: str, advice: str) -> None:
        if not self.disabled:
            unsupported.note(f"wandb.{call}()", advice)

    def save(
        self, glob_str: Any = None, base_path: Any = None, policy: str = "live", glob: bool = True
    ) -> bool | list[str]:
        """The files that match, which stay where they are; ``save()``, as after a new name, is of older wandb."""
        if glob_str is None:
            return True
        if policy not in _POLICIES:
            raise ValueError('Only "live", "end" and "now" policies are currently supported.')
        pattern = os.fsdecode(glob_str)
        if "://" in pattern:
            return []
        self._note("save", _KEEP)
        return sorted(globbing.glob(pattern)) if glob else [pattern] * os.path.exists(pattern)

    def restore(
        self, name: str, run_path: str | None = None, replace: bool = False, root: str | None = None
    ) -> NoReturn:
        """Raises CommError."""
        restore(name, run_path, replace, root)

    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - wandb's name
        aliases: Any = None,
        tags: Any = None,
    ) -> Artifact:
        """The artifact."""
        return self._logged("log_artifact", artifact_or_path, name, type, aliases, tags)

    def upsert_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - wandb's name
        aliases: Any = None,
        distributed_id: str | None = None,
    ) -> Artifact:
        """The artifact."""
        return self._logged("upsert_artifact", artifact_or_path, name, type, aliases)

    def finish_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - wandb's name
        aliases: Any = None,
        distributed_id: str | None = None,
    ) -> Artifact:
        """The artifact."""
        return self._logged("finish_artifact", artifact_or_path, name, type, aliases)

    def use_artifact(
        self,
        artifact_or_name: Any,
        type: str | None = None,  # noqa: A002 - wandb's name
        aliases: Any = None,
        use_as: str | None = None,
    ) -> Artifact:
        """The artifact, if one is given. Raises CommError for a name."""
        if isinstance(artifact_or_name, Artifact):
            return self._logged("use_artifact", artifact_or_name, None, type, aliases)
        raise not_here(f"the artifact {artifact_or_name!r}")

    def log_model(self, path: Any, name: str | None = None, aliases: Any = None) -> None:
        """Nothing is kept. Raises ValueError where there is no such file."""
        self._logged("log_model", path, name, "model", aliases)

    def use_model(self, name: str) -> NoReturn:
        """Raises CommError."""
        raise not_here(f"the model {name!r}")

    def link_model(
        self, path: Any, registered_model_name: str, name: str | None = None, aliases: Any = None
    ) -> Artifact | None:
        """The artifact."""
        return self._logged("link_model", path, name, "model", aliases)

    def link_artifact(self, artifact: Artifact, target_path: str, aliases: Any = None) -> Artifact:
        """The artifact."""
        return self._logged("link_artifact", artifact, None, None, aliases)

    def log_code(
        self,
        root: str | None = ".",
        name: str | None = None,
        include_fn: Callable[..., bool] | None = None,
        exclude_fn: Callable[..., bool] | None = None,
    ) -> None:
        """Nothing is kept but what steplog says of each run: its repository, commit, and what is not committed."""
        self._note("log_code", "the run says its repository and commit; files are not kept")

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
        call: str,
        given: Any,
        name: str | None,
        type_: str | None,
        aliases: str | Sequence[str] | None,
        tags: str | Sequence[str] | None = None,
    ) -> Artifact:
        artifact = given if isinstance(given, Artifact) else self._made(given, name, type_)
        artifact.logged(self.entity, self.project, _texts(aliases), _texts(tags))
        self._note(call, _KEEP)
        return artifact

    def _made(self, given: Any, name: str | None, type_: str | None) -> Artifact:
        if not isinstance(given, (str, os.PathLike)):
            raise TypeError("You must pass an instance of wandb.Artifact or a valid file path to log_artifact")
        path = os.fspath(given)
        made = Artifact(name or f"run-{self.id}-{Path(path).name}", type_ or "unspecified")
        if os.path.isfile(path):
            made.add_file(path)
        elif os.path.isdir(path):
            made.add_dir(path)
        elif "://" in str(path):
            made.add_reference(path)
        else:
            raise ValueError("path must be a file, directory or external reference like s3://bucket/path")
        return made


def _texts(given: str | Sequence[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())
