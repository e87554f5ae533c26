"""What the reading commands ask of a server, and what its silence or refusal means to the one who typed.

The server is the configured one, or the embedded one of this machine. A path that it does not have answers None, so
that a command can do with less (a *stock* server has no list of projects and no curves).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import click
from slugify import slugify

import steplog
from steplog.errors import InvalidAPIKeyError, ServerUnavailableError, SteplogError

__all__ = ["AskingError", "Found", "Server", "parse_run"]

_API = "/api/v0"
_SHOWN_MAX = 5
_PREFIX_MIN = 4  # characters of a uuid that stand for it


class AskingError(SteplogError):
    """There is no answer to what was asked."""


@dataclass(frozen=True, slots=True)
class Found:
    """A run and where it is."""

    namespace: str
    project: str
    run: dict[str, Any]


class Server:
    """The server, with its key: the client's, or the default one. Raises ConfigurationError where there is none."""

    def __init__(self, client: steplog.TellurioClient | None = None) -> None:
        self._client = client or steplog.get_default_client()
        self.base_url = self._client.base_url

    def ask(self, *parts: str, **query: object) -> Any:
        """What is at this path, or None. Raises AskingError where the server does not say."""
        path = "/".join([_API, *(quote(part, safe="") for part in parts), ""])
        try:
            response = self._client.get(f"{path}?{urlencode(query)}" if query else path)
        except ServerUnavailableError as error:
            raise AskingError(f"{error}. What was logged is kept. Type: steplog doctor") from None
        if response.status_code in (404, 405):
            return None
        if response.status_code in (401, 403):
            raise AskingError(f"{self.base_url} does not take the API key. Type: steplog login")
        try:
            response.raise_for_status()
            return response.json()
        except (OSError, ValueError):
            words = f"answers {response.status_code}, and not what was asked for"
            raise AskingError(f"{self.base_url} {words}. Type: steplog doctor") from None

    def username(self) -> str:
        """Whose key it is."""
        try:
            return self._client.login().username
        except InvalidAPIKeyError:
            raise AskingError(f"{self.base_url} does not take the API key. Type: steplog login") from None
        except ServerUnavailableError as error:
            raise AskingError(f"{error}. What was logged is kept. Type: steplog doctor") from None

    def takes_batches(self) -> bool:
        """Whether it takes many metrics in one request, as far as can be told without a run."""
        return self.ask("instance", nonce="doctor") is not None

    def namespace(self) -> str:
        """The namespace where none is named: the setting, or the key's own user."""
        return self._client.settings.namespace or slugify(self.username())

    def projects(self, namespace: str) -> list[str]:
        """The slugs of a namespace's projects."""
        found = self.ask(namespace, "projects")
        if found is None:
            project = self._client.settings.project
            if project:
                return [slugify(project)]
            raise AskingError(
                f"{self.base_url} has no namespace {namespace}, or does not list projects. "
                f"Name one: {namespace}/PROJECT"
            )
        return [project["slug"] for project in found]

    def runs(self, namespace: str, project: str) -> list[Found]:
        """The runs of a project, oldest first."""
        found = self.ask(namespace, "projects", project, "runs")
        if found is None:
            raise AskingError(f"{self.base_url} has no project {namespace}/{project}. Type: steplog ls")
        return [Found(namespace, project, run) for run in found]

    def find(self, text: str) -> Found:
        """The run that ``text`` means: a name, a uuid or its beginning, ``[NAMESPACE/]PROJECT/RUN``, or an address."""
        *place, wanted = parse_run(text)
        namespace = place[-2] if len(place) > 1 else self.namespace()
        projects = place[-1:] or self.projects(namespace)
        runs = [run for project in projects for run in self.runs(namespace, project)]
        for fits in (_is, _is_slug, _begins):
            found = [run for run in runs if fits(run.run, wanted)]
            if len(found) == 1:
                return found[0]
            if found:
                which = ", ".join(f"{run.project}/{run.run['uuid']}" for run in found[-_SHOWN_MAX:])
                raise AskingError(f"{len(found)} runs are meant by {text!r}; the latest: {which}")
        raise AskingError(f"{self.base_url} has no run {text!r} in {namespace}. Type: steplog ls")


def parse_run(text: str) -> list[str]:
    """The parts of ``text``, the run last. Raises click.BadParameter."""
    path = urlsplit(text).path if "://" in text else text
    parts = [unquote(part) for part in path.split("/") if part]
    if len(parts) == 5 and parts[1::2] == ["projects", "runs"]:  # the address of a run
        parts = parts[::2]
    if not 1 <= len(parts) <= 3:
        raise click.BadParameter(f"{text!r} is not a run: give a name, a uuid, [NAMESPACE/]PROJECT/RUN, or an address.")
    return parts


def _is(run: dict[str, Any], wanted: str) -> bool:
    return wanted in (run["uuid"], run["name"])


def _is_slug(run: dict[str, Any], wanted: str) -> bool:
    return slugify(run["name"]) == wanted


def _begins(run: dict[str, Any], wanted: str) -> bool:
    return len(wanted) >= _PREFIX_MIN and str(run["uuid"]).startswith(wanted)
