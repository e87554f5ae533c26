"""A module of the page, called from a test: its functions take and give values of Python.

``load(browser, server, "charts/scene.js").call("sceneOf", {...})`` runs it in the browser, under the page's own
headers, beside no view. Where values are not JSON: an ``array`` of ``d``, ``f``, ``I``, ``q``, ``B`` is a typed array,
an integer beyond 2^53 a BigInt, ``JSMap`` a Map, None is null (also what is undefined); a function's Map comes as a
dict, its Set and its arrays as lists.
"""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import dataclass
from typing import Any

from page.browser import Browser
from server.process import ServerProcess

SAFE = 2**53 - 1
ARRAYS = {"d": "Float64Array", "f": "Float32Array", "I": "Uint32Array", "q": "BigInt64Array", "B": "Uint8Array"}
PLAIN = """(value) => {
  const plain = (held) => {
    if (typeof held === "bigint") return { $int: String(held) };
    if (typeof held === "number" && !Number.isFinite(held)) return { $float: String(held) };
    if (held === undefined || typeof held === "function" || typeof held === "symbol") return null;
    if (held === null || typeof held !== "object") return held;
    if (held instanceof Map) return { $map: [...held].map(([key, each]) => [plain(key), plain(each)]) };
    if (held instanceof Date) return held.toISOString();
    if (ArrayBuffer.isView(held) || Array.isArray(held) || held instanceof Set) return Array.from(held, plain);
    return Object.fromEntries(Object.entries(held).map(([key, each]) => [key, plain(each)]));
  };
  return JSON.stringify(plain(value));
}"""


@dataclass(frozen=True)
class JSMap:
    """A dict that is to be a Map."""

    entries: dict[Any, Any]


class Module:
    """A module of the page that a browser has loaded."""

    def __init__(self, browser: Browser, path: str) -> None:
        self._browser = browser
        self._path = path

    def call(self, name: str, *arguments: Any) -> Any:
        """What an exported function returns, or its promise."""
        return self.run(f"{name}({', '.join(map(script_of, arguments))})")

    def run(self, script: str) -> Any:
        """What an expression gives, in whose scope are the module's exports, as ``module`` and by their names."""
        url = f"{self._browser.run('globalThis.assets')}/{self._path}"
        return from_plain(
            json.loads(
                self._browser.run(
                    f"""(async () => {{
                    const module = await import({json.dumps(url)});
                    const run = async () => {{
                      const {{ {", ".join(self._names(url))} }} = module;
                      return {script};
                    }};
                    return ({PLAIN})(await run());
                    }})()"""
                )
            )
        )

    def _names(self, url: str) -> list[str]:
        names = self._browser.run(f"import({json.dumps(url)}).then((module) => Object.keys(module))")
        return [name for name in names if name != "default"]


def load(browser: Browser, server: ServerProcess, path: str) -> Module:
    """Import ``page/<path>`` in a document of the page in which nothing else runs; call it again for another module."""
    if browser.run("globalThis.assets ? location.origin : null") != server.url:
        with browser.standing_in({"/main.js": b""}):
            browser.open(f"{server.url}/")
            browser.wait("document.readyState === 'complete' && document.querySelector('script[type=module]')")
        browser.run("globalThis.assets = document.querySelector('script[type=module]').src.replace('/main.js', ''), 1")
    return Module(browser, path)


def script_of(value: Any) -> str:
    """A value of Python as an expression of JavaScript."""
    if isinstance(value, array):
        return f"new {ARRAYS[value.typecode]}([{', '.join(map(_element_of(value.typecode), value))}])"
    if isinstance(value, JSMap):
        pairs = ", ".join(f"[{script_of(key)}, {script_of(held)}]" for key, held in value.entries.items())
        return f"new Map([{pairs}])"
    if isinstance(value, dict):
        return f"{{{', '.join(f'[{json.dumps(key)}]: {script_of(held)}' for key, held in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(script_of, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE:
        return f"{value}n"
    return json.dumps(value)


def _element_of(typecode: str) -> Any:
    return (lambda value: f"{value}n") if typecode == "q" else script_of


def from_plain(value: Any) -> Any:
    """What ``PLAIN`` has made of a value."""
    if isinstance(value, list):
        return [from_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$int"}:
        return int(value["$int"])
    if value.keys() == {"$float"}:
        return float(value["$float"].replace("Infinity", "inf"))
    if value.keys() == {"$map"}:
        return {_key(from_plain(key)): from_plain(held) for key, held in value["$map"]}
    return {key: from_plain(held) for key, held in value.items()}


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
