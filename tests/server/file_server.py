"""A server of files in a thread of this process: its contents can be made to fail."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import requests
import uvicorn

from polling import wait_until
from server.process import DEADLINE_S, KEY
from steplog.delivery.wire import API
from steplog.server.access import AllowedHosts
from steplog.server.app import create_app
from steplog.server.blobs.content_store import ContentStore
from steplog.server.keys import Keyring, hash_key
from steplog.server.places import Places
from steplog.server.protocol import limited_protocol
from steplog.server.sqlite.store import SqliteStore
from steplog.server.store_types import CONFIGURED

_NUMBERS = itertools.count(1)


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def new_id() -> str:
    """An id of a file or an artifact."""
    return f"{next(_NUMBERS):032x}"


class FileServer:
    """What tests ask of a server of files: one of ``serving``, or a ``ServerProcess``."""

    def __init__(self, url: str, key: str = KEY) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Api-Key {key}"

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """A request with the key; ``path`` is below the API."""
        arguments = {"timeout": DEADLINE_S, "allow_redirects": False} | arguments
        return self.session.request(method, f"{self.url}{API}{path}", **arguments)

    def new_run(self, project: str = "mnist") -> str:
        """The path of a new run."""
        if self.ask("GET", f"/team/projects/{project}/").status_code == 404:
            body = {"display_name": project, "visibility": "TEAM"}
            assert self.ask("POST", "/team/projects/", json=body).status_code == 201
        made = self.ask("POST", f"/team/projects/{project}/runs/", json={})
        assert made.status_code == 201, made.text
        return f"/team/projects/{project}/runs/{made.json()['uuid']}/"

    def blob(self, run: str, sha256: str) -> str:
        """The path of a content in the run's project."""
        return f"{run.partition('runs/')[0]}blobs/{sha256}"

    def announce(self, run: str, **told: Any) -> Any:
        """What an announcement is answered with."""
        answer = self.ask("POST", f"{run}files/", json=told)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def put(self, run: str, sha256: str, data: bytes, first: int, size: int, **headers: str) -> requests.Response:
        """Send a part."""
        said = f"bytes {first}-{first + len(data) - 1}/{size}" if data else f"bytes */{size}"
        return self.ask("PUT", self.blob(run, sha256), data=data, headers={"Content-Range": said} | headers)

    def send(self, run: str, content: bytes) -> str:
        """Send a whole content; returns its hash."""
        sha256 = sha256_of(content)
        answer = self.put(run, sha256, content, 0, len(content))
        assert answer.status_code in (200, 201), answer.text
        return sha256

    def save(self, run: str, content: bytes, path: str = "", **fields: Any) -> str:
        """Announce and send a file; returns its id."""
        entry = {"id": new_id(), "sha256": sha256_of(content), "size": len(content), "path": path} | fields
        self.announce(run, files=[entry])
        self.send(run, content)
        return str(entry["id"])


@contextmanager
def serving(directory: Path, contents: ContentStore, project_bytes_max: int = 0) -> Iterator[FileServer]:
    """A server over these contents, and a database in this directory."""
    with ExitStack() as stack:
        store = stack.enter_context(closing(SqliteStore(directory / "server.db")))
        store.put_started_key(store.add_user("ann").result(), hash_key(KEY), CONFIGURED).result()
        keyring = stack.enter_context(closing(Keyring(store)))
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        app = create_app(
            store, keyring, hosts=AllowedHosts(port), contents=contents, project_bytes_max=project_bytes_max
        )
        places: Places[Any] = Places(100, 50)
        server = uvicorn.Server(uvicorn.Config(app, http=limited_protocol(places), log_config=None, log_level="error"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        try:
            wait_until(lambda: server.started)
            asked = FileServer(f"http://127.0.0.1:{port}")
            yield asked
            asked.session.close()
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)
