"""The names of ``steplog.integrations`` and ``steplog.compat``, read from their sources: no framework is needed."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from docs import prose

__all__ = ["docstring", "modules", "parts", "public"]

SOURCES = Path(__file__).parents[2] / "src" / "steplog"
SHARED = {  # what several adapters use, or one: no adapter
    "adapter_run",
    "config_values",
    "flat_names",
    "inspect_task",
    "lightning_files",
    "optuna_trial",
    "pretrained",
    "sb3_pictures",
    "side_run",
}
NAMES_MAX = 20  # of a module whose names have an entry each
COMPAT = ("mlflow", "tensorboard", "tensorboard_sync", "trackio", "wandb")


def modules() -> list[str]:
    """The adapters, and the modules with another logger's names, by their dotted names."""
    adapters = {file.stem for file in (SOURCES / "integrations").glob("[!_]*.py")} - SHARED
    return [
        *(f"steplog.integrations.{name}" for name in sorted(adapters)),
        *(f"steplog.compat.{name}" for name in COMPAT),
    ]


def parts() -> dict[str, str]:
    """Each module's entry: what its docstring says, and how what it has is called."""
    return {name: _entry(name) for name in modules()}


def docstring(module: str) -> str | None:
    """What a module says of itself."""
    return ast.get_docstring(_tree(module))


def public(module: str) -> list[str]:
    """What a module has: its ``__all__``, or of one that imports its names late, all that it lists."""
    if module.startswith("steplog.compat.") and "__dir__" in vars(loaded := importlib.import_module(module)):
        return [name for name in dir(loaded) if not name.startswith("_")]
    for node in _tree(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return []


def _entry(module: str) -> str:
    own = public(module)
    lines = ["\n", prose.markdown(docstring(module)), "\n"]
    if len(own) > NAMES_MAX:  # those that the other logger has, which its own documentation describes
        lines.append(f"\n**Names**: {', '.join(f'`{name}`' for name in own)}\n")
    else:
        for name in own:
            lines += _called(_definition(module, name))
    return "".join((*lines, "\n"))


def _called(made: ast.ClassDef | ast.FunctionDef | None) -> Iterator[str]:
    if made is not None:
        yield f"\n```text\n{_signature(made)}\n```\n"
        if said := prose.markdown(ast.get_docstring(made)):
            yield f"\n{said}\n"


def _definition(module: str, name: str) -> ast.ClassDef | ast.FunctionDef | None:
    """The class or function of that name, in the module or where it has it from; None: it is another thing."""
    for node in _tree(module).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom) and name in [each.name for each in node.names]:
            return _definition(node.module or "", name) if (node.module or "").startswith("steplog.") else None
    return None


def _signature(made: ast.ClassDef | ast.FunctionDef) -> str:
    called: ast.stmt | None = made
    if isinstance(made, ast.ClassDef):
        called = next((each for each in made.body if getattr(each, "name", "") == "__init__"), None)
    if not isinstance(called, ast.FunctionDef):
        return f"{made.name}()"
    given = list(_parameters(called.args))
    given = given[1:] if isinstance(made, ast.ClassDef) else given
    result = "" if called.returns is None or ast.unparse(called.returns) == "None" else ast.unparse(called.returns)
    return prose.signature(made.name, given, result)


def _parameters(given: ast.arguments) -> Iterator[str]:
    plain = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(given.defaults))
    for each, default in zip(plain, [*defaults, *given.defaults], strict=True):
        yield _parameter(each, default)
    if given.vararg is not None:
        yield f"*{_parameter(given.vararg, None)}"
    named = [each for each in zip(given.kwonlyargs, given.kw_defaults, strict=True) if not each[0].arg.startswith("_")]
    if named and given.vararg is None:
        yield "*"
    for each, default in named:
        yield _parameter(each, default)
    if given.kwarg is not None:
        yield f"**{_parameter(given.kwarg, None)}"


def _parameter(given: ast.arg, default: ast.expr | None) -> str:
    kind = "" if given.annotation is None else f": {ast.unparse(given.annotation)}"
    return f"{given.arg}{kind}" + ("" if default is None else f" = {ast.unparse(default)}")


def _tree(module: str) -> ast.Module:
    file = SOURCES.joinpath(*module.split(".")[1:])
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    return ast.parse(inspect.cleandoc(file.read_text("utf-8")))
