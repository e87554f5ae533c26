"""What PyTorch's and tensorboardX's writers of event files write is also logged to a run.

::

    start(run)      from now on; the writers go on writing their files
    flush()         what TensorFlow has not given yet: before a run ends while its writers are open
    stop()

1. It counts for writers that were made or imported before as for those that come: ``FileWriter.add_event``, through
   which all of both libraries goes, is wrapped once its module is there.
2. The step is ``global_step``. A number that ``add_scalar`` was given is logged with its 64 bits; a tensor is not read
   again: what was written of it is logged.
3. ``add_scalars("loss", {"train": …})`` is ``loss/train``, ``add_hparams`` sets the config. Tags of a further log
   directory have a prefix (``compat.tensorboard.log_dirs``).
4. A writer's call raises what it would raise without this, and nothing else. What cannot be logged is said once.
5. TensorFlow, and Keras on it, write event files by code of their own. Those of ``tf.summary.create_file_writer`` are
   read as they are flushed (``compat.tensorboard.tensorflow_files``).
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import steplog
from steplog.compat.tensorboard.events import EventReader, step_of
from steplog.compat.tensorboard.log_dirs import prefix
from steplog.compat.tensorboard.tensorflow_files import FollowedWriters, say_not_logged
from steplog.compat.tensorboard.values import hyperparameters, is_near
from steplog.compat.tensorboard.writer_run import checked_tag

if TYPE_CHECKING:
    from steplog import Run

__all__ = ["flush", "start", "stop"]

_log = logging.getLogger("steplog")
_local = threading.local()  # call: the _Call that is under way


def start(run: Run | None = None) -> None:
    """From now on, log what is written to ``run``, and no more to the run before; None: to the run that is active."""
    global _synced
    flush()
    _synced = _Synced(run)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    for name in _WRAPPED_BY:
        if name in sys.modules:
            with suppress(ImportError):
                _wrap(importlib.import_module(name))  # once it is whole, where another thread is importing it


def stop() -> None:
    """Log nothing more."""
    global _synced
    flush()
    _synced = None
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def flush() -> None:
    """Log what TensorFlow's writers have been given."""
    _followed.flush()


class _Call(NamedTuple):
    """A call of a ``SummaryWriter``. ``given``: a name, None for the tag, and a number; the last one is first."""

    log_dir: str
    given: list[tuple[str | None, Any]]
    config: dict[str, Any] | None

    def as_given(self, tag: str, value: Any) -> tuple[str, Any]:
        """The name and the number that a value which was written came from."""
        if not self.given or value.__class__ is not float:
            return tag, value
        name, given = self.given.pop()
        is_exact = given.__class__ in (float, int) or isinstance(given, float)  # numpy.float64 is one
        return tag if name is None else name, given if is_exact and is_near(given, value) else value


class _Synced:
    """Logs what ``FileWriter`` objects have written."""

    def __init__(self, run: Run | None) -> None:
        self._run = run
        self._readers: weakref.WeakKeyDictionary[Any, EventReader] = weakref.WeakKeyDictionary()
        self._names: dict[tuple[Run, str, str], str] = {}

    def written(self, writer: Any, event: Any, step: Any) -> None:
        """Log what an event says. Never raises."""
        call: _Call | None = getattr(_local, "call", None)
        log_dir = writer.get_logdir() if call is None else call.log_dir
        try:
            for tag, value in self._reader(writer).values(event):
                name, number = (tag, value) if call is None else call.as_given(tag, value)
                self.log(log_dir, name, number, step_of(event, step))
        except Exception as error:  # noqa: BLE001 - the training goes on, and its event files have it
            say_not_logged(log_dir, error)

    def log(self, log_dir: str, tag: str, value: Any, step: int | None) -> None:
        """Log a value. Never raises."""
        try:
            run = steplog.get_active_run() if self._run is None else self._run
            run.log(self._name(run, log_dir, tag), value, step)
        except Exception as error:  # noqa: BLE001 - as above
            say_not_logged(log_dir, error)

    def _reader(self, writer: Any) -> EventReader:
        reader = self._readers.get(writer)
        return self._readers.setdefault(writer, EventReader(self.configure)) if reader is None else reader

    def _name(self, run: Run, log_dir: str, tag: str) -> str:
        """The metric of a tag; found once."""
        name = self._names.get((run, log_dir, tag))
        if name is None:
            name = self._names[run, log_dir, tag] = checked_tag(prefix(run, log_dir) + tag)
        return name

    def configure(self, config: dict[str, Any]) -> None:
        """Set hyperparameters in the run's config."""
        run = steplog.get_active_run() if self._run is None else self._run
        call: _Call | None = getattr(_local, "call", None)
        run.config.update(config if call is None or call.config is None else call.config)


