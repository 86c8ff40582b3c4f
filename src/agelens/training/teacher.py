"""Teachers: trained networks whose distributions and features another network imitates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from agelens.files import atomic_path
from agelens.session import open_session
from agelens.training.module import AgeModule
from agelens.training.network import AgeNet, resized, write_graph
from agelens.training.quantise import quantise


class Teacher:
    """What trained networks say of a batch, the augmented one that the student sees.

    "Patient and consistent" teaching (Beyer et al., CVPR 2022): the teacher looks at the same view
    as the student, mixed pictures too. On a GPU the networks run as they are; on a CPU as ONNX in
    8 bits, several times faster and near enough (benchmarks/training-log.md).

    Args:
        modules: the trained networks; distributions are averaged, features put side by side.
        folder: where the 8-bit copies are kept.
        crops: RGB uint8 ``[N, S, S, 3]``, training crops to find the ranges of 8 bits on.
    """

    def __init__(self, modules: list[AgeModule], folder: Path, crops: NDArray[np.uint8]) -> None:
        self._graphs = [_Graph(module.net).eval() for module in modules]
        self._sizes = [module.recipe.model.size for module in modules]
        self._folder, self._crops = folder, crops
        self._sessions: list[onnxruntime.InferenceSession] = []
        self.features = sum(module.net.features for module in modules)

    def __deepcopy__(self, memo: object) -> Teacher:
        return self  # the weight average copies the student, which should not copy its teacher

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Look at uint8 RGB images ``[N, 3, S, S]``.

        Returns:
            Distributions ``[N, 117]`` and features ``[N, features]`` of length 1.
        """
        on_cpu = images.device.type == "cpu"
        if on_cpu and not self._sessions:
            self._sessions = [self._session(index) for index in range(len(self._graphs))]
        answers = []
        for index, size in enumerate(self._sizes):
            crops = resized(images, size).permute(0, 2, 3, 1)
            if on_cpu:
                answer = self._sessions[index].run(None, {"crops": crops.contiguous().numpy()})
                answers.append([torch.from_numpy(part) for part in answer])
            else:
                answers.append(list(self._graphs[index].to(images.device)(crops)))
        distributions, features = zip(*answers, strict=True)
        directions = [functional.normalize(part) for part in features]
        return torch.stack(distributions).mean(0), functional.normalize(torch.cat(directions, 1))

    def _session(self, index: int) -> onnxruntime.InferenceSession:
        path = self._folder / f"teacher-{index}.onnx"
        if not path.exists():
            images = torch.from_numpy(self._crops).permute(0, 3, 1, 2)
            crops = resized(images, self._sizes[index]).permute(0, 2, 3, 1).contiguous()
            with atomic_path(path) as partial:
                names = ["distribution", "features"]
                write_graph(self._graphs[index], crops[:2], names, partial)
                quantise(partial, partial, crops.numpy())
        return open_session(path, torch.get_num_threads(), spin=False)


class _Graph(nn.Module):
    def __init__(self, net: AgeNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        features = self.net.pooled(crops.permute(0, 3, 1, 2))
        return self.net.log_ages(self.net.head(features)).exp(), features
