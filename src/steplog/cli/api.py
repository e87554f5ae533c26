"""The server's API as the commands use it.

A missing path reads as None: a *stock* server lists no projects, and has no curves and no trash. What a server can do
more is in the ``features`` of a run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import click

import steplog
from steplog import InvalidAPIKeyError, ServerUnavailableError, SteplogError, naming
from steplog.cli import printing
from steplog.identity import slug_of
from steplog.network.response import Response, http_error_types
from steplog.settings import check_directories, resolve

__all__ = ["Api", "ApiError", "RemoteRun", "as_text", "as_texts", "check_run"]

_PREFIX = "/api/v0"
_ANSWER_BYTES_MAX = 256 * 1024 * 1024  # a list of metrics is long
_WORDS_CHARACTERS_MAX = 300  # of a server's
_WHOLE_MIN = 8  # of a uuid: what ls prints
_CLOCK_DIFFERENCE_S = 2.0  # less is what an answer's date, in whole seconds, and its way take


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

    @property
    def uuid(self) -> str:
        """Its uuid."""
        return str(self.data["uuid"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.data["name"])

    @property
    def made_by(self) -> str:
        """Its id where it was begun, until the server had it; "": not known."""
        return str(self.data.get("made_by") or "")

    @property
    def path(self) -> tuple[str, ...]:
        """Its path below the API."""
        return (self.namespace, "projects", self.project, "runs", self.uuid)

    def named(self) -> naming.Named:
        """What it is called, for ``naming``."""
        return naming.Named(self.uuid, self.name, str(self.data.get("id") or ""), self.namespace, self.project)


class Api:
    """The server of ``client``, by default the configured one. Raises ConfigurationError."""

    def __init__(self, client: steplog.TellurioClient | None = None) -> None:
        if client is None:
            check_directories(resolve())
        self._client = client or steplog.get_default_client()
        self._ahead = timedelta()
        self.base_url = self._client.base_url

    @property
    def client(self) -> steplog.TellurioClient:
        """What it asks through."""
        return self._client

    def now(self) -> datetime:
        """The time at the server, by its last answer."""
        return datetime.now(timezone.utc) + self._ahead

    def note_date(self, date: str | None) -> None:
        """Take the time at the server from the date of an answer."""
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            ahead = parsedate_to_datetime(date or "").astimezone(timezone.utc) - datetime.now(timezone.utc)
            self._ahead = ahead if abs(ahead.total_seconds()) > _CLOCK_DIFFERENCE_S else timedelta()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Raise ApiError for what goes wrong in this block."""
        try:
            yield
        except InvalidAPIKeyError:
            raise ApiError(f"{self.base_url} rejects the API key. Type: steplog login") from None
        except ServerUnavailableError as error:
            raise ApiError(f"{error}. What was logged is kept. Type: steplog doctor", f"{error}") from None
        except http_error_types() as error:
            raise self._refused(error.response.status_code, error.response.content) from None

    def _refused(self, status: int, body: bytes) -> ApiError:
        """An answer that is not what was asked for, in the server's words if it has any."""
        told = _detail(status, body)
        reason = f"{self.base_url} answered {status}" + (f": {told}" if told else " without what was asked for")
        return ApiError(f"{reason}. Type: steplog doctor", reason)

    def get(self, *parts: str, **query: object) -> Any:
        """The JSON at a path, or None. Raises ApiError."""
        path = _path(parts, query)
        with self.translated():
            return self._answer(self._send("GET", path))

    def ask(self, question: dict[str, Any], *parts: str) -> Any:
        """The JSON that a path answers a question with, or None. Raises ApiError."""
        with self.translated():
            return self._answer(self._send("POST", _path(parts), question))

    def patch(self, run: RemoteRun, fields: dict[str, Any]) -> dict[str, Any]:
        """Set fields of a run; the run as it is then. Raises ApiError."""
        with self.translated():
            told = self._answer(self._send("PATCH", _path(run.path), fields))
        return self._run_of(run, told)

    def delete(self, run: RemoteRun, now: bool) -> None:
        """Move a run to the trash; with ``now`` remove it for good. Raises ApiError."""
        with self.translated():
            response = self._send("DELETE", _path(run.path, {"now": 1} if now else {}))
            if response.status != 204:
                self._run_of(run, self._answer(response))

    def restore(self, run: RemoteRun) -> dict[str, Any]:
        """Take a run out of the trash; the run as it is then. Raises ApiError."""
        with self.translated():
            told = self._answer(self._send("POST", _path((*run.path, "restore"))))
        return self._run_of(run, told)

    def _send(self, method: str, path: str, body: object = None) -> Response:
        """Without ``requests``, whose import takes longer than a command."""
        response = self._client.send(method, path, body, answer_bytes_max=_ANSWER_BYTES_MAX)
        if not response.whole:
            most = f"{_ANSWER_BYTES_MAX // 1024**2} MiB"
            raise ServerUnavailableError(f"{self.base_url}: the answer is longer than {most}")
        return response

    def _answer(self, response: Response) -> Any:
        if response.status in (401, 403):
            raise InvalidAPIKeyError
        if response.status in (404, 405):
            return None
        self.note_date(response.headers.get("date"))
        with contextlib.suppress(ValueError, RecursionError):
            if response.status < 400:
                return response.json()
        raise self._refused(response.status, response.body)

    def _run_of(self, run: RemoteRun, told: Any) -> dict[str, Any]:
        if not isinstance(told, dict) or "uuid" not in told:
            raise ApiError(f"{self.base_url} does not have the run {run.name!r} any more. Type: steplog ls")
        return told

    def require(self, feature: str, run: RemoteRun, what: str) -> dict[str, Any]:
        """The run as it is now. Raises ApiError if the server cannot do ``what``."""
        told = self.get(*run.path)
        if not isinstance(told, dict) or feature not in (told.get("features") or ()):
            raise ApiError(f"{self.base_url} does not {what}: its API has no such request")
        return told

    def username(self) -> str:
        """The key's user. Raises ApiError."""
        with self.translated():
            return self._client.login().username

    def default_namespace(self) -> str:
        """The setting ``namespace``, or the key's user."""
        return self._client.settings.namespace or slug_of(self.username())

    def projects(self, namespace: str) -> list[str]:
        """The slugs of the projects. Raises ApiError."""
        found = self.get(namespace, "projects")
        if found is not None:
            return [project["slug"] for project in found]
        if project := self._client.settings.project:
            return [slug_of(project)]
        words = f"has no namespace {namespace}, or does not list projects. Name a project: {namespace}/PROJECT"
        raise ApiError(f"{self.base_url} {words}")

    def runs(self, namespace: str, project: str = "", *, trash: bool = False) -> list[RemoteRun]:
        """The runs of a project, or of all, each project's oldest first. Raises ApiError."""
        runs: list[RemoteRun] = []
        for name in [project] if project else self.projects(namespace):
            found = self._runs_at(namespace, name, trash)
            if found is None and project:
                raise ApiError(f"{self.base_url} has no project {namespace}/{name}. Type: steplog ls")
            runs += found or []
        return runs

    def _runs_at(self, namespace: str, project: str, trash: bool) -> list[RemoteRun] | None:
        found = self.get(namespace, "projects", project, "runs", **({"trash": 1} if trash else {}))
        if found is None:
            return None
        if not isinstance(found, list) or not all(map(_is_run, found)):
            raise ApiError(f"{self.base_url} answered with what is no list of runs. Type: steplog doctor")
        if trash:  # a server without a trash lists what it has
            found = [data for data in found if data.get("deleted")]
        return [RemoteRun(namespace, project, data) for data in found]

    def find(self, text: str, *, trash: bool = False, whole: bool = False) -> RemoteRun:
        """The run that ``text`` means (``naming``). Raises ApiError unless there is exactly one.

        ``whole``: not by how its name or id begins, and of its uuid by ``_WHOLE_MIN`` characters at least. Of a name
        that is typed again after its run is gone, another run may be the only one that begins so.
        """
        runs = self.candidates(text, trash=trash)
        choice = naming.choose(text, runs, RemoteRun.named)
        if not choice.runs:
            choice = naming.Choice(tuple(run for run in runs if naming.is_begun_as(text, run.made_by)))
        if len(choice.runs) == 1:
            (run,) = choice.runs
            if whole and choice.by_beginning and not _begins_uuid(run, text):
                told = naming.listed([run.named()])
                raise ApiError(f"no run is called {text!r}, but one begins so; name it whole, or by its uuid: {told}")
            return run
        if choice.runs:
            which = naming.listed(run.named() for run in choice.runs)
            raise ApiError(f"{text!r} names {len(choice.runs)} runs; name one by its uuid: {which}")
        if trash:
            raise ApiError(f"{self.base_url} has no run {text!r} in the trash. Type: steplog ls --trash")
        if naming.choose(text, self.candidates(text, trash=True), RemoteRun.named).runs:
            raise ApiError(f"the run {text!r} is in the trash. Type: steplog restore {shlex.quote(text)}")
        hint = naming.did_you_mean(naming.close_runs(text, map(RemoteRun.named, runs))) or "."
        raise ApiError(f"{self.base_url} has no run {text!r}{self._where(text)}{hint} Type: steplog ls")

    def candidates(self, text: str, *, trash: bool = False) -> list[RemoteRun]:
        """The runs at the places that ``text`` may name. Raises ApiError."""
        found: dict[tuple[str, str], list[RemoteRun]] = {}
        unlisted: ApiError | None = None
        for slug, project, _ in naming.readings(text):
            namespace = slug or self.default_namespace()
            try:
                places = self.projects(namespace) if project is None else [slug_of(project)]
            except ApiError as error:  # a stock server's, which lists the runs of a project that is named
                unlisted, places = error, []
            for place in places:
                if place and (namespace, place) not in found:
                    runs = self._runs_at(namespace, place, trash)
                    if runs is not None:
                        found[namespace, place] = runs
        if unlisted is not None and not found:
            raise unlisted
        return [run for runs in found.values() for run in runs]

    def _where(self, text: str) -> str:
        namespaces = {reading.namespace or self.default_namespace() for reading in naming.readings(text)}
        return f" in {namespaces.pop()}" if len(namespaces) == 1 else ""


