"""``import wandb`` without wandb: steplog's module under the other logger's name, in this process and its children.

::

    shadows/wandb/                           a folder for sys.path, or PYTHONPATH
        wandb/__init__.py                    calls take_over("wandb")
        wandb-0.31.0+steplog.dist-info/      what importlib.metadata finds; no RECORD, so that pip removes nothing

1. ``wandb.x`` is the module ``steplog.compat.wandb.x``: one object with two names in ``sys.modules``. What that package
   does not have cannot be imported.
2. ``take_over`` puts a finder on the meta path. Whoever has the folder on the path needs no call of its own: a child of
   multiprocessing, which gets its parent's ``sys.path``, and each process that inherits PYTHONPATH.
3. A logger that is installed or imported is not replaced unasked.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from steplog.reentrant_lock import ReentrantLock

__all__ = ["NAMES", "folder_of", "install", "real_spec", "take_over", "taken"]

NAMES = ("mlflow", "trackio", "wandb")
_one_at_a_time = ReentrantLock()
_FOLDERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shadows", "")


def install(name: str, replace: bool = False) -> None:
    """Make ``import wandb`` give ``steplog.compat.wandb``, for all code of this process that imports it from now on.

    Call it before the first import of a framework that looks for wandb. A process that multiprocessing starts
    (spawn, forkserver) sees it as well. For a program that must not be changed, and for what it starts:
    ``python -m steplog.compat wandb train.py``.

    Args:
        name: "mlflow", "trackio" or "wandb".
        replace: also where the real one is installed, or imported already.

    Raises:
        ImportError: the real one is there, and ``replace`` is not given.
        ValueError: steplog has no module for this name.
    """
    folder = folder_of(name)
    with _one_at_a_time:
        if _finder_of(name) is None:
            _install(name, folder, replace)


def _install(name: str, folder: str, replace: bool) -> None:
    if not replace and (there := real_spec(name)) is not None:
        raise ImportError(
            taken(name, there, f'call steplog.compat.install("{name}", replace=True), or: pip uninstall {name}'),
            name=name,
        )
    if _is_real(sys.modules.get(name)):
        _say_held(name)
    for key in [key for key in sys.modules if f"{key}.".startswith(f"{name}.")]:
        del sys.modules[key]
    if folder not in sys.path:
        sys.path.insert(1, folder)  # the first one is the script's own
    _find(name)


def take_over(name: str) -> None:
    """What the package in the folder does when it is imported: leave its name to steplog's module."""
    _find(name)
    sys.modules[name] = importlib.import_module(_target(name))


def folder_of(name: str) -> str:
    """What makes a process see the name, where it is on the path. Raises ValueError for a name of no module."""
    if name not in NAMES:
        raise ValueError(f"steplog.compat has no module for {name!r}: it has {', '.join(NAMES)}")
    return os.path.join(_FOLDERS, name)


def real_spec(name: str) -> ModuleSpec | None:
    """The other logger itself, as an import would find it; a folder of its files without code is none."""
    if name in sys.modules:
        module = sys.modules[name]
        return module.__spec__ if _is_real(module) else None
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None or spec.origin.startswith(_FOLDERS) else spec


def taken(name: str, spec: ModuleSpec, advice: str) -> str:
    """Why the name is not taken over, in words."""
    return f"{name} itself is installed, in {spec.origin}; to log to steplog by its name, {advice}"


def _say_held(name: str) -> None:
    import logging

    _log = logging.getLogger("steplog")
    _log.warning(
        "steplog: %s was imported before steplog.compat.install(): modules that hold it keep the real one; call "
        "install() before the first import of whatever imports %s",
        name,
        name,
    )


def _is_real(module: ModuleType | None) -> bool:
    """Not steplog's, nor a folder called like it, such as that of wandb's runs, which has no file and is imported."""
    is_ours = getattr(module, "__name__", "").startswith(f"{__package__}.")
    return getattr(module, "__file__", None) is not None and not is_ours


def _target(name: str) -> str:
    return f"{__package__}.{name}"


def _finder_of(name: str) -> _Finder | None:
    return next((it for it in sys.meta_path if isinstance(it, _Finder) and it.name == name), None)


def _find(name: str) -> None:
    if _finder_of(name) is None:
        sys.meta_path.insert(0, _Finder(name))


class _Finder:
    """Finds ``name`` and what is in it, in steplog."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not f"{fullname}.".startswith(f"{self.name}."):
            return None
        ours = _target(fullname)
        found = importlib.util.find_spec(ours)
        if found is None:
            return None
        loader: Any = _SecondName(ours)  # importlib.abc, which has the class, takes as long to import as steplog
        spec = ModuleSpec(fullname, loader, origin=found.origin)
        spec.submodule_search_locations = found.submodule_search_locations
        return spec


class _SecondName:
    """Loads nothing anew: the module that has its name and its ``__spec__`` already."""

    def __init__(self, ours: str) -> None:
        self._ours = ours
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._ours)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has set that of the second name


def _after_fork_in_child() -> None:
    global _one_at_a_time
    _one_at_a_time = ReentrantLock()  # another thread may have held it


os.register_at_fork(after_in_child=_after_fork_in_child)
