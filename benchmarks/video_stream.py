"""Real time: ms of a 640 x 480 frame, spread of a track's age, memory and drops of a stream.

    python benchmarks/video_stream.py examples/astronaut.jpg --json benchmarks/results/video.json

The stream is the portrait's face with pan, zoom, blur, flicker and noise. Its long part runs
10 minutes, as from a camera of 30 frames a second, with rows and annotated video written. Run it on
an idle machine; bars are those of issue 6. Linux only, because it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agelens import AgeEstimator
from agelens.pipeline.images import load_image
from agelens.reporting.command import recorded_command
from agelens.video.frames import Camera
from agelens.video.run import run
from agelens.video.tracker import FaceTracker
from agelens.video.writers import RowFormat, VideoWriter

Pixels = NDArray[np.uint8]
FPS = 30.0
SIZE = (640, 480)
WARM_UP = 5
BARS = {"detect_ms": 33.0, "track_ms": 15.0, "std_ratio": 0.5, "growth_mib": 5.0}


def stream(photo: Pixels, count: int) -> Iterator[Pixels]:
    """Frames RGB uint8 ``[480, 640, 3]`` of a face before a camera that is no good."""
    rng = np.random.default_rng(0)
    for index in range(count):
        zoom = 1.0 + 0.3 * np.sin(index / 40)
        x, y = 320 + 120 * np.sin(index / 45), 200 + 40 * np.cos(index / 33)
        matrix = np.array([[zoom, 0, x - 226 * zoom], [0, zoom, y - 121 * zoom]])
        frame = cv2.warpAffine(photo, matrix, SIZE, borderMode=cv2.BORDER_REFLECT_101)
        frame = cv2.GaussianBlur(frame, (0, 0), 0.1 + 2.5 * max(0.0, np.sin(index / 12)))
        noise = np.empty(frame.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(1 << 31)))
        cv2.randn(noise, 0, 8)
        light = 1 + 0.35 * np.sin(index / 21)
        yield np.clip(frame * light + noise, 0, 255).astype(np.uint8)


def frame_times(estimator: AgeEstimator, photo: Pixels, count: int) -> dict[str, Any]:
    """Milliseconds a frame, in turns, and the ages that either way gives."""
    every, followed = FaceTracker(estimator, detect_every=1), FaceTracker(estimator)
    alone: list[float] = []
    ages: list[float] = []
    times: dict[str, list[float]] = {"detect_ms": [], "track_ms": []}
    for index, frame in enumerate(stream(photo, count + WARM_UP)):
        for name, tracker in (("detect_ms", every), ("track_ms", followed)):
            start = time.perf_counter()
            faces = tracker.update(frame, index / FPS)
            spent = 1000 * (time.perf_counter() - start)
            if index >= WARM_UP:
                times[name].append(spent)
        ages += [face.face.age for face in faces]
        alone += [face.age for face in estimator.estimate(frame)]
    clean = estimator.estimate(photo)[0].age
    return {
        **{name: round(statistics.median(values), 2) for name, values in times.items()},
        **{f"{name}_p95": round(float(np.quantile(v, 0.95)), 2) for name, v in times.items()},
        "std_of_frames": round(float(np.std(alone)), 3),
        "std_of_track": round(float(np.std(ages)), 3),
        "std_ratio": round(float(np.std(ages) / np.std(alone)), 3),
        "error_of_frames": round(float(np.mean(np.abs(np.array(alone) - clean))), 3),
        "error_of_track": round(float(np.mean(np.abs(np.array(ages) - clean))), 3),
    }


def long_stream(estimator: AgeEstimator, photo: Pixels, seconds: float) -> dict[str, Any]:
    """Play a stream as from a camera; resident memory each second, and dropped frames."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder, "camera.mp4")
        count = round(seconds * FPS)
        writer = VideoWriter(clip, FPS)
        for index, frame in enumerate(stream(photo, count)):
            writer.write(frame, index / FPS)
        writer.close()
        source, over = Camera(str(clip)), threading.Event()
        memory: list[float] = []

        def watch() -> None:
            while not over.wait(1.0):
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.monotonic()
        try:
            rows, output = Path(folder, "rows.csv"), Path(folder, "out.mp4")
            run(source, estimator, output=output, form=RowFormat.CSV, rows=rows)
        finally:
            over.set()
            watcher.join()
    after = memory[60:]
    return {
        "seconds": seconds,
        "behind_seconds": round(time.monotonic() - start - seconds, 2),
        "dropped_share": round(source.dropped / count, 4),
        "mib": round(memory[-1], 1) if memory else None,
        "growth_mib": round(max(after) - after[0], 1) if after else None,
        "mib_by_minute": [round(value) for value in memory[::60]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photo", type=Path, help="examples/astronaut.jpg")
    parser.add_argument("--frames", type=int, default=600, help="timed frames")
    parser.add_argument("--seconds", type=float, default=600, help="of the long stream")
    parser.add_argument("--model", default="light")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    photo = load_image(options.photo)
    estimator = AgeEstimator(options.model, threads=options.threads)
    figures = frame_times(estimator, photo, options.frames)
    figures["stream"] = long_stream(estimator, photo, options.seconds)
    measured = {**figures, "growth_mib": figures["stream"]["growth_mib"]}
    for name, bar in BARS.items():
        value = measured[name]
        print(f"{name:12}{'not long enough' if value is None else value!s:>16}   bar: <= {bar}")
    report = {
        "command": recorded_command(),
        "machine": {"platform": platform.platform(), "cpus": os.cpu_count(), "load_before": load},
        "model": options.model,
        "threads": options.threads,
        "frames": options.frames,
        **figures,
        "bars": BARS,
    }
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
