"""MLflow's calls about the active run, on steplog: what becomes of metrics, params, tags, status, nesting."""

from __future__ import annotations

import ast
import math
import os
import pickle
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy
import pytest

import steplog
import steplog.compat.mlflow as mlflow
from apart import apart
from steplog.compat.mlflow.flavors import _ADAPTERS
from steplog.compat.unsupported import unsupported


def read(run: Any) -> steplog.ReadOnlyRun:
    return steplog.open(run.info.run_id)


def values(run: steplog.ReadOnlyRun, name: str) -> list[tuple[int, Any]]:
    return [(row["step"], row["value"]) for row in run.history([name], form="long")]


@apart
def test_metrics_params_tags_and_notes_are_those_of_a_run(host):
    with mlflow.start_run(run_name="first", tags={"team": "vision", "bare": ""}, description="a note") as run:
        mlflow.log_metric("loss", 0.5, step=3)
        mlflow.log_metrics({"loss": numpy.float32(0.25), "acc": 1}, step=4)
        mlflow.log_params({"lr": 0.1, "depth": "3", "opt": "sgd", "shape": (2, 3), "flag": "True"})
        mlflow.set_tag("phase", "train")
        mlflow.set_tags({"phase": "eval", "drop": 1})
        mlflow.delete_tag("drop")
    found = read(run)
    assert (found.name, found.status.value, found.notes) == ("first", "COMPLETED", "a note")
    assert values(found, "loss") == [(3, 0.5), (4, 0.25)]
    assert values(found, "acc") == [(4, 1.0)]
    assert found.config == {"lr": 0.1, "depth": 3, "opt": "sgd", "shape": [2, 3], "flag": True}
    assert found.tags == ("bare", "phase=eval", "team=vision")


@apart
def test_an_omitted_step_is_the_metrics_next_one(host):
    with mlflow.start_run() as run:
        for value in (0.5, 0.25):
            mlflow.log_metric("loss", value)
        mlflow.log_metric("loss", 0.125, step=9)
        mlflow.log_metric("loss", math.nan)
    steps = [step for step, _ in values(read(run), "loss")]
    assert steps == [steps[0], steps[0] + 1, 9, 10]


@apart
def test_end_run_ends_a_run_with_the_status_it_is_given(host):
    statuses = {"FINISHED": "COMPLETED", "FAILED": "FAILED", "KILLED": "CRASHED", None: "COMPLETED"}
    for status, found in statuses.items():
        run = mlflow.start_run()
        mlflow.end_run(*([status] if status else []))
        assert mlflow.active_run() is None
        assert mlflow.last_active_run().info.status == (status or "FINISHED")
        assert read(run).status.value == found
    mlflow.start_run()
    with pytest.raises(mlflow.MlflowException, match="FINISHED, FAILED, KILLED"):
        mlflow.end_run("DONE")


@apart
def test_a_block_that_raises_leaves_a_failed_run_with_the_exception(host):
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        mlflow.log_metric("loss", 1 / 0)
    found = read(run)
    assert (found.status.value, mlflow.get_run(run.info.run_id).info.status) == ("FAILED", "FAILED")
    kept = found.history(["steplog/exception"], form="long").rows()[0]["json"]
    assert "ZeroDivisionError" in str(kept)


@apart
def test_a_nested_run_is_in_its_parents_group_and_the_parent_is_active_again(host):
    with mlflow.start_run(run_name="search") as parent:
        with mlflow.start_run(nested=True, run_name="trial") as child:
            mlflow.log_metric("score", 1.0, step=0)
        assert mlflow.active_run().info.run_id == parent.info.run_id
        with pytest.raises(mlflow.MlflowException, match="already active"):
            mlflow.start_run()
        mlflow.log_metric("score", 2.0, step=0)
    assert read(child).group == read(parent).name == "search"
    assert values(read(child), "score") == [(0, 1.0)]
    assert values(read(parent), "score") == [(0, 2.0)]
    assert mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id


