"""``python -m steplog.compat wandb PROGRAM``: a program that is not changed, run as Python itself runs it."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pytest

from compat.processes import REAL, SOURCE, environment, python, without_the_real_ones, write
from steplog.compat.__main__ import flags

pytestmark = without_the_real_ones
COMMAND = ("-m", "steplog.compat", "wandb")
PROGRAMS = {
    "arguments": "import sys\nprint(sys.argv, __file__, __name__, __spec__, sys.path[0], sys.flags.optimize)\n",
    "exit_code": "import sys\nsys.exit(3)\n",
    "exit_text": "import sys\nsys.exit('the end')\n",
    "exception": "def divide():\n    return 1 / 0\n\ndivide()\n",
    "syntax": "def :\n",
    "beside": "import neighbour\nprint(neighbour.__file__)\n",
    "interrupt": "raise KeyboardInterrupt\n",
    "at_exit": "import atexit, sys\natexit.register(lambda: print(sys.modules['__main__'].HERE))\nHERE = 1\n",
    "pickle": "import pickle\nclass A:\n    pass\nprint(pickle.dumps(A()))\n",
    "input": "print(input())\n",
    "signal": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n",
}
QUICK = ("arguments", "exception", "signal")


def ran(where: Path, env: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    done = python(where, env, *arguments)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PROGRAMS]
)
def test_a_program_ends_and_prints_as_under_python_itself(tmp_path, name):
    env = environment()
    write(tmp_path, {f"folder/{name}.py": PROGRAMS[name], "folder/neighbour.py": ""} | {"folder/wandb/run/a": ""})
    program = f"folder/{name}.py", "--lr", "-m", "0.1"
    plain = ran(tmp_path, env, "-O", *program)
    assert ran(tmp_path, env, "-O", *COMMAND, *program) == plain
    assert plain[1:] != ("", "") or plain[0]


@pytest.mark.parametrize(
    "how", [("-m", "package.module", "x"), ("-c", "import sys; print(sys.argv)", "-c"), ("folder",)]
)
def test_a_module_a_text_and_a_folder_are_run_as_by_python(tmp_path, how):
    text = "import sys\nfrom package import other\nprint(sys.argv, __spec__ and __spec__.name, __package__)\n"
    write(tmp_path, {"package/module.py": text, "package/other.py": "", "folder/__main__.py": "print(__file__)\n"})
    env = environment()
    plain = ran(tmp_path, env, *how)
    assert plain[0] == 0
    assert ran(tmp_path, env, *COMMAND, *how) == plain


def test_the_program_and_its_children_import_steplogs_module(tmp_path):
    program = """
        import multiprocessing, subprocess, sys

        def child():
            import wandb
            print(wandb.__name__, flush=True)

        if __name__ == "__main__":
            child()
            for method in ("spawn", "forkserver"):
                process = multiprocessing.get_context(method).Process(target=child)
                process.start()
                process.join()
            text = "from importlib import metadata; print(metadata.version('wandb'))"
            text += "; import wandb.sdk; print(wandb.sdk)"
            subprocess.run([sys.executable, "-c", text], check=True)
    """
    write(tmp_path, {"program.py": textwrap.dedent(program)})
    code, out, err = ran(tmp_path, environment(), *COMMAND, "program.py")
    assert (code, err) == (0, "")
    *names, version, sdk = out.splitlines()
    assert names == ["steplog.compat.wandb"] * 3
    assert version.partition("+")[0] == "0.31.0"
    assert "'steplog.compat.wandb.sdk'" in sdk


def test_a_command_is_run_with_what_its_programs_need(tmp_path):
    write(tmp_path, {"program.py": "import sys, wandb\nprint(wandb.__name__, sys.argv)\n"})
    shell = "sh", "-c", f"{sys.executable} program.py x; exit 5"
    assert ran(tmp_path, environment(), *COMMAND, *shell) == (5, "steplog.compat.wandb ['program.py', 'x']\n", "")


def test_a_file_is_a_script_though_a_command_is_called_like_it(tmp_path):
    write(tmp_path, {"sh": "import wandb\nprint(wandb.__name__)\n"})
    assert ran(tmp_path, environment(), *COMMAND, "sh") == (0, "steplog.compat.wandb\n", "")


def test_a_child_without_steplog_imports_what_it_would_without_the_command(tmp_path):
    """As where a program starts another environment's Python, which inherits PYTHONPATH."""
    real = write(tmp_path / "real", REAL)
    program = """
        import os, subprocess, sys
        path = [folder for folder in os.environ["PYTHONPATH"].split(os.pathsep) if folder not in sys.argv]
        def start(*more):
            env = os.environ | {"PYTHONPATH": os.pathsep.join([*path, *more])}
            return subprocess.run([sys.executable, "-S", "-c", "import wandb"], env=env, capture_output=True, text=True)
        print(start(sys.argv[1]).stdout.strip(), start().stderr.strip().splitlines()[-1])
    """
    write(tmp_path, {"program.py": textwrap.dedent(program)})
    code, out, _ = ran(tmp_path, environment(), *COMMAND, "program.py", str(real), SOURCE)
    assert code == 0
    assert out.startswith("the real one ModuleNotFoundError: No module named 'wandb'")  # 3.15 adds that -S is given


