"""Files that wait, in memory, and a lane that is driven by hand, with a clock of its own."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from delivery.parts import Book, Line
from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.delivery import wire
from steplog.delivery.exchange import Answer, Request, Transport
from steplog.delivery.outbox import Outbox
from steplog.delivery.upload_lane import UploadLane
from steplog.delivery.uploads import Uploads
from steplog.delivery.waiter import Waiter
from steplog.testing.memory_files import RunFiles
from steplog.testing.memory_server import MemoryServer


class FakeFiles:
    """What ``WaitingFiles`` is to the lane; ``media`` are not taken in yet."""

    def __init__(self) -> None:
        self.known: dict[str, FileEntry] = {}
        self.of_artifacts: dict[str, ArtifactEntry] = {}
        self.contents: dict[str, bytes] = {}
        self.media: set[str] = set()
        self.aside: list[str] = []
        self.fails: Callable[[str], None] = lambda call: None
        self.trouble: str | None = None

    def add(self, data: bytes, path: str = "", artifact: str = "") -> FileEntry:
        sha256 = hashlib.sha256(data).hexdigest()
        number = len(self.known) + 1
        entry = FileEntry(id=f"{number:032x}", sha256=sha256, size=len(data), path=path, artifact=artifact, time=number)
        self.known[entry.id] = entry
        self.contents[sha256] = data
        return entry

    def add_artifact(self, **files: bytes) -> ArtifactEntry:
        entry = ArtifactEntry(id=f"a{len(self.known):031x}", name="model", type="model", count=len(files))
        self.of_artifacts[entry.id] = entry
        for path, data in files.items():
            self.add(data, path, entry.id)
        return entry

    def ids(self) -> set[str]:
        return {*self.known, *self.of_artifacts, *self.media}

    def entries(self) -> list[FileEntry]:
        return [entry for entry in self.known.values() if not entry.artifact]

    def artifacts(self) -> list[tuple[ArtifactEntry, list[FileEntry]]]:
        known = self.known.values()
        return [(each, [file for file in known if file.artifact == each.id]) for each in self.of_artifacts.values()]

    def has(self, sha256: str) -> bool:
        return sha256 in self.contents

    def read(self, sha256: str, offset: int, size: int) -> bytes:
        self.fails("read")
        if sha256 not in self.contents:
            raise FileNotFoundError(sha256)
        return self.contents[sha256][offset : offset + size]

    def rehash(self, sha256: str) -> bool:
        return hashlib.sha256(self.contents[sha256]).hexdigest() == sha256

    def set_aside(self, sha256: str) -> Path:
        if sha256 not in self.contents:
            raise FileNotFoundError(sha256)
        del self.contents[sha256]
        self.aside.append(sha256)
        self.forget([entry.id for entry in self.known.values() if entry.sha256 == sha256])
        return Path(f"{sha256}.damaged")

    def delivered(self, sha256: str) -> None:
        self.fails("delivered")
        self.contents.pop(sha256, None)

    def forget(self, ids: Iterable[str]) -> None:
        self.fails("forget")
        for each in list(ids):
            if each not in self.known or not self.known[each].artifact:
                self.known.pop(each, None)
            if self.of_artifacts.pop(each, None) is not None:  # its files are part of it
                self.known = {id_: entry for id_, entry in self.known.items() if entry.artifact != each}


class Run:
    """A run whose files the lane sends: what ``Lease`` is to it."""

    own = None

    def __init__(self, line: Line, files: FakeFiles | None = None) -> None:
        self.line, self.outbox = line, line.outbox
        self.files = files or FakeFiles()

    def look_at_files(self, lock: Any) -> None:
        uploads = self.outbox.uploads
        uploads.see(self.files.ids())
        uploads.take([*self.files.known.values(), *self.files.of_artifacts.values()])


class Lane:
    """The runs of an agent, and its lane without a thread."""

    def __init__(self, *files: FakeFiles, server: MemoryServer | None = None, features: bool = True) -> None:
        self.server = server or MemoryServer()
        if features:
            self.server.features.append(wire.FILES_FEATURE)
        self.lock = threading.RLock()
        self.leases: dict[Outbox, Any] = {}
        self.runs = [Run(Line(Book(), server=self.server), each) for each in files or (FakeFiles(),)]
        for run in self.runs:
            run.outbox.probe.features = frozenset(self.server.features)
            self.leases[run.outbox] = run
        self.now = 1000.0
        self.round_trip_s = 0.01
        self.gone_away = 0  # times that the sender was woken
        self.keys = 0
        self.faults: list[BaseException] = []
        self.lane = UploadLane(self, 30.0, 1.0, lambda: self.now, random.Random(1))
        self._transport = Timed(self)

    @property
    def run(self) -> Run:
        return self.runs[0]

    @property
    def uploads(self) -> Uploads:
        return self.run.outbox.uploads

    @property
    def told(self) -> RunFiles:
        """What the server knows of the first run's files."""
        return self.server.files.of_run(self.run.line.run.uuid)

    @property
    def contents(self) -> dict[str, bytes]:
        return self.server.files.contents.get("me/demo", {})

    def transport(self, lease: Any) -> Transport | None:
        return self._transport

    def other_key(self, transport: Transport) -> bool:
        self.keys += 1
        return self.server.refresh_key()

    def wake(self) -> None:
        self.gone_away += 1

    def attempt(self, work: Callable[[], object]) -> None:
        work()

    def wait(self, run: Run, files_until: float | None = None, status: bool = False) -> Waiter:
        """Have somebody wait for a run."""
        run.look_at_files(self.lock)
        waiter = Waiter(lambda: None, status=status, files_until=files_until or 0.0)
        run.outbox.wait(waiter)
        return waiter

    def turn(self) -> None:
        """One round of the thread; time goes on to when the next thing is due."""
        before = len(self.server.requests)
        self.lane._woken = True
        self.lane._round()
        if len(self.server.requests) == before:
            self.now += max(self.lane._loop.wait_s, 0.01)

    def deliver(self, limit_s: float = 600.0) -> int:
        """Go on until nothing is left; how many requests it took."""
        before, end = len(self.server.requests), self.now + limit_s
        self.turn()
        while self.now < end and any(not run.outbox.uploads.is_empty() for run in self.runs):
            self.turn()
        return len(self.server.requests) - before


class Timed:
    """The server, with a round trip that takes time."""

    base_url = "http://127.0.0.1:9"

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.aborted: list[Request] = []

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        self.lane.now += self.lane.round_trip_s
        return self.lane.server.exchange(request, timeout_s)

    def refresh_key(self) -> bool:
        return self.lane.server.refresh_key()

    def abort(self, request: Request) -> None:
        self.aborted.append(request)


def asked(lane: Lane) -> list[str]:
    """What was asked, in short: "files", "ask", or the first byte of a part."""
    found = []
    for request, _ in lane.server.requests:
        told = request.headers.get("Content-Range", "")
        found.append("ask" if told.startswith("bytes *") else told.split("-")[0] if told else "files")
    return found
