"""Broken files by the thousand: each is read or refused in a sentence, and no memory stays.

    python benchmarks/fuzz_pictures.py examples/astronaut.jpg --json benchmarks/results/fuzz.json

Pictures of 15 formats (16 with agelens[heif]) and videos of 7 are encoded from the portrait, and
each copy is spoilt at random: bytes turned over, stretches cut out, doubled, zeroed or exchanged,
ends missing. The work is done in a process of its own, so that one which dies is counted, too. The
same seed spoils the same bytes. Linux only, because it reads /proc.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from agelens import ImageError, VideoError
from agelens.pipeline.images import load_image
from agelens.video.frames import VideoFile

SLOW = 5.0
"""Seconds of one file that are too many."""
GROWTH = 16.0
"""MiB by which the process may grow from the second quarter of its files to the last."""
MAX_PIXELS = 4_000_000
VIDEOS = {
    "mp4": "libx264", "mov": "libx264", "mkv": "libx264", "webm": "libvpx", "avi": "mjpeg",
    "ts": "libx264", "flv": "libx264",
}  # fmt: skip


def pictures(photo: Path) -> dict[str, bytes]:
    """A small file of each format."""
    with Image.open(photo) as image:
        small = image.convert("RGB").resize((96, 96))
    other = Image.new("RGB", small.size, "navy")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a portrait"

    def encoded(kind: str, picture: Image.Image = small, **options: Any) -> bytes:
        stream = io.BytesIO()
        picture.save(stream, kind, **options)
        return stream.getvalue()

    more = {"save_all": True, "append_images": [other]}
    files = {
        "jpeg": encoded("JPEG", exif=exif),
        "jpeg progressive": encoded("JPEG", progressive=True, exif=exif),
        "jpeg cmyk": encoded("JPEG", small.convert("CMYK")),
        "mpo": encoded("MPO", **more),
        "png": encoded("PNG", exif=exif),
        "png palette": encoded("PNG", small.quantize(16), transparency=3),
        "apng": encoded("PNG", **more),
        "webp": encoded("WEBP", exif=exif),
        "webp lossless animated": encoded("WEBP", lossless=True, **more),
        "gif": encoded("GIF", **more),
        "bmp": encoded("BMP"),
        "tiff": encoded("TIFF", compression="tiff_lzw"),
        "avif": encoded("AVIF", exif=exif),
        "jp2": encoded("JPEG2000"),
        "ppm": encoded("PPM"),
    }
    try:
        from pillow_heif import from_pillow
    except ModuleNotFoundError:
        return files
    stream = io.BytesIO()
    from_pillow(small).save(stream)
    return {**files, "heic": stream.getvalue()}


def videos(photo: Path) -> dict[str, bytes]:
    """Fifteen frames of a small video in each container."""
    with Image.open(photo) as image:
        pixels = np.array(image.convert("RGB").resize((96, 80)))
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending, codec in VIDEOS.items():
            path = Path(folder, f"a.{ending}")
            with av.open(str(path), "w") as container:
                stream = container.add_stream(codec, rate=25)
                stream.width, stream.height = 96, 80
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                for index in range(15):
                    frame = av.VideoFrame.from_ndarray(np.roll(pixels, index, axis=1))
                    frame.pts, frame.time_base = index, Fraction(1, 25)
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
            files[ending] = path.read_bytes()
    return files


def spoil(data: bytes, rng: np.random.Generator) -> bytes:
    """A copy with one to eight faults; half of them near its beginning, where the structure is."""
    content = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        end = min(len(content), 600) if rng.random() < 0.5 else len(content)
        place = int(rng.integers(0, max(1, end)))
        size = int(rng.integers(1, 64))
        fault = int(rng.integers(0, 8))
        if fault == 0:
            content[place : place + 1] = rng.bytes(1)
        elif fault == 1:
            content[place : place + 4] = rng.choice(
                [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"]
            )
        elif fault == 2:
            content[place : place + size] = bytes(size)
        elif fault == 3:
            content[place : place + size] = rng.bytes(size)
        elif fault == 4:
            del content[place : place + size]
        elif fault == 5:
            content[place:place] = content[place : place + size]
        elif fault == 6:
            other = int(rng.integers(0, max(1, len(content))))
            content[place : place + size] = content[other : other + size]
        elif rng.random() < 0.3:
            del content[max(1, place) :]
    return bytes(content)


def read_picture(data: bytes) -> str:
    """What became of a picture."""
    try:
        load_image(data, max_pixels=MAX_PIXELS)
    except ImageError:
        return "refused"
    return "read"


def read_video(data: bytes, path: Path) -> str:
    """What became of a video."""
    path.write_bytes(data)
    try:
        source = VideoFile(path)
    except VideoError:
        return "refused"
    try:
        for _ in source:
            pass
    except VideoError:
        return "cut off or damaged"
    finally:
        source.close()
    return "read"


def resident() -> float:
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def work(
    files: dict[str, bytes], kind: str, first: int, count: int, seed: int, results: Connection
) -> None:
    """Read spoilt files from the first on; a line for each goes through the pipe."""
    warnings.simplefilter("ignore")
    names = list(files)
    with tempfile.TemporaryDirectory() as folder:
        read: Callable[[bytes], str] = read_picture
        if kind == "videos":
            read = lambda data: read_video(data, Path(folder, "a"))  # noqa: E731
        for index in range(first, count):
            name = names[index % len(names)]
            data = spoil(files[name], np.random.default_rng([seed, index]))
            results.send(("begun", index, name, None))
            start = time.monotonic()
            try:
                outcome = read(data)
            except Exception as error:  # noqa: BLE001 - what is sought
                outcome = f"ERROR {type(error).__name__}: {error}"[:200]
            spent = time.monotonic() - start
            if spent > SLOW:
                outcome = f"ERROR {spent:.0f} s"
            results.send((outcome, index, name, resident() if index % 50 == 0 else None))
    results.close()


def fuzz(files: dict[str, bytes], kind: str, count: int, seed: int) -> dict[str, Any]:
    """Read so many spoilt files, in as many processes as it takes."""
    context = multiprocessing.get_context("spawn")
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in files}
    faults: list[dict[str, Any]] = []
    growth = 0.0
    index = 0
    while index < count:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(files, kind, index, count, seed, theirs))
        process.start()
        theirs.close()
        memory: list[float] = []
        first, done, name = index, index, ""
        try:
            while True:
                outcome, done, name, mib = ours.recv()
                if outcome == "begun":
                    continue
                outcomes[name]["wrong" if outcome.startswith("ERROR") else outcome] += 1
                if outcome.startswith("ERROR"):
                    faults.append({"index": done, "format": name, "fault": outcome})
                if mib is not None:
                    memory.append(mib)
                index = done + 1
        except EOFError:
            process.join()
        if process.exitcode:
            faults.append({"index": done, "format": name, "fault": f"died: {process.exitcode}"})
            index = done + 1
        quarter = len(memory) // 4
        if index - first > count / 2 and quarter:
            second, last = memory[quarter : 2 * quarter], memory[-quarter:]
            growth = max(growth, statistics.median(last) - statistics.median(second))
    return {
        "files": count,
        "outcomes": {name: dict(counts) for name, counts in outcomes.items()},
        "faults": faults,
        "growth_mib": round(growth, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photo", type=Path, help="examples/astronaut.jpg")
    parser.add_argument("--pictures", type=int, default=24_000)
    parser.add_argument("--videos", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    report: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count()},
        "seed": options.seed,
    }
    failed = False
    for kind, make in (("pictures", pictures), ("videos", videos)):
        figures = fuzz(make(options.photo), kind, getattr(options, kind), options.seed)
        report[kind] = figures
        total = sum((Counter(counts) for counts in figures["outcomes"].values()), Counter())
        print(f"{kind}: {dict(total)}; memory grew by {figures['growth_mib']} MiB")
        for fault in figures["faults"]:
            print(f"  {fault['format']} {fault['index']}: {fault['fault']}")
        failed |= bool(figures["faults"]) or figures["growth_mib"] > GROWTH
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
