"""The names of runs and metrics for the shell, after TAB. Silent, and bounded: what is late is not offered.

Only names are offered that a shell takes as they are typed: of others, type the beginning of the uuid.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator

import click

import steplog
from steplog.cli.api import Api, RemoteRun

__all__ = [
    "complete_artifact",
    "complete_file",
    "complete_journal",
    "complete_metric",
    "complete_project",
    "complete_readable",
    "complete_run",
    "complete_trashed",
    "offered",
]

_WAIT_S = 0.5  # with the start of Python, less than a second
_TYPED = re.compile(r"[\w.@%+,/][\w.@%+,/-]*")  # ":" and "=" part words for bash
_OFFERED_MAX = 200


def complete_run(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Runs on the server: names, ids, ``PROJECT/NAME``, and uuids of which something is typed."""
    return offered(incomplete, lambda: _remote_names(incomplete, trash=False))


def complete_readable(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The same, and the runs of this machine that no server has yet."""

    def names() -> Iterable[str]:
        yield from _names_here(incomplete, alone=True)
        yield from _remote_names(incomplete, trash=False)

    return offered(incomplete, names)


def complete_metric(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Metrics of the run that is typed before."""
    run, opened = context.params.get("run"), steplog.open  # imported before the clock runs

    def names() -> Iterable[str]:
        for metric in opened(run).source.series() if run else ():
            yield metric["name"]

    return offered(incomplete, names)


def complete_project(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Projects on the server, of the default namespace or of the one that is typed."""

    def names() -> Iterable[str]:
        api = Api()
        namespace, slash, _ = incomplete.rpartition("/")
        for project in api.projects(namespace or api.default_namespace()):
            yield f"{namespace}{slash}{project}"

    return offered(incomplete, names)


def complete_artifact(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Artifacts of the project that is typed before."""
    project, artifacts = context.params.get("project"), steplog.artifacts  # imported before the clock runs
    return offered(incomplete, lambda: [each.name for each in artifacts(project)])


def complete_file(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Paths of the files of the run that is typed before."""
    run, opened = context.params.get("run"), steplog.open  # imported before the clock runs
    return offered(incomplete, lambda: (file.path for file in (opened(run).files(incomplete) if run else ())))


def complete_trashed(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Runs in the trash."""
    return offered(incomplete, lambda: _remote_names(incomplete, trash=True))


def complete_journal(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Runs that wait on this machine: names, and ids of which something is typed."""
    return offered(incomplete, lambda: _names_here(incomplete, alone=False))


def _names_here(incomplete: str, alone: bool) -> Iterator[str]:
    """Of the runs that wait on this machine; ``alone``: of those that no server has."""
    for run in steplog.journals():
        if not (alone and run.run):
            yield run.name
            if incomplete:
                yield from (run.id, run.run)


def _remote_names(incomplete: str, trash: bool) -> Iterable[str]:
    api = Api()
    named = "/" in incomplete
    runs = api.candidates(incomplete, trash=trash) if named else _of_each_project(api, trash)
    for run in runs:
        yield from (run.name, str(run.data.get("id") or ""))
        if incomplete:
            yield run.uuid
        if named:
            yield from (f"{run.project}/{run.name}", f"{run.namespace}/{run.project}/{run.name}")


def _of_each_project(api: Api, trash: bool) -> Iterator[RemoteRun]:
    """Those of the first projects are offered, if the others are not told in time."""
    namespace = api.default_namespace()
    for project in api.projects(namespace):
        yield from api.runs(namespace, project, trash=trash)


def offered(incomplete: str, names: Callable[[], Iterable[str]]) -> list[str]:
    """Those that begin so, each once. In a thread of its own, which an answer that hangs does not outlast."""
    _ = steplog.get_default_client  # imported before the clock runs, which is for what others make us wait
    logging.disable()  # a warning would be printed into the line that is being typed
    found: dict[str, None] = {}

    def look() -> None:
        try:
            for name in names():
                if name.startswith(incomplete) and _TYPED.fullmatch(name):
                    found[name] = None
        except Exception:  # noqa: BLE001 - no server, no key, a damaged journal: nothing is offered
            return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(_WAIT_S)
    return sorted(list(found)[:_OFFERED_MAX])
