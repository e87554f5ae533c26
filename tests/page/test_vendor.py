"""The page's source: what others wrote is as they wrote it, and what is ours keeps to its layers, sizes and policy."""

from __future__ import annotations

import graphlib
import hashlib
import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src" / "steplog" / "server" / "page"
VENDOR = PAGE / "vendor"
AXE = Path(__file__).with_name("vendor")
MODULES = sorted(file for file in PAGE.rglob("*.js") if VENDOR not in file.parents)
STYLES = sorted((PAGE / "styles").glob("*.css"))
LINES_MAX = 300
COLUMNS_MAX = 120
FUNCTION_LINES_MAX = 60
LICENSES = {"MIT", "Apache-2.0", "MPL-2.0"}

IMPORTED = re.compile(
    r"""^\s*(?:import|export)\s(?:[^;"']*?\sfrom\s)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']""", re.M
)
VENDORED_IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*\(?["']([^"'\s]+)["']""")  # also where all is one line
# What each layer may import of the others; a module's own folder is free to it.
LAYERS = {
    "main.js": {"state.js", "ui.js", "data/", "views/"},
    "state.js": {"ui.js"},
    "ui.js": {"vendor/"},
    "data/": {"ui.js", "state.js", "charts/palette.js"},
    "charts/": {"data/values.js", "data/time.js"},
    "views/": {"ui.js", "state.js", "data/", "charts/"},
}
# Nothing of these is allowed by the page's policy, or is safe with what runs are called.
FORBIDDEN = {
    "markup from text": r"\b(?:inner|outer)HTML\b|insertAdjacentHTML|document\.write|DOMParser|dangerouslySet"
    r"|\.srcdoc\b|\bsrcdoc=|setAttribute\(\s*[\"']srcdoc",
    "code from text": r"\beval\(|new Function\b|set(?:Timeout|Interval)\(\s*[\"'`]|javascript:",
    "a style attribute": r"\bstyle=(?!\$\{)|setAttribute\(\s*[\"']style[\"']",
    "an event attribute": r"<[^>]*\son[a-z]+=[\"']",
    "a message box": r"\b(?:alert|confirm|prompt)\(",
    "words for the console": r"\bconsole\.|\bdebugger\b",
    "another origin": r"https?://(?!www\.w3\.org/)",
    "a line's end for a space, which htm drops beside a tag": r"[\w,;.)]</(?:code|b|em|strong)>\n\s*[a-z(]",
    "what outlives the tab and is not this server's": r"\blocalStorage\b.*token|document\.cookie",
}
WAITING: set[str] = set()  # for a view
VAGUE = re.compile(r"manager|handler|helper|util", re.IGNORECASE)
FUNCTION = re.compile(
    r"^(  |)(?:export )?(?:default )?(?:static )?(?:async )?(?:function\*? )?[#\w]+\([^\n]*\) \{\n", re.M
)


def name_of(file: Path) -> str:
    return file.relative_to(PAGE).as_posix()


def layer_of(name: str) -> str:
    return name if "/" not in name else name.partition("/")[0] + "/"


def imports_of(file: Path) -> set[str]:
    """What a module imports, as paths below the page; a bare specifier as it is."""
    text = file.read_text("utf-8")
    vendored = VENDORED_IMPORT.findall(text) if VENDOR in file.parents else []
    found = vendored or [static or late for static, late in IMPORTED.findall(text)]
    return {
        (file.parent / each).resolve().relative_to(PAGE.resolve()).as_posix() if each.startswith(".") else each
        for each in found
    }


@pytest.mark.parametrize("folder", [VENDOR, AXE], ids=["page", "tests"])
def test_vendored_files_are_those_of_their_packages(folder):
    noted = json.loads((folder / "modules.json").read_text("utf-8"))
    files = {name: told for package in noted.values() for name, told in package["files"].items()}
    assert files.keys() | {"modules.json"} == {file.name for file in folder.iterdir()}
    for name, told in files.items():
        content = (folder / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == told["sha256"], f"{name} is not what scripts/vendor wrote"
        if not name.endswith(".js"):
            assert told["sha256"] == told["upstream_sha256"], f"{name} is not as in its package"
    for package, told in noted.items():
        assert told["license"] in LICENSES
        assert told["integrity"].startswith("sha512-")
        assert any(name.endswith(".LICENSE") for name in told["files"]), f"{package} has no licence here"


@pytest.mark.parametrize("folder", [VENDOR, AXE], ids=["page", "tests"])
def test_the_script_that_vendors_names_the_packages_that_are_here(folder):
    script = runpy.run_path(str(ROOT / "scripts" / "vendor"))
    noted = json.loads((folder / "modules.json").read_text("utf-8"))
    assert {package: dict.fromkeys(files.values()) for package, files in script["FOLDERS"][folder].items()} == {
        package: dict.fromkeys(told["files"]) for package, told in noted.items()
    }
    assert (
        script["rewritten"]('import{a}from"preact";\n//# sourceMappingURL=x.map\n') == 'import{a}from"./preact.js";\n'
    )


def test_vendored_modules_import_only_each_other_and_make_no_code_of_text():
    for file in VENDOR.glob("*.js"):
        text = file.read_text("utf-8")
        specifiers = VENDORED_IMPORT.findall(text)
        assert all((VENDOR / each).exists() for each in specifiers), f"{file.name} imports {specifiers}"
        assert not re.search(r"\beval\(|new Function\b|\bFunction\(", text), file.name


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_imports_only_what_is_below_it(file):
    own = layer_of(name_of(file))
    for imported in imports_of(file):
        granted = {own} if own.endswith("/") else set()
        assert imported.startswith(tuple(LAYERS[own] | granted)), f"{own} may not import {imported}"
        assert (PAGE / imported).is_file(), f"there is no {imported}"


def test_modules_do_not_import_in_a_circle():
    try:
        graphlib.TopologicalSorter({name_of(file): imports_of(file) for file in MODULES}).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"imports in a circle: {' <- '.join(error.args[1])}", pytrace=False)


def test_every_module_is_used():
    reached, left = set(), {"main.js"} | WAITING
    while left:
        name = left.pop()
        reached.add(name)
        left |= imports_of(PAGE / name) - reached
    unused = {name_of(file) for file in [*MODULES, *VENDOR.glob("*.js")]} - reached
    assert not unused, f"nothing imports {sorted(unused)}"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_fits_in_its_room_and_says_what_it_is_for(file):
    lines = file.read_text("utf-8").splitlines()
    assert len(lines) < LINES_MAX, f"{len(lines)} lines; split it where it holds two things"
    assert lines[0].startswith("// "), "begin with a line that says what the module is for"
    long = [at for at, line in enumerate(lines, 1) if len(line) > COLUMNS_MAX]
    assert not long, f"lines {long} have more than {COLUMNS_MAX} columns"
    assert not [at for at, line in enumerate(lines, 1) if "\t" in line or line != line.rstrip()]
    assert not VAGUE.search(file.stem), "say what it does instead"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_function_of_a_module_fits_on_a_screen(file):
    text = file.read_text("utf-8")
    for found in FUNCTION.finditer(text):
        end = text.find(f"\n{found[1]}}}", found.end())
        lines = text.count("\n", found.start(), end) + 2
        assert lines <= FUNCTION_LINES_MAX, f"{found[0].strip()} has {lines} lines; take a step out of it"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_makes_no_markup_and_no_code_of_text(file):
    text = re.sub(r"^\s*(?://|/?\*).*", "", file.read_text("utf-8"), flags=re.MULTILINE)
    found = {what: match[0] for what, pattern in FORBIDDEN.items() if (match := re.search(pattern, text))}
    assert not found


@pytest.mark.parametrize("file", STYLES, ids=name_of)
def test_a_style_sheet_loads_nothing(file):
    text = file.read_text("utf-8")
    assert not re.search(r"url\(|@import|@font-face", text)


def test_every_style_sheet_is_linked_by_the_index():
    """The server fills them in from the folder."""
    assert "{{styles}}" in (PAGE / "index.html").read_text("utf-8")
    assert STYLES


def test_the_readme_of_the_page_names_what_is_in_it():
    text = (PAGE / "README.md").read_text("utf-8")
    beside = {file.name + ("/" if file.is_dir() else "") for file in PAGE.iterdir()} - {"README.md", "icon.svg"}
    missing = [name for name in sorted(beside) if name not in text]
    assert not missing, f"say in page/README.md what is in {missing}"
