"""``wandb.init``, ``finish``, ``setup``, ``teardown``: when a run begins, and which.

::

    a run of wandb.init is open, and reinit is     the call gives
    None, False, "default", "return_previous"      that run ("default" in a notebook: as "finish_previous")
    True, "finish_previous"                        a new run, after the open ones are finished
    "create_new"                                   a new run beside them; wandb.run and wandb.log stay as they are

    no such run, but one of steplog's is active    that one, whose end stays what it was going to be; unless ``init``
                                                   names an id

1. An argument comes before ``settings``, that before ``STEPLOG_*``, and that before ``WANDB_*``.
2. The project is "uncategorized" where nothing names one.
3. An entity is left out where the server does not have it, or not for this key, which is said once; and where no
   server is configured: one that is asked later may not have it, and the machine's own would have to make it.
   STEPLOG_NAMESPACE takes its place.
4. An id that exists, without ``resume``, begins another run of that name, with an id of its own; wandb would overwrite
   the first.
5. ``resume="auto"`` goes on with the last run of this folder and project, unless that was finished with 0.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
import weakref
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from typing import Any

import steplog
from steplog.compat.field_limits import fitting_tags, fitting_text, key_of
from steplog.compat.notices import say, say_once
from steplog.compat.unsupported import unsupported
from steplog.compat.wandb import open_runs
from steplog.compat.wandb.auto_resume import AutoResume
from steplog.compat.wandb.config_sources import DEFAULTS_FILE, config_of_file, parse_config
from steplog.compat.wandb.environment import from_environment
from steplog.compat.wandb.errors import AuthenticationError, CommError, Error, UsageError
from steplog.compat.wandb.logged_run import Run
from steplog.compat.wandb.settings import Settings
from steplog.compat.wandb.util import generate_id
from steplog.identity import slug_of
from steplog.lifecycle.open_run import OpenRun
from steplog.reentrant_lock import ReentrantLock
from steplog.run import active_run
from steplog.safeguard import before_end
from steplog.settings import resolve

__all__ = ["attach", "ensure_configured", "finish", "init", "require", "setup", "teardown"]

_MODES = {"dryrun": "offline", "run": "online", "shared": "online"}
_SETTINGS = {  # init's argument: the setting
    "dir": "root_dir",
    "group": "run_group",
    "id": "run_id",
    "job_type": "run_job_type",
    "name": "run_name",
    "notes": "run_notes",
    "tags": "run_tags",
}
_GIVEN = {
    *_SETTINGS.values(),
    *("allow_val_change", "anonymous", "entity", "force", "fork_from", "mode", "project"),
    *("reinit", "resume", "resume_from", "save_code"),
}
_PROJECT = "uncategorized"
_FINISHES = (True, "finish_previous")
_session = Settings()  # of setup()
_begun_here: weakref.WeakSet[steplog.Run] = weakref.WeakSet()
_one_at_a_time = ReentrantLock()  # threads that call init() at once get one run; a signal's function may call it, too


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002 - wandb's name
    id: str | None = None,  # noqa: A002 - wandb's name
    name: str | None = None,
    notes: str | None = None,
    tags: Iterable[str] | None = None,
    config: Any = None,
    config_exclude_keys: list[str] | None = None,
    config_include_keys: list[str] | None = None,
    allow_val_change: bool | None = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    force: bool | None = None,
    anonymous: Any = None,
    reinit: bool | str | None = None,
    resume: bool | str | None = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    save_code: bool | None = None,
    tensorboard: bool | None = None,
    sync_tensorboard: bool | None = None,
    monitor_gym: bool | None = None,
    settings: Settings | dict[str, Any] | None = None,
) -> Run:
    """Begin a run, or return the open one; the arguments are wandb's."""
    given = {setting: value for name, value in locals().items() if (setting := _SETTINGS.get(name, name)) in _GIVEN}
    given["sync_tensorboard"] = tensorboard if sync_tensorboard is None else sync_tensorboard
    chosen = _settled(settings, given)
    with nullcontext() if chosen.reinit == "create_new" else _one_at_a_time:
        return _previous(chosen) or _opened(chosen, monitor_gym, config, config_exclude_keys, config_include_keys)


