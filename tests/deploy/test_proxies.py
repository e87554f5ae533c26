"""The proxies' configurations that are shipped: what clients send arrives, and a server that goes is not noticed."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
import requests

import postgresql
from certificates import NAME, make_authority
from deploy.proxies import PROXIES, Proxy
from end_to_end.programs import Host, ended, go_on, line
from polling import wait_until
from server.batches import range_of
from server.process import BATCH_HEADERS, DEADLINE_S, KEY, ServerProcess, lasting_port
from steplog.delivery.wire import API
from steplog.journal.range import encode
from steplog.server.byte_ranges import PART_BYTES_MAX
from steplog.server.request_body import BODY_BYTES_MAX

ADDRESS = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = tmp_path_factory.mktemp("authority")
    make_authority(paths)
    return paths


def started(directory: Path, store: str, port: int, *options: str) -> ServerProcess:
    known = ("--allow-host", ADDRESS, "--allow-host", NAME, "--namespace", "team", "--user", "me")
    shared = ("--blobs", str(directory.parent / "blobs"))
    return ServerProcess(directory, *known, *shared, "--port", str(port), *options, store=store)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers over one database."""
    store = postgresql.new_database()
    with (
        started(tmp_path / "one", store, lasting_port(), "--drain", "3") as one,
        started(tmp_path / "two", store, lasting_port()) as two,
    ):
        yield one, two


@pytest.fixture(params=PROXIES)
def proxy(request, tmp_path: Path, authority: Path, servers) -> Iterator[Proxy]:
    addresses = tuple(urlsplit(server.url).netloc for server in servers)
    with Proxy(request.param, tmp_path / "proxy", authority, addresses) as started:
        yield started


@pytest.fixture
def session(authority: Path) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        made.verify = str(authority / "ca.pem")
        made.headers["Authorization"] = f"Api-Key {KEY}"
        yield made


def connections_to(server: ServerProcess) -> int:
    """How many are there to a server, those too that were closed lately."""
    port = f":{urlsplit(server.url).port:04X}"
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    return sum(line.split()[2].endswith(port) for line in lines)


@pytest.mark.slow
def test_requests_through_a_proxy_share_a_few_connections(proxy, servers, session):
    before = sum(map(connections_to, servers))
    for _ in range(60):
        answer = session.get(f"{proxy.url}{API}/namespaces/", timeout=DEADLINE_S)
        assert (answer.status_code, [each["slug"] for each in answer.json()]) == (200, ["me", "team"])
    assert sum(map(connections_to, servers)) - before <= 8


@pytest.mark.slow
def test_a_batch_of_more_than_a_mebibyte_passes_a_proxy(proxy, servers, session):
    text = b'"%s"' % bytes(Random(7).choices(range(0x23, 0x5C), k=1_700_000))
    batch = encode(range_of([("text", text, 0)]))
    assert len(batch) > 1 << 20
    path = servers[0].new_run()
    for _ in range(2):
        url = f"{proxy.url}{API}{path}metrics/batch/"
        answer = session.post(url, data=batch, headers=BATCH_HEADERS, timeout=DEADLINE_S)
        assert answer.status_code == 200, answer.text
    for server in servers:
        assert [each["value"] for each in server.ask("GET", f"{path}metrics/").json()] == [text[1:-1].decode()]


@pytest.mark.slow
def test_the_largest_parts_of_a_file_pass_a_proxy_to_whichever_server(proxy, servers, session):
    data = Random(8).randbytes(2 * PART_BYTES_MAX + 17)
    servers[0].new_run()
    url = f"{proxy.url}{API}/team/projects/mnist/blobs/{sha256(data).hexdigest()}"
    for first in range(0, len(data), PART_BYTES_MAX):
        part = data[first : first + PART_BYTES_MAX]
        headers = {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(data)}"}
        answer = session.put(url, data=part, headers=headers, timeout=DEADLINE_S, allow_redirects=False)
        assert answer.status_code == (201 if first + len(part) == len(data) else 308), answer.text
    assert session.get(url, timeout=DEADLINE_S).content == data


