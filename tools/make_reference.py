"""Write the pages of the documentation that are generated: the commands and the HTTP interface.

    python tools/make_reference.py docs/reference

`cli.md` is Typer's own description of every command, `http.md` the service's OpenAPI document as
tables. Neither is committed: `scripts/docs` writes them before it builds the site.
"""

from __future__ import annotations

import html
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agelens.service.app import create_app
from agelens.service.settings import Settings

Schema = dict[str, Any]


def cli_page() -> str:
    """Every command with its arguments and options, as Typer documents them."""
    command = [
        sys.executable,
        "-m",
        "typer",
        "--app",
        "app",
        "agelens.cli",
        "utils",
        "docs",
        "--name",
        "agelens",
    ]
    done = subprocess.run(
        [*command, "--title", "Command line"], capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout.replace("{", "&#123;")  # else what is in braces is an attribute list


def http_page(document: Schema) -> str:
    """The endpoints with their parameters and answers, then the objects that answers are made of.

    Args:
        document: OpenAPI 3.1, as FastAPI writes it.
    """
    schemas = dict(_objects(document))
    lines = ["# HTTP", "", document["info"]["description"], ""]
    lines += ["The running service describes itself at `/openapi.json` (OpenAPI 3.1).", ""]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            lines += [f"## `{method.upper()} {path}`", "", f"{operation['summary']}.", ""]
            if "description" in operation:
                lines += [operation["description"], ""]
            lines += _parameters(operation.get("parameters", []))
            lines += _bodies(operation.get("requestBody", {}).get("content", {}))
            lines += _answers(operation["responses"])
    lines += ["## Objects", ""]
    for name, schema in schemas.items():
        lines += [f"### `{name}`", "", schema.get("description", ""), ""]
        lines += _fields(schema)
        for example in schema.get("examples", []):
            lines += ["```json", json.dumps(example, indent=2), "```", ""]
    return "\n".join(lines)


def _objects(node: Any) -> Iterator[tuple[str, Schema]]:
    """Every object schema that has a name, wherever in the document it stands."""
    if isinstance(node, dict):
        if node.get("type") == "object" and "title" in node and "properties" in node:
            yield node["title"], node
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from _objects(one)


def _parameters(parameters: list[Schema]) -> list[str]:
    if not parameters:
        return []
    rows = [
        f"| `{one['name']}` | {_kind(one['schema'])} | {one.get('description', '')} |"
        for one in parameters
    ]
    return ["| query parameter | type | |", "|---|---|---|", *rows, ""]


def _bodies(content: dict[str, Schema]) -> list[str]:
    rows = [f"| `{media}` | {_kind(one.get('schema', {}))} |" for media, one in content.items()]
    return ["| request body | |", "|---|---|", *rows, ""] if rows else []


def _answers(responses: dict[str, Schema]) -> list[str]:
    lines = ["| status | | body |", "|---|---|---|"]
    for status, answer in responses.items():
        kinds = ", ".join(
            f"{_kind(one['schema'])}" if "schema" in one else f"`{media}`"
            for media, one in answer.get("content", {}).items()
        )
        lines.append(f"| {status} | {answer['description']} | {kinds} |")
    return [*lines, ""]


def _fields(schema: Schema) -> list[str]:
    rows = [
        f"| `{name}` | {_kind(own)} | {own.get('description', '')} |"
        for name, own in schema.get("properties", {}).items()
    ]
    return ["| field | type | |", "|---|---|---|", *rows, ""] if rows else []


def _kind(schema: Schema) -> str:
    """A schema's type in a few words, with a link where it is one of the objects."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[`{name}`](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "prefixItems" in schema:
        return "[" + ", ".join(_kind(one) for one in schema["prefixItems"]) + "]"
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if schema.get("type") == "object" and "title" in schema and "properties" in schema:
        return f"[`{schema['title']}`](#{schema['title'].lower()})"
    if schema.get("type") == "object" and "properties" in schema:
        inside = (f"`{name}`: {_kind(own)}" for name, own in schema["properties"].items())
        return "object with " + ", ".join(inside)
    limits = " ".join(
        f"{sign} {schema[key]}"
        for key, sign in (
            ("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")
        )
        if key in schema
    )  # fmt: skip
    kind = schema.get("format") or schema.get("type") or "anything"
    return html.escape(f"{kind} {limits}".strip())


def main(folder: str) -> None:
    """Write both pages into the folder."""
    document = create_app(Settings(jobs=1)).openapi()
    for name, text in {"cli.md": cli_page(), "http.md": http_page(document)}.items():
        (Path(folder) / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
