"""trackio's names on steplog: ``import steplog.compat.trackio as trackio``.

Nothing is sent to a Space or to trackio's server, and nothing is written to its directory. What reads (``Api``) and
what shows is imported at first use.
"""

from __future__ import annotations

import glob
import importlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import steplog
from steplog.compat.field_limits import fitting_text
from steplog.compat.readable_name import readable_name
from steplog.compat.trackio import context_vars
from steplog.compat.trackio.artifact import Artifact
from steplog.compat.trackio.media import (
    Audio,
    Histogram,
    Html,
    Image,
    Markdown,
    Object3D,
    Table,
    Trace,
    Video,
)
from steplog.compat.trackio.run import AlertLevel, Run, checked_config
from steplog.compat.unsupported import unsupported

__all__ = [
    "TRACKIO_DIR",
    "AlertLevel",
    "Api",
    "Artifact",
    "Audio",
    "Histogram",
    "Html",
    "Image",
    "Markdown",
    "Object3D",
    "Run",
    "Table",
    "Trace",
    "Video",
    "alert",
    "config",
    "context_vars",
    "delete_project",
    "finish",
    "freeze",
    "import_csv",
    "import_tf_events",
    "init",
    "log",
    "log_artifact",
    "log_cpu",
    "log_gpu",
    "log_system",
    "save",
    "show",
    "sync",
    "use_artifact",
]

__version__ = "0.43.0"
TRACKIO_DIR = Path(os.environ.get("TRACKIO_DIR") or "~/.cache/huggingface/trackio").expanduser()
config: dict[str, Any] = {}  # that of the run, once there is one

_NOT_IMPLEMENTED = ("ArtifactTTL", "Classes", "Config", "EvalTable", "Graph", "JoinedTable", "Molecule", "Plotly")
_last: Run | None = None


def init(
    project: str,
    name: str | None = None,
    group: str | None = None,
    space_id: str | None = None,
    server_url: str | None = None,
    dataset_id: str | None = None,
    bucket_id: str | None = None,
    config: Any = None,
    resume: str = "never",
    settings: Any = None,
    private: bool | None = None,
    embed: bool = True,
    auto_log_gpu: bool | None = None,
    gpu_log_interval: float = 10.0,
    auto_log_cpu: bool | None = None,
    cpu_log_interval: float = 10.0,
    webhook_url: str | None = None,
    webhook_min_level: AlertLevel | str | None = None,
) -> Run:
    """Begin a run, or go on with the one of this name; the one before it is finished.

    steplog records load and memory of its own accord (``system_interval_s``), whatever ``auto_log_cpu`` says.

    Raises:
        ValueError: ``resume`` is none of "must", "allow" and "never", or "must" finds no such run.
    """
    global _last
    if resume not in ("must", "allow", "never"):
        raise ValueError("resume must be one of: 'must', 'allow', or 'never'")
    if resume == "must" and name is None:
        raise ValueError("Must provide a run name when resume='must'")
    plain = checked_config(config)
    if (before := context_vars.current_run.get()) is not None:  # that of another thread goes on
        before.finish()
        context_vars.current_run.set(None)
    _count_places(space_id=space_id, server_url=server_url, dataset_id=dataset_id, bucket_id=bucket_id)
    if webhook_url or os.environ.get("TRACKIO_WEBHOOK_URL"):
        unsupported.note("trackio.init(webhook_url=…)", "no webhook is called; call it where you alert")
    from steplog.settings import resolve  # late, as all that begins a run

    called = fitting_text("name", name) or resolve().name or readable_name()
    goes_on = None if name is None or resume == "never" else resume
    try:
        begun = steplog.init(
            project=project, name=called, group=fitting_text("group", group), resume=goes_on, activate=False
        )
    except steplog.RunNotFoundError as error:
        raise ValueError(f"Run '{name}' does not exist in project '{project}': {error}") from None
    steplog.set_active_run(begun)
    run = Run(begun, project, begun.name or called, group, plain)
    context_vars.current_project.set(project)
    context_vars.current_run.set(run)
    _last = run
    globals()["config"] = run.config
    return run


def _count_places(**given: str | None) -> None:
    """Where trackio would send a run."""
    for variable, name in (("TRACKIO_SPACE_ID", "space_id"), ("TRACKIO_SERVER_URL", "server_url")):
        given[name] = given[name] or os.environ.get(variable)
    for name, value in given.items():
        if value:
            unsupported.note(f"trackio.init({name}=…)", "the run goes to steplog's server; to choose it: STEPLOG_URL")


def _current() -> Run | None:
    """This context's run; in another thread, the one that was begun last."""
    run = context_vars.current_run.get() or _last
    return None if run is None or run.is_finished else run


