"""steplog: metrics of training runs, logged in well under a microsecond, delivered in the background, never lost.

    import steplog

    run = steplog.init("me", "mnist")
    run.log("loss", 0.31, step=7)
    run.finish()

Names are imported at first use (PEP 562).
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from steplog.platforms import why_unsupported

if TYPE_CHECKING:
    from steplog.active import finish, flush, get_active_run, log, set_active_run
    from steplog.client import TellurioClient, get_default_client, login
    from steplog.errors import (
        ArtifactNotFoundError,
        ConfigurationError,
        FilterError,
        FormatError,
        InvalidAPIKeyError,
        MetricNotFoundError,
        ProjectNotFoundError,
        RunExistsError,
        RunFileNotFoundError,
        RunFinishedError,
        RunNotFoundError,
        ServerUnavailableError,
        SteplogError,
    )
    from steplog.files.artifact import Artifact
    from steplog.files.run_file import RunFile
    from steplog.identity import RunOrg, RunProject, RunStatus, RunUser
    from steplog.lifecycle.attach import attach
    from steplog.lifecycle.init import init
    from steplog.lifecycle.local_records import JournalRecord, read_journal
    from steplog.lifecycle.recovery import Synced, WaitingRun, clean, journals, sync
    from steplog.media.audio import Audio
    from steplog.media.histogram import Histogram
    from steplog.media.html import Html
    from steplog.media.image import Image
    from steplog.media.table import Table
    from steplog.media.video import Video
    from steplog.project import Project, create_project, delete_project, get_project
    from steplog.reading.arrow_table import ArrowTable
    from steplog.reading.artifacts import artifact, artifacts
    from steplog.reading.open_run import open  # noqa: A004 - as tarfile and gzip have one
    from steplog.reading.read_only_run import ReadOnlyRun
    from steplog.reading.runs import runs
    from steplog.report import Report, Stats
    from steplog.run import Run
    from steplog.version import __version__ as __version__

__all__ = [
    "ArrowTable",
    "Artifact",
    "ArtifactNotFoundError",
    "Audio",
    "ConfigurationError",
    "FilterError",
    "FormatError",
    "Histogram",
    "Html",
    "Image",
    "InvalidAPIKeyError",
    "JournalRecord",
    "MetricNotFoundError",
    "Project",
    "ProjectNotFoundError",
    "ReadOnlyRun",
    "Report",
    "Run",
    "RunExistsError",
    "RunFile",
    "RunFileNotFoundError",
    "RunFinishedError",
    "RunNotFoundError",
    "RunOrg",
    "RunProject",
    "RunStatus",
    "RunUser",
    "ServerUnavailableError",
    "Stats",
    "SteplogError",
    "Synced",
    "Table",
    "TellurioClient",
    "Video",
    "WaitingRun",
    "artifact",
    "artifacts",
    "attach",
    "clean",
    "create_project",
    "delete_project",
    "finish",
    "flush",
    "get_active_run",
    "get_default_client",
    "get_project",
    "init",
    "journals",
    "log",
    "login",
    "open",
    "read_journal",
    "runs",
    "set_active_run",
    "sync",
]

_MODULES = {
    "lifecycle.attach": ("attach",),
    "client": ("TellurioClient", "get_default_client", "login"),
    "errors": (
        "ArtifactNotFoundError",
        "ConfigurationError",
        "FilterError",
        "FormatError",
        "InvalidAPIKeyError",
        "MetricNotFoundError",
        "ProjectNotFoundError",
        "RunExistsError",
        "RunFileNotFoundError",
        "RunFinishedError",
        "RunNotFoundError",
        "ServerUnavailableError",
        "SteplogError",
    ),
    "media.audio": ("Audio",),
    "media.histogram": ("Histogram",),
    "media.html": ("Html",),
    "media.image": ("Image",),
    "media.table": ("Table",),
    "media.video": ("Video",),
    "files.artifact": ("Artifact",),
    "files.run_file": ("RunFile",),
    "project": ("Project", "create_project", "delete_project", "get_project"),
    "reading.arrow_table": ("ArrowTable",),
    "lifecycle.local_records": ("JournalRecord", "read_journal"),
    "lifecycle.recovery": ("Synced", "WaitingRun", "clean", "journals", "sync"),
    "lifecycle.init": ("init",),
    "reading.artifacts": ("artifact", "artifacts"),
    "reading.open_run": ("open",),
    "reading.read_only_run": ("ReadOnlyRun",),
    "reading.runs": ("runs",),
    "report": ("Report", "Stats"),
    "identity": ("RunOrg", "RunProject", "RunStatus", "RunUser"),
    "active": ("finish", "flush", "get_active_run", "log", "set_active_run"),
    "run": ("Run",),
    "version": ("__version__",),
}
_SUBINTERPRETER = (
    "steplog does not work in a subinterpreter, and nothing was logged; hand the values to the main interpreter by "
    "concurrent.interpreters.create_queue(), and log them there"
)
if (_reason := why_unsupported(sys.platform, sys.implementation.name, sys.maxsize.bit_length() + 1)) is not None:
    raise ImportError(_reason)  # a copy of the package, which setup.py has not refused
_module_of = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _module_of:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_module_of[name]}")
    except ImportError as error:
        if "subinterpreters" in str(error):  # what CPython says of msgspec there
            raise ImportError(_SUBINTERPRETER) from error
        raise
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
