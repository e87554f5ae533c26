"""What the docs list of settings, commands, names and requests is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from starlette.routing import Route

from crash.published import published
from docs import adapters, names
from docs.examples import blocks
from docs.reference import DOCS, PAGES, RESULTS, ROOT, rewritten, tables
from server.contents import MemoryContents
from steplog.delivery.wire import API
from steplog.server.access import AllowedHosts
from steplog.server.app import create_app
from steplog.server.keys import Keyring
from steplog.server.open_store import open_store

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


def test_every_crash_series_is_on_the_page_and_in_its_sums():
    runs = [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]
    text = (DOCS / "guarantees.md").read_text("utf-8").split("<!-- begin: crashes -->")[1].split("<!-- end -->")[0]
    rows = [row.strip("| ").split(" | ") for row in text.splitlines() if row.startswith("| 20")]
    assert len(rows) == len(runs)
    for run in runs:
        cells = {run["time"][:10], *(f"{run[name]:,}" for name in ("calls", "lost", "cuts", "promised") if name in run)}
        assert any(cells <= set(row) for row in rows), f"not on the page: {run}"
    for versions in {json.dumps(run["format"]) for run in runs}:
        kills, calls, cuts = (
            [run for run in runs if run["kind"] == kind and json.dumps(run["format"]) == versions]
            for kind in ("kills", "system calls", "power cuts")
        )

        def total(name: str, chosen: list[dict[str, int]]) -> str:
            return f"{sum(run[name] for run in chosen):,}"

        both = kills + calls
        for part in (
            f"{total('kills', kills)} kills at random moments",
            f"{total('kills', calls)} kills at system calls",
            f"{total('calls', both)} calls: lost {total('lost', both)}, twice {total('twice', both)},"
            f" wrong {total('wrong', both)}, out of order {total('out_of_order', both)}",
            f"{total('cuts', cuts)} power cuts, {total('promised', cuts)} records below `durable`:"
            f" missing {total('missing', cuts)}, wrong {total('wrong', cuts)}",
        ):
            assert part in text


def series(**fields) -> str:
    run = {
        "kind": "kills",
        "time": "2030-01-01T00:00:00+00:00",
        "commit": 40 * "a",
        "seed": 1,
        "machine": "m",
        "kernel": "k",
    }
    zeros = {"twice": 0, "wrong": 0, "out_of_order": 0}
    counts = {"format": {"segment": 1}, "python": "p", "kills": 7, "calls": 9, "lost": 0, **zeros}
    return json.dumps(run | counts | fields) + "\n"


def test_crash_series_of_different_formats_are_summed_apart():
    text = published(series() + series(format={"segment": 2}, kills=5, calls=8) + series(lost=1, why="A bug"))
    one, other = text.split("Formats: segment 2.")[0].split("Formats: segment 1.")
    assert one.startswith("14 kills at random moments; 18 calls: lost 1, twice 0")
    assert "1. A bug." in other
    assert "5 kills at random moments; 8 calls: lost 0, twice 0" in other


@pytest.mark.parametrize("fields", [{"lost": 1}, {"twice": 1}, {"other": 1}, {"amiss": 1}, {"kind": "kills, other"}])
def test_a_crash_series_that_went_wrong_says_why_and_an_unknown_kind_is_refused(fields):
    with pytest.raises(ValueError, match=r"why|kind"):
        published(series(**fields))


def test_every_public_name_has_one_entry_on_a_page_of_names():
    entries = [name for page in names.described().values() for name in page]
    assert sorted(entries) == sorted([*names.public(), *adapters.modules()])


def examples_of(page: Path) -> dict[str, str]:
    """The programs of a page by the heading that they are below."""
    found: dict[str, str] = {}
    for section in re.split(r"^#{2,3} `", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        found[section.partition("`")[0]] = "\n".join(
            re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
        )
    return found


@pytest.mark.parametrize("page", [page for page in names.described() if page not in ("integrations", "compat")])
def test_every_name_has_a_program_and_every_member_is_used_in_one(page):
    examples = examples_of(names.PAGES / f"{page}.md")
    everything = "\n".join(examples.values())
    for name in names.described()[page]:
        short = name.removeprefix("steplog.testing.").removeprefix("steplog.")
        owner, _, member = short.rpartition(".")
        assert f".{member}(" in everything if owner else examples[short], f"{page}.md has no program with {short}"
        unused = [each for each in names.properties().get(name, []) if f".{each}" not in everything]
        assert not unused, f"{page}.md has no program that uses {unused} of {short}"


def test_every_adapter_and_every_module_of_another_loggers_names_has_its_page():
    """What they take is what their frameworks and loggers give: a guide has a program of each."""
    for page, guide in (("integrations", "integrations.md"), ("compat", "coming-from.md")):
        programs = "\n".join(
            block.text for block in blocks((DOCS / guide).read_text("utf-8")) if block.language != "text"
        )
        for name in names.described()[page]:
            package, _, module = name.rpartition(".")
            assert name in programs or f"from {package} import {module}" in programs, (
                f"{guide} has no program with {name}"
            )
    shadowed = {folder.parent.name for folder in (ROOT / "src" / "steplog" / "compat").glob("*/__init__.py")}
    assert {f"steplog.compat.{name}" for name in shadowed} <= set(adapters.modules())


def test_every_file_that_the_pages_for_contributors_name_is_there():
    for page in (DOCS / "contributing").glob("*.md"):
        named = re.findall(r"`((?:\w+/)+\w+\.\w+)`", page.read_text("utf-8"))
        missing = [name for name in named if not ((ROOT / name).exists() or (ROOT / "src" / "steplog" / name).exists())]
        assert not missing, f"{page.name} names {missing}"


def test_the_page_of_the_api_has_every_request_that_the_server_takes_and_no_other(tmp_path):
    store = open_store(tmp_path / "server.db")
    try:
        app = create_app(store, Keyring(store), hosts=AllowedHosts(8787), contents=MemoryContents())
    finally:
        store.close()
    taken = set()
    for route in app.routes:
        if isinstance(route, Route) and route.path.startswith(API):
            path = route.path.removeprefix(API).replace("{namespace}", "{ns}").replace("{project}", "{slug}")
            path = path.replace("{run}", "{uuid}").replace("{view}", "{uuid}").replace(":path}", "}")
            taken |= {f"{method.upper()} {path}" for method in METHODS if hasattr(route.endpoint, method)}
    table = (DOCS / "api.md").read_text("utf-8").split("## Requests")[1].split("## ")[0]
    written = re.findall(r"^\| `([A-Z]+ [^`?]+?)(?:\?[^`]*)?`", table, re.MULTILINE)
    assert {line.replace("…/", "/{ns}/projects/{slug}/") for line in written} == taken
