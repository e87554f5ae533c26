"""The files of runs and the artifacts of a project, as its server lists them.

What a server lists is checked before it is used: ids, hashes, sizes and paths, which may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from steplog.blobs.entries import checked_path
from steplog.delivery.verdicts import is_proxys_404
from steplog.errors import (
    ArtifactNotFoundError,
    ProjectNotFoundError,
    RunNotFoundError,
    ServerUnavailableError,
    SteplogError,
)
from steplog.files.content import ServerContent
from steplog.files.requests import ProjectRequests
from steplog.files.run_file import FileFacts, RunFile
from steplog.naming import close, did_you_mean
from steplog.network.response import Response
from steplog.printable import printable
from steplog.reading.retrying import no_answer

__all__ = ["ArtifactFacts", "FoundArtifact", "ServerFiles"]

_PAGE = 1000
_FILES_MAX = 1_000_000
_VERSIONS_LISTED_MAX = 5
_HASH, _ID = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{32}")
_INT_MAX = 2**63 - 1
_NOT_THERE = (403, 404, 405, 410)


class _File(msgspec.Struct):
    sha256: str
    size: int
    path: str = ""
    id: str = ""
    type: str = ""
    suffix: str = ""
    time: int = 0
    present: bool = False


class ArtifactFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A version of an artifact, as the server tells it."""

    name: str
    version: int
    type: str = ""
    uuid: str = ""
    digest: str = ""
    count: int = 0
    size: int = 0
    present: int = 0
    aliases: tuple[str, ...] = ()
    description: str = ""
    metadata: dict[str, Any] = {}
    run: str = ""
    run_name: str = ""
    date_created: str = ""


class FoundArtifact(NamedTuple):
    """A version on a server, and what gives its files."""

    facts: ArtifactFacts
    files: Callable[[], list[RunFile]]


class _Artifact(msgspec.Struct):
    files: list[_File]


