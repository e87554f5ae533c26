"""The benchmarks say what they measured, and nothing that they did not."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from xml.etree import ElementTree

import pytest
from benchmarks.chart import bars
from benchmarks.figure import Figure, as_json, as_table, from_json, over, quantile
from benchmarks.machine import kernel, machine_line, processor
from benchmarks.page import filled, measured
from benchmarks.peers.remains import found_below
from benchmarks.proxy import Proxy

ROOT = Path(__file__).parents[2]


def figure(**fields) -> Figure:
    return Figure(**{"group": "g", "name": "n", "unit": "ms", "value": 1.0} | fields)


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"value": 1, "must": 5, "reach": 2}, "reach"),
        ({"value": 3, "must": 5, "reach": 2}, "must"),
        ({"value": 6, "must": 5, "reach": 2}, "short"),
        ({"value": 6, "must": 5, "reach": 9, "more_is_better": True}, "must"),
        ({"value": 4, "must": 5, "reach": 9, "more_is_better": True}, "short"),
        ({"value": 2, "reach": 1}, "short"),
        ({"value": 6}, ""),
        ({"value": None, "must": 5}, "not measured"),
    ],
)
def test_a_figure_knows_how_it_stands(fields, verdict):
    assert figure(**fields).verdict == verdict


def test_a_quantile_is_a_value_that_was_measured():
    values = [float(value) for value in range(1, 1001)]
    assert (quantile(values, 0.5), quantile(values, 0.999), quantile([7.0], 0.999)) == (500, 999, 7)


def test_rounds_become_a_median_with_its_quartiles():
    made = over([4.0, 1.0, 3.0, 2.0], group="g", name="n", unit="ms")
    assert (made.value, made.low, made.high) == (2, 1, 3)
    one = over([4.0], group="g", name="n", unit="ms")
    assert (one.value, one.low, one.high) == (4, None, None)


def test_every_row_of_the_table_has_every_column():
    rows = as_table([figure(must=2, note="beside"), figure(value=None), figure(value=12345.0)]).splitlines()
    assert {row.count("|") for row in rows} == {6}  # nothing to say in columns of quartiles and reach
    assert "12,345 ms" in rows[-1]


def test_what_is_long_to_say_beside_a_figure_is_below_its_table_once():
    long = "word | " * 20
    rows = as_table([figure(note="brief"), figure(note=long), figure(name="m", note=long)]).splitlines()
    assert [row.split("|")[-2].strip() for row in rows[2:5]] == ["brief", "see 1", "see 1"]
    assert rows[5:] == ["", f"1. {'word / ' * 20}"]


def test_a_figure_of_a_file_is_the_figure_that_was_put_there():
    made = figure(must=5, reach=2, note="n", beside={"floor": 120.0}, more_is_better=True)
    assert from_json(json.loads(json.dumps(as_json(made)))) == made


def test_the_chart_is_a_picture_with_a_bar_a_row():
    picture = ElementTree.fromstring(bars("How <long>", "µs", [("a & b", 0.1, True), ("c", 2500.0, False)]))
    kinds = [element.get("class") for element in picture.iter("{http://www.w3.org/2000/svg}rect")]
    assert kinds == ["o", "p"]


def test_a_page_is_filled_where_it_says_so_and_nowhere_else():
    page = "before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter <!-- b: end -->\n"
    once = filled(page, {"a": "new | table", "absent": "nothing"})
    assert once == page.replace("old", "new | table")
    assert filled(once, {"a": "new | table"}) == once
    with pytest.raises(ValueError, match="no region"):
        filled("nothing marked", {"a": "new"})
    with pytest.raises(ValueError, match="end"):
        filled("<!-- a: begin --> and on", {"a": "new"})


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.12.9-cloud-amd64", "6.12"), ("5.15.167.4-microsoft-standard-WSL2", "5.15"), ("rolling", "unknown")],
)
def test_a_machine_line_names_processor_cores_kernel_and_python_and_nothing_more(release, version, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor\t: 0\nmodel name\t: Some  CPU @ 2.0GHz \nmicrocode\t: 0x1\n\nmodel name\t: Some CPU\n"
    )
    assert kernel(release) == version
    assert re.fullmatch(r"Some CPU @ 2\.0GHz, \d+ cores", processor(cpuinfo))
    assert re.fullmatch(r"\w+, \d+ cores", processor(tmp_path / "absent"))
    assert re.fullmatch(r".+, \d+ cores, \w+ \d+\.\d+, Python \d+\.\d+\.\d+\S*", machine_line())
    assert measured({"machine": "M", "date": "2030-01-01", "steplog": "1", "commit": "abc", "load": "0.7"}) == (
        "M. Measured 2030-01-01, steplog 1, commit abc."
    )


MACHINE_DETAIL = re.compile(r"\b\d+\.\d+\.\d+-[\w-]+|\bload \d", re.IGNORECASE)


def test_no_page_and_no_result_shows_a_whole_kernel_string_or_a_load():
    results = ROOT / "tests" / "crash" / "results.jsonl"
    for page in (results, ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        assert not MACHINE_DETAIL.search(page.read_text("utf-8")), page.name
    assert MACHINE_DETAIL.search("Linux 6.12.9-cloud-amd64; load 0.7")


def test_values_are_found_in_whatever_form_a_peer_has_written_them(tmp_path):
    values = [0.1 + number / 7 for number in range(6)]
    (tmp_path / "below").mkdir()
    (tmp_path / "text").write_text(f'{{"loss": {values[0]!r}}}')
    (tmp_path / "below" / "bytes").write_bytes(
        b"x" + struct.pack("<d", values[1]) + struct.pack(">d", values[2]) + b"yy" + struct.pack("<f", values[3])
    )
    assert found_below([tmp_path], values) == 4


class Echo(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


def test_the_proxy_passes_everything_and_counts_it():
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        with Proxy(f"http://127.0.0.1:{server.server_address[1]}", 0.01) as proxy:
            for _ in range(2):
                with urllib.request.urlopen(proxy.url, data=b"x" * 100_000, timeout=10) as answer:
                    assert answer.read() == b"x" * 100_000
            assert proxy.requests == 2
            assert 200_000 < proxy.bytes_sent < 202_000
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_command_says_what_it_does_not_know():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nothing"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 2
    assert "no such group: nothing" in done.stderr
