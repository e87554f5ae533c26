"""Files over HTTP: announced, sent in parts, read whole or in ranges, by who may."""

from __future__ import annotations

import errno
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from polling import wait_until
from server.contents import MemoryContents
from server.file_server import FileServer, new_id, serving, sha256_of
from server.process import KEY
from steplog.server import request_body
from steplog.server.blobs.folder import FolderContents
from steplog.server.byte_ranges import PART_BYTES_MAX

CONTENT = random.Random(1).randbytes(3_000_000)
NO_RUN = "00000000-0000-4000-8000-000000000000"
SHA, SIZE = sha256_of(CONTENT), len(CONTENT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contents") / "blobs"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[FileServer]:
    with serving(tmp_path_factory.mktemp("server"), FolderContents(folder)) as server:
        yield server


@pytest.fixture
def run(files: FileServer) -> str:
    """A run in a project of its own."""
    return files.new_run(new_id())


def entry(content: bytes, **fields: object) -> dict[str, object]:
    return {"id": new_id(), "sha256": sha256_of(content), "size": len(content)} | fields


def test_a_server_of_files_has_the_feature(files, run):
    assert "files" in files.ask("GET", run).json()["features"]


def test_a_file_is_announced_sent_and_read(files, run):
    told = entry(CONTENT, path="checkpoints/a.pt", type="application/x-pytorch", time=7)
    assert files.announce(run, files=[told], pending=1) == {"missing": [SHA], "versions": {}}
    assert files.ask("GET", run).json()["files_pending"] == 1
    (listed,) = files.ask("GET", f"{run}files/").json()
    assert listed == told | {"suffix": "", "present": False}
    missing = files.ask("GET", f"{run}files/{told['id']}")
    assert (missing.status_code, missing.json()) == (404, {"detail": "Not found."})
    sent = files.put(run, SHA, CONTENT, 0, SIZE)
    assert (sent.status_code, sent.json()) == (201, {"sha256": SHA, "size": SIZE})
    assert files.announce(run, files=[told], pending=0) == {"missing": [], "versions": {}}
    assert files.ask("GET", f"{run}files/").json()[0]["present"] is True
    assert files.ask("GET", run).json()["files_pending"] == 0
    for path in (f"{run}files/{told['id']}", files.blob(run, SHA)):
        answer = files.ask("GET", path)
        assert (answer.status_code, answer.content == CONTENT) == (200, True)
        assert answer.headers["ETag"] == f'"{SHA}"'
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert files.ask("HEAD", files.blob(run, SHA)).headers["Content-Length"] == str(SIZE)
    assert files.ask("HEAD", files.blob(run, "0" * 64)).status_code == 404


def test_a_patch_says_how_many_files_are_to_come(files, run):
    assert files.ask("GET", run).json()["files_pending"] is None
    patched = files.ask("PATCH", run, json={"status": "COMPLETED", "files_pending": 3}).json()
    assert (patched["status"], patched["files_pending"]) == ("COMPLETED", 3)
    assert files.ask("PATCH", run, json={"files_pending": -1}).status_code == 400


def test_parts_are_sent_one_after_the_other_and_asked_for(files, run):
    part = SIZE // 3
    asked = files.put(run, SHA, b"", 0, SIZE)
    assert (asked.status_code, asked.headers.get("Range"), asked.content) == (308, None, b"")
    assert "Location" not in asked.headers
    first = files.put(run, SHA, CONTENT[:part], 0, SIZE)
    assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{part - 1}")
    for data, at in ((CONTENT[:part], 0), (CONTENT[2 * part :], 2 * part), (b"", 0)):
        again = files.put(run, SHA, data, at, SIZE)
        assert (again.status_code, again.headers["Range"]) == (308, f"bytes=0-{part - 1}")
    overlapping = files.put(run, SHA, CONTENT[part - 100 : 2 * part], part - 100, SIZE)
    assert overlapping.headers["Range"] == f"bytes=0-{2 * part - 1}"
    assert files.put(run, SHA, CONTENT[2 * part :], 2 * part, SIZE).status_code == 201
    for data, at in ((CONTENT[:part], 0), (b"", 0)):
        assert files.put(run, SHA, data, at, SIZE).status_code == 200


def test_an_empty_content_has_a_size_of_nothing(files, run):
    empty = sha256_of(b"")
    assert files.put(run, empty, b"", 0, 0).status_code == 201
    answer = files.ask("GET", files.blob(run, empty))
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
    assert files.ask("GET", files.blob(run, empty), headers={"Range": "bytes=0-"}).status_code == 416


@pytest.mark.parametrize(
    "said",
    [
        None,
        "bytes 0-9",
        "bytes 0-9/*",
        "bytes 5-14/10",
        "bytes 0-8/100",
        "bytes 0-10/100",
        "bytes */100",
        "bytes 0-9/9223372036854775808",
        "bytes 0-9/9007199254740992",
        "bytes 9-0/100",
        f"bytes 0-{PART_BYTES_MAX}/{2 * PART_BYTES_MAX}",
        "rows 0-9/10",
    ],
)
def test_a_part_that_is_none_is_refused_and_changes_nothing(files, run, said):
    headers = {} if said is None else {"Content-Range": said}
    refused = files.ask("PUT", files.blob(run, SHA), data=b"0123456789", headers=headers)
    assert (refused.status_code, list(refused.json())) == (400, ["detail"])
    assert "Range" not in files.put(run, SHA, b"", 0, SIZE).headers


def test_a_body_in_chunks_is_taken_up_to_its_range(files, run):
    data = CONTENT[:1000]
    sha256 = sha256_of(data)
    path, said = files.blob(run, sha256), {"Content-Range": "bytes 0-999/1000"}
    short = files.ask("PUT", path, data=iter([data[:300], data[300:600]]), headers=said)
    assert (short.status_code, short.headers["Range"]) == (308, "bytes=0-599")
    long = files.ask("PUT", path, data=iter([data, b"more"]), headers=said)
    assert long.status_code == 400
    assert files.put(run, sha256, b"", 0, 1000).status_code in (200, 201), "what is of the part counts"


def test_a_wrong_hash_is_refused_and_nothing_is_left_of_it(files, run):
    answer = files.put(run, SHA, bytes(1000), 0, 1000)
    assert (answer.status_code, "was removed" in answer.json()["detail"]) == (422, True)
    assert "Range" not in files.put(run, SHA, b"", 0, SIZE).headers
    assert files.ask("HEAD", files.blob(run, SHA)).status_code == 404
    assert files.put(run, SHA, CONTENT, 0, SIZE).status_code == 201


def test_what_has_come_of_a_part_whose_client_has_gone_counts(files, run):
    host, port = files.url.removeprefix("http://").split(":")
    path = f"/api/v0{files.blob(run, SHA)}"
    with socket.create_connection((host, int(port))) as connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Api-Key {KEY}\r\n"
        head += f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}\r\nContent-Length: {SIZE}\r\n\r\n"
        connection.sendall(head.encode() + CONTENT[:1_000_000])
        wait_until(lambda: "Range" in files.put(run, SHA, b"", 0, SIZE).headers)
    wait_until(lambda: files.put(run, SHA, b"", 0, SIZE).headers["Range"] == "bytes=0-999999")
    assert files.put(run, SHA, CONTENT[1_000_000:], 1_000_000, SIZE).status_code == 201


