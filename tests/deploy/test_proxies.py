"""The proxies' configurations that are shipped: what clients send arrives, and a server that goes is not noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
import requests

from certificates import make_authority
from deploy.proxies import PROXIES, Proxy
from polling import wait_until
from server.batches import range_of
from server.process import BATCH_HEADERS, DEADLINE_S, KEY, ServerProcess
from steplog.delivery.wire import API
from steplog.journal.range import encode
from steplog.server.request_body import BODY_BYTES_MAX

ADDRESS = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = tmp_path_factory.mktemp("authority")
    make_authority(paths)
    return paths


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers that know the same key and namespaces."""
    options = ("--allow-host", ADDRESS, "--namespace", "team", "--user", "me")
    with ServerProcess(tmp_path / "one", *options) as one, ServerProcess(tmp_path / "two", *options) as two:
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


def test_requests_through_a_proxy_share_a_few_connections(proxy, servers, session):
    before = sum(map(connections_to, servers))
    for _ in range(60):
        answer = session.get(f"{proxy.url}{API}/namespaces/", timeout=DEADLINE_S)
        assert (answer.status_code, [each["slug"] for each in answer.json()]) == (200, ["me", "team"])
    assert sum(map(connections_to, servers)) - before <= 8


@pytest.mark.parametrize("kind", PROXIES)
def test_a_batch_of_more_than_a_mebibyte_passes_a_proxy(tmp_path, authority, servers, session, kind):
    text = b'"%s"' % bytes(Random(7).choices(range(0x23, 0x5C), k=1_700_000))
    batch = encode(range_of([("text", text, 0)]))
    assert len(batch) > 1 << 20
    path, address = servers[0].new_run(), urlsplit(servers[0].url).netloc
    with Proxy(kind, tmp_path / "proxy", authority, (address, address)) as proxy:
        for _ in range(2):
            url = f"{proxy.url}{API}{path}metrics/batch/"
            answer = session.post(url, data=batch, headers=BATCH_HEADERS, timeout=DEADLINE_S)
            assert answer.status_code == 200, answer.text
    assert servers[0].ask("GET", f"{path}metrics/").json()[0]["value"] == text[1:-1].decode()


def test_the_answer_to_a_body_that_is_too_long_is_the_servers_own(proxy, session):
    body = bytes(BODY_BYTES_MAX + 1000)
    answer = session.post(f"{proxy.url}{API}/team/projects/", data=body, timeout=DEADLINE_S)
    assert (answer.status_code, list(answer.json())) == (413, ["detail"])


def test_requests_go_on_while_a_server_is_killed_and_comes_back(proxy, servers, session):
    def ask() -> int:
        return session.get(f"{proxy.url}{API}/namespaces/", timeout=DEADLINE_S).status_code

    assert {ask() for _ in range(10)} == {200}
    servers[0].process.kill()
    assert [ask() for _ in range(40)] == [200] * 40
    servers[0].process.wait(DEADLINE_S)
    servers[1].process.kill()
    wait_until(lambda: ask() >= 500, DEADLINE_S)


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_what_a_server_says_of_itself_does_not_pass_a_proxy(proxy, session, path):
    assert session.get(f"{proxy.url}{path}", timeout=DEADLINE_S).status_code == 404
