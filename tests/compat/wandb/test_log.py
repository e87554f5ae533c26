"""``wandb.log``: where rows go, what becomes of values, and which calls raise."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
from typing import Any

import pytest

import steplog
import steplog.compat.wandb as wandb
from apart import apart
from compat.wandb.logged import points, rows
from steplog.compat.unsupported import unsupported
from steplog.compat.wandb.step_counter import StepCounter


@pytest.mark.parametrize(
    ("step", "commit", "at", "then"),
    [
        (None, None, 5, 6),
        (None, True, 5, 6),
        (None, False, 5, 5),
        (5, None, 5, 5),
        (9, None, 9, 9),
        (9, False, 9, 9),
        (9, True, 9, 10),
        (3, None, 3, 5),
        (3, True, 3, 5),
    ],
)
def test_the_counter_moves_as_wandbs(step, commit, at, then):
    counter = StepCounter(5)
    assert (counter.place(step, commit), counter.next) == (at, then)
    if commit is None and step is not None and step >= 5:
        counter = StepCounter(5)
        counter.given = step  # as the short way has it
        assert (counter.next, counter.place(None, None), counter.next) == (then, step, step + 1)


@apart
@pytest.mark.parametrize("most", [2**62 - 1, 2**62, 2**63 - 1])
def test_the_largest_steps_do_not_end_the_counter(most):
    run = wandb.init()
    for step in (most, None, None):
        wandb.log({"loss": 1.0}, step=step)
        wandb.log({"loss": 1.0, "parts": {"a": 1}}, step=step)
    found = [step for step, _ in points(run, "loss")]
    assert len(found) == 6
    assert found[:2] == [most, most]


@apart
def test_rows_without_a_step_are_numbered_from_0():
    run = wandb.init()
    for value in (0.5, 0.25):
        wandb.log({"loss": value, "acc": 1 - value})
    assert rows(run) == {0: {"loss": 0.5, "acc": 0.5}, 1: {"loss": 0.25, "acc": 0.75}}
    assert run.step == 2


@apart
def test_what_is_not_committed_joins_the_next_row():
    run = wandb.init()
    wandb.log({"a": 1}, commit=False)
    wandb.log({"b": 2})
    wandb.log({"c": 3})
    assert rows(run) == {0: {"a": 1, "b": 2}, 1: {"c": 3}}


@apart
def test_a_step_moves_the_counter_and_the_next_row_joins_it():
    run = wandb.init()
    wandb.log({"a": 1}, step=7)
    wandb.log({"b": 2})
    wandb.log({"c": 3})
    assert rows(run) == {7: {"a": 1, "b": 2}, 8: {"c": 3}}


@apart
def test_a_step_below_the_counter_is_kept_and_moves_nothing():
    run = wandb.init()
    wandb.log({"a": 1}, step=7)
    wandb.log({"a": 2}, step=3)
    assert (rows(run), run.step) == ({3: {"a": 2}, 7: {"a": 1}}, 7)


@apart
def test_a_step_is_whatever_is_a_whole_number():
    numpy = pytest.importorskip("numpy")
    run = wandb.init()
    for step in (3.0, numpy.float64(4), numpy.int64(5), numpy.array([6])):
        wandb.log({"a": float(step if step != 6 else 6)}, step=step)
    assert list(rows(run)) == [3, 4, 5, 6]
    with pytest.raises(ValueError, match="whole"):
        wandb.log({"a": 1}, step=1.5)
    with pytest.raises(TypeError, match="integer"):
        wandb.log({"a": 1}, step="one")


@apart
def test_an_empty_row_moves_the_counter():
    run = wandb.init()
    wandb.log({})
    wandb.log({"a": 1})
    assert rows(run) == {1: {"a": 1}}


@apart
def test_keys_in_keys_are_joined_by_dots():
    run = wandb.init()
    wandb.log({"a": {"b": 1, "c": {"d": 2}}, "e": {}})
    assert rows(run)[0] == {"a.b": 1, "a.c.d": 2, "e": {}}
    assert wandb.summary["a"]["c"]["d"] == 2


@apart
def test_keys_that_are_no_text_become_text():
    run = wandb.init()
    wandb.log({1: 10, "layers": {0: 1.5}})
    assert rows(run)[0] == {"1": 10, "layers.0": 1.5}


@apart
def test_values_are_kept_as_they_are():
    run = wandb.init()
    wandb.log({"i": 3, "f": 0.5, "b": True, "s": "text", "none": None, "list": [1, 2], "big": 2**70})
    wandb.log({"nan": math.nan, "inf": -math.inf})
    assert rows(run)[0] == {"i": 3, "f": 0.5, "b": True, "s": "text", "list": [1, 2], "big": 2**70}
    assert points(run, "none") == [(0, None)]
    assert math.isnan(points(run, "nan")[0][1])
    assert points(run, "inf") == [(1, -math.inf)]


@apart
def test_numbers_of_numpy_are_numbers():
    numpy = pytest.importorskip("numpy")
    run = wandb.init()
    wandb.log({"f": numpy.float32(0.25), "i": numpy.int64(3), "one": numpy.array([0.5]), "b": numpy.bool_(True)})
    assert rows(run)[0] == {"f": 0.25, "i": 3, "one": 0.5, "b": True}
    assert wandb.summary["one"] == 0.5


@apart
def test_an_array_of_more_than_32_elements_is_a_histogram_of_what_is_finite():
    numpy = pytest.importorskip("numpy")
    run = wandb.init()
    wandb.log(
        {"few": numpy.arange(32), "many": numpy.array([*range(33), numpy.nan, numpy.inf]), "a": {"b": numpy.ones(40)}}
    )
    wandb.log({"nan": numpy.full(40, numpy.nan), "text": numpy.full(40, "x")})
    found = rows(run)
    assert found[0]["few"] == list(range(32))
    assert (found[0]["many"]["_type"], sum(found[0]["many"]["values"]), len(found[0]["many"]["bins"])) == (
        "histogram",
        33,
        33,
    )
    assert sum(found[0]["a.b"]["values"]) == 40
    assert (found[1]["nan"], found[1]["text"]) == (["NaN"] * 40, ["x"] * 40)


@apart
def test_a_value_keeps_no_graph_alive():
    """The last values are remembered for the summary; a tensor among them would keep what it was computed from."""

    class Scalar:
        def __init__(self) -> None:
            self.shape, self.dtype, self.graph = (), float, object()

        def item(self) -> float:
            return 0.5

    run = wandb.init()
    wandb.log({"loss": Scalar(), "what": [Scalar()]})
    assert run._rows.last == {"loss": 0.5}


@apart
def test_a_name_that_is_too_long_is_cut_and_counted():
    run = wandb.init()
    wandb.log({"x" * 300: 1, "ok": 2})
    assert (rows(run), points(run, "x" * 256)) == ({0: {"x" * 256: 1, "ok": 2}}, [(0, 1)])
    assert run.step == 1
    assert list(unsupported.counts()) == ["wandb.log() of a name over 256 bytes"]


@apart
def test_a_name_that_is_empty_is_left_out_and_counted():
    run = wandb.init()
    wandb.log({"": 1, "ok": 2})
    assert rows(run) == {0: {"ok": 2}}
    assert list(unsupported.counts()) == ['wandb.log() of the name ""']


@apart
def test_what_is_no_dict_raises_as_wandb_does():
    wandb.init()
    for data in (5, "loss", [("a", 1)], None):
        with pytest.raises(TypeError, match="passed a dictionary"):
            wandb.log(data)


@apart
def test_any_mapping_is_a_row():
    class Mine(dict[str, Any]):
        pass

    run = wandb.init()
    wandb.log(Mine(a=1))
    assert rows(run) == {0: {"a": 1}}


@apart
def test_a_dataclass_in_a_row_is_an_object():
    @dataclasses.dataclass
    class Batch:
        size: int

    run = wandb.init()
    wandb.log({"batch": Batch(32)})
    assert rows(run)[0] == {"batch": {"size": 32}}


def odd_values() -> dict[str, Any]:
    class Raises:
        def __getattribute__(self, name: str) -> Any:
            if name in ("__class__", "__dict__"):
                return object.__getattribute__(self, name)
            raise RuntimeError(name)

        def __repr__(self) -> str:
            raise RuntimeError

        __len__ = __iter__ = __bool__ = __repr__

    circular: dict[str, Any] = {"a": 1}
    circular["self"] = circular
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"x": deep}
    ring: list[Any] = []
    ring.append(ring)
    found = [Raises(), [Raises()], {"r": Raises()}, circular, deep, ring, "x" * 3_000_000, "\ud800", {"\ud800": 1}]
    found += [b"\xff", object, print, ..., 10**400, {(1, 2): 3}, {1}, iter([1]), float, Exception("x"), 1j]
    return {f"v{index}": value for index, value in enumerate(found)}


@apart
def test_no_value_raises_and_the_others_of_its_row_are_kept():
    run = wandb.init(config={"a": 1})
    values = odd_values()
    for step, (name, value) in enumerate(values.items()):
        wandb.log({"before": step, name: value, "after": step})
        wandb.summary[name] = value
    assert [points(run, name) for name in ("before", "after")] == [[(step, step) for step in range(len(values))]] * 2
    run.finish()


@apart
def test_log_before_init_raises_wandbs_error():
    with pytest.raises(wandb.Error, match=r"You must call wandb.init\(\) before wandb.log\(\)"):
        wandb.log({"a": 1})
    wandb.init()
    wandb.finish()
    with pytest.raises(wandb.errors.Error, match=r"before wandb\.log"):
        wandb.log({"a": 1})


@apart
def test_log_after_the_end_of_its_run_stops_nothing_and_is_said_once(caplog):
    run = wandb.init(name="over")
    log = wandb.log
    run.finish()
    log({"a": 1})
    log({"a": 1}, step=3)
    run.log({"a": {"b": 2}})
    assert caplog.text.count("run over is over") == 1


@apart
def test_a_row_is_in_the_journal_before_it_is_committed():
    """So that a kill loses none: wandb holds a row back until the next begins."""
    run = wandb.init()
    run.log({"a": 1}, commit=False)
    assert rows(run) == {0: {"a": 1}}


@apart
def test_threads_that_log_at_once_get_steps_of_their_own():
    run = wandb.init()
    threads = [
        threading.Thread(target=lambda: [run.log({"n": 1, "t": {"u": 2}}) for _ in range(250)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [step for step, _ in points(run, "n")] == list(range(1000))
    assert run.step == 1000


@apart
def test_a_forked_child_logs_on_though_another_thread_held_the_lock():
    run = wandb.init()
    run.log({"a": 0})
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with run._rows.lock:
            held.set()
            done.wait()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    if (pid := os.fork()) == 0:
        run.log({"b": 1})
        wandb.log({"b": {"c": 2}})
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    done.set()
    assert rows(run) == {0: {"a": 0}, 1: {"b": 1}, 2: {"b.c": 2}}


@apart
def test_shared_rows_have_no_steps_of_one_process():
    run = wandb.init(mode="shared", id="both")
    wandb.log({"a": 1}, step=70)
    wandb.log({"a": 2})
    assert points(run, "a") == [(0, 1), (1, 2)]


@apart
def test_strict_values_raise_as_steplogs_own(monkeypatch):
    monkeypatch.setenv("STEPLOG_STRICT", "1")
    wandb.init()
    with pytest.raises(TypeError, match="cannot be logged"):
        wandb.log({"a": object()})


def test_a_run_of_steplogs_own_logs_beside_it():
    @apart
    def beside() -> None:
        run = wandb.init()
        wandb.log({"loss": 1})
        steplog.log("extra", 2, step=0)
        assert rows(run) == {0: {"loss": 1, "extra": 2}}

    beside()
