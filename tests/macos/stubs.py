"""What macOS lacks of Linux's standard library, by typeshed's stubs, which its own tests compare with CPython on both.

https://github.com/python/typeshed/blob/main/tests/stubtest_stdlib.py; mypy, which checks the types, brings the stubs.
"""

from __future__ import annotations

import ast
import textwrap
from importlib.util import find_spec
from pathlib import Path

__all__ = ["MODULES", "NEVER", "VERSIONS", "directory", "lacking", "written"]

NEVER = 99

MODULES = ("os", "socket", "fcntl", "signal", "select", "mmap", "resource", "time", "errno", "termios")
VERSIONS = tuple((3, minor) for minor in range(10, 16))


def directory() -> Path | None:
    """Where mypy's stubs of the standard library are."""
    found = find_spec("mypy")
    return None if found is None or found.origin is None else Path(found.origin).parent / "typeshed" / "stdlib"


def lacking(stubs: Path) -> dict[str, dict[str, int]]:
    """By module, the names of Linux that macOS lacks, with the first 3.<minor> that has them there; NEVER: none."""
    found: dict[str, dict[str, int]] = {}
    for module in MODULES:
        path = stubs / f"{module}.pyi"
        body = ast.parse((path if path.exists() else stubs / module / "__init__.pyi").read_text("utf-8")).body
        found[module] = {}
        for version in VERSIONS:
            linux, mac = _names(body, "linux", version), _names(body, "darwin", version)
            late = {name: version[1] for name in mac if found[module].get(name) == NEVER}
            found[module] |= dict.fromkeys(linux - mac, NEVER) | late
    return found


def written(names: dict[str, dict[str, int]]) -> str:
    """As ``shim/lacking.txt`` has them: a module, then its names, each with "@<minor>" behind it or nothing."""
    lines = []
    for module, each in names.items():
        words = [name if minor == NEVER else f"{name}@{minor}" for name, minor in sorted(each.items())]
        lines += textwrap.wrap(" ".join(words), 118, initial_indent=f"{module}: ", subsequent_indent=f"{module}: ")
    return "\n".join(lines) + "\n"


def _names(body: list[ast.stmt], platform: str, version: tuple[int, int]) -> set[str]:
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.If):
            found |= _names(node.body if _holds(node.test, platform, version) else node.orelse, platform, version)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname for alias in node.names if alias.asname is not None}
    return found


def _holds(test: ast.expr, platform: str, version: tuple[int, int]) -> bool:
    """A condition on ``sys.platform`` and ``sys.version_info``."""
    if isinstance(test, ast.BoolOp):
        each = [_holds(value, platform, version) for value in test.values]
        return all(each) if isinstance(test.op, ast.And) else any(each)
    if isinstance(test, ast.UnaryOp):
        return not _holds(test.operand, platform, version)
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Attribute):
        given = platform if test.left.attr == "platform" else version
        wanted = ast.literal_eval(test.comparators[0])
        operator = test.ops[0]
        if isinstance(operator, ast.Eq):
            return given == wanted
        if isinstance(operator, ast.NotEq):
            return given != wanted
        return given >= wanted if isinstance(operator, ast.GtE) else given < wanted
    return False  # TYPE_CHECKING


def main() -> None:
    """Write the shim's list anew."""
    found = directory()
    if found is None:
        raise SystemExit("mypy is not installed")
    Path(__file__).with_name("shim").joinpath("lacking.txt").write_text(written(lacking(found)))


if __name__ == "__main__":
    main()
