"""``trackio.Run``: a run of steplog with trackio's step counter and config.

1. A call of ``log`` is a row: its values are logged at one step, the next one, or the one given. The counter is then
   the greatest step so far, plus one; a run that is resumed goes on after its last step.
2. ``config`` is a dict. What is set in it is logged at once, what is changed inside it at the next ``log`` of it or at
   the end of the run.
3. No call that logs raises: what cannot be logged is a warning, as with trackio.
"""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import steplog
from steplog.compat.field_limits import fitting_name
from steplog.compat.trackio.artifact import Artifact
from steplog.compat.trackio.media import as_json, needs_copy
from steplog.compat.unsupported import unsupported
from steplog.journal.jsonable import DEPTH_MAX, short_repr
from steplog.journal.slot import STEP_MAX
from steplog.living import Living
from steplog.reentrant_lock import ReentrantLock

__all__ = ["AlertLevel", "Run", "RunConfig", "checked_config"]

_RESERVED = frozenset(("project", "run", "timestamp", "step", "time", "metrics"))  # trackio's own columns
_NO_REGISTRY = "there is no registry; use the artifact by its name: trackio.use_artifact('name:v3')"
_REFUSED = (TypeError, ValueError, AttributeError, RuntimeError)  # RunFinishedError is a RuntimeError
_PLAIN_CHARACTERS_MAX = 64  # of a name that is short enough, whatever its characters
_OBJECTS_MAX = 10_000  # in a value of a config


class AlertLevel(str, Enum):
    """How much an alert matters."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class RunConfig(dict[str, Any]):
    """A dict, each change of which is given to ``log``: what is set, and which keys are removed.

    Its copies are plain.
    """

    def __init__(self, log: Callable[[dict[str, Any], list[str]], None], given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.lock = ReentrantLock()
        self._log = log
        self._logged: dict[str, Any] = {}

    def tell(self) -> None:
        """Log what has changed since the last time."""
        with self.lock:
            now = {key: _plain(value) for key, value in dict(self).items()}
            before = self._logged
            changed = {key: value for key, value in now.items() if key not in before or before[key] != value}
            removed = [key for key in before if key not in now]
            if changed or removed:
                self._logged = copy.deepcopy(now)
                self._log(changed, removed)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self.tell()

    def pop(self, *key_and_default: Any) -> Any:
        """See ``dict``."""
        value = super().pop(*key_and_default)
        self.tell()
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.tell()

    def __ior__(self, other: Any) -> RunConfig:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """See ``dict``."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, allow_val_change: bool = True, **values: Any) -> None:
        """See ``dict``; ``allow_val_change`` is wandb's, and a value may change anyway."""
        super().update(*others, **values)
        self.tell()