def test_an_installed_logger_is_replaced_by_the_command_only_where_asked(tmp_path):
    env = environment(write(tmp_path / "real", REAL))
    write(tmp_path, {"program.py": "import wandb\nprint(wandb.__name__)\n"})
    code, out, err = ran(tmp_path, env, *COMMAND, "program.py")
    assert (code, out) == (2, "")
    assert str(tmp_path / "real" / "wandb" / "__init__.py") in err
    assert "type --replace before wandb" in err
    replacing = ran(tmp_path, env, "-m", "steplog.compat", "--replace", "wandb", "program.py")
    assert replacing == (0, "steplog.compat.wandb\n", "")


def test_a_programs_own_module_of_the_name_is_never_replaced(tmp_path):
    write(tmp_path, {"folder/program.py": "", "folder/wandb.py": ""})
    code, _, err = ran(tmp_path, environment(), "-m", "steplog.compat", "--replace", "wandb", "folder/program.py")
    assert code == 2
    assert f"{tmp_path / 'folder' / 'wandb.py'} takes the name wandb: rename it" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "python -m steplog.compat: error: the following arguments are required: NAME"),
        (("wandb",), "which program? Such as: python -m steplog.compat wandb train.py"),
        (("wandbb", "train.py"), "invalid choice: 'wandbb'"),
        (("tensorboard", "train.py"), "from steplog.compat.tensorboard import SummaryWriter"),
    ],
)
def test_a_wrong_call_says_what_to_type(tmp_path, arguments, words):
    code, _, err = ran(tmp_path, os.environ | {"PYTHONPATH": SOURCE}, "-m", "steplog.compat", *arguments)
    assert code == 2
    assert words in err


def test_a_python_that_ignores_the_environment_is_refused(tmp_path):
    text = f"import sys; sys.path.insert(0, {SOURCE!r}); sys.argv[1:] = ['wandb', 'a.py']; "
    text += "from steplog.compat.__main__ import main; main()"
    code, _, err = ran(tmp_path, dict(os.environ), "-E", "-c", text)
    assert code == 2
    assert "python -E and -I ignore PYTHONPATH" in err


@pytest.mark.parametrize("flags", [("-I",), ("-uE",), ("-u", "-I")])
def test_a_program_that_is_to_ignore_the_environment_is_refused(tmp_path, flags):
    code, _, err = ran(tmp_path, dict(os.environ), "-m", "steplog.compat", "wandb", *flags, "a.py")
    assert code == 2
    assert "python -E and -I ignore PYTHONPATH" in err


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["-m", "steplog.compat"], []),
        (["-msteplog.compat"], []),
        (["-u", "-X", "dev", "-m", "steplog.compat"], ["-u", "-X", "dev"]),
        (["-Wm", "-um", "steplog.compat"], ["-Wm", "-u"]),
        (["-umsteplog.compat"], ["-u"]),
    ],
)
def test_the_flags_of_python_are_the_programs_too(given, kept):
    assert flags([sys.executable, *given, "wandb", "train.py"], 2) == kept
