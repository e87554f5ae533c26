"""``show`` and ``ls`` say what is known of a run: when it began and ended, its id, tags, group, config, provenance."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo

import pytest

from cli.conftest import named_run
from server.process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "me") as server:
        yield server


@pytest.fixture
def listed(server, steplog):
    """The names of a project's runs, as ls lists them."""

    def names(project: str, *options: str) -> list[str]:
        told = json.loads(steplog("ls", f"/{project}", "--json", *options, url=server.url).output)
        return [run["name"] for run in told["runs"]]

    return names


def uuid_of(path: str) -> str:
    return path.split("/")[-2]


@pytest.fixture
def described(server: ServerProcess) -> Iterator[str]:
    """The path of a run about which everything is known."""
    server.ask("POST", "/me/projects/", json={"display_name": "known", "visibility": "TEAM"})
    headers = {"Idempotency-Key": '"id:job-7"', "Steplog-Maker": "maker"}
    made = server.ask("POST", "/me/projects/known/runs/", json={"name": "lr/1e-3"}, headers=headers)
    path = f"/me/projects/known/runs/{made.json()['uuid']}/"
    fields = {
        "tags": ["good", "two words"],
        "group": "sweep-1",
        "job_type": "train",
        "notes": "first line\nsecond \x1b[2Jline",
        "description": "a run",
        "started": "2026-01-02T03:04:05Z",
        "provenance": {"host": "node-1", "git": {"commit": "ab12", "dirty": True}},
    }
    assert server.ask("PATCH", path, json=fields).status_code == 200
    for config in ({"lr": 0.3, "model": {"layers": 2}}, {"seed": 1}):
        server.ask("POST", f"{path}metrics/", json={"name": "steplog/config", "value": config})
    server.ask("POST", f"{path}metrics/", json={"name": "system/cpu", "value": 3})
    server.ask("POST", f"{path}metrics/", json={"name": "loss", "value": 0.5})
    told = {"type": "ValueError", "message": "nan", "traceback": "Traceback (most recent call last):\n"}
    server.ask("POST", f"{path}metrics/", json={"name": "steplog/exception", "value": told})
    yield path
    server.ask("DELETE", f"{path}?now=1")


def test_show_has_everything_that_is_known_of_a_run(server, steplog, described):
    server.ask("PATCH", described, json={"status": "COMPLETED", "ended": "2026-01-02T04:04:05Z"})
    printed = steplog("show", "job-7", url=server.url).output
    lines = [line.split("   ") for line in printed.splitlines()]
    shown = {line[0].strip(): line[-1].strip() for line in lines if len(line) > 1}
    assert printed.splitlines()[0] == "lr/1e-3  COMPLETED"
    assert printed.splitlines()[1] == f"{server.url}/me/projects/known/runs/lr-1e-3/"
    assert (shown["project"], shown["uuid"], shown["id"]) == ("me/known", uuid_of(described), "job-7")
    assert (shown["duration"], shown["group"], shown["job type"]) == ("1 h", "sweep-1", "train")
    assert (shown["tags"], shown["description"]) == ("good, two words", "a run")
    assert (shown["lr"], shown["model"], shown["seed"]) == ("0.3", '{"layers": 2}', "1")  # merged
    assert (shown["host"], shown["git"]) == ("node-1", '{"commit": "ab12", "dirty": true}')
    assert {"started", "ended", "last point"} <= set(shown)
    assert "notes\n  first line\n  second \ufffd[2Jline\n" in printed
    metrics = [line.split()[0] for line in printed.splitlines() if line.startswith(("loss", "system/"))]
    assert metrics == ["loss", "system/cpu"]


@pytest.mark.parametrize(
    "spelled",
    [
        "job-7",
        "job-",
        "lr/1e-3",
        "lr-1e-3",
        "lr/1e",
        "known/job-7",
        "known/lr/1e-3",
        "me/known/lr/1e-3",
        "{uuid}",
        "{url}",
    ],
)
def test_show_finds_a_run_by_its_id_and_by_a_name_with_slashes(server, steplog, described, spelled):
    named = spelled.format(uuid=uuid_of(described)[:8], url=f"{server.url}/me/projects/known/runs/lr-1e-3/#token=x")
    told = json.loads(steplog("show", named, "--json", url=server.url).output)
    assert told["uuid"] == uuid_of(described)
    assert told["config"] == {"lr": 0.3, "model": {"layers": 2}, "seed": 1}