@apart
def test_a_thread_has_its_own_active_run(host):
    began: list[str] = []

    def work() -> None:
        assert mlflow.active_run() is None
        mlflow.log_metric("loss", 2.0, step=0)
        began.append(mlflow.active_run().info.run_id)
        mlflow.end_run()

    with mlflow.start_run() as run:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        mlflow.log_metric("loss", 1.0, step=0)
    assert values(read(run), "loss") == [(0, 1.0)]
    assert values(steplog.open(began[0]), "loss") == [(0, 2.0)]


@apart
def test_a_run_goes_on_by_its_id_and_by_the_environment(host, monkeypatch):
    with mlflow.start_run() as run:
        mlflow.log_params({"lr": 0.1})
    with mlflow.start_run(run_id=run.info.run_id) as again:
        mlflow.log_metric("loss", 1.0, step=7)
        assert mlflow.get_run(again.info.run_id).info.status == "RUNNING"
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    with mlflow.start_run():
        mlflow.log_metric("loss", 2.0, step=8)
        assert "MLFLOW_RUN_ID" not in os.environ
    assert values(read(run), "loss") == [(7, 1.0), (8, 2.0)]
    assert read(run).status.value == "COMPLETED"
    with pytest.raises(mlflow.MlflowException) as error:
        mlflow.start_run(run_id="0" * 32)
    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.slow
def test_a_run_of_another_process_goes_on_with_its_params_and_tags(host):
    begin = "import steplog.compat.mlflow as mlflow\n"
    first = host.run(
        begin
        + "with mlflow.start_run(tags={'team': 'a'}) as run:\n    mlflow.log_param('lr', 0.1)\n"
        + "    mlflow.log_metric('old', 1, step=0)\nprint(run.info.run_id)"
    )
    second = host.run(
        begin
        + "import sys\nwith mlflow.start_run(run_id=sys.argv[1]):\n    mlflow.set_tag('late', 1)\n"
        + "    mlflow.log_metric('new', 2, step=0)\n"
        + "data = mlflow.get_run(sys.argv[1]).data\n"
        + "print(data.params, data.tags['team'], data.tags['late'], data.metrics)",
        first.out.strip(),
    )
    assert second.out == "{'lr': '0.1'} a 1 {'old': 1.0, 'new': 2.0}\n", second.errors


@apart
def test_the_active_run_of_mlflow_is_steplogs_and_the_other_way_round(host):
    with mlflow.start_run() as run:
        steplog.log("mine", 1.0, step=0)
    assert values(read(run), "mine") == [(0, 1.0)]
    with steplog.init(project=host.project) as mine:
        mlflow.log_metric("theirs", 2.0, step=0)
        mlflow.log_param("lr", 0.1)
        assert mlflow.active_run() is None
    assert values(steplog.open(mine), "theirs") == [(0, 2.0)]
    assert mine.config == {"lr": 0.1}


@apart
def test_the_project_is_the_experiment(host, monkeypatch):
    mlflow.set_experiment(f"{host.project} of mine")
    with mlflow.start_run() as run:
        pass
    assert read(run).project == f"{host.project}-of-mine"
    assert run.info.experiment_id == mlflow.get_experiment_by_name(f"{host.project} of mine").experiment_id
    made = mlflow.create_experiment(f"{host.project} other")
    with mlflow.start_run(experiment_id=made) as run:
        pass
    assert read(run).project == f"{host.project}-other" == made
    with pytest.raises(mlflow.MlflowException) as error:
        mlflow.create_experiment(f"{host.project} other")
    assert error.value.error_code == "RESOURCE_ALREADY_EXISTS"
    assert mlflow.get_experiment_by_name("nowhere") is None
    assert {f"{host.project}-of-mine", "0"} <= {each.experiment_id for each in mlflow.search_experiments()}


