"""Whatever a file holds and is called, nothing of it runs: it is sent as a medium, or as bytes to be saved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from server.blobs.test_content_type import STILL
from server.file_server import FileServer, new_id, serving
from steplog.server.blobs.folder import FolderContents

ACTIVE = {
    "html": b"<!DOCTYPE html><script>alert(document.domain)</script>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(2)</script></svg>",
    "xml": b"<?xml version='1.0'?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>alert(1)</x:script>",
    "script": b"alert(1)",
    "sheet": b"* { background: red }",
    "pdf": b"%PDF-1.7\n1 0 obj<</Names<</JavaScript 2 0 R>>>>",
    "png with html": STILL + b"<script>alert(1)</script>",
    "gif with script": b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)",
    "bitmap with script": b"BM=1;alert(1)//",
    "wave with html": b"RIFF<script>alert(1)</script>",
    "utf-16": "\ufeff<script>alert(1)</script>".encode("utf-16"),
    "multipart": b"--a\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n--a--",
    "manifest": b"CACHE MANIFEST\n/",
    "empty": b"",
}
NAMES = [
    "a.html",
    'a"; filename="b.html',
    "a'b%0d%0aSet-Cookie: x=y",
    "%22%3E%3Cscript%3E.png",
    "..\\..\\windows.exe",
    "\u202egnp.exe",
    "\u2066a\u2069.txt",
    "é 日本.png",
    "a;b,c=d\\e.txt",
    "a\u0085b\u2028c",
    "~" * 200,
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    directory = tmp_path_factory.mktemp("server")
    with serving(directory, FolderContents(directory / "blobs")) as server:
        yield server


@pytest.fixture(scope="module")
def run(files: FileServer) -> str:
    return files.new_run()


@pytest.mark.parametrize("what", ACTIVE)
@pytest.mark.parametrize("type_", ["text/html", "image/svg+xml", "text/javascript", "application/pdf", "image/png"])
def test_a_content_is_sent_as_bytes_or_a_medium_whatever_it_is_said_to_be(files, run, what, type_):
    file = files.save(run, ACTIVE[what], type=type_, suffix=".html")
    sha256 = next(each["sha256"] for each in files.ask("GET", f"{run}files/?limit=10000").json() if each["id"] == file)
    for path in (f"{run}files/{file}", files.blob(run, sha256)):
        for headers in ({}, {"Range": "bytes=0-3"}, {"Accept": "text/html"}):
            answer = files.ask("GET", path, headers=headers)
            if answer.status_code == 416:
                assert what == "empty"
                continue
            medium = {"png with html": "image/png", "gif with script": "image/gif"}.get(what)
            assert answer.headers["Content-Type"] == (medium or "application/octet-stream")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''")
            assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'; frame-ancestors 'none'"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_word_of_a_head_and_says_what_it_is(files, run, name):
    file = files.save(run, b"x", path=f"dir/{new_id()}/{name}")
    head = files.ask("HEAD", f"{run}files/{file}").headers
    found = re.fullmatch(r"attachment; filename\*=UTF-8''([A-Za-z0-9._~%-]+)", head["Content-Disposition"])
    assert found is not None, head["Content-Disposition"]
    assert "Set-Cookie" not in head
    shown = unquote(found[1])
    assert shown.isprintable()
    assert not {"/", "\\"} & set(shown)
    plain = name.isprintable() and "\\" not in name
    assert (shown == name) is plain


def test_a_type_with_a_line_break_is_never_stored(files, run):
    entry = {"id": new_id(), "sha256": "0" * 64, "type": "text/html\r\nX: y"}
    assert files.ask("POST", f"{run}files/", json={"files": [entry]}).status_code == 400


def test_no_other_origin_and_no_page_of_another_site_gets_a_content(files, run):
    file = files.save(run, b"secret")
    answer = files.ask("GET", f"{run}files/{file}", headers={"Origin": "https://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    bare = FileServer(files.url, "wrong")
    assert bare.ask("GET", f"{run}files/{file}").status_code == 401
