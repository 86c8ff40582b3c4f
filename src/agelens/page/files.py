"""The web page: its built files, the model files that it reads, and what it must know of them.

The page finds, aligns and reads faces in the browser. Its sources are in ``page/``, where
``npm ci && npm run build`` writes the files that are served and exported here.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import lru_cache
from importlib.metadata import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agelens import __version__
from agelens.errors import AgelensError
from agelens.files import Inputs, atomic_path
from agelens.page.constants import constants
from agelens.pipeline.model import SHIPPED, AgeModel
from agelens.pipeline.session import shipped

STATIC = Path(__file__).parent / "static"
ASSETS = "agelens"
"""Folder of the page's scripts and pictures, beside ``index.html``; their names hold a digest."""
MANIFEST = "manifest.json"
POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval'",
    "worker-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob:",
    "media-src": "'self' blob:",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
}
"""Nothing from elsewhere, nothing inline."""
_ENTRY = "<head>"


class PageError(AgelensError):
    """The page has not been built, or cannot be exported."""


def policy(service: str | None = None) -> str:
    """The content security policy.

    Args:
        service: address that the page may send pictures to, if it is at another origin.
    """
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(service)) if service else ""
    rules = POLICY | {"connect-src": f"'self' {origin}".strip()}
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def headers() -> dict[str, str]:
    """What every file of the page is sent with. The first two let WebAssembly use threads."""
    return {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Content-Security-Policy": f"{policy()}; frame-ancestors 'none'",
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    }


def page_files() -> dict[str, Path]:
    """The built files beside ``index.html``, by their address from it.

    Raises:
        PageError: they are not there.
    """
    if not (STATIC / "index.html").is_file():
        raise PageError(
            "the web page is not installed; in a clone of the repository, "
            "where npm is installed, run: pip install ./page"
        )
    paths = [path for path in sorted(STATIC.rglob("*")) if path.is_file()]
    files = {path.relative_to(STATIC).as_posix(): path for path in paths}
    del files["index.html"]
    return files


def model_files(model: AgeModel) -> dict[str, bytes]:
    """The detector and the age model, compressed, by name in the page's ``models`` folder.

    The page unpacks them itself: not every server compresses what it sends.
    """
    paths = {"blazeface.onnx": shipped("blazeface.onnx"), "age.onnx": model.path}
    return {f"{name}.gz": gzip.compress(path.read_bytes(), mtime=0) for name, path in paths.items()}


def manifest(
    model: AgeModel,
    *,
    coverage: float = 0.9,
    min_score: float = 0.5,
    service: str | None = None,
) -> dict[str, Any]:
    """What the page must know: constants, the model's metadata and files, and where a service is.

    Args:
        model: the age model.
        coverage: of the intervals, over 0 and under 1.
        min_score: faces that the detector is less sure of, 0 to 1, are left out.
        service: address of ``/v1/estimate``, absolute or from the page; None offers no switch.
    """
    known = model.metadata
    if model.name in SHIPPED:
        known = known | {"name": model.name}
    detector, age = (_describe(name, data) for name, data in model_files(model).items())
    return {
        "version": __version__,
        "coverage": coverage,
        "min_score": min_score,
        "constants": constants(),
        "service": service,
        "links": links(),
        "detector": detector,
        "age": age | {"metadata": known},
    }


def links() -> dict[str, str]:
    """Where to read on: the service's privacy, the model card, the source; as the package says."""
    known = metadata("agelens").get_all("Project-URL") or []
    addresses = dict(line.split(", ", 1) for line in known)
    if not {"Source", "Documentation"} <= addresses.keys():
        return {}
    source = addresses["Source"]
    return {
        "privacy": f"{addresses['Documentation']}service/#privacy",
        "model_card": f"{source}/blob/main/MODEL_CARD.md",
        "source": source,
    }


def export_page(folder: Path, model: AgeModel, *, service: str | None = None) -> None:
    """Write the page as files that any web server can serve, under any path.

    What an earlier export wrote, as its manifest lists it, is replaced; other files stay.

    Args:
        folder: where to; made if it is not there.
        model: the age model.
        service: ``https://`` address of an agelens service, for the page to offer.

    Raises:
        PageError: the page is not built, the service is no address, or a file cannot be written.
    """
    if service is not None and urlsplit(service).scheme not in ("http", "https"):
        raise PageError(f"{service}: give the service's address with http:// or https://")
    estimate = service and f"{service.rstrip('/')}/v1/estimate"
    files = {name: path.read_bytes() for name, path in page_files().items()}
    files |= {f"models/{name}": data for name, data in model_files(model).items()}
    facts = json.dumps(manifest(model, service=estimate) | {"files": sorted(files)})
    meta = f'{_ENTRY}<meta http-equiv="Content-Security-Policy" content="{policy(service)}">'
    index = (STATIC / "index.html").read_text("utf-8").replace(_ENTRY, meta, 1)
    if not (folder / "models" / MANIFEST).exists() and (folder / "index.html").exists():
        raise PageError(
            f"{folder / 'index.html'}: is there already, and not of an earlier export; choose "
            "another folder"
        )
    inputs = Inputs([model.path])
    old = _exported(folder) - set(files)
    try:
        for name, data in files.items():
            with atomic_path(folder / name, inputs=inputs) as partial:
                partial.write_bytes(data)
        for name, text in ((f"models/{MANIFEST}", facts), ("index.html", index)):
            with atomic_path(folder / name, inputs=inputs) as partial:
                partial.write_text(text, "utf-8")
        for name in old:
            (folder / name).unlink()
    except OSError as error:
        raise PageError(f"{error.filename or folder}: {error.strerror or error}") from error


def _exported(folder: Path) -> set[str]:
    """Files in `folder` that the manifest of an earlier export lists; none if there is none."""
    try:
        listed = set(json.loads((folder / "models" / MANIFEST).read_text("utf-8"))["files"])
        found = [path for part in (ASSETS, "models") for path in (folder / part).iterdir()]
        return {f"{path.parent.name}/{path.name}" for path in found} & listed
    except (OSError, ValueError, KeyError, TypeError):
        return set()


@lru_cache(maxsize=4)
def _packed(path: Path, _: int) -> bytes:
    """A file, compressed; once for each time that it was written."""
    return gzip.compress(path.read_bytes(), mtime=0)


def _describe(name: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(gzip.decompress(data)).hexdigest()
    return {"file": name, "bytes": len(data), "sha256": digest}