class Run:
    """A run that is open; ``begun`` is that of steplog."""

    def __init__(self, begun: steplog.Run, project: str, name: str, group: str | None, config: dict[str, Any]) -> None:
        self._run = begun
        self._made_in = os.getpid()
        self._lock = ReentrantLock()  # a signal's function may log, too
        self.project = project
        self.name = name
        self.group = group
        step = begun.step
        self._next_step = 0 if step is None else min(step + 1, STEP_MAX)
        self.is_finished = False
        self.config = RunConfig(self._log_config, config)
        self.config.tell()
        _runs.add(self)
        from steplog.safeguard import before_end  # late, as all that begins a run

        before_end(_conclude)

    @property
    def id(self) -> str:
        """The uuid."""
        return self._run.uuid or ""

    @property
    def url(self) -> str | None:
        """The address of its page."""
        return self._run.url

    def __repr__(self) -> str:
        return f"<Run {self.name} in project {self.project}>"

    def log(self, metrics: Mapping[str, Any], step: Any = None) -> None:
        """Log a row."""
        try:
            self._append(metrics if _is_plain(metrics) else _row(metrics), step)
        except _REFUSED:
            try:  # a plain row may have a name that is to be cut
                self._append(_row(metrics), step)
            except _REFUSED as error:
                _warn(f"trackio.log() failed to process metrics: {error!s:.300}")

    def _append(self, row: Mapping[str, Any], step: Any) -> None:
        with self._lock:
            at = self._next_step if step is None else step
            self._run.log(row, step=at)
            self._next_step = min(max(self._next_step, int(at) + 1), STEP_MAX)

    def log_system(self, metrics: Mapping[str, Any]) -> None:
        """Log values under ``system/``, without a step."""
        try:
            self._run.log({f"system/{name}": value for name, value in _row(metrics).items()})
        except _REFUSED as error:
            _warn(f"trackio.log_system() failed: {error!s:.300}")

    def alert(
        self,
        title: str,
        text: str | None = None,
        level: AlertLevel | str = AlertLevel.WARN,
        step: int | None = None,
        webhook_url: str | None = None,
    ) -> None:
        """Print it, and keep it as a JSON value of ``alerts``; no webhook is called."""
        level = AlertLevel(level.value if isinstance(level, AlertLevel) else str(level).lower().strip())
        at = max(self._next_step - 1, 0) if step is None else step
        from steplog.lifecycle.messages import say  # late, as all that begins a run

        severity = {AlertLevel.INFO: logging.INFO, AlertLevel.WARN: logging.WARNING, AlertLevel.ERROR: logging.ERROR}
        words = f"{title}: {text}" if text else title
        say(False, severity[level], f"trackio.alert() {level.value}: {words} (step {at})")
        if webhook_url:
            unsupported.note("trackio.alert(webhook_url=…)", "no webhook is called; call it where you alert")
        try:
            self._run.log("alerts", {"title": title, "text": text, "level": level.value}, at)
        except (TypeError, ValueError, RuntimeError) as error:
            _warn(f"trackio.alert() failed: {error!s:.300}")

    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002 - trackio's word
        aliases: list[str] | None = None,
        overwrite: bool = False,
    ) -> Artifact:
        """Keep an artifact, or a file or folder as one; a server numbers its version.

        Raises ValueError, RuntimeError as trackio does, OSError for a file that cannot be read.
        """
        if isinstance(artifact_or_path, Artifact):
            if name is not None or type is not None:
                raise ValueError("name/type can only be passed when logging a path; set them on the Artifact instead.")
            artifact = artifact_or_path
        else:
            path = Path(artifact_or_path)
            artifact = Artifact(name or path.name, type or "unspecified")
            (artifact.add_dir if path.is_dir() else artifact.add_file)(path)
        artifact.log_to(self._run, self.project, list(aliases or ()))
        return artifact

    def link_artifact(self, artifact: Any, *_: Any, **__: Any) -> Any:
        """Log it, if it was not; that it is linked is counted."""
        if artifact.project is None:
            artifact.log_to(self._run, self.project, [])
        unsupported.note("trackio.Run.link_artifact()", _NO_REGISTRY)
        return artifact

    def use_artifact(self, artifact_or_name: Any, type: str | None = None) -> Artifact:  # noqa: A002
        """An artifact of the project by its name. Raises ValueError where there is none, or of another type."""
        if isinstance(artifact_or_name, Artifact):
            if artifact_or_name.version is None:
                raise ValueError("use_artifact() with an Artifact needs one that was logged, and has a version: wait()")
            artifact_or_name = f"{artifact_or_name.name}:{artifact_or_name.version}"
        try:
            kept = self._run.use_artifact(artifact_or_name)
        except steplog.SteplogError as error:
            raise ValueError(f"Artifact {artifact_or_name!r} not found in project {self.project!r}: {error}") from error
        if type is not None and kept.type != type:
            raise ValueError(f"Artifact {artifact_or_name!r} has type {kept.type!r}, not {type!r}.")
        return Artifact.of(kept, self.project)

    def save(self, paths: list[str]) -> None:
        """Keep files with the run; see ``trackio.save``."""
        try:
            self._run.save(paths)
        except (ValueError, OSError, RuntimeError) as error:
            _warn(f"trackio.save() failed: {error!s:.300}")

    def finish(self) -> None:
        """Wait until it is delivered; a second call does nothing."""
        if not self.is_finished:
            self.config.tell()
            self.is_finished = True
            unsupported.tell(self._run)
            if os.getpid() == self._made_in:  # what a forked child has logged, the parent delivers
                self._run.finish()

    def _log_config(self, changed: dict[str, Any], removed: list[str]) -> None:
        try:
            if changed:
                self._run.config.update(changed)
            for key in removed:
                self._run.config.pop(key, None)
        except (TypeError, ValueError, RuntimeError) as error:
            _warn(f"trackio: the config is not logged: {error!s:.300}")


