"""``MlflowClient`` and what is read back: runs by id, histories, searches."""

from __future__ import annotations

import math
import time
from importlib.util import find_spec

import pytest

import steplog
import steplog.compat.mlflow as mlflow
from apart import apart
from steplog.compat.mlflow.entities import Metric, Param, RunStatus, RunTag
from steplog.compat.mlflow.search_filter import clauses_of, in_order, is_met


@apart
def test_a_batch_is_logged_to_a_run_that_is_not_active(host):
    client = mlflow.MlflowClient()
    run_id = client.create_run(host.project, tags={"mlflow.runName": "batch", "a": 1}).info.run_id
    assert mlflow.active_run() is None
    now = time.time_ns() // 1_000_000
    metrics = [Metric("a", 1.0, now, 0), Metric("b", 2.0, now, 0), Metric("a", 3.0, now, 0), Metric("a", 4.0, now, 5)]
    client.log_batch(run_id, metrics, [Param("lr", "1e-3"), Param("opt", "sgd")], [RunTag("phase", "train")])
    client.log_metric(run_id, "c", 7, step=2)
    client.log_param(run_id, "depth", 3)
    client.set_terminated(run_id)
    read = steplog.open(run_id)
    assert (read.name, read.status.value, read.tags) == ("batch", "COMPLETED", ("a=1", "phase=train"))
    assert read.config == {"lr": 0.001, "opt": "sgd", "depth": 3}
    assert [(each.step, each.value) for each in client.get_metric_history(run_id, "a")] == [(0, 1), (0, 3), (5, 4)]
    assert client.get_metric_history(run_id, "none") == []


@apart
def test_a_run_that_is_over_takes_values_tags_and_params_by_its_id(host):
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 1.0, step=1)
    client = mlflow.MlflowClient()
    client.log_metric(run.info.run_id, "loss", 2.0, step=2)
    client.set_tag(run.info.run_id, "late", "yes")
    client.log_param(run.info.run_id, "late", 1)
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 2.0}
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 2
    mlflow.flush_async_logging()
    read = steplog.open(run.info.run_id)
    assert (read.status.value, read.tags, read.config) == ("COMPLETED", ("late=yes",), {"late": 1})


@apart
def test_a_client_renames_ends_deletes_and_restores_runs(host):
    client = mlflow.MlflowClient()
    run = mlflow.start_run()
    client.update_run(run.info.run_id, status="FAILED", name="renamed")
    assert mlflow.active_run() is None
    read = steplog.open(run.info.run_id)
    assert (read.name, read.status.value) == ("renamed", "FAILED")
    client.delete_run(run.info.run_id)
    assert steplog.runs(host.project).rows() == []
    client.restore_run(run.info.run_id)
    assert steplog.open(run.info.run_id).name == "renamed"


@pytest.mark.slow
def test_a_client_ends_a_run_of_another_process_with_the_status_it_says(host):
    begin = "import sys\nimport steplog.compat.mlflow as mlflow\n"
    first = host.run(
        begin + "with mlflow.start_run() as run:\n    mlflow.log_metric('old', 1)\nprint(run.info.run_id)",
    )
    second = host.run(
        begin
        + "client = mlflow.MlflowClient()\nclient.log_metric(sys.argv[1], 'late', 7, step=2)\n"
        + "print(client.get_run(sys.argv[1]).data.metrics)\nclient.set_terminated(sys.argv[1], 'FAILED')\n"
        + "print(client.get_run(sys.argv[1]).info.status)",
        first.out.strip(),
    )
    assert second.out == "{'old': 1.0, 'late': 7.0}\nFAILED\n", second.errors
    third = host.run(begin + "print(mlflow.get_run(sys.argv[1]).info.status)", first.out.strip())
    assert third.out == "FAILED\n", third.errors


PROGRAM = """
import math
import steplog.compat.mlflow as mlflow
for name, acc, opt in (("low", 0.25, "sgd"), ("high", 0.75, "adam"), ("none", None, "adamw")):
    with mlflow.start_run(run_name=name, tags={"team": f"{name}-team"}):
        mlflow.log_params({"opt": opt, "lr": 0.5})
        if acc is not None:
            mlflow.log_metrics({"acc": acc, "odd name": math.inf}, step=1)
        else:
            with mlflow.start_run(run_name="child", nested=True):
                mlflow.set_tag("mlflow.note.content", "a note")
"""


def found(text: str, order_by: list[str] | None = None) -> list[str]:
    """The names of the runs of the experiment that a filter is true of."""
    runs = mlflow.search_runs(filter_string=text, order_by=order_by, output_format="list")
    return [run.info.run_name for run in runs]


@pytest.mark.slow
@apart
def test_runs_of_other_processes_are_searched(host):
    done = host.run(PROGRAM)
    assert done.code == 0, done.errors
    cases = {
        "": {"low", "high", "none", "child"},
        "metrics.acc > 0.5": {"high"},
        "metrics.`odd name` > 1e9 and params.opt = 'sgd'": {"low"},
        "params.lr = '0.5'": {"low", "high", "none"},
        "params.opt ILIKE 'ADAM%'": {"high", "none"},
        "tags.team != 'low-team'": {"high", "none"},
        "attributes.status = 'FINISHED' and run_name IN ('low', 'high')": {"low", "high"},
        "params.opt IS NULL": {"child"},
    }
    assert {text: set(found(text)) for text in cases} == cases
    assert found("", ["metrics.acc DESC", "attributes.start_time ASC"]) == ["high", "low", "none", "child"]
    (parent,) = mlflow.search_runs(filter_string="run_name = 'none'", output_format="list")
    (child,) = mlflow.search_runs(
        filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'", output_format="list"
    )
    assert (child.info.run_name, child.data.tags["mlflow.note.content"]) == ("child", "a note")
    assert mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id
    high = mlflow.get_run(mlflow.search_runs(filter_string="metrics.acc > 0.5", output_format="list")[0].info.run_id)
    assert (high.data.metrics, high.data.params) == ({"acc": 0.75, "odd name": math.inf}, {"lr": "0.5", "opt": "adam"})
    assert high.info.end_time >= high.info.start_time > 0


