"""``steplog.compat.install("wandb")``: what then imports wandb, or looks for it, finds steplog's module."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from compat.processes import REAL, environment, python, without_the_real_ones, write
from steplog.compat import install
from steplog.compat.shadow import NAMES, folder_of

pytestmark = without_the_real_ones
INSTALL = "import sys\nimport steplog.compat\nsteplog.compat.install('wandb')\n"


def printed(where: Path, program: str, *paths: Path) -> str:
    write(where, {"program.py": textwrap.dedent(program)})
    done = python(where, environment(*paths), "-W", "error", "program.py")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_both_names_give_the_same_modules(tmp_path):
    program = """
        import importlib
        import steplog.compat
        for name, inner in {"wandb": "sdk.lib", "mlflow": "tracking", "trackio": "media"}.items():
            steplog.compat.install(name)
            module, imported = importlib.import_module(name), importlib.import_module(f"{name}.{inner}")
            ours = importlib.import_module(f"steplog.compat.{name}")
            assert module is ours and ours.__spec__.name == f"steplog.compat.{name}"
            assert imported is importlib.import_module(f"steplog.compat.{name}.{inner}")
            assert importlib.reload(module) is ours
    """
    assert printed(tmp_path, program) == ""


def test_who_looks_for_the_distribution_or_the_module_finds_them_unimported(tmp_path):
    program = f"""
        import importlib, sys
        from importlib import metadata, util
        import steplog.compat
        for name in {NAMES}:
            steplog.compat.install(name)
            version = metadata.version(name)
            assert metadata.distribution(name).metadata["Name"] == name and version.endswith("+steplog")
            assert metadata.packages_distributions()[name] == [name]
            assert util.find_spec(name) is not None and f"steplog.compat.{{name}}" not in sys.modules
            assert version == importlib.import_module(name).__version__ + "+steplog"
            assert util.find_spec(f"{{name}}.none") is None
    """
    assert printed(tmp_path, program) == ""


def test_an_object_pickled_by_one_name_is_known_by_the_other(tmp_path):
    program = """
        import pickle
        from wandb import Settings
        import steplog.compat.wandb as ours
        assert type(pickle.loads(pickle.dumps(Settings()))) is ours.Settings
    """
    assert printed(tmp_path, INSTALL + textwrap.dedent(program)) == ""


def test_a_name_is_taken_by_the_same_code_in_each_folder():
    texts = {(Path(folder_of(name)) / name / "__init__.py").read_text("utf-8") for name in NAMES}
    assert len(texts) == 1


def test_what_the_module_does_not_have_cannot_be_imported(tmp_path):
    program = """
        try:
            import wandb.none
        except ModuleNotFoundError as error:
            print(error.name)
    """
    assert printed(tmp_path, INSTALL + textwrap.dedent(program)) == "wandb.none\n"


def test_an_installed_logger_is_not_replaced_unasked(tmp_path):
    real = write(tmp_path / "real", REAL)
    program = """
        import sys
        import steplog.compat
        try:
            steplog.compat.install("wandb")
        except ImportError as error:
            print(error)
        import wandb
    """
    refused, real_one = printed(tmp_path, program, real).splitlines()
    assert str(real / "wandb" / "__init__.py") in refused
    assert 'steplog.compat.install("wandb", replace=True)' in refused
    assert real_one == "the real one"


def test_an_installed_logger_is_replaced_where_asked(tmp_path):
    program = """
        import steplog.compat
        steplog.compat.install("wandb", replace=True)
        from importlib import metadata
        import wandb.sdk.lib
        print(wandb.__version__, metadata.version("wandb").partition("+")[0])
    """
    assert printed(tmp_path, program, write(tmp_path / "real", REAL)) == "0.31.0 0.31.0\n"


def test_a_logger_that_is_imported_already_is_replaced_with_a_warning(tmp_path):
    program = """
        import logging, sys
        import steplog.compat
        import wandb.sdk
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        try:
            steplog.compat.install("wandb")
        except ImportError:
            steplog.compat.install("wandb", replace=True)
        import wandb.sdk
        print(wandb.__version__, wandb.sdk.__name__)
    """
    _, said, ours = printed(tmp_path, program, write(tmp_path / "real", REAL)).splitlines()
    assert "call install() before the first import" in said
    assert ours == "0.31.0 steplog.compat.wandb.sdk"


def test_a_folder_of_runs_called_wandb_is_no_installed_logger(tmp_path):
    """wandb itself leaves one in the current directory, and Python can import it, as a package without code."""
    write(tmp_path, {"wandb/offline-run-1/run-1.wandb": ""})
    program = "import wandb\nassert not hasattr(wandb, 'init')\n" + INSTALL + "import wandb\nprint(wandb.__version__)\n"
    assert printed(tmp_path, program) == "0.31.0\n"


def test_a_second_install_changes_nothing(tmp_path):
    program = "before = sys.path[:], sys.meta_path[:]\nimport wandb\nsteplog.compat.install('wandb', replace=True)\n"
    after = "import wandb as again\nassert again is wandb and before == (sys.path, sys.meta_path)\n"
    assert printed(tmp_path, INSTALL + program + after) == ""


def test_a_name_that_a_program_has_given_to_the_module_itself_is_no_installed_logger(tmp_path):
    program = """
        import sys
        import steplog.compat.wandb
        sys.modules["wandb"] = steplog.compat.wandb
        steplog.compat.install("wandb")
        import wandb.sdk
        assert wandb.sdk is steplog.compat.wandb.sdk
    """
    assert printed(tmp_path, program) == ""


def test_all_names_are_imported_by_a_star_without_a_framework(tmp_path):
    assert printed(tmp_path, f"{INSTALL}from wandb import *\nprint(init.__name__)\n") == "init\n"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_of_multiprocessing_sees_what_its_parent_has_installed(tmp_path, method):
    program = f"""
        def child():
            import wandb
            print(wandb.__name__, flush=True)

        if __name__ == "__main__":
            import multiprocessing, steplog.compat
            steplog.compat.install("wandb")
            process = multiprocessing.get_context({method!r}).Process(target=child)
            process.start()
            process.join()
    """
    assert printed(tmp_path, program) == "steplog.compat.wandb\n"


def test_a_name_of_no_module_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"no module for 'wandbb': it has mlflow, trackio, wandb"):
        install("wandbb")
