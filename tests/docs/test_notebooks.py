"""The first two tutorials as notebooks: made of their pages, and executed.

`WRITE_DOCS=1 pytest tests/docs/test_notebooks.py` writes them, with what the cells show.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from nbformat import v4

from docs.documents import blocks_of

TUTORIALS = ROOT / "docs" / "tutorials"
NAMES = ("first-ages", "folder")


def notebook_of(page: Path) -> nbformat.NotebookNode:
    """A page's text as Markdown cells, its blocks as code cells; what they print is left out."""
    text = page.read_text("utf-8")
    lines = text.splitlines(keepends=True)
    book, start = v4.new_notebook(), 0

    def tell(until: int) -> None:
        told = "".join(line for line in lines[start:until] if not line.startswith("<!--")).strip()
        if told:
            book.cells.append(v4.new_markdown_cell(told))

    for block in blocks_of(text):
        if block.not_run is not None:
            continue  # it stays in the text
        tell(block.line - 1)
        start = block.end
        if block.language == "python":
            book.cells.append(v4.new_code_cell(block.text.strip()))
        elif block.language == "sh":
            goes_on = " --no-raise-error" if block.exit_code else ""
            book.cells.append(v4.new_code_cell(f"%%bash{goes_on}\n{block.text.strip()}"))
    tell(len(lines))
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"
    return book


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_its_page_and_runs(
    name: str, belongings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, file = notebook_of(TUTORIALS / f"{name}.md"), TUTORIALS / f"{name}.ipynb"
    folder = tmp_path / "reader"
    shutil.copytree(belongings, folder)
    own = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([own, os.environ["PATH"]]))
    NotebookClient(made, resources={"metadata": {"path": str(folder)}}).execute()
    shown = [output for cell in made.cells for output in cell.get("outputs", [])]
    assert "faces" in "".join(output.get("text", "") for output in shown)
    for cell in made.cells:
        cell.metadata.pop("execution", None)  # when it ran
    made.metadata.language_info.pop("version", None)
    if "WRITE_DOCS" in os.environ:
        nbformat.write(made, file)
    kept = nbformat.read(file, nbformat.NO_CONVERT)
    assert [cell.source for cell in kept.cells] == [cell.source for cell in made.cells]
    assert str(tmp_path) not in file.read_text("utf-8")
