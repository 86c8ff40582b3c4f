"""What is doubted of the "faces" that are found in pictures without living people.

    python research/no_faces.py FOLDER ... --save CROPS

Folders of statues, drawings, animals, patterns: for example /usr/share/openclipart/png and
/usr/share/tuxpaint/stamps of Debian's openclipart-png and tuxpaint-stamps-default. Of each: how
many faces were found, and how many have each reason of `Quality`. The crops are for looking at:
what was found may be a person after all.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from agelens import AgeEstimator
from agelens.pipeline.align import align_face

LAST = {"stretched", "drawn", "unlike a face", "unsure"}
FORMATS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif"}


def flattened(path: Path, side: int) -> Image.Image:
    """The picture on white where it is transparent, at most so large."""
    with Image.open(path) as image:
        image.thumbnail((side, side))
        whole = image.convert("RGBA")
        paper = Image.new("RGBA", whole.size, "white")
        return Image.alpha_composite(paper, whole).convert("RGB")


def main() -> None:
    """Print the counts of each folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--model", default="light")
    parser.add_argument("--sample", type=int, default=500, help="pictures of each folder")
    parser.add_argument("--side", type=int, default=900, help="longest side in pixels")
    parser.add_argument("--save", type=Path, help="a folder for the crops, named by their reasons")
    options = parser.parse_args()
    estimator = AgeEstimator(options.model)
    for folder in options.folders:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in FORMATS)
        random.Random(0).shuffle(paths)
        counts, faces = Counter[str](), 0
        for path in paths[: options.sample]:
            picture = flattened(path, options.side)
            if min(picture.size) < 32:
                continue
            for face in estimator.estimate(picture):
                reasons = face.quality.reasons
                faces += 1
                counts.update(reasons)
                counts["any of the last four"] += bool(set(reasons) & LAST)
                if options.save is not None:
                    options.save.mkdir(parents=True, exist_ok=True)
                    template = estimator.model.template
                    crop = align_face(np.asarray(picture), face.landmarks, template, 128)
                    name = "-".join((f"{faces:04}", *reasons)).replace(" ", "_")
                    Image.fromarray(crop).save(options.save / f"{folder.name}-{name}.jpg")
        print(f"{folder}: {min(len(paths), options.sample)} pictures, {faces} faces found")
        for reason, count in counts.most_common():
            print(f"  {reason}: {count / faces:.0%}")


if __name__ == "__main__":
    main()
