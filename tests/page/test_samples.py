"""Samples on the page: texts, objects and lists by step, those of several runs side by side."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from page import axe
from page.browser import Browser
from page.looking import Live, address, hostile, project
from page.modules import load
from server.process import ServerProcess, lasting_port

TEXTS = "[...document.querySelectorAll('.sample pre')].map((each) => each.textContent)"
STEP = "document.querySelector('.samples-head h2').textContent"
CHOSEN = "document.querySelector('.samples-item[aria-selected=true]')?.textContent"
LOOKED = "document.dispatchEvent(new Event('visibilitychange'))"  # polls at once


def text_of(value: Any) -> bytes:
    return json.dumps(value).encode()


def samples_of(server: ServerProcess, browser: Browser, path: str, query: str = "") -> None:
    """Go to the samples of a run or of a project."""
    browser.open(address(server, f"{path}?tab=samples{query}"))
    browser.wait("document.querySelector('.samples-list')")


def filled(server: ServerProcess, name: str, records: list[Any]) -> Live:
    """A project's only run."""
    run = Live(server, project(server, name), name="a")
    run.log(records)
    return run


def test_samples_are_gone_through_by_step_with_keys_and_the_address_keeps_the_place(server, browser):
    records = [("words", text_of(f"sample {step}\n  of step {step}"), step) for step in range(0, 500, 5)]
    run = filled(server, "steps", [*records, ("loss", 1.0, 0), ("note", text_of({"a": 1}), 5)])
    samples_of(server, browser, run.path)
    browser.wait(f"{TEXTS}[0] === 'sample 495\\n  of step 495'")  # the newest
    assert browser.run(STEP) == "Step 495"
    steps = browser.by_role("listbox", "Samples by step")
    steps.press("ArrowUp", "ArrowUp")
    browser.wait(f"{TEXTS}[0] === 'sample 485\\n  of step 485' && {CHOSEN}.startsWith('485')")
    browser.wait("new URLSearchParams(location.search).get('step') === '485'")
    steps.press("Home", "ArrowDown")
    browser.wait(f"{STEP} === 'Step 5' && {CHOSEN}.startsWith('5')")
    browser.by_role("checkbox", "Show note").click()
    browser.wait("document.querySelectorAll('.sample').length === 2")
    assert browser.by_role("article", "Sample of a", nth=1).text.startswith("note")
    samples_of(server, browser, run.path, "&step=250")
    browser.wait(f"{STEP} === 'Step 250' && {CHOSEN}.startsWith('250')")
    assert browser.run(TEXTS) == ["sample 250\n  of step 250"]


@pytest.mark.slow
def test_the_newest_sample_is_followed_until_another_is_chosen(server, browser):
    run = filled(server, "follows", [("words", b'"one"', 1), ("words", b'"two"', 2)])
    samples_of(server, browser, run.path)
    browser.wait(f"{TEXTS}[0] === 'two'")
    newest = browser.by_role("button", "Newest")
    assert newest.states["pressed"] == "true"
    run.log([("words", b'"three"', 3)])
    browser.run(LOOKED)
    browser.wait(f"{TEXTS}[0] === 'three' && {CHOSEN}.startsWith('3')")
    browser.by_role("option", re.compile("^1")).click()
    browser.wait(f"{TEXTS}[0] === 'one'")
    assert newest.states["pressed"] == "false"
    run.log([("words", b'"four"', 4)])
    browser.run(LOOKED)
    browser.by_role("option", re.compile("^4")).found()
    assert browser.run(TEXTS) == ["one"]
    newest.click()
    browser.wait(f"{TEXTS}[0] === 'four'")
    assert "step=" not in browser.run("location.search") or browser.wait("!location.search.includes('step=')") is None


