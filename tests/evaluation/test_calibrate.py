"""`agelens calibrate`: a model file learns its calibration from held-out faces."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from agelens import AgeEstimator, DataError
from agelens.cli import calibrate as _  # noqa: F401 - registers the command
from agelens.cli import evaluation as __  # noqa: F401 - registers the command
from agelens.cli.common import app as commands
from agelens.data.manifest import Dataset, Source
from agelens.errors import OutputError
from agelens.evaluation.calibrate import calibrate, default_splits
from agelens.evaluation.predictions import predict_split
from agelens.evaluation.results import Evaluation
from agelens.pipeline.model import METADATA_KEY, AgeModel, file_of


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The shipped model as it was exported: without a calibration."""
    path = tmp_path / "raw.onnx"
    graph = onnx.load(file_of("light"))
    (facts,) = (json.loads(one.value) for one in graph.metadata_props if one.key == METADATA_KEY)
    del facts["calibration"]
    onnx.helper.set_model_props(graph, {METADATA_KEY: json.dumps(facts)})
    onnx.save(graph, path)
    return path


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agelens.evaluation.calibrate.MIN_FACES", 1)


@pytest.mark.usefixtures("few_are_enough")
def test_a_model_is_calibrated_on_several_parts(dataset: Dataset, raw: Path) -> None:
    estimator = AgeEstimator("light")
    parts = {
        split: len(predict_split(estimator, dataset, split)["predicted"].dropna())
        for split in ("train", "validation")
    }
    calibrate(raw, dataset, splits=["train"])
    alone = AgeModel(raw).metadata
    done = CliRunner().invoke(
        commands,
        ["calibrate", str(raw), str(dataset.folder), "--split", "train", "--split", "validation"],
    )
    assert done.exit_code == 0, done.output
    assert "calibrated on" in done.output  # in place of the one before, which faces of it made
    both = AgeModel(raw).metadata
    faces = [own["calibration"]["faces"] for own in (alone, both)]
    assert faces == [parts["train"], sum(parts.values())]
    for name in ("class_bias", "score_quantiles"):
        one, other = (own["calibration"][name] for own in (alone, both))
        assert np.isfinite([one, other]).all()
        assert one != other
    assert both["training"] == AgeModel("light").metadata["training"]
    (record,) = both["calibrated_on"]
    assert record == {
        "dataset": dataset.digest,
        "sources": ["UTKFace"],
        "splits": ["train", "validation"],
        "faces": sum(parts.values()),
        "adapted": False,
    }


@pytest.mark.usefixtures("few_are_enough")
def test_a_shipped_model_is_adapted_to_ones_own_faces(dataset: Dataset, tmp_path: Path) -> None:
    own = dataclasses.replace(dataset, sources=(Source("My faces", "mine"),))
    mine = tmp_path / "mine.onnx"
    before = file_of("light").read_bytes()
    done = calibrate("light", own, output=mine)
    assert file_of("light").read_bytes() == before
    assert done.adapted
    # So few that the test part, too, is of more use here than kept apart.
    assert done.splits == ("train", "validation", "calibration", "test")
    known, adapted = AgeModel("light"), AgeModel(mine)
    assert adapted.calibration.to_dict() == done.calibration.to_dict()
    # All 60 are one woman of about 30, whatever their labels say: nothing can be right of them.
    assert done.calibration.temperature > known.calibration.temperature
    assert done.gain.width.second > done.gain.width.first

    again = tmp_path / "again.onnx"
    with pytest.raises(DataError, match=r"was adapted to .* already"):
        calibrate(mine, own, output=again)
    assert not again.exists()
    with pytest.raises(OutputError, match="is an input"):
        calibrate(mine, own, output=mine)
    with pytest.raises(OutputError, match="is an input"):
        calibrate("light", own, output=own.folder / "dataset.json")


def test_the_parts_that_a_network_has_not_learnt_from(dataset: Dataset) -> None:
    light = AgeModel("light")
    assert default_splits(light, dataset) == ("calibration",)
    own = dataclasses.replace(dataset, sources=(Source("My faces", "mine"),))
    assert default_splits(light, own)[-1] == "test"
    rows = own.manifest.loc[own.manifest.index.repeat(30)]
    many = dataclasses.replace(own, manifest=rows)
    assert default_splits(light, many) == ("train", "validation", "calibration")


@pytest.mark.usefixtures("few_are_enough")
def test_faces_that_it_was_calibrated_on_are_marked(
    dataset: Dataset, several: Dataset, raw: Path, tmp_path: Path
) -> None:
    calibrate(raw, dataset, splits=["validation"])
    seen = len(dataset.part("validation"))

    def evaluate(model: str | Path, data: Dataset, split: str) -> tuple[Evaluation, str]:
        file = tmp_path / "figures.json"
        options = ["--split", split, "--json", str(file)]
        done = CliRunner().invoke(commands, ["evaluate", str(model), str(data.folder), *options])
        assert done.exit_code == 0, done.output
        words = " ".join(done.output.split())
        return Evaluation.model_validate_json(file.read_bytes()), words

    # By their pictures: in another dataset they are the same faces.
    for data in (dataset, several):
        result, said = evaluate(raw, data, "validation")
        assert result.calibrated_on == seen
        assert f"calibration was learnt from {seen} of these" in said
    result, said = evaluate(raw, dataset, "test")
    assert result.calibrated_on == 0
    assert "was learnt from" not in said


def test_what_cannot_be_calibrated_is_said_in_a_sentence(dataset: Dataset, tmp_path: Path) -> None:
    output = tmp_path / "mine.onnx"
    faces = [str(dataset.folder), "--split", "validation"]
    few = CliRunner().invoke(commands, ["calibrate", "light", *faces, "-o", str(output)])
    assert isinstance(few.exception, DataError)
    assert "faces are too few to calibrate on: 100 are needed" in str(few.exception)
    assert not output.exists()
    # A part counts once however often it is named.
    often = ["--split", "validation"] * 20
    few = CliRunner().invoke(commands, ["calibrate", "light", *faces, *often, "-o", str(output)])
    assert "faces are too few" in str(few.exception)
    other = CliRunner().invoke(commands, ["calibrate", "light", *faces[:2], "x", "-o", str(output)])
    assert "there are: train, validation, calibration, test" in str(other.exception)
    place = CliRunner().invoke(commands, ["calibrate", "light", *faces])
    assert place.exit_code == 2
    assert "-o FILE" in place.output
