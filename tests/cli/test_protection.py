"""No command writes onto what it reads, and no two results share a file."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import command, contents
from conftest import ASTRONAUT, ROOT

from agelens.page.files import STATIC
from agelens.pipeline.images import load_image
from agelens.pipeline.model import file_of

pytest.importorskip("torch")
from agelens.data.manifest import Dataset
from agelens.video.writers import VideoWriter

MEASURED = ROOT / "benchmarks" / "results" / "light-test.json"


@pytest.fixture(scope="module")
def home(dataset: Dataset, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each thing that commands read."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copy(ASTRONAUT, folder / "face.jpg")
    shutil.copy(file_of("light"), folder / "model.onnx")
    shutil.copy(run / "best.ckpt", folder / "best.ckpt")
    shutil.copy(MEASURED, folder / "measured.json")
    for name in ("data", "other"):
        (folder / name).mkdir()
        for path in dataset.files()[:2]:
            shutil.copy(path, folder / name)
    about = json.loads((folder / "other" / "dataset.json").read_text())
    about["sources"][0]["name"] = "Other"
    (folder / "other" / "dataset.json").write_text(json.dumps(about))
    writer = VideoWriter(folder / "clip.mp4", 25)
    writer.write(load_image(ASTRONAUT), 0)
    writer.close()
    picture = dataset.root / str(dataset.part("test")["path"].iloc[0])
    (folder / "picture.jpg").hardlink_to(picture)
    return folder


ONTO_INPUTS = {
    "predict -o": ("predict face.jpg --model model.onnx -o OUT.csv", "face.jpg model.onnx"),
    "predict unfinished": ("predict face.jpg -o rows.csv", "face.jpg"),
    "predict --save": ("predict face.jpg --model model.onnx --save OUT", "model.onnx"),
    "decide": ("decide face.jpg --model model.onnx -o OUT.jsonl", "face.jpg model.onnx"),
    "explain": ("explain face.jpg --model model.onnx -o OUT.png", "face.jpg model.onnx"),
    "video -o": ("video clip.mp4 --model model.onnx -o OUT.mp4", "clip.mp4 model.onnx"),
    "video --rows": ("video clip.mp4 --model model.onnx --rows OUT.csv", "clip.mp4 model.onnx"),
    "average": ("average best.ckpt best.ckpt -o OUT.ckpt", "best.ckpt"),
    "export": ("export best.ckpt --data data -o OUT.onnx",
               "best.ckpt data/manifest.parquet data/dataset.json picture.jpg"),
    "evaluate --json": ("evaluate model.onnx data --json OUT.json",
                        "model.onnx data/manifest.parquet picture.jpg"),
    "evaluate --predictions": ("evaluate model.onnx data --predictions OUT.csv",
                               "model.onnx data/dataset.json picture.jpg"),
    "evaluate --report": ("evaluate model.onnx data --report OUT", "model.onnx picture.jpg"),
    "explore": ("data explore data --model model.onnx -o OUT", "model.onnx picture.jpg"),
    "join": ("data join data other -o OUT", "data/manifest.parquet data/dataset.json"),
    "card": ("card measured.json -o OUT.md", "measured.json"),
    "benchmark": ("benchmark face.jpg --model model.onnx --json OUT.json", "face.jpg model.onnx"),
    "export-web": ("export-web OUT --model model.onnx", "model.onnx"),
}  # fmt: skip
IN_FOLDER = {
    "predict --save": "face.jpg",
    "evaluate --report": "index.html",
    "explore": "report.json",
    "join": "manifest.parquet",
    "export-web": "models/manifest.json",
}
"""The file in OUT of the commands that write a folder."""


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize("case", ONTO_INPUTS)
def test_nothing_is_written_onto_what_is_read(
    case: str,
    link: Callable[[Path, Path], None],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if case == "export-web" and not STATIC.is_dir():
        pytest.skip("the page is not built: npm ci && npm run build")
    words, inputs = ONTO_INPUTS[case]
    monkeypatch.chdir(home)
    before = contents(home)
    for number, name in enumerate(inputs.split()):
        out = tmp_path / f"out{number}"
        arguments = words.replace("OUT", str(out)).split()
        if case == "predict unfinished":
            place = tmp_path / "rows.csv.unfinished"
            arguments[-1] = str(tmp_path / "rows.csv")
        elif case in IN_FOLDER:
            place = out / IN_FOLDER[case]
        else:
            place = out.with_suffix(Path(arguments[-1]).suffix)
        place.parent.mkdir(parents=True, exist_ok=True)
        link(home / name, place)
        code, said = command(capfd, monkeypatch, *arguments)
        assert code == 1, said
        assert f"{place}: is an input, and is not written over" in said
    assert contents(home) == before
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".partial")]


TWICE = {
    "video": "video clip.mp4 -o OUT/a.jsonl --rows OUT/x/../a.jsonl",
    "evaluate": "evaluate model.onnx data --json OUT/a.json --predictions OUT/x/../a.json",
    "evaluate --report": "evaluate model.onnx data --report OUT --json OUT/report.json",
}


@pytest.mark.parametrize("case", TWICE)
def test_two_results_are_never_one_file(
    case: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(home)
    (tmp_path / "x").mkdir()
    code, said = command(capfd, monkeypatch, *TWICE[case].replace("OUT", str(tmp_path)).split())
    assert code == 1
    assert "two results need a file each" in said
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_annotated_copies_are_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where a link leads from one to another, and where accents may be written in two ways."""
    names = [
        "a.jpg",
        "b.jpg",
        "\N{LATIN SMALL LETTER E WITH ACUTE}.jpg",
        "e\N{COMBINING ACUTE ACCENT}.jpg",
    ]
    for name in names:
        shutil.copy(ASTRONAUT, tmp_path / name)
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.jpg").symlink_to("a.jpg")
    pictures = [tmp_path / name for name in names]
    code, said = command(capfd, monkeypatch, "predict", *pictures, "--save", out, "--jobs", "1")
    assert code == 1
    assert f"{out / 'b.jpg'}: another result is in that file" in said
    assert "1 of 4 failed" in said
    assert len({unicodedata.normalize("NFC", path.name) for path in out.iterdir()}) == 4


