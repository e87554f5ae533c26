"""Uploads: the files of one run, from this machine to the server. Pure.

::

    announced ──the server misses it──▶ asked ──▶ part, part, … ──▶ dropped ──▶ forgotten
        └────────the server has it────────┴───────────────────────────▲

A file is *announced*; the server says whether it misses the content, which then is sent in parts. Once the server has
a content, it is dropped here; then the entries that name it are forgotten.

1. A content that is larger than a part is asked for first, and so is each after a failure: it goes on where it was.
2. Contents of one part go between the parts of larger ones.
3. What fails in particular waits alone, and the others go on.
4. Once the run's status is decided, entries stay until that has been sent, and the server told that no file is left:
   whoever delivers the run after a kill finds that there is something to tell.

``local`` says what to do on this machine, ``next`` what to ask the server; what came of it is told by ``answered``,
``did``, ``rehashed``, ``unreadable`` and ``forgot``. Their cost does not grow with the number of files.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

import msgspec

from steplog.blobs.entries import ArtifactEntry, FileEntry
from steplog.delivery.backoff import Backoff
from steplog.delivery.deferred_log import deferred_log
from steplog.delivery.exchange import Answer
from steplog.delivery.upload_queue import PART_BYTES_MIN, SLOW_S, MissingContent, PartSize, UploadQueue
from steplog.delivery.upload_wire import (
    ANNOUNCED_BYTES_MAX,
    ANNOUNCED_MAX,
    Announce,
    Ask,
    Outcome,
    Put,
    announced,
    judge_content,
    received,
    room_left,
)
from steplog.delivery.verdicts import Judgement, Verdict, judge

__all__ = ["REFUSED_INTERVAL_S", "Drop", "Forget", "Rehash", "SetAside", "Uploads", "Work"]

REFUSED_INTERVAL_S = 3600.0  # between two tries of what the server refuses
_FORGOTTEN_MIN = 64  # entries, while there is something else to do
_WRONG_MAX = 2  # times that the server finds another hash than is found here, until the content waits


class Drop(msgspec.Struct, frozen=True):
    """The server has this content: remove it here."""

    sha256: str


class Forget(msgspec.Struct, frozen=True):
    """Remove these entries."""

    ids: tuple[str, ...]


class Rehash(msgspec.Struct, frozen=True):
    """Read a content, and say whether it has the hash that it is called by (``rehashed``)."""

    sha256: str


class SetAside(msgspec.Struct, frozen=True):
    """A content is damaged, or gone, and its files are lost: set it and its entries aside, and count them."""

    sha256: str


Work = Announce | Ask | Put | Drop | Forget | Rehash | SetAside


class Uploads:
    """Of one run; ``part`` is that of its server.

    Attributes:
        decided, status_sent: of the run's status. ``told``: how many files the server was told with it that are to
            come; None: nobody knows.
        left: the ids of files and artifacts that have not arrived. ``any``: there was one.
        versions: of artifacts, by their id, as the server gave them.
        trouble: what keeps them; None while nothing does.
    """

    def __init__(self, source: random.Random, name: Callable[[], str] = lambda: "") -> None:
        self.part = PartSize()
        self.decided = self.status_sent = False
        self.told: int | None = None
        self.left: set[str] = set()
        self.any = False
        self.versions: dict[str, int] = {}
        self.trouble: str | None = None
        self.backoff = Backoff(source)
        self.epoch = 0  # counts ``forgot``
        self._source = source
        self.name = name
        self._ids: frozenset[str] = frozenset()
        self._entries: dict[str, FileEntry | ArtifactEntry] = {}
        self._artifacts: set[str] = set()
        self._members: dict[str, set[str]] = {}  # of artifacts: the files that have not arrived
        self._to_announce: dict[str, None] = {}
        self._announced_max = ANNOUNCED_MAX
        self._refused: dict[str, float] = {}  # entries, and when they are tried again
        self._announced: dict[str, set[str]] = {}  # the ids of files by their content
        self._confirmed: dict[str, None] = {}
        self._queue = UploadQueue()
        self._local: deque[Drop | Rehash | SetAside] = deque()
        self._full_until = 0.0  # the project has no room
        self._said: set[str] = set()

    # What is here.

    def see(self, ids: Iterable[str]) -> None:
        """The ids of all files and artifacts that are here, whether or not their content is known yet."""
        seen = frozenset(ids)
        if seen != self._ids:
            self._ids = seen
            self.left = set(seen - self._confirmed.keys())
            self.any = True

    def is_behind(self) -> bool:
        """Whether there are files that ``take`` has not seen."""
        return not self._ids <= self._entries.keys()

    def take(self, entries: Iterable[FileEntry | ArtifactEntry]) -> None:
        """What is known of the files and artifacts that are here."""
        for entry in entries:
            if entry.id not in self._entries:
                self._entries[entry.id] = entry
                if isinstance(entry, ArtifactEntry):
                    self._artifacts.add(entry.id)
                elif entry.artifact:
                    self._members.setdefault(entry.artifact, set()).add(entry.id)
                self._to_announce[entry.id] = None

    def is_empty(self) -> bool:
        """Whether nothing is here."""
        return not self._ids

    def have_arrived(self, ids: frozenset[str], *, told: bool) -> bool:
        """Whether these have arrived, and with ``told`` the server knows that no file is left."""
        return ids.isdisjoint(self.left) and (not told or self.is_empty() or self.told == 0)

    def files_left(self) -> int:
        """How many files have not arrived."""
        return len(self.left) - len(self._artifacts & self.left)

    def count_left(self, ids: Iterable[str]) -> int:
        """How many files of these have not arrived. Safe in any thread."""
        return sum(each not in self._confirmed and each not in self._artifacts for each in ids)

    def bytes_left(self) -> int:
        """Bytes that are known to be missing at the server."""
        return self._queue.bytes()

    def is_stuck(self) -> bool:
        """Whether nothing more arrives for now: all that is left is refused."""
        if not self.left or self._to_announce or self._local or self.is_behind():
            return False
        waits = self._full_until > 0.0 or self._queue.are_refused()
        return waits and bool(self._queue.contents or self._refused)

    def try_again(self) -> None:
        """Take back what was decided on when to try again."""
        self._full_until = 0.0
        self.backoff.try_again()
        self._to_announce |= dict.fromkeys(self._refused)
        self._refused.clear()
        self._queue.try_again()

    # What to do.

    def local(self, *, idle: bool) -> Drop | Forget | Rehash | SetAside | None:
        """What is to be done here; ``idle``: nothing else is to be done now."""
        if self._local:
            return self._local[0]
        if self.decided and (not self.status_sent or self._is_to_tell()):
            return None
        if self._confirmed and (idle or len(self._confirmed) >= _FORGOTTEN_MIN):
            return Forget(tuple(islice(self._confirmed, ANNOUNCED_MAX)))
        return None

    def next(self, now: float) -> Announce | Ask | Put | float | None:
        """What is to be asked, or when something is due; None: nothing, as far as is known."""
        if self.backoff.due > now:
            return self.backoff.due
        for again in [entry for entry, due in self._refused.items() if due <= now]:
            del self._refused[again]
            self._to_announce[again] = None
        if self._to_announce:
            return self._announcement()
        if self._is_to_tell() and not self.left:
            return Announce(pending=0)
        due = [*self._refused.values()]
        if self._full_until > now:
            return min([self._full_until, *due])
        content = self._queue.next(now)
        return self._send(content) if content is not None else min([*due, *self._queue.due()], default=None)

    def _is_to_tell(self) -> bool:
        """Whether the server is to be told once no file is left."""
        return self.status_sent and bool(self._confirmed) and self.told != 0

    def _announcement(self) -> Announce:
        files, artifacts, left = list[FileEntry](), list[ArtifactEntry](), ANNOUNCED_BYTES_MAX
        for each in islice(self._to_announce, self._announced_max):
            entry = self._entries[each]
            left -= len(msgspec.json.encode(entry)) + 1
            if left < 0 and (files or artifacts):
                break
            if isinstance(entry, FileEntry):
                files.append(entry)
            else:
                artifacts.append(entry)
        return Announce(tuple(files), tuple(artifacts))

    def _send(self, content: MissingContent) -> Ask | Put:
        if content.offset is None and (content.size > self.part.bytes or content.failures or not content.size):
            return Ask(content.sha256, content.size)
        first_byte = content.offset or 0
        return Put(content.sha256, first_byte, min(content.size, first_byte + self.part.bytes), content.size)

    # What came of it.

    def forgot(self, ids: Iterable[str]) -> None:
        """These entries are removed here."""
        self.epoch += 1
        for each in ids:
            self._confirmed.pop(each, None)
            self._to_announce.pop(each, None)
            entry = self._entries.pop(each, None)
            self._artifacts.discard(each)
            if isinstance(entry, FileEntry) and (members := self._members.get(entry.artifact)) is not None:
                members.discard(each)
                self._arrived(entry.artifact)
            if isinstance(entry, FileEntry) and (known := self._announced.get(entry.sha256)) is not None:
                known.discard(each)
                if not known:
                    del self._announced[entry.sha256]
        self._ids -= frozenset(ids)
        self.left -= self.left - self._ids

    def did(self, work: Drop | Rehash | SetAside) -> None:
        """That is done, or cannot be."""
        if work in self._local:
            self._local.remove(work)

    def rehashed(self, now: float, work: Rehash, right: bool | None) -> None:
        """Whether a content has the hash that it is called by; None: it could not be read."""
        self.did(work)
        content = self._queue.contents.get(work.sha256)
        if content is None:
            return
        if right:
            if content.wrong >= _WRONG_MAX:
                self._say("wrong", "the server gets other bytes than are sent; something on the way changes them")
                self._refuse(now, content)
        elif right is None:
            self._say("unread", "a file cannot be read")
            self._fail(now, content)
        else:
            self._lose(work.sha256)

    def unreadable(self, now: float, work: Put, gone: bool) -> None:
        """A content could not be read, or is gone."""
        content = self._queue.contents.get(work.sha256)
        if content is not None and gone:
            self._lose(work.sha256)
        elif content is not None:
            self._say("unread", "a file cannot be read")
            self._fail(now, content)

    def _lose(self, sha256: str) -> None:
        self._queue.remove(sha256)
        self._local.append(SetAside(sha256))

    def files_of(self, sha256: str) -> list[str]:
        """The ids of the files with this content."""
        return [
            each for each, entry in self._entries.items() if isinstance(entry, FileEntry) and entry.sha256 == sha256
        ]

    def answered(self, now: float, work: Announce | Ask | Put, answer: Answer | str, elapsed_s: float) -> Judgement:
        """Learn from an answer, or from why there was none."""
        if isinstance(work, Announce):
            return self._announce_answered(now, work, answer)
        content = self._queue.contents.get(work.sha256)
        if isinstance(answer, str):
            is_slow = content is not None and self._unanswered(content, work, elapsed_s)
            return Judgement(Verdict.ACCEPTED if is_slow else Verdict.AGAIN, answer)
        outcome, judgement = judge_content(work, answer)
        if content is None:
            return judgement
        if outcome in (Outcome.STORED, Outcome.GO_ON):
            self._full_until = 0.0
        if outcome is not Outcome.VERDICT:
            self._heard()
        match outcome:
            case Outcome.STORED:
                if isinstance(work, Put):
                    self.part.passed(work.end - work.first, elapsed_s)
                self._stored(content.sha256)
            case Outcome.GO_ON:
                self._go_on(now, content, work, received(answer), elapsed_s)
            case Outcome.WRONG:
                content.wrong += 1
                self._local.append(Rehash(content.sha256))
                content.offset = None
            case Outcome.FULL:
                self._say("full", judgement.words)
                if self._queue.has_smaller(content, room_left(answer)):
                    self._refuse(now, content)
                else:
                    self._full_until = now + max(REFUSED_INTERVAL_S, judgement.retry_after_s or 0.0)
            case Outcome.SMALLER:
                self._too_large(now, content, work, judgement)
            case Outcome.VERDICT:
                self._judged(now, content, judgement)
        # The content's own affair is not the server's.
        return judgement if outcome is Outcome.VERDICT else Judgement(Verdict.ACCEPTED, status=judgement.status)

    def _unanswered(self, content: MissingContent, work: Ask | Put, elapsed_s: float) -> bool:
        """Whether it may be the size of the part, and smaller ones are tried at once."""
        content.failures += 1
        content.offset = None
        if not isinstance(work, Put) or work.end - work.first <= PART_BYTES_MIN:
            return False
        if elapsed_s >= SLOW_S or content.failures > 1:
            self.part.failed(work.end - work.first)
        return elapsed_s >= SLOW_S

    def _too_large(self, now: float, content: MissingContent, work: Ask | Put, judgement: Judgement) -> None:
        """A proxy takes no body of this size."""
        content.offset = None
        if isinstance(work, Put) and work.end - work.first > PART_BYTES_MIN:
            self.part.failed(work.end - work.first)
            return
        self._say("refused", judgement.words)
        self._refuse(now, content)

    def _go_on(self, now: float, content: MissingContent, work: Ask | Put, offset: int, elapsed_s: float) -> None:
        stands_still = isinstance(work, Put) and offset == work.first
        if offset >= content.size or stands_still:
            content.offset = None
            content.failures += 1
            self._fail(now, content)
            return
        if isinstance(work, Put) and offset == work.end:
            self.part.passed(work.end - work.first, elapsed_s)
        content.offset, content.failures = offset, 0
        content.backoff.passed()

    def _judged(self, now: float, content: MissingContent, judgement: Judgement) -> None:
        match judgement.verdict:
            case Verdict.REFUSED | Verdict.UNSUPPORTED | Verdict.CONFLICT | Verdict.TOO_LARGE:
                self._say("refused", judgement.words)
                self._refuse(now, content)
            case Verdict.FAULT:
                self._fail(now, content, judgement.retry_after_s)
            case verdict:
                content.offset = None
                content.failures += 1
                self._run_judged(now, verdict, judgement)

    def _fail(self, now: float, content: MissingContent, at_least_s: float | None = None) -> None:
        content.offset = None
        content.failures += 1
        content.backoff.failed(now, at_least_s)
        self._queue.put_off(content)

    def _refuse(self, now: float, content: MissingContent) -> None:
        content.refused = True
        self._fail(now, content, REFUSED_INTERVAL_S)

    def _run_judged(self, now: float, verdict: Verdict, judgement: Judgement) -> None:
        """What an answer means for all files of the run."""
        if verdict in (Verdict.FORBIDDEN, Verdict.REDIRECTED):
            self._say("forbidden", judgement.words)
            self.backoff.failed(now, judgement.retry_after_s)
        elif verdict is Verdict.MISSING:  # the run is asked for: it may be gone
            self.backoff.failed(now)

    def _announce_answered(self, now: float, work: Announce, answer: Answer | str) -> Judgement:
        if isinstance(answer, str):
            return Judgement(Verdict.AGAIN, answer)
        judgement = judge(answer, work.confirms)
        told = announced(answer.body) if judgement.verdict is Verdict.ACCEPTED else None
        if told is not None:
            self._heard()
            self._take_in(work, frozenset(told.missing), told.versions)
            return judgement
        count = len(work.files) + len(work.artifacts)
        match judgement.verdict:
            case Verdict.REFUSED | Verdict.TOO_LARGE | Verdict.UNSUPPORTED | Verdict.CONFLICT if count > 1:
                self._announced_max = max(1, count // 2)
                self._heard()
            case Verdict.REFUSED | Verdict.TOO_LARGE | Verdict.UNSUPPORTED | Verdict.CONFLICT:
                self._say("refused", judgement.words)
                for each in [*(file.id for file in work.files), *(one.id for one in work.artifacts)]:
                    self._to_announce.pop(each, None)
                    self._refused[each] = now + REFUSED_INTERVAL_S
                if not count:  # that no file is left
                    self.told = 0
            case Verdict.FAULT:
                self.backoff.failed(now, judgement.retry_after_s)
            case verdict:
                self._run_judged(now, verdict, judgement)
        return judgement

    def _take_in(self, work: Announce, missing: frozenset[str], versions: dict[str, int]) -> None:
        self._announced_max = min(ANNOUNCED_MAX, 2 * self._announced_max)
        self.versions.update(versions)
        if work.pending is not None:
            self.told = work.pending
        for artifact in work.artifacts:
            self._to_announce.pop(artifact.id, None)
        for entry in work.files:
            self._to_announce.pop(entry.id, None)
            if entry.id not in self._entries:
                continue
            self._announced.setdefault(entry.sha256, set()).add(entry.id)
            if entry.sha256 not in missing:
                self._stored(entry.sha256)
            elif entry.sha256 not in self._queue.contents:
                self._queue.add(MissingContent(entry.sha256, entry.size, Backoff(self._source)))
        for artifact in work.artifacts:
            self._arrived(artifact.id)

    def _stored(self, sha256: str) -> None:
        """The server has a content."""
        self._queue.remove(sha256)
        self._local.append(Drop(sha256))
        for each in sorted(self._announced.get(sha256, ())):
            self._confirmed[each] = None
            self.left.discard(each)
            entry = self._entries.get(each)
            if isinstance(entry, FileEntry) and (members := self._members.get(entry.artifact)) is not None:
                members.discard(each)
                self._arrived(entry.artifact)

    def _arrived(self, artifact: str) -> None:
        """An artifact has arrived once it is announced, and all its files are there."""
        if artifact in self._entries and artifact not in self._to_announce and not self._members.get(artifact):
            self._confirmed[artifact] = None
            self.left.discard(artifact)
            self._members.pop(artifact, None)

    def _heard(self) -> None:
        self.backoff.passed()
        if not self.is_stuck() and not self._queue.has_refused():
            self.trouble = None

    def _say(self, kind: str, words: str) -> None:
        """Say what keeps files, once."""
        self.trouble = words
        if kind not in self._said:
            self._said.add(kind)
            deferred_log.warning(
                "steplog: run %s: %s. Its files are kept here, and tried again; this is said once.", self.name(), words
            )
