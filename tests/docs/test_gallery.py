"""The gallery shows what the model says now, and has the right to its pictures."""

from __future__ import annotations

import re
from dataclasses import replace
from types import ModuleType

import pytest
from conftest import ROOT
from PIL import Image

from agelens import AgeEstimator
from agelens.types import Interval
from docs.documents import tool_named


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return tool_named("make_gallery")


def test_the_gallery_has_the_models_answers(tool: ModuleType, estimator: AgeEstimator) -> None:
    every = tool.portraits()
    text = tool.PAGE.read_text("utf-8")
    said = r"### (.+)\n\n.+\n\nEstimate: \*\*([\d.]+)\*\*, between (\d+) and (\d+)\."
    kept = {title: list(map(float, ages)) for title, *ages in re.findall(said, text)}
    again = "run tools/make_gallery.py"
    assert set(kept) == {one.title for one in every}, again
    for one, face in zip(every, tool.answers(every, estimator).values(), strict=True):
        age, *bounds = kept[one.title]  # other processors run other kernels, and round otherwise
        assert age == pytest.approx(face.age, abs=2), f"{one.title}: {again}"
        now = [face.interval.low, face.interval.high]
        assert bounds == pytest.approx(now, abs=10), f"{one.title}: {again}"
        with Image.open(one.plain) as plain, Image.open(tool.FOLDER / one.plain.name) as drawn:
            assert drawn.size == plain.size, f"{one.title}: {again}"


def test_good_and_bad_answers_are_told_apart(tool: ModuleType, estimator: AgeEstimator) -> None:
    some = [one for one in tool.portraits() if one.age == [78, 79] or one.age is None]
    goethe, nobody = some
    face = estimator.estimate(goethe.plain)[0]

    def shown(age: float, low: float, high: float) -> str:
        now = replace(face, age=age, interval=Interval(low, high, 0.9))
        return str(tool.figures(some, {one.name: now for one in some}))

    right, young, old = shown(79.9, 60, 90), shown(70, 60, 77), shown(83, 80, 99)
    assert "That is right." in right
    assert "| paintings | 1 | 1 | 1 |\n\n## Good" in right
    assert "8.0 years too young" in young
    assert "| paintings | 1 | 0 | 0 |\n\n## Bad" in young
    assert "3.0 years too old" in old
    assert "| paintings | 1 | 1 | 0 |\n\n## Good" in old
    assert right.index(nobody.title) > right.index("## True age not known")


def test_every_picture_is_credited_and_all_are_small(tool: ModuleType) -> None:
    page = tool.PAGE.read_text("utf-8")
    notice = " ".join((ROOT / "NOTICE").read_text("utf-8").split())
    every = tool.portraits()
    for one in every:
        assert f"{one.remark} *{one.credit}*" in page
        assert one.credit in notice
        assert re.search(rf"\b{one.name}\b", notice)
    files = [file for file in tool.FOLDER.rglob("*") if file.is_file()]
    assert {file.stem for file in files} == {one.name for one in every}
    assert sum(file.stat().st_size for file in files) < 600_000
