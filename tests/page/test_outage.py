"""A server that is away: one request at a time asks for it, one notice says so, and all goes on by itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from page.looking import Live, address, project
from page.modules import load
from page.test_curves import Charts
from server.process import ServerProcess, lasting_port

AWAY = "does not answer"
REFUSED = "ERR_CONNECTION_REFUSED"
FAKES = """
  const { Away } = await import(assets + "/data/api.js");
  globalThis.delays = [];
  globalThis.due = [];
  globalThis.setTimeout = (run, ms) => {
    if (ms === 25000) globalThis.silent = run;
    else due.push(run) && delays.push(ms);
  };
  globalThis.tick = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  globalThis.alive = false;
  globalThis.calls = [];
  globalThis.request = (name, after_s = 0) => async () => {
    calls.push(name);
    if (!alive) throw new Away("away", after_s);
    return name;
  };
"""


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that has the same address when it is started again."""
    with ServerProcess(tmp_path, "--port", str(lasting_port())) as started:
        yield started


def test_requests_share_one_schedule_of_retries(server, browser):
    outage = load(browser, server, "data/outage.js")
    outage.run(f"(async () => {{{FAKES}}})()")
    outage.run("['a', 'b', 'c'].forEach((name) => reach(request(name)).then((told) => calls.push(`${told} told`)))")
    outage.run("tick()")
    assert browser.run("[calls, delays]") == [["a", "b", "c"], [1000]]
    for tries in range(1, 6):
        outage.run("(due.shift()(), tick())")
        assert browser.run("calls.length") == 3 + tries, "one asks at a time"
    assert browser.run("delays") == [1000, 2000, 4000, 8000, 15000, 15000]
    outage.run("reach(request('late', 60)).then((told) => calls.push(`${told} told`)), tick()")
    assert browser.run("calls.includes('late')") is False, "what is asked for meanwhile waits"
    browser.run("alive = true, calls.length = 0, 1")
    outage.run("(due.shift()(), tick())")
    assert sorted(browser.run("calls")) == ["a", "a told", "b", "b told", "c", "c told", "late", "late told"]
    browser.run("alive = false, delays.length = 0, 1")
    outage.run("reach(request('busy', 60)), tick()")
    assert browser.run("delays") == [60_000], "the server says when"


@pytest.mark.slow
def test_a_request_that_is_never_answered_holds_no_other_up(server, browser):
    outage = load(browser, server, "data/outage.js")
    outage.run(f"(async () => {{{FAKES}}})()")
    outage.run("reach(request('a')), tick()")
    outage.run("reach(() => calls.push('never') && new Promise(() => {})), tick()")
    outage.run("(due.shift()(), tick())")  # of a, which waits behind it from then on
    outage.run("(due.shift()(), tick())")
    assert browser.run("calls") == ["a", "a", "never"]
    outage.run("(silent(), tick())")
    assert browser.run("calls") == ["a", "a", "never", "a"]


@pytest.mark.slow
def test_nothing_is_asked_for_while_the_page_is_hidden(server, browser):
    outage = load(browser, server, "data/outage.js")
    outage.run(f"(async () => {{{FAKES}}})()")
    browser.run("Object.defineProperty(document, 'hidden', { get: () => globalThis.hidden }), globalThis.hidden = true")
    outage.run("reach(request('a')), tick()")
    assert browser.run("calls") == []
    browser.run("globalThis.hidden = false, document.dispatchEvent(new Event('visibilitychange'))")
    outage.run("tick()")
    assert browser.run("calls") == ["a"]
    browser.run("globalThis.hidden = true")
    outage.run("(due.shift()(), tick())")
    assert browser.run("calls") == ["a"]
    browser.run("alive = true, globalThis.hidden = false, document.dispatchEvent(new Event('visibilitychange'))")
    outage.run("tick()")
    assert browser.run("calls") == ["a", "a"], "a page that is looked at again does not wait"


@pytest.mark.slow
def test_an_answer_that_is_to_be_asked_for_later_is_no_answer(server, browser):
    api = load(browser, server, "data/api.js")
    for status in (503, 507, 429):
        headers = '{ "Retry-After": "7" }'
        browser.run(f"globalThis.fetch = async () => new Response('', {{ status: {status}, headers: {headers} }}), 1")
        told = api.run("read('/').catch((error) => [error instanceof Away, error.after_s])")
        assert told == [True, 7]


@pytest.mark.slow
def test_charts_go_on_when_a_killed_server_is_there_again(lasting, browser):
    place = project(lasting, "outage")
    run = Live(lasting, place)
    run.log([(name, 0.5, step) for step in range(10) for name in "ab"])
    charts = Charts(browser, lasting, place)
    charts.show([run])
    charts.want("a")
    charts.wait_for("a", [10])
    browser.run("""
      globalThis.seen = [];
      curves.wanted.get("a").curves.subscribe((value) => seen.push(value?.byRun.size ?? 0));
    """)
    connection = load(browser, lasting, "data/connection.js")
    with browser.complaining(REFUSED, "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_SOCKET"):
        lasting.end(signal.SIGKILL)
        charts.want("b")
        browser.wait("curves.state.value.asking === 1")
        connection.run("new Promise((done) => notice.subscribe((value) => value && done()))")
        assert AWAY in connection.run("notice.value.text")
        charts.wait_for("a", [10])
        lasting.start()
        charts.wait_for("b", [10])
        run.log([("a", 0.5, 10)])
        charts.wait_for("a", [11])
    assert connection.run("notice.value") is None
    assert browser.run("Math.min(...seen)") == 1, "the curves were there all the time"


@pytest.mark.slow
def test_one_notice_says_that_the_server_is_away(lasting, browser):
    place = project(lasting, "notice")
    Live(lasting, place).log([("loss", 0.5, step) for step in range(10)])
    browser.open(address(lasting, place))
    browser.wait("document.querySelector('main [role=grid], main table')")
    with browser.complaining(REFUSED, "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "ERR_SOCKET"):
        lasting.end(signal.SIGKILL)
        browser.wait(f"document.body.innerText.includes({AWAY!r})")
        assert browser.run("document.body.innerText").count(AWAY) == 1
        assert browser.run("document.querySelector('main [role=grid], main table tbody tr') !== null")
        lasting.start()
        browser.wait(f"!document.body.innerText.includes({AWAY!r})")


def test_a_poll_that_is_hastened_while_it_is_under_way_is_made_once_more(server, browser):
    poll = load(browser, server, "data/poll.js")
    poll.run("""(async () => {
      const { Wake, poll } = module;
      const wake = new Wake();
      globalThis.asked = [];
      globalThis.wake = wake;
      poll(() => new Promise((done) => asked.push(() => done({ changed: false, least: 900, most: 900 }))), { wake });
    })()""")
    browser.wait("asked.length === 1")
    browser.run("wake.call(), asked[0](), 1")
    browser.wait("asked.length === 2")
    browser.run("asked[1](), 1")
    browser.run("new Promise((done) => setTimeout(done, 50))")
    assert browser.run("asked.length") == 2, "only that often"
    browser.run("wake.call(), 1")
    browser.wait("asked.length === 3")
