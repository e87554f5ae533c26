"""Servers behind a proxy that are restarted one after the other: their clients wait a moment, and lose nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from signal import SIGTERM
from typing import Any
from urllib.parse import urlsplit

import pytest
from benchmarks.clients import new_runs, send

import postgresql
from certificates import make_authority
from deploy.proxies import PROXIES, Proxy
from server.process import KEY, ServerProcess, lasting_port

OPTIONS = ("--allow-host", "127.0.0.1", "--user", "team", "--drain", "2")
CLIENTS, NAMES, REQUESTS, INTERVAL_S = 20, 5, 30, 0.5
ACKNOWLEDGED_S = 2.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", PROXIES)
def test_a_rolling_restart_under_load_delays_acknowledgements_and_loses_none(tmp_path, monkeypatch, kind):
    make_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    store = postgresql.new_database()
    with started(tmp_path / "one", store) as one, started(tmp_path / "two", store) as two:
        addresses = urlsplit(one.url).netloc, urlsplit(two.url).netloc
        with Proxy(kind, tmp_path / "proxy", tmp_path, addresses) as proxy:
            runs = new_runs([proxy.url], KEY, CLIENTS, ("team", "rolling"))
            told: dict[str, Any] = {}
            load = threading.Thread(target=lambda: told.update(sent(proxy.url, runs)), daemon=True)
            load.start()
            for server in (one, two):
                assert server.end(SIGTERM)[0] == 0
                server.start()
            load.join(120)
        assert told["requests"] == CLIENTS * REQUESTS
        for run in runs:
            listed = one.ask("GET", f"{run.removeprefix('/api/v0')}metrics/").json()
            assert [entry["step"] for entry in listed] == [step for step in range(REQUESTS) for _ in range(NAMES)]
        assert told["p99"] < ACKNOWLEDGED_S
        assert told["max"] < 30


def started(directory: Path, store: str) -> ServerProcess:
    directory.mkdir()
    return ServerProcess(directory, "--port", str(lasting_port()), *OPTIONS, store=store)


def sent(url: str, runs: list[str]) -> dict[str, float]:
    return send([url], KEY, runs, NAMES, NAMES, REQUESTS, INTERVAL_S)
