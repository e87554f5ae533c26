"""Creating, renaming, deleting and restoring runs agrees with a model of the rules, in any order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.stores import ann, new_project
from steplog.server.store import Store
from steplog.server.store_types import Creation, DeletedError, ExistsError, MissingError, ProjectRow, UnknownRunError

NUMBERS = itertools.count()
KEYS = ("id:a", "id:b", "r1", "r2", None)
NAMES = ("n", "n_1", "m")
MAKERS = ("m1", "m2", None)
RESUMES = ("allow", "must", "never", None)
Step = tuple[str, int, str | None, str | None, str | None, str | None]
steps = st.tuples(
    st.sampled_from(("create", "create", "create", "by uuid", "rename", "discard", "condemn", "restore")),
    st.integers(0, 3),  # which run, of those made so far
    st.sampled_from(KEYS),
    st.sampled_from(NAMES),
    st.sampled_from(MAKERS),
    st.sampled_from(RESUMES),
)


@dataclass
class Run:
    """A run as the rules have it; ``state``: "alive", "trash", "gone"."""

    uuid: str
    key: str | None
    maker: str | None
    name: str
    state: str = "alive"


@dataclass
class Model:
    """What a project must have in it, by the rules alone."""

    runs: list[Run] = field(default_factory=list)
    tombstones: set[str] = field(default_factory=set)

    def alive(self, key: str | None = None, name: str | None = None) -> Run | None:
        """The one living run with this key or name."""
        same = [r for r in self.runs if r.state == "alive" and (r.key == key if key is not None else r.name == name)]
        assert len(same) <= 1
        return same[0] if same else None

    def free(self, name: str, besides: Run | None = None) -> str:
        """The name, or with a number."""
        taken = {run.name for run in self.runs if run.state == "alive" and run is not besides}
        names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))
        return next(each for each in names if each not in taken)

    def created(self, asked: Creation) -> Run | type[Exception] | None:
        """The run that is found, the refusal, or None: made anew."""
        found = self.alive(asked.key) if asked.key is not None else None
        is_id = asked.key is not None and asked.key.startswith("id:")
        if found is None and asked.key in self.tombstones:
            return DeletedError
        if found is None and is_id:
            found = next((r for r in self.runs if r.state == "alive" and f"id:{r.uuid}" == asked.key), None)
        if found is None and not is_id and asked.resume and asked.name:
            found = self.alive(name=asked.name)
        if found is None:
            return UnknownRunError if asked.resume == "must" else None
        mine = asked.maker is not None and found.maker == asked.maker
        return ExistsError if asked.resume == "never" and not mine else found

    def discarded(self, run: Run, now: bool) -> bool:
        """Whether there is something to delete."""
        if run.state == "gone" or (run.state == "trash" and not now):
            return False
        if run.state == "alive" and run.key is not None and not run.key.startswith("id:"):
            self.tombstones.add(run.key)
        run.state = "gone" if now else "trash"
        return True

    def restored(self, run: Run) -> bool:
        """Whether there is something to restore."""
        if run.state == "trash":
            run.key = None if run.key is None or self.alive(run.key) else run.key
            run.name, run.state = self.free(run.name), "alive"
        return run.state == "alive"


def another_project(store: Store) -> ProjectRow:
    return new_project(store, f"p{next(NUMBERS)}")


def ask(store: Store, project: ProjectRow, model: Model, asked: Creation) -> None:
    """Create, in both, and compare."""
    expected = model.created(asked)
    future = store.create_run(project, ann(store), asked)
    if isinstance(expected, type):
        assert type(future.exception()) is expected
        return
    run, made = future.result()
    assert made == (expected is None)
    if expected is None:
        expected = Run(run.uuid, asked.key, asked.maker, model.free(asked.name or ""))
        model.runs.append(expected)
    assert (run.uuid, run.idempotency_key, run.name) == (expected.uuid, expected.key, expected.name)


def play(store: Store, project: ProjectRow, model: Model, step: Step) -> None:
    what, number, key, name, maker, resume = step
    if what == "create":
        ask(store, project, model, Creation(name, key=key, maker=maker, resume=resume))
        return
    if not model.runs:
        return
    run = model.runs[number % len(model.runs)]
    if what == "by uuid":
        ask(store, project, model, Creation(name, key=f"id:{run.uuid}", maker=maker, resume=resume))
    elif what == "restore":
        future = store.restore_run(project, run.uuid)
        if model.restored(run):
            assert (future.result().name, future.result().idempotency_key) == (run.name, run.key)
        else:
            assert isinstance(future.exception(), MissingError)
    elif what == "rename":
        found = store.run("team", project.slug, run.uuid)
        assert (found is not None) == (run.state == "alive")
        if found is not None:
            run.name = model.free(name or "", besides=run)
            assert store.edit_run(found, {"name": name}).result().name == run.name
    else:
        now = what == "condemn"
        error = store.discard_run(project, run.uuid, now).exception()
        assert (error is None) == model.discarded(run, now)
        assert error is None or isinstance(error, MissingError)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(played=st.lists(steps, max_size=14), reaping=st.booleans())
def test_runs_are_made_found_and_deleted_as_the_rules_say(store, played, reaping):
    project, model = another_project(store), Model()
    for step in played:
        play(store, project, model, step)
        if reaping:
            while store.reap().result():
                pass
    alive = [(run.uuid, run.name, run.idempotency_key) for run in store.runs(project)]
    assert alive == [(run.uuid, run.name, run.key) for run in model.runs if run.state == "alive"]
    in_trash = [run.uuid for run in store.trash(project)]
    assert in_trash == [run.uuid for run in model.runs if run.state == "trash"]