@pytest.mark.slow
def test_the_answer_to_a_body_that_is_too_long_is_the_servers_own(proxy, session):
    body = bytes(BODY_BYTES_MAX + 1000)
    answer = session.post(f"{proxy.url}{API}/team/projects/", data=body, timeout=DEADLINE_S)
    assert (answer.status_code, list(answer.json())) == (413, ["detail"])


@pytest.mark.slow
def test_requests_go_on_while_a_server_is_killed(proxy, servers, session):
    def ask() -> int:
        return session.get(f"{proxy.url}{API}/namespaces/", timeout=DEADLINE_S).status_code

    wait_until(lambda: [ask() for _ in range(4)] == [200] * 4, DEADLINE_S)
    servers[0].process.kill()
    assert [ask() for _ in range(40)] == [200] * 40
    servers[0].process.wait(DEADLINE_S)
    servers[1].process.kill()

    def is_away() -> bool:
        try:
            return ask() >= 500
        except requests.ConnectionError:  # HAProxy, of a connection that it has used with a server that is gone
            return True

    wait_until(is_away, DEADLINE_S)


@pytest.mark.slow
def test_no_request_fails_while_a_server_drains_and_ends(proxy, servers, session):
    path = servers[0].new_run()
    sent = 0

    def send() -> int:
        nonlocal sent
        batch = encode(range_of([("loss", sent, sent)], sent))
        sent += 1
        url = f"{proxy.url}{API}{path}metrics/batch/"
        return session.post(url, data=batch, headers=BATCH_HEADERS, timeout=DEADLINE_S).status_code

    assert {send() for _ in range(20)} == {200}
    servers[0].process.terminate()
    statuses = []
    while servers[0].process.poll() is None:
        statuses.append(send())
    statuses += [send() for _ in range(20)]
    assert len(statuses) > 40
    assert set(statuses) == {200}
    assert servers[0].process.returncode == 0
    assert len(servers[1].ask("GET", f"{path}metrics/").json()) == sent


LOGS = """
run = begin()
for number in range(4_000):
    run.log("loss", number / 8, step=number)
    if number % 400 == 0:
        run.flush(5)
        print(number, flush=True)
        sys.stdin.readline()
report = run.finish(timeout=60)
print(report.delivered, report.pending, report.lost, flush=True)
"""


@pytest.mark.slow
def test_a_program_delivers_through_a_proxy_whose_servers_are_killed_in_turn(proxy, servers, authority, tmp_path):
    host = Host(tmp_path, None, proxy.url)
    program = host.start(LOGS, REQUESTS_CA_BUNDLE=str(authority / "ca.pem"))
    for turn in range(10):
        assert line(program) == str(400 * turn)
        server = servers[turn % 2]
        server.process.kill()
        server.process.communicate()
        go_on(program)
        if turn < 9:
            server.start()
    done = ended(program)
    assert (done.code, done.out.split()[-3:]) == (0, ["4000", "0", "0"]), done.errors
    listed = servers[0].ask("GET", f"/team/projects/{host.project}/runs/").json()
    assert [run["status"] for run in listed] == ["COMPLETED"]
    path = f"/team/projects/{host.project}/runs/{listed[0]['uuid']}/history/?name=loss"
    rows = servers[0].ask("GET", path, headers={"Accept": "text/csv"}).text.splitlines()[1:]
    assert [(int(row.split(",")[1]), float(row.split(",")[-1])) for row in rows] == [(n, n / 8) for n in range(4000)]


@pytest.mark.slow
def test_what_a_server_says_of_itself_does_not_pass_a_proxy(proxy, servers, authority):
    context = ssl.create_default_context(cafile=authority / "ca.pem")

    for path in ("/metrics", "/healthz", "/readyz"):
        assert servers[0].session.get(f"{servers[0].url}{path}", timeout=DEADLINE_S).status_code == 200
        for written in (path, f"{path}?x=1", f"/%{ord(path[1]):02x}{path[2:]}"):
            with closing(http.client.HTTPSConnection(urlsplit(proxy.url).netloc, context=context)) as connection:
                connection.request("GET", written)  # as it is written, which ``requests`` would not
                assert connection.getresponse().status == 404, written
