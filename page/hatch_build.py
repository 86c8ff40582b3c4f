"""Build the page for its wheel, where npm is installed, and pin it to its agelens."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


class BuildHook(BuildHookInterface):
    """`npm ci && npm run build`; without npm the wheel is empty, and agelens says what it lacks."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build the page, if that can be, and put it into the wheel."""
        root = Path(self.root)
        built = root.parent / "src" / "agelens" / "page" / "static"
        npm = shutil.which("npm")
        if npm and _outdated(root, built / "index.html"):
            for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
                subprocess.run([npm, *command], cwd=root, check=True)
        if (built / "index.html").is_file():
            build_data["force_include"][str(built)] = "agelens/page/static"
        else:
            self.app.display_warning("npm is not installed: this wheel is without the page")


def _outdated(root: Path, index: Path) -> bool:
    """Whether the page is not built, or a source of it has changed since."""
    sources = [root / "index.html", root / "package-lock.json", *(root / "src").iterdir()]
    newest = max(path.stat().st_mtime for path in sources)
    return not index.is_file() or index.stat().st_mtime < newest


class PinToAgelens(MetadataHookInterface):
    """Adds the only dependency; the version is read from `src/agelens/__init__.py`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the dependency."""
        metadata["dependencies"] = [f"agelens=={metadata['version']}"]
