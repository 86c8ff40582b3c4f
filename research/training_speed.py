"""Images per second of `agelens train` against a bare torch loop on the same network.

    python research/training_speed.py DIR --json research/results/training-speed.json
    python research/training_speed.py DIR --backbone torchvision/resnet50 --size 128

Three ways, each in a process of its own, in turns: `fit` as the command calls it (Lightning, the
averaged weights, logs, augmentation in a worker); a bare loop over the same loader; a bare loop
over batches that lie in memory ready made, without augmentation. A bare step is forward, loss,
backward, clipping and AdamW. The first steps warm up and are not counted. Both ratios are given:
to the loop in memory, which the worker's share of the processors counts against, and to the loop
over the same loader, which shows what Lightning and the average cost.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from agelens.data.bands import bands_of
from agelens.data.manifest import Dataset, digest
from agelens.files import atomic_path
from agelens.training.recipe import Model, Recipe, Stage

LOG_EVERY = 20
"""Steps between the rates that `fit` logs; the first of them ends the warm-up."""
VALIDATION = 32
MIB = 2**20 if sys.platform == "darwin" else 2**10


def small_copy(dataset: Dataset, images: int, folder: Path) -> Dataset:
    """So many of the training pictures, with a cache in `folder`."""
    parts = [dataset.part("train")[:images], dataset.part("validation")[:VALIDATION]]
    paths = [path for part in parts for path in part["path"]]
    rows = dataset.manifest[dataset.manifest["path"].isin(paths)].reset_index(drop=True)
    root = dataset.root.resolve()
    return dataclasses.replace(
        dataset, folder=folder, root=root, manifest=rows, digest=digest(rows)
    )


def lightning_loop(recipe: Recipe, dataset: Dataset) -> float:
    """Images per second of `fit`, from the rates that it logs (since the epoch began)."""
    from agelens.training.fit import fit

    with tempfile.TemporaryDirectory() as scratch:
        fit(recipe, dataset, Path(scratch) / "run", accelerator="cpu")
        (log,) = Path(scratch).rglob("metrics.csv")
        with log.open() as lines:
            rows = [row for row in csv.DictReader(lines) if row.get("images_per_s")]
    ends = []
    for row in (rows[0], rows[-1]):
        images = (int(row["step"]) + 1) * recipe.optimiser.batch_size
        ends.append((images, images / float(row["images_per_s"])))
    (first, start), (last, end) = ends
    return (last - first) / (end - start)


def bare_loop(recipe: Recipe, dataset: Dataset, *, augmented: bool) -> float:
    """Images per second of forward, loss, backward, clipping and AdamW."""
    import torch
    from torch.utils.data import DataLoader

    from agelens.training.crops import (
        MARGIN,
        CropDataset,
        EpochSampler,
        aligned_crops,
        augmentation,
    )
    from agelens.training.module import AgeModule

    size, batch = recipe.model.size, recipe.optimiser.batch_size
    margin = MARGIN if augmented else 0.0
    crops, rows = aligned_crops(dataset, "train", size, margin=margin)
    labels = bands_of(rows)
    steps = len(labels) // batch
    torch.manual_seed(recipe.seed)
    module = AgeModule(recipe.model_dump(), steps, {}).train()
    network, optimiser = module.net, module.configure_optimizers()["optimizer"]

    def ready_made() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        images = torch.from_numpy(crops[: steps * batch].copy()).permute(0, 3, 1, 2)
        yield from zip(
            images.split(batch), torch.from_numpy(labels[: steps * batch]).split(batch), strict=True
        )

    batches: Iterable[Any] = ready_made()
    if augmented:
        transform = augmentation(recipe.augment, size)
        items = CropDataset(crops, labels, transform=transform, seed=recipe.seed)
        sampler = EpochSampler(len(items), recipe.seed, batch=batch)
        batches = DataLoader(items, batch, sampler=sampler, num_workers=recipe.workers)
    halved = recipe.optimiser.precision == "bfloat16"
    started = 0.0
    for step, (images, years, *_) in enumerate(batches):
        if step == LOG_EVERY:
            started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=halved):
            logits = network(images.contiguous(memory_format=torch.channels_last))
            loss = module.loss(logits, years).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.optimiser.clip_norm)
        optimiser.step()
    return (steps - LOG_EVERY) * batch / (time.perf_counter() - started)


def measure(way: str, recipe: Recipe, dataset: Dataset) -> dict[str, float]:
    """One way, in this process: its rate, and its peak memory, workers included, MiB."""
    if way == "agelens train":
        rate = lightning_loop(recipe, dataset)
    else:
        rate = bare_loop(recipe, dataset, augmented=way == "bare loop, augmented")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    workers = 0 if way == "bare loop, in memory" else recipe.workers
    return {"images_per_s": rate, "peak_mib": (own + workers * worker) / MIB}


WAYS = ("bare loop, in memory", "bare loop, augmented", "agelens train")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="a prepared dataset")
    parser.add_argument("--backbone", default="tf_efficientnet_lite2")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--steps", type=int, default=80, help=f"the first {LOG_EVERY} warm up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here")
    options = parser.parse_args()
    if options.steps < 2 * LOG_EVERY:
        parser.error(f"--steps must be at least {2 * LOG_EVERY}")
    base = Recipe(name="speed", workers=options.workers)
    recipe = base.model_copy(
        update={
            "model": Model(backbone=options.backbone, size=options.size, pretrained=False),
            "optimiser": base.optimiser.model_copy(
                update={"batch_size": options.batch, "precision": options.precision}
            ),
            "stages": [Stage(epochs=1, size=options.size)],
        }
    )
    load = os.getloadavg()[0]
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        images = options.steps * options.batch
        dataset = small_copy(Dataset.load(options.data), images, Path(scratch))
        from agelens.training.crops import MARGIN, aligned_crops

        for split, margin in (("train", MARGIN), ("train", 0.0), ("validation", 0.0)):
            aligned_crops(dataset, split, options.size, margin=margin)
        with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
            for _ in range(options.rounds):
                for way in WAYS:
                    runs[way].append(pool.submit(measure, way, recipe, dataset).result())
    results = {
        way: {
            "images_per_s": statistics.median(run["images_per_s"] for run in values),
            "peak_mib": max(run["peak_mib"] for run in values),
            "runs": values,
        }
        for way, values in runs.items()
    }
    rates = {way: float(result["images_per_s"]) for way, result in results.items()}
    ratios = {f"to {way}": rates["agelens train"] / rates[way] for way in WAYS[:2]}
    for way, result in results.items():
        print(f"{way:24}{result['images_per_s']:8.1f} images/s{result['peak_mib']:9.0f} MiB")
    print(", ".join(f"agelens train {name}: {ratio:.3f}" for name, ratio in ratios.items()))
    if options.json:
        report = {
            "recipe": recipe.model_dump(),
            "steps": options.steps,
            "warm_up_steps": LOG_EVERY,
            "machine": {
                "platform": platform.platform(),
                "cpus": os.cpu_count(),
                "load_before": load,
            },
            "results": results,
            "ratio_agelens_train": ratios,
        }
        with atomic_path(options.json) as partial:
            partial.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
