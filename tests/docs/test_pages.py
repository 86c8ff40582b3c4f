"""Every page of the documentation, and the README, does what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import yaml
from conftest import ROOT, make_chip
from markdown_it import MarkdownIt
from numpy.typing import NDArray
from PIL import Image
from typer.main import get_command

import agelens
from agelens.cli import app
from docs.documents import blocks_of, run_page

DOCS = ROOT / "docs"
GENERATED = {"cli.md", "http.md"}
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.name not in GENERATED)
RUN = [
    page
    for page in [ROOT / "README.md", *PAGES]
    if {block.language for block in blocks_of(page.read_text("utf-8"))} & {"python", "sh"}
]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="session")
def labelled(photo: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces with a table of their ages: as many as leave enough to compare and calibrate."""
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "faces").mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,age"]
    for index in range(400):
        Image.fromarray(make_chip(photo, rng)).save(folder / "faces" / f"{index:03}.jpg")
        lines.append(f"{index:03}.jpg,{index % 20 + 20}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def free_port() -> str:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return str(own.getsockname()[1])


@pytest.mark.parametrize("page", RUN, ids=name)
def test_a_page_runs_from_top_to_bottom(
    page: Path,
    belongings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    text = page.read_text("utf-8")
    if "nginx -" in text and not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()):
        pytest.skip("nginx is not installed")
    folder = tmp_path / "reader"
    shutil.copytree(belongings, folder)
    if "labels.csv" in text:
        shutil.copytree(request.getfixturevalue("labelled"), folder, dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    instead = {port: free_port() for port in ("8000", "8443")}
    smaller = "--set model.size=64 --set 'stages=[{epochs=1, size=64}]'"
    instead |= {"finetune data/mine": f"finetune data/mine {smaller}"}
    write = "WRITE_DOCS" in os.environ  # takes what is printed now into the page
    written = run_page(page, folder, instead, compare=not write)
    if write:
        page.write_text(written, "utf-8")


def agelens_commands(text: str) -> list[list[str]]:
    """The words of every `agelens` command in a page's code, up to a pipe or a redirection."""
    code = "\n".join(
        token.content
        for token in MarkdownIt("commonmark").parse(text)
        if token.type == "code_block" or (token.type == "fence" and token.info.startswith("sh"))
    )
    lines = re.findall(r"^(?:\S+/)?agelens +(.+)$", re.sub(r"\\\n\s*", "", code), re.MULTILINE)
    words = [shlex.split(line, comments=True) for line in lines]
    stops = {"|", ">", "&&", "&", ";", "||"}
    return [
        line[: next((i for i, word in enumerate(line) if word in stops), len(line))]
        for line in words
    ]


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_every_command_and_option_exists(page: Path) -> None:
    for words in agelens_commands(page.read_text("utf-8")):
        assert fault_of(words) is None, f"agelens {' '.join(words)}: {fault_of(words)}"


def fault_of(words: list[str]) -> str | None:
    """What Typer would say against a command line, values aside; None if nothing."""
    command, rest = get_command(app), list(words)
    while (known := getattr(command, "commands", None)) and rest and not rest[0].startswith("-"):
        if rest[0] not in known:
            return f"no command {rest[0]}"
        command, rest = known[rest[0]], rest[1:]
    try:
        context = command.context_class(command)
        command.make_parser(context).parse_args(rest)
    except Exception as error:
        if type(error).__name__ not in ("NoSuchOption", "BadOptionUsage"):
            raise
        return str(error)
    return None


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert fault_of(["predict", "photo.jpg", "--format", "csv"]) is None
    assert fault_of(["data", "prepare", "faces", "-o", "out"]) is None
    for words in (["predikt"], ["data", "cook"], ["predict", "--no-such"], ["predict", "-f"]):
        assert fault_of(words) is not None, words


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links of the site stay inside `docs/`, as the site holds nothing else."""
    tokens = MarkdownIt("commonmark").parse(page.read_text("utf-8"))
    inline = [child for token in tokens for child in token.children or []]
    targets = [one.attrs.get("href") or one.attrs.get("src") for one in inline if one.attrs]
    for target in map(str, filter(None, targets)):
        parts = urlsplit(target)
        if parts.scheme or not parts.path:
            continue
        place = (page.parent / unquote(parts.path)).resolve()
        assert place.exists() or place.name in GENERATED, target
        assert DOCS not in page.parents or DOCS in place.parents, f"{target} is not in docs/"


def test_the_python_reference_has_every_public_name() -> None:
    text = (DOCS / "reference" / "python.md").read_text("utf-8")
    listed = set(re.findall(r"^::: agelens\.(\w+)$", text, re.MULTILINE))
    assert listed == set(agelens.__all__) - {"__version__"}


def test_every_page_is_in_the_menu() -> None:
    menu = set(re.findall(r'= "([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text("utf-8")))
    assert menu == {page.relative_to(DOCS).as_posix() for page in PAGES} | {
        f"reference/{generated}" for generated in GENERATED
    }


def test_addresses_are_the_same_everywhere() -> None:
    def read(name: str) -> Any:
        return tomllib.loads((ROOT / name).read_text("utf-8"))["project"]

    urls = read("pyproject.toml")["urls"]
    assert read("page/pyproject.toml")["urls"] == urls
    assert read("zensical.toml")["site_url"] == urls["Documentation"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert (citation["url"], citation["repository-code"]) == (urls["Documentation"], urls["Source"])
    known = re.compile(r"https://(?:github\.com/agelens/\w+|agelens\.github\.io/\w+/)")
    for text in [*TEXTS, ROOT / "SECURITY.md"]:
        for address in known.findall(text.read_text("utf-8")):
            assert address in urls.values(), f"{text.name}: {address}"
