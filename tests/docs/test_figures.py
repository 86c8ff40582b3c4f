"""The figures of the README and the documentation are those of the committed measurements."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from docs.documents import tool_named

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return tool_named("fill_readme")


def test_the_pages_have_the_measured_figures(tool: ModuleType) -> None:
    for page, text in tool.pages().items():
        assert page.read_text("utf-8") == text, f"{page.name}: run tools/fill_readme.py"


def test_other_sets_come_first(tool: ModuleType) -> None:
    def report(mae: float) -> dict[str, object]:
        around = {"value": mae, "low": mae - 1, "high": mae + 1}
        part = {"value": 0.5}
        return {
            "model": "light", "split": "test", "images": 1000, "missed": ["a.jpg"],
            "nominal_coverage": 0.9,
            "overall": {"mae": around, "within_5": part, "coverage": part},
        }  # fmt: skip

    unknown = {"sources": {name: {"without it": {"covered": 0.4}} for name in ("Other", "UTKFace")}}
    rows = tool.headline([report(4)], {"Other": report(6)}, {}, unknown).splitlines()[5:]
    assert rows == [
        "| Other, its test part: 1,000 | 6.00 [5.00, 7.00] | 50.0% | 50.0% | 40.0% | 1 |",
        "| UTKFace, its test part: 1,000 | 4.00 [3.00, 5.00] | 50.0% | 50.0% | 40.0% | 1 |",
        "",
        "Calibrated without a set, coverage is that of the set's calibration and validation parts.",
    ]


def test_the_figures_are_those_of_the_weights_that_ship() -> None:
    lines = (ROOT / "src/agelens/weights/SHA256SUMS").read_text("utf-8").splitlines()
    locked = {name: digest for digest, name in (line.split("  ") for line in lines)}
    for path in RESULTS.glob("*-test.json"):
        report = json.loads(path.read_text("utf-8"))
        assert report["model_sha256"] == locked[f"age-{report['model']}.onnx"], path.name


def test_the_intervals_of_light_hold_what_they_say_and_are_no_wider_than_needed() -> None:
    left_out = json.loads((RESULTS / "light-left-out.json").read_text("utf-8"))["sources"]
    for name, source in (("light-test", "UTKFace"), ("light-on-APPA-REAL", "APPA-REAL")):
        report = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
        figures = report["overall"]
        assert 0.88 <= round(figures["coverage"]["value"], 2) <= 0.92  # whole percents
        assert figures["width"]["value"] <= 4.6 * figures["mae"]["value"]
        assert left_out[source]["without it"]["covered"] >= 0.86
        assert report["groups"]["age"]["10-19"]["coverage"]["value"] >= 0.85