@apart
def test_a_search_finds_what_this_process_has_just_logged(host):
    with mlflow.start_run(run_name="open"):
        mlflow.log_metric("acc", 0.5, step=0)
        assert found("metrics.acc = 0.5 and status = 'RUNNING'") == ["open"]
    assert found("metrics.acc = 0.5 and status = 'FINISHED'") == ["open"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pandas") is None, reason="needs pandas: pip install 'steplog[readers]'")
@apart
def test_runs_are_a_data_frame_as_mlflow_has_it(host):
    import pandas

    with mlflow.start_run(run_name="a"):
        mlflow.log_metric("acc", 0.5, step=0)
    with mlflow.start_run(run_name="b"):
        mlflow.log_param("lr", 0.1)
    frame = mlflow.search_runs(order_by=["run_name ASC"])
    assert list(frame.columns[:6]) == ["run_id", "experiment_id", "status", "artifact_uri", "start_time", "end_time"]
    assert frame["metrics.acc"].fillna(-1).tolist() == [0.5, -1]
    assert frame["params.lr"].tolist()[1] == "0.1"
    assert frame["tags.mlflow.runName"].tolist() == ["a", "b"]
    assert isinstance(frame["start_time"].dtype, pandas.DatetimeTZDtype)
    assert mlflow.search_runs(experiment_names=["nowhere"]).empty


@pytest.mark.parametrize(
    ("text", "value", "met"),
    [
        ("metrics.a >= 1", 1.0, True),
        ("metrics.a != 1", 1, False),
        ("metric.a < .5", 0.4, True),
        ("metrics.a = 1", math.nan, False),
        ("metrics.a > 1", None, False),
        ("params.a = 'it''s'", "it's", True),
        ('param."a b" = "x"', "x", True),
        ("tags.`a/b` LIKE '%x_z'", "wxyz", True),
        ("tags.a LIKE 'X%'", "xyz", False),
        ("tags.a NOT LIKE 'X%'", "xyz", True),
        ("tags.a NOT IN ('x', 'y')", "z", True),
        ("tags.a is not null", "", True),
        ("tags.a IS NULL", None, True),
        ("start_time > 1700000000000", 1, False),
        ("attributes.created > 1700000000000", 1800000000000, True),
    ],
)
def test_a_filter_is_met_as_mlflow_means_it(text, value, met):
    (clause,) = clauses_of(text)
    assert is_met(clause, value) is met


@pytest.mark.parametrize(
    "text",
    [
        "metrics.a",
        "metrics.a >",
        "metrics.a > 'x'",
        "params.a = 1",
        "a.b = 'c'",
        "params.a = 'x' OR params.b = 'y'",
        "AND",
    ],
)
def test_a_filter_that_cannot_be_read_is_refused(text):
    with pytest.raises(mlflow.MlflowException) as error:
        clauses_of(text)
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"


def test_what_is_missing_comes_last_in_any_order():
    items = [{"a": 2.0}, {}, {"a": 1.0}, {"a": math.nan}]
    for way, values in (("ASC", [1.0, 2.0]), ("DESC", [2.0, 1.0]), ("", [1.0, 2.0])):
        ordered = in_order(items, [f"metrics.a {way}"], lambda item, kind, key: item.get(key))
        assert [item.get("a") for item in ordered][:2] == values
        assert ordered[2:] == [{}, items[3]]
    with pytest.raises(mlflow.MlflowException):
        in_order(items, ["metrics.a UP"], lambda item, kind, key: None)


def test_statuses_have_mlflows_numbers():
    assert {name: RunStatus.from_string(name) for name in ("RUNNING", "FINISHED", "KILLED")} == {
        "RUNNING": RunStatus.RUNNING,
        "FINISHED": RunStatus.FINISHED,
        "KILLED": RunStatus.KILLED,
    }
    assert [RunStatus.to_string(number) for number in RunStatus.all_status() if RunStatus.is_terminated(number)] == [
        "FINISHED",
        "FAILED",
        "KILLED",
    ]
    with pytest.raises(mlflow.MlflowException):
        RunStatus.from_string("DONE")


@apart
def test_without_a_server_a_run_is_logged_found_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path))
    monkeypatch.setenv("STEPLOG_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("STEPLOG_API_KEY", "a-key")
    monkeypatch.setenv("STEPLOG_FINISH_TIMEOUT_S", "0.1")
    with mlflow.start_run(run_name="a") as run:
        mlflow.log_metric("loss", 0.5, step=1)
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("loss", 0.25, step=2)
    assert mlflow.get_run(run.info.run_id).data.metrics == {"loss": 0.25}
    assert mlflow.get_experiment_by_name("nowhere") is None
    assert steplog.open(run.info.run_id).summary["loss"] == 0.25
