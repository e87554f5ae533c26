"""Uploads: parts in any order and from anybody, and a content that is right or not there."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing, suppress
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from server.contents import Catalogue, MemoryContents, Project
from steplog.server import content_uploads
from steplog.server.blobs.content_store import WrongContentError
from steplog.server.byte_ranges import ContentPart
from steplog.server.content_uploads import ContentUploads, Received
from steplog.server.file_types import QuotaExceededError
from steplog.server.store_types import StoreBusyError, StoreFullError

CONTENT = bytes(range(256)) * 10
SHA = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)
ONE, OTHER = cast(Any, Project("one")), cast(Any, Project("other"))


class Uploading:
    """Uploads over a store in memory."""

    def __init__(self, project_bytes_max: int = 0, append_bytes: int = 100) -> None:
        self.contents, self.catalogue = MemoryContents(), Catalogue()
        self.contents.append_bytes = append_bytes
        self.uploads = ContentUploads(self.contents, cast(Any, self.catalogue), project_bytes_max)
        self.read = 0  # bytes of bodies that were asked for

    def body(self, data: bytes, piece: int = 64, breaks: bool = False) -> Callable[[], AsyncIterator[bytes]]:
        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(data), piece):
                self.read += len(data[at : at + piece])
                yield data[at : at + piece]
            if breaks:
                raise HTTPException(408, "Timed out")

        return pieces

    async def send(self, first: int, end: int, project: Any = ONE, size: int = SIZE, **how: Any) -> Received:
        part = ContentPart(first, end, size)
        return await self.uploads.receive(project, SHA, part, self.body(CONTENT[first:end], **how))

    async def ask(self, size: int = SIZE, sha256: str = SHA) -> Received:
        return await self.uploads.receive(ONE, sha256, ContentPart(0, 0, size, True), self.body(b""))


def uploading(test: Callable[[Uploading], Coroutine[Any, Any, None]], **how: Any) -> None:
    async def run() -> None:
        scene = Uploading(**how)
        with closing(scene.uploads):
            await test(scene)

    asyncio.run(run())


def test_parts_in_order_become_the_content():
    async def test(scene: Uploading) -> None:
        assert await scene.ask() == Received(0)
        assert await scene.send(0, 1000) == Received(1000)
        assert await scene.ask() == Received(1000)
        assert await scene.send(1000, SIZE) == Received(SIZE, True, True)
        assert scene.contents.contents == {SHA: CONTENT}
        assert await scene.ask() == Received(SIZE, True)
        assert await scene.send(0, 1000) == Received(SIZE, True)

    uploading(test)


def test_a_part_that_is_there_or_begins_beyond_the_end_is_not_read():
    async def test(scene: Uploading) -> None:
        await scene.send(0, 1000)
        scene.read = 0
        assert await scene.send(0, 900) == Received(1000)
        assert await scene.send(0, 1000) == Received(1000)
        assert await scene.send(1500, 2000) == Received(1000)
        assert scene.read == 0

    uploading(test)


def test_of_a_part_that_overlaps_the_rest_is_taken():
    async def test(scene: Uploading) -> None:
        await scene.send(0, 1000)
        assert await scene.send(500, 1500) == Received(1500)
        assert await scene.send(0, SIZE) == Received(SIZE, True, True)
        assert scene.contents.contents[SHA] == CONTENT

    uploading(test)


def test_what_has_come_of_a_part_that_breaks_off_counts():
    async def test(scene: Uploading) -> None:
        with pytest.raises(HTTPException):
            await scene.uploads.receive(ONE, SHA, ContentPart(0, 1000, SIZE), scene.body(CONTENT[:750], breaks=True))
        assert await scene.ask() == Received(750)

    uploading(test, append_bytes=500)


def test_an_empty_content_is_there_once_it_was_asked_for():
    async def test(scene: Uploading) -> None:
        empty = hashlib.sha256().hexdigest()
        assert await scene.ask(0, empty) == Received(0, True, True)
        assert scene.contents.contents[empty] == b""
        with pytest.raises(WrongContentError):
            await scene.ask(0, SHA)

    uploading(test)


def test_a_content_that_is_wrong_is_removed_and_can_be_sent_again():
    async def test(scene: Uploading) -> None:
        wrong = scene.body(bytes(SIZE))
        with pytest.raises(WrongContentError):
            await scene.uploads.receive(ONE, SHA, ContentPart(0, SIZE, SIZE), wrong)
        assert await scene.ask() == Received(0)
        assert await scene.send(0, SIZE) == Received(SIZE, True, True)

    uploading(test)


@pytest.mark.parametrize("size", [1000, SIZE - 1, SIZE + 1, 10 * SIZE])
def test_a_client_that_says_another_size_makes_no_content(size):
    async def test(scene: Uploading) -> None:
        await scene.send(0, 2000)
        sent = CONTENT[2000:] + bytes(max(0, size - SIZE))
        end = max(SIZE, size)
        with pytest.raises(WrongContentError):
            await scene.uploads.receive(ONE, SHA, ContentPart(2000, end, size), scene.body(sent))
        assert not scene.contents.contents
        assert await scene.ask() == Received(0)

    uploading(test)


def test_a_project_sees_nothing_of_anothers_upload_or_content():
    async def test(scene: Uploading) -> None:
        await scene.send(0, 1000, OTHER)
        assert await scene.ask() == Received(0)
        await scene.send(1000, SIZE, OTHER)
        assert await scene.ask() == Received(0), "who knows a hash has not the content"
        assert await scene.send(0, SIZE) == Received(SIZE, True, True)

    uploading(test)


def test_what_was_whole_when_the_server_was_killed_is_ended_by_who_asks():
    async def test(scene: Uploading) -> None:
        scene.contents.uploads[f"one-{SHA}"] = bytearray(CONTENT)
        assert await scene.ask() == Received(SIZE, True, True)

    uploading(test)


def test_two_clients_that_send_one_content_at_once_make_it_once():
    async def test(scene: Uploading) -> None:
        async def client() -> Received:
            have = Received(0)
            while not have.present:
                have = await scene.send(have.bytes, min(have.bytes + 300, SIZE))
            return have

        assert {each.present for each in await asyncio.gather(*(client() for _ in range(5)))} == {True}
        assert scene.catalogue.added == 1
        assert scene.contents.contents == {SHA: CONTENT}
        assert not scene.contents.uploads

    uploading(test, append_bytes=70)


def test_nothing_is_added_to_an_upload_while_it_is_checked():
    async def test(scene: Uploading) -> None:
        go_on, checking = threading.Event(), threading.Event()

        def before(call: str) -> None:
            if call == "verify":
                checking.set()
                assert go_on.wait(30)

        scene.contents.before = before
        ended = asyncio.create_task(scene.send(0, SIZE))
        assert await asyncio.to_thread(checking.wait, 30)
        longer = ContentPart(SIZE, SIZE + 100, SIZE + 100)
        late = asyncio.create_task(scene.uploads.receive(ONE, SHA, longer, scene.body(bytes(100))))
        await asyncio.wait([late], timeout=0.05)  # a wrong implementation has added it by then
        assert len(scene.contents.uploads[f"one-{SHA}"]) == SIZE
        go_on.set()
        assert await ended == Received(SIZE, True, True)
        assert (await late).present
        assert scene.contents.contents == {SHA: CONTENT}

    uploading(test)


def test_a_check_that_takes_long_goes_on_and_the_client_asks_again(monkeypatch):
    monkeypatch.setattr(content_uploads, "_CHECK_S", 0.01)
    go_on = threading.Event()

    async def test(scene: Uploading) -> None:
        def before(call: str) -> None:
            assert call != "verify" or go_on.wait(30)

        scene.contents.before = before
        with pytest.raises(StoreBusyError, match="being checked"):
            await scene.send(0, SIZE)
        with pytest.raises(StoreBusyError, match="being checked"):
            await scene.ask()
        go_on.set()
        while True:
            try:
                assert (await scene.ask()).present
                break
            except StoreBusyError:
                continue
        assert scene.catalogue.added == 1

    uploading(test)


def test_more_than_the_project_may_have_is_refused_before_it_is_read():
    async def test(scene: Uploading) -> None:
        scene.catalogue.sizes["one", "another"] = 1000
        with pytest.raises(QuotaExceededError) as raised:
            await scene.send(0, 1000)
        assert (raised.value.used, raised.value.bytes_max, scene.read) == (1000, SIZE + 999, 0)
        assert (await scene.send(0, SIZE, OTHER)).present

    uploading(test, project_bytes_max=SIZE + 999)


def test_two_contents_at_once_do_not_pass_the_quota_together():
    async def test(scene: Uploading) -> None:
        contents = [bytes([each]) * 600 for each in (1, 2)]
        sent = [
            scene.uploads.receive(ONE, hashlib.sha256(each).hexdigest(), ContentPart(0, 600, 600), scene.body(each))
            for each in contents
        ]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        assert sum(isinstance(each, QuotaExceededError) for each in outcomes) == 1
        assert scene.catalogue.content_bytes(ONE) == 600

    uploading(test, project_bytes_max=1000)


def test_without_room_it_says_so_and_keeps_what_has_come():
    async def test(scene: Uploading) -> None:
        scene.contents.room = SIZE - 1
        with pytest.raises(StoreFullError, match=f"room for {SIZE - 1} bytes"):
            await scene.send(0, 1000)
        assert scene.read == 0
        scene.contents.room = SIZE
        await scene.send(0, 1000)
        scene.contents.room = 1250
        with pytest.raises(StoreFullError, match="what has arrived stays"):
            await scene.send(1000, SIZE)
        scene.contents.room = None
        have = await scene.ask()
        assert 1000 < have.bytes <= 1250
        assert await scene.send(have.bytes, SIZE) == Received(SIZE, True, True)

    uploading(test)


def test_a_disk_that_fails_is_said_once_and_answered_to_be_tried_again(caplog):
    async def test(scene: Uploading) -> None:
        def fail(_: str) -> None:
            raise OSError(errno.EIO, "Input/output error")

        scene.contents.before = fail
        for _ in range(3):
            with pytest.raises(StoreBusyError, match="cannot write files now"):
                await scene.send(0, 100)
        scene.contents.before = lambda _: None
        assert await scene.send(0, 100) == Received(100)

    uploading(test)
    assert [record.getMessage() for record in caplog.records if record.name == "steplog.server"] == [
        "files cannot be written now: [Errno 5] Input/output error"
    ]


def test_parts_beyond_the_memory_for_them_wait_unread_and_are_told_to_come_again(monkeypatch):
    monkeypatch.setattr(content_uploads, "_WAIT_S", 0.01)
    monkeypatch.setattr(content_uploads, "_GATHERED_BYTES_MAX", 200)

    async def test(scene: Uploading) -> None:
        go_on, begun = asyncio.Event(), asyncio.Queue[None]()

        async def slow() -> AsyncIterator[bytes]:
            begun.put_nowait(None)
            yield b"a"
            await go_on.wait()

        two = [
            asyncio.create_task(scene.uploads.receive(cast(Any, Project(name)), SHA, ContentPart(0, 9, SIZE), slow))
            for name in "ab"
        ]
        for _ in two:
            await begun.get()
        with pytest.raises(StoreBusyError, match="as many files at once"):
            await scene.send(0, 100)
        assert scene.read == 0
        go_on.set()
        assert [each.bytes for each in await asyncio.gather(*two)] == [1, 1]
        assert await scene.send(0, 100) == Received(100)

    uploading(test)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 900), st.booleans()), max_size=25),
    st.integers(1, 400),
)
def test_whatever_parts_come_nothing_but_the_content_is_kept(parts, append_bytes):
    async def test(scene: Uploading) -> None:
        for first, length, breaks in parts:
            with suppress(HTTPException):
                await scene.send(first, min(first + length, SIZE), breaks=breaks)
            upload = scene.contents.uploads.get(f"one-{SHA}", b"")
            assert bytes(upload) == CONTENT[: len(upload)]
        have = await scene.ask()
        if not have.present:
            assert (await scene.send(have.bytes, SIZE)).present
        assert scene.contents.contents == {SHA: CONTENT}

    uploading(test, append_bytes=append_bytes)