@apart
def test_a_disabled_run_is_logged_ended_and_goes_on_as_others(host, monkeypatch):
    monkeypatch.setenv("STEPLOG_MODE", "disabled")
    with mlflow.start_run(run_name="off", tags={"a": 1}) as run, mlflow.start_run(nested=True):
        mlflow.log_metrics({"loss": 1.0}, step=3)
        mlflow.MlflowClient().log_metric(run.info.run_id, "loss", 2.0, step=4)
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_param("lr", 0.1)
    data = mlflow.get_run(run.info.run_id).data
    assert (data.metrics, data.params, data.tags["a"]) == ({"loss": 2.0}, {"lr": "0.1"}, "1")
    (last,) = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert (last.step, last.value) == (4, 2.0)
    assert steplog.journals() == []


@apart
def test_steplogs_project_comes_before_mlflows_environment(host, monkeypatch):
    monkeypatch.setenv("STEPLOG_PROJECT", f"{host.project}-ours")
    with mlflow.start_run() as run:
        pass
    assert read(run).project == f"{host.project}-ours"


@apart
def test_what_is_no_number_is_refused_as_mlflow_refuses_it(host):
    with mlflow.start_run() as run:
        for value in ("abc", None, [1, 2]):
            with pytest.raises(mlflow.MlflowException) as error:
                mlflow.log_metrics({"good": 1.0, "bad": value}, step=0)
            assert error.value.error_code == "INVALID_PARAMETER_VALUE"
    assert list(read(run).summary) == []


@apart
def test_what_steplog_cannot_log_raises_mlflows_exception(host):
    with mlflow.start_run():
        for name, step in (("x", 2**70), ("x", "seven"), ("", 1), (None, 1)):
            with pytest.raises(mlflow.MlflowException) as error:
                mlflow.log_metric(name, 1.0, step=step)
            assert error.value.error_code == "INVALID_PARAMETER_VALUE"


@apart
def test_threads_log_to_one_run_at_once_by_its_id(host):
    with mlflow.start_run() as run:

        def work(number: int) -> None:
            for step in range(200):
                mlflow.log_metric(f"m{number}", step, step=step, run_id=run.info.run_id)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        data = mlflow.get_run(run.info.run_id).data
        assert data.metrics == {f"m{number}": 199.0 for number in range(4)}
    for number in range(4):
        assert values(read(run), f"m{number}") == [(step, float(step)) for step in range(200)]


@apart
def test_a_forked_child_logs_to_the_run_of_its_parent(host):
    with mlflow.start_run() as run:
        mlflow.log_metric("parent", 1.0, step=0)
        pid = os.fork()
        if pid == 0:
            mlflow.log_metric("child", 2.0, step=0)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        copied = pickle.loads(pickle.dumps(run))
        assert (copied.info.run_id, type(copied)) == (run.info.run_id, mlflow.entities.Run)
    assert (values(read(run), "parent"), values(read(run), "child")) == ([(0, 1.0)], [(0, 2.0)])


@apart
def test_texts_dicts_and_tables_are_values_of_the_run(host):
    with mlflow.start_run() as run:
        mlflow.log_text("hello", "notes.txt")
        mlflow.log_dict({"a": [1, math.pi]}, "config.json")
        mlflow.log_table({"q": ["x", "y"], "n": [1, 2]}, "eval.json")
    assert read(run).summary == {
        "notes.txt": "hello",
        "config.json": {"a": [1, math.pi]},
        "eval.json": {"_type": "table", "columns": ["q", "n"], "data": [["x", 1], ["y", 2]]},
    }


@apart
def test_what_steplog_has_no_counterpart_of_is_counted_and_stops_nothing(host):
    with mlflow.start_run() as run:
        mlflow.autolog()
        mlflow.sklearn.autolog()
        mlflow.sklearn.autolog(disable=True)
        info = mlflow.pytorch.log_model(object(), name="net", registered_model_name="net")
        mlflow.register_model(info.model_uri, "net")
        mlflow.log_input(mlflow.data.from_numpy(object()), context="train")
        assert mlflow.trace(len)("abc") == 3
        with mlflow.start_span("step") as span:
            span.set_attribute("a", 1)
        mlflow.set_tag("long", "x" * 200)
        counts = unsupported.counts()
    assert set(counts) == {
        "mlflow.autolog()",
        "mlflow.sklearn.autolog()",
        "mlflow.pytorch.log_model()",
        "mlflow.register_model()",
        "mlflow.log_input()",
        "mlflow.trace()",
        "mlflow.start_span()",
        "mlflow.set_tag() of more",
    }
    assert read(run).summary["compat/unsupported"] == counts


