"""What each choice of a recipe brings: the recipe with one choice changed, at equal budgets.

    python research/ablation.py DIR mobilenet --json research/results/ablation.json

Every variant runs for the same epochs from the same start, and its last weights (the average) are
measured on the validation part: error, errors by age, the widest difference of genders and of
ethnicities as if all were equally old, and the error in bad conditions, put on the crops. The
second seed shows how much chance alone does. A variant that is in the JSON file is not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agelens.ages import CLASSES
from agelens.benchmark.machine import machine
from agelens.data.manifest import Dataset
from agelens.evaluation.compare import paired
from agelens.evaluation.groups import standardised
from agelens.evaluation.metrics import bias, interval, mae
from agelens.evaluation.robustness.corruptions import corrupt
from agelens.files import write_json
from agelens.pipeline.calibration import quantile
from agelens.reporting.command import recorded_command
from agelens.training.crops import aligned_crops, draw_seed
from agelens.training.fit import fit
from agelens.training.module import load_checkpoint
from agelens.training.recipe_files import load_recipe

BASE = "the recipe"
VARIANTS: dict[str, tuple[str, ...]] = {
    BASE: (),
    "second seed": ("seed=1",),
    "sampling: square root": ("imbalance.sampling=sqrt",),
    "weights: square root, LDS": ("imbalance.weights=sqrt_lds",),
    "no bad conditions": tuple(
        f"augment.{name}=0"
        for name in (
            *("zoom_out", "occlude", "light", "low_resolution", "blur", "sharpen"),
            *("noise", "jpeg"),
        )
    ),
    "loss: L1": ("loss.name=l1",),
    "loss: cross-entropy": ("loss.name=cross_entropy",),
    "teacher: light": ('teacher.models=["light"]', "teacher.feature_weight=1.0"),
    "64 pixels": (),
}
SIZES = {"64 pixels": 64}
CONDITIONS = ("low_light", "contrast", "gaussian_noise", "defocus_blur", "motion_blur", "jpeg")
SEVERITY = 3
AGES = ((0, 9), (10, 19), (20, 39), (40, 59), (60, 116))
BATCH = 64


def estimates(checkpoint: Path, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Ages ``[N]`` in years that a checkpoint gives crops ``[N, S, S, 3]``."""
    net = load_checkpoint(checkpoint).net
    images = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        rows = [net.log_ages(net(batch)).exp().numpy() for batch in torch.split(images, BATCH)]
    return quantile(np.concatenate(rows), np.arange(CLASSES), 0.5)


def corrupted(crops: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    """The crops in a bad condition."""
    return np.stack(
        [
            corrupt(crop, kind, SEVERITY, np.random.default_rng(draw_seed(0, index)))
            for index, crop in enumerate(crops)
        ]
    )


def measure(checkpoint: Path, dataset: Dataset, size: int) -> tuple[dict[str, Any], list[float]]:
    """Figures of a checkpoint on the validation part, and its errors."""
    crops, rows = aligned_crops(dataset, "validation", size, margin=0.0)
    crops, ages = np.array(crops), rows["age"].to_numpy(np.int64)
    errors = estimates(checkpoint, crops) - ages
    low, high = interval(errors, mae)
    bands = {f"{first}-{last}": np.isin(ages, range(first, last + 1)) for first, last in AGES}
    figures: dict[str, Any] = {
        "mae": {"value": float(mae(errors)), "low": low, "high": high},
        "within_5": float((np.abs(errors) <= 5).mean()),
        "mae_by_age": {name: float(mae(errors[band])) for name, band in bands.items()},
        "bias_by_age": {name: float(bias(errors[band])) for name, band in bands.items()},
    }
    for column in ("gender", "ethnicity"):
        known = rows[column].notna().to_numpy()
        group = rows[column][known].to_numpy(str)
        table = standardised(errors[known], ages[known], group)
        assert table is not None
        figures[column] = table.widest.model_dump()
    wrong = [np.abs(estimates(checkpoint, corrupted(crops, kind)) - ages) for kind in CONDITIONS]
    figures["mae_in_bad_conditions"] = float(np.mean(wrong))
    return figures, errors.round(3).tolist()


def table(report: dict[str, Any]) -> str:
    """The figures as Markdown, for the log of runs."""
    columns = ["changed", "MAE", "minus the recipe", "within 5"]
    columns += [f"{first}-{last}" for first, last in AGES]
    columns += ["genders", "ethnicities", "bad conditions", "minutes"]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for name, figures in report["variants"].items():
        against = figures["minus_the_recipe"]
        cells = [
            name,
            f"{figures['mae']['value']:.2f}",
            f"{against['value']:+.2f} [{against['low']:+.2f}, {against['high']:+.2f}]",
            f"{100 * figures['within_5']:.1f} %",
            *(
                f"{figures['mae_by_age'][band]:.2f} ({figures['bias_by_age'][band]:+.1f})"
                for band in figures["mae_by_age"]
            ),
            f"{figures['gender']['difference']['value']:.2f}",
            f"{figures['ethnicity']['difference']['value']:.2f}",
            f"{figures['mae_in_bad_conditions']:.2f}",
            f"{figures['minutes']:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("recipe", help="a name that ships, or a TOML file")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    report: dict[str, Any] = {"variants": {}, "errors": {}}
    if options.json.exists():
        report = json.loads(options.json.read_text("utf-8"))
    report |= {
        "command": recorded_command(),
        "machine": machine(),
        "manifest": dataset.digest,
        "recipe": Path(options.recipe).name,
        "budget": {"epochs": options.epochs, "size": options.size},
    }
    for name in options.only:
        if name in report["variants"]:
            continue
        size = SIZES.get(name, options.size)
        budget = (
            f"model.size={size}",
            f"stages=[{{epochs={options.epochs}, size={size}}}]",
            "imbalance.weights=none",
            "imbalance.from_epoch=0",
            "optimiser.ema_decay=0.99",  # of a run this short, a longer memory is of its beginning
        )
        recipe = load_recipe(options.recipe, (*budget, *options.overrides, *VARIANTS[name]))
        run = options.runs / "".join(c if c.isalnum() else "-" for c in name)
        began = time.monotonic()
        fit(recipe, dataset, run)
        minutes = (time.monotonic() - began) / 60
        figures, errors = measure(run / "last.ckpt", dataset, size)
        about = {"changed": VARIANTS[name], "minutes": round(minutes, 1)}
        report["variants"][name] = {**about, **figures}
        report["errors"][name] = errors
        base = report["errors"].get(BASE, errors)
        against = paired(np.array(base), np.array(errors), mae).difference.model_dump()
        report["variants"][name]["minus_the_recipe"] = against
        write_json(report, options.json)
        print(f"{name}: {figures['mae']['value']:.3f} ({against['value']:+.3f})", flush=True)
    print(table(report))


if __name__ == "__main__":
    main()
