"""What a run cost, from its log: hours, and with stated assumptions energy and carbon.

    python benchmarks/training_cost.py runs/NAME --json FILE

Where a run went on from another's weights, give both, the last one last: their hours add up. A FILE
that this script wrote stands for the runs that it is of.

The log's rate of images a second at the end of each epoch gives its time; validation, a few percent
more, is not in it. Power is not measured here: give what your machine draws.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from agelens.files import write_json
from agelens.reporting.command import recorded_command


def hours(run: Path) -> float:
    """Training time of a run, from all of its CSV logs (a resumed run has several)."""
    if run.suffix == ".json":
        return float(json.loads(run.read_text("utf-8"))["training_cost"]["hours"])
    batch = json.loads((run / "run.json").read_text("utf-8"))["recipe"]["optimiser"]["batch_size"]
    logs = [pd.read_csv(path) for path in sorted((run / "logs").glob("**/metrics.csv"))]
    if not logs:
        raise SystemExit(f"{run}: holds no log")
    rates = pd.concat(logs).dropna(subset=["images_per_s"]).sort_values("step")
    epochs = rates.groupby("epoch").agg(step=("step", "last"), rate=("images_per_s", "last"))
    images = epochs["step"].add(1).diff().fillna(epochs["step"] + 1) * batch
    return float((images / epochs["rate"]).sum() / 3600)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--watts", type=float, default=30.0, help="drawn while training (assumed)")
    parser.add_argument("--grams", type=float, default=400.0, help="CO2 of a kWh (assumed)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    spent = sum(map(hours, options.runs))
    energy = spent * options.watts / 1000
    report = {
        "model": options.runs[-1].name,
        "command": recorded_command(),
        "training_cost": {
            "hours": round(spent, 2),
            "watts, assumed": options.watts,
            "kilowatt hours": round(energy, 3),
            "grams of CO2 for a kilowatt hour, assumed": options.grams,
            "kilograms of CO2": round(energy * options.grams / 1000, 3),
        },
    }
    print(json.dumps(report, indent=2))
    if options.json:
        write_json(report, options.json)


if __name__ == "__main__":
    main()
