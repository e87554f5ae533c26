"""A project on a server in memory, as far as files go: a ``Transport``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from steplog.delivery.exchange import Answer, Request
from steplog.files.requests import ProjectRequests
from steplog.files.server_files import ServerFiles

RUN = "11111111-2222-3333-4444-555555555555"
_BEFORE = "/api/v0/me/projects/demo/"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_json(path: str, data: bytes, number: int = 1, **fields: Any) -> dict[str, Any]:
    told = {"sha256": sha256(data), "size": len(data), "type": "text/plain", "suffix": "", "present": True}
    return told | {"id": f"{number:032x}", "path": path, "time": 1_700_000_000_000_000_000 + number} | fields


def artifact_json(name: str, version: int, **fields: Any) -> dict[str, Any]:
    told = {
        "uuid": f"{name}-{version}",
        "name": name,
        "type": "model",
        "version": version,
        "digest": "d",
        "count": 1,
        "size": 1,
    }
    more = {"present": 1, "aliases": ["latest"], "description": "", "metadata": {}, "run": RUN, "run_name": "r"}
    return told | more | {"date_created": "2026-01-01T00:00:00Z"} | fields


class Project:
    """What it answers, by path below the project.

    Attributes:
        answers: JSON documents.
        contents: bytes, with their hash as the tag.
        asked: of each request, method, path, query and headers.
        ranges: whether it knows them.
        statuses: in place of an answer, by path.
    """

    base_url = "https://runs.example"

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"": {"uuid": "p", "slug": "demo"}, f"runs/{RUN}/": {"features": ["files"]}}
        self.contents: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, dict[str, str], Mapping[str, str]]] = []
        self.posted: list[Any] = []
        self.ranges = True
        self.statuses: dict[str, int] = {}
        self.headers: dict[str, str] = {}

    def files(self) -> ServerFiles:
        return ServerFiles(ProjectRequests(self, "me", "demo", sleep=lambda seconds: None))

    def has_file(self, file: dict[str, Any], data: bytes, run: str = RUN) -> None:
        self.answers.setdefault(f"runs/{run}/files/", []).append(file)
        self.contents[f"runs/{run}/files/{file['id']}"] = data

    def has_artifact(self, about: dict[str, Any], files: Mapping[str, bytes]) -> None:
        version = f"v{about['version']}"
        told = [file_json(path, data) | {"id": ""} for path, data in files.items()]
        document = about | {"files": told, "count": len(told)}
        for name in (version, *about["aliases"]):
            self.answers[f"artifacts/{about['name']}/{name}/"] = document
        self.answers.setdefault("artifacts/", []).insert(0, about)
        for path, data in files.items():
            self.contents[f"artifacts/{about['name']}/{version}/files/{path}"] = data

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        parts = urlsplit(request.path)
        assert parts.path.startswith(_BEFORE)
        path, query = unquote(parts.path.removeprefix(_BEFORE)), dict(parse_qsl(parts.query))
        self.asked.append((request.method, path, query, request.headers))
        if path in self.statuses:
            return Answer(self.statuses[path], b'{"detail": "no"}')
        if request.method == "POST":
            self.posted.append(json.loads(request.body))
            return Answer(200, b'{"missing": [], "versions": {}}')
        if path in self.contents:
            return self._content(self.contents[path], request)
        if path not in self.answers:
            return Answer(404, b'{"detail": "Not found."}')
        found = self.answers[path]
        if isinstance(found, list):
            found = [each for each in found if all(_fits(each, key, value) for key, value in query.items())]
        if "after" in query:
            ids = [each["uuid" if path == "artifacts/" else "id"] for each in found]
            found = found[ids.index(query["after"]) + 1 :]
        return Answer(200, json.dumps(found[: int(query["limit"])] if "limit" in query else found).encode())

    def _content(self, data: bytes, request: Request) -> Answer:
        headers = {"etag": f'"{sha256(data)}"', "content-length": str(len(data))} | self.headers
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if asked is None or not self.ranges:
            return Answer(200, data, headers)
        first = int(asked[1])
        if first >= len(data):
            return Answer(416, b"", headers | {"content-range": f"bytes */{len(data)}"})
        part = {"content-range": f"bytes {first}-{len(data) - 1}/{len(data)}", "content-length": str(len(data) - first)}
        return Answer(206, data[first:], headers | part)

    def refresh_key(self) -> bool:
        return False

    def abort(self, request: Request) -> None:
        pass


def _fits(each: dict[str, Any], key: str, value: str) -> bool:
    if key == "path":
        return str(each["path"]).startswith(value)
    if key == "saved":
        return bool(each["path"])
    if key == "id":
        return each.get("entry") == value
    return key in ("after", "limit") or each[key] == value
