"""The server's API as the commands read it.

A missing path reads as None: a *stock* server lists no projects and has no curves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlencode, urlsplit

import click
from slugify import slugify

import steplog
from steplog import InvalidAPIKeyError, ServerUnavailableError, SteplogError
from steplog.cli import printing

if TYPE_CHECKING:
    import requests

__all__ = ["Api", "ApiError", "RemoteRun", "parse_run"]

_PREFIX = "/api/v0"
_MATCHES_MAX = 5
_WORDS_CHARACTERS_MAX = 300  # of a server's
_UUID_CHARACTERS_MIN = 4  # of a uuid's beginning


class ApiError(SteplogError):
    """The server did not answer what was asked.

    Attributes:
        reason: the same without what to type.
    """

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason


class RemoteRun(NamedTuple):
    """A run on the server; ``data`` is its JSON."""

    namespace: str
    project: str
    data: dict[str, Any]


class Api:
    """The server of ``client``, by default the configured one. Raises ConfigurationError."""

    def __init__(self, client: steplog.TellurioClient | None = None) -> None:
        self._client = client or steplog.get_default_client()
        self.base_url = self._client.base_url

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        import requests

        try:
            yield
        except InvalidAPIKeyError:
            raise ApiError(f"{self.base_url} rejects the API key. Type: steplog login") from None
        except ServerUnavailableError as error:
            raise ApiError(f"{error}. What was logged is kept. Type: steplog doctor", f"{error}") from None
        except requests.HTTPError as error:
            raise self._refused(error.response) from None

    def _refused(self, response: requests.Response) -> ApiError:
        """An answer that is not what was asked for, in the server's words if it has any."""
        told = _detail(response)
        status = response.status_code
        reason = f"{self.base_url} answered {status}" + (f": {told}" if told else " without what was asked for")
        return ApiError(f"{reason}. Type: steplog doctor", reason)

    def get(self, *parts: str, **query: object) -> Any:
        """The JSON at a path, or None. Raises ApiError."""
        path = "/".join([_PREFIX, *(quote(part, safe="") for part in parts), ""])
        with self._translated():
            response = self._client.get(f"{path}?{urlencode(query)}" if query else path)
            if response.status_code in (401, 403):
                raise InvalidAPIKeyError
        if response.status_code in (404, 405):
            return None
        try:
            response.raise_for_status()
            return response.json()
        except (OSError, ValueError):
            raise self._refused(response) from None

    def username(self) -> str:
        """The key's user. Raises ApiError."""
        with self._translated():
            return self._client.login().username

    def default_namespace(self) -> str:
        """The setting ``namespace``, or the key's user."""
        return self._client.settings.namespace or slugify(self.username())

    def projects(self, namespace: str) -> list[str]:
        """The slugs of the projects. Raises ApiError."""
        found = self.get(namespace, "projects")
        if found is not None:
            return [project["slug"] for project in found]
        if project := self._client.settings.project:
            return [slugify(project)]
        words = f"has no namespace {namespace}, or does not list projects. Name a project: {namespace}/PROJECT"
        raise ApiError(f"{self.base_url} {words}")

    def runs(self, namespace: str, project: str = "") -> list[RemoteRun]:
        """The runs of a project, or of all, each project's oldest first. Raises ApiError."""
        runs = []
        for name in [project] if project else self.projects(namespace):
            found = self.get(namespace, "projects", name, "runs")
            if found is None:
                raise ApiError(f"{self.base_url} has no project {namespace}/{name}. Type: steplog ls")
            runs += [RemoteRun(namespace, name, data) for data in found]
        return runs

    def find(self, path: list[str]) -> RemoteRun:
        """The run that a path of ``parse_run`` names. Raises ApiError unless there is exactly one."""
        *place, name = path
        namespace = place[-2] if len(place) > 1 else self.default_namespace()
        runs = self.runs(namespace, place[-1] if place else "")
        ways: tuple[Callable[[dict[str, Any]], bool], ...] = (
            lambda run: name in (run["uuid"], run["name"]),
            lambda run: slugify(run["name"]) == name,
            lambda run: len(name) >= _UUID_CHARACTERS_MIN and str(run["uuid"]).startswith(name),
        )
        for matches in ways:
            found = [run for run in runs if matches(run.data)]
            if len(found) == 1:
                return found[0]
            if found:
                latest = ", ".join(f"{run.project}/{run.data['uuid']}" for run in found[-_MATCHES_MAX:])
                raise ApiError(f"{name!r} names {len(found)} runs; the latest: {latest}")
        raise ApiError(f"{self.base_url} has no run {name!r} in {namespace}. Type: steplog ls")


def _detail(response: requests.Response) -> str:
    """What a server says with an error, on one line; "" if nothing."""
    try:
        told = response.json()
    except (ValueError, RecursionError):
        return ""
    if response.status_code < 400 or not isinstance(told, dict) or not isinstance(told.get("detail"), str):
        return ""
    return printing.printable(" ".join(told["detail"].split()), _WORDS_CHARACTERS_MAX)


def parse_run(_context: click.Context, _parameter: click.Parameter, text: str) -> list[str]:
    """Split ``RUN``, ``[NAMESPACE/]PROJECT/RUN`` or an address. Raises click.BadParameter."""
    path = urlsplit(text).path if "://" in text else text
    parts = [unquote(part) for part in path.split("/") if part]
    if len(parts) == 5 and parts[1::2] == ["projects", "runs"]:  # an address
        parts = parts[::2]
    if not 1 <= len(parts) <= 3:
        raise click.BadParameter(f"{text!r} is not a run: give a name, a uuid, [NAMESPACE/]PROJECT/RUN or an address.")
    return parts