def _opened(
    chosen: Settings, monitor_gym: bool | None, config: Any, exclude: list[str] | None, include: list[str] | None
) -> Run:
    """A run that was not open."""
    _note_unsupported(chosen, monitor_gym)
    values = parse_config(config, exclude, include)
    if os.path.exists(DEFAULTS_FILE):
        values = {**config_of_file(DEFAULTS_FILE), **values}
    run = _joined(chosen) or _begun(chosen)
    if chosen.sync_tensorboard:
        _sync_tensorboard(run)
    open_runs.open_runs.append(run)
    run.config.update(values, allow_val_change=True)
    if chosen.save_code:
        run.save_code_of(sys.argv[0])
    if chosen.reinit != "create_new":
        open_runs.bind(run)
    before_end(_conclude)
    return run


def _settled(settings: Settings | dict[str, Any] | None, given: Mapping[str, Any]) -> Settings:
    """Everything that was said of the run, by precedence."""
    chosen = Settings(**from_environment(os.environ))
    chosen.update_from_dict(_session.given())
    told = settings if isinstance(settings, Settings) else Settings(**(settings or {}))
    chosen.update_from_dict(told.given())
    chosen.update_from_dict(given)
    if _in_notebook() and "allow_val_change" not in chosen.given():
        chosen.allow_val_change = True
    if chosen.resume is True:
        chosen.resume = "auto"
    elif chosen.resume is False or chosen.resume == "":
        chosen.resume = None
    if chosen.resume not in (None, "auto", "allow", "must", "never"):
        raise UsageError(f'resume is "allow", "must", "never" or "auto", not {chosen.resume!r}')
    mode = chosen.given().get("mode") or None
    if mode is not None and mode not in ("online", "offline", "disabled", *_MODES):
        raise UsageError(f'mode is "online", "offline", "disabled" or "shared", not {mode!r}')
    return chosen


def _previous(chosen: Settings) -> Run | None:
    """The open run, where ``reinit`` does not say that it gives way."""
    for run in [run for run in open_runs.open_runs if run.is_over]:
        open_runs.forget(run)  # steplog.finish(), or another init() of steplog's, has ended it
    if not open_runs.open_runs or chosen.reinit == "create_new":
        return None
    if chosen.reinit in _FINISHES or (chosen.reinit == "default" and _in_notebook()):
        for run in reversed(list(open_runs.open_runs)):
            run.finish()
        return None
    if chosen.resume == "must":
        raise Error(
            "Cannot resume a run while another run is active. You must either finish it using run.finish(),"
            " or use reinit='create_new' when calling wandb.init()."
        )
    previous: Run = open_runs.open_runs[-1]
    return previous


def _note_unsupported(chosen: Settings, monitor_gym: bool | None) -> None:
    if monitor_gym:
        unsupported.note(
            "wandb.init(monitor_gym=True)",
            "nothing is recorded; gymnasium.wrappers.RecordVideo writes videos, which wandb.Video(path) takes",
        )
    for name in ("resume_from", "fork_from"):
        if chosen.given().get(name):
            advice = 'a new run begins at step 0; to go on with one: init(id="…", resume="must")'
            unsupported.note(f"wandb.init({name}=…)", advice)


def _joined(chosen: Settings) -> Run | None:
    """A run that something else has begun in this process."""
    if chosen.run_id or chosen.resume or chosen._noop or chosen.reinit == "create_new":
        return None
    run = active_run.find()
    if run is None or run in _begun_here:  # as a forked child finds it, or one of create_new
        return None
    known = {"run_name": run.name, "mode": chosen.mode}
    _set_fields(run, chosen)
    return Run(run, chosen.model_copy(update=known), is_own=False, start=_after(run), config=run.config.copy())


def _after(run: steplog.Run) -> int:
    """The first step that is free."""
    last = run.step
    return 0 if last is None else last + 1


def _set_fields(run: steplog.Run, chosen: Settings) -> None:
    """What an ``init`` gives of a run that is open already."""
    for field in ("tags", "group", "job_type", "notes"):
        given = chosen.given().get(f"run_{field}")
        if given:
            setattr(run, field, fitting_tags((*run.tags, *given)) if field == "tags" else fitting_text(field, given))


