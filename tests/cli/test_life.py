"""``rm``, ``restore``, ``mv`` and ``tag`` change runs on the server, and say what they did and how to undo it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from cli.conftest import named_run
from cli.terminal import environment, on_terminal
from server.process import KEY, ServerProcess
from steplog.cli import confirmation


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "me") as server:
        yield server


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("stock"), "--user", "me", "--stock") as server:
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


def test_a_run_that_is_removed_is_in_the_trash_until_it_is_restored(server, steplog, listed):
    uuid = uuid_of(named_run(server, "trashed", "lr/1e-3"))
    named_run(server, "trashed", "other")
    done = steplog("rm", "trashed/lr/1e-3", "--yes", url=server.url)
    undo = f"is in the trash for 24 hours. To undo, type: steplog restore {uuid[:8]}\n"
    assert (done.exit_code, done.output) == (0, f"lr/1e-3 (trashed, {uuid[:8]}) {undo}")
    assert (listed("trashed"), listed("trashed", "--trash")) == (["other"], ["lr/1e-3"])
    done = steplog("show", "lr/1e-3", url=server.url)
    assert (done.exit_code, done.output) == (
        1,
        "steplog: the run 'lr/1e-3' is in the trash. Type: steplog restore lr/1e-3\n",
    )
    done = steplog("restore", uuid[:8], url=server.url)
    assert (done.exit_code, done.output) == (0, "lr/1e-3 is back in me/trashed\n")
    assert (listed("trashed"), listed("trashed", "--trash")) == (["lr/1e-3", "other"], [])


def test_the_trash_is_listed_with_the_time_of_its_deletion(server, steplog):
    named_run(server, "dated", "run")
    steplog("rm", "dated/run", "--yes", url=server.url)
    head, line = steplog("ls", "/dated", "--trash", url=server.url).output.splitlines()
    assert head.split() == ["run", "project", "status", "started", "deleted", "id"]
    assert line.split()[:3] == ["run", "dated", "RUNNING"]
    empty = steplog("ls", "/trash-of-nothing", "--trash", url=server.url)
    assert empty.exit_code == 1
    assert steplog("ls", "--trash", "--here", url=server.url).exit_code == 2


def test_what_is_removed_now_is_gone_also_from_the_trash(server, steplog, listed):
    for name in ("first", "second"):
        named_run(server, "gone", name)
    steplog("rm", "gone/first", "--yes", url=server.url)
    done = steplog("rm", "gone/first", "gone/second", "--now", "--yes", url=server.url)
    assert (done.exit_code, done.output.count("is removed for good")) == (0, 2)
    assert listed("gone") == listed("gone", "--trash") == []
    assert steplog("restore", "gone/first", url=server.url).exit_code == 1


def test_a_name_taken_meanwhile_gets_a_suffix_when_the_run_is_restored(server, steplog):
    named_run(server, "taken", "run")
    steplog("rm", "taken/run", "--yes", url=server.url)
    named_run(server, "taken", "run")
    done = steplog("restore", "taken/run", url=server.url)
    assert done.output == "run is back in me/taken as run_1: its name is taken\n"


def test_nothing_is_removed_if_one_of_the_runs_is_not_found(server, steplog, listed):
    named_run(server, "whole", "here")
    done = steplog("rm", "whole/here", "whole/missing", "--yes", url=server.url)
    assert (done.exit_code, "has no run 'whole/missing'" in done.output) == (1, True)
    assert listed("whole") == ["here"]


@pytest.mark.parametrize(
    "arguments", [("rm", "{}", "--yes"), ("rm", "{}", "--now", "--yes"), ("mv", "{}", "new"), ("tag", "{}", "good")]
)
def test_a_name_typed_again_does_not_change_another_run_that_begins_so(server, steplog, listed, arguments):
    uuid = uuid_of(named_run(server, "again", "trial-10"))
    for said in ("again/trial-1", "trial-1", uuid[:7]):
        done = steplog(*(each.format(said) for each in arguments), url=server.url)
        words = "but one begins so; name it whole, or by its uuid: me/again/trial-10"
        assert (done.exit_code, words in done.output) == (1, True), done.output
    told = server.ask("GET", f"/me/projects/again/runs/{uuid}/").json()
    assert (told["name"], told["tags"]) == ("trial-10", [])
    done = steplog(*(each.format(uuid[:8]) for each in arguments), url=server.url)
    assert done.exit_code == 0, done.output
    server.ask("DELETE", f"/me/projects/again/runs/{uuid}/")


def test_a_run_that_is_named_twice_is_removed_once(server, steplog):
    uuid = uuid_of(named_run(server, "twice", "once"))
    done = steplog("rm", "twice/once", uuid, "--yes", url=server.url)
    assert (done.exit_code, done.output.count("in the trash")) == (0, 1)


def test_where_nobody_can_be_asked_nothing_is_removed_without_yes(server, steplog, listed):
    named_run(server, "asked", "kept")
    done = steplog("rm", "asked/kept", url=server.url, typed="y\n")
    assert done.exit_code == 2
    words = "standard input is no terminal, so nobody can be asked: type --yes to go on. Type: steplog rm --help"
    assert done.output == f"steplog: {words}\n"
    assert listed("asked") == ["kept"]


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, []), ("n\n", 1, ["run"]), ("\n", 1, ["run"])])
def test_on_a_terminal_it_asks_and_names_what_it_removes(server, listed, tmp_path, answer, code, left):
    path = named_run(server, "terminal", "run")
    variables = environment(tmp_path, STEPLOG_URL=server.url, STEPLOG_API_KEY=KEY)
    shown = on_terminal(["rm", "terminal/run"], variables, answer=answer)
    assert f"run (terminal, {uuid_of(path)[:8]}) is RUNNING\nMove it to the trash? [y/N]: " in shown.text
    assert (shown.code, listed("terminal")) == (code, left)
    assert ("nothing is changed" in shown.text) == (code == 1)
    server.ask("DELETE", path)


def test_ctrl_c_at_the_question_removes_nothing(server, steplog, listed, monkeypatch):
    """As click tells it: input() sees a real one only once it waits, of which a test cannot know."""
    named_run(server, "interrupted", "run")

    def interrupted(*_: object, **__: object) -> bool:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise click.Abort from None

    monkeypatch.setattr(click, "confirm", interrupted)
    monkeypatch.setattr(confirmation, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    done = steplog("rm", "interrupted/run", url=server.url)
    assert (done.exit_code, done.output) == (130, "steplog: interrupted\n")
    assert listed("interrupted") == ["run"]


def test_a_run_that_is_on_this_machine_alone_is_for_clean_to_remove(server, steplog, monkeypatch, tmp_path):
    waiting = fake_waiting(name="on no server", run="")
    monkeypatch.setattr("steplog.journals", lambda: [waiting])
    done = steplog("rm", "on no server", "--yes", url=server.url)
    words = "the run 'on no server' is on no server: it waits on this machine. Type: steplog clean 'on no server'"
    assert (done.exit_code, done.output) == (1, f"steplog: {words}\n")


def test_what_is_left_here_of_a_removed_run_is_said(server, steplog, monkeypatch):
    path = named_run(server, "left", "run")
    waiting = fake_waiting(name="run", run=uuid_of(path))
    monkeypatch.setattr("steplog.journals", lambda: [waiting])
    done = steplog("rm", "left/run", "--yes", url=server.url)
    assert f"3 records of it are on this machine. To remove them, type: steplog clean {waiting.id}" in done.output


def fake_waiting(**fields: Any) -> Any:
    import steplog

    own = {"id": "ab" * 16, "namespace": "me", "project": "p", "url": "", "status": None, "pending": 3}
    more = {"size_bytes": 1, "since": datetime.now(timezone.utc), "why": "", "path": Path("/")}
    return steplog.WaitingRun(**(own | more | fields))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rm", "run", "--yes"), "does not delete runs: its API has no such request"),
        (("rm", "run", "--now", "--yes"), "does not delete runs: its API has no such request"),
        (("restore", "run"), "has no run 'run' in the trash"),
        (("tag", "run", "good"), "does not keep tags: its API has no such request"),
        (("mv", "run", "other"), "does not rename runs: run keeps its name"),
    ],
)
def test_what_a_stock_server_cannot_do_is_said_and_changes_nothing(stock, steplog, arguments, words):
    named_run(stock, "plain", "run")
    done = steplog(*arguments[:1], "plain/run", *arguments[2:], url=stock.url)
    assert (done.exit_code, words.replace("'run'", "'plain/run'") in done.output) == (1, True), done.output
    assert done.output.count("\n") == 1
    told = json.loads(steplog("ls", "/plain", "--json", url=stock.url).output)["runs"]
    assert "run" in [run["name"] for run in told]
    assert json.loads(steplog("ls", "/plain", "--trash", "--json", url=stock.url).output)["runs"] == []


def test_a_run_is_given_another_name_and_a_suffix_if_that_is_taken(server, steplog, listed):
    path = named_run(server, "names", "old name")
    named_run(server, "names", "lr/1e-4")
    done = steplog("mv", "names/old name", "学習 #2", url=server.url)
    assert (done.exit_code, done.output) == (0, "old name is now 学習 #2\n")
    done = steplog("mv", uuid_of(path), "lr/1e-4", url=server.url)
    assert (done.exit_code, done.output) == (0, "学習 #2 is now lr/1e-4_1: another run is called lr/1e-4\n")
    done = steplog("mv", uuid_of(path), "lr/1e-4_1", url=server.url)
    assert (done.exit_code, done.output) == (0, "lr/1e-4_1 is called so already\n")
    assert listed("names") == ["lr/1e-4_1", "lr/1e-4"]
    for name, code in ((" ", 2), ("x" * 257, 1)):
        done = steplog("mv", uuid_of(path), name, url=server.url)
        assert (done.exit_code, done.output.count("\n")) == (code, 1), done.output
        assert "NEW_NAME" in done.output or "name: " in done.output


def test_tags_are_added_and_removed_and_told(server, steplog):
    def tags(*arguments: str) -> str:
        done = steplog("tag", "tagged/run", *arguments, url=server.url)
        assert done.exit_code == 0, done.output
        return str(done.output)

    named_run(server, "tagged", "run")
    assert tags() == "run: no tags\n"
    assert tags("good", "two words", "good") == "run: good, two words\n"
    assert tags("學", "--remove", "good") == "run: two words, 學\n"
    assert tags() == tags("two words") == "run: two words, 學\n"
    assert tags("--clear", "new") == "run: new\n"
    assert tags("--clear") == "run: no tags\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--remove", "absent"), 1, "has no tag 'absent'"),
        (("a", "--remove", "a"), 2, "'a' is to be added and removed."),
        (("x" * 129,), 1, "answered 400: tags: "),
        (("",), 1, "answered 400: tags: "),
    ],
)
def test_a_tag_that_cannot_be_is_one_line(server, steplog, arguments, code, words):
    uuid = uuid_of(named_run(server, "untagged", "run"))
    done = steplog("tag", uuid, *arguments, url=server.url)
    assert (done.exit_code, done.output.count("\n")) == (code, 1), done.output
    assert words in done.output


def test_show_has_the_config_that_all_changes_on_a_stock_server_come_to(stock, steplog):
    """It had those keys alone that were set last."""
    path = named_run(stock, "plain", "configured")
    for name, value in (
        ("steplog/config", {"lr": 0.1, "batch": 8, "model": {"layers": 2}}),
        ("steplog/config", {"lr": 0.2}),
        ("steplog/config/removed", ["batch"]),
    ):
        stock.ask("POST", f"{path}metrics/", json={"name": name, "value": value})
    told = json.loads(steplog("show", "plain/configured", "--json", url=stock.url).output)
    assert told["config"] == {"lr": 0.2, "model": {"layers": 2}}
