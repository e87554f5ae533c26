"""What a run goes down on is its last record, and exception and exit code are what they would be without us."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest

from end_to_end.programs import Host
from end_to_end.test_status import with_and_without
from server.process import KEY

NEW = sys.version_info >= (3, 12)
TRAIN = "def train():\n    raise ValueError('a loss of nan')\n"


def told(host: Host, run: str = "run") -> Any:
    """The one exception that the server has, which is the last record of its run."""
    name, value, _ = host.server.metrics(run)[-1]
    assert name == "steplog/exception"
    assert len(host.server.values(run, "steplog/exception")) == 1
    return value


@pytest.mark.parametrize(
    "way",
    [
        TRAIN + "train()",
        TRAIN + "with run or open(os.devnull):\n    train()",
        TRAIN + "import asyncio\nasync def main():\n    async with run:\n        train()\nasyncio.run(main())",
    ],
)
def test_the_traceback_of_a_crash_is_the_last_record_of_its_run(host: Host, way: str):
    if "async" in way:
        done = host.run(f"run = begin()\nrun.log('loss', 0.5)\n{way}")
    else:
        done, without = with_and_without(host, way)
        assert (done.code, done.errors) == (without.code, without.errors)
    assert done.code == 1
    value = told(host)
    assert (value["type"], value["message"]) == ("ValueError", "a loss of nan")
    assert value["traceback"].startswith("Traceback (most recent call last):\n")
    assert "in train\n    raise ValueError('a loss of nan')\n" in value["traceback"]
    assert value["traceback"].endswith("ValueError: a loss of nan\n")
    assert host.server.run("run").status == "CRASHED"


def test_a_chain_of_exceptions_is_kept_whole(host: Host):
    host.run("begin()\ntry:\n    {}['x']\nexcept KeyError as error:\n    raise RuntimeError('no x') from error")
    value = told(host)
    assert (value["type"], value["message"]) == ("RuntimeError", "no x")
    assert "KeyError: 'x'" in value["traceback"]
    assert "direct cause" in value["traceback"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_kept_by_its_name_and_where_the_program_was(host: Host, number: signal.Signals):
    done = host.run(f"begin()\ndef train():\n    os.kill(os.getpid(), {int(number)})\ntrain()")
    assert done.code == -number
    value = told(host)
    assert (value["type"], value["message"]) == (number.name, signal.strsignal(number))
    assert value["traceback"].startswith("Traceback (most recent call last):\n")
    assert "in train" in value["traceback"]


def test_a_signal_that_ends_a_program_that_has_joined_is_kept(host: Host):
    joined = "import os, sys, steplog; steplog.attach(sys.argv[1]).log('loss', 1.0); os.kill(os.getpid(), 15)"
    done = host.run(
        f"""
        import subprocess
        run = begin()
        assert subprocess.run([sys.executable, "-c", {joined!r}, run.uuid]).returncode == -15
        run.finish()
        """
    )
    assert done.code == 0
    assert told(host)["type"] == "SIGTERM"


def test_an_exit_code_is_kept_where_it_is_seen(host: Host):
    host.run("begin()\nsys.exit(3)")
    assert told(host) == {"type": "SystemExit", "message": "3", "traceback": ""}


@pytest.mark.parametrize("way", ["", "sys.exit(0)", "try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass"])
def test_a_clean_end_keeps_nothing(host: Host, way: str):
    assert host.run(f"begin().log('loss', 1.0)\n{way}").code == 0
    assert [name for name, _, _ in host.server.metrics("run")] == ["loss"]


@pytest.mark.parametrize("way", ["1 / 0", "with run:\n    1 / 0", "os.kill(os.getpid(), 15)"])
def test_it_is_off_by_a_setting(host: Host, way: str):
    host.run(f"run = begin()\n{way}", STEPLOG_EXCEPTIONS="0")
    assert (host.server.run("run").status, host.server.run("run").points) == ("CRASHED", 0)


def test_each_run_that_the_exception_goes_through_keeps_it(host: Host):
    host.run("with begin('outer'), begin('inner', activate=False):\n    1 / 0")
    assert [told(host, run)["type"] for run in ("outer", "inner")] == ["ZeroDivisionError"] * 2


def test_a_run_that_was_finished_keeps_nothing_of_what_comes_after(host: Host):
    assert host.run("with begin() as run:\n    run.finish()\n    1 / 0").code == 1
    assert (host.server.run("run").status, host.server.run("run").points) == ("COMPLETED", 0)


def test_an_exception_that_cannot_be_printed_ends_the_program_as_it_would(host: Host):
    body = "class Broken(Exception):\n    def __str__(self):\n        raise KeyError('no text')\nraise Broken"
    done, without = with_and_without(host, body)
    assert (done.code, done.errors) == (without.code, without.errors)
    assert host.server.run("run").status == "CRASHED"
    assert told(host)["message"] == "(its text cannot be had)"


def test_texts_are_bounded_and_the_end_of_the_traceback_is_kept(host: Host):
    host.run("begin()\nraise ValueError('x' * 100_000 + ' the end')")
    value = told(host)
    assert value["message"] == "x" * 2000 + "…"
    assert len(value["traceback"]) <= 16_001
    assert value["traceback"].endswith("x the end\n")


def test_it_fits_into_a_value_however_small_that_is(host: Host):
    host.run("begin()\nraise ValueError('\\0' * 10_000)", STEPLOG_VALUE_BYTES_MAX="1000")
    assert told(host)["type"] == "ValueError"


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", ["1 / 0 if {key!r} else 0", "raise ValueError({key!r})", "raise ValueError(repr({key!r}))"]
)
def test_no_api_key_is_in_it(host: Host, way: str):
    """The line of the source is in the traceback, with the key in it; the one from the environment, and another one."""
    for key, name in ((KEY, "known"), ("it's-a\\key", "quoted")):
        body = f"begin()\n{way.format(key=key)}"
        assert host.run(body, name=name, TELLURIO_API_KEY=key).code == 1
        value = str(told(host, name))
        assert key not in value
        assert repr(key)[1:-1] not in value
        assert "***" in value


def test_a_key_that_login_was_given_is_not_in_it_either(host: Host):
    source = f"import steplog\nsteplog.login({KEY!r})\nkey = {KEY!r}\nbegin()\n1 / 0 if {KEY!r} else 0"
    assert host.run(source, STEPLOG_API_KEY="").code == 1
    assert KEY not in str(told(host))