@pytest.mark.slow
def test_who_has_scrolled_away_from_the_newest_sample_is_left_there(server, browser):
    run = filled(server, "scrolled", [("words", text_of(f"sample {at}"), at) for at in range(200)])
    samples_of(server, browser, run.path)
    browser.wait(f"{CHOSEN}?.startsWith('199')")
    listed = "document.querySelector('.samples-list')"
    run.log([("words", b'"sample 200"', 200)])
    browser.run(LOOKED)
    browser.wait(f"{CHOSEN}?.startsWith('200') && {listed}.scrollTop > 4000")  # at the end it goes along
    browser.run(f"{listed}.scrollTop = 0")
    browser.wait(f"{listed}.innerText.includes('sample 3')")
    run.log([("words", b'"sample 201"', 201)])
    browser.run(LOOKED)
    browser.wait(f"{TEXTS}[0] === 'sample 201'")
    assert browser.run(f"{listed}.scrollTop") == 0


@pytest.mark.slow
def test_a_hundred_thousand_samples_cost_what_is_in_view(server, browser):
    run = Live(server, project(server, "many"), name="a")
    for first in range(0, 100_000, 10_000):
        run.log([("words", text_of(f"sample {at} " + "x" * 20), at * 3) for at in range(first, first + 10_000)])
    browser.forget()
    samples_of(server, browser, run.path, "&step=150000")
    browser.wait(f"{CHOSEN}?.startsWith('150,000')")
    pages = [url for url in browser.requests if "skip=" in url and "cut=160" in url]
    assert len(pages) <= 6
    assert browser.run("document.querySelectorAll('.samples-item').length") < 60
    assert browser.by_role("option", re.compile("^150,000")).run("function () { return this.ariaSetSize }") == "100000"
    assert browser.by_role("option", re.compile("^150,000")).run("function () { return this.ariaPosInSet }") == "50001"
    steps = browser.by_role("listbox", "Samples by step")
    steps.press("End")
    browser.wait(f"{TEXTS}[0].startsWith('sample 99999 ')")
    steps.press("Home")
    browser.wait(f"{TEXTS}[0].startsWith('sample 0 ')")
    browser.run("document.querySelector('.samples-list').scrollTop = 28 * 70_000")
    browser.wait("document.querySelector('.samples-list').innerText.includes('sample 70001 ')")
    assert browser.run("document.querySelectorAll('.samples-item').length") < 60


@pytest.mark.slow
def test_a_step_is_found_wherever_it_is(server, browser):
    """The list looks for the page of a step; steps are far apart in one place, and the same in another."""
    steps = sorted([*range(500), *[700] * 350, *(10**12 + at * 7 for at in range(400)), 2**62])
    run = filled(server, "found", [("words", text_of("x"), step) for step in steps])
    answer = load(browser, server, "data/sample_list.js")
    path = f"/api/v0{run.path}history/"
    wanted = [0, 1, 99, 100, 499, 500, 699, 700, 701, 10**12, 10**12 + 1, 10**12 + 7 * 399, 10**13, 2**62, 2**62 + 1]
    browser.open(address(server, run.path))  # who is signed in
    browser.wait("document.querySelector('h1')")
    answer = load(browser, server, "data/sample_list.js")
    places = answer.run(
        f"(async () => {{ const list = new SampleList({{ path: {json.dumps(path)}, name: 'words', find: '' }});"
        f"list.grow({len(steps)}); const found = [];"
        f"for (const step of {json.dumps([str(step) for step in wanted])}) found.push(await list.placeOf(step));"
        "return found; })()"
    )
    assert places == [sum(step < each for step in steps) for each in wanted]


