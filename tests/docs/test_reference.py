"""What the docs list of settings, commands, names and requests is what there is."""

from __future__ import annotations

import json
import re

import pytest
from starlette.routing import Route

import steplog
from docs.names import GROUPS
from docs.reference import DOCS, PAGES, crashes, rewritten, tables
from steplog.delivery.wire import API
from steplog.journal import range as ranges
from steplog.journal import segment
from steplog.server.access import Hosts
from steplog.server.app import create_app
from steplog.server.sqlite import SqliteStore

METHODS = ("get", "post", "patch", "delete", "put")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_settings_and_commands_are_those_of_the_code(page):
    text = page.read_text("utf-8")
    assert rewritten(text) == text, "run: python tests/docs/reference.py"


def test_every_table_is_on_a_page():
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in tables() if f"<!-- begin: {name} -->" not in text] == []


def test_a_table_that_was_changed_by_hand_is_found():
    text = f"<!-- begin: settings -->\n{tables()['settings'].replace('60.0', '30.0')}<!-- end -->\n"
    assert rewritten(text) != text


def test_the_crashes_of_another_format_are_not_summed(tmp_path):
    run = {"kind": "kills", "kills": 7, "calls": 9, "lost": 1, "twice": 0, "wrong": 0, "out_of_order": 0}
    present, other = {"segment": segment.VERSION, "range": ranges.VERSION}, {"segment": 0, "range": 0}
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(run | {"format": each}) + "\n" for each in (present, other, present)))
    assert crashes(results).startswith("14 kills at random moments and 0 at system calls,\n18 calls: lost 2, twice 0")


def test_every_public_name_is_on_the_page_of_names():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(steplog.__all__)


def test_the_page_of_the_api_has_every_request_that_the_server_takes_and_no_other(tmp_path):
    store = SqliteStore(tmp_path / "server.db")
    try:
        app = create_app(store, hosts=Hosts(8787))
    finally:
        store.close()
    taken = set()
    for route in app.routes:
        if isinstance(route, Route) and route.path.startswith(API):
            path = route.path.removeprefix(API).replace("{namespace}", "{ns}").replace("{project}", "{slug}")
            path = path.replace("{run}", "{uuid}")
            taken |= {f"{method.upper()} {path}" for method in METHODS if hasattr(route.endpoint, method)}
    table = (DOCS / "api.md").read_text("utf-8").split("## Requests")[1].split("## ")[0]
    written = re.findall(r"^\| `([A-Z]+ [^`?]+?)(?:\?[^`]*)?`", table, re.MULTILINE)
    assert {line.replace("…/", "/{ns}/projects/{slug}/") for line in written} == taken
