"""`agelens benchmark`: the figures belong together, and what cannot be measured is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ASTRONAUT
from PIL import Image

from agelens.benchmark import process as module
from agelens.benchmark.process import BenchmarkError, fresh_processes
from agelens.benchmark.run import benchmark
from agelens.benchmark.steps import STEPS


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agelens", "benchmark", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def check_figures(figures: dict[str, float]) -> None:
    assert list(figures) == ["mean", "p50", "p90", "p99"]
    assert 0 < figures["p50"] <= figures["p90"] <= figures["p99"]


def check_process(known: dict[str, Any]) -> None:
    assert set(known) == {"runs", "milliseconds", "peak_mib"}
    for figures in (known["milliseconds"], known["peak_mib"]):
        assert 0 < figures["min"] <= figures["median"] <= figures["max"]


def test_the_report_is_whole_and_adds_up(tmp_path: Path) -> None:
    file = tmp_path / "out" / "figures.json"
    options = ["--threads", "2,1,2", "--repeat", "3", "--json", file]
    done = run(*options)
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    assert set(report) == {
        "machine", "model", "repeat", "pictures", "milliseconds", "as_it_comes",
        "images_per_second", "fresh_process",
    }  # fmt: skip
    assert report["pictures"] == [{"path": "a drawn face", "faces": 1}]
    times = report["milliseconds"]
    assert list(times) == [*STEPS, "total"]
    for figures in times.values():
        check_figures(figures)
    parts = sum(times[step]["mean"] for step in STEPS)
    assert times["total"]["mean"] == pytest.approx(parts, abs=0.01)
    assert all(times["total"]["p50"] > times[step]["p50"] for step in STEPS)
    assert list(report["images_per_second"]) == ["1", "2"]
    assert all(rate > 0 for rate in report["images_per_second"].values())
    check_process(report["fresh_process"])
    check_figures(report["as_it_comes"]["milliseconds"]["total"])
    assert report["machine"]["processors"] >= 1
    assert all(report["machine"]["versions"].values())
    for word in (*STEPS, "total", "threads at will", "2 threads", "peak MiB"):
        assert word in done.stdout


def test_a_picture_without_a_face_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (90, 70)).save(tmp_path / "blank.png")
    monkeypatch.setattr(module, "FRESH_RUNS", 1)
    steps: list[tuple[int, int]] = []
    report = benchmark(
        [str(tmp_path / "blank.png"), str(ASTRONAUT)],
        threads=[1],
        repeat=1,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert [picture["faces"] for picture in report["pictures"]] == [0, 1]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(BenchmarkError, match=r"blank\.png: shows no face"):
        benchmark([str(tmp_path / "blank.png")])


def test_the_memory_of_a_fresh_process_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_RUNS", 1)
    code = "held = bytearray(60 * 2**20); held[::4096] = bytes(len(held[::4096]))"
    known = fresh_processes(
        {name: [sys.executable, "-c", text] for name, text in (("small", ""), ("large", code))}
    )
    small, large = (known[name]["peak_mib"]["median"] for name in ("small", "large"))
    assert small < 50  # this process, which holds numpy, OpenCV and ONNX Runtime, has more
    assert 55 < large - small < 70
    with pytest.raises(BenchmarkError, match="too bad"):
        fresh_processes({"bad": [sys.executable, "-c", "raise SystemExit('too bad')"]})


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--threads", "0"], 2, "write numbers from 1 to 1024 as 1,2,4"),
        (["--threads", "1,,two"], 2, "write numbers from 1 to 1024 as 1,2,4"),
        (["--repeat", "0"], 2, "0 is not in the range"),
        (["--model", "nobody"], 1, "nobody: no such file"),
        (["/nowhere.jpg"], 1, "/nowhere.jpg: No such file"),
        ([__file__], 1, "not a picture, or of a format that is not read"),
    ],
)
def test_what_cannot_be_measured_is_said(options: list[str], code: int, words: str) -> None:
    done = run(*options)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
