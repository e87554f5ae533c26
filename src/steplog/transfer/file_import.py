"""The files of an imported run, to its server.

1. Files are told to the server by their ids, and those that it has are not sent again: a second import sends nothing.
2. A content is read twice, once for its hash, and never held but for a part. The server checks the hash as well.
   ``_AT_ONCE`` contents are sent at a time, since the server makes each durable.
3. A file whose content is not there, or is not what its source says, is told without one, and counted.
4. An artifact gets its version from the server, once all its files are told; one that the last version equals is that.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO

import msgspec

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.delivery import upload_wire
from steplog.delivery.tickets import RunAddress
from steplog.delivery.upload_wire import Announce, Ask, Outcome, Put
from steplog.errors import FormatError, SteplogError
from steplog.formats.imported import ImportedArtifact, ImportedFile
from steplog.transfer.exchanges import Exchanges, RefusedError

__all__ = ["FileImport", "FilesSent"]

_TOGETHER = 200
_TOGETHER_BYTES_MAX = 512 * 1024  # of the JSON of files that are told together
_PIECE_BYTES = 1024 * 1024
_PART_BYTES_MIN, _PART_BYTES, _PART_BYTES_MAX = 64 * 1024, 1024 * 1024, 8 * 1024 * 1024
_QUICK_S = 2.0
_GONE = "gone"  # the reason of a content that is not there any more
_TAKEN = (308, 413, 422)  # answers to a part that say something of it
_AT_ONCE = 4
_ROUNDS_MAX = 3  # of a content that the server forgets, or finds to have another hash


@dataclass
class FilesSent:
    """What became of the files.

    Attributes:
        sent, there: files whose content was sent, and which the server had before.
        bytes: that were sent.
        missing: files whose content is not in the source.
        left_out: how many are not on the server, by reason.
    """

    sent: int = 0
    there: int = 0
    bytes: int = 0
    missing: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


class _ProjectFullError(Exception):
    """The project takes no more contents."""


@dataclass
class _Read:
    """A file with its hash; ``open``: its content, None where it cannot be sent."""

    entry: FileEntry
    open: Callable[[], BinaryIO | None] | None


@dataclass
class _Sending:
    """How much of a content was sent."""

    bytes: int = 0


class FileImport:
    """To a run; ``progress`` is told of bytes as they are sent, in threads.

    Raises as ``Exchanges.send``, and OSError where what is told of a file cannot be read.
    """

    def __init__(
        self,
        exchanges: Exchanges,
        address: RunAddress,
        progress: Callable[[int], object] = lambda size: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exchanges, self._address = exchanges, address
        self._progress, self._clock = progress, clock
        self._full = ""  # why the project takes no more
        self._part_bytes = _PART_BYTES
        self.done = FilesSent()

    def send(self, files: Iterable[ImportedFile | ImportedArtifact]) -> None:
        """Send all of them."""
        waiting: list[_Read] = []
        waiting_bytes = 0
        for each in files:
            if isinstance(each, ImportedArtifact):
                self._send_artifact(each)
                continue
            read = self._read(each)
            if read is None:
                continue
            size = len(msgspec.json.encode(read.entry))
            if len(waiting) >= _TOGETHER or waiting_bytes + size > _TOGETHER_BYTES_MAX:
                self._send_together(waiting)
                waiting, waiting_bytes = [], 0
            waiting.append(read)
            waiting_bytes += size
        self._send_together(waiting)

    def _read(self, file: ImportedFile) -> _Read | None:
        """Its hash; None, and counted, of one of which nothing can be told."""
        entry, opened = file.entry, None
        try:
            opened = file.open()
            if opened is not None:
                with opened:
                    sha256, size = _hashed(opened)
                if entry.sha256 in ("", sha256):
                    return _Read(msgspec.structs.replace(entry, sha256=sha256, size=size), file.open)
                self.done.left_out["whose content has another hash than its source says"] += 1
            else:
                self.done.missing += 1
        except (OSError, FormatError) as error:
            self.done.left_out[_words(error)] += 1
        return _Read(entry, None) if entry.sha256 else None

    def _send_artifact(self, artifact: ImportedArtifact) -> None:
        read = [self._read(each) for each in artifact.files]
        known = [each for each in read if each is not None]
        if len(known) < len(read):
            self.done.left_out[f"of the artifact {artifact.entry.name}, which is not whole"] += len(known)
            return
        entry = _whole(artifact.entry, [each.entry for each in known])
        own = [_Read(msgspec.structs.replace(each.entry, artifact=entry.id), each.open) for each in known]
        for part in _parts(own):
            self._send_together(part)
        self._announce((), (entry,))

    def _send_together(self, files: Sequence[_Read]) -> None:
        if not files:
            return
        missing = self._announce([each.entry for each in files], ())
        if missing is None:
            return
        wanted: list[_Read] = []
        for each in files:
            if each.entry.sha256 not in missing:
                self.done.there += each.open is not None
            elif each.open is not None:
                missing.discard(each.entry.sha256)
                wanted.append(each)
        self._send_contents(wanted)

    def _send_contents(self, wanted: Sequence[_Read]) -> None:
        pool = ThreadPoolExecutor(min(_AT_ONCE, max(1, len(wanted))), "steplog-import-files")
        try:
            for size, reason in pool.map(self._send_content, wanted):
                self.done.bytes += size
                if reason is None:
                    self.done.sent += 1
                elif reason == _GONE:
                    self.done.missing += 1
                else:
                    self.done.left_out[reason] += 1
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C waits for no answer
                self._exchanges.interrupt()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _announce(self, files: Sequence[FileEntry], artifacts: Sequence[ArtifactEntry]) -> set[str] | None:
        """The hashes that the server lacks; None, and counted, where it refuses them."""
        work = Announce(tuple(files), tuple(artifacts))
        try:
            answer = self._exchanges.send(work.request(self._address), work.confirms)
        except RefusedError as error:
            if error.judgement.status != 400:
                raise
            if len(files) > 1:  # find the one that it refuses
                halves = files[: len(files) // 2], files[len(files) // 2 :]
                found = [self._announce(half, ()) for half in halves]
                return set().union(*(each for each in found if each is not None))
            what = "of which the server says" if files else "artifacts of which the server says"
            self.done.left_out[f"{what} {error.words}"] += 1
            return None
        told = upload_wire.announced(answer.body)
        return set() if told is None else set(told.missing)

    def _send_content(self, file: _Read) -> tuple[int, str | None]:
        """Send a content, in a thread: how many bytes were sent, and why it is left out."""
        if self._full:
            return 0, self._full
        sending = _Sending()
        try:
            content = None if file.open is None else file.open()
            if content is None:
                return 0, _GONE
            with content:
                is_stored = any(self._put_all(file.entry, content, sending) for _ in range(_ROUNDS_MAX))
        except _ProjectFullError as error:
            self._full = str(error)
            return sending.bytes, self._full
        except FormatError as error:
            return sending.bytes, _words(error)
        except SteplogError:  # some are an OSError as well
            raise
        except OSError as error:
            return sending.bytes, _words(error)
        return sending.bytes, None if is_stored else "that changed while it was sent"

    def _put_all(self, entry: FileEntry, content: BinaryIO, sending: _Sending) -> bool:
        """Send a content from where the server has it; False: it has found another hash, or forgotten it."""
        at, size = 0, entry.size
        if size == 0 or size > _PART_BYTES:
            outcome, at = self._exchange(Ask(entry.sha256, size), b"")
            if outcome is not Outcome.GO_ON:
                return outcome is Outcome.STORED
        while at < size:
            content.seek(at)
            data = content.read(min(self._part_bytes, size - at))
            if not data:
                return False
            began = self._clock()
            outcome, arrived = self._exchange(Put(entry.sha256, at, at + len(data), size), data)
            if outcome is Outcome.SMALLER and len(data) > _PART_BYTES_MIN:
                self._part_bytes = max(_PART_BYTES_MIN, len(data) // 2)
                continue
            if outcome is not Outcome.GO_ON:
                if outcome is Outcome.STORED:
                    self._arrived(len(data), sending)
                return outcome is Outcome.STORED
            if arrived <= at:
                return False
            self._arrived(arrived - at, sending)
            if self._clock() - began < _QUICK_S and len(data) == self._part_bytes:
                self._part_bytes = min(2 * self._part_bytes, _PART_BYTES_MAX)
            at = arrived
        return False

    def _arrived(self, size: int, sending: _Sending) -> None:
        sending.bytes += size
        self._progress(size)

    def _exchange(self, work: Ask | Put, data: bytes) -> tuple[Outcome, int]:
        """What came of it, and how far the server has come."""
        request = work.request(self._address, data) if isinstance(work, Put) else work.request(self._address)
        answer = self._exchanges.send(request, work.confirms, takes=_TAKEN)
        outcome, judgement = upload_wire.judge_content(work, answer)
        if outcome is Outcome.FULL:
            raise _ProjectFullError(f"since the server answers {judgement.words}")
        if outcome is Outcome.VERDICT:
            raise RefusedError(self._exchanges.base_url, judgement, None)
        return outcome, upload_wire.received(answer)


def _hashed(file: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def _whole(entry: ArtifactEntry, files: Sequence[FileEntry]) -> ArtifactEntry:
    """With what its files give."""
    lines = "".join(sorted(f"{each.sha256} {each.path}\n" for each in files))
    digest = hashlib.sha256(lines.encode()).hexdigest()
    return msgspec.structs.replace(entry, digest=digest, count=len(files), size=sum(each.size for each in files))


def _parts(files: Sequence[_Read]) -> Iterator[Sequence[_Read]]:
    for first in range(0, len(files), _TOGETHER):
        yield files[first : first + _TOGETHER]


def _words(error: OSError | FormatError) -> str:
    if isinstance(error, FormatError):
        return f"which is damaged: {error}"
    return f"that cannot be read: {error.strerror or error}"
