"""Evaluations by Inspect AI: a run a task, whose status says how it ended, and nothing before it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import steplog
from apart import apart
from integrations.kept_runs import fields, keep_offline, opened, points, values

pytest.importorskip("inspect_ai", reason="needs inspect-ai: pip install 'steplog[frameworks]'")

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, includes, mean, scorer
from inspect_ai.solver import generate, solver

pytestmark = [  # of Inspect's own: an option of tenacity's, and numbers where its types say bool
    pytest.mark.filterwarnings("default:The 'initial' parameter:DeprecationWarning"),
    pytest.mark.filterwarnings("default:Pydantic serializer warnings:UserWarning"),
]
SRC = Path(steplog.__file__).parent.parent
STANDARD = {"display": "none", "max_samples": 1, "log_realtime": False}


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    keep_offline(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)


def model(count: int = 8):
    """Says yes, and what it has used."""
    said = [ModelOutput.from_content("mockllm/model", "yes") for _ in range(count)]
    for output in said:
        output.usage = ModelUsage(input_tokens=3, output_tokens=2, total_tokens=5)
    return get_model("mockllm/model", custom_outputs=said, memoize=False)


def samples(*targets: str) -> list[Sample]:
    return [Sample(input="Is it?", target=target, id=f"s{number}") for number, target in enumerate(targets)]


@solver
def broken():
    async def solve(state, generate):
        raise KeyError("boom")

    return solve


@scorer(metrics={"length": [mean()], "grade": []})
def parts():
    async def score(state, target):
        return Score(value={"length": 3, "grade": "no such"})

    return score


def register(*given, **init):
    from steplog.integrations.inspect import register

    register(*given, **init)


@apart
def test_a_task_is_a_run_of_its_samples_calls_and_results():
    register(project="evals", tags=["nightly"])
    task = Task(name="yes or no", dataset=samples("yes", "no"), solver=generate(), scorer=[includes(), parts()])
    (log,) = evaluate(task, model=model(), **STANDARD)
    assert log.status == "success"
    read = opened("evals", "yes or no")
    assert fields("evals", "status", "group", "job_type", "tag") == {
        "yes or no": ("COMPLETED", log.eval.run_id, "eval", ["nightly"])
    }
    assert points(read, "mean/includes") == [(0, 1.0), (1, 0.5)]
    assert values(read, "mean/parts/length") == [3.0, 3.0]
    assert values(read, "includes/accuracy") == [0.5]
    first, second = values(read, "sample")
    assert first["scores"] == {"includes": "C", "parts": {"length": 3, "grade": "no such"}}
    assert (first["id"], first["epoch"], first["tokens"], first["error"]) == ("s0", 1, 5, None)
    assert second["scores"]["includes"] == "I"
    assert points(read, "tokens/mockllm/model/total") == [(0, 5), (1, 10)]
    assert "mean/parts/grade" not in read.summary
    assert (read.config["task"], read.config["model"], read.config["dataset"]["samples"]) == (
        "yes or no",
        "mockllm/model",
        2,
    )
    assert "Is it?" not in str([read.config, dict(read.summary)])


@apart
def test_tasks_of_one_eval_have_runs_in_one_group_with_the_status_that_each_has():
    register(project="evals")
    tasks = [
        Task(name="good", dataset=samples("yes"), solver=generate(), scorer=includes()),
        Task(name="bad", dataset=samples("yes"), solver=broken(), scorer=includes()),
        Task(name="some", dataset=samples("yes", "yes"), solver=broken(), fail_on_error=False, scorer=includes()),
        Task(name="many", dataset=samples("yes", "yes"), solver=broken(), fail_on_error=0.5, continue_on_fail=True),
    ]
    logs = evaluate(tasks, model=model(), **STANDARD)
    assert [log.status for log in logs] == ["success", "error", "success", "error"]
    found = fields("evals", "status", "group")
    assert {name: status for name, (status, _) in found.items()} == {
        "good": "COMPLETED",
        "bad": "CRASHED",
        "some": "COMPLETED",
        "many": "FAILED",
    }
    assert {group for _, group in found.values()} == {logs[0].eval.run_id}
    bad = opened("evals", "bad")
    assert "boom" in values(bad, "steplog/exception")[0]["message"]
    assert 'raise KeyError("boom")' in values(bad, "error")[0]["traceback"]
    assert [row["error"] for row in values(opened("evals", "some"), "sample")] == ["KeyError('boom')"] * 2


@apart
def test_an_active_run_has_all_tasks_each_under_its_name_and_goes_on():
    register()
    task = {"dataset": samples("yes"), "solver": generate(), "scorer": includes()}
    with steplog.init(project="train", name="mine"):
        evaluate([Task(name="one", **task), Task(name="two", **task)], model=model(), **STANDARD)
        steplog.log("loss", 0.5)
    read = opened("train", "mine")
    assert fields("train") == {"mine": ("COMPLETED",)}
    assert values(read, "one/includes/accuracy") == values(read, "two/includes/accuracy") == [1.0]
    assert read.config["two"]["task"] == "two"
    assert values(read, "loss") == [0.5]


@apart
def test_what_may_hold_a_key_is_not_in_the_config():
    register(project="evals")
    task = Task(name="yes", dataset=samples("yes"), solver=broken(), scorer=includes())
    given = {"extra_headers": {"Authorization": "Bearer secret"}, "temperature": 0.5, "model_args": {"token": "secret"}}
    evaluate(task, model="mockllm/model", model_base_url="http://127.0.0.1:9", **STANDARD, **given)
    config = opened("evals", "yes").config
    assert config["model_generate_config"] == {"temperature": 0.5}
    assert "secret" not in str(config)


@apart
def test_tasks_of_one_name_in_one_run_are_told_apart():
    register()
    task = {"name": "yes", "dataset": samples("yes"), "solver": generate(), "scorer": includes()}
    with steplog.init(project="train", name="mine"):
        evaluate([Task(**task), Task(**task)], model=model(), **STANDARD)
    read = opened("train", "mine")
    for name in ("yes/mockllm/model", "yes/mockllm/model-2"):
        assert points(read, f"{name}/mean/includes") == [(0, 1.0)]


PROGRAM = """
import sys
from importlib.metadata import entry_points
from inspect_ai.hooks._hooks import get_all_hooks
from inspect_ai._util.entrypoints import ensure_entry_points
ensure_entry_points()
print("steplog.integrations.inspect" in sys.modules, [type(hook).__name__ for hook in get_all_hooks()])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "hooks"), [("", []), ("0", []), ("1", ["SteplogHooks"])])
def test_the_entry_point_registers_hooks_only_where_it_is_asked_to(tmp_path, asked, hooks):
    info = tmp_path / "entry_of_steplog-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: entry-of-steplog\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[inspect_ai]\nsteplog = steplog.integrations.inspect\n")
    variables = {"PYTHONPATH": f"{SRC}{os.pathsep}{tmp_path}", "STEPLOG_INSPECT": asked}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"True {hooks}"
