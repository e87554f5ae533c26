"""``/metrics``: what it counts, whom it answers, and that it names nobody."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from polling import wait_until
from server.asgi import Answer, asked
from server.batches import range_of
from server.process import DEADLINE_S, KEY, ServerProcess
from steplog.delivery.wire import API
from steplog.server.access import AllowedHosts
from steplog.server.app import create_app
from steplog.server.keys import Keyring, hash_key
from steplog.server.open_store import open_store
from steplog.server.packer import packer_process
from steplog.server.prometheus import BUCKETS_S, FIGURES, Counts
from steplog.server.proxies import FORWARDED, X_FORWARDED, Proxies, networks
from steplog.server.routes_figures import FiguresPage
from steplog.server.seen_request import SeenRequest
from steplog.server.service import Service
from steplog.server.store import Store

DOCS = Path(__file__).parents[2] / "docs"
BATCH = f"{API}/{{namespace}}/projects/{{project}}/runs/{{run}}/metrics/batch/"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    families = text_string_to_metric_families(text)
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def scraped(server: ServerProcess) -> Samples:
    answer = requests.get(f"{server.url}/metrics", timeout=DEADLINE_S)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return samples(answer.text)


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_what_was_done_is_counted_by_route_and_status(tmp_path):
    with ServerProcess(tmp_path, "--user", "ann") as server:
        run = server.new_run("of-ann", "secret-project")
        records = [("loss", 1.0)] * 5
        sizes = []
        for first, count in ((0, 5), (0, 5), (3, 4)):
            sent = server.send(run, range_of(records[:count], first=first))
            sizes.append(int(sent.request.headers["Content-Length"]))
        server.ask("POST", f"{run}metrics/", json={"name": "one", "value": 1})
        for _ in range(3):
            server.ask("GET", f"{run}nowhere/")
        server.ask("GET", run, headers={"Authorization": "Api-Key wrong"})
        found = scraped(server)
        text = requests.get(f"{server.url}/metrics", timeout=DEADLINE_S).text
    assert value(found, "steplog_requests_total", method="POST", route=BATCH, status="200") == 3
    assert value(found, "steplog_requests_total", method="GET", route="none", status="404") == 3
    assert value(found, "steplog_requests_total", method="GET", route="none", status="401") == 1
    assert value(found, "steplog_request_seconds_count", route=BATCH) == 3
    assert value(found, "steplog_request_seconds_bucket", route=BATCH, le="+Inf") == 3
    assert 0 < value(found, "steplog_request_seconds_sum", route=BATCH) < DEADLINE_S
    assert value(found, "steplog_request_bytes_total", route=BATCH) == sum(sizes)
    assert value(found, "steplog_response_bytes_total", route=BATCH) > 0
    assert value(found, "steplog_points_stored_total") == 5 + 2 + 1
    assert value(found, "steplog_points_duplicate_total") == 5 + 2
    assert value(found, "steplog_commits_total") >= 5
    assert value(found, "steplog_commit_seconds_total") > 0
    assert value(found, "steplog_unpacked_bytes") > 0
    assert value(found, "steplog_requests_in_flight") == 1
    assert value(found, "steplog_connections") >= 1
    assert value(found, "steplog_packer_up") == 1
    assert value(found, "steplog_store_up") == 1
    assert value(found, "process_resident_memory_bytes") > 1 << 20
    for secret in ("ann", "secret", "loss", run.split("/")[-2], KEY, str(tmp_path)):
        assert secret not in text


def test_the_page_of_operations_has_every_figure_and_no_other(server):
    server.ask("GET", "/verify-api-key/")
    named = {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in scraped(server) if name.startswith("steplog_")}
    made = named | {f"steplog_{name}" for name in FIGURES}
    table = (DOCS / "operations.md").read_text("utf-8").split("| figure |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(steplog_\w+)", table)) == made


def test_a_killed_packer_shows_and_is_back(tmp_path):
    with ServerProcess(tmp_path) as server:
        os.kill(the_packer_of(server.process.pid), signal.SIGKILL)
        wait_until(lambda: value(scraped(server), "steplog_packer_starts_total") == 2)
        wait_until(lambda: value(scraped(server), "steplog_packer_up") == 1)


def test_while_there_is_no_packer_its_figure_says_so(store, tmp_path):
    with packer_process(tmp_path / "server.db", restart_s=3600) as figures:
        wait_until(lambda: figures()["packer_up"])
        os.kill(the_packer_of(os.getpid()), signal.SIGKILL)
        wait_until(lambda: not figures()["packer_up"])
        assert figures()["packer_starts_total"] == 1


def the_packer_of(parent: int) -> int:
    (packer,) = (int(entry.name) for entry in Path("/proc").glob("[0-9]*") if is_packer(entry, parent))
    return packer


def is_packer(entry: Path, parent: int) -> bool:
    try:
        status = (entry / "status").read_text()
        return f"PPid:\t{parent}\n" in status and b"steplog.server.packer" in (entry / "cmdline").read_bytes()
    except OSError:
        return False


def test_without_its_database_the_figures_of_the_server_are_there(tmp_path):
    with ServerProcess(tmp_path) as server:
        server.database.rename(tmp_path / "away.db")
        found = scraped(server)
        assert value(found, "steplog_store_up") == 0
        assert value(found, "steplog_packer_up") == 1
        assert "steplog_commits_total" not in {name for name, _ in found}


def test_a_database_that_hangs_holds_up_the_figures_for_a_bounded_time():
    answers = threading.Event()
    store = cast(Store, SimpleNamespace(figures=lambda: answers.wait(DEADLINE_S) and {}))
    page = FiguresPage(store, cast(Any, None), Service(), timeout_s=0.05)
    request: Any = SimpleNamespace(client=None, headers={})
    body = bytes(asyncio.run(page.answer(request)).body)
    assert value(samples(body.decode()), "steplog_store_up") == 0
    answers.set()
    page.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(tmp_path / "server.db")
    yield made
    made.close()


def ask_from(store: Store, client: str | None, service: Service, **headers: str) -> Answer:
    app = create_app(store, Keyring(store), hosts=AllowedHosts(8787), service=service)
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    return asked(app, "GET", "/metrics", given, client=None if client is None else (client, 1))


def test_only_networks_that_were_named_are_answered_without_a_key(store):
    office = Service(metrics_from=networks(["10.1.0.0/16", "fd00::/8"]))
    for service, client, status in (
        (Service(), "127.0.0.1", 200),
        (Service(), "::1", 200),
        (Service(), "::ffff:127.0.0.1", 200),
        (Service(), None, 200),  # by the Unix socket of this user
        (Service(), "10.1.2.3", 403),
        (Service(), "unknown", 403),
        (office, "10.1.2.3", 200),
        (office, "fd00::7", 200),
        (office, "10.2.0.1", 403),
        (office, "127.0.0.1", 403),
        (office, None, 403),
    ):
        assert (client, ask_from(store, client, service).status) == (client, status)


def test_an_admins_key_opens_the_figures_from_anywhere(store):
    user = store.add_user("ann").result()
    store.put_started_key(user, hash_key(KEY), "CONFIGURED").result()
    assert ask_from(store, "10.0.0.1", Service(), Authorization=f"Api-Key {KEY}").status == 200
    store.issue_key("bob", hash_key("of-bob"), "").result()
    for key in ("wrong", "of-bob"):
        refused = ask_from(store, "10.0.0.1", Service(), Authorization=f"Api-Key {key}")
        assert (refused.status, b"--metrics-from" in refused.body) == (403, True)


def test_behind_a_proxy_the_client_counts_and_not_the_proxy(store):
    service = Service(proxies=Proxies(networks(["127.0.0.1"]), X_FORWARDED))
    assert ask_from(store, "127.0.0.1", service, X_Forwarded_For="203.0.113.9").status == 403
    assert ask_from(store, "127.0.0.1", service, X_Forwarded_For="127.0.0.1, 203.0.113.9").status == 403
    assert ask_from(store, "127.0.0.1", service).status == 200


def test_a_proxy_that_is_not_believed_does_not_ask_in_its_own_name(store):
    """One on this machine would show the figures to everybody, where nobody has thought of ``--proxy-headers``."""
    of_other_kind = Service(proxies=Proxies(networks(["127.0.0.1"]), FORWARDED))
    for service, client in ((Service(), "127.0.0.1"), (Service(), None), (of_other_kind, "127.0.0.1")):
        for name in ("X-Forwarded-For", "X-Real-IP"):
            assert ask_from(store, client, service, **{name: "127.0.0.1"}).status == 403, (client, name)
    assert ask_from(store, "127.0.0.1", Service(), Forwarded="for=127.0.0.1").status == 403
    assert ask_from(store, "127.0.0.1", of_other_kind, Forwarded="for=203.0.113.9").status == 403
    office = Service(metrics_from=networks(["10.0.0.0/8"]), proxies=Proxies(networks(["127.0.0.1"])))
    assert ask_from(store, "127.0.0.1", office, X_Forwarded_For="10.0.0.1").status == 200
    assert ask_from(store, "10.0.0.1", office, X_Forwarded_For="203.0.113.9").status == 200, "nobody's proxy"


def test_by_a_proxy_that_nobody_has_named_no_figures_are_read(store):
    """It asks as this machine, for anybody."""
    for told in ({"X_Forwarded_For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"Via": "1.1 proxy"}):
        assert ask_from(store, "127.0.0.1", Service(), **told).status == 403


def test_a_name_that_is_not_the_servers_reads_no_figures_and_an_address_does(store):
    """A page whose name is led here by somebody's name server could read them."""
    for host, status in (("10.1.2.3:8787", 200), ("[fd00::1]:9", 200), ("localhost:8787", 200), ("evil.example", 400)):
        assert (host, ask_from(store, "127.0.0.1", Service(), Host=host).status) == (host, status)


def test_times_are_counted_in_the_bucket_whose_bound_they_do_not_exceed():
    counts = Counts()
    for seconds in (0.0, BUCKETS_S[0], BUCKETS_S[0] * 1.01, BUCKETS_S[-1], 11.0):
        counts.note(SeenRequest("id", "GET", "/x", 200, seconds, 0, 0, {}))
    (_, buckets, total, _, _), *others = counts.snapshot().took
    assert (others, total) == ([], pytest.approx(21.00201))
    assert buckets == (2, 1, *[0] * (len(BUCKETS_S) - 3), 1, 1)
