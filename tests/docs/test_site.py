"""The built site: no link is broken, and no page violates WCAG 2.1 A or AA."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from conftest import ROOT
from page.browsing import chromium, files, screen, violations, with_axe

PAGES = ("index", "gallery", "tutorials/first-ages")
"""One of each kind: a first page, pictures and a table, commands and code."""
LOOKS = [
    *itertools.product(PAGES, (1280, 390), ("light", "dark")),
    ("reference/python", 1280, "light"),  # what is generated; axe takes long for it
    ("reference/python", 390, "dark"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site, built in a folder of its own; a broken link would end that."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("src", "tools", "MODEL_CARD.md", "CHANGELOG.md"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "zensical.toml", folder)  # the site lies beside it, not beside a link
    environment = {**os.environ, "VENV": sys.prefix}
    done = subprocess.run(
        ["bash", folder / "scripts" / "docs"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout
    with files(folder / "site") as url:
        yield url


@with_axe
@pytest.mark.skipif(not find_spec("zensical"), reason="needs zensical")
def test_no_violation_of_accessibility(site: str) -> None:
    scheme_now = "return document.body.dataset.mdColorScheme"
    with chromium() as driver:
        for page, width, scheme in LOOKS:
            with screen(driver, width, prefers_color_scheme=scheme):
                driver.get(f"{site}{page}.html")
                shown = "slate" if scheme == "dark" else "default"
                assert driver.execute_script(scheme_now) == shown
                assert violations(driver) == [], (page, width, scheme)