@pytest.mark.slow
def test_a_long_value_is_cut_until_all_of_it_is_asked_for(server, browser):
    lines = "".join(f"line {at} of a long text\n" for at in range(38_000))
    assert len(lines) > 950_000
    tree = {"rows": [{"at": at} for at in range(30_000)]}
    run = filled(server, "long", [("words", text_of(lines), 1)])
    run.log([("tree", text_of(tree), 1)])
    samples_of(server, browser, run.path)
    browser.wait(f"{TEXTS}.length === 1")
    assert browser.run(TEXTS)[0] == lines[:20_000]
    browser.by_role("button", re.compile(r"^Show all \(\d+ KiB\)|^Show all \(1\.\d MiB\)")).click()
    browser.wait(f"{TEXTS}[0].length > 900_000")
    assert browser.run(TEXTS)[0] == lines
    browser.by_role("button", "tree").click()
    browser.wait(f"{TEXTS}[0].startsWith('{{')")
    browser.by_role("button", re.compile("^Show all")).click()
    browser.by_role("button", re.compile(r"^rows 30,000 items")).click()
    browser.by_role("button", re.compile(r"^Show more \(29,900\)")).found()


@pytest.mark.slow
def test_json_is_a_tree_that_opens_by_keyboard_and_gives_its_paths(server, browser):
    value = {"best": {"step": 3, "of": [1, {"deep key": None}]}, "flag": True, "big": 2**60, "text": "<b>x</b>"}
    run = filled(server, "tree", [("state", text_of(value), 0)])
    samples_of(server, browser, run.path)
    browser.wait("document.querySelector('.sample-tree')")
    tree = browser.run("document.querySelector('.sample-tree').innerText")
    for said in ("4 keys", "best", "step", "flag", "true", "1,152,921,504,606,846,976", '"<b>x</b>"', "2 items"):
        assert said in tree
    clipped = "[...document.querySelectorAll('.tree-fold .muted')].filter((each) => each.clientWidth < 20).length"
    assert browser.run(clipped) == 0
    browser.by_role("button", re.compile("^of 2 items")).press("Enter")
    browser.by_role("button", re.compile("^1 1 key")).press("Enter")
    browser.run("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    browser.by_role("button", 'Copy the path best.of[1]["deep key"]').press("Enter")
    browser.wait("window.copied")
    assert browser.run("copied") == 'best.of[1]["deep key"]'
    browser.run("window.copied = null")
    browser.by_role("button", "Copy this sample").click()
    browser.wait("window.copied")
    assert json.loads(browser.run("copied")) == value


@pytest.mark.slow
def test_a_list_of_like_objects_is_a_table_that_is_sorted_by_its_heads(server, browser):
    rows = [{"prompt": f"p{at}", "score": score} for at, score in enumerate([0.5, 2, 0.25])]
    run = filled(server, "rows", [("evaluation", text_of([*rows, {"prompt": "p3"}]), 0)])
    samples_of(server, browser, run.path)
    cells = "[...document.querySelectorAll('.sample tbody tr')].map((row) => row.innerText.trim().split(/\\s+/)[0])"
    browser.wait(f"{cells}.length === 4")
    orders = [browser.run(cells)]
    for _ in range(3):
        browser.by_role("button", "Sort by score").click()
        orders.append(browser.run(cells))
    assert orders == [["p0", "p1", "p2", "p3"], ["p2", "p0", "p1", "p3"], ["p1", "p0", "p2", "p3"], orders[0]]


def test_a_table_of_another_loggers_call_is_a_table_and_comes_first(server, browser):
    table = {"_type": "table", "columns": ["id", "label"], "data": [[1, "cat"], [2, "dog"]]}
    records = [("compat/unsupported", b'{"wandb.watch()": 1}', 0), ("predictions", text_of(table), 0)]
    samples_of(server, browser, filled(server, "tables", records).path)
    browser.wait("document.querySelectorAll('.sample tbody tr').length === 2")
    words = browser.run("document.querySelector('.sample table').innerText").split()
    assert words == ["id", "label", "1", "cat", "2", "dog"]


@pytest.mark.slow
def test_several_samples_of_a_step_are_told_apart(server, browser):
    records = [("words", text_of(f"{letter} of {step}"), step) for step in (1, 2) for letter in "abc"]
    run = filled(server, "several", records)
    samples_of(server, browser, run.path)
    browser.wait(f"{TEXTS}[0] === 'c of 2'")
    assert "3 of 3" in browser.run("document.querySelector('.sample header').innerText")
    browser.by_role("option", re.compile("^1 ?b of 1")).click()
    browser.wait(f"{TEXTS}[0] === 'b of 1' && location.search.includes('nth=1')")
    browser.by_role("button", "Next sample of this step").click()
    browser.wait(f"{TEXTS}[0] === 'c of 1' && {CHOSEN} === '1c of 1'")
    samples_of(server, browser, run.path, "&step=1&nth=1")
    browser.wait(f"{TEXTS}[0] === 'b of 1' && {CHOSEN} === '1b of 1'")


@pytest.mark.slow
def test_samples_of_several_runs_are_side_by_side_at_the_nearest_step(server, browser):
    place = project(server, "beside")
    for name, steps in (("a", range(0, 100, 10)), ("b", range(0, 100, 15))):
        run = Live(server, place, name=name)
        run.log([("words", text_of(f"run {name} says {step} things"), step) for step in steps])
    samples_of(server, browser, place, "&step=30")
    browser.wait(f"{TEXTS}.length === 2")
    assert sorted(browser.run(TEXTS)) == ["run a says 30 things", "run b says 30 things"]
    browser.by_role("checkbox", "Mark differences").click()
    browser.wait("document.querySelectorAll('.sample mark').length === 2")
    marks = browser.run("[...document.querySelectorAll('.sample mark')].map((each) => each.textContent.trim())")
    assert sorted(marks) == ["a", "b"]
    browser.by_role("combobox", "Whose samples are listed").choose("a")
    browser.by_role("option", re.compile("^50")).click()
    browser.wait(f"{TEXTS}.includes('run a says 50 things') && {TEXTS}.includes('run b says 45 things')")
    assert "nearest: step 45" in browser.by_role("article", "Sample of b").text


@pytest.mark.slow
def test_what_differs_in_objects_and_tables_of_two_runs_is_marked(server, browser):
    place = project(server, "beside each other")
    for name, seen in (("a", 1), ("b", 2)):
        tree = {"seen": seen, "labels": ["cat", f"dog {name}"], "threshold": 0.5} | (
            {"only": None} if seen == 1 else {}
        )
        rows = [{"prompt": "2 + 2", "answer": "4"}, {"prompt": "3 + 3", "answer": f"{4 + seen}"}]
        Live(server, place, name=name).log([("tree", text_of(tree), 0), ("rows", text_of(rows), 0)])
    samples_of(server, browser, place, "&step=0&samples=tree")
    marks = "[...document.querySelectorAll('.sample mark')].map((each) => each.textContent).sort().join()"
    browser.by_role("checkbox", "Mark differences").click()
    browser.wait(f'{marks} === \'"dog a","dog b",1,2,null\'')
    browser.by_role("button", "rows").click()
    browser.wait(f"{marks} === '5,6'")
    browser.by_role("button", "Sort by answer", nth=0).click(count=2)
    browser.by_role("checkbox", "Mark differences").click()
    browser.wait(f"{marks} === ''")


@pytest.mark.slow
def test_samples_with_a_text_in_them_are_found_among_all(server, browser):
    records = [("words", text_of(f"sample {at} {'Needle' if at % 1000 == 7 else 'hay'}"), at) for at in range(5000)]
    run = filled(server, "search", [*records, ("words", text_of({"deep": ["needle"]}), 9000)])
    samples_of(server, browser, run.path)
    browser.by_role("searchbox", "Search in the samples").fill("needle")
    listed = "[...document.querySelectorAll('.samples-item .step')].map((each) => each.textContent)"
    browser.wait(f"{listed}.join(' ') === '7 1,007 2,007 3,007 4,007 9,000'")
    browser.wait("document.querySelector('.samples-steps > [role=status]').textContent === '6 samples found'")
    browser.by_role("option", re.compile("^2,007")).click()
    browser.wait(f"{TEXTS}[0] === 'sample 2007 Needle'")
    assert browser.run("document.querySelector('.sample mark').textContent") == "Needle"
    browser.wait("location.search.includes('find=needle') && location.search.includes('step=2007')")
    run.log([("words", b'"another needle"', 9001)])
    browser.run(LOOKED)
    browser.by_role("option", re.compile("^9,001")).found()
    browser.by_role("searchbox", "Search in the samples").fill("nowhere")
    browser.wait("document.querySelector('.samples-steps > [role=status]').textContent === 'No sample has this text.'")


@pytest.mark.slow
def test_samples_go_on_after_an_outage_and_what_was_shown_stays(browser, tmp_path):
    with ServerProcess(tmp_path, "--port", str(lasting_port())) as server:
        run = filled(server, "outage", [("words", text_of(f"sample {at}"), at) for at in range(300)])
        samples_of(server, browser, run.path, "&step=299")
        browser.wait(f"{TEXTS}[0] === 'sample 299'")
        server.end()
        browser.by_role("listbox", "Samples by step").press("Home")
        browser.wait("document.getElementById('notice').textContent.startsWith('The server does not answer')")
        assert browser.run(TEXTS) == ["sample 299"]
        assert browser.run("document.querySelector('.sample').ariaBusy") == "true"
        server.start()
        run.log([("words", b'"new"', 300)])
        browser.wait(f"{TEXTS}[0] === 'sample 0'")
        browser.wait("document.querySelector('.samples-steps > [role=status]').textContent === '301 samples'")
        browser.open("about:blank")
    assert [line for line in browser.complaints if "net::ERR_CONNECTION_REFUSED" not in line] == []
    browser.forget()


@pytest.mark.slow
def test_numbers_of_the_step_are_shown_beside_once_asked_for(server, browser):
    records = [
        ("words", b'"x"', 7),
        ("loss", 0.25, 7),
        ("acc", float("nan"), 7),
        ("loss", 0.5, 8),
        ("words", b'"y"', 8),
    ]
    run = filled(server, "numbers", records)
    samples_of(server, browser, run.path, "&step=7")
    browser.wait(f"{TEXTS}.length === 1")
    assert not any("from=7&to=7&cut=1" in url and "name=" not in url for url in browser.requests)
    browser.by_role("heading", "Numbers at this step").click()
    table = "[...document.querySelectorAll('.samples-numbers tbody tr')].map((row) => row.innerText.split(/\\s+/))"
    browser.wait(f"{table}.length === 2")
    assert browser.run(table) == [["acc", "NaN"], ["loss", "0.25"]]


@pytest.mark.slow
def test_hostile_samples_are_shown_as_text_and_do_nothing(server, browser):
    names = hostile("127.0.0.1:9")
    records: list[Any] = [(name, text_of({name: name, "list": names}), 1) for name in names[:20]]
    records += [("words", text_of(f"{name}\n\u202e{name}\x00"), at) for at, name in enumerate(names)]
    records += [("rows", text_of([{name: name, "x": name} for name in names]), 0)]
    run = filled(server, "hostile", records)
    for metric in ("words", "rows", names[0], names[5]):
        samples_of(server, browser, run.path)
        browser.by_role("button", re.compile("^" + re.escape(metric) + "$")).click()
        browser.wait("document.querySelector('.sample').innerText.length > 20")
        made = "script, img, iframe, style, link, base, meta, object, embed, [onload], [onerror], [onclick]"
        assert browser.run(f"document.querySelectorAll('main :is({made})').length") == 0
        assert not re.search("[\u202e\0]", browser.run("document.querySelector('.samples').textContent"))
        assert browser.run("window.pwned ?? null") is None
        assert axe.violations(browser, ".samples") == []


@pytest.mark.slow
def test_nonsense_in_the_address_shows_what_there_is(server, browser):
    run = filled(server, "nonsense", [("words", text_of(f"sample {at}"), at) for at in range(3)])
    for query, text in (
        ("&step=99999999999999999999", "sample 2"),
        ("&step=9223372036854775808", "sample 2"),
        ("&step=9223372036854775807", "sample 2"),
        ("&step=-9223372036854775808", "sample 2"),
        ("&step=-9223372036854775807", "sample 0"),
        ("&step=x&nth=-1", "sample 2"),
        ("&step=1&nth=9007199254740992", "sample 1"),
        ("&samples=nothing,%2C,%00&steps=nobody", "sample 2"),
        ("&step=1&find=" + "%F0%9F%92%A5" * 2000, "sample 1"),
    ):
        samples_of(server, browser, run.path, query)
        browser.wait(f"{TEXTS}[0] === {json.dumps(text)}")


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_samples_fit_any_screen_and_axe_finds_nothing(server, browser, dark):
    place = project(server, f"fits {dark}")
    for name in ("a", "b_" + "x" * 80, "c"):
        run = Live(server, place, name=name)
        run.log([("words", text_of("word " * 300 + "x" * 300), step) for step in range(100)])
        run.log([("rows", text_of([{"prompt": "p" * 200, "answer": "x " * 200, "score": 1}]), 99)])
        run.log([("state", text_of({"a": {"b": "c" * 300}}), 99), ("loss", 1.0, 99)])
    for width in (1280, 800, 390):
        browser.size(width, 900, dark=dark)
        for path in (run.path, place):
            samples_of(server, browser, path, "&samples=words,rows,state")
            browser.wait("document.querySelector('.sample-tree') && document.querySelector('.sample-rows')")
            browser.run("document.querySelector('.samples-numbers').open = true")
            browser.wait("document.querySelector('.samples-numbers table')")
            assert browser.overflowing() == []
            assert axe.violations(browser, ".samples") == []


@pytest.mark.slow
def test_a_run_without_samples_says_how_to_log_one(server, browser):
    run = filled(server, "none", [("loss", 1.0, 0)])
    browser.open(address(server, f"{run.path}?tab=samples"))
    browser.by_role("heading", "No samples").found()
    assert "run.log(" in browser.run("document.querySelector('main').innerText")


def test_words_that_another_text_has_not_are_told_apart(server, browser):
    diff = load(browser, server, "data/word_diff.js")

    def apart(text: str, other: str) -> list[str]:
        parts = diff.call("wordsApart", text, other)
        assert "".join(part["text"] for part in parts) == text
        return [part["text"] for part in parts if part["apart"]]

    assert apart("a b c", "a b c") == []
    assert apart("a b c", "a x c") == ["b "]
    assert apart("one two three four", "zero one three four five") == ["two "]
    assert apart("x", "") == ["x"]
    assert apart("", "x") == []
    assert diff.call("wordsApart", "a " * 4000 + "b", "c " * 4000) is None


@pytest.mark.slow
def test_all_of_the_nearest_sample_is_that_of_the_one_that_is_shown(server, browser):
    """Of several of a step the nearest is the last, and the first was shown once all of it was asked for."""
    records = [("words", text_of(letter * 30_000), 7) for letter in "ab"]
    place = project(server, "nearest of several")
    for name, step in (("a", 0), ("b", 7)):
        Live(server, place, name=name).log([("words", b'"x"', 9)] if step == 0 else records)
    samples_of(server, browser, place, "&step=9")
    browser.wait(f"{TEXTS}.some((each) => each.startsWith('bbb'))")
    browser.by_role("button", re.compile(r"^Show all \(")).click()
    browser.wait(f"{TEXTS}.some((each) => each.length === 30000)")
    assert any(each == "b" * 30_000 for each in browser.run(TEXTS))
