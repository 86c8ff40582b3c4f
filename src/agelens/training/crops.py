"""Aligned crops, decoded once and kept on disk, and the datasets that read them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torchvision.transforms import v2

from agelens.data.bands import Bands
from agelens.data.cache import keyed_path
from agelens.data.landmarks import landmarks_of
from agelens.data.manifest import Dataset as AgeDataset
from agelens.errors import DataError
from agelens.files import atomic_path
from agelens.parallel import Progress, silent
from agelens.pipeline.align import align_face
from agelens.pipeline.images import load_image
from agelens.training.recipe import Augment

MARGIN = 0.125
"""Border of real pixels around a training crop, for rotations and shifts to bring in."""


def aligned_crops(
    dataset: AgeDataset,
    split: str,
    size: int,
    *,
    margin: float,
    progress: Progress = silent,
) -> tuple[NDArray[np.uint8], pd.DataFrame]:
    """Crops and rows of a split, from the cache beside the manifest, which is made at first use.

    Args:
        dataset: a prepared dataset.
        split: one of its splits.
        size: side in pixels of the crop that the model reads.
        margin: extra border, as a fraction of `size`; see `align_face`.
        progress: called with the number of crops made and their total.

    Returns:
        Crops, RGB uint8 ``[N, S, S, 3]``, memory-mapped, and their rows of the manifest, those
        whose age is a band among them.
    """
    rows = dataset.part(split, bands=True)
    facts = {"dataset": dataset.digest, "template": dataset.template.tolist(), "margin": margin}
    path = keyed_path(dataset.folder / "cache", f"crops-{split}-{size}", ".npy", **facts)
    if not path.exists():
        _write_crops(dataset, rows, size, margin, path, progress)
    return np.load(path, mmap_mode="r"), rows


def _write_crops(
    dataset: AgeDataset,
    rows: pd.DataFrame,
    size: int,
    margin: float,
    path: Path,
    progress: Progress,
) -> None:
    side = size + 2 * round(margin * size)
    gone = next((path for path in rows["path"] if not (dataset.root / path).is_file()), None)
    if gone is not None:
        raise DataError(
            f"{dataset.root / gone} is gone: put the pictures back where they were, or run "
            f"`agelens data prepare` again"
        )

    def crop(row: Any) -> NDArray[np.uint8]:
        image = load_image(dataset.picture(row))
        return align_face(image, landmarks_of(row), dataset.template, size, margin=margin)

    about = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), side, side, 3)}
    with (
        atomic_path(path) as partial,
        partial.open("wb") as file,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        # Written, not mapped: on a full disk a mapped file ends the process.
        np.lib.format.write_array_header_1_0(file, about)
        for index, made in enumerate(pool.map(crop, rows.itertuples())):
            file.write(made.tobytes())
            progress(index + 1, len(rows))


def augmentation(augment: Augment, size: int) -> v2.Compose:
    """Training transforms on one uint8 crop ``[3, S, S]``, to uint8 ``[3, size, size]``."""
    steps = [
        v2.RandomHorizontalFlip(augment.flip),
        v2.RandomAffine(
            augment.rotation,
            translate=(augment.shift, augment.shift),
            scale=(1 - augment.zoom, 1 + augment.zoom),
            interpolation=v2.InterpolationMode.BILINEAR,
        ),
        v2.CenterCrop(size),
        v2.ColorJitter(augment.brightness, augment.contrast, augment.saturation),
        v2.RandomGrayscale(augment.grey),
        *_bad_conditions(augment, size),
        v2.RandomErasing(augment.erase, scale=(0.02, 0.2), value=127),
    ]
    return v2.Compose(steps)


def _bad_conditions(augment: Augment, size: int) -> list[v2.Transform]:
    """What spoils pictures, in the order in which it does: framing, light, lens, sensor, storage.

    Of the families that `agelens.evaluation.robustness.corruptions` tests, but neither its code
    nor its amounts. A step of probability 0 is left out, and draws nothing from the generator.
    """
    steps = {
        "zoom_out": [v2.RandomZoomOut(fill=127, side_range=(1, 1.5), p=1), v2.Resize(size)],
        "occlude": [v2.RandomErasing(p=1, scale=(0.15, 0.4), value=0)],
        "light": [
            v2.RandomChoice(
                [
                    v2.ColorJitter(brightness=(0.15, 0.7)),
                    v2.ColorJitter(brightness=(1.3, 2.0)),
                    v2.ColorJitter(contrast=(0.1, 0.6)),
                ]
            )
        ],
        "low_resolution": [v2.RandomResize(max(1, size // 6), size // 2), v2.Resize(size)],
        "blur": [v2.GaussianBlur(kernel_size=13, sigma=(0.5, size / 40))],
        "sharpen": [v2.RandomChoice([v2.RandomAdjustSharpness(s, p=1) for s in (2, 4, 8)])],
        "noise": [v2.RandomChoice([v2.GaussianNoise(sigma=s) for s in (0.03, 0.07, 0.15, 0.25)])],
        "jpeg": [v2.JPEG((8, 60))],
    }
    return [
        v2.RandomApply(transforms, probability)
        for name, transforms in steps.items()
        if (probability := getattr(augment, name)) > 0
    ]


def draw_seed(*numbers: int) -> int:
    """A generator's seed that depends on all of `numbers`, the same in every process."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


class CropDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Crops with their labels, ``[N, 2]``, and groups. Training items are (epoch, index).

    Each item's augmentation is drawn from a generator seeded by run, epoch and index: the same
    whatever the number of workers, and after a resume.
    """

    def __init__(
        self,
        crops: NDArray[np.uint8],
        labels: Bands,
        groups: NDArray[np.int64] | None = None,
        *,
        transform: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        self.crops, self.labels, self.transform, self.seed = crops, labels, transform, seed
        self.groups = np.zeros_like(labels[:, 0]) if groups is None else groups

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: int | tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        epoch, index = item if isinstance(item, tuple) else (0, item)
        image = torch.from_numpy(self.crops[index].copy()).permute(2, 0, 1)
        if self.transform is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(draw_seed(self.seed, epoch, index))
                image = self.transform(image)
        return image, torch.tensor(self.labels[index]), torch.tensor(self.groups[index])


class EpochSampler(Sampler[tuple[int, int]]):
    """An epoch's items in whole batches, in an order that depends on the seed and the epoch alone.

    Args:
        length: number of items.
        seed: of the run.
        batch: items in a batch of all processes together; what is left over is left out.
        rates: ``[length]`` probabilities to draw by, with replacement; None shows every item once.
        from_epoch: the first that draws by `rates`; those before show no item twice.
        draws: items of an epoch; by default `length`.
        rank: this process's number; it gets its part of each batch.
        processes: how many there are.
    """

    def __init__(
        self,
        length: int,
        seed: int,
        *,
        batch: int = 1,
        rates: NDArray[np.float64] | None = None,
        from_epoch: int = 0,
        draws: int | None = None,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.length, self.seed, self.epoch = length, seed, 0
        self.batch, self.rates, self.from_epoch = batch, rates, from_epoch
        self.draws = length if draws is None else min(draws, length)
        self.rank, self.processes = rank, processes

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of every epoch, a resumed one too."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.draws // self.batch * (self.batch // self.processes)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(draw_seed(self.seed, self.epoch))
        if self.rates is None or self.epoch < self.from_epoch:
            order = torch.randperm(self.length, generator=generator)
        else:
            rates = torch.from_numpy(self.rates)
            order = torch.multinomial(rates, self.draws, replacement=True, generator=generator)
        batches = order[: self.draws // self.batch * self.batch].reshape(-1, self.batch)
        own = self.batch // self.processes
        mine = batches[:, self.rank * own : (self.rank + 1) * own]
        return iter([(self.epoch, index) for index in mine.flatten().tolist()])
