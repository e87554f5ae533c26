"""What MkDocs does for this site beyond Markdown: the changelog as a page, links of names, the search's entries."""

from __future__ import annotations

import html
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[2]
CHANGELOG = "changelog.md"
_ENTRY = re.compile(r"^#{2,3} `([\w.]+)`$", re.MULTILINE)
_COMMAND = re.compile(r"^## `?(?:steplog )?([a-z-]+)`?$", re.MULTILINE)
_SETTING = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
_SKIPPED = re.compile(r"(<pre.*?</pre>|<a .*?</a>|<h[1-6].*?</h[1-6]>|<tr id=[^>]*>\s*<td>.*?</td>)", re.DOTALL)
_CODE = re.compile(r"<code>([^<]+)</code>")
_ROW = re.compile(r"<tr>(\s*<td><code>(\w+)</code></td>.*?)</tr>", re.DOTALL)
_OPENED = re.compile(r" ([.(=\[]) ")  # as a program is written, whose words have been put apart
_CLOSED = re.compile(r" ([),\]:])")
_PATH = re.compile(r"\[docs/([\w/-]+)\.md\]")  # a path in the repository, which here is a page
_TAG = re.compile(r"<[^>]+>")

_targets: dict[str, str] = {}  # what a text of code means: its address
_settings: list[dict[str, str]] = []  # entries of the search


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Say which version this is."""
    config.extra["version"] = version("steplog")
    _targets.clear()
    _settings.clear()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, and find what names, commands and settings lead to."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8").replace("](docs/", "](")
    text = _PATH.sub(r"[\1]", text)
    files.append(File.generated(config, CHANGELOG, content=text))
    for file in files.documentation_pages():
        if file.src_uri.startswith("python/"):
            for name in _ENTRY.findall(file.content_string):
                _targets[name] = f"{file.url}#{name.lower().replace('.', '')}"
        elif file.src_uri == "commands.md":
            for name in _COMMAND.findall(file.content_string):
                _targets[f"steplog {name}"] = f"{file.url}#{name}"
        elif file.src_uri == "settings.md":
            _targets.update({name: f"{file.url}#{name}" for name in _SETTING.findall(file.content_string)})
    return files


def on_page_content(content: str, page: Page, **_: object) -> str:
    """Link names, commands and settings to their entries, and let each row of the settings be one."""
    if page.file.src_uri == "settings.md":
        content = _ROW.sub(_row, content)
    parts = _SKIPPED.split(content)
    parts[::2] = [_CODE.sub(lambda code: _linked(code[1], page), part) for part in parts[::2]]
    return "".join(parts)


def on_post_build(config: MkDocsConfig) -> None:
    """Leave the pages out of the search's entries, whose sections have the same text, and add the settings."""
    path = Path(config.site_dir, "search", "search_index.json")
    index: dict[str, Any] = json.loads(path.read_text("utf-8"))
    titles = {entry["location"]: entry["title"] for entry in index["docs"] if "#" not in entry["location"]}
    sections = [entry for entry in index["docs"] if "#" in entry["location"]]
    for entry in sections:
        entry["text"] = _CLOSED.sub(r"\1", _OPENED.sub(r"\1", entry["text"]))
    entries = [{**entry, "page": titles[entry["location"].split("#")[0]]} for entry in [*sections, *_settings]]
    path.write_text(json.dumps({"docs": entries}, separators=(",", ":")), "utf-8")


def _row(found: re.Match[str]) -> str:
    text = " ".join(html.unescape(_TAG.sub(" ", found[1])).split())
    _settings.append({"title": found[2], "text": text, "location": f"settings/#{found[2]}"})
    return f'<tr id="{found[2]}">{found[1]}</tr>'


def _linked(code: str, page: Page) -> str:
    names = [_link(name, page) for name in code.split(", ")]
    return f"<code>{', '.join(names)}</code>"


def _link(code: str, page: Page) -> str:
    target = _target(html.unescape(code))
    return code if target is None else f'<a href="{get_relative_url(target, page.url)}">{code}</a>'


def _target(code: str) -> str | None:
    """The address of the entry that a text of code means; None: it means none, or may mean something else."""
    words = code.split()
    if words[:1] == ["steplog"] and len(words) > 1:
        return _targets.get(" ".join(words[:3])) or _targets.get(" ".join(words[:2]))
    name = code.partition("(")[0]
    if name.startswith("run."):
        member = name.removeprefix("run.")
        return _targets.get(f"Run.{member}") or _targets.get(f"ReadOnlyRun.{member}")
    if name.startswith("steplog."):
        name = name.removeprefix("steplog.").removeprefix("testing.")
    elif "." not in name and "_" not in name and not re.match(r"[A-Z][a-z]+[A-Z]", name):
        return None
    return _targets.get(name)
