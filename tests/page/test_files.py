"""The page as files: what is exported, and what is said where it is not built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agelens.cli import export_web  # noqa: F401 - registers the command
from agelens.cli.common import app as commands
from agelens.page import files as page
from page.browsing import BUILT


def test_an_unbuilt_page_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(page, "STATIC", tmp_path)
    result = CliRunner().invoke(commands, ["export-web", str(tmp_path / "site")])
    assert isinstance(result.exception, page.PageError)
    assert "pip install ./page" in str(result.exception)
    assert not (tmp_path / "site").exists()


@pytest.mark.skipif(not BUILT, reason="the page is not built: npm ci && npm run build")
def test_export_replaces_its_own_files_only(tmp_path: Path) -> None:
    address = "https://ages.example/api/"
    command = ["export-web", str(tmp_path), "--service", address]
    foreign = [tmp_path / "CNAME", tmp_path / "agelens" / "old.js"]
    foreign[1].parent.mkdir()
    for path in foreign:
        path.touch()
    assert CliRunner().invoke(commands, command).exit_code == 0
    assert all(path.exists() for path in foreign)
    known = tmp_path / "models" / "manifest.json"
    manifest = json.loads(known.read_text())
    here = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    ours = here - {"agelens/old.js", "models/manifest.json"}
    assert ours | {"app.webmanifest", "service-worker.js"} == set(manifest["files"])

    (tmp_path / "agelens" / "earlier.js").touch()
    listed = [*manifest["files"], "agelens/earlier.js", "agelens/../CNAME", "CNAME"]
    known.write_text(json.dumps(manifest | {"files": listed}))
    assert CliRunner().invoke(commands, command).exit_code == 0
    assert all(path.exists() for path in foreign)
    assert here == {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")}
    assert json.loads(known.read_text()) == manifest
    assert manifest["service"] == "https://ages.example/api/v1/estimate"
    for part in ("age", "detector"):
        assert (tmp_path / "models" / manifest[part]["file"]).stat().st_size == manifest[part][
            "bytes"
        ]
    html = (tmp_path / "index.html").read_text()
    assert "connect-src 'self' https://ages.example;" in html
    refused = CliRunner().invoke(commands, ["export-web", str(tmp_path), "--service", "x.example"])
    assert "http" in str(refused.exception)


@pytest.mark.skipif(not BUILT, reason="the page is not built: npm ci && npm run build")
def test_a_first_visit_is_at_most_8_5_megabytes(tmp_path: Path) -> None:
    assert CliRunner().invoke(commands, ["export-web", str(tmp_path)]).exit_code == 0
    sizes = {path.name: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
    # A browser takes one of the two runtimes; the other is for graphics cards.
    assert sum(size for name, size in sizes.items() if "jspi" not in name) < 8.5e6


@pytest.mark.skipif(not BUILT, reason="the page is not built: npm ci && npm run build")
def test_the_web_manifest_is_one_that_installs(tmp_path: Path) -> None:
    assert CliRunner().invoke(commands, ["export-web", str(tmp_path)]).exit_code == 0
    manifest = json.loads((tmp_path / "app.webmanifest").read_text())
    assert manifest["name"]
    assert manifest["display"] == "standalone"
    assert all((tmp_path / icon["src"]).is_file() for icon in manifest["icons"])
    assert 'rel="manifest" href="./app.webmanifest"' in (tmp_path / "index.html").read_text()
