"""`agelens evaluate` as a process: what it prints, writes and refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import agelens
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from agelens.cli import evaluation as _  # noqa: F401 - registers the command
from agelens.cli.common import app as commands
from agelens.cli.evaluation_output import print_evaluation
from agelens.data.manifest import Dataset
from agelens.evaluation.results import Evaluation
from agelens.pipeline.model import file_of
from agelens.pipeline.session import open_session


@pytest.fixture(scope="module")
def result(evaluated: Path) -> Evaluation:
    return Evaluation.model_validate_json((evaluated / "numbers.json").read_bytes())


def test_it_is_readable_at_80_columns(evaluated: Path, result: Evaluation) -> None:
    text = (evaluated / "stdout.txt").read_text("utf-8")
    *lines, page = text.splitlines()
    assert page == str(evaluated / "report" / "index.html")
    assert max(map(cell_len, lines)) <= 80
    mae = result.overall["mae"]
    assert re.search(rf"mean absolute error, years +{mae.value:.2f} \[", text)
    women = result.groups["gender"]["female"]
    row = (
        f"{women['mae'].value:.2f} +.{abs(women['bias'].value):.2f} +{women['coverage'].value:.1%}"
    )
    assert re.search(rf"gender female\* +{women.count} +{row}$", text, re.MULTILINE)
    assert text.index("expect ") < text.index("All pictures") < text.index("Checks for 18")
    assert "low light" in text
    assert "No face found in 55_0_0_20170117000000004.jpg.chip.jpg" in text
    assert "By gender" not in text


def test_every_table_is_printed_on_demand(result: Evaluation) -> None:
    console = Console(record=True, width=80)
    print_evaluation(result, details=True, console=console)
    text = console.export_text()
    bias = result.groups["ethnicity"]["White"]["bias"]
    assert f"[{bias.low:+.2f}, {bias.high:+.2f}]" in text  # whole, below its value
    for title in (
        "By gender × ethnicity", "Intervals of every nominal coverage", "Means over severities",
        "Mean absolute error by age", "Probability of 40 or older", "Noise: every severity",
    ):  # fmt: skip
        assert title in text
    assert "--details" not in text


def test_names_are_text_and_keep_their_end(result: Evaluation) -> None:
    name = "a very long name of a group [red]of faces[/red] that ends in Zanzibar"
    groups = {"place": {name: result.overall}}
    console = Console(record=True, width=80)
    print_evaluation(result.model_copy(update={"groups": groups}), console=console)
    text = console.export_text()
    assert re.search(r"^….*\[/red\] that ends in Zanzibar  ", text, re.MULTILINE)


def test_the_json_says_what_was_measured(result: Evaluation, dataset: Dataset) -> None:
    assert result.command is not None
    assert result.command.startswith(f"agelens evaluate light {dataset.folder.name} --split train")
    assert str(dataset.folder) not in result.command
    assert result.dataset == dataset.digest
    assert result.benchmark == "UTKFace"
    intervals = result.intervals
    assert intervals is not None
    assert sum(own.count for own in intervals.estimated.values()) == result.overall.count
    at = {level.nominal: level.observed for level in intervals.levels}
    assert at[0.9].value == pytest.approx(result.overall["coverage"].value)
    inside = sum(
        level.observed.events
        for own in intervals.estimated.values()
        for level in own.levels
        if level.nominal == 0.8
    )
    assert inside == at[0.8].events


def test_what_cannot_be_done_is_said_before_estimating(dataset: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("taken")
    evaluate = ("evaluate", "light", dataset.folder, "--split", "train")
    wrong = agelens(*evaluate, "--report", file)
    assert wrong.returncode == 2
    assert "is a file" in re.sub(
        r"\W+", " ", wrong.stderr.decode()
    )  # Rich breaks the line anywhere
    for options, words in (
        (("--report", file / "below"), r"below: cannot be a report's folder: Not a directory"),
        (("--json", dataset.folder / "manifest.parquet"), "is an input, and is not written over"),
        (("--json", file / "below" / "x.json"), "cannot be written .*is no folder"),
        (("--compare", "nothing.onnx", "--report", tmp_path / "new"), r"nothing.onnx: no such"),
    ):
        done = agelens(*evaluate, *options)
        assert done.returncode == 1
        said = done.stderr.decode()
        assert re.search(words, said)
        assert "Estimating" not in said
        assert "Traceback" not in said
    assert agelens(*evaluate, "--sample", "3").returncode == 2  # of nothing that is asked for
    assert file.read_text() == "taken"
    assert not (tmp_path / "new").exists()


def test_a_model_file_is_opened_once(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def counted(path: Path, **options: Any) -> Any:
        opened.append(path)
        return open_session(path, **options)

    monkeypatch.setattr("agelens.pipeline.model.open_session", counted)
    done = CliRunner().invoke(
        commands,
        [
            "evaluate", "light", str(dataset.folder), "--split", "validation", "--sample", "1",
            "--corruptions", str(tmp_path / "conditions"), "--json", str(tmp_path / "one.json"),
        ],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert opened == [file_of("light")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_what_was_measured_is_not_lost_when_it_cannot_be_printed(
    dataset: Dataset, tmp_path: Path
) -> None:
    output = tmp_path / "one.json"
    command = [sys.executable, "-m", "agelens", "evaluate", "light", str(dataset.folder)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*command, "--split", "validation", "--json", str(output)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert Evaluation.model_validate_json(output.read_bytes()).images > 0
