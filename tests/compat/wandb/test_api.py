"""``wandb.Api``: runs of a server and of this machine, read back and changed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import steplog
import steplog.compat.wandb as wandb
from apart import apart
from end_to_end.programs import Host
from server.process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team") as started:
        yield started


@pytest.fixture
def path(tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    """Entity and project, on a server that this process knows."""
    host = Host(tmp_path, server)
    host.configure(monkeypatch)
    monkeypatch.setenv("STEPLOG_MODE", "online")
    return f"team/{host.project}"


def trained(path: str, name: str, lr: float, **given: object) -> str:
    """A run of 30 rows, ten of which have a validation."""
    entity, project = path.split("/")
    run = wandb.init(entity=entity, project=project, name=name, config={"lr": lr, "model": {"layers": 2}}, **given)
    run.define_metric("val", summary="min")
    for step in range(30):
        validation = {"val": 30 - step} if step % 3 == 0 else {}
        wandb.log({"loss": lr / (step + 1), **validation})
    wandb.run.summary["best"] = lr * 10
    wandb.finish()
    return run.id


@apart
def test_the_runs_of_a_project_are_read_filtered_and_ordered(path):
    ids = [trained(path, f"run {lr}", lr, group="g", tags=["a"] * (lr < 0.3)) for lr in (0.1, 0.4, 0.2)]
    api = wandb.Api(timeout=19)
    runs = api.runs(path, per_page=2)
    assert [run.id for run in runs] == ids
    assert (len(runs), runs[0].id, [run.id for run in runs[1:]], runs.next().id) == (3, ids[0], ids[1:], ids[0])
    assert [run.config["lr"] for run in api.runs(path, order="-summary_metrics.best")] == [0.4, 0.2, 0.1]
    assert [run.name for run in api.runs(path, {"config.lr": {"$lt": 0.3}}, "-created_at")] == ["run 0.2", "run 0.1"]
    assert len(api.runs(path, {"$or": [{"tags": "a"}, {"summary_metrics.loss": 7}], "group": "g"})) == 2
    assert len(api.runs(path, {"state": "crashed"})) == 0
    assert [project.name for project in api.projects("team")][-1] == path.split("/")[1]
    assert len(api.runs(path).histories(keys=["val"])) == 30


@apart
def test_the_runs_of_a_list_are_read_where_they_are_and_not_looked_for(path, monkeypatch):
    """Each search reads what is on this machine of all runs."""
    trained(path, "first", 0.1)
    runs = wandb.Api().runs(path)
    monkeypatch.setattr(steplog, "open", None)
    found = [(run.config["lr"], run.summary["best"], len(run.history(pandas=False)), run.url) for run in runs]
    assert [each[:3] for each in found] == [(0.1, 1.0, 30)]
    assert path.split("/")[1] in found[0][3]


@apart
def test_without_a_path_the_runs_are_those_of_the_project_that_init_takes(path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", path.split("/")[1])
    with wandb.init() as run:
        run.log({"a": 1})
    assert [found.id for found in wandb.Api().runs()] == [run.id]


@apart
def test_a_run_has_wandbs_attributes(path):
    name = trained(path, "first", 0.1, id="abc", job_type="train", notes="n", tags=["t"])
    run = wandb.Api().run(f"{path}/{name}")
    assert (run.id, run.name, run.state, run.entity, run.project) == ("abc", "first", "finished", *path.split("/"))
    assert (run.path, run.tags, run.job_type, run.notes) == ([*path.split("/"), "abc"], ["t"], "train", "n")
    assert run.config == {"lr": 0.1, "model": {"layers": 2}}
    assert run.summary["val"] == {"min": 3}
    assert (run.summary["best"], run.summary["_step"], run.lastHistoryStep) == (1.0, 29, 29)
    assert run.summary_metrics["loss"] == run.summary._json_dict["loss"] == 0.1 / 30
    assert run.created_at.endswith("Z")
    assert run.url == steplog.open(f"{path}/abc").url
    assert wandb.Api().run(f"/{path}/runs/abc").storage_id == wandb.Api().run(run.url).storage_id == run.storage_id
    assert (run.files(), run.logged_artifacts()) == ([], [])
    with pytest.raises(wandb.CommError, match="has no file"):
        run.file("model.pt")


@apart
def test_a_history_has_a_row_a_step(path):
    run = wandb.Api().run(f"{path}/{trained(path, 'first', 0.1)}")
    rows = run.history(pandas=False)
    assert [row["_step"] for row in rows] == list(range(30))
    assert rows[0].keys() == {"_step", "_timestamp", "_runtime", "loss", "val"}
    assert "val" not in rows[1]
    assert run.history(keys=["val"], pandas=False)[:2] == [{"_step": 0, "val": 30}, {"_step": 3, "val": 27}]
    assert run.history(keys=["loss"], x_axis="val", pandas=False)[0] == {"val": 30, "loss": 0.1}
    assert run.history(keys=["none"], pandas=False) == []
    assert [row["_step"] for row in run.history(samples=4, pandas=False)] == [0, 9, 19, 29]


@pytest.mark.skipif(find_spec("pandas") is None, reason="needs pandas: pip install 'steplog[readers]'")
@apart
def test_a_history_is_a_dataframe_where_pandas_is_installed(path):
    import pandas

    run = wandb.Api().run(f"{path}/{trained(path, 'first', 0.1)}")
    frame = run.history(samples=10)
    assert isinstance(frame, pandas.DataFrame)
    assert frame["_step"].tolist() == [row["_step"] for row in run.history(samples=10, pandas=False)]
    assert wandb.Api().runs(path).histories(keys=["loss"], format="pandas")["run_id"].unique().tolist() == [run.id]


@apart
def test_a_history_is_scanned_a_page_at_a_time(path):
    run = wandb.Api().run(f"{path}/{trained(path, 'first', 0.1)}")
    assert [row["_step"] for row in run.scan_history(page_size=7)] == list(range(30))
    assert [row["_step"] for row in run.scan_history(min_step=3, max_step=20, page_size=1)] == list(range(3, 20))
    assert [row["val"] for row in run.scan_history(keys=["loss", "val"])] == list(range(30, 0, -3))
    with pytest.raises(ValueError, match="list"):
        run.scan_history(keys="loss")


@apart
def test_steps_that_are_far_apart_are_scanned_in_few_requests(path):
    entity, project = path.split("/")
    with wandb.init(entity=entity, project=project, id="far"):
        for step in (0, 10, 10**12):
            wandb.log({"loss": 1.0}, step=step)
    run = wandb.Api().run(f"{path}/far")
    assert [row["_step"] for row in run.scan_history(page_size=10)] == [0, 10, 10**12]


@apart
def test_a_run_is_changed_and_deleted(path):
    name = trained(path, "first", 0.1)
    run = wandb.Api().run(f"{path}/{name}")
    run.config["lr"] = 0.5
    run.tags.append("checked")
    run.name, run.notes = "renamed", "better"
    run.summary["test"] = 0.75
    run.update()
    run.summary.update({"later": 1})
    again = wandb.Api().run(f"{path}/{name}")
    assert (again.name, again.notes, again.tags, again.state) == ("renamed", "better", ["checked"], "finished")
    assert (again.config["lr"], again.summary["test"], again.summary["later"]) == (0.5, 0.75, 1)
    assert wandb.run is None
    again.delete()
    assert len(wandb.Api().runs(path)) == 0


@apart
def test_what_is_not_there_raises_wandbs_error(path):
    trained(path, "first", 0.1, id="abcdefgh")
    api = wandb.Api()
    for call in (
        lambda: len(api.runs(f"{path}-none")),
        lambda: api.run(f"{path}/none"),
        lambda: api.run(f"{path}/abcde"),
        lambda: api.runs(path, {"bogus": 1}),
        lambda: api.sweep(f"{path}/1"),
    ):
        with pytest.raises(wandb.errors.CommError):
            call()
    with pytest.raises(ValueError, match="run_id"):
        api.run("")


@apart
def test_an_entity_that_is_not_there_means_the_keys_own(path):
    name = trained(path, "first", 0.1)
    project = path.split("/")[1]
    api = wandb.Api({"entity": "my-company"})
    assert [run.id for run in api.runs(project)] == [run.id for run in api.runs(f"other/{project}")] == [name]
    assert api.run(f"{project}/{name}").entity == "team"


@apart
def test_runs_that_no_server_has_are_read_here():
    with wandb.init(project="here", id="abc", config={"lr": 0.1}):
        wandb.log({"loss": 0.5})
    api = wandb.Api()
    (run,) = api.runs("me/here")
    assert (run.id, run.config, run.summary["loss"]) == ("abc", {"lr": 0.1}, 0.5)
    assert api.run("me/here/abc").history(pandas=False)[0]["loss"] == 0.5
    with wandb.init(project="here") as open_run:
        wandb.log({"loss": 0.25})
        found = api.run(f"{open_run.entity}/{open_run.project}/{open_run.id}")
        assert (found.state, [row["loss"] for row in found.scan_history(keys=["loss"])]) == ("running", [0.25])
