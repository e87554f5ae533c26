"""``scripts/mutate`` tells the bug that no test notices, and leaves the tree as it was."""

from __future__ import annotations

import ast
import json
import os
import select
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "mutate"
TEST = """
import subprocess, sys
from tiny.inner.clamp import clamp

def test_clamp():
    assert clamp(5) == 5
    assert clamp(-5) <= 0

def test_a_process_of_its_own_has_the_same_code():
    program = "from tiny.inner.clamp import clamp; assert (clamp(5), clamp(-5)) == (%r, %r)" % (clamp(5), clamp(-5))
    subprocess.run([sys.executable, "-c", program], check=True)
"""
TREE = {
    "pyproject.toml": '[tool.mutate.tests]\ninner = ["tests/nowhere"]\n"inner/clamp" = ["tests/test_clamp.py"]\n',
    "src/tiny/__init__.py": "",
    "src/tiny/inner/clamp.py": "def clamp(value: float = 3) -> float:\n    return max(value, 0)\n",
    "tests/test_clamp.py": TEST,
}


@pytest.fixture(scope="module")
def mutate() -> Any:
    loader = SourceFileLoader("mutate", str(SCRIPT))
    module = module_from_spec(spec_from_loader("mutate", loader))  # type: ignore[arg-type]
    sys.modules["mutate"] = module  # where its dataclass looks for itself
    loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.slow
def test_a_survivor_is_told_with_its_line_and_the_tree_is_left_as_it_was(tree: Path):
    command = [sys.executable, str(SCRIPT), "inner/clamp", "--count", "99", "--root", str(tree)]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=100)
    told = [json.loads(line) for line in (tree / "benchmarks" / "out" / "mutants.jsonl").read_text().splitlines()]
    assert {(row["line"], row["before"], row["after"]): row["outcome"] for row in told} == {
        (1, "3", "(4)"): "survived",
        (1, "3", "(2)"): "survived",
        (2, "return max(value, 0)", "return None"): "killed",
        (2, "max(value, 0)", "(min(value, 0))"): "killed",
        (2, "0", "(1)"): "killed",
        (2, "0", "(-1)"): "survived",
    }
    assert {row["outcome"]: row["by"] for row in told}["killed"] == ["tests/test_clamp.py::test_clamp"]
    assert (done.returncode, done.stderr) == (1, "")
    assert "survived   src/tiny/inner/clamp.py:2:23  0  →  (-1)" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["src/tiny/inner", "3", "3", "0"]
    assert {name: (tree / name).read_text() for name in TREE} == TREE


@pytest.mark.slow
def test_tests_that_fail_without_a_mutant_prove_nothing(tree: Path):
    (tree / "tests" / "test_clamp.py").write_text("def test_it():\n    assert False\n")
    command = [sys.executable, str(SCRIPT), "inner/clamp", "--root", str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        "mutate: these tests fail without a mutant: tests/test_clamp.py",
    )


HANGS = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; time.sleep(1000)"], close_fds=False)
"""


def test_what_hangs_is_ended_with_what_it_has_started(mutate: Any, tree: Path, tmp_path: Path):
    copy = mutate.Tree(tree, tmp_path / "copy")
    reading, writing = os.pipe()
    copy._started["pass_fds"] = [writing]  # open for as long as one of them lives
    assert copy._run(["-c", HANGS], 1)[0] is None
    os.close(writing)
    assert select.select([reading], [], [], 30)[0]
    os.close(reading)


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("a < b", {"(a <= b)", "(a >= b)"}),
        ("0 <= a < 9", {"(0 < a < 9)", "(0 > a < 9)", "1 <= a < 9", "-1 <= a < 9", "0 <= a < 10", "0 <= a < 8"}),
        ("a is None", {"(a is not None)"}),
        ("a in b", {"(a not in b)"}),
        ("a and b", {"(a or b)"}),
        ("not a", {"(a)"}),
        ("a + b", {"(a - b)"}),
        ("a += b", {"a -= b"}),
        ("a = True", {"a = False"}),
        ("min(a, b)", {"(max(a, b))", "pass"}),
        ("if a:\n    b", {"if not a:\n    b"}),
        ("while a.b(c):\n    b", {"while not a.b(c):\n    b"}),
        ("for a in b:\n    break", {"for a in b:\n    continue"}),
        ("def a():\n    return b", {"def a():\n    return None"}),
        ("a: 'b | c'", set()),
        ("f'{a + b}'", set()),
        ("if TYPE_CHECKING:\n    a()", set()),
        ("größe = a + b", {"größe = a - b"}),
    ],
)
def test_each_kind_of_change_is_made_where_it_belongs(mutate: Any, source: str, changed: set[str]):
    found = [ast.unparse(ast.parse(mutant.changed)) for mutant in mutate.mutants_of(source, "x.py")]
    assert sorted(found) == sorted(ast.unparse(ast.parse(text)) for text in changed)
