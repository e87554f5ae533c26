"""Where imported runs go: the namespace and the project, which is made where it is missing."""

from __future__ import annotations

from typing import Any, NamedTuple

from steplog.client import TellurioClient
from steplog.delivery import wire
from steplog.delivery.verdicts import Verdict
from steplog.errors import ConfigurationError
from steplog.identity import slug_of
from steplog.transfer.exchanges import Exchanges, RefusedError

__all__ = ["Place", "Places"]


class Place(NamedTuple):
    """A project on the server, by its slugs."""

    namespace: str
    project: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.project}"


class Places:
    """On the server of ``client``. ``project``: "PROJECT" or "NAMESPACE/PROJECT", for all runs; None: as they say."""

    def __init__(self, client: TellurioClient, exchanges: Exchanges, project: str | None) -> None:
        self._client = client
        self._exchanges = exchanges
        namespace, slash, name = (project or "").partition("/")
        self._project = name if slash else namespace
        self._namespace = namespace if slash else ""
        self._found: dict[str, Place] = {}

    def check(self) -> None:
        """Raise ConfigurationError where the server knows nothing of imports; else as ``Exchanges.send``."""
        try:
            self._exchanges.ask("GET", f"{wire.API}/namespaces/", list[Any])
        except RefusedError as error:
            if error.judgement.verdict is not Verdict.MISSING:
                raise
            raise ConfigurationError(
                f"{self._exchanges.base_url} takes one metric a request, and cannot tell one that is sent twice;"
                " import to a server of steplog. Type: steplog serve"
            ) from None

    def of(self, project: str) -> Place:
        """Of a run in this project, "" if it is in none. Raises ConfigurationError, and as ``Exchanges.send``."""
        name = self._project or project or self._client.settings.project or ""
        if name not in self._found:
            self._found[name] = self._of(name)
        return self._found[name]

    def _of(self, name: str) -> Place:
        slug = slug_of(name)
        if not slug:
            what = f"{name!r} is no name of a project" if name else "it does not say of which project it is"
            raise ConfigurationError(f"{what}. Name one with --project")
        self._namespace = self._namespace or self._client.settings.namespace or self._users()
        place = Place(self._namespace, slug)
        path = wire.api_path(place.namespace, "projects", place.project)
        try:
            self._exchanges.ask("GET", path, dict[str, Any])
        except RefusedError as error:
            if error.judgement.verdict is not Verdict.MISSING:
                raise
            return self._make(place, name, path)
        return place

    def _make(self, place: Place, name: str, path: str) -> Place:
        wanted = {"display_name": name, "visibility": "RESTRICTED"}
        try:
            self._exchanges.ask("POST", wire.api_path(place.namespace, "projects"), dict[str, Any], wanted)
        except RefusedError as error:
            if error.judgement.verdict is Verdict.MISSING:
                raise ConfigurationError(
                    f"{self._exchanges.base_url} has no namespace {place.namespace}. Type: steplog ls"
                ) from None
            self._exchanges.ask("GET", path, dict[str, Any])  # somebody else has just made it
        return place

    def _users(self) -> str:
        told = self._exchanges.ask("GET", wire.ACCOUNT_PATH, dict[str, Any])
        return slug_of(str(told.get("username", "")))
