"""The public surface, and what must not be imported where."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import agelens
from agelens import __main__

SOURCE = Path(agelens.__file__).parent
HEAVY = {"torch", "torchvision", "timm", "lightning", "pandas", "pyarrow", "fairlearn", "pydantic"}
VIDEO = {"av", "supervision", "trackers"}


def test_public_names_are_these() -> None:
    assert set(agelens.__all__) == {
        "AgeCheck", "AgeEstimator", "AgeModel", "AgelensError", "Box", "CheckpointError",
        "DataError", "Decision", "Detection", "DeviceError", "Explanation", "ExportError", "Face",
        "FaceDetector", "FaceTracker", "Faces", "ImageError", "ImageTooLargeError", "Interval",
        "Landmarks", "MissingExtraError", "ModelError", "Point", "Quality", "RecipeError",
        "TrackedFace", "UnreadableImageError", "VideoError",
        "__version__", "draw_faces", "explain_faces", "load_image",
    }  # fmt: skip
    for name in set(agelens.__all__) - {"FaceTracker", "TrackedFace"}:
        assert getattr(agelens, name) is not None


def test_the_tracker_is_public_with_its_extra() -> None:
    pytest.importorskip("trackers")
    assert agelens.FaceTracker.__name__ == "FaceTracker"
    assert agelens.TrackedFace.__name__ == "TrackedFace"


def test_importing_the_package_loads_what_is_used_only() -> None:
    code = (
        "import sys, agelens; print({'numpy', 'cv2', 'onnxruntime', 'PIL'} & set(sys.modules)); "
        "agelens.AgeEstimator; print('numpy' in sys.modules, sorted(dir(agelens))[:2])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["set()", "True ['AgeCheck', 'AgeEstimator']"]
    with pytest.raises(AttributeError, match="no attribute 'Ages'"):
        agelens.Ages  # noqa: B018


@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("3", "3")])
def test_the_command_starts_no_threads_for_matrix_products(
    given: str | None, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, seen = "OPENBLAS_NUM_THREADS", []
    monkeypatch.setenv(name, "")  # so that it is as before in the end
    monkeypatch.delenv(name) if given is None else monkeypatch.setenv(name, given)
    monkeypatch.setattr(__main__, "run", lambda: seen.append(os.environ[name]))
    __main__._run()
    assert seen == [used]


def test_every_error_is_an_agelens_error() -> None:
    errors = [name for name in agelens.__all__ if name.endswith("Error")]
    assert len(errors) == 12
    for name in errors:
        assert issubclass(getattr(agelens, name), agelens.AgelensError)


def _top_imports(path: Path) -> set[str]:
    """Packages that a module imports when it is itself imported."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


SERVING = sorted([*SOURCE.glob("*.py"), *SOURCE.glob("pipeline/*.py")])


@pytest.mark.parametrize("path", SERVING, ids=lambda path: path.name)
def test_serving_modules_import_nothing_of_training(path: Path) -> None:
    assert not _top_imports(path) & HEAVY


def test_estimating_loads_neither_torch_nor_pandas() -> None:
    code = (
        "import sys; from agelens import AgeEstimator; "
        "AgeEstimator().estimate(sys.argv[1]); from agelens.cli import app; "
        f"print(sorted({HEAVY | VIDEO!r} & set(sys.modules)))"
    )
    photo = SOURCE.parent.parent / "examples" / "astronaut.jpg"
    done = subprocess.run(
        [sys.executable, "-c", code, str(photo)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
