"""What someone types first, as someone types it who knows another logger: it works, or says what was probably meant."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import steplog
from apart import apart
from end_to_end.oracle import Oracle
from end_to_end.programs import Host
from server.process import ServerProcess

EVIL = '"><img src=x onerror=alert(1)>&'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "team", "--namespace", "team") as started:
        yield started


@pytest.fixture
def held(tmp_path: Path, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    return Host(tmp_path, server).configure(monkeypatch)


def project() -> str:
    return os.environ["PROJECT"]


@apart
def test_several_values_in_one_call_by_the_run_and_by_the_module(held: Oracle):
    run = steplog.init(project=project(), name="dicts")
    run.log({"loss": 0.3, "acc": 0.9}, step=7)
    run.log({"loss": 0.2}, 8)
    run.log_metrics({"loss": 0.1}, step=9)
    run.log_metrics({"val": 1})
    steplog.log({"loss": 0.05, "note": "done"})
    steplog.log("loss", 0.01, step=11)
    assert steplog.flush() is True
    assert steplog.finish().delivered == 8
    assert held.metrics("dicts") == [
        ("loss", 0.3, 7),
        ("acc", 0.9, 7),
        ("loss", 0.2, 8),
        ("loss", 0.1, 9),
        ("val", 1, 0),
        ("loss", 0.05, 10),
        ("note", "done", 0),
        ("loss", 0.01, 11),
    ]
    with pytest.raises(ValueError, match="no active run"):
        steplog.log("loss", 0.0)


@apart
def test_the_namespace_is_the_keys_own_user_unless_it_is_named_in_either_form(held: Oracle):
    for name, run in (
        ("keywords", steplog.init(project=project(), namespace="team", name="keywords", activate=False)),
        ("own user", steplog.init(project=project(), name="own user", activate=False)),
        ("positions", steplog.init("team", project(), "positions", activate=False)),
    ):
        assert run.organization is not None
        assert run.organization.slug == "team"
        run.finish()
        assert held.run(name).status == "COMPLETED"
    for arguments, given in ((("team", "a"), {"project": "b"}), (("team", "a"), {"namespace": "c"})):
        with pytest.raises(TypeError, match="twice"):
            steplog.init(*arguments, **given)
    with pytest.raises(ValueError, match=r"did you mean init\(project='mnist'\)"):
        steplog.init("mnist")


@apart
def test_the_config_is_a_mapping_that_can_be_changed_later(held: Oracle):
    run = steplog.init(project=project(), name="config", config={"lr": 0.1, "path": Path("data")})
    run.config["seed"] = 7
    run.config.update(lr=0.2, device=None)
    assert (run.config["lr"], len(run.config), "seed" in run.config) == (0.2, 4, True)
    run.finish()
    assert held.values("config", "steplog/config") == [
        {"lr": 0.1, "path": "data"},
        {"seed": 7},
        {"lr": 0.2, "device": None},
    ]


@apart
def test_the_config_may_be_what_argparse_gives_and_a_mistake_in_it_makes_no_run(held: Oracle):
    steplog.init(project=project(), name="args", config=argparse.Namespace(lr=0.1, data=Path("d"))).finish()
    assert held.values("args", "steplog/config") == [{"lr": 0.1, "data": "d"}]
    for wrong in (5, "lr=0.1", [("lr", 0.1)], dict):
        with pytest.raises(TypeError, match="a config is a mapping"):
            steplog.init(project=project(), name="wrong", config=wrong)
    assert held.runs("wrong") == []


@apart
def test_a_run_tells_its_id_and_its_address(held: Oracle):
    with steplog.init(project=project(), name="My Run") as run:
        assert run.id == held.run("My Run").uuid
        assert run.url == f"{os.environ['STEPLOG_URL']}/team/projects/{project()}/runs/my-run/"


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
@apart
def test_each_mode_takes_the_same_program(held: Oracle, mode: str):
    with steplog.init(project=project(), name=mode, mode=mode, config={"lr": 0.1}) as run:
        run.log("loss", 0.5, step=1)
        run.log({"acc": 0.5})
        run.log_metrics({"acc": 0.6}, step=2)
        steplog.log("loss", 0.25)
        assert run.flush(timeout=5) is (mode != "offline")
        run._repr_html_(), run.url, run.id, run.stats(), repr(run)
    assert [row.points for row in held.runs(mode)] == ([5] if mode == "online" else [])


@apart
def test_another_mode_or_another_way_to_fail_is_refused_by_name(held: Oracle):
    with pytest.raises(steplog.ConfigurationError, match="online or offline or disabled is expected, not 'on'"):
        steplog.init(project="p", mode="on")
    with pytest.raises(ValueError, match="on_failure"):
        steplog.init(project="p", on_failure="ignore")


@apart
def test_a_refusal_always_raises_and_leaves_nothing_here(held: Oracle):
    import requests

    for how in ("warn", "raise"):
        with pytest.raises(requests.HTTPError, match="nobody"):
            steplog.init("nobody", "mnist", on_failure=how)
    assert steplog.journals() == []


@apart
def test_async_with_finishes_without_blocking_the_loop(held: Oracle):
    async def main() -> int:
        ticks = 0
        over = asyncio.Event()

        async def tick() -> None:
            nonlocal ticks
            while not over.is_set():
                ticks += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(tick())
        async with steplog.init(project=project(), name="async") as run:
            run.log("loss", 0.5)
            before = ticks
        over.set()
        await beside
        return ticks - before

    assert asyncio.run(main()) > 1
    assert (held.run("async").status, held.values("async", "loss")) == ("COMPLETED", [0.5])


class Parsed(HTMLParser):
    """The elements of a text, with their attributes, and the text itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@apart
def test_in_a_notebook_a_run_is_a_link_to_its_page_and_no_name_is_markup(held: Oracle):
    with steplog.init(project=project(), name=EVIL) as run:
        shown = Parsed(run._repr_html_())
        assert shown.elements == [("a", {"href": run.url, "target": "_blank", "rel": "noopener noreferrer"})]
        assert shown.text == f"run {EVIL} (RUNNING)"
    assert Parsed(run._repr_html_()).text == f"run {EVIL} (COMPLETED)"


@pytest.mark.parametrize("mode", ["offline", "disabled"])
@apart
def test_in_a_notebook_a_run_without_a_page_is_its_name_alone(held: Oracle, mode: str):
    shown = Parsed(steplog.init(project="p", name=EVIL, mode=mode)._repr_html_())
    assert ([tag for tag, _ in shown.elements], shown.text) == (["b"], f"run {EVIL} (RUNNING)")