def _path(parts: Iterable[str], query: Mapping[str, object] | None = None) -> str:
    path = "/".join([_PREFIX, *(quote(part, safe="") for part in parts), ""])
    return f"{path}?{urlencode(query)}" if query else path


def _begins_uuid(run: RemoteRun, text: str) -> bool:
    said = [reading.run.lower() for reading in naming.readings(text)]
    return any(len(each) >= _WHOLE_MIN and run.uuid.lower().startswith(each) for each in said)


def _is_run(data: object) -> bool:
    return isinstance(data, dict) and all(isinstance(data.get(name), str) for name in ("uuid", "name", "status"))


def _detail(status: int, body: bytes) -> str:
    """What a server says with an error, on one line; "" if nothing. Of wrong fields: what is wrong with each."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if status < 400 or not isinstance(told, dict):
        return ""
    if isinstance(told.get("detail"), str):
        words = told["detail"]
    else:
        words = "; ".join(f"{name}: {said[0]}" for name, said in told.items() if isinstance(said, list) and said)
    return printing.printable(" ".join(words.split()), _WORDS_CHARACTERS_MAX)


def check_run(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    """A text that may mean a run. Raises click.BadParameter."""
    text = as_text(text)
    if not naming.readings(text):
        raise click.BadParameter(
            f"{text!r} is not a run: give a name, an id, a uuid, [NAMESPACE/]PROJECT/RUN or an address."
        )
    return text


def as_text(argument: str) -> str:
    """An argument as it was typed, also in UTF-8 where the locale is ASCII. Raises click.BadParameter."""
    try:
        argument.encode()
        return argument
    except UnicodeError:  # Python has kept the bytes that the locale does not have
        with contextlib.suppress(UnicodeError):
            return os.fsencode(argument).decode()
    raise click.BadParameter(f"{argument!r} is not text.")


def as_texts(_context: click.Context, _parameter: click.Parameter, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Arguments as they were typed. Raises click.BadParameter."""
    return tuple(map(as_text, arguments))