def test_a_part_that_takes_too_long_is_told_and_counts(files, run, monkeypatch):
    monkeypatch.setattr(request_body.read_pieces, "__defaults__", (0.2,))
    go_on = threading.Event()

    def slow() -> Iterator[bytes]:
        yield CONTENT[:5000]
        go_on.wait(20)

    with ThreadPoolExecutor(1) as thread:
        said = {"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}"}
        asked = thread.submit(FileServer(files.url).ask, "PUT", files.blob(run, SHA), data=slow(), headers=said)
        wait_until(lambda: "Range" in files.put(run, SHA, b"", 0, SIZE).headers)
        go_on.set()
        answer = asked.result()
    assert (answer.status_code, "counts" in answer.json()["detail"]) == (408, True)
    assert files.put(run, SHA, b"", 0, SIZE).headers["Range"] == "bytes=0-4999"


def test_many_clients_send_one_content_at_once(files, run, folder):
    def send(number: int) -> set[int]:
        client, at, seen = FileServer(files.url), 0, set()
        while True:
            answer = client.put(run, SHA, CONTENT[at : at + 100_000 + 7_000 * number], at, SIZE)
            seen.add(answer.status_code)
            if answer.status_code != 308:
                return seen
            at = int(answer.headers.get("Range", "bytes=0--1")[8:]) + 1

    with ThreadPoolExecutor(6) as threads:
        seen = set().union(*threads.map(send, range(6)))
    assert seen <= {308, 201, 200}
    assert files.ask("GET", files.blob(run, SHA)).content == CONTENT
    project = files.ask("GET", f"{run.partition('runs/')[0]}").json()["uuid"]
    assert not list((folder / "uploads").glob(f"{project}*")), "no upload is left"


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("bytes=0-99", 0, 100), (f"bytes={SIZE - 10}-", SIZE - 10, SIZE), ("bytes=-7", SIZE - 7, SIZE)],
)
def test_a_range_is_answered_with_its_bytes(files, run, asked, first, end):
    file = files.save(run, CONTENT)
    answer = files.ask("GET", f"{run}files/{file}", headers={"Range": asked, "If-Range": f'"{SHA}"'})
    assert (answer.status_code, answer.content) == (206, CONTENT[first:end])
    assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/{SIZE}"
    assert answer.headers["Content-Length"] == str(end - first)