def test_a_traceback_is_shown_while_the_run_is_crashed_and_not_once_it_went_on(server, steplog, described):
    assert "Traceback" not in steplog("show", "job-7", url=server.url).output
    server.ask("PATCH", described, json={"status": "CRASHED"})
    assert steplog("show", "job-7", url=server.url).output.splitlines()[-2:] == [
        "Traceback (most recent call last):",
        "ValueError: nan",
    ]
    headers = {"Steplog-Maker": "another"}
    later = (datetime.now(timezone.utc) + timedelta(seconds=5)).isoformat().replace("+00:00", "Z")
    begun = server.ask("POST", f"{described}generations/", json={"began": later}, headers=headers)
    assert begun.status_code == 201, begun.text
    printed = steplog("show", "job-7", url=server.url).output
    assert "Traceback" not in printed
    assert ["resumed", "once"] in [line.split() for line in printed.splitlines()]
    server.ask("PATCH", described, json={"status": "COMPLETED", "generation": 2})
    assert "Traceback" not in steplog("show", "job-7", url=server.url).output


def test_a_config_whose_keys_were_all_removed_is_not_shown(server, steplog):
    path = named_run(server, "emptied", "run")
    for name, value in (("steplog/config", {"lr": 0.3}), ("steplog/config/removed", ["lr"])):
        server.ask("POST", f"{path}metrics/", json={"name": name, "value": value})
    assert json.loads(steplog("show", "emptied/run", "--json", url=server.url).output)["config"] == {}
    assert "config" not in steplog("show", "emptied/run", url=server.url).output


def test_ls_lists_when_a_run_started_and_not_when_it_was_made(server, steplog, described):
    """A run that was started offline had the time of its delivery."""
    named_run(server, "known", "made first, started later")
    told = json.loads(steplog("ls", "/known", "--json", url=server.url).output)["runs"]
    assert [run["started"][:10] == "2026-01-02" for run in told] == [True, False]
    head, first, _ = steplog("ls", "/known", url=server.url).output.splitlines()
    begun = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc).astimezone()
    assert f"{begun:%Y-%m-%d %H:%M:%S}" in first
    assert head.split() == ["run", "project", "status", "started", "duration", "last", "point", "group", "tags", "id"]
    assert first.split()[-1] == "job-7"
    assert " d " in first  # of days


def test_ls_lists_only_what_is_asked_for(server, steplog, listed):
    for name, tags, group, status in (
        ("a", ["good", "new"], "g", "COMPLETED"),
        ("b", ["good"], "h", "CRASHED"),
        ("c", [], None, "RUNNING"),
    ):
        path = named_run(server, "some", name)
        server.ask("PATCH", path, json={"tags": tags, "group": group, "status": status})
    assert listed("some", "--tag", "good") == ["a", "b"]
    assert listed("some", "--tag", "good", "--tag", "new") == ["a"]
    assert listed("some", "--tag", "good", "-n", "1") == ["b"]
    assert listed("some", "--status", "crashed", "--status", "RUNNING") == ["b", "c"]
    assert listed("some", "--group", "g") == ["a"]
    assert listed("some", "--group", "") == []
    assert steplog("ls", "/some", "--status", "ended", url=server.url).exit_code == 2


@pytest.mark.parametrize("place", ["/placed", "me/placed", "me/placed/"])
def test_ls_of_a_project_of_the_default_namespace_begins_with_a_slash(server, steplog, place):
    """/PROJECT was taken for a namespace."""
    path = named_run(server, "placed", "here")
    told = json.loads(steplog("ls", place, "--json", url=server.url).output)["runs"]
    assert [run["name"] for run in told] == ["here"]
    server.ask("DELETE", path)


@pytest.mark.parametrize("ahead_s", [-7200, 0, 7200])
def test_times_are_by_the_servers_clock_which_may_not_be_ours(httpserver, steplog, monkeypatch, ahead_s):
    """With a clock two hours ahead, each running run was one that was not heard of."""

    class OurClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> OurClock:
            return super().now(tz) + timedelta(seconds=ahead_s)

    def before(**time: float) -> str:
        return (datetime.now(timezone.utc) - timedelta(**time)).isoformat().replace("+00:00", "Z")

    run = {"uuid": "1", "name": "run", "status": "RUNNING", "started": before(hours=3.01), "seen": before(seconds=20)}
    runs = [run | {"last_point": before(minutes=2.5)}, run | {"uuid": "2", "seen": before(minutes=12.5)}]
    for path, answer in (("verify-api-key/", {"username": "me", "email": ""}), ("me/projects/p/runs/", runs)):
        httpserver.expect_request(f"/api/v0/{path}").respond_with_json(answer)
    httpserver.expect_request("/api/v0/me/projects/p/table/").respond_with_data(status=404)
    monkeypatch.setattr("steplog.cli.api.datetime", OurClock)
    first, second = steplog("ls", "/p", url=httpserver.url_for("").rstrip("/")).output.splitlines()[1:]
    assert re.search(r" RUNNING  .* 3 h  +2 min ago ", first), first
    assert " RUNNING, not heard of for 12 min   " in second
