"""A chart as CSV, PNG and SVG, and as a program that reads what it shows."""

from __future__ import annotations

import base64
import csv
import io
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from array import array

import pytest

from page.charting import asked, curve, metric, run
from page.looking import Live, project
from page.modules import load, script_of
from page.pixels import decoded
from server.process import SOURCES

pytestmark = pytest.mark.slow

HOSTILE = '"; raise SystemExit(3) # \\"\u202e {} %s'
SVG = "{http://www.w3.org/2000/svg}"
SCENE = "(await import(assets + '/charts/scene.js')).sceneOf({})"


@pytest.fixture
def files(browser, server):
    module = load(browser, server, "charts/files.js")
    return lambda call, *given, **view: module.run(call.format(SCENE.format(script_of(asked(*given, view=view)))))


def rows_of(text):
    return list(csv.reader(io.StringIO(text, newline="")))


def test_csv_has_what_is_drawn_in_full_precision(files):
    told = curve([1 / 3, math.nan, 2e300], low=[0.1, 5e-324, -1.0], high=[0.5, 2.0, 2e300], count=7, nan={1: 2})
    head, *rows = rows_of(files("csvOf({})", [metric({"a": told}, width=64)], [run("a", name='the "a", of all')]))
    assert head == ["run", "uuid", "metric", "step", "last", "min", "max", "count", "nan", "inf", "-inf"]
    assert [row[:4] for row in rows] == [['the "a", of all', "a", "loss", str(at)] for at in range(3)]
    assert [float(cell or "nan") for cell in rows[0][4:7]] == [1 / 3, 0.1, 0.5]
    assert rows[1][4:] == ["", "5e-324", "2", "7", "2", "0", "0"]
    assert float(rows[2][4]) == 2e300


def test_csv_and_readout_have_no_digits_that_the_answer_has_not(files, browser, server):
    told = curve([0.31, 3.0], low=[0.31, 0.3], high=[0.9, 1048584.0], count=7, digits={"last": 7, "ends": 3})
    for kind in ("last", "min", "max"):
        told[kind] = array("f", told[kind])
    told["max"] = array("f", [0.90014648, 1048704.0])  # as the server rounds them outwards
    _, *rows = rows_of(files("csvOf({})", [metric({"a": told}, width=64)], smoothing=0.5))
    assert [row[4:7] for row in rows] == [["0.31", "0.31", "0.9"], ["3", "0.3", "1050000"]]
    assert rows[0][-1] == "0.31"
    readout = load(browser, server, "charts/readout.js")
    scene = SCENE.format(script_of(asked([metric({"a": told}, width=64)])))
    assert [readout.run(f"readoutOf({scene}, {x}).rows[0].extremes") for x in (0, 1)] == [
        "0.31 to 0.9",
        "0.3 to 1,050,000",
    ]
    counted = curve([123456789.0], digits={"last": 7, "ends": 3}) | {"last": array("f", [123456789.0])}
    scene = SCENE.format(script_of(asked([metric({"a": counted})])))
    assert readout.run(f"readoutOf({scene}, 0).rows[0].value") == "123,456,800"


def test_csv_has_steps_beyond_2_to_the_53_times_and_what_is_smoothed(files):
    steps = array("q", [2**62 + 1, 2**62 + 3])
    told = metric({"a": curve([1, 2], x=[1.5, 3.25], step=steps)})
    head, *rows = rows_of(files("csvOf({})", [told], x="time", smoothing=0.5))
    assert head[3:6] == ["time", "step", "last"]
    assert head[-1] == "smoothed"
    assert [row[3:5] for row in rows] == [
        ["1970-01-01T00:00:01.500Z", str(2**62 + 1)],
        ["1970-01-01T00:00:03.250Z", str(2**62 + 3)],
    ]
    assert float(rows[1][-1]) == pytest.approx((0.5 * 1 + 2) / 1.5)