def test_another_range_is_answered_with_all_or_none(files, run):
    path = f"{run}files/{files.save(run, CONTENT)}"
    for headers in ({"Range": "bytes=0-1,5-6"}, {"Range": "bytes=0-1", "If-Range": '"other"'}, {"Range": "x"}):
        answer = files.ask("GET", path, headers=headers)
        assert (answer.status_code, len(answer.content)) == (200, SIZE)
    beyond = files.ask("GET", path, headers={"Range": f"bytes={SIZE}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
    head = files.ask("HEAD", path, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(SIZE))


def test_who_has_the_content_is_not_sent_it(files, run):
    path = f"{run}files/{files.save(run, CONTENT)}"
    for tags in (f'"{SHA}"', f'W/"{SHA}"', f'"x", "{SHA}"', "*"):
        answer = files.ask("GET", path, headers={"If-None-Match": tags})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", f'"{SHA}"')


def test_lists_are_paged_and_chosen_by_path(files, run):
    told = [entry(b"a", path=f"a/{each}") for each in range(5)] + [entry(b"b"), entry(b"c", path="b/x")]
    files.announce(run, files=told)
    found, path = [], f"{run}files/?limit=3"
    while path:
        answer = files.ask("GET", path)
        found += [each["id"] for each in answer.json()]
        path = f"{run}files/{answer.links['next']['url']}" if answer.links else ""
    assert found == [each["id"] for each in told]
    assert [each["path"] for each in files.ask("GET", f"{run}files/?path=b/").json()] == ["b/x"]
    assert len(files.ask("GET", f"{run}files/?saved=1").json()) == 6
    for query in ("?limit=0", "?after=x", f"?after={new_id()}", "?saved=2", "?limit=10001"):
        assert files.ask("GET", f"{run}files/{query}").status_code == 400, query


def test_a_wrong_announcement_stores_nothing(files, run):
    good = entry(b"a")
    for wrong in (entry(b"b", path="../x"), entry(b"b") | {"sha256": "x"}, entry(b"b", type="a")):
        assert list(files.ask("POST", f"{run}files/", json={"files": [good, wrong]}).json()) == ["files"]
    assert files.ask("GET", f"{run}files/").json() == []
    assert files.ask("POST", f"{run.partition('runs/')[0]}runs/{NO_RUN}/files/", json={}).status_code == 404


def test_another_project_has_neither_the_content_nor_the_upload(files, run):
    files.save(run, CONTENT)
    other = files.new_run("another")
    for method in ("GET", "HEAD"):
        assert files.ask(method, files.blob(other, SHA)).status_code == 404
    assert files.announce(other, files=[entry(CONTENT)])["missing"] == [SHA]
    assert "Range" not in files.put(other, SHA, b"", 0, SIZE).headers


def test_a_path_of_a_content_without_a_slash_is_not_led_elsewhere(files, run):
    for path in (f"{run}files/{new_id()}", files.blob(run, "0" * 64), files.blob(run, "x")):
        assert files.ask("GET", path).status_code == 404
    assert files.ask("GET", f"{run}files").status_code == 301
    assert (
        files.ask("PUT", files.blob(run, "x"), data=b"a", headers={"Content-Range": "bytes 0-0/1"}).status_code == 404
    )


@pytest.mark.parametrize("key", ["", "Authorization: Api-Key wrong\r\n"])
def test_without_a_key_the_answer_is_there_before_a_part(files, run, key):
    host, port = files.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        head = f"PUT /api/v0{files.blob(run, SHA)} HTTP/1.1\r\nHost: {host}:{port}\r\n{key}"
        head += (
            f"Content-Range: bytes 0-{PART_BYTES_MAX - 1}/{PART_BYTES_MAX}\r\nContent-Length: {PART_BYTES_MAX}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_who_sends_a_whole_part_that_is_not_wanted_hears_why(files, run):
    content = bytes(PART_BYTES_MAX)
    for key, status in (("wrong", 401), (KEY, 400)):
        client = FileServer(files.url, key)
        said = {"Content-Range": f"bytes 1-{PART_BYTES_MAX}/{PART_BYTES_MAX}"}
        assert client.ask("PUT", files.blob(run, SHA), data=content, headers=said).status_code == status


def test_what_a_project_may_have_is_answered_with_what_it_has(tmp_path):
    with serving(tmp_path, FolderContents(tmp_path / "blobs"), project_bytes_max=1500) as files:
        run = files.new_run()
        files.send(run, bytes(1000))
        answer = files.put(run, sha256_of(bytes(501)), bytes(501), 0, 501)
        assert (answer.status_code, answer.json()["used"], answer.json()["allowed"]) == (413, 1000, 1500)
        files.send(run, bytes(500))
        files.send(files.new_run("other"), bytes(1400))


def test_without_room_or_a_disk_that_works_it_says_when_to_come_again(tmp_path, caplog):
    contents = MemoryContents()

    def fail(_: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with serving(tmp_path, contents) as files:
        run = files.new_run()
        file = files.save(run, b"kept")
        contents.room = 999
        full = files.put(run, SHA, CONTENT[:1000], 0, 1000)
        assert (full.status_code, full.headers["Retry-After"]) == (507, "60")
        assert "room" in full.json()["detail"]
        contents.room, contents.before = None, fail
        for answer in (files.put(run, SHA, CONTENT[:1000], 0, SIZE), files.ask("GET", f"{run}files/{file}")):
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert "Input/output" not in answer.text
        contents.before = lambda _: None
        assert files.ask("GET", f"{run}files/{file}").content == b"kept"
    assert {record.getMessage() for record in caplog.records if record.name == "steplog.server"} == {
        "files cannot be written now: [Errno 5] Input/output error",
        "files cannot be read now: [Errno 5] Input/output error",
    }


def test_scalars_wait_for_no_disk_that_hangs(tmp_path):
    contents, go_on = MemoryContents(), threading.Event()

    def hang(_: str) -> None:
        assert go_on.wait(60)

    with serving(tmp_path, contents) as files, ThreadPoolExecutor(40) as clients:
        run = files.new_run()
        file = files.save(run, b"kept")
        contents.before = hang
        waiting = [clients.submit(FileServer(files.url).put, run, SHA, CONTENT[:9], 0, SIZE) for _ in range(20)]
        waiting += [clients.submit(FileServer(files.url).ask, "GET", f"{run}files/{file}") for _ in range(20)]
        try:
            for _ in range(20):
                sent = files.ask("POST", f"{run}metrics/", json={"name": "loss", "value": 1}, timeout=10)
                assert sent.status_code == 201
                assert files.ask("GET", f"{run}metrics/", timeout=10).status_code == 200
        finally:
            go_on.set()
        assert {each.result().status_code for each in waiting} == {308, 200}