def _begun(chosen: Settings) -> Run:
    """A run of its own."""
    mode = chosen.given().get("mode") or None
    mode = _MODES.get(str(mode), mode)
    settings = resolve(project=_project(chosen), mode=mode)
    chosen.mode = "shared" if chosen._shared else settings.mode
    project = settings.project or _PROJECT
    if chosen._shared and chosen.run_id and not chosen.x_primary and (joined := _shared(chosen, project)) is not None:
        return joined
    auto = AutoResume(chosen, project) if chosen.resume == "auto" else None
    if auto is not None and not chosen.run_id:
        chosen.run_id = auto.last() or secrets.token_hex(4)
    resume = "allow" if auto is not None else chosen.resume
    if chosen._shared and chosen.run_id:
        resume = resume or "allow"
    if resume in ("allow", "must") and not chosen.run_id:
        if resume == "must":
            raise UsageError('resume="must" needs the id of a run: wandb.init(id="…", resume="must")')
        resume = None
    if not chosen.run_id and _is_sent_later(chosen.mode):
        chosen.run_id = generate_id()  # the server will make a uuid of its own, and a script that resumes has this one
    run, resumed = _made(_arguments(chosen, project, mode, resume), chosen.entity)
    _begun_here.add(run)
    if resume is None and run.key is None and not chosen._noop:
        chosen.run_id = None  # it was taken
    chosen.resumed = resumed
    made = Run(
        run,
        chosen,
        resumed=resumed,
        start=_after(run) if resumed else 0,
        config=run.config.copy() if resumed else None,
    )
    if auto is not None:
        auto.began(made.id)
        made.call_at_end(auto.finished)
    return made


def _is_sent_later(mode: str | None) -> bool:
    """Whether no server knows of the run until it is delivered."""
    if mode == "online":
        try:
            steplog.get_default_client()
        except steplog.ConfigurationError:
            return True
    return mode == "offline"


def _project(chosen: Settings) -> str | None:
    """The project, where an address can be made of it."""
    project = chosen.given().get("project")
    if not project or slug_of(str(project)):
        return str(project) if project else None
    say_once(f"the project {project!r} has no letter or digit to make its address of; the run goes to {_PROJECT!r}")
    return _PROJECT


def _arguments(chosen: Settings, project: str, mode: str | None, resume: str | None) -> dict[str, Any]:
    """Those of ``steplog.init``."""
    return {
        "project": project,
        "mode": mode,
        "name": fitting_text("name", chosen.run_name),
        "tags": fitting_tags(chosen.run_tags) or None,
        "group": fitting_text("group", chosen.run_group),
        "job_type": fitting_text("job type", chosen.run_job_type),
        "notes": fitting_text("notes", chosen.run_notes),
        "id": key_of(chosen.run_id) if chosen.run_id else None,
        "resume": resume,
        "activate": chosen.reinit != "create_new",
    }


def _shared(chosen: Settings, project: str) -> Run | None:
    """The run that another process is the primary of; None: there is none yet."""
    namespace = _asked_for(chosen.entity, None)
    try:
        run = steplog.attach(key_of(chosen.run_id), project_slug=slug_of(project), namespace_slug=namespace)
    except (steplog.SteplogError, ValueError):
        return None
    return Run(run, chosen, is_own=False, start=_after(run), config=run.config.copy())


def _made(arguments: dict[str, Any], entity: str | None) -> tuple[steplog.Run, bool]:
    """The run, and whether it was there before."""
    try:
        try:
            return _of(arguments, namespace=_asked_for(entity, arguments["mode"]))
        except OSError as error:
            status = _refusal(error)
            if not entity or status not in (401, 403, 404):
                raise
            say_once(
                f"the entity {entity!r} is not for this key here ({status}); the run goes to the key's own namespace"
            )
            return _of(arguments, namespace=None)
    except steplog.InvalidAPIKeyError as error:
        raise AuthenticationError(str(error), error) from error
    except (steplog.RunExistsError, steplog.RunNotFoundError) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        if _refusal(error) is None:
            raise
        raise CommError(str(error), error) from error


