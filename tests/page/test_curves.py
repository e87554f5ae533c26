"""The curves of the charts: read as they are sent, asked for together, patched, and what the server has now."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest

from page.browser import Browser
from page.looking import Live, address, project
from page.modules import Module, load
from server.process import KEY, ServerProcess
from steplog.column_format import decode
from steplog.delivery.wire import API

SET_UP = """
  const { signal } = await import(assets + "/ui.js");
  const { settled } = await import(assets + "/data/settled.js");
  globalThis.runs = signal([]);
  globalThis.view = { x: signal("step"), range: signal(null) };
  const pace = { live: { least: 0.02, most: 0.2 }, ended: { least: 0.02, most: 0.2 } };
  const here = { namespace: "team", project: %s };
  globalThis.opened = () => new Curves({ here, runs, view, pace });
  globalThis.curves = opened();
  globalThis.plain = ({ name, width, exact, byRun }) => ({ name, width, exact, byRun });
  globalThis.idle = () => !curves.state.value.asking && !curves.isDue;
"""


class Charts:
    """What stands in for the charts: it wants curves, and looks at them."""

    def __init__(self, browser: Browser, server: ServerProcess, place: str) -> None:
        slug = place.strip("/").rpartition("/")[2]
        self.browser = browser
        self.module = load(browser, server, "data/curves.js")
        sign_in(browser, server)
        self.module.run("(async () => {" + SET_UP % json.dumps(slug) + "})()")

    def show(self, runs: Sequence[Live], status: str = "RUNNING") -> None:
        shown = [{"uuid": run.uuid, "status": status} for run in runs]
        self.browser.run(f"runs.value = {json.dumps(shown)}, 1")

    def choose(self, field: str, value: Any) -> None:
        self.browser.run(f"view.{field}.value = {json.dumps(value)}, 1")

    def want(self, *names: str) -> None:
        self.browser.run(f"{json.dumps(names)}.forEach((name) => curves.want(name))")

    def release(self, *names: str) -> None:
        self.browser.run(f"{json.dumps(names)}.forEach((name) => curves.release(name))")

    def lengths(self, name: str) -> str:
        """An expression: of each run how many buckets there are, null without curves."""
        value = f"curves.wanted.get({json.dumps(name)}).curves.value"
        return f"JSON.stringify({value} && [...{value}.byRun.values()].map(({{ x }}) => x.length))"

    def wait_for(self, name: str, lengths: list[int]) -> None:
        self.browser.wait(f"{self.lengths(name)} === {json.dumps(json.dumps(lengths, separators=(',', ':')))}")

    def curve(self, name: str, run: Live) -> Any:
        return self.module.run(f"curves.wanted.get({json.dumps(name)}).curves.value.byRun.get({json.dumps(run.uuid)})")

    def width(self, name: str) -> int:
        found = self.browser.run(f"curves.wanted.get({json.dumps(name)}).curves.value.width")
        assert isinstance(found, int)
        return found

    def asked(self) -> int:
        return sum(url.endswith("/curves/") for url in self.browser.requests)


def sign_in(browser: Browser, server: ServerProcess) -> None:
    token = address(server, "/").partition("#")[2]
    session = load(browser, server, "data/session.js")
    browser.run(f"history.replaceState(null, '', '#{token}')")
    session.run("module.begin()")


@pytest.fixture
def place(server: ServerProcess, request: pytest.FixtureRequest) -> str:
    return project(server, re.sub(r"\W+", " ", request.node.name)[-60:])


def test_all_charts_in_view_take_one_request_and_then_what_is_new(server, browser, place):
    first, second = Live(server, place), Live(server, place)
    for run in (first, second):
        run.log([(name, value, step) for step, value in enumerate([0.5, 0.25, 0.125]) for name in "ab"])
    charts = Charts(browser, server, place)
    charts.show([first, second], "COMPLETED")
    charts.want("a", "b", "none")
    charts.wait_for("a", [3, 3])
    charts.wait_for("none", [])
    assert charts.asked() == 1
    charts.show([first, second])
    first.log([("a", 7.0, 3), ("a", math.nan, 4), ("a", 8.0, 2)])
    charts.wait_for("a", [5, 3])
    curve = charts.curve("a", first)
    assert (curve["last"][:4], curve["count"], curve["max"][2]) == ([0.5, 0.25, 8.0, 7.0], [1, 1, 2, 1, 1], 8.0)
    assert (curve["nan"], curve["pos"]) == ([0, 0, 0, 0, 1], None)
    charts.wait_for("b", [3, 3])


@pytest.mark.slow
def test_a_question_fits_what_is_seen_and_what_the_server_takes(server, browser):
    question = load(browser, server, "data/question.js")

    def asked(x: str, ends: Any, pixels: int, runs: int) -> Any:
        return question.call("questionOf", x, ends, pixels, runs)

    assert asked("step", None, 400, 10) == {"x": "step", "buckets": 512}
    assert asked("step", None, 400, 60)["buckets"] == 256
    assert asked("step", None, 400, 1000)["buckets"] == 128
    zoomed = asked("step", [1000, 1300], 400, 1)
    assert zoomed == {"x": "step", "from": 896, "to": 1408, "buckets": 1024}
    assert asked("step", [1010, 1310], 400, 1) == zoomed, "a little to the side is the same question"
    seconds = asked("time", [1.7e9, 1.7e9 + 60], 400, 1)
    assert seconds["from"] <= 17 * 10**17 < seconds["to"]
    assert seconds["to"] - seconds["from"] <= 120 * 10**9
    far = asked("step", [-1e300, 1e300], 400, 1)
    assert -(2**63) < far["from"] < far["to"] < 2**63
    for ends in ([1e12, 2e12], [-2e12, -1e12]):  # beyond what nanoseconds can say
        beyond = asked("time", ends, 400, 1)
        assert -(2**63) < beyond["from"] <= beyond["to"] < 2**63, "the server takes no more"

    def sizes(names: int, runs: int, buckets: int) -> Any:
        listed = [f"m{name}" for name in range(names)], [f"r{run}" for run in range(runs)]
        layer = f"{{ question: {{ buckets: {buckets} }}, lacks: () => {json.dumps(listed[1])} }}"
        called = f"requestsOf({json.dumps(listed[0])}, {json.dumps(listed[1])}, {layer})"
        return question.run(f"{called}.map(({{ names, runs }}) => [names.length, runs.length])")

    assert sizes(10, 10, 512) == [[10, 10]]
    assert sizes(10, 60, 256) == [[6, 60], [4, 60]]
    assert sizes(3, 1000, 128) == [[1, 1000]] * 3
    assert sizes(450, 1, 128) == [[200, 1], [200, 1], [50, 1]]
    assert sizes(1, 1000, 2048) == [[1, 195]] * 5 + [[1, 25]]


TYPES: dict[str, list[Any]] = {
    "floats": [0.1, 1e300, math.nan, math.inf, -math.inf],
    "small": [0.5, 0.25, 1.0],
    "integers": [1, 2**62 + 1, -(2**63)],
    "others": [b'"text"', b'{"a": [1, "\\u00e9"]}', 1, b"null", b'"NaN"'],
}


@pytest.mark.slow
def test_columns_are_read_as_the_server_has_written_them(server, browser, place):
    run = Live(server, place, config={"lr": 0.5, "name": "a"})
    for name, values in TYPES.items():
        run.log([(name, value, step) for step, value in enumerate(values)])
    run.log([("far", 0.5, 2**62), ("far", 1.5, 2**62 + 3)])
    other = Live(server, place)
    module = load(browser, server, "data/columns.js")
    for method, path, body in [
        ("GET", f"{run.path}history/", None),
        ("GET", f"{place}table/?columns=name,config.lr,config.name,small.last,others.count", None),
        ("POST", f"{place}curves/", {"runs": [run.uuid, other.uuid], "names": [*TYPES, "far"]}),
        ("POST", f"{place}curves/", {"runs": [run.uuid], "names": ["small"], "x": "time"}),
        ("POST", f"{place}curves/", {"runs": [run.uuid], "names": [*TYPES, "far"], "planes": True}),
        ("POST", f"{place}curves/", {"runs": [run.uuid], "names": ["none"]}),
    ]:
        read = read_by_page(module, method, f"{API}{path}", body)
        headers = {"Accept": "application/vnd.steplog.columns"}
        content = server.ask(method, path, json=body, headers=headers).content
        tables = decoded(content)
        assert len(read) == len(tables) > 0
        for table, (about, columns) in zip(read, tables, strict=True):
            told = {name: value for name, value in table["about"].items() if name != "columns"}
            assert {**told, "since": None} == {**about, "since": None}
            assert list(table["columns"]) == list(columns)
            for name, column in columns.items():
                found = [type(each)(value) for value, each in zip(table["columns"][name], column, strict=True)]
                assert repr(found) == repr(column)


def read_by_page(module: Module, method: str, path: str, body: Any) -> Any:
    options = {
        "method": method,
        "headers": {
            "Authorization": f"Api-Key {KEY}",
            "Accept": "application/vnd.steplog.columns",
            "Content-Type": "application/json",
        },
    } | ({"body": json.dumps(body)} if body else {})
    asked = f"fetch({json.dumps(path)}, {json.dumps(options)})"
    return module.run(f"{asked}.then((answer) => answer.arrayBuffer()).then(tablesOf)")


def decoded(content: bytes) -> list[tuple[Any, Any]]:
    """Of each table its header, and by name what is in its columns."""
    found = []
    for table in decode(content):
        columns = {
            name: [text.decode() for text in column.texts()] if column.type == "json" else list(column.values())
            for name, column in table.columns.items()
        }
        found.append((table.about, columns))
    return found


@pytest.mark.slow
def test_what_is_shown_besides_is_all_that_is_asked_for(server, browser, place):
    runs = [Live(server, place) for _ in range(3)]
    for run in runs:
        run.log([(name, 0.5, step) for step in range(100) for name in "abc"])
    charts = Charts(browser, server, place)
    charts.show(runs[:2], "COMPLETED")
    charts.want("a")
    charts.wait_for("a", [100, 100])
    browser.run("curves.pace = { live: { least: 60, most: 60 }, ended: { least: 60, most: 60 } }, 1")
    before, received = charts.asked(), browser.received_bytes
    charts.want("b", "c")
    charts.wait_for("c", [100, 100])
    charts.show(runs, "COMPLETED")
    for name in "abc":
        charts.wait_for(name, [100, 100, 100])
    assert charts.asked() == before + 2
    charts.show(runs[1:], "COMPLETED")
    for name in "abc":
        charts.wait_for(name, [100, 100])
    charts.show(runs, "COMPLETED")
    charts.wait_for("a", [100, 100, 100])
    charts.release("b")
    charts.want("b")
    assert charts.asked() == before + 2, "what is here is not asked for again"
    assert browser.received_bytes - received < 100_000


@pytest.mark.slow
def test_zooming_in_brings_finer_curves_and_keeps_the_coarse_ones_until_then(server, browser, place):
    run = Live(server, place)
    run.log_curves({"loss": [(step % 97) / 8 for step in range(20_000)]})
    run.log([("few", 0.5, step) for step in range(0, 20_000, 1000)])
    charts = Charts(browser, server, place)
    charts.show([run], "COMPLETED")
    charts.want("loss", "few")
    charts.wait_for("few", [20])
    browser.wait("curves.wanted.get('loss').curves.value")
    assert charts.width("loss") == 64
    browser.run("""
      globalThis.widths = [];
      curves.wanted.get("loss").curves.subscribe((value) => widths.push(value && value.width));
    """)
    charts.choose("range", [1000, 1200])
    browser.wait("curves.wanted.get('loss').curves.value.width === 1")
    curve = charts.curve("loss", run)
    assert curve["x"][0] <= 1000
    assert curve["x"][-1] >= 1200
    assert curve["last"][:3] == [(step % 97) / 8 for step in map(int, curve["x"][:3])]
    before = charts.asked()
    charts.choose("range", [1010, 1190])
    charts.choose("range", None)
    browser.wait("curves.wanted.get('loss').curves.value.width === 64")
    charts.choose("range", [1000, 1200])
    browser.wait("curves.wanted.get('loss').curves.value.width === 1 && idle()")
    assert browser.run("widths.includes(null)") is False
    questions = browser.run("[...curves.layers.values()].map(({ question }) => question.from)")
    assert len(questions) == 2
    assert browser.run("curves.wanted.get('few').shown.layer.question.from ?? null") is None, "there is nothing finer"
    assert charts.asked() - before < 8, "polls"


@pytest.mark.slow
def test_a_curve_knows_how_many_digits_are_good(server, browser, place):
    run = Live(server, place)
    run.log_curves({"a": [0.1, 0.9, 0.31] * 1000})
    run.log([("huge", 1e300, 0)])
    charts = Charts(browser, server, place)
    charts.show([run])
    charts.want("a")
    browser.wait("curves.wanted.get('a').curves.value")
    assert max(charts.curve("a", run)["max"]) > 0.9, "rounded outwards"
    assert charts.curve("a", run)["digits"] == {"last": 7, "ends": 3}
    charts.want("huge")
    charts.wait_for("huge", [1])
    assert charts.curve("huge", run)["digits"] == {"last": 17, "ends": 17}
    first, patch = (f"curves.wanted.get('{name}').curves.value.byRun.get('{run.uuid}')" for name in ("a", "huge"))
    joined = load(browser, server, "data/grid.js").run(f"patched({first}, {patch})")
    assert (joined["last"][0], joined["digits"]) == (1e300, {"last": 7, "ends": 3}), "of the other buckets"


@pytest.mark.slow
def test_a_run_that_is_deleted_goes_and_comes_back_with_its_curves(server, browser, place):
    runs = [Live(server, place) for _ in range(2)]
    for run in runs:
        run.log([("a", 0.5, step) for step in range(10)])
    charts = Charts(browser, server, place)
    charts.show(runs)
    charts.want("a")
    charts.wait_for("a", [10, 10])
    browser.run("curves.pace = { live: { least: 0.02, most: 0.02 }, ended: { least: 0.02, most: 0.02 } }, 1")
    server.ask("DELETE", runs[0].path)
    charts.wait_for("a", [10])
    server.ask("POST", f"{runs[0].path}restore/")
    runs[0].log([("a", 0.5, 10)])
    charts.wait_for("a", [11, 10])


@pytest.mark.slow
def test_a_short_run_is_drawn_finely_once_a_long_one_is_not_shown(server, browser, place):
    short, long = Live(server, place), Live(server, place)
    short.log([("a", 0.5, step) for step in range(300)])
    long.log([("a", 0.5, step) for step in range(0, 1_000_000, 1000)])
    charts = Charts(browser, server, place)
    charts.show([short, long], "COMPLETED")
    charts.want("a")
    browser.wait("curves.wanted.get('a').curves.value.width === 2048")
    charts.show([short], "COMPLETED")
    charts.wait_for("a", [300])
    charts.show([short, long], "COMPLETED")
    browser.wait("curves.wanted.get('a').curves.value.width === 2048")
    charts.wait_for("a", [1, 488])


@pytest.mark.slow
def test_more_curves_than_a_request_may_ask_for_take_several(server, browser, place):
    runs = [Live(server, place) for _ in range(4)]
    names = [f"m{number}" for number in range(450)]
    for run in runs:
        run.log([(name, 0.5, 1) for name in names])
    charts = Charts(browser, server, place)
    charts.show(runs, "COMPLETED")
    charts.want(*names)
    for name in (names[0], names[-1]):
        charts.wait_for(name, [1, 1, 1, 1])
    assert browser.run("curves.state.value.failed") is None


@pytest.mark.slow
def test_the_axis_may_be_one_of_times(server, browser, place):
    run = Live(server, place)
    run.log_curves({"loss": [0.5] * 1000})
    charts = Charts(browser, server, place)
    charts.show([run])
    charts.want("loss")
    charts.wait_for("loss", [500])
    began = server.ask("GET", run.path).json()["started"]
    assert began
    for x in ("time", "relative"):
        charts.choose("x", x)
        browser.wait(f"curves.wanted.get('loss').shown.layer.question.x === '{x}'")
        curve = charts.curve("loss", run)
        seconds = [b - a for a, b in zip(curve["x"], curve["x"][1:], strict=False)]
        assert all(abs(second - curve["step"][1] + curve["step"][0]) < 1.1 for second in seconds[1:-1])
        assert (curve["x"][0] > 1e9) == (x == "time")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_shown_while_runs_go_on_is_what_a_fresh_answer_has(server, browser, place, seed):
    source = random.Random(seed)
    runs, names = [Live(server, place) for _ in range(4)], ["a", "b", "c"]
    charts = Charts(browser, server, place)
    charts.want(*names)
    written = [0] * len(runs)
    x = source.choice(["step", "step", "relative"])
    charts.choose("x", x)
    for turn in range(12):
        for number in source.sample(range(len(runs)), 2):
            count = source.choice([1, 40, 700, 3000])
            values = {name: [source.randrange(-800, 800) / 8 for _ in range(count)] for name in names}
            runs[number].log_curves(values, first_step=written[number], began_ns=10**18 + 10**9 * written[number])
            written[number] += count
        if turn % 3 == 0:
            charts.show(source.sample(runs, source.randint(1, len(runs))))
            charts.choose("range", source.choice([None, None, [100, 900]]))
        again = source.choice(names)
        charts.release(again)
        charts.want(again)
        wait_for_the_latest(charts, runs, written)
        difference = charts.module.run(f"({DIFFERENCE})({json.dumps(names)})")
        assert difference is None, f"seed {seed}, turn {turn}: {difference}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_steps_and_clocks_that_go_anywhere_are_shown_as_a_fresh_answer_has_them(server, browser, place, seed):
    source = random.Random(seed)
    runs, names = [Live(server, place) for _ in range(3)], ["a", "b"]
    charts = Charts(browser, server, place)
    charts.want(*names)
    written = [0] * len(runs)
    charts.choose("x", ["step", "time", "relative"][seed])
    base = source.choice([0, -5000, 2**52, 2**62, -(2**61)])
    odd = [math.nan, math.inf, -math.inf, True, b'"text"']

    def record(name: str, at: int) -> Any:
        value = source.choice(odd) if source.random() < 0.2 else source.randrange(-800, 800) / 8
        return name, value, base + source.choice([at, at, source.randrange(-200, at + 300)])

    for turn in range(8):
        for number in source.sample(range(len(runs)), 2):
            count = source.choice([1, 40, 700, 2000])
            records = [record(name, written[number] + at) for at in range(count) for name in names]
            runs[number].log(records, began_ns=10**18 + source.choice([1, -1, 1000]) * 10**9 * written[number])
            written[number] += count
        if turn % 3 == 0:
            charts.show(source.sample(runs, source.randint(1, len(runs))))
            charts.choose("range", source.choice([None, [100 + base, 900 + base]]))
        wait_for_the_latest(charts, runs, written)
        difference = charts.module.run(f"({DIFFERENCE})({json.dumps(names)})")
        assert difference is None, f"seed {seed}, turn {turn}: {difference}"


def wait_for_the_latest(charts: Charts, runs: Sequence[Live], written: Sequence[int]) -> None:
    """Until each run shown has all its points, where the whole axis is shown; else a poll that has brought nothing."""
    counts = {run.uuid: count for run, count in zip(runs, written, strict=True)}
    charts.browser.wait(
        f"""idle() && runs.value.every(({{ uuid }}) => view.range.value
          || [...curves.wanted.values()].every(({{ curves }}) => ({json.dumps(counts)}[uuid] || 0) ===
            (curves.value.byRun.get(uuid)?.count.reduce((sum, each) => sum + each, 0) ?? 0)))"""
    )


DIFFERENCE = """async (names) => {
  const COLUMNS = ["bucket", "x", "step", "last", "min", "max", "count", "nan", "pos", "neg"];
  const { coarser } = await import(assets + "/data/grid.js");
  const wanted = names.map((name) => curves.wanted.get(name));
  let different = null;
  for (let round = 0; round < 200; round += 1) { // with a range, what is new may be on its way
    const fresh = opened();
    const values = names.map((name) => fresh.want(name));
    const all = () => values.every((each) => each.value) && !fresh.state.value.asking;
    while (!all()) await new Promise((done) => setTimeout(done, 5));
    fresh.end();
    different = null;
    names.forEach((name, at) => {
      const [mine, its] = [wanted[at].curves.value, values[at].value];
      if (mine.width < its.width) different ??= `${name}: ${mine.width} instead of ${its.width}`;
      for (const { uuid } of runs.value) {
        const [one, other] = [mine, its].map(({ byRun }) => byRun.get(uuid) && coarser(byRun.get(uuid), mine.width));
        for (const column of COLUMNS) {
          const [a, b] = [one, other].map((each) => String(each?.[column] && [...each[column]]));
          if (a !== b) different ??= `${name} ${uuid} ${column}: ${a.slice(0, 300)} instead of ${b.slice(0, 300)}`;
        }
      }
    });
    if (different === null) return null;
  }
  return different;
}"""


@pytest.mark.slow
def test_where_there_are_no_curves_that_is_said(server, browser, place):
    charts = Charts(browser, server, place)
    charts.show([Live(server, place)])
    browser.run("curves.path = '/api/v0/team/projects/none/curves/', 1")
    charts.want("a")
    browser.wait("curves.state.value.failed === 'This server has no curves: it is of an older version.'")
    browser.run("curves.end()")
    browser.complaints.clear()  # Chromium reports the 404
