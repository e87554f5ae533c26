"""What a server lists of files and artifacts, whatever it says."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from random import Random

from steplog.delivery.exchange import Answer, Request
from steplog.errors import SteplogError
from steplog.files.requests import ProjectRequests
from steplog.files.server_files import ServerFiles

__all__ = ["a_listing", "check_listing"]

_ROOT = Path("/download")

_PATHS = [
    "a.pt",
    "ckpt/1.pt",
    "é ü/x",
    "../up",
    "/etc/passwd",
    "a/../../b",
    "a//b",
    ".",
    "a\x00b",
    "\ud800",
    "C:\\x",
    "",
]
_SUFFIXES = ["", ".png", "/../x", ".a/b"]


def a_listing(random: Random) -> bytes:
    """An artifact with its files; the files alone are a list of a run's."""
    files = [
        {
            "id": f"{number:032x}",
            "sha256": f"{random.getrandbits(256):064x}",
            "size": random.choice([0, 1, 2**40]),
            "type": "text/plain",
            "path": random.choice(_PATHS),
            "suffix": random.choice(_SUFFIXES),
            "time": number,
            "present": random.random() < 0.5,
        }
        for number in range(random.randrange(4))
    ]
    told = {"name": "cnn", "version": 3, "type": "model", "aliases": ["best"], "metadata": {"a": 1}, "run": "r"}
    return json.dumps(told | {"uuid": "u", "count": len(files), "files": files}).encode()


def check_listing(data: bytes) -> None:
    """It is refused, or each of its files is below the directory that it is downloaded to."""
    try:
        found = _server(data).artifact("cnn", "v3")
        files = found.files()
    except SteplogError:
        files = []
    try:
        inner = json.loads(data)
        listed = json.dumps(inner["files"] if isinstance(inner, dict) else inner).encode()
    except (ValueError, KeyError, RecursionError):
        listed = data
    with suppress(SteplogError):
        files += _server(listed).of_run("r", _ROOT, logged=True) or []
    for file in files:
        place = os.path.normpath(_ROOT / file.path)
        assert place.startswith(f"{_ROOT}{os.sep}"), file.path
        assert "\x00" not in file.path
        assert file.size >= 0
        assert len(file.sha256) == 64
        assert file.time is None or file.time.year >= 1970
        assert repr(file).isprintable()


class _Told:
    """A server that answers everything with the same."""

    base_url = "https://runs.example"

    def __init__(self, body: bytes) -> None:
        self._body = body

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        return Answer(200, self._body)

    def refresh_key(self) -> bool:
        return False

    def abort(self, request: Request) -> None:
        pass


def _server(body: bytes) -> ServerFiles:
    return ServerFiles(ProjectRequests(_Told(body), "me", "demo", sleep=lambda seconds: None))