def _refusal(error: OSError) -> int | None:
    """The status with which a server refuses, as the exceptions of requests have it; None: it is none of these."""
    found = getattr(getattr(error, "response", None), "status_code", None)
    return found if isinstance(found, int) else None


def _asked_for(entity: str | None, mode: str | None) -> str | None:
    """The entity, where a server is configured, which can tell whether it is one."""
    mode = resolve(mode=mode).mode
    if not entity or mode == "disabled" or os.environ.get("STEPLOG_NAMESPACE"):
        return None
    why = "no server is asked, and the one that will be may not have it"
    if mode == "online":
        with suppress(steplog.ConfigurationError):
            if steplog.get_default_client().local is None:
                return entity
            why = "this machine's own server has one user"
    say_once(f"the entity {entity!r} is left out: {why}; set STEPLOG_NAMESPACE to keep it")
    return None


def _of(arguments: dict[str, Any], namespace: str | None) -> tuple[steplog.Run, bool]:
    now_ns = time.time_ns()
    try:
        run = steplog.init(namespace=namespace, **arguments)
    except steplog.RunExistsError:
        if arguments["resume"] is not None:
            raise
        taken = arguments["id"]
        say(
            f"the run id {taken!r} is taken, and its run stays as it is: this is another of that name; "
            'to go on with the first: wandb.init(id="…", resume="allow")'
        )
        named = {**arguments, "id": None, "name": arguments["name"] or taken}
        return steplog.init(namespace=namespace, **named), False
    return run, arguments["resume"] in ("allow", "must") and _was_there(run, now_ns)


def _was_there(run: steplog.Run, now_ns: int) -> bool:
    """Whether the run is older than the call that gave it."""
    if run._is_new or not isinstance(run._opened, OpenRun):
        return False
    began = run._opened.manifest.generations[:1]
    return run._told is not None or not began or began[0].began < now_ns


def _sync_tensorboard(run: Run) -> None:
    from steplog.compat import tensorboard_sync

    tensorboard_sync.start(run.steplog_run)
    run.call_at_end(lambda failed: tensorboard_sync.stop())


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return "ipykernel" in sys.modules and shell is not None and shell.get_ipython() is not None


def _conclude() -> None:
    for run in list(open_runs.open_runs):
        run.conclude()


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """Finish ``wandb.run``; without one, nothing."""
    run = open_runs.current()
    if run is not None:
        run.finish(exit_code)


class _Session:
    """What ``setup`` gives."""

    @property
    def settings(self) -> Settings:
        return _session

    def teardown(self, exit_code: int | None = None) -> None:
        teardown(exit_code)


def setup(settings: Settings | dict[str, Any] | None = None) -> _Session:
    """Set what every later ``init`` of this process begins with."""
    if settings is not None:
        told = settings if isinstance(settings, Settings) else Settings(**settings)
        _session.update_from_dict(told.given())
    return _Session()


def teardown(exit_code: int | None = None) -> None:
    """Finish every open run."""
    for run in reversed(list(open_runs.open_runs)):
        run.finish(exit_code)


def attach(attach_id: str | None = None, run_id: str | None = None, **_: Any) -> Run:
    """Join a run that another process has, by its id."""
    if not (attach_id or run_id):
        raise UsageError("Either `attach_id` or `run_id` must be specified")
    try:
        run = steplog.attach(str(attach_id or run_id))
    except (steplog.SteplogError, ValueError, OSError) as error:
        raise UsageError(f"Unable to attach to run {attach_id or run_id} ({error})") from error
    made = Run(run, Settings(run_id=attach_id or run_id), is_own=False, start=_after(run), config=run.config.copy())
    open_runs.open_runs.append(made)
    open_runs.bind(made)
    return made


def require(requirement: Any = None, experiment: Any = None) -> None:
    """Do nothing: there are no switches of wandb's own here."""


def ensure_configured() -> None:
    """Do nothing: a run configures itself."""


def _after_fork_in_child() -> None:
    global _one_at_a_time
    _one_at_a_time = ReentrantLock()  # another thread may have held it


os.register_at_fork(after_in_child=_after_fork_in_child)
