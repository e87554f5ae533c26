"""Files of an import and a server in memory: each content once, in parts, and what is not sent is counted."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from functools import partial
from typing import BinaryIO

import pytest

from steplog import FormatError, ServerUnavailableError
from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.delivery import wire
from steplog.delivery.exchange import Request
from steplog.formats.imported import ImportedArtifact, ImportedFile
from steplog.testing.memory_server import Fault, MemoryRun, MemoryServer
from steplog.transfer.file_import import FilesSent
from steplog.transfer.importer import Outcome
from transfer.import_sources import importer_to, losses, run_of

MIB = 1024 * 1024
CONTENTS = "me/mnist"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def memory() -> MemoryServer:
    server = MemoryServer()
    server.features.append(wire.FILES_FEATURE)
    return server


def file_of(number: int, data: bytes | None, **fields: str) -> ImportedFile:
    entry = FileEntry(id=f"{number:032x}", **({"path": f"{number}.bin"} | fields))  # type: ignore[arg-type]
    return ImportedFile(entry, lambda: None if data is None else io.BytesIO(data))


def add(server: MemoryServer, *files: ImportedFile | ImportedArtifact) -> Outcome:
    return importer_to(server).add(run_of(losses(2))._replace(files=lambda: iter(files)))


def sent(outcome: Outcome) -> FilesSent:
    assert outcome.files is not None
    return outcome.files


def only_run(server: MemoryServer) -> MemoryRun:
    (run,) = server.runs.values()
    return run


def test_contents_are_sent_once_in_parts_however_many_files_have_them():
    server, large = memory(), bytes(range(256)) * 4096 * 5
    files = [file_of(1, large), file_of(2, b"small"), file_of(3, large), file_of(4, b"")]

    first = sent(add(server, *files))

    assert (first.sent, first.there, first.bytes) == (3, 1, len(large) + 5)
    assert server.files.contents[CONTENTS] == {sha256(data): data for data in (large, b"small", b"")}
    parts = [len(request.body) for request, _ in server.requests if request.method == "PUT"]
    assert max(parts) <= 8 * MIB
    assert list(server.files.of_run(only_run(server).uuid).files) == [file.entry.id for file in files]
    again = sent(add(server, *files))
    assert (again.sent, again.there, server.files.received) == (0, 4, len(large) + 5)


def test_an_import_that_was_stopped_goes_on_in_the_middle_of_a_file():
    server, large = memory(), bytes(range(256)) * 4096 * 5
    puts = 0

    def stop(request: Request) -> Fault | None:
        nonlocal puts
        puts += request.method == "PUT"
        return Fault.refused() if puts > 3 else None

    server.script = stop
    with pytest.raises(ServerUnavailableError):
        add(server, file_of(1, large))
    received = server.files.received
    assert 0 < received < len(large)

    server.script = lambda request: None
    assert sent(add(server, file_of(1, large))).sent == 1
    assert server.files.received == len(large)


def test_a_file_whose_content_is_another_or_is_not_there_is_told_and_counted():
    server = memory()
    files = [file_of(1, b"changed", sha256=sha256(b"said")), file_of(2, None, sha256=sha256(b"gone")), file_of(3, None)]

    done = sent(add(server, *files))

    assert done.left_out == {"whose content has another hash than its source says": 1}
    assert (done.sent, done.missing) == (0, 2)
    assert [file.sha256 for file in server.files.of_run(only_run(server).uuid).files.values()] == [
        sha256(b"said"),
        sha256(b"gone"),
    ]
    assert server.files.contents[CONTENTS] == {}


def test_a_file_that_cannot_be_read_does_not_stop_the_next():
    server = memory()

    def failing(error: Exception) -> BinaryIO:
        raise error

    files = [
        file_of(1, b"")._replace(open=partial(failing, OSError(5, "Input/output error"))),
        file_of(2, b"")._replace(open=partial(failing, FormatError("a link"))),
        file_of(3, b"good"),
    ]
    done = sent(add(server, *files))
    assert done.left_out == {"that cannot be read: Input/output error": 1, "which is damaged: a link": 1}
    assert server.files.contents[CONTENTS] == {sha256(b"good"): b"good"}


def test_a_content_that_arrives_damaged_is_sent_again_and_then_counted():
    server = memory()
    server.files.corrupts = lambda data: b"x" * len(data)
    done = sent(add(server, file_of(1, b"content")))
    assert (done.sent, dict(done.left_out)) == (0, {"that changed while it was sent": 1})
    assert server.files.received == 3 * len(b"content")


def test_a_project_that_is_full_leaves_out_contents_and_takes_the_run():
    server = memory()
    server.files.bytes_max = 4
    more = [file_of(2, b"56789"), file_of(3, b"x")]
    assert sent(add(server, file_of(1, b"1234"))).sent == 1
    outcome = importer_to(server).add(run_of(losses(2), id="other")._replace(files=lambda: iter(more)))
    done = sent(outcome)
    ((reason, count),) = done.left_out.items()
    assert (done.sent, count) == (0, 2)
    assert "The project uses 4 of 4 bytes" in reason
    assert outcome.sent == 2
    assert {run.status for run in server.runs.values()} == {"COMPLETED"}


def test_a_proxy_that_takes_small_parts_alone_gets_them():
    server, data = memory(), bytes(MIB)

    def proxy(request: Request) -> Fault | None:
        return Fault(413, b"<html>") if len(request.body) > 300_000 else None

    server.script = proxy
    assert sent(add(server, file_of(1, data))).sent == 1
    assert server.files.contents[CONTENTS] == {sha256(data): data}


def test_a_server_without_files_is_told_nothing_of_them():
    server = MemoryServer()
    assert add(server, file_of(1, b"x")).files is None
    assert add(MemoryServer()).files == FilesSent()
    assert not any("files" in request.path for request, _ in server.requests)


def artifact_of(number: int, files: Sequence[ImportedFile]) -> ImportedArtifact:
    return ImportedArtifact(ArtifactEntry(id=f"{number:032x}", name="cnn", type="model", aliases=("best",)), files)


def test_an_artifact_is_told_with_the_digest_of_its_files():
    server = memory()
    files = [file_of(2, b"b", path="b"), file_of(1, b"a", path="deep/a")]

    assert sent(add(server, artifact_of(9, files))).sent == 2

    told = server.files.of_run(only_run(server).uuid)
    (entry,) = told.artifacts.values()
    lines = "".join(sorted(f"{sha256(data)} {path}\n" for data, path in ((b"a", "deep/a"), (b"b", "b"))))
    assert (entry.digest, entry.count, entry.size) == (sha256(lines.encode()), 2, 2)
    assert told.versions == {entry.id: 0}
    assert {file.artifact for file in told.files.values()} == {entry.id}


def test_an_artifact_that_is_not_whole_is_left_out_as_a_whole():
    server = memory()
    done = sent(add(server, artifact_of(9, [file_of(1, b"a"), file_of(2, None)])))
    assert done.left_out == {"of the artifact cnn, which is not whole": 1}
    assert server.files.of_run(only_run(server).uuid).files == {}
