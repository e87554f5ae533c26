"""``docs/openapi.yaml``: what it says of an answer, and whether a real one is so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import yaml

from steplog.delivery.wire import API

jsonschema_rs = pytest.importorskip("jsonschema_rs", reason="jsonschema-rs, which has no wheel for this Python")

FILE = Path(__file__).parents[2] / "docs" / "openapi.yaml"
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class Operation(NamedTuple):
    """A method of a path, which begins below the API."""

    method: str
    path: str
    is_public: bool
    has_body: bool
    statuses: frozenset[int]


class Description:
    """The description, and what of it has been seen."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
        assert [server["url"] for server in self.document["servers"]] == [API]
        bases = set(_bases(self.document))
        self._closed = {
            kind: {name: _closed(each, name in bases) for name, each in made.items()}
            for kind, made in self.document["components"].items()
        }
        self.seen: set[tuple[str, str, int]] = set()

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method.upper(),
                path,
                each.get("security") == [],
                "requestBody" in each,
                frozenset(int(status) for status in each["responses"]),
            )
            for path, item in self.document["paths"].items()
            for method, each in item.items()
            if method in _METHODS
        ]

    def check(self, method: str, path: str, answer: requests.Response) -> None:
        """Fail unless the answer is as described, without a field more; note its status."""
        told = f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        responses = self.document["paths"][path][method.lower()]["responses"]
        assert str(answer.status_code) in responses, f"not described: {told}"
        self.seen.add((method, path, answer.status_code))
        response = self._resolved(responses[str(answer.status_code)])
        for name, header in response.get("headers", {}).items():
            assert name in answer.headers or not header.get("required"), f"without {name}: {told}"
        contents = response.get("content", {})
        if not contents:
            assert (answer.content, answer.headers.get("Content-Type")) == (b"", None), told
            return
        media_type = answer.headers["Content-Type"].partition(";")[0]
        assert media_type in contents, f"{media_type}: {told}"
        if "schema" in contents[media_type]:
            schema = {**_closed(contents[media_type]["schema"]), "components": self._closed}
            validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
            errors = [f"{error.instance_path}: {error.message[:200]}" for error in validator.iter_errors(answer.json())]
            assert not errors, f"{errors}: {told}"

    def schemas(self) -> Iterator[Any]:
        yield from self.document["components"]["schemas"].values()

    def references(self) -> set[str]:
        return set(_references(self.document))

    def resolves(self, reference: str) -> bool:
        return self._found(reference) is not None

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        found = self._found(node["$ref"]) if "$ref" in node else node
        assert found is not None
        return found

    def _found(self, reference: str) -> dict[str, Any] | None:
        node: Any = self.document
        for part in reference.removeprefix("#/").split("/"):
            node = node.get(part, {})
        return node or None


def _closed(node: Any, is_base: bool = False) -> Any:
    """A schema that takes no fields but those it names."""
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {
        name: [_closed(part, True) for part in each] if name == "allOf" else _closed(each)
        for name, each in node.items()
    }
    if not is_base and "additionalProperties" not in node and {"$ref", "allOf", "properties"} & node.keys():
        made["unevaluatedProperties"] = False
    return made


def _bases(node: Any) -> Iterator[str]:
    """The names of the schemas that others extend."""
    if isinstance(node, dict):
        for part in node.get("allOf", ()):
            if "$ref" in part:
                yield part["$ref"].rpartition("/")[2]
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _bases(each)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _references(each)
