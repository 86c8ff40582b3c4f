"""Teachers: trained networks whose distributions and features another network imitates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from agelens.errors import ModelError
from agelens.files import Inputs, atomic_path
from agelens.pipeline.model import AgeModel
from agelens.pipeline.session import open_session
from agelens.training.module import AgeModule
from agelens.training.network import AgeNet, resized, write_graph
from agelens.training.quantise import quantise

OUTPUTS = ["distribution", "features"]


class Teacher:
    """What trained networks say of a batch, the augmented one that the student sees.

    "Patient and consistent" teaching (Beyer et al., CVPR 2022): the teacher looks at the same view
    as the student, mixed pictures too. On a GPU the networks run as they are; on a CPU as ONNX in
    8 bits, several times faster and near enough (research/training-log.md). Model files run in
    ONNX Runtime as they are.

    Args:
        modules: the trained networks; distributions are averaged, features put side by side.
        folder: where the ONNX copies are kept.
        crops: RGB uint8 ``[N, S, S, 3]``, training crops to find the ranges of 8 bits on.
        models: model files that teach too.
    """

    def __init__(
        self,
        modules: list[AgeModule],
        folder: Path,
        crops: NDArray[np.uint8],
        *,
        models: Sequence[Path] = (),
    ) -> None:
        self._graphs = [_Graph(module.net).eval() for module in modules]
        self._sizes = [module.recipe.model.size for module in modules]
        self._folder, self._crops = folder, crops
        self._sessions: list[onnxruntime.InferenceSession] = []
        self._files = [
            _ModelFile(path, folder / f"teacher-file-{i}.onnx") for i, path in enumerate(models)
        ]
        widths = [module.net.features for module in modules]
        self.features = sum(widths) + sum(file.features for file in self._files)

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
        answers = [file(images) for file in self._files]
        for index, size in enumerate(self._sizes):
            crops = resized(images, size).permute(0, 2, 3, 1)
            if on_cpu:
                answers.append(_run(self._sessions[index], crops))
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
                write_graph(self._graphs[index], crops[:2], OUTPUTS, partial)
                quantise(partial, partial, crops.numpy())
        return open_session(path, torch.get_num_threads())


class _Graph(nn.Module):
    def __init__(self, net: AgeNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        features = self.net.pooled(crops.permute(0, 3, 1, 2))
        return self.net.log_ages(self.net.head(features)).exp(), features


class _ModelFile:
    """A model file that also gives its pooled features: what its last matrix product reads."""

    def __init__(self, path: Path, copy: Path) -> None:
        model = AgeModel(path)
        self._size, self._flip = model.size, bool(model.metadata["flip"])
        graph = onnx.load(path)
        products = [node for node in graph.graph.node if node.op_type in ("Gemm", "MatMul")]
        if not products:
            raise ModelError(f"{path}: no features to learn from: it ends in no matrix product")
        features = products[-1].input[0]
        value = onnx.helper.make_tensor_value_info(features, onnx.TensorProto.FLOAT, None)
        graph.graph.output.append(value)
        with atomic_path(copy, inputs=Inputs([path])) as partial:
            onnx.save(graph, partial)
        self._session = open_session(copy, torch.get_num_threads())
        blank = torch.zeros(1, 3, self._size, self._size, dtype=torch.uint8)
        self.features = self(blank)[1].shape[1]

    def __call__(self, images: Tensor) -> list[Tensor]:
        crops = resized(images, self._size).permute(0, 2, 3, 1)
        distribution, features = _run(self._session, crops)
        if self._flip:
            features = features.reshape(2, len(images), -1).mean(0)
        return [distribution.to(images.device), features.to(images.device)]


def _run(session: onnxruntime.InferenceSession, crops: Tensor) -> list[Tensor]:
    answers = session.run(None, {"crops": crops.contiguous().cpu().numpy()})
    return [torch.from_numpy(part) for part in answers]