def test_csv_of_groups_has_means_of_how_many_runs_and_only_what_is_in_sight(files):
    told = metric({"a": curve([1, 2, 3]), "b": curve([3, 4])})
    head, *rows = rows_of(files("csvOf({})", [told], [run(u, group="g") for u in "ab"], group="group", range=[1, 2]))
    assert head == ["group", "metric", "step", "mean", "min", "max", "runs"]
    assert rows == [["g", "loss", "1", "3", "2", "4", "2"], ["g", "loss", "2", "3", "3", "3", "1"]]


def png(files, *given, **view):
    read = "btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(''))"
    script = f"pngOf({{}}).then((blob) => blob.arrayBuffer()).then((buffer) => {read})"
    return decoded(base64.b64decode(files(script, *given, **view)))


@pytest.mark.parametrize("lines", [1, 90])
def test_png_is_a_light_picture_of_the_lines_with_a_legend(browser, files, lines):
    browser.size(1200, 800, dark=True)
    curves = {f"run {n}": curve([math.sin(at / 30) + n for at in range(600)]) for n in range(lines)}
    picture = png(files, [metric(curves)])
    assert (picture.width, picture.height) == (1920, 1080)
    assert picture.at(1, 1) == (255, 255, 255)
    left, top, right, bottom = picture.box("#4a5ce0", 40)
    assert right - left > 1700
    assert bottom > 1020, "the legend is at the bottom"
    assert picture.box("#1d1f23", 60)[1] < 40, "the title is at the top"


def test_svg_is_a_document_of_its_own_in_which_names_are_text(files):
    told = metric({"a": curve([1, 5, 2], low=[0, 1, 2], high=[2, 9, 3], count=4)}, name="<b>&loss", width=8)
    root = ET.fromstring(files("svgOf({})", [told], [run("a", name='"><script>x</script>\u202e\x00')]))
    assert {each.tag for each in root.iter()} == {f"{SVG}{tag}" for tag in ("svg", "path", "text", "g", "clipPath")}
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert "<b>&loss" in texts
    assert '"><script>x</script>\\u202e\\u0000' in texts
    lines = [each for each in root.iter(f"{SVG}path") if each.get("stroke") == "#4a5ce0"]
    assert any(each.get("d", "").count("L") == 2 for each in lines)
    assert not [name for each in root.iter() for name in each.attrib if name.startswith(("on", "style", "href"))]


def test_svg_is_drawn_by_paths_though_there_are_many_lines(files):
    curves = {f"run {n}": curve([float(n)] * 600) for n in range(90)}
    root = ET.fromstring(files("svgOf({})", [metric(curves)]))
    assert len([each for each in root.iter(f"{SVG}path") if each.get("fill") == "none"]) > 90


def test_copied_python_runs_as_it_is_and_reads_what_the_chart_shows(browser, server, tmp_path):
    place = project(server, "python")
    names = ["a run", "a run", HOSTILE]
    runs = []
    for number, name in enumerate(names):
        live = Live(server, place, name=name)
        live.log([("loss", float(step * number), step) for step in range(50)])
        if number < 2:
            live.log([("val/loss", 0.5, 20)])
        runs.append({"uuid": live.uuid, "name": name})
    namespace, _, slug = place.strip("/").split("/")
    view = {"x": "step", "range": [9.5, 29.5]}
    program = load(browser, server, "charts/python.js").call(
        "pythonOf",
        {"here": {"namespace": namespace, "project": slug}, "runs": runs, "names": ["loss", "val/loss"], "view": view},
    )
    assert program.isprintable() or all(line.isprintable() for line in program.splitlines())
    checks = (
        "assert [len(t) for t in tables.values()] == [20, 20, 20]\nassert sum(list(tables.values())[1]['loss']) == 390"
    )
    file = tmp_path / "read.py"
    file.write_text(f"{program}\n{checks}\n", "utf-8")
    done = subprocess.run(
        [sys.executable, str(file)],
        env=os.environ | {"STEPLOG_DIR": str(server.directory), "PYTHONPATH": str(SOURCES)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("20 rows of 'step', 'time', 'loss'") == 3
