"""``python -m steplog.compat wandb SCRIPT``: run a program as it is, with steplog under wandb's name.

This process becomes ``python SCRIPT`` (exec) with a folder more on PYTHONPATH: the program's arguments, ``__main__``,
exit code and traceback are Python's own, and its children inherit the folder. See ``shadow``. What is no file and no
option of Python's is a command, such as ``torchrun``, ``accelerate`` or ``bash``, and is run with the same environment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from steplog.compat.shadow import NAMES, folder_of, real_spec, taken

__all__ = ["flags", "main"]

_PROG = "python -m steplog.compat"
_USAGE = f"{_PROG} [-h] [--replace] NAME (SCRIPT | -m MODULE | -c CODE | COMMAND) [ARGUMENT ...]"


def main() -> None:
    """Replace this process by the program."""
    parser = argparse.ArgumentParser(
        prog=_PROG,
        usage=_USAGE,
        description="Run a program as it is, and log to steplog what it logs to another logger.",
        allow_abbrev=False,
    )
    parser.add_argument("--replace", action="store_true", help="also where the other logger is installed")
    names = ", ".join(NAMES)
    parser.add_argument("name", metavar="NAME", type=_name, choices=NAMES, help=f"the other logger: {names}")
    parser.add_argument(
        "program", metavar="SCRIPT", nargs=argparse.REMAINDER, help="what python gets as arguments, or a command"
    )
    given = parser.parse_args()
    if not given.program:
        parser.error("which program? Such as: python -m steplog.compat wandb train.py")
    if sys.flags.ignore_environment or _ignores_environment(given.program):
        parser.error("python -E and -I ignore PYTHONPATH, by which the program would find steplog: leave them out")
    _look_where_the_program_looks(given.program)
    if (beside := PathFinder.find_spec(given.name, sys.path[:1])) is not None and beside.origin is not None:
        parser.exit(2, f"steplog: the program's own {beside.origin} takes the name {given.name}: rename it\n")
    if not given.replace and (there := real_spec(given.name)) is not None:
        parser.exit(2, f"steplog: {taken(given.name, there, f'type --replace before {given.name}')}\n")
    paths = os.environ.get("PYTHONPATH")
    folder = folder_of(given.name)
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, paths] if paths else [folder])
    python = [sys.executable, *flags(sys.orig_argv, len(sys.argv) - 1)]
    arguments = given.program if _is_command(given.program[0]) else [*python, *given.program]
    os.execvp(arguments[0], arguments)  # noqa: S606 - what the user has typed, and no shell


def _name(given: str) -> str:
    if given.lower() in ("tensorboard", "tensorboardx"):  # frameworks have many names for its writer
        words = "its writers take one line: from steplog.compat.tensorboard import SummaryWriter; or, for those of a "
        raise argparse.ArgumentTypeError(f"{words}framework: steplog.compat.tensorboard_sync.start(run)")
    return given


def _ignores_environment(arguments: list[str]) -> bool:
    """Whether one of Python's own options, which come before the program, is -E or -I."""
    for argument in arguments:
        if not argument.startswith("-") or argument[1:2] in ("", "-", "c", "m"):
            return False
        if argument[1] not in "WX" and {"E", "I"} & set(argument.partition("c")[0].partition("m")[0]):
            return True
    return False


def _is_command(first: str) -> bool:
    return not first.startswith("-") and not os.path.exists(first) and shutil.which(first) is not None


def flags(orig_argv: list[str], own: int) -> list[str]:
    """What Python was given before ``-m steplog.compat``, and its ``own`` arguments, such as ``-u`` or ``-X dev``."""
    *before, last = orig_argv[1 : len(orig_argv) - own]
    glued = last if last.startswith("-") else before.pop()  # -m, or -um, or -msteplog.compat
    return [*before, *(flag for flag in [glued[: glued.index("m")]] if flag != "-")]


def _look_where_the_program_looks(program: list[str]) -> None:
    """It has the script's folder first, where this process has the current one."""
    if os.path.exists(program[0]) and sys.path and sys.path[0] == os.getcwd():
        script = Path(program[0]).resolve()
        sys.path[0] = str(script if script.is_dir() else script.parent)


if __name__ == "__main__":
    main()
