"""``install("wandb")`` and its command where wandb itself is installed: refused in words, and replaced where asked."""

from __future__ import annotations

import importlib.util
import textwrap

import pytest

from compat.processes import environment, python, write

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None, reason="needs wandb: pip install 'steplog[frameworks]'"
)


def test_wandb_itself_is_kept_and_the_error_says_how_to_replace_it(tmp_path):
    program = """
        import steplog.compat
        try:
            steplog.compat.install("wandb")
        except ImportError as error:
            print(error)
        import wandb
        print(wandb.__name__)
    """
    write(tmp_path, {"program.py": textwrap.dedent(program)})
    refused, name = python(tmp_path, environment(), "program.py").stdout.splitlines()
    assert refused.startswith("wandb itself is installed, in /")
    assert refused.endswith('call steplog.compat.install("wandb", replace=True), or: pip uninstall wandb')
    assert name == "wandb"
    done = python(tmp_path, environment(), "-m", "steplog.compat", "wandb", "program.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "type --replace before wandb" in done.stderr


def test_wandb_itself_is_not_loaded_where_it_is_replaced(tmp_path):
    program = """
        import importlib.metadata, sys
        import wandb.sdk
        from wandb.errors import CommError
        real = [name for name, module in list(sys.modules.items())
                if "site-packages/wandb" in str(getattr(module, "__file__", ""))]
        print(importlib.metadata.version("wandb"), wandb.sdk.__name__, CommError.__module__, real)
    """
    write(tmp_path, {"program.py": textwrap.dedent(program)})
    done = python(tmp_path, environment(), "-m", "steplog.compat", "--replace", "wandb", "program.py")
    assert done.stdout == "0.31.0+steplog steplog.compat.wandb.sdk steplog.compat.wandb.errors []\n"
    assert (done.returncode, done.stderr) == (0, "")