def _conclude() -> None:
    """What changed inside the configs, before the program ends."""
    for run in _runs:  # others may begin meanwhile
        if not run.is_finished:
            run.config.tell()


def _after_fork_in_child() -> None:
    for run in _runs:
        run._lock = run.config.lock = ReentrantLock()  # another thread may have held it


_runs: Living[Run] = Living()
os.register_at_fork(after_in_child=_after_fork_in_child)


def checked_config(given: Any) -> dict[str, Any]:
    """A config as trackio keeps it. Raises ValueError for a key that is trackio's own."""
    plain = _plain(given or {})
    for key in plain if isinstance(plain, dict) else ():
        if key.startswith("_"):
            words = f"Config key '{key}' is reserved (keys starting with '_' are reserved for internal use)"
            raise ValueError(words)
    return plain if isinstance(plain, dict) else {}


def _warn(words: str) -> None:
    with suppress(Exception):  # a program that makes them errors
        warnings.warn(words, stacklevel=3)


def _is_plain(metrics: Any) -> bool:
    """Whether a row can be logged as it is: names and numbers, as most are."""
    if type(metrics) is not dict:
        return False
    for name, value in metrics.items():
        kind = type(value)
        if (kind is not float and kind is not int) or name in _RESERVED or name.startswith("__"):
            return False
    return True


def _row(metrics: Mapping[str, Any]) -> dict[str, Any]:
    row = {}
    for given, value in metrics.items():
        name = str(given)
        if name in _RESERVED or name.startswith("__"):
            _warn(f"Reserved keys renamed: [{name!r}] → '__{{key}}'")
            name = f"__{name}"
        name = fitting_name(name, "trackio.log()")
        if not name:
            continue
        kept = as_json(value) if needs_copy(value) else value
        if kept is not None or value is None:
            row[name] = kept
    return row


def _plain(value: Any) -> Any:
    """As trackio keeps a config: dicts, lists, numbers and texts; the repr of what is circular, or has no end."""
    return _Copy().of(value)


class _Copy:
    """Copies a value, the attributes of objects with it. Never raises."""

    def __init__(self) -> None:
        self._left = _OBJECTS_MAX
        self._above: list[int] = []  # ids of the values around

    def of(self, value: Any) -> Any:
        """The copy."""
        if value.__class__ in (str, int, float, bool, type(None)):
            return value
        self._left -= 1
        if id(value) in self._above or len(self._above) == DEPTH_MAX or self._left < 0:
            words = f"what is circular, deeper than {DEPTH_MAX} levels, or of over {_OBJECTS_MAX:,} objects"
            unsupported.note(f"trackio.config of {words}", "its repr is kept; give names and values alone")
            return short_repr(value)
        self._above.append(id(value))
        try:
            return self._known(value)
        except Exception:  # noqa: BLE001 - the user's code, and this is no reason to stop a training
            return short_repr(value)
        finally:
            self._above.pop()

    def _known(self, value: Any) -> Any:
        if isinstance(value, (str, int, float)):
            return value
        if isinstance(value, Mapping):
            return {str(key): self.of(each) for key, each in value.items()}
        if isinstance(value, (list, tuple, set)):
            return [self.of(each) for each in value]
        if hasattr(value, "item") and getattr(value, "shape", None) == ():
            return value.item()
        if callable(getattr(value, "to_dict", None)):
            return self.of(value.to_dict())
        if hasattr(value, "__dict__") and not isinstance(value, (type, ModuleType)):
            return {str(key): self.of(each) for key, each in vars(value).items() if not key.startswith("_")}
        return str(value)
