"""Answers are compressed for those who ask for that, and not sent to those who have them."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from server.process import KEY, ServerProcess
from steplog.server.answers import COMPRESSED_BYTES_MIN, AnswerMiddleware

LONG = json.dumps(["a value"] * 1000).encode()
JSON = [(b"content-type", b"application/json")]
WINDOW_BITS = {"gzip": 31, "deflate": 15}

Asked = Callable[..., tuple[int, dict[str, str], list[bytes]]]


def answered(
    parts: list[bytes], headers: list[tuple[bytes, bytes]] = JSON, method: str = "GET", status: int = 200, **asked: str
) -> tuple[int, dict[str, str], list[bytes]]:
    """Status, headers and messages of an answer that an application makes of these parts; of one whole, or streamed."""
    sent: list[Any] = []
    if len(parts) == 1:
        headers = [*headers, (b"content-length", str(len(parts[0])).encode())]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts) - 1})

    async def send(message: Any) -> None:
        sent.append(message)

    fields = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in asked.items()]
    with ThreadPoolExecutor(1) as compressor:
        asyncio.run(
            AnswerMiddleware(application, compressor)(
                {"type": "http", "method": method, "headers": fields}, lambda: None, send
            )
        )
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(sent) - 2) + [False]
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], head, [message["body"] for message in sent[1:]]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_long_answer_is_compressed_as_asked(coding):
    status, headers, (body,) = answered([LONG], Accept_Encoding=coding)
    assert (status, headers["content-encoding"], headers["vary"]) == (200, coding, "Accept-Encoding")
    assert "content-length" not in headers
    assert len(body) < len(LONG) / 10
    assert zlib.decompress(body, WINDOW_BITS[coding]) == LONG


@pytest.mark.parametrize(
    ("parts", "headers", "asked"),
    [
        ([LONG], JSON, {}),
        ([LONG], JSON, {"Accept_Encoding": "gzip;q=0"}),
        ([LONG], JSON, {"Accept_Encoding": "br"}),
        ([LONG[: COMPRESSED_BYTES_MIN - 1]], JSON, {"Accept_Encoding": "gzip"}),
        ([LONG], [(b"content-type", b"image/png")], {"Accept_Encoding": "gzip"}),
        ([LONG], [*JSON, (b"content-encoding", b"br")], {"Accept_Encoding": "gzip"}),
        ([LONG, LONG], [], {"Accept_Encoding": "gzip"}),
    ],
)
def test_what_is_small_or_compressed_or_not_asked_for_is_sent_as_it_is(parts, headers, asked):
    _, got, body = answered(parts, headers, **asked)
    assert body == parts
    assert got.get("content-encoding", "").encode() == dict(headers).get(b"content-encoding", b"")
    assert ("vary" in got) == (headers == JSON), "a cache must not give to others what one asked for"


def test_a_small_answer_is_compressed_for_who_takes_no_other():
    _, headers, (body,) = answered([b"[1]"], Accept_Encoding="gzip, identity;q=0")
    assert headers["content-encoding"] == "gzip"
    assert zlib.decompress(body, 31) == b"[1]"


def test_who_takes_none_of_the_codings_is_told_before_anything_is_done():
    status, _, (body,) = answered([b"done"], Accept_Encoding="br, *;q=0", method="POST")
    assert status == 406
    assert b"gzip" in body


def test_each_part_of_a_stream_can_be_read_once_it_is_sent():
    parts = [b'["first"', b',"second"' * 1_000_000, b"]"]
    _, headers, messages = answered(parts, Accept_Encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    reading = zlib.decompressobj(31)
    assert reading.decompress(messages[0]) == parts[0]
    assert len(messages) > 10, "a long part is compressed in slices, between which others have their turn"
    assert b"".join(reading.decompress(each) for each in messages[1:]) == parts[1] + parts[2]
    assert reading.eof


@pytest.mark.parametrize("asked", [{}, {"Accept_Encoding": "gzip"}])
@pytest.mark.parametrize("parts", [[LONG], [LONG, LONG]])
def test_the_head_is_that_of_the_answer_to_get(parts, asked):
    _, of_get, _ = answered(parts, **asked)
    _, of_head, body = answered(parts, method="HEAD", **asked)
    assert of_get == of_head
    assert b"".join(body) == (b"" if asked else b"".join(parts)), "the connection sends nothing of it"


def test_who_has_the_answer_is_not_sent_it_again():
    _, headers, _ = answered([LONG], Accept_Encoding="gzip")
    status, again, body = answered([LONG], Accept_Encoding="deflate", If_None_Match=f'"x", {headers["etag"]}')
    assert (status, body) == (304, [b""])
    assert again == {"etag": headers["etag"], "vary": "Accept-Encoding"}
    status, _, body = answered([LONG + b" "], If_None_Match=headers["etag"])
    assert (status, body) == (200, [LONG + b" "])


def test_a_long_answer_has_a_tag_too():
    _, headers, _ = answered([LONG * 100])
    assert answered([LONG * 100], If_None_Match=headers["etag"])[0] == 304


@pytest.mark.parametrize(("method", "status"), [("POST", 200), ("GET", 404), ("HEAD", 500)])
def test_what_is_no_answer_to_a_read_has_no_tag(method, status):
    got, headers, _ = answered([LONG], method=method, status=status, If_None_Match="*")
    assert got == status
    assert "etag" not in headers


def ask(
    server: ServerProcess, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer as it is on the wire."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={"Authorization": f"Api-Key {KEY}"} | fields)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


@pytest.mark.parametrize(
    ("file", "kept"),
    [
        ("", "no-cache"),  # kept, and asked for again
        ("main.js", "public, max-age=31536000, immutable"),
        ("styles/page.css", "public, max-age=31536000, immutable"),
    ],
)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_the_files_of_the_page_are_compressed_and_kept_by_a_browser(server, file, kept, coding):
    index = ask(server, "/")[1].decode()
    path = re.findall(rf'"(/page/[0-9a-f]+/{re.escape(file)})"', index)[0] if file else "/"
    plain, content = ask(server, path)
    answer, body = ask(server, path, Accept_Encoding=coding)
    if len(content) >= COMPRESSED_BYTES_MIN:
        assert answer.headers["Content-Encoding"] == coding
        assert zlib.decompress(body, WINDOW_BITS[coding]) == content
    assert answer.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert answer.headers.get_all("Cache-Control") == [kept]
    again, nothing = ask(server, path, If_None_Match=answer.headers["ETag"])
    assert (again.status, nothing) == (304, b"")
    assert again.headers["Content-Security-Policy"] == answer.headers["Content-Security-Policy"]


def test_a_run_that_is_asked_for_again_is_sent_when_it_has_changed(server):
    run = server.new_run()
    first, body = ask(server, f"/api/v0{run}", Accept_Encoding="gzip")
    assert ask(server, f"/api/v0{run}", If_None_Match=first.headers["ETag"])[0].status == 304
    assert first.headers["Cache-Control"] == "no-store", "in no browser's files"
    assert server.ask("PATCH", run, json={"notes": "x"}).status_code == 200
    changed, _ = ask(server, f"/api/v0{run}", If_None_Match=first.headers["ETag"])
    assert (changed.status, changed.headers["ETag"] != first.headers["ETag"]) == (200, True)


@pytest.mark.parametrize("what", ["metrics/", "series/", "series/?name=loss", "history/"])
def test_points_that_are_asked_for_again_are_sent_when_there_are_more(server, what):
    run = server.new_run()
    server.ask("POST", f"{run}metrics/", json={"name": "loss", "value": 0.5})
    first, body = ask(server, f"/api/v0{run}{what}", Accept_Encoding="gzip")
    tag = first.headers["ETag"]
    again, nothing = ask(server, f"/api/v0{run}{what}", If_None_Match=tag)
    assert (again.status, nothing, again.headers["ETag"]) == (304, b"", tag)
    assert ask(server, f"/api/v0{run}{what}", method="HEAD", If_None_Match=tag)[0].status == 304
    assert ask(server, "/api/v0/nowhere/", If_None_Match="*")[0].status == 404
    assert ask(server, f"/api/v0{run}series/?name=other", If_None_Match="*")[0].status == 404
    server.ask("POST", f"{run}metrics/", json={"name": "loss", "value": 0.4})
    changed, more = ask(server, f"/api/v0{run}{what}", If_None_Match=tag)
    assert changed.status == 200
    assert (more != body, changed.headers["ETag"] != tag) == (True, True)


def test_the_tag_of_points_is_another_one_after_a_restart(tmp_path):
    """A copy may have been restored meanwhile, with as many points."""
    with ServerProcess(tmp_path) as server:
        run = server.new_run()
        first, _ = ask(server, f"/api/v0{run}series/")
        server.end()
        server.start()
        assert ask(server, f"/api/v0{run}series/", If_None_Match=first.headers["ETag"])[0].status == 200


def test_a_long_list_of_runs_is_the_same_as_its_pages(server):
    path = server.new_run(project="many").rpartition("runs/")[0] + "runs/"
    for number in range(150):
        assert server.ask("POST", path, json={"name": f"run {number}", "notes": "é"}).status_code == 201
    pages = [server.ask("GET", f"{path}?limit=50&after={after}").json() for after in range(0, 200, 50)]
    whole = server.ask("GET", path).json()
    assert len(whole) == 151
    assert whole == [run for page in pages for run in page]


def test_a_tag_is_of_one_media_type(server):
    run = f"/api/v0{server.new_run()}history/"
    answers = [ask(server, run, Accept=kind)[0] for kind in ("application/json", "text/csv")]
    assert answers[0].headers["ETag"] != answers[1].headers["ETag"]
    assert {answer.headers["Vary"] for answer in answers} == {"Accept, Accept-Encoding"}
