"""What answers would be with less of what gender and ethnicity alone say of an age.

    python research/group_evidence.py light DIR --json research/results/group-evidence.json

Takes fractions of the true group's evidence (`agelens.training.imbalance.group_evidence`, of the
training part) out of the distributions of the calibration and validation parts; temperature and
class bias are fitted anew, on four fifths without the face that is judged. So it says what a
network trained with `imbalance.group_adjustment` could come to, and what that costs, before it is
trained. `uneven` is how far the bias of a face's ethnicity at its age is from that of all of its
age, over all faces; the widest age-standardised differences are in years. Test pictures are not
looked at.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from class_bias import held_out, predict

from agelens.ages import age_band
from agelens.evaluation.groups import standardise_groups
from agelens.training.imbalance import group_evidence

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
GROUP = ["gender", "ethnicity"]


def unevenness(found: pd.DataFrame) -> float:
    """Mean distance of a face's ethnicity's bias in its age band from the band's, in years."""
    bias, band = found["predicted"] - found["age"], pd.Series(age_band(found["age"]), found.index)
    of_band = bias.groupby(band).transform("mean")
    of_cell = bias.groupby([band, found["ethnicity"]]).transform("mean")
    return float((of_cell - of_band).abs().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    dataset, found, faces, ages = predict(options.model, options.data)
    known = found[GROUP].notna().all(axis=1)
    found, faces = found[known], faces[known]
    wanted = found["age"].to_numpy(int)

    train = dataset.part("train")
    groups, evidence = group_evidence(train, len(ages))
    numbers = dict(zip(train[GROUP].itertuples(index=False, name=None), groups, strict=True))
    alone = evidence[[numbers[group] for group in found[GROUP].itertuples(index=False, name=None)]]

    results: list[dict[str, float]] = []
    for share in SHARES:
        less = faces * np.exp(-share * alone)
        less /= less.sum(axis=1, keepdims=True)
        judged = found.assign(predicted=held_out(less, wanted, ages, {}))
        size = (judged["predicted"] - wanted).abs()
        widest = {
            name: figures.widest.difference.value
            for name, figures in standardise_groups(judged).items()
            if name in GROUP
        }
        row = {"share": share, "mae": size.mean(), "within_5": (size <= 5).mean(),
               "mae_60_79": size[(wanted >= 60) & (wanted < 80)].mean(),
               "uneven": unevenness(judged)} | widest  # fmt: skip
        results.append({key: float(value) for key, value in row.items()})
    print(f"{len(found):,} faces\n{pd.DataFrame(results).round(3).to_string(index=False)}")
    if options.json:
        facts: dict[str, Any] = {"model": options.model, "faces": len(found), "shares": results}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
