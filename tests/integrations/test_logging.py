"""Records of Python's logging arrive in the run, in order; what would feed back or flood it does not."""

from __future__ import annotations

import io
import logging
import logging.config

import pytest

import steplog
from apart import apart
from steplog.integrations.logging import BURST_S, CHARACTERS_MAX, RunLogHandler


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    for name, value in {"MODE": "offline", "PROJECT": "logging", "DIR": str(tmp_path), "QUIET": "1"}.items():
        monkeypatch.setenv(f"STEPLOG_{name}", value)


@pytest.fixture
def logger():
    return logging.Logger("train")  # noqa: LOG001 - of no parent, where pytest's own would raise for a broken record


def logged(run: steplog.Run, name: str = "log") -> list[str]:
    run.finish()
    return [row["json"] for row in steplog.open(str(run.uuid)).history([name], form="long")]


@apart
def test_records_are_texts_of_the_active_run_in_their_order(logger):
    logger.addHandler(RunLogHandler())
    logger.info("before any run")
    with steplog.init() as run:
        logger.debug("below the level")
        logger.info("epoch %d", 3)
        try:
            raise KeyError("lr")
        except KeyError:
            logger.exception("no rate")
    logger.info("after it")
    first, second = logged(run)
    assert first == "INFO train: epoch 3"
    assert second.startswith("ERROR train: no rate\nTraceback")
    assert second.endswith("KeyError: 'lr'")


@apart
def test_a_handler_follows_the_active_run_and_keeps_to_one_that_it_was_given(logger):
    one, two = steplog.init(activate=False), steplog.init(activate=False)
    logger.addHandler(RunLogHandler())
    logger.addHandler(RunLogHandler(two, metric="console"))
    with one:
        logger.info("first")
    with two:
        logger.info("second")
    logger.info("to a run that is over, which is no error")
    assert logged(one) == ["INFO train: first"]
    assert logged(two) == ["INFO train: second"]
    assert logged(two, "console") == ["INFO train: first", "INFO train: second"]


@apart
def test_a_handler_is_made_by_a_config_of_logging():
    handler = {"class": "steplog.integrations.logging.RunLogHandler", "level": "WARNING", "metric": "console"}
    logger = {"handlers": ["run"], "propagate": False}
    given = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"run": handler},
        "loggers": {"dicts": logger},
    }
    logging.config.dictConfig(given)
    with steplog.init() as run:
        logging.getLogger("dicts").info("below")
        logging.getLogger("dicts").warning("above")
    logging.getLogger("dicts").handlers.clear()
    assert logged(run, "console") == ["WARNING dicts: above"]


@apart
def test_what_steplog_itself_says_is_left_out():
    handler = RunLogHandler()
    with steplog.init() as run:
        for name, thread in (
            ("steplog", "Main"),
            ("steplog.x", "Main"),
            ("urllib3", "steplog-agent"),
            ("steplogs", "a"),
        ):
            record = logging.makeLogRecord({"name": name, "msg": "said", "levelno": 20, "threadName": thread})
            handler.handle(record)
    assert logged(run) == ["Level None steplogs: said"]


@apart
def test_a_flood_is_held_to_a_rate_counted_and_lets_errors_pass():
    handler, at = RunLogHandler(per_second_max=2), 1_000_000.0
    handler.setFormatter(logging.Formatter("%(message)s"))

    def say(text: str, level: int = logging.INFO, after_s: float = 0.0) -> None:
        handler.handle(logging.makeLogRecord({"msg": text, "levelno": level, "created": at + after_s}))

    with steplog.init() as run:
        burst = int(2 * BURST_S)
        for number in range(burst + 5):
            say(str(number))
        say("failed", logging.ERROR)
        say("later", after_s=0.6)
        say("too soon", after_s=0.7)
        say("earlier, where the clock was set back", after_s=-5)
        say("at last", after_s=100)
    texts = logged(run)
    assert texts[:burst] == [str(number) for number in range(burst)]
    said = "records left out: more than 2 a second"
    assert texts[burst:] == [f"5 {said}", "failed", "later", f"2 {said}", "at last"]


@apart
def test_a_long_record_is_cut_and_a_broken_one_stops_nothing(logger, monkeypatch):
    monkeypatch.setattr("sys.stderr", stderr := io.StringIO())
    handler = RunLogHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    with steplog.init() as run:
        logger.info("x" * 10 * CHARACTERS_MAX)
        logger.info("%d", "no number")
        logger.info("not UTF-8: \udc80")
    cut, lone = logged(run)
    assert cut == "x" * CHARACTERS_MAX + "…"
    assert lone.startswith("not UTF-8: ")
    assert "no number" in stderr.getvalue()


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        RunLogHandler(per_second_max=0)