class ServerFiles:
    """The project of ``requests``. Raises as that, and what each method says."""

    def __init__(self, requests: ProjectRequests) -> None:
        self._requests = requests
        self.place = printable(f"{requests.namespace}/{requests.project}")
        self.base_url = requests.base_url

    def of_run(self, uuid: str, folder: Path, prefix: str = "", *, logged: bool = False) -> list[RunFile] | None:
        """The files of a run whose path begins so, by path the latest; ``logged``: those of values, too.

        None: the server keeps no files. Raises RunNotFoundError.
        """
        found: dict[str, RunFile] = {}
        after, seen = "", set[str]()
        while True:
            saved = None if logged else 1
            query = {"after": after, "limit": _PAGE, "path": prefix, "saved": saved}
            path = self._requests.list_path("runs", uuid, "files", **query)
            response = self._requests.response("GET", path)
            if response.status != 200:
                self._check_keeps_none(response, uuid)
                return None
            page = self._requests.decoded(response, list[_File])
            new = [_checked(each, response.url, with_id=True) for each in page if each.id not in seen]
            for each in new:
                seen.add(each.id)
                if (each.path or logged) and each.path.startswith(prefix):
                    file = self.file(uuid, each, folder)
                    found.pop(file.path, None)
                    found[file.path] = file
            if not new or len(page) < _PAGE:
                return list(found.values())
            if len(seen) > _FILES_MAX:
                raise ServerUnavailableError(
                    f"{response.url}: more than {_FILES_MAX:,} files; ask for some by their path"
                )
            after = page[-1].id

    def file(self, uuid: str, told: _File, folder: Path) -> RunFile:
        """A file that the server has listed."""
        content = self.content(uuid, told.id, told.path or told.id, told.sha256, told.size)
        return RunFile(_facts(told), content, folder)

    def file_of_id(self, uuid: str, file_id: str, facts: FileFacts, folder: Path) -> RunFile:
        """The file of a value that names it, which is not asked for yet."""
        return RunFile(facts, self.content(uuid, file_id, file_id), folder)

    def content(self, uuid: str, file_id: str, name: str, sha256: str = "", size: int | None = None) -> ServerContent:
        """The content of a file of a run, which is not asked for yet."""
        path = self._requests.content_path("runs", uuid, "files", file_id)
        return ServerContent(self._requests, path, f"the file {name}", sha256, size)

    def artifacts(self, **query: str) -> list[ArtifactFacts]:
        """The versions of artifacts, the newest first; ``name``, ``type``, ``run`` (a uuid) and ``id`` narrow them.

        Raises ProjectNotFoundError; SteplogError where the server keeps no artifacts.
        """
        found: dict[tuple[str, int], ArtifactFacts] = {}
        after = ""
        while True:
            path = self._requests.list_path("artifacts", **query, after=after, limit=_PAGE)
            response = self._requests.response("GET", path)
            if response.status != 200:
                raise self._none_kept(response)
            page = self._requests.decoded(response, list[ArtifactFacts])
            before = len(found)
            found |= {(each.name, each.version): each for each in page}
            if len(found) == before or len(page) < _PAGE:
                return list(found.values())
            after = page[-1].uuid

    def artifact(self, name: str, version: str) -> FoundArtifact:
        """A version: "v3", or an alias.

        Raises ArtifactNotFoundError, ProjectNotFoundError; SteplogError where the server keeps no artifacts.
        """
        response = self._requests.response("GET", self._requests.list_path("artifacts", name, version))
        if response.status != 200:
            if response.status not in _NOT_THERE or is_proxys_404(response.status, response.body):
                raise self._none_kept(response)
            raise self._not_found(name, version)
        facts = self._requests.decoded(response, ArtifactFacts)
        told = self._requests.decoded(response, _Artifact)
        if facts.name != name:
            raise ServerUnavailableError(f"{response.url}: not the artifact that was asked for")
        files = [self._file_of(facts, _checked(each, response.url, with_id=False)) for each in told.files]
        return FoundArtifact(facts, lambda: files)

    def found(self, facts: ArtifactFacts) -> FoundArtifact:
        """A version that was listed; its files are asked for when they are wanted."""
        return FoundArtifact(facts, lambda: self.artifact(facts.name, f"v{facts.version}").files())

    def note_use(self, uuid: str, name: str, version: int) -> None:
        """Note that a run uses a version. Raises RunNotFoundError."""
        body = {"files": [], "artifacts": [], "used": [f"{name}:v{version}"]}
        response = self._requests.response("POST", self._requests.list_path("runs", uuid, "files"), body)
        if response.status != 200:
            raise self._refused(response, uuid)

    def _file_of(self, facts: ArtifactFacts, told: _File) -> RunFile:
        version = f"v{facts.version}"
        path = self._requests.content_path("artifacts", facts.name, version, "files", told.path)
        words = f"the file {told.path} of the artifact {facts.name}:{version}"
        content = ServerContent(self._requests, path, words, told.sha256, told.size)
        return RunFile(_facts(told), content, Path("artifacts", f"{facts.name}-{version}"))

    def _check_keeps_none(self, response: Response, uuid: str) -> None:
        """Raise what an answer without files means, unless it is that the server keeps none."""
        if response.status in _NOT_THERE:
            run = self._requests.response("GET", self._requests.list_path("runs", uuid))
            features = (_document(run).get("features") or ()) if run.status == 200 else ()
            if is_proxys_404(response.status, response.body) or (run.status in (200, 405) and "files" not in features):
                return
        raise self._refused(response, uuid)

    def _refused(self, response: Response, uuid: str) -> Exception:
        if response.status in (403, 404, 410) and not is_proxys_404(response.status, response.body):
            return RunNotFoundError(f"{self.base_url} has no run {uuid} in {self.place}")
        return no_answer(response)

    def _none_kept(self, response: Response) -> Exception:
        """What a server without an answer to a question for artifacts is to the caller."""
        if response.status not in _NOT_THERE:
            return no_answer(response)
        project = self._requests.response("GET", self._requests.list_path())
        if project.status == 200:
            return SteplogError(f"{self.base_url} keeps no files and no artifacts; they stay where they were logged")
        return ProjectNotFoundError(f"{self.base_url} has no project {self.place}, or not for this key")

    def _not_found(self, name: str, version: str) -> Exception:
        """What there is instead."""
        there = self.artifacts(name=name)
        if there:
            known = [_shown(each) for each in there]
            more = len(known) - _VERSIONS_LISTED_MAX
            has = ", ".join(known[:_VERSIONS_LISTED_MAX]) + (f" and {more} more" if more > 0 else "")
            return ArtifactNotFoundError(
                printable(f"the artifact {name} in {self.place} has no {version}; it has {has}")
            )
        names = list(dict.fromkeys(each.name for each in self.artifacts()))
        hint = did_you_mean(close(name, names)) or f"; type: steplog artifacts {self.place}"
        return ArtifactNotFoundError(printable(f"{self.base_url} has no artifact {name!r} in {self.place}{hint}"))


def _facts(told: _File) -> FileFacts:
    return FileFacts(told.path, told.id, told.type, told.suffix, told.time, False, told.present)


def _checked(told: _File, url: str, *, with_id: bool) -> _File:
    """Raises ServerUnavailableError for what cannot be a file."""
    try:
        if told.path or not with_id:
            checked_path(told.path)
        if told.suffix:
            checked_path(f"a{told.suffix}")
        if not _HASH.fullmatch(told.sha256) or not 0 <= told.size <= _INT_MAX or not 0 <= told.time <= _INT_MAX:
            raise ValueError(f"hash, size and time of a file: {told.sha256!r:.80}, {told.size}, {told.time}")
        if with_id and not _ID.fullmatch(told.id):
            raise ValueError(f"the id of a file: {told.id!r:.80}")
    except ValueError as error:
        raise ServerUnavailableError(printable(f"{url}: not the answer of a run server: {error}")) from None
    return told


def _shown(facts: ArtifactFacts) -> str:
    aliases = ", ".join(facts.aliases)
    return f"v{facts.version} ({aliases})" if aliases else f"v{facts.version}"


def _document(response: Response) -> dict[str, Any]:
    told = response.json() if response.body.startswith(b"{") else {}
    return told if isinstance(told, dict) else {}
