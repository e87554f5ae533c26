"""While the database is away, a client of a proxy reads what the servers say of it, and comes back with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import requests

import postgresql
from certificates import NAME, make_authority
from deploy.proxies import PROXIES, Proxy
from polling import wait_until
from postgresql import Cluster
from server.process import DEADLINE_S, KEY, ServerProcess, lasting_port
from steplog.delivery.wire import API

pytestmark = pytest.mark.slow

SETTINGS = "listen_addresses = '127.0.0.1'\nmax_connections = 60\nshared_buffers = 16MB\n"
ADDRESS = "127.0.0.1"
AWAY = "the database cannot be used now"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One that a test may stop."""
    with postgresql.own_cluster(SETTINGS) as made:
        yield made


def ready(server: ServerProcess) -> int:
    return requests.get(f"{server.url}/readyz", timeout=DEADLINE_S).status_code


@pytest.mark.parametrize("kind", PROXIES)
def test_the_servers_say_that_the_database_is_away(kind, cluster, tmp_path):
    authority = tmp_path / "authority"
    authority.mkdir()
    make_authority(authority)
    store = cluster.new_database()
    options = ("--allow-host", ADDRESS, "--allow-host", NAME, "--namespace", "team", "--user", "me")
    with ExitStack() as stack:
        servers = [
            stack.enter_context(ServerProcess(tmp_path / name, *options, "--port", str(lasting_port()), store=store))
            for name in ("one", "two")
        ]
        addresses = (urlsplit(servers[0].url).netloc, urlsplit(servers[1].url).netloc)
        proxy = stack.enter_context(Proxy(kind, tmp_path / "proxy", authority, addresses))
        session = stack.enter_context(requests.Session())
        session.trust_env, session.verify = False, str(authority / "ca.pem")
        session.headers["Authorization"] = f"Api-Key {KEY}"

        def answers() -> set[tuple[int, str]]:
            """Of a few requests, one after the other: what a person reads."""
            got = [session.get(f"{proxy.url}{API}/namespaces/", timeout=DEADLINE_S) for _ in range(6)]
            return {
                (each.status_code, str(each.json()["detail"]).lower().rstrip(".") if each.status_code > 299 else "")
                for each in got
            }

        wait_until(lambda: session.get(f"{proxy.url}/", timeout=DEADLINE_S).status_code == 200, DEADLINE_S)
        assert answers() == {(200, "")}
        cluster.stop("immediate")
        wait_until(lambda: [ready(server) for server in servers] == [503, 503], DEADLINE_S)
        for _ in range(5):
            assert answers() == {(503, AWAY)}
        assert session.get(f"{proxy.url}/", timeout=DEADLINE_S).status_code == 200
        cluster.start()
        wait_until(lambda: answers() == {(200, "")}, DEADLINE_S)