def test_what_is_not_kept_cannot_be_read_and_says_so():
    for call in (
        lambda: mlflow.sklearn.load_model("models:/net/1"),
        lambda: mlflow.artifacts.download_artifacts("models:/net/1"),
        lambda: mlflow.load_table("eval.json"),
        lambda: mlflow.MlflowClient().get_model_version("net", "1"),
    ):
        with pytest.raises(mlflow.MlflowException) as error:
            call()
        assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"
        assert "steplog" in str(error.value)
    assert mlflow.search_model_versions() == []
    assert hasattr(mlflow.keras, "MlflowCallback")
    for refused in (mlflow.keras.MlflowCallback, mlflow.sklearn.save_model, mlflow.evaluate):
        with pytest.raises(mlflow.MlflowException) as error:
            refused()
        assert error.value.error_code == "NOT_IMPLEMENTED"


@pytest.mark.parametrize("name", ["genai_of_tomorrow", "evaluate_all"])
def test_what_mlflow_has_and_we_know_nothing_of_is_no_attribute(name):
    assert not hasattr(mlflow, name)
    assert not hasattr(mlflow.sklearn, name)
    assert not hasattr(mlflow.MlflowClient(), name)


def test_all_names_of_the_tables_are_there():
    missing = [name for name in dir(mlflow) if not hasattr(mlflow, name)]
    assert missing == []


@apart
def test_a_run_that_is_left_open_is_ended_by_the_program(host):
    done = host.run(
        "import steplog.compat.mlflow as mlflow\nrun = mlflow.start_run()\nmlflow.log_metric('x', 1, step=0)\n"
        "print(run.info.run_id, flush=True)\nraise ValueError('boom')"
    )
    found = steplog.open(done.out.strip())
    assert (done.code, found.status.value, values(found, "x")) == (1, "CRASHED", [(0, 1.0)])


@pytest.mark.slow
def test_offline_a_run_has_an_id_a_name_and_its_values(host):
    done = host.run(
        """
        import steplog.compat.mlflow as mlflow
        with mlflow.start_run() as run:
            mlflow.log_metric("loss", 0.5, step=2)
        client = mlflow.MlflowClient()
        assert run.info.run_name.count("-") == 2
        print([(each.step, each.value) for each in client.get_metric_history(run.info.run_id, "loss")])
        print([each.info.run_id == run.info.run_id for each in mlflow.search_runs(output_format="list")])
        """,
        STEPLOG_MODE="offline",
    )
    assert done.out == "[(2, 0.5)]\n[True]\n", done.errors


@pytest.mark.slow
def test_a_tracking_uri_is_said_not_to_be_used(host):
    done = host.run(
        "import steplog.compat.mlflow as mlflow\nwith mlflow.start_run():\n    print(mlflow.get_tracking_uri())",
        STEPLOG_QUIET="",
        MLFLOW_TRACKING_URI="http://127.0.0.1:9",
    )
    assert done.out == "http://127.0.0.1:9\n"
    assert done.errors.count("is not used, its calls log to steplog: http://127.0.0.1:9") == 1


def test_importing_the_modules_loads_nothing_that_a_run_needs_and_prints_nothing():
    program = """
        import sys
        import steplog.compat.mlflow, steplog.compat.trackio
        from steplog.compat.mlflow import entities, exceptions, pytorch, sklearn, utils
        print(sorted({"requests", "threading", "steplog.run", "steplog.client"} & set(sys.modules) - before))
    """
    lines = ["import sys, threading", "before = set(sys.modules)", *textwrap.dedent(program).splitlines()]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_adapters_that_autolog_names_are_there():
    for text in _ADAPTERS.values():
        module, name = re.match(r"steplog\.integrations\.(\w+)\.(\w+)\(\)", text).groups()
        tree = ast.parse((Path(steplog.__file__).parent / "integrations" / f"{module}.py").read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}, text