def _needed(call: str) -> Run:
    run = _current()
    if run is None:
        raise RuntimeError(f"Call trackio.init() before trackio.{call}().")
    return run


def log(metrics: Mapping[str, Any], step: int | None = None) -> None:
    """Log a row to the current run. Raises RuntimeError where there is none."""
    _needed("log").log(metrics, step)


def log_system(metrics: Mapping[str, Any]) -> None:
    """Log values under ``system/``, without a step."""
    _needed("log_system").log_system(metrics)


def log_gpu(run: Run | None = None, device: int | None = None) -> dict[str, Any]:
    """Do nothing: steplog records load and memory itself, as ``system/…``."""
    return {}


def log_cpu(run: Run | None = None) -> dict[str, Any]:
    """Do nothing: steplog records load and memory itself, as ``system/…``."""
    return {}


def log_artifact(
    artifact_or_path: Any,
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - trackio's word
    aliases: list[str] | None = None,
    overwrite: bool = False,
) -> Artifact:
    """Keep an artifact, or a file or folder as one. Raises ValueError, RuntimeError, OSError."""
    return _needed("log_artifact").log_artifact(artifact_or_path, name, type, aliases, overwrite)


def use_artifact(artifact_or_name: Any, type: str | None = None) -> Artifact:  # noqa: A002
    """An artifact of the project by its name. Raises ValueError where there is none."""
    return _needed("use_artifact").use_artifact(artifact_or_name, type)


def finish() -> None:
    """End the current run, and wait until it is delivered. Raises RuntimeError where there is none."""
    run = _needed("finish")
    try:
        run.finish()
    finally:
        context_vars.current_run.set(None)


def alert(
    title: str,
    text: str | None = None,
    level: AlertLevel = AlertLevel.WARN,
    webhook_url: str | None = None,
) -> None:
    """Print an alert, and keep it as a JSON value of the run's ``alerts``."""
    _needed("alert").alert(title, text, level, webhook_url=webhook_url)


def save(glob_str: str | Path, project: str | None = None) -> str:
    """Keep files with the current run, by their path from here on.

    Raises ValueError where no file is meant, RuntimeError without a project.
    """
    if project is None and context_vars.current_project.get() is None:
        words = "No project specified. Either call trackio.init() first or provide a project parameter"
        raise RuntimeError(f"{words} to trackio.save().")
    pattern = str(glob_str)
    found = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern, recursive=True))
    files = [path for path in found if os.path.isfile(path)]
    if not files:
        raise ValueError(f"No files found matching pattern: {glob_str}")
    run = _current()
    if run is None:
        unsupported.note("trackio.save() without a run", "files are kept with a run; call trackio.init() first")
    else:
        run.save(files)
    return str(glob_str)


def show(project: str | None = None, **_: Any) -> tuple[None, str, None, str]:
    """Say where the runs are shown; does not wait."""
    from steplog.lifecycle.messages import say
    from steplog.settings import resolve

    run = _current()
    url = (run.url if run is not None else None) or ""
    say(resolve().quiet, logging.INFO, f"runs are shown at {url}" if url else "to see runs, type: steplog serve")
    return None, url, None, url


def sync(project: str, space_id: str | None = None, *_: Any, **__: Any) -> str:
    """Counted."""
    unsupported.note("trackio.sync()", "runs are sent as they are logged; of an offline one, type: steplog sync")
    return space_id or project


def freeze(space_id: str, project: str, new_space_id: str | None = None, *_: Any, **__: Any) -> str:
    """Counted."""
    unsupported.note("trackio.freeze()", f"to keep a copy of the runs, type: steplog export {project}")
    return new_space_id or space_id


def import_csv(csv_path: str | Path, project: str, name: str | None = None, *_: Any, **__: Any) -> None:
    """Counted."""
    unsupported.note("trackio.import_csv()", f"type: steplog import {csv_path} --project {project}")


def import_tf_events(log_dir: str | Path, project: str, name: str | None = None, *_: Any, **__: Any) -> None:
    """Counted."""
    unsupported.note("trackio.import_tf_events()", f"type: steplog import {log_dir} --project {project}")


def delete_project(project: str, force: bool = False) -> bool:
    """Counted; False: nothing is deleted."""
    unsupported.note("trackio.delete_project()", "delete it by hand: steplog.delete_project(namespace, project)")
    return False


def __getattr__(name: str) -> Any:
    if name in ("Api", "api"):
        module = importlib.import_module(f"{__name__}.api")
        return module.Api if name == "Api" else module
    if name in _NOT_IMPLEMENTED or name == "Settings":

        def refuse(*_: Any, **__: Any) -> NoReturn:
            raise NotImplementedError(f"trackio.{name} is not implemented, by trackio either")

        return refuse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
