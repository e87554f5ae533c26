"""Where and from what a program was started: ``COLLECTED``, each of them explained in the docs.

Nothing is imported while it is collected, no process is started, and no name service is asked: a thread collects, while
the program forks. The environment is read for a user's name and a scheduler's job, and not sent.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from steplog.loaded import loaded
from steplog.machine.git import git_state
from steplog.machine.git_objects import UnknownError, read
from steplog.machine.masking import command_line, masked

__all__ = ["COLLECTED", "JOB_VARIABLES", "collect", "sources"]

COLLECTED = ("host", "user", "pid", "python", "command", "git", "job")
JOB_VARIABLES = {  # in this order; of an array, the job and the task
    "Slurm": (("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"), ("SLURM_JOB_ID",)),
    "PBS": (("PBS_JOBID",),),
    "LSF": (("LSB_JOBID", "LSB_JOBINDEX"),),
    "Grid Engine": (("JOB_ID", "SGE_TASK_ID"),),
    "Flux": (("FLUX_JOB_ID",),),
    "OAR": (("OAR_JOB_ID",),),
    "HTCondor": (("_CONDOR_JOB_ID",),),
    "AWS Batch": (("AWS_BATCH_JOB_ID",),),
    "Kubeflow": (("KFP_RUN_ID",),),
}
_USERS = "/etc/passwd"
_USERS_BYTES_MAX = 1024 * 1024
_CHARACTERS_MAX = 256


def collect(environ: Mapping[str, str] = os.environ) -> dict[str, object]:
    """All of it, without secrets; what is not known is left out, but for parts of ``git``, which are None."""
    version = ".".join(map(str, sys.version_info[:3]))
    implementation = {"cpython": "CPython", "pypy": "PyPy"}.get(sys.implementation.name, sys.implementation.name)
    found: dict[str, object] = {
        "host": _text(os.uname().nodename),
        "user": _text(_user(environ)),
        "pid": os.getpid(),
        "python": f"{implementation} {version}",
        "command": command_line(sys.orig_argv),
    }
    state = next((state for state in map(git_state, sources()) if state is not None), None)
    if state is not None:
        branch = None if state.branch is None else _text(masked(state.branch))
        found["git"] = {"commit": state.commit, "branch": branch, "dirty": state.dirty}
    if job := _job(environ):
        found["job"] = _text(job)
    return found


def sources() -> list[str]:
    """Directories that the code may be in: that of the program, if it is a file, and the current one."""
    directories = []
    main = getattr(loaded("__main__"), "__file__", None)
    if isinstance(main, str):
        directories.append(os.path.dirname(os.path.abspath(main)))
    try:
        directories.append(os.getcwd())
    except OSError:  # it was removed
        return directories
    return list(dict.fromkeys(directories))


def _user(environ: Mapping[str, str]) -> str:
    """By the file alone: a name service may be a server that is away."""
    uid = b"%d" % os.geteuid()
    try:
        for line in (read(_USERS, _USERS_BYTES_MAX) or b"").splitlines():
            name, *rest = line.split(b":")
            if rest[1:2] == [uid]:
                return os.fsdecode(name)
    except (OSError, UnknownError):
        pass
    return environ.get("LOGNAME") or environ.get("USER") or uid.decode()


def _job(environ: Mapping[str, str]) -> str | None:
    for scheduler, choices in JOB_VARIABLES.items():
        for variables in choices:
            values = [environ.get(variable, "") for variable in variables]
            if values[0]:
                return f"{scheduler} " + "_".join(value for value in values if value not in ("", "0", "undefined"))
    return None


def _text(value: str) -> str:
    """What JSON takes, and no more than a line holds."""
    return value.encode("utf-8", "replace").decode("utf-8", "replace")[:_CHARACTERS_MAX]