def test_prepare_writes_onto_nothing_that_it_found(
    faces_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    archive = tmp_path / "faces.tar"
    with tarfile.open(archive, "w") as tar:
        for path in sorted(faces_folder.iterdir())[-5:]:
            tar.add(path, path.name)
    labels = out / "manifest.parquet"
    labels.parent.mkdir()
    labels.write_text("path,age\n")
    named = ("--labels", labels, "--name", "n", "--licence", "l")
    for arguments, words in (
        ((archive, *named), f"{labels}: is an input, and is not written over"),
        ((archive,), "dataset.json: is there already, and not of agelens"),
        ((archive,), "readme.jpg: is there already, and not the one of"),
    ):
        if "dataset.json" in words:
            labels.unlink()
            (out / "dataset.json").write_text('{"mine": 1}')
        if "readme" in words:
            (out / "dataset.json").unlink()
            (out / "images").mkdir()
            (out / "images" / "readme.jpg").write_text("mine")
        before = contents(tmp_path)
        code, said = command(capfd, monkeypatch, "data", "prepare", *arguments, "-o", out)
        assert code == 1, said
        assert words in said
        assert before.items() <= contents(tmp_path).items()


def test_a_page_of_somebody_else_s_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if not STATIC.is_dir():
        pytest.skip("the page is not built: npm ci && npm run build")
    (tmp_path / "index.html").write_text("mine")
    code, said = command(capfd, monkeypatch, "export-web", tmp_path)
    assert code == 1
    assert "index.html: is there already, and not of an earlier export" in said
    assert contents(tmp_path) == {"index.html": b"mine"}
