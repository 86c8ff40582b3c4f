"""What 8 bits cost an exported model, by how many of its first convolutions stay in floats.

    python research/float_layers.py MODEL.onnx DIR

MODEL is from `agelens export` without ``--int8``; errors are of the validation crops, milliseconds
of a crop in batches of 32 on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx

from agelens.data.manifest import Dataset
from agelens.pipeline.calibration import quantile
from agelens.pipeline.model import METADATA_KEY, AgeModel
from agelens.training.crops import MARGIN, aligned_crops
from agelens.training.quantise import calibration_crops, quantise


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 1, 2, 3, 5, 7])
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    whole = AgeModel(options.model, threads=1)
    cached, rows = aligned_crops(dataset, "validation", whole.size, margin=0.0)
    ages = rows["age"].to_numpy(np.int64)
    crops = np.array(cached)
    ranges = calibration_crops(
        aligned_crops(dataset, "train", whole.size, margin=MARGIN)[0], MARGIN
    )

    def show(name: str, model: AgeModel) -> None:
        start = time.perf_counter()
        estimates = quantile(model.predict(crops), model.ages, 0.5)
        each = 1000 * (time.perf_counter() - start) / len(crops)
        print(f"{name}: {np.abs(estimates - ages).mean():.3f} years, {each:.2f} ms")

    show("floats", whole)
    facts = {entry.key: entry.value for entry in onnx.load(options.model).metadata_props}
    with tempfile.TemporaryDirectory() as folder:
        for layers in options.layers:
            file = Path(folder, f"{layers}.onnx")
            quantise(options.model, file, ranges, float_layers=layers)
            graph = onnx.load(file)  # quantising drops the metadata
            onnx.helper.set_model_props(graph, {METADATA_KEY: facts[METADATA_KEY]})
            onnx.save(graph, file)
            show(f"8 bits, the first {layers} in floats", AgeModel(file, threads=1))


if __name__ == "__main__":
    main()