_synced: _Synced | None = None
_wrapped: dict[Any, object] = {}  # the classes, each by whichever thread came first


def _wrap_writers(module: ModuleType) -> None:
    """Wrap the methods of a module's ``FileWriter`` and ``SummaryWriter``, unless that has been done."""
    writer, files = module.SummaryWriter, module.FileWriter
    mine = object()
    if _wrapped.setdefault(files, mine) is not mine:
        return
    files.add_event = _then_logged(files.add_event)
    writer.add_scalar = _within_call(writer.add_scalar, _given_to_add_scalar)
    writer.add_scalars = _within_call(writer.add_scalars, _given_to_add_scalars)
    writer.add_hparams = _within_call(writer.add_hparams, _given_to_add_hparams)


def _then_logged(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def add_event(self: Any, event: Any, step: Any = None, walltime: Any = None) -> Any:
        result = original(self, event, step, walltime)
        if (synced := _synced) is not None:  # another thread may stop it
            synced.written(self, event, step)
        return result

    return add_event


_Given = tuple[list[tuple[str | None, Any]], dict[str, Any] | None]


def _within_call(original: Callable[..., Any], given_to: Callable[..., _Given]) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        if _synced is None:
            return original(self, *arguments, **named)
        before: _Call | None = getattr(_local, "call", None)
        log_dir = str(getattr(self, "log_dir", None) or self.logdir) if before is None else before.log_dir
        try:
            given, config = given_to(*arguments, **named)
        except Exception:  # noqa: BLE001 - wrong arguments: the writer says so
            given, config = [], None
        _local.call = _Call(log_dir, given, config)
        try:
            return original(self, *arguments, **named)
        finally:
            _local.call = before

    return method


def _given_to_add_scalar(_tag: Any = None, scalar_value: Any = None, *_: Any, **__: Any) -> _Given:
    return [(None, scalar_value)], None


def _given_to_add_scalars(main_tag: str, tag_scalar_dict: dict[str, Any], *_: Any, **__: Any) -> _Given:
    return [(f"{main_tag}/{tag}", value) for tag, value in reversed(tag_scalar_dict.items())], None


def _given_to_add_hparams(hparam_dict: dict[str, Any], *_: Any, **__: Any) -> _Given:
    return [], hyperparameters(hparam_dict)


def _log_value(log_dir: str, tag: str, value: Any, step: int) -> None:
    if (synced := _synced) is not None:
        synced.log(log_dir, tag, value, step)


def _set_config(config: dict[str, Any]) -> None:
    if (synced := _synced) is not None:
        synced.configure(config)


_followed = FollowedWriters(_log_value, _set_config)


def _follow_tensorflow(module: ModuleType) -> None:
    """Wrap what makes writers in ``tf.summary``, unless that has been done; ``tensorflow.summary`` may be another."""
    summary: Any = getattr(module, "summary", None) if module.__name__ == "tensorflow" else module
    create = getattr(summary, "create_file_writer", None)
    if create is not None and not hasattr(create, "__wrapped__"):
        summary.create_file_writer = _followed.wrapped(create, lambda: _synced is not None)


_WRAPPED_BY: dict[str, Callable[[ModuleType], None]] = {
    "torch.utils.tensorboard.writer": _wrap_writers,
    "tensorboardX.writer": _wrap_writers,
    "tensorflow": _follow_tensorflow,
    "tensorflow.summary": _follow_tensorflow,
}


def _wrap(module: ModuleType) -> None:
    """Wrap a module's writers. One of a version that is built otherwise is left alone."""
    wrap = _WRAPPED_BY.get(module.__name__)
    if wrap is not None:
        try:
            wrap(module)
        except AttributeError as error:
            _log.warning("steplog: what %s writes is not logged: %s", module.__name__, error)


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps a module's writers when it has been imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """What the other finders find."""
        if fullname not in _WRAPPED_BY:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            with suppress(AttributeError):  # one that cannot be told what to do afterwards
                loader.exec_module = functools.partial(_executed, loader.exec_module)
        return spec


def _executed(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    execute(module)
    _wrap(module)  # a loader may have several modules


_finder = _Finder()
