"""Validation error of two runs' weights mixed in several shares, at several input sizes.

    python research/average_shares.py DIR efficientnet/best.ckpt efficientnet-160/best.ckpt

One view of each crop, median of the distribution. `agelens average` makes the half-and-half mix.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch

from agelens.ages import CLASSES
from agelens.data.manifest import Dataset
from agelens.pipeline.calibration import quantile
from agelens.training.crops import aligned_crops
from agelens.training.module import load_checkpoint
from agelens.training.network import resized

BATCH = 64


def main() -> None:
    """Print a row for each share and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a prepared dataset")
    parser.add_argument("first", type=Path, help="a checkpoint")
    parser.add_argument("second", type=Path, help="a checkpoint that went on from the first")
    parser.add_argument("--shares", type=float, nargs="+", default=[0, 0.3, 0.5, 0.6, 1])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 144, 160])
    args = parser.parse_args()
    first, second = load_checkpoint(args.first), load_checkpoint(args.second)
    side = max(module.recipe.model.size for module in (first, second))
    crops, rows = aligned_crops(Dataset.load(args.data), "validation", side, margin=0.0)
    ages = rows["age"].to_numpy(np.int64)
    whole = torch.from_numpy(np.array(crops)).permute(0, 3, 1, 2)
    states = first.net.state_dict(), second.net.state_dict()
    net = copy.deepcopy(first.net).eval()
    print("share of the first, pixels, MAE")
    for size in args.sizes:
        images = resized(whole, size)
        for share in args.shares:
            net.load_state_dict(
                {
                    name: (states[0][name] * share + states[1][name] * (1 - share)).to(tensor.dtype)
                    for name, tensor in states[0].items()
                }
            )
            with torch.inference_mode():
                parts = [
                    net.log_ages(net(part.contiguous(memory_format=torch.channels_last))).exp()
                    for part in images.split(BATCH)
                ]
            estimates = quantile(torch.cat(parts).numpy(), np.arange(CLASSES), 0.5)
            print(f"{share:.1f}, {size}, {np.abs(estimates - ages).mean():.3f}", flush=True)


if __name__ == "__main__":
    main()
