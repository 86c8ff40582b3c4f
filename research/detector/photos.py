"""Gather photos and textures in which there is nobody, from packages that anybody can have.

    apt-get download PACKAGE ...                     # those of README.md
    for package in *.deb; do dpkg-deb -x $package DEB; done
    python -m research.detector.photos DEB PHOTOS HELD

Textures inside of the games' pk3 files, which are zip files, are taken, too; of each source at most
so many, by chance. Nine in thirty go to HELD: those are never learnt from. Pictures in which
somebody is to be seen, or drawn, were looked for by eye, the detector's finds first, and are named
below. scikit-image's and scikit-learn's example pictures are taken from where they are installed.
"""

from __future__ import annotations

import argparse
import io
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage
import sklearn
from numpy.typing import NDArray
from PIL import Image

from agelens.files import atomic_path

SOURCES = {
    "usr/share/wallpapers": 900,
    "usr/share/backgrounds": 900,
    "usr/share/lxqt": 900,
    "usr/share/stellarium": 120,
    "usr/share/games/supertuxkart": 260,
    "usr/share/games/torcs": 60,
    "usr/share/games/colobot": 40,
    "usr/share/games/nexuiz": 220,
    "usr/share/games/ufoai": 300,
}
"""Folders below DEB, and how many pictures of each at most."""
SOMEBODY = (
    *("skycultures", "SafeLanding", "marine", "glasses_", "nexus", "eye.", "fbgreen", "shirt"),
    *("ac2.", "gib2", "dmask1", "coins", "camera", "Snowmobile_dif", "kiki_kart", "Kiki_body"),
    *("pepper_diff", "xue-2", "beachball_a", "EggKart_dif", "pirateVertical", "konqi", "Girl"),
    *("gavroche", "monkey_a", "beachWomen", "ISL1", "art_japan", "art_africa", "advertaa4"),
    *("astronaut", "logo", "text.", "page."),
)
"""Parts of the paths of pictures in which somebody is seen or drawn, or which are of letters."""
FORMATS = {".jpg", ".jpeg", ".png", ".webp", ".tga"}
LEAST, MOST = 256, 900
"""Shorter side of a picture that is taken, and longer side to which it is reduced, in pixels."""
LONGEST = 4
"""Shorter sides of the longest picture that is taken."""
OPAQUE = 200
"""Mean opacity of the most transparent, of 255."""
PLAIN = 12
"""Standard deviation of the values of the plainest."""
HELD = 0.3


def pictures(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of the pictures below a folder, those in pk3 files too."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".pk3":
            with zipfile.ZipFile(path) as packed:
                for name in sorted(packed.namelist()):
                    if Path(name).suffix.lower() in FORMATS:
                        yield name, packed.read(name)
        elif path.suffix.lower() in FORMATS and path.is_file() and not path.is_symlink():
            yield str(path.relative_to(folder)), path.read_bytes()


def usable(content: bytes) -> NDArray[np.uint8] | None:
    """The picture, reduced, if it is large enough, not too long, not transparent and not plain."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if min(image.size) < LEAST or max(image.size) > LONGEST * min(image.size):
                return None
            image.draft("RGB", (2 * MOST, 2 * MOST))
            whole = image.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    if np.asarray(whole.getchannel("A")).mean() < OPAQUE:
        return None
    reduced = whole.convert("RGB")
    reduced.thumbnail((MOST, MOST))
    pixels = np.asarray(reduced)
    return pixels if pixels.std() >= PLAIN else None


def likeness(pixels: NDArray[np.uint8]) -> bytes:
    """Alike for copies of one picture: whether each of 8 x 8 places is darker than the next."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    return (small[:, 1:] > small[:, :-1]).tobytes()


def main() -> None:
    """Write the pictures as WebP, and how many of each source there are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packages", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("held", type=Path)
    options = parser.parse_args()
    sources = {options.packages / name: most for name, most in SOURCES.items()}
    installed = [Path(module.__file__).parent for module in (skimage, sklearn)]
    sources |= {installed[0] / "data": 60, installed[1] / "datasets" / "images": 60}
    for folder in (options.photos, options.held):
        folder.mkdir(parents=True, exist_ok=True)
    rng, seen = random.Random(0), set[bytes]()
    for source, most in sources.items():
        found = list(pictures(source))
        rng.shuffle(found)
        taken = 0
        for path, content in found:
            if taken == most:
                break
            if any(part in path for part in SOMEBODY) or (pixels := usable(content)) is None:
                continue
            if (key := likeness(pixels)) in seen:
                continue
            seen.add(key)
            taken += 1
            folder = options.held if rng.random() < HELD else options.photos
            target = folder / f"{source.name}-{taken:03}.webp"
            with atomic_path(target) as partial:
                Image.fromarray(pixels).save(partial, format="WEBP", quality=92)
        print(f"{source.name}: {taken}", flush=True)


if __name__ == "__main__":
    main()
