"""The figures of the README and the documentation are those of the committed measurements."""

from __future__ import annotations

from types import ModuleType

import pytest

from docs.documents import tool_named


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
