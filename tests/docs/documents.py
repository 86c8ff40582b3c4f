"""Reads a page of the documentation and runs it as a reader would, from top to bottom.

Blocks fenced as `sh` are run by bash, those as `python` in one namespace a page, in a folder that
holds what the page speaks of. A block with `title="FILE"` is written to that file. A block fenced
as `text` is what the block before it prints; its figures may differ. Comments before a block:

    <!-- not run: REASON -->   a command that changes the reader's machine; never for Python
    <!-- background -->        runs until the end of the page, as a service does
    <!-- exit code N -->       ends with this exit code, and not with 0
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from conftest import ROOT
from markdown_it import MarkdownIt


def tool_named(name: str) -> ModuleType:
    """A script of `tools/`, whose functions the tests call."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, its lines with the fences, and how it is run."""

    language: str
    text: str
    line: int
    end: int
    file: str | None
    not_run: str | None
    background: bool
    exit_code: int


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page.

    Raises:
        ValueError: a Python block is marked as not to be run, or is indented and not fenced.
    """
    blocks, comment = [], ""
    for token in MarkdownIt("commonmark").parse(text):
        begin, end = token.map or (0, 0)
        line = begin + 1
        if token.type == "html_block":
            comment = token.content
            continue
        if token.type == "code_block" and _is_python(token.content):
            raise ValueError(f"line {line}: fence this Python, so that it is run")
        if token.type == "fence":
            language = token.info.split(" ")[0]
            title = re.search(r'title="([^"]+)"', token.info)
            reason = re.search(r"<!-- not run: (.+?) -->", comment)
            exit_code = re.search(r"<!-- exit code (\d+) -->", comment)
            if reason and language == "python":
                raise ValueError(f"line {line}: Python is always run")
            blocks.append(
                Block(
                    language,
                    token.content,
                    line,
                    end,
                    title and title[1],
                    reason and reason[1],
                    "<!-- background -->" in comment,
                    int(exit_code[1]) if exit_code else 0,
                )
            )
        comment = ""
    return blocks


def _is_python(code: str) -> bool:
    return re.search(r"^(from \S+ )?import \w", code, re.MULTILINE) is not None


def run_page(page: Path, folder: Path, instead: dict[str, str], *, compare: bool = True) -> str:
    """Run every block of a page in a folder, and compare what is printed with what the page says.

    Args:
        page: a Markdown file.
        folder: where its commands run; the current folder of this process, too.
        instead: texts in its blocks, and what takes their place: free ports, a shorter training.
        compare: whether printing something else is an error.

    Returns:
        The page's text with what was printed now.

    Raises:
        AssertionError: a block fails, or prints something else than the page says.
    """
    text = page.read_text("utf-8")
    lines, printed, longer = text.splitlines(keepends=True), "", 0
    names: dict[str, Any] = {"__name__": page.stem}
    with contextlib.ExitStack() as running:
        for block in blocks_of(text):
            code = block.text
            for old, new in instead.items():
                code = code.replace(old, new)
            if block.file is not None:
                (folder / block.file).write_text(code, "utf-8")
            elif block.not_run is not None:
                printed = ""
            elif block.language == "sh" and block.background:
                running.enter_context(_until_the_end(code, folder))
            elif block.language == "sh":
                printed = _shell(code, folder, block.exit_code, f"{page.name}:{block.line}")
            elif block.language == "python":
                printed = _python(code, names, f"{page.name}:{block.line}")
            elif block.language == "text":
                new = printed.splitlines(keepends=True)
                lines[block.line + longer : block.end - 1 + longer] = new
                longer += len(new) - len(block.text.splitlines())
                assert not compare or _shape(printed) == _shape(block.text), (
                    f"{page.name}:{block.line} should be:\n{printed}"
                )
    return "".join(lines)


def _shape(text: str) -> str:
    """What is printed without its figures, which depend on the model, and its columns' widths."""
    return " ".join(re.sub(r"\d+(\.\d+)?", "0", text).split())


def _command(code: str) -> list[str]:
    return ["bash", "-euo", "pipefail", "-c", code]


def _environment() -> dict[str, str]:
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join([own, os.environ["PATH"], "/usr/sbin"])
    return {**os.environ, "PATH": path, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}


def _shell(code: str, folder: Path, exit_code: int, place: str) -> str:
    done = subprocess.run(
        _command(code),
        cwd=folder,
        env=_environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == exit_code, f"{place}: exit code {done.returncode}\n{done.stderr}"
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


@contextlib.contextmanager
def _until_the_end(code: str, folder: Path) -> Any:
    """Run a command in a group of its own, which is ended with the page."""
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            _command(code),
            cwd=folder,
            env=_environment(),
            start_new_session=True,
            stdout=said,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield
            assert process.poll() is None, f"ended early: {code}"
        except Exception as error:
            said.seek(0)
            error.add_note(f"{code}{said.read()}")
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def _python(code: str, names: dict[str, Any], place: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, place, "exec"), names)
    return out.getvalue()
