"""Fine-tune BlazeFace to find faces in views without a border, small ones and badly lit ones.

    python tools/convert_blazeface.py blazeface.onnx
    python -m research.detector.teach blazeface.onnx RUN DATA [DATA ...] --nobody PHOTOS

DATA are prepared datasets, PHOTOS a folder of photos in which there is nobody (see README.md). The
network begins with BlazeFace's own weights and learns from made views; where BlazeFace is sure in a
second look, its landmarks stay. RUN holds the log, the checkpoint, from which the same command goes
on, and in the end ``detector.onnx`` and its weights, ``detector.pt``: averages of those that the
run began with and of the fine-tuned ones. So it keeps what no made view shows, such as faces above
a body.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional as f

from agelens.files import atomic_path

from .export import to_onnx
from .network import Network, blazeface, normalised
from .views import batches, known_faces, scenery

RATE = 3e-4
AVERAGED = 0.99
"""Of the averaged weights, what remains after a step."""
WARM_UP = 100
"""Steps."""
SAVED_EVERY = 120
"""Seconds."""
POINT_WEIGHT = 4.0
UNKNOWN = 0.5
"""Where BlazeFace has a higher score than this, and no face is known, may be one: no loss there."""
SURE = 0.8
"""In a second look, where BlazeFace has a higher score than this, its landmarks are the labels."""
SHARE = 0.5
"""Of the fine-tuned weights in the average."""


def loss_of(network: Network, views: Tensor, scores: Tensor, values: Tensor) -> dict[str, Tensor]:
    """The focal loss of scores, and the distances of box and keypoints, in sides of the box."""
    boxes, logits = network(views)
    asked = scores >= 0
    wanted = scores.clamp(min=0)
    away = (logits.sigmoid() - wanted).abs().detach() ** 1.5
    entropy = f.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    positive = scores > 0
    count = positive.sum().clamp(min=1)
    own = boxes.permute(0, 2, 3, 1)[positive]
    side = values[positive][:, 16:]
    apart = (own - values[positive][:, :16]) / side
    smooth = f.smooth_l1_loss(apart, torch.zeros_like(apart), beta=0.01, reduction="none")
    sure = (side / 32).clamp(max=1)  # keypoints of tiny faces are but a hint
    return {
        "score": (away * entropy * asked).sum() / count,
        "point": POINT_WEIGHT * (smooth * sure).sum(dim=1).mean(),
        "pixels of 64": 64 * apart[side[:, 0] > 40].detach().abs().mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("teacher", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--nobody", type=Path, required=True, help="photos without a face")
    parser.add_argument("--steps", type=int, default=3600, help="of training, all told")
    parser.add_argument("--faces", type=int, default=12000, help="of each dataset")
    parser.add_argument(
        "--looks",
        type=int,
        default=0,
        help="label each face with the mean landmarks of so many views; 0: with the dataset's own",
    )
    parser.add_argument(
        "--mistakes", type=Path, help="second looks at what is no face (mistakes.py)"
    )
    parser.add_argument("--begin", type=Path, help="with the weights of an earlier detector.pt")
    parser.add_argument("--share", type=float, default=SHARE, help="of the new weights, 0 to 1")
    parser.add_argument("--rate", type=float, default=RATE, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    options.run.mkdir(parents=True, exist_ok=True)
    checkpoint = options.run / "checkpoint.pt"
    teacher = blazeface(options.teacher)
    first = copy.deepcopy(teacher)
    if options.begin:
        first.load_state_dict(torch.load(options.begin, weights_only=True))
    network = copy.deepcopy(first).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(network)
    heads = [*network.scores.parameters(), *network.boxes.parameters()]
    others = [p for p in network.parameters() if all(p is not own for own in heads)]
    optimiser = torch.optim.AdamW(
        [{"params": others, "factor": 1.0}, {"params": heads, "factor": 2.0}], weight_decay=1e-4
    )
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    faces = known_faces(options.data, options.faces, np.random.default_rng(0), options.looks)
    saved = started = time.monotonic()
    means: dict[str, float] = {}
    mistakes = np.load(options.mistakes) if options.mistakes else None
    made = batches(faces, scenery(options.nobody), network.plan.stride, step, mistakes)
    while step < options.steps:
        done = step / options.steps
        rate = options.rate * min(1, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        # A step is a batch of close views and one of scenes.
        for kind in ("close", "scene"):
            views, scores, values = next(made)
            images = normalised(views).contiguous(memory_format=torch.channels_last)
            asked, wanted = torch.from_numpy(scores), torch.from_numpy(values)
            with torch.no_grad():
                answers, logits = teacher(images)
            seen = logits.sigmoid()
            if kind == "close":
                own = (asked > 0) & (seen.amax(dim=(1, 2), keepdim=True) > SURE)
                wanted[..., :16][own] = answers.permute(0, 2, 3, 1)[own]
            else:
                face = (asked > 0).any(dim=(1, 2), keepdim=True)
                asked[(asked == 0) & face & (seen > UNKNOWN)] = -1
            parts = loss_of(network, images, asked, wanted)
            (parts["score"] + parts["point"]).backward()
            for name, tensor in parts.items():
                key, value = f"{kind} {name}", float(tensor.detach())
                if math.isfinite(value):
                    means[key] = 0.98 * means.get(key, value) + 0.02 * value
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        optimiser.zero_grad()
        step += 1
        keep = min(AVERAGED, step / (step + 10))
        with torch.no_grad():
            for old, new in zip(averaged.parameters(), network.parameters(), strict=True):
                old.lerp_(new, 1 - keep)
        now = time.monotonic()
        if now - saved > SAVED_EVERY or step == options.steps:
            saved = now
            state = {
                "network": network.state_dict(),
                "averaged": averaged.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
            }
            with atomic_path(checkpoint) as partial:
                torch.save(state, partial)
            minutes = round((now - started) / 60, 1)
            line = {"step": step, "minutes": minutes, "rate": round(rate, 6)}
            line |= {name: round(value, 4) for name, value in means.items()}
            with (options.run / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    notice = "from MediaPipe BlazeFace full-range (Google, Apache-2.0); see NOTICE of agelens"
    mixed = {
        name: torch.lerp(own, averaged.state_dict()[name].contiguous(), options.share)
        for name, own in first.state_dict().items()
    }
    first.load_state_dict(mixed)
    with atomic_path(options.run / "detector.pt") as partial:
        torch.save(mixed, partial)
    model = to_onnx(first, {"notice": notice})
    with atomic_path(options.run / "detector.onnx") as partial:
        onnx.save(model, partial)


if __name__ == "__main__":
    main()
